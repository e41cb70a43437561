"""Looking into a network: the weights of an exported file, permuted history, and attributions that add up."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from models.bins import MISSING_CATEGORY
from models.inference.ensemble import expected_score
from models.inference.export import export, random_inputs
from models.inference.onnx_weights import restore
from models.inference.runtime import OnnxNetwork
from models.network.interpret import Rows, history_losses, integrated_gradients, temporal_weights
from models.network.network import Network
from models.network.seeds import SeedAverage
from tests.models.training.era_world import CONFIG, LAG, LOOKBACK, PLAIN, fit, score, world

pytestmark = pytest.mark.slow

RICH = replace(
    CONFIG,
    engineered=3,
    engineered_offset=(1.0, 0.0, -1.0),
    engineered_scale=(2.0, 1.0, 0.5),
    stacked=True,
    missing_category=True,
    history_targets=2,
    groups=((0, 1, 2, 3), (2, 5, 7, 11)),
)
TARGET = "target_ender_20"
SHAPES = {
    "row": RICH,
    "batch": replace(RICH, norm="batch", static_mixing="linear"),
    "era": replace(RICH, mixing="era"),
    "none": replace(RICH, mixing="none", lookback=0, groups=(), history_targets=0),
    "score": replace(RICH, head="score"),
    "mlp": replace(RICH, mixing="mlp", lookback=0, groups=(), history_targets=0),
    "no_history": replace(RICH, lookback=0, groups=(), history_targets=0),
}


def random_network(config, seed=0):
    """Return a network whose weights are all moved away from where they start."""
    torch.manual_seed(seed)
    network = Network(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return network


def rows_of(config, count, seed=0):
    inputs = {name: value.numpy() for name, value in random_inputs(config, count, seed=seed).items()}
    return Rows(**inputs)


@pytest.mark.parametrize(
    ("shape", "seeds"), [("row", 2), ("batch", 1), ("era", 1), ("none", 2), ("score", 2), ("mlp", 1)]
)
def test_exported_file_gives_its_networks_back(shape, seeds, tmp_path):
    """Every weight is found again, bit for bit, in whatever form the exporter left it."""
    config = SHAPES[shape]
    average = SeedAverage([random_network(config, seed) for seed in range(seeds)]).eval()
    export(average, tmp_path / "network.onnx", rows=300)

    restored = restore(tmp_path / "network.onnx")

    assert restored.config == config
    expected = average.state_dict()
    assert list(restored.state_dict()) == list(expected)
    assert all(torch.equal(value, expected[name]) for name, value in restored.state_dict().items())


def test_fresh_network_comes_back_too(tmp_path):
    """Equal weights, such as ones and zeros before training, are matched by name."""
    network = Network(CONFIG).eval()
    export(network, tmp_path / "network.onnx", rows=300)
    rows = rows_of(CONFIG, 50)
    logits = OnnxNetwork(tmp_path / "network.onnx").logits(rows.features, window=rows.window)

    again = restore(tmp_path / "network.onnx")
    with torch.inference_mode():
        ours = again(torch.from_numpy(rows.features), None, torch.from_numpy(rows.window)).numpy()

    np.testing.assert_allclose(ours, logits, atol=1e-5)


def test_weights_cost_no_second_copy(tmp_path):
    """The file grows by what the exporter had folded away, not by the network."""
    network = random_network(replace(RICH, encoder=(512, 256)))
    report = export(network, tmp_path / "network.onnx", rows=300)

    assert report.size < 1.25 * sum(4 * parameter.numel() for parameter in network.parameters())


def test_file_without_its_weights_is_refused(tmp_path):
    """A file of an older export, without a record of its weights, is refused."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "old", [value], [other])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "network.onnx")

    with pytest.raises(ValueError, match="has no record of its weights"):
        restore(tmp_path / "network.onnx")


ATTRIBUTED = {name: config for name, config in SHAPES.items() if name != "era"}


@pytest.mark.parametrize("config", ATTRIBUTED.values(), ids=ATTRIBUTED)
def test_attributions_add_up_to_the_score(config):
    """Completeness: what all inputs added is the row's score less the baseline's, within the path's resolution."""
    average = SeedAverage([random_network(config, seed) for seed in range(2)]).eval()
    rows = rows_of(config, 6)
    for row in range(6):
        found = integrated_gradients(average, rows, row, target=TARGET)
        moved = abs(found.score - found.baseline)

        assert abs(found.missed) < 0.02 * max(moved, 0.02)


def test_explained_score_is_the_one_that_serves(tmp_path):
    """The score that is taken apart is that of onnxruntime for the row."""
    average = SeedAverage([random_network(RICH)]).eval()
    export(average, tmp_path / "network.onnx", rows=300)
    rows = rows_of(RICH, 8)
    served = expected_score(
        OnnxNetwork(tmp_path / "network.onnx").logits(rows.features, rows.engineered, rows.window, rows.predictions)
    )[:, 0]

    explained = [integrated_gradients(average, rows, row, target=TARGET, steps=4).score for row in range(8)]

    np.testing.assert_allclose(explained, served, atol=1e-5)


def test_what_is_at_its_baseline_is_attributed_nothing():
    """A feature in the middle bin, a missing one and a masked history added nothing to the score."""
    rows = rows_of(RICH, 1)
    rows.features[0, :3] = [2, MISSING_CATEGORY, 4]
    masked = Rows(features=rows.features, engineered=rows.engineered)
    found = integrated_gradients(SeedAverage([random_network(RICH)]).eval(), masked, 0, target=TARGET)

    assert found.features[:2].tolist() == [0.0, 0.0]
    assert found.features[2] != 0.0
    assert not found.history.any()
    assert not found.predictions.any()
    assert found.history.shape == (LOOKBACK, 4)


def test_temporal_weights_start_as_averages():
    """Before training a curve falls from the newest era on; there is one for each network and target."""
    curves = temporal_weights(SeedAverage([Network(CONFIG), Network(CONFIG)]))

    assert [(one.network, one.target) for one in curves] == [(n, t) for n in (0, 1) for t in CONFIG.targets]
    assert all(np.all(np.diff(one.weights) < 0) for one in curves)
    assert temporal_weights(SeedAverage([Network(PLAIN)])) == ()


@pytest.fixture(scope="module")
def learned():
    """A network that was trained where factors last, and an era it has not seen."""
    data = world(persistence=0.97, static=0.0, moving=0.25, eras=90)
    return SeedAverage([fit(data, epochs=4).network]).eval(), data


def test_history_matters_where_factors_last(learned):
    """Another row's history costs most of the score; a block that holds nothing costs nothing."""
    average, data = learned
    everything = np.ones((LOOKBACK, 1), dtype=bool)
    blocks = {"all": everything, "none": ~everything, "oldest": np.arange(LOOKBACK)[:, None] >= LOOKBACK - 1}
    losses = []
    for index in range(len(data.batches) - LAG, len(data.batches)):
        batch = data.batch(index)
        truth = batch.targets[:, 0].astype(np.float64)
        rows = Rows(features=batch.features, window=data.window(index))
        losses.append(
            history_losses(
                average, rows, lambda said, truth=truth: score(said, truth), blocks, target=TARGET, seed=index
            )
        )
    mean = {name: np.mean([loss[name] for loss in losses]) for name in blocks}

    assert mean["all"] > 0.05
    assert mean["none"] == 0.0
    assert mean["oldest"] < mean["all"] / 2


@pytest.mark.parametrize("look", [history_losses, integrated_gradients], ids=["permutation", "gradients"])
def test_era_mixing_has_no_history_of_single_rows(look):
    """Where the history is the same for all rows, there is nothing to permute or attribute row by row."""
    average = SeedAverage([random_network(SHAPES["era"])]).eval()
    arguments = ((lambda _: 0.0), {}) if look is history_losses else (0,)
    more = {"seed": 1} if look is history_losses else {}

    with pytest.raises(ValueError, match="mixes by era"):
        look(average, rows_of(SHAPES["era"], 3), *arguments, target=TARGET, **more)
