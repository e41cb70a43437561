"""A person's own ONNX file and its sidecar: scores, and one line for each file that cannot be used."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from models.inference import own_model
from models.inference.own_model import OwnModel, Sidecar, examine

WEIGHTS = np.array([[1.0], [0.5], [-0.25]], dtype=np.float32)
NAMES = ("a", "b", "c")


def saved(
    path: Path,
    nodes: list[onnx.NodeProto] | None = None,
    *,
    kind: int = TensorProto.FLOAT,
    shape: tuple[Any, ...] = ("rows", 3),
    out: tuple[Any, ...] = ("rows", 1),
    out_kind: int = TensorProto.FLOAT,
    inputs: tuple[str, ...] = ("x",),
    initializers: tuple[onnx.TensorProto, ...] = (),
    opset: int = 20,
) -> Path:
    """Write a model of a few nodes; by default the product of the input ``x`` and ``WEIGHTS``."""
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = numpy_helper.from_array(WEIGHTS, "w")
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, kind, shape) for name in inputs],
        [helper.make_tensor_value_info("y", out_kind, out)],
        [weights, *initializers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def codes(rows: int = 40, *, highest: int = 5) -> np.ndarray:
    return np.random.default_rng(1).integers(0, highest + 1, (rows, 3), dtype=np.int8)


@pytest.mark.parametrize(
    ("coding", "missing", "expected"),
    [
        ("codes", None, [0, 1, 2, 3, 4, 2]),
        ("centred", None, [-2, -1, 0, 1, 2, 0]),
        ("unit", None, [0, 0.25, 0.5, 0.75, 1, 0.5]),
        ("unit", -1, [0, 0.25, 0.5, 0.75, 1, -1]),
    ],
)
def test_codes_become_the_numbers_of_the_sidecar(
    tmp_path: Path, coding: Any, missing: float | None, expected: list[float]
) -> None:
    """Every coding gives its numbers to the file, also for missing values, in one chunk and in several."""
    sidecar = Sidecar(features=NAMES, coding=coding, missing=missing)
    model = OwnModel(saved(tmp_path / "mine.onnx"), sidecar)
    rows = codes(1_200)
    np.testing.assert_allclose(model.predict(rows), (np.array(expected)[rows] @ WEIGHTS)[:, 0], atol=1e-6)


def test_a_file_of_int8_and_a_flat_output_is_scored(tmp_path: Path) -> None:
    """A file may take int8 and give a vector."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "w"], ["m"]),
        helper.make_node("Flatten", ["m"], ["n"], axis=0),
        helper.make_node("Squeeze", ["n"], ["y"]),
    ]
    nodes[2:] = [helper.make_node("Squeeze", ["m", "axis"], ["y"])]
    axis = numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")
    path = saved(tmp_path / "m.onnx", nodes, kind=TensorProto.INT8, out=("rows",), initializers=(axis,))
    model = OwnModel(path, Sidecar(features=NAMES, coding="centred"))
    rows = codes(highest=4)
    np.testing.assert_allclose(model.predict(rows), ((rows - 2.0) @ WEIGHTS)[:, 0], atol=1e-6)
    assert 0 < examine(model) < own_model.LONGEST_S
    with pytest.raises(ValueError, match="no int8"):
        OwnModel(path, Sidecar(features=NAMES, coding="unit"))


def _too_many_inputs(path: Path) -> None:
    saved(
        path,
        [helper.make_node("Add", ["x", "z"], ["s"]), helper.make_node("MatMul", ["s", "w"], ["y"])],
        inputs=("x", "z"),
    )


def _external(path: Path) -> None:
    model = onnx.load(saved(path))
    onnx.save(model, path, save_as_external_data=True, size_threshold=0, location="weights.bin")


REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "two inputs": (_too_many_inputs, "takes the inputs x, z; it must take one"),
    "double": (lambda path: saved(path, [helper.make_node("Cast", ["x"], ["f"], to=1), helper.make_node("MatMul", ["f", "w"], ["y"])], kind=TensorProto.DOUBLE), "must take float or int8"),
    "fixed rows": (lambda path: saved(path, shape=(5, 3), out=(5, 1)), "any number of rows"),
    "three axes": (lambda path: saved(path, shape=("rows", 1, 3), out=("rows", 1, 1)), "any number of rows"),
    "other columns": (lambda path: saved(path, [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)], shape=("rows", 4)), "takes 4 columns, and its sidecar names 3"),
    "two scores a row": (lambda path: saved(path, [helper.make_node("Concat", ["x", "x"], ["y"], axis=1)], out=("rows", 6)), "one float a row"),
    "classes": (lambda path: saved(path, [helper.make_node("ArgMax", ["x"], ["y"], axis=1)], out_kind=TensorProto.INT64), "one float a row"),
    "a new opset": (lambda path: saved(path, opset=99), "not an ONNX model that runs here"),
    "an unknown operator": (lambda path: saved(path, [helper.make_node("Wonder", ["x"], ["y"])]), "not an ONNX model that runs here"),
    "external weights": (_external, "its weights lie in other files"),
    "no ONNX": (lambda path: path.write_bytes(b"PK\x03\x04 a zip"), "not an ONNX model that runs here"),
    "an empty file": (lambda path: path.write_bytes(b""), "not an ONNX model that runs here"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_of_another_form_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    """The reason names the file and the form that it must have."""
    make, reason = REFUSED[case]
    path = tmp_path / "mine.onnx"
    make(path)
    with pytest.raises(ValueError, match=reason) as refusal:
        OwnModel(path, Sidecar(features=NAMES))
    assert "mine.onnx" in str(refusal.value)


def test_a_large_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the limit is not loaded."""
    path = saved(tmp_path / "mine.onnx")
    monkeypatch.setattr(own_model, "LARGEST_BYTES", 10)
    with pytest.raises(ValueError, match=r"mine\.onnx has 0 MiB"):
        OwnModel(path, Sidecar(features=NAMES))


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [(Sidecar(features=NAMES, input="z"), "takes the inputs x"), (Sidecar(features=NAMES, output=1), "1 outputs")],
)
def test_a_sidecar_of_another_file_is_refused(tmp_path: Path, sidecar: Sidecar, reason: str) -> None:
    """A name or position that the file does not have is refused."""
    with pytest.raises(ValueError, match=reason):
        OwnModel(saved(tmp_path / "mine.onnx"), sidecar)


def test_scores_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    """A logarithm of 0 in some rows is refused with their number."""
    path = saved(
        tmp_path / "m.onnx", [helper.make_node("Log", ["x"], ["l"]), helper.make_node("MatMul", ["l", "w"], ["y"])]
    )
    model = OwnModel(path, Sidecar(features=NAMES))
    rows = np.ones((4, 3), dtype=np.int8)
    rows[2] = 0
    with pytest.raises(ValueError, match="gave 1 scores that are not finite"):
        model.predict(rows)


def test_a_model_that_gives_fewer_rows_is_refused(tmp_path: Path) -> None:
    """A sum over all rows is no score for each."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("ReduceSum", ["m"], ["y"], keepdims=1),
    ]
    model = OwnModel(saved(tmp_path / "m.onnx", nodes, out=(None, 1)), Sidecar(features=NAMES))
    with pytest.raises(ValueError, match=r"shape \(1, 1\) for 4 rows"):
        model.predict(codes(4))


def test_a_score_that_depends_on_the_batch_is_refused(tmp_path: Path) -> None:
    """A model that centres over its batch is refused: rows are scored in chunks."""
    axis = numpy_helper.from_array(np.array([0], dtype=np.int64), "axis")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("ReduceMean", ["m", "axis"], ["mean"], keepdims=1),
        helper.make_node("Sub", ["m", "mean"], ["y"]),
    ]
    model = OwnModel(saved(tmp_path / "m.onnx", nodes, initializers=(axis,)), Sidecar(features=NAMES))
    with pytest.raises(ValueError, match="depends on the other rows"):
        examine(model)


def test_a_constant_model_is_refused(tmp_path: Path) -> None:
    """A model that ignores its input ranks nothing."""
    nodes = [helper.make_node("Sub", ["x", "x"], ["z"]), helper.make_node("MatMul", ["z", "w"], ["y"])]
    with pytest.raises(ValueError, match="every row gets the same score"):
        examine(OwnModel(saved(tmp_path / "m.onnx", nodes), Sidecar(features=NAMES)))


def test_a_model_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """A loop of a thousand million steps is ended after the given time."""
    carried = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 3]) for name in ("a", "b")]
    condition = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("c", "d")]
    step = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Sin", ["a"], ["b"])],
        "body",
        [step, condition[0], carried[0]],
        [condition[1], carried[1]],
    )
    nodes = [
        helper.make_node("Loop", ["count", "yes", "x"], ["looped"], body=body),
        helper.make_node("MatMul", ["looped", "w"], ["y"]),
    ]
    constants = (
        numpy_helper.from_array(np.array(10**9, dtype=np.int64), "count"),
        numpy_helper.from_array(np.array(True), "yes"),
    )
    model = OwnModel(saved(tmp_path / "m.onnx", nodes, initializers=constants), Sidecar(features=NAMES))
    with pytest.raises(ValueError, match=r"m\.onnx gives no scores: it takes too long"):
        model.predict(codes(4), seconds=0.2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "no JSON"),
        ("[]", "must be an object"),
        ({}, "needs features, a list"),
        ({"features": ["a", 1]}, "needs features, a list"),
        ({"features": ["a", "a"]}, "names a feature twice"),
        ({"features": ["a"], "coding": "ranks"}, "another coding than codes, centred, unit"),
        ({"features": ["a"], "input": 3}, "an input that is no name"),
        ({"features": ["a"], "output": -1}, "an output that is no position"),
        ({"features": ["a"], "output": True}, "an output that is no position"),
        ({"features": ["a"], "missing": "x"}, "a missing that is no number"),
        ('{"features": ["a"], "missing": 1' + "0" * 400 + "}", "a missing that is no number"),
        ('{"features": ["a"], "missing": NaN}', "a missing that is no number"),
        ({"features": ["a"], "featurs": []}, "unknown key 'featurs'"),
    ],
)
def test_a_sidecar_that_cannot_be_used_is_refused_by_its_key(content: object, reason: str) -> None:
    """Each wrong value is named."""
    with pytest.raises(ValueError, match=reason):
        Sidecar.from_json(content if isinstance(content, str) else json.dumps(content))


@given(
    content=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda one: (
            st.lists(one) | st.dictionaries(st.sampled_from(["features", "coding", "input", "output", "missing"]), one)
        ),
    )
)
def test_no_sidecar_raises_anything_else(content: object) -> None:
    """Any JSON gives a sidecar or a ``ValueError`` of one line."""
    try:
        sidecar = Sidecar.from_json(json.dumps(content))
    except ValueError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right
        return
    assert sidecar.features
