"""Serving a network: chunks, masks and wrong input, on a small graph whose answer is known."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.inference.runtime import OnnxNetwork

F, E, L, K = 6, 3, 4, 2
TARGETS = ("target_ender_20", "target_ender_60")


def graph(path, *, inputs=("features", "engineered", "window"), metadata=None):
    """Write a graph that gives every class the sum of a row's inputs plus a constant per target and class."""
    shapes = {"features": ["batch", F], "engineered": ["batch", E], "window": [L, F, K]}
    nodes, sums = [], []
    for name in inputs:
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_f"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", [f"{name}_f"], [f"{name}_2"], axis=0 if name == "window" else 1),
            helper.make_node("ReduceSum", [f"{name}_2", "axis"], [f"{name}_s"], keepdims=1),
        ]
        sums.append(f"{name}_s")
    nodes += [
        helper.make_node("Sum", sums, ["total"]),
        helper.make_node("Unsqueeze", ["total", "axis"], ["total_3"]),
        helper.make_node("Add", ["total_3", "constant"], ["logits"]),
    ]
    kinds = {"features": TensorProto.INT8}
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "sum",
            [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), shapes[name]) for name in inputs],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2, 5])],
            [
                helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
                helper.make_tensor("constant", TensorProto.FLOAT, [1, 2, 5], CONSTANT.ravel()),
            ],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=10,
    )
    if metadata is None:
        metadata = {"network": json.dumps({"targets": TARGETS})}
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


CONSTANT = np.arange(10, dtype=np.float32).reshape(1, 2, 5)


def rows(count):
    rng = np.random.default_rng(1)
    return (
        rng.integers(0, 5, size=(count, F), dtype=np.int8),
        rng.integers(-5, 5, size=(count, E)).astype(np.float32),
        rng.integers(-5, 5, size=(L, F, K)).astype(np.float32),
    )


def answer(*inputs):
    by_row = sum(x.reshape(len(x), -1).sum(axis=1, dtype=np.float32) for x in inputs[:2])
    return (by_row + sum(x.sum(dtype=np.float32) for x in inputs[2:]))[:, None, None] + CONSTANT


@pytest.fixture
def network(tmp_path):
    return OnnxNetwork(graph(tmp_path / "n.onnx"))


def test_the_file_tells_what_the_network_is(network):
    """Targets and inputs come from the file."""
    assert network.targets == TARGETS
    assert network.inputs == ("features", "engineered", "window")


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1_000])
def test_every_number_of_rows_is_scored_in_chunks(network, count):
    """The last chunk may be short; every row gets its own answer in its own place."""
    inputs = rows(count)

    logits = network.logits(*inputs)

    assert logits.dtype == np.float32
    assert (logits == answer(*inputs)).all()


def test_no_history_is_a_masked_one(network):
    """Without history the network sees zeros, as it does at times in training."""
    features, engineered, _ = rows(300)

    assert (network.logits(features, engineered) == answer(features, engineered)).all()


def test_a_network_takes_only_what_it_knows(tmp_path):
    """Engineered columns and the window are left out for a network without them."""
    network = OnnxNetwork(graph(tmp_path / "n.onnx", inputs=("features",)))
    features, engineered, window = rows(20)

    assert network.inputs == ("features",)
    assert (network.logits(features, engineered, window) == answer(features)).all()


def test_no_rows_give_no_logits(network):
    """An empty era is not an error of the network."""
    assert network.logits(*rows(0)).shape == (0, 2, 5)


@pytest.mark.parametrize(("head", "outputs"), [({}, 5), ({"head": "classes"}, 5), ({"head": "score"}, 1)])
def test_file_names_the_outputs_of_a_target(tmp_path, head, outputs):
    """A file without a head, of an earlier version, has the five classes."""
    network = OnnxNetwork(graph(tmp_path / "n.onnx", metadata={"network": json.dumps({"targets": TARGETS} | head)}))

    assert network.outputs == outputs
    assert network.logits(*rows(0)).shape == (0, 2, outputs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((0, lambda x: x.astype(np.float32)), "features: expected int8"),
        ((0, lambda x: x[:, 1:]), r"features: expected int8 of shape \(10, 6\)"),
        ((1, lambda _: None), "takes engineered"),
        ((1, lambda x: x.astype(np.float64)), "engineered: expected float32"),
        ((1, lambda x: x[:9]), "engineered"),
        ((2, lambda x: x[:, :, :1]), "window"),
    ],
)
def test_wrong_input_is_named(network, change, message):
    """An input of another type or shape is refused before onnxruntime sees it."""
    inputs = list(rows(10))
    position, alter = change
    inputs[position] = alter(inputs[position])

    with pytest.raises(ValueError, match=message):
        network.logits(*inputs)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x08\x0a" * 100])
def test_garbage_is_refused(tmp_path, content):
    """A file that is no model is an error with words, not a crash."""
    (tmp_path / "n.onnx").write_bytes(content)

    with pytest.raises(ValueError, match="onnx"):
        OnnxNetwork(tmp_path / "n.onnx")


def test_a_truncated_model_is_refused(tmp_path):
    """Half a file does not load."""
    path = graph(tmp_path / "n.onnx")
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(ValueError, match="not an ONNX model"):
        OnnxNetwork(path)


@pytest.mark.parametrize("metadata", [{}, {"network": "{"}, {"network": "{}"}, {"network": '{"targets": 3}'}])
def test_a_model_that_does_not_name_its_targets_is_refused(tmp_path, metadata):
    """Logits without a meaning are not used."""
    with pytest.raises(ValueError, match="does not name its targets"):
        OnnxNetwork(graph(tmp_path / "n.onnx", metadata=metadata))


def test_a_missing_file_is_an_os_error(tmp_path):
    """The file system's own error passes through."""
    with pytest.raises(FileNotFoundError):
        OnnxNetwork(tmp_path / "absent.onnx")


def test_serving_imports_neither_torch_nor_onnx(tmp_path):
    """A network is scored without what trained it."""
    code = (
        "import sys, numpy; from pathlib import Path; from models.inference.runtime import OnnxNetwork;"
        "OnnxNetwork(Path(sys.argv[1])).logits(numpy.zeros((5, 6), 'int8'));"
        "print([n for n in ('torch', 'onnx', 'scipy', 'sklearn', 'pandas', 'sympy') if n in sys.modules])"
    )
    path = graph(tmp_path / "n.onnx", inputs=("features",))

    answer_ = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)

    assert answer_.stdout.strip() == "[]"
