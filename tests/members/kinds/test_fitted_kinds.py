"""Kinds whose models are fitted on the eras of a store and loaded again, one case a kind."""

import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bot.errors import OperatorNeeded
from bot.features.preprocess import Preprocess
from bot.members import registry
from bot.members.fitting import FitJob
from bot.members.member import Member, Unit
from bot.members.registry import Source
from bot.members.rows import RawRows
from bot.training.training_set import TrainingSet
from models.stopping import TrainingStopped
from tests.data.store_files import NAMES, TARGETS, build, small_blocks, write_files

MAIN, OTHER = TARGETS[2], TARGETS[1]
OPTIONS: dict[str, dict[str, Any]] = {
    "linear": {"alpha": 0.01},
    "xgboost": {"num_trees": 40, "learning_rate": 0.3, "min_child_weight": 1.0, "colsample_bytree": 0.9, "threads": 1},
    "catboost": {"num_trees": 40, "learning_rate": 0.3, "colsample_bylevel": 0.9, "threads": 1},
}
LIBRARIES = {"xgboost": "xgboost", "catboost": "catboost"}


@pytest.fixture(params=OPTIONS)
def kind(request: pytest.FixtureRequest) -> str:
    """Return each kind whose library is installed."""
    name: str = request.param
    if name in LIBRARIES and find_spec(LIBRARIES[name]) is None:
        pytest.skip(f"the extra {name} is not installed")
    return name


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainingSet:
    """Return ten labelled eras of random features, with engineered columns."""
    small_blocks(monkeypatch)
    columns = build(tmp_path, write_files(tmp_path)).select(NAMES, TARGETS)
    groups = {"all": tuple(range(len(NAMES)))}
    manifest = Preprocess(features=NAMES, groups=groups, engineered=("group_mean",))
    return TrainingSet.build(columns, manifest, targets=(MAIN,), history_targets=(), lookback=0)


def unit(kind: str, *heads: str) -> Unit:
    options = registry.find(kind).options(**OPTIONS[kind])
    owner = Member(name="mine", kind=kind, target=MAIN, options=options)
    return Unit(
        owner=owner,
        heads=tuple(replace(owner, name=f"mine_{one}", target=one, head_of="mine") for one in heads),
    )


def job(data: TrainingSet, tmp_path: Path, one: Unit, **changes: Any) -> FitJob:
    folders = {name: tmp_path / name for name in ("judged", "served", "checkpoints", "folds")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
    eras = {"train": tuple(range(8)), "validation": (), "resolved": tuple(range(10)), "every": 1}
    return FitJob(**{"unit": one, "data": data, **eras, **folders, **changes})


def loaded(data: TrainingSet, folder: Path, one: Unit) -> registry.Model:
    source = Source(unit=one, folder=folder, preprocess=data.manifest, open_network=lambda path: pytest.fail(str(path)))
    return registry.find(one.owner.kind).load(source)


def raw(data: TrainingSet, position: int) -> RawRows:
    return RawRows(names=NAMES, values=np.ascontiguousarray(data.store.features(position)))


def test_a_model_and_its_heads_learn_their_targets(kind: str, data: TrainingSet, tmp_path: Path) -> None:
    """One model predicts the owner's target and that of a head, each better than the other one's."""
    one = unit(kind, OTHER)
    registry.find(kind).fit(job(data, tmp_path, one))
    model = loaded(data, tmp_path / "served", one)
    scores = [model.score(raw(data, position)) for position in range(10)]
    for name, target, wrong in (("mine", MAIN, OTHER), (f"mine_{OTHER}", OTHER, MAIN)):
        found = np.concatenate([era[name] for era in scores])
        right, other = (
            np.corrcoef(found, np.concatenate([data.target(at, column) for at in range(10)]))[0, 1]
            for column in (target, wrong)
        )
        assert right > 0.15
        assert right > other + 0.1


def test_the_judged_model_has_not_seen_the_later_eras(kind: str, data: TrainingSet, tmp_path: Path) -> None:
    """Both models are written, and differ; the same job gives the same bytes again."""
    one = unit(kind)
    registry.find(kind).fit(job(data, tmp_path, one))
    folders = [tmp_path / name for name in ("judged", "served")]
    files = [[path for path in folder.iterdir() if path.name.startswith("mine")] for folder in folders]
    assert [len(one) for one in files] == [1, 1]
    first = [path.read_bytes() for (path,) in files]
    assert first[0] != first[1]
    registry.find(kind).fit(job(data, tmp_path, one))
    assert [path.read_bytes() for (path,) in files] == first


def test_eras_in_which_a_target_is_unknown_are_left_out(kind: str, data: TrainingSet, tmp_path: Path) -> None:
    """Positions without labels change nothing."""
    one, known, more = unit(kind), tmp_path / "known", tmp_path / "more"
    for folder, positions in ((known, range(10)), (more, range(12))):
        folder.mkdir()
        registry.find(kind).fit(job(data, folder, one, train=tuple(positions), resolved=()))
    rows = raw(data, 11)
    np.testing.assert_array_equal(
        *(loaded(data, folder / "judged", one).score(rows)["mine"] for folder in (known, more))
    )


def test_no_label_at_all_needs_the_operator(kind: str, data: TrainingSet, tmp_path: Path) -> None:
    """A training set without labels ends in one line that names the target."""
    with pytest.raises(OperatorNeeded, match=MAIN):
        registry.find(kind).fit(job(data, tmp_path, unit(kind), train=(10, 11)))


def test_a_stop_ends_the_fit(kind: str, data: TrainingSet, tmp_path: Path) -> None:
    """A stopped job raises and writes no model."""
    with pytest.raises(TrainingStopped):
        registry.find(kind).fit(job(data, tmp_path, unit(kind), should_stop=lambda: True))
    assert not list((tmp_path / "judged").glob("mine*"))


def test_a_model_of_other_columns_is_not_loaded(kind: str, data: TrainingSet, tmp_path: Path) -> None:
    """A file that was trained on other columns than the preprocessing makes is refused."""
    one = unit(kind)
    registry.find(kind).fit(job(data, tmp_path, one))
    other = replace(data, manifest=replace(data.manifest, engineered=()))
    with pytest.raises(ValueError, match="not those of the preprocessing"):
        loaded(other, tmp_path / "judged", one)


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_a_kind_with_a_seed_takes_another(name: str) -> None:
    """Each kind that draws numbers has other options with another seed; the others keep theirs."""
    found = registry.find(name)
    options = found.options()
    assert (found.with_seed(options, 1_000) != options) == (name not in ("linear", "benchmark", "onnx", "command"))


def test_another_seed_gives_another_model(kind: str, data: TrainingSet, tmp_path: Path) -> None:
    """Trees that choose columns by chance differ by seed; a regression does not."""
    one, found = unit(kind), registry.find(kind)
    other = replace(one, owner=replace(one.owner, options=found.with_seed(one.owner.options, 1_000)))
    scores = []
    for drawn in (one, other):
        found.fit(job(data, tmp_path, drawn))
        scores.append(loaded(data, tmp_path / "judged", drawn).score(raw(data, 9))["mine"])
    assert np.array_equal(*scores) == (kind == "linear")


def test_a_fit_needs_memory(kind: str) -> None:
    """The estimate of a fit on all features and 100,000 rows is between 100 MB and 2 GB."""
    one = unit(kind).owner
    assert 1e8 < registry.find(kind).memory(one, rows=100_000, columns=3_555) < 2e9


@pytest.mark.parametrize("name", OPTIONS)
def test_options_out_of_range_are_named(name: str) -> None:
    """Every number of the options is checked against its range."""
    found = registry.find(name)
    member = unit(name).owner
    assert list(found.problems(member)) == []
    key = next(iter(OPTIONS[name]))
    wrong = replace(member, options=replace(member.options, **{key: -1}))
    assert [line.split(" = ")[0] for line in found.problems(wrong)] == [key]


def test_a_regression_is_loaded_without_onnxruntime() -> None:
    """Numerai's machines have no onnxruntime and no scipy, and run linear members."""
    script = (
        "import sys; sys.modules['onnxruntime'] = sys.modules['scipy'] = None; import bot.members.kinds.linear as one;"
        " print(one.KIND.options())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_library_is_refused_before_a_retrain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Members whose package is absent are refused with the extra that installs it."""
    monkeypatch.setattr(registry, "version", _nothing_installed)
    with pytest.raises(OperatorNeeded, match=r"members\.mine needs xgboost.*install numerai-bot\[xgboost\]"):
        registry.refuse_missing_packages([unit("xgboost").owner])


def _nothing_installed(name: str) -> str:
    raise registry.PackageNotFoundError(name)
