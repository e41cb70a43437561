"""Every switch of the architecture through the parity gate, the runtime that serves, and the one of Numerai's machines."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from models.inference.ensemble import expected_score
from models.inference.export import export, random_inputs
from models.inference.reference import ReferenceNetwork
from models.inference.runtime import OnnxNetwork
from models.network.network import Network
from models.network.network_config import NetworkConfig
from models.network.seeds import SeedAverage

pytestmark = pytest.mark.slow

CONFIG = NetworkConfig(
    features=11,
    targets=("target_ender_20", "target_ender_60", "target_jasper_60"),
    encoder=(8, 6),
    hidden=8,
    feed_forward=8,
    blocks=1,
)
HISTORY = {"lookback": 6, "groups": ((0, 1, 2, 3), (3, 4, 10)), "history_targets": 2}
ENGINEERED = {"engineered": 3, "engineered_offset": (1.0, 0.0, -2.0), "engineered_scale": (2.0, 1.0, 0.5)}
CENTRED, STANDARD, RAW = {}, {"input_scale": 2**0.5}, {"input_offset": 0.0}
"""The three ways of the preprocessing to bring codes into the network."""

CASES = {
    "row": (HISTORY | ENGINEERED | CENTRED, 1),
    "row_batch_linear": (
        HISTORY | STANDARD | {"norm": "batch", "static_mixing": "linear", "missing_category": True, "blocks": 3},
        1,
    ),
    "row_stacked_seeds": (HISTORY | RAW | {"stacked": True, "missing_category": True}, 2),
    "row_without_history": (ENGINEERED | RAW | {"stacked": True, "norm": "batch", "blocks": 2}, 1),
    "era": (HISTORY | ENGINEERED | RAW | {"mixing": "era", "stacked": True, "missing_category": True}, 1),
    "era_seeds": (HISTORY | STANDARD | {"mixing": "era", "blocks": 2}, 2),
    "none": (ENGINEERED | STANDARD | {"mixing": "none", "missing_category": True, "blocks": 3}, 1),
    "none_stacked_seeds": ({"mixing": "none", "stacked": True}, 3),
    "row_score_seeds": (HISTORY | STANDARD | {"head": "score", "stacked": True}, 2),
    "mlp_score": (ENGINEERED | CENTRED | {"mixing": "mlp", "head": "score"}, 1),
    "mlp": (ENGINEERED | STANDARD | {"mixing": "mlp", "missing_category": True, "stacked": True}, 1),
}
"""Not every combination, for an export takes seconds: every value of every switch, with every mixing that has it."""


def config_of(case):
    """Return the config of a case."""
    return replace(CONFIG, **CASES[case][0])


def stirred(config, seed):
    """Return a network none of whose numbers is what it starts with: neither zeros nor ones hide a lost input."""
    torch.manual_seed(seed)
    network = Network(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.uniform_(0.5, 1.5)
    return network


@pytest.mark.parametrize("case", CASES)
def test_every_switch_passes_the_gate_and_replays(tmp_path, case):
    """Parity from 1 to 7,000 rows; a golden batch scored by torch replays in both runtimes, and among all rows."""
    config, seeds = config_of(case), CASES[case][1]
    network = SeedAverage([stirred(config, seed) for seed in range(seeds)]).train()
    report = export(network, tmp_path / "n.onnx", rows=7_000)
    served, elsewhere = OnnxNetwork(tmp_path / "n.onnx"), ReferenceNetwork(tmp_path / "n.onnx")
    inputs = {name: value.numpy() for name, value in random_inputs(config, 7_000, seed=3).items()}
    golden = {name: value if name == "window" else value[-128:] for name, value in inputs.items()}
    given = {name: torch.from_numpy(value) for name, value in golden.items()}
    with torch.no_grad():
        logits = network.eval()(*(given.get(name) for name in ("features", "engineered", "window", "predictions")))
    expected = expected_score(logits.numpy(), kind="corr")
    alone, among = (expected_score(served.logits(**rows), kind="corr") for rows in (golden, inputs))
    hosted = expected_score(elsewhere.logits(**golden), kind="corr")

    assert report.max_abs <= 1e-5
    assert (report.batches[0], report.batches[-1]) == (1, 7_000)
    assert served.inputs == elsewhere.inputs == config.inputs
    assert served.targets == elsewhere.targets == config.targets
    assert np.abs(alone - expected).max() <= 1e-5
    assert np.abs(among[-128:] - expected).max() <= 1e-5
    assert np.abs(hosted - expected).max() <= 1e-5
    assert np.ptp(expected[:, 1]) > 0.01


def test_the_cases_hold_every_value_of_every_switch():
    """A switch that nobody exports here is a switch that may not export."""
    configs = [config_of(case) for case in CASES]
    seen = {
        name: {getattr(config, name) for config in configs}
        for name in ("mixing", "head", "stacked", "missing_category", "norm", "static_mixing", "blocks", "input_scale")
    }

    assert seen["mixing"] == {"row", "era", "none", "mlp"}
    assert seen["head"] == {"classes", "score"}
    assert seen["norm"] == {"layer", "batch"}
    assert seen["static_mixing"] == {"fm", "linear"}
    assert seen["stacked"] == seen["missing_category"] == {False, True}
    assert {bool(config.engineered) for config in configs} == {False, True}
    assert {(config.mixing, config.has_history) for config in configs} >= {("row", True), ("row", False)}
    assert {(config.input_offset, config.input_scale) for config in configs} == {(2, 1), (2, 2**0.5), (0, 1)}
    assert {seeds for _, seeds in CASES.values()} == {1, 2, 3}
    assert seen["blocks"] == {1, 2, 3}
