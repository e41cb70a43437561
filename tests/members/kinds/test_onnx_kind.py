"""The kind onnx: a file of one's own is copied, checked, loaded and scored."""

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bot.errors import BadConfig, RefuseToSubmit
from bot.features.preprocess import Preprocess
from bot.members import registry
from bot.members.fitting import FitJob
from bot.members.kinds.onnx import OnnxOptions
from bot.members.member import Member, Unit
from bot.members.registry import Source
from bot.members.rows import LiveFiles, RawRows
from bot.training.training_set import TrainingSet
from tests.data.store_files import NAMES, TARGETS, build, small_blocks, write_files

KIND = registry.find("onnx")
FEATURES = [NAMES[3], NAMES[0]]
SIDECAR = {"features": FEATURES, "coding": "centred"}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingSet:
    """Return a small history; the working folder has an empty folder of recipes."""
    small_blocks(monkeypatch)
    columns = build(tmp_path, write_files(tmp_path)).select(NAMES, TARGETS)
    manifest = Preprocess(features=NAMES, groups={"all": tuple(range(len(NAMES)))})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    return TrainingSet.build(columns, manifest, targets=TARGETS[2:], history_targets=(), lookback=0)


def write(sidecar: Any = None, *, name: str = "mine") -> None:
    """Write a file that gives twice the first column minus the second, and its sidecar."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "mine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.array([[2.0], [-1.0]], dtype=np.float32), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, f"recipes/{name}.onnx")
    Path(f"recipes/{name}.json").write_text(json.dumps(sidecar or SIDECAR), encoding="utf-8")


def unit(**options: Any) -> Unit:
    return Unit(owner=Member(name="mine", kind="onnx", target=TARGETS[2], options=OnnxOptions(**options)))


def take(data: TrainingSet, **options: Any) -> Any:
    """Take the files into the folder ``served``, as an adoption does; return the facts."""
    served = Path("served")
    served.mkdir(exist_ok=True)
    eras: dict[str, Any] = {"train": (), "validation": (), "resolved": (), "every": 1}
    return KIND.fit(
        FitJob(unit=unit(**options), data=data, judged=served, served=served, checkpoints=served, folds=served, **eras)
    )


def loaded(data: TrainingSet, **options: Any) -> registry.Model:
    return KIND.load(
        Source(
            unit=unit(**options),
            folder=Path("served"),
            preprocess=data.manifest,
            open_network=lambda path: pytest.fail(str(path)),
        )
    )


def test_a_file_scores_the_columns_of_its_sidecar(data: TrainingSet) -> None:
    """Columns are chosen by name; later changes of the person's file have no effect on the artifact."""
    write()
    facts = take(data)
    Path("recipes/mine.onnx").write_bytes(b"changed")
    codes = np.ascontiguousarray(data.store.features(0))
    found = loaded(data).score(RawRows(names=NAMES, values=codes))["mine"]
    np.testing.assert_allclose(found, 2.0 * (codes[:, 3] - 2) - (codes[:, 0] - 2))
    assert set(facts["files"]) == {"mine.onnx", "mine.json"}
    assert facts["seconds"] < 60


def test_a_path_names_the_file(data: TrainingSet) -> None:
    """The option `file` names another file, whose sidecar lies beside it."""
    write(name="other")
    assert set(take(data, file="other.onnx")["files"]) == {"other.onnx", "other.json"}
    assert sorted(path.name for path in Path("served").iterdir()) == ["mine.json", "mine.onnx"]


@pytest.mark.parametrize(
    ("sidecar", "reason"),
    [
        (
            SIDECAR | {"features": ["feature_no", NAMES[0]]},
            r"members\.mine: 1 features .*, such as feature_no, are not in",
        ),
        (SIDECAR | {"features": [NAMES[0]]}, "takes 2 columns, and its sidecar names 1"),
        (SIDECAR | {"missing": -9}, 'set missing = "category"'),
        (SIDECAR | {"coding": "rank"}, r"members\.mine: the sidecar has another coding"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_when_it_is_taken(data: TrainingSet, sidecar: Any, reason: str) -> None:
    """The operator reads one line with the member and the reason."""
    write(sidecar)
    with pytest.raises(BadConfig, match=reason):
        take(data)


@pytest.mark.parametrize("absent", ["mine.onnx", "mine.json"])
def test_a_missing_file_is_named(data: TrainingSet, absent: str) -> None:
    """Without the file or its sidecar the path is named, and no digest is made."""
    write()
    assert KIND.outside(unit().owner)
    Path("recipes", absent).unlink()
    assert KIND.outside(unit().owner) == ""
    with pytest.raises(BadConfig, match=f"recipes/{absent} must be a file"):
        take(data)


def test_a_changed_file_has_another_digest(data: TrainingSet) -> None:
    """A kept fit of an older file is not used again."""
    write()
    before = KIND.outside(unit().owner)
    write(SIDECAR | {"coding": "codes"})
    assert KIND.outside(unit().owner) != before


def test_a_round_without_time_has_no_score(data: TrainingSet) -> None:
    """Where the time of the round is over, the member refuses, and the next fallback is used."""
    write()
    take(data)
    codes = np.tile(np.ascontiguousarray(data.store.features(0)), (2_000, 1))
    files = LiveFiles(live=Path("x"), benchmark=None, ids=(), deadline=time.monotonic() - 5, state_dir=Path())
    with pytest.raises(RefuseToSubmit, match=r"member mine: mine\.onnx gives no scores: it takes too long"):
        loaded(data).score(RawRows(names=NAMES, values=codes, files=files))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"options": OnnxOptions(file="../x.onnx")}, "must not lead upwards"),
        ({"options": OnnxOptions(file="x.pkl")}, r"must end in \.onnx"),
        ({"options": OnnxOptions(time_s=0)}, "time_s = 0 must be"),
        ({"label": "residual"}, "the file learns nothing here"),
    ],
)
def test_options_that_cannot_be_used_are_named(changed: dict[str, Any], reason: str) -> None:
    """Each wrong key gives one line."""
    (line,) = KIND.problems(replace(unit().owner, **changed))
    assert re.search(reason, line)
