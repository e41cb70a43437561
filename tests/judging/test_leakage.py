"""Leakage checks: a model trained with a planted leak is refused, a healthy one passes."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.data.ingest import update
from bot.data.reference_predictions import ReferencePredictions
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.history.factor_history import FeatureReturns, minimum_lag
from bot.history.feature_returns import update as update_returns
from bot.judging._champion_comparison import Challenger, Champions, Holdout, ServingCheck, compare_with_champion
from bot.judging.judge import Ensemble
from bot.judging.leakage import check_lag, check_plausibility, check_purge, eras_used_by_artifact
from bot.judging.promotion import decide
from bot.members.tree_fit import fit_trees
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import PREPROCESS
from bot.serving.scorer import Members
from bot.tournament.columns import EMBARGO
from bot.training.recipes import DEMO
from bot.training.splits import UsedEras, holdout
from bot.training.training_data import select_training_data, used_eras
from bot.training.training_set import TrainingSet
from models.trees.gbm_options import PRESETS
from tests.harness.recipes import remade

pytestmark = pytest.mark.slow

TARGET = "target_ender_60"
HISTORY = (TARGET, "target_ender_20")
RECIPE = remade(
    DEMO, targets=HISTORY, weights={"gbm": 1.0}, engineered=(), validation_eras=12, holdout_eras=48, neutralizers=""
)
PLAN = RECIPE.resolved(data_version="v5.3", feature_set="small", target=TARGET)


class Planted:
    """A store's columns in which one feature is the target, its five bins as the feature's five codes."""

    def __init__(self, columns):
        self._columns = columns

    def __getattr__(self, name):
        return getattr(self._columns, name)

    def features(self, position):
        codes = np.array(self._columns.features(position))
        codes[:, 5] = np.nan_to_num(self._columns.target(position, TARGET) * 4, nan=2)
        return codes

    def in_place(self, run):
        return list(np.concatenate([self.features(position) for position in run]).T)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A small world in a store, and its folder."""
    folder = tmp_path_factory.mktemp("leaks")
    generate(folder / "world", size=replace(SIZES["tiny"], train_eras=60, rows=(150, 160)), seed=4)
    data = folder / "world" / "v5.3"
    store = update(folder / "store", [data / "train.parquet", data / "validation.parquet"], version="v5.3")
    features = FeatureMetadata.read(data / "features.json").members("small")
    return data, store.select(features, HISTORY)


def training_set(columns, returns=None):
    manifest = Preprocess(features=columns.feature_names, groups={"all": (0, 1)}, engineered=())
    return TrainingSet.build(columns, manifest, targets=HISTORY, history_targets=HISTORY, lookback=8, returns=returns)


def cut(data):
    return holdout(
        data.store.eras,
        labelled=data.store.labelled(TARGET),
        targets=HISTORY,
        validation_eras=RECIPE.validation_eras,
        holdout_eras=RECIPE.holdout_eras,
    )


def shifted(data, by):
    """Return the data with a table of returns that is shifted *by* eras to the past."""
    table, moved = data.returns, np.full_like(data.returns.values, np.nan)
    moved[:-by] = table.values[by:]
    return replace(data, returns=FeatureReturns(eras=table.eras, targets=table.targets, values=moved))


def judged(folder, data, split, tmp_path):
    """Train on a split, judge on its hold-out, and return the decision."""
    (tmp_path / PREPROCESS).write_text(data.manifest.to_json(), encoding="utf-8")
    trees = fit_trees(data, split.train, PRESETS["demo"], TARGET, lambda *_: None)
    (tmp_path / "gbm.txt").write_text(trees, encoding="utf-8")
    ensemble = Ensemble(
        data=data,
        members=Members(tmp_path, PLAN.members),
        models={"gbm": data},
        weights={"gbm": 1.0},
        neutralizers=(),
        proportion=0.0,
    )
    store = data.store.store
    judgement = compare_with_champion(
        Challenger(
            ensemble=ensemble,
            used=used_eras(split, PLAN),
            suspicious_corr=RECIPE.floors.suspicious_corr,
            serving=ServingCheck(golden=0.0, latency_s=0.1),
            method={},
        ),
        Holdout(
            positions=split.holdout,
            target=TARGET,
            reference=ReferencePredictions.read(folder, store, split.holdout, target=TARGET),
        ),
        Champions(
            artifacts=ArtifactStore(tmp_path / "artifacts"),
            recipe=RECIPE.name,
            synced=SimpleNamespace(store=store, returns=None),
        ),
        report_progress=lambda *_: None,
    )
    return decide(judgement.evidence, RECIPE.floors, target=TARGET)


def leaks(decision):
    return [one.gate for one in decision.findings if one.gate in ("purge", "lag", "feature") and not one.ok]


def test_healthy_world_passes(world, tmp_path):
    """Honest blocks, history and features pass every check."""
    folder, columns = world
    data = training_set(columns)
    decision = judged(folder, data, cut(data), tmp_path)

    assert leaks(decision) == []
    assert {"purge", "lag", "feature", "too_good"} <= {one.gate for one in decision.findings}


def test_split_without_a_purge_is_refused(world, tmp_path, monkeypatch):
    """A model that was trained without an embargo is not promoted, whatever its scores."""
    folder, columns = world
    data = training_set(columns)
    monkeypatch.setattr("bot.training.splits.embargo", lambda _: 0)
    decision = judged(folder, data, cut(data), tmp_path)

    assert leaks(decision) == ["purge"]
    assert not decision.promote
    assert "validation comes within 1 eras of judged, not over 16" in decision.reason
    assert "training comes within 1 eras of validation" in decision.reason


def test_history_of_lag_one_is_refused(world, tmp_path):
    """A history whose rows have moved is recognised by returns that had not resolved."""
    folder, columns = world
    data = training_set(columns)
    decision = judged(folder, shifted(data, minimum_lag(TARGET) - 1), cut(data), tmp_path)

    assert leaks(decision) == ["lag"]
    assert not decision.promote
    assert "contains returns of target_ender_" in decision.reason


def test_target_among_the_features_is_refused(world, tmp_path):
    """A feature that is the target is refused by name, with a warning of the perfect scores."""
    folder, columns = world
    data = training_set(Planted(columns))
    decision = judged(folder, data, cut(data), tmp_path)
    (warned,) = [one for one in decision.findings if one.gate == "too_good"]

    assert leaks(decision) == ["feature"]
    assert not decision.promote
    assert f"{columns.feature_names[5]} correlates" in decision.reason
    assert "too good to be true" in warned.value
    assert warned.ok


@pytest.mark.parametrize("by", [1, 4])
def test_history_that_is_a_little_too_new_is_found(world, by):
    """A history that is one era too new is found, for every history target."""
    _, columns = world
    data = training_set(columns)
    positions = cut(data).holdout

    assert check_lag(data, positions).ok
    assert not check_lag(shifted(data, by), positions).ok


def test_a_history_of_targets_that_no_model_learns_is_checked(world):
    """The check reads the history's targets where the recipe has them nowhere else."""
    folder, columns = world
    network = {"history_targets": ("target_ender_20",), "lookback": 8}
    recipe = remade(DEMO, targets=(), network=network, neutralizers="small")
    plan = recipe.resolved(data_version="v5.3", feature_set="small", target=TARGET)
    returns, metadata = update_returns(columns.store, HISTORY[1:]), FeatureMetadata.read(folder / "features.json")

    data = select_training_data(columns.store, returns, plan, metadata)

    assert data.models["tsmixer"].targets == (TARGET,)
    assert check_lag(data.models["tsmixer"], cut(data.main).holdout).value == "48 histories"


@given(gap=st.integers(-40, 40), target=st.sampled_from(HISTORY))
def test_purge_holds_exactly_from_the_embargo_on(gap, target):
    """An era within the embargo of its target before or after the judged eras refuses; one beyond it passes."""
    judged_eras = range(100, 120)
    era = 99 - gap if gap >= 0 else 120 - gap
    apart = min(abs(era - one) for one in judged_eras)
    found = check_purge([UsedEras(block="training", positions=(era,), targets=(target,))], judged_eras)

    assert found.ok == (apart > EMBARGO[int(target[-2:])])


def test_what_an_artifact_saw_is_read_from_its_manifest():
    """Blocks are read by their first and last era; targets of tree members are added to the network's."""
    manifest = {
        "recipe": {"weights": [["tsmixer", 0.5], ["gbm_ender_60", 0.5]]},
        "target": "target_ender_20",
        "targets": ["target_ender_20"],
        "eras": {"train": ["0002", "0003"], "validation": ["0012", "0013"]},
    }
    training, validation = eras_used_by_artifact(manifest, [f"{era:04}" for era in range(1, 31)])

    assert (training.positions, validation.positions) == ((1, 2), (11, 12))
    assert training.targets == ("target_ender_20", "target_ender_60")
    assert not check_purge([training, validation], range(25, 30)).ok


def test_warning_without_a_score_is_none():
    """Eras without a score give no warning."""
    assert check_plausibility(np.array([np.nan, np.nan]), 0.15).value == 0.0
