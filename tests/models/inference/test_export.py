import json
import warnings
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models.inference import export as export_module
from models.inference.export import ExportMismatch, export, random_inputs, same_order
from models.network.network import Network
from models.network.network_config import NetworkConfig

pytestmark = pytest.mark.slow

CONFIG = NetworkConfig(
    features=11,
    engineered=3,
    targets=("target_ender_20", "target_ender_60"),
    lookback=6,
    groups=((0, 1, 2, 3), (3, 4, 10)),
    history_targets=2,
    encoder=(8,),
    hidden=8,
    feed_forward=8,
    blocks=1,
)
NO_HISTORY = {"lookback": 0, "groups": (), "history_targets": 0}


def network(config=CONFIG):
    """Return a network whose head is large enough to rank rows."""
    torch.manual_seed(2)
    net = Network(config)
    with torch.no_grad():
        net.mixer.head.weight.mul_(10)
    return net


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return the file and report of one export."""
    path = tmp_path_factory.mktemp("export") / "network.onnx"
    return path, export(network(), path, rows=700)


def test_export_reports_parity_at_every_batch_size(exported):
    """Logits agree to 1e-5 and ranks are identical for 1, 2, 255, 256 and 257 rows and many in chunks."""
    _, report = exported

    assert report.max_abs <= 1e-5
    assert report.ranks_identical
    assert report.rank_correlation >= 1 - 1e-6
    assert report.batches == (1, 2, 255, 256, 257, 700)


def test_the_file_stands_alone(exported):
    """One valid file: int8 features, dynamic rows, opset 20, weights inside, nobody's paths in it."""
    path, report = exported
    model = onnx.load(path, load_external_data=False)
    kinds = {i.name: i.type.tensor_type.elem_type for i in model.graph.input}
    by_row = [i for i in [*model.graph.input, *model.graph.output] if i.name != "window"]
    rows = {i.type.tensor_type.shape.dim[0].dim_param for i in by_row}

    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert report.size == path.stat().st_size
    assert kinds == {"features": onnx.TensorProto.INT8, "engineered": 1, "window": 1}
    assert [output.name for output in model.graph.output] == ["logits"]
    assert rows == {"batch"}
    assert [entry.version for entry in model.opset_import if not entry.domain] == [20]
    assert b".py" not in path.read_bytes()


def test_the_config_travels_in_the_file(exported):
    """Metadata under ``network`` gives the config back."""
    path, _ = exported
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    text = session.get_modelmeta().custom_metadata_map["network"]

    assert NetworkConfig.from_json(json.loads(text)) == CONFIG


def test_nothing_is_printed_and_no_warning_escapes(tmp_path, capfd):
    """The exporter's own progress lines and deprecations do not reach the operator."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export(network(replace(CONFIG, **NO_HISTORY)), tmp_path / "n.onnx", rows=10)
    said = capfd.readouterr()

    assert (said.out, said.err) == ("", "")
    assert [str(w.message) for w in caught] == []


def test_a_file_that_scores_differently_is_not_kept(tmp_path, monkeypatch):
    """A graph with another network's weights is refused and removed."""
    path = tmp_path / "n.onnx"
    net = network()
    write = export_module._write

    def write_another(_, target):
        torch.manual_seed(99)
        write(Network(CONFIG).eval(), target)

    monkeypatch.setattr(export_module, "_write", write_another)

    with pytest.raises(ExportMismatch, match="ranks not identical"):
        export(net, path, rows=300)
    assert not path.exists()


def test_order_is_compared_up_to_numerical_ties():
    """Rows may change places within a millionth, and not beyond."""
    b = np.array([0.3, 0.1, 0.2, 0.2 + 5e-7])

    assert same_order(np.array([3.0, 1.0, 2.1, 2.0]), b)
    assert not same_order(np.array([2.0, 1.0, 3.0, 2.5]), b)


def test_random_rows_hold_every_code():
    """The parity gate sees the missing category wherever the network knows it."""
    plain = random_inputs(CONFIG, 200, seed=0)["features"]
    missing = random_inputs(replace(CONFIG, missing_category=True), 200, seed=0)["features"]

    assert (int(plain.max()), int(missing.max()), int(plain.min())) == (4, 5, 0)
    assert plain.dtype == torch.int8
