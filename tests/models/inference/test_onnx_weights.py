"""Looking into an exported average: each network says there what it says alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.inference.export import export
from models.inference.onnx_weights import split_seeds
from models.inference.runtime import OnnxNetwork
from models.network.network import Network
from models.network.seeds import SeedAverage
from tests.models.training.era_world import PLAIN

pytestmark = pytest.mark.slow


def test_each_network_of_an_average_says_what_it_says_alone(tmp_path):
    """The parts' class probabilities are the networks' own, in order, average to the whole's, and have no parts."""
    torch.manual_seed(1)
    networks = [Network(PLAIN) for _ in range(2)]
    export(SeedAverage(networks).eval(), tmp_path / "average.onnx", rows=300)
    codes = np.random.default_rng(2).integers(0, 5, (40, PLAIN.features), dtype=np.int8)
    paths = split_seeds(tmp_path / "average.onnx", tmp_path)
    parts = [OnnxNetwork(path).logits(codes) for path in paths]

    for network, part in zip(networks, parts, strict=True):
        alone = network(torch.from_numpy(codes)).log_softmax(-1).detach().numpy()
        np.testing.assert_allclose(part, alone, atol=1e-5)
    whole = OnnxNetwork(tmp_path / "average.onnx").logits(codes)
    np.testing.assert_allclose(np.mean([np.exp(part) for part in parts], axis=0), np.exp(whole), atol=1e-6)
    assert split_seeds(paths[0], tmp_path) == ()


def test_networks_of_an_average_of_scores_come_apart_too(tmp_path):
    """The parts' scores are the networks' own, and their mean is the whole's."""
    torch.manual_seed(1)
    networks = [Network(replace(PLAIN, head="score")) for _ in range(3)]
    export(SeedAverage(networks).eval(), tmp_path / "average.onnx", rows=300)
    codes = np.random.default_rng(2).integers(0, 5, (40, PLAIN.features), dtype=np.int8)
    paths = split_seeds(tmp_path / "average.onnx", tmp_path)
    parts = [OnnxNetwork(path).logits(codes) for path in paths]

    for network, part in zip(networks, parts, strict=True):
        np.testing.assert_allclose(part, network(torch.from_numpy(codes)).detach().numpy(), atol=1e-6)
    np.testing.assert_allclose(np.mean(parts, axis=0), OnnxNetwork(tmp_path / "average.onnx").logits(codes), atol=1e-6)
    assert split_seeds(paths[0], tmp_path) == ()
