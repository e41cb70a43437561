"""A live round on the day of a past era: its predictions equal the back-test's, whatever the unresolved targets."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch

from bot.data.era_store import EraStore
from bot.data.ingest import update
from bot.data.live_file import read_live
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.history import feature_returns
from bot.history.factor_history import window
from bot.history.published import choose, history_path, publish
from bot.members.network.setup import network_config, training_options
from bot.members.network.validation_score import ValidationScore
from bot.members.rows import RawRows
from bot.members.tree_fit import fit_trees
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from bot.tournament.columns import horizon, is_target
from bot.training.recipe_file import history_needs
from bot.training.recipes import DEMO
from bot.training.training_set import TrainingSet
from models.training.training import train
from models.trees.gbm_options import PRESETS
from models.trees.trees import TreeModel
from tests.harness.recipes import network_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RESOLVED_AFTER = {20: 5, 60: 13}
"""Eras until a target is known, by its horizon in market days; a history keeps one more."""

MAIN = "target_ender_60"
ERAS = (70, 111, 140)


@pytest.fixture(scope="module")
def scorer(trained):
    store = ArtifactStore(trained / "artifacts")
    return Scorer(store.open(store.champions("demo")[0]))


@pytest.fixture(scope="module")
def rows(trained):
    """Return every row of train and validation with all columns, as Numerai serves them today."""
    folder = trained / "data" / "v5.3"
    return pa.concat_tables(pq.read_table(folder / name) for name in ("train.parquet", "validation.parquet"))


@pytest.fixture(scope="module")
def held(trained):
    """Return the store of all rows."""
    (folder,) = (trained / "store").iterdir()
    return EraStore.open(folder)


def stored_as_of(rows, era, folder, unknown):
    """Return the store of the eras before *era*, with *unknown* in place of targets that had not resolved on its day."""
    past = rows.filter(pc.less(rows["era"], f"{era:04d}"))
    age = era - pc.cast(past["era"], pa.int32()).to_numpy()
    for index, name in enumerate(past.column_names):
        if is_target(name):
            values = past[name].to_numpy().copy()
            hidden = age < RESOLVED_AFTER[horizon(MAIN if name == "target" else name)]
            values[hidden] = unknown(int(hidden.sum()))
            past = past.set_column(index, name, pa.array(values, type=past.schema.field(name).type))
    folder.mkdir(parents=True)
    pq.write_table(past, folder / "validation.parquet")
    return update(folder / "store", [folder / "validation.parquet"], version="v5.3")


def nothing(count):
    return np.full(count, np.nan)


def garbage(count):
    return np.random.default_rng(count).choice([0, 0.25, 0.5, 0.75, 1], size=count)


def live_on(rows, era, path):
    """Return the live file of an era's day, as a round reads it."""
    today = rows.filter(pc.equal(rows["era"], f"{era:04d}"))
    kept = [name for name in today.column_names if not is_target(name)]
    pq.write_table(today.select(kept), path)
    return read_live(path)


def training_set(store, trained):
    metadata = FeatureMetadata.read(trained / "data" / "v5.3" / "features.json")
    features = metadata.members("small")
    manifest = Preprocess(
        features=features,
        groups=metadata.groups(features),
        missing=DEMO.missing,
        normalize=DEMO.normalize,
        engineered=DEMO.engineered,
    )
    past = network_of(DEMO).history_targets
    return TrainingSet.build(
        store.select(features, tuple(dict.fromkeys((*DEMO.targets, *past)))),
        manifest,
        targets=DEMO.targets,
        history_targets=past,
        lookback=network_of(DEMO).lookback,
    )


@pytest.mark.parametrize("era", ERAS)
def test_a_day_replayed_equals_its_back_test(scorer, rows, held, tmp_path, era):
    """Data cut at an era, with the history published from them, give the back-test's predictions bit for bit."""
    manifest, own = scorer.manifest, scorer.history
    position = held.eras.index(f"{era:04d}")
    needs = history_needs()
    returns = feature_returns.update(held, needs.targets).select(
        [held.manifest.features.index(f) for f in own.features], own.targets
    )
    expected = scorer.score(
        RawRows(
            names=manifest.features,
            values=held.select(manifest.features, ()).features(position),
            history=replace(own, window=window(returns, position, len(own.window))),
        )
    )

    store = stored_as_of(rows, era, tmp_path / "then", nothing)
    path = history_path(tmp_path, "v5.3")
    publish(
        path, feature_returns.update(store, needs.targets), store.manifest.features, lookback=needs.lookback, now=NOW
    )
    live = live_on(rows, era, tmp_path / "live.parquet")
    older = replace(own, built_from_era="0000", window=np.zeros_like(own.window))
    replayed = scorer.score(RawRows(names=live.names, values=live.values, history=choose(older, path, now=NOW)))

    assert store.eras[-1] == f"{era - 1:04d}"
    assert [name.decode() for name in held.ids(position)] == list(live.ids)
    assert replayed.predictions.tobytes() == expected.predictions.tobytes()
    assert {name: made.tobytes() for name, made in replayed.members.items()} == {
        name: made.tobytes() for name, made in expected.members.items()
    }


def test_a_history_of_another_day_scores_differently(scorer, held):
    """The history of another day changes the network's scores, so that the equality above is a real check."""
    manifest = scorer.manifest
    columns = held.select(manifest.features, scorer.history.targets)
    values = columns.features(110)

    masked, stored = (
        scorer.score(RawRows(names=manifest.features, values=values, history=seen)) for seen in (None, scorer.history)
    )

    assert masked.members["tsmixer"].tobytes() != stored.members["tsmixer"].tobytes()


def trained_as_of(store, trained, tmp_path):
    """Return predictions of the newest era but one by a network and trees trained on resolved eras."""
    data = training_set(store, trained)
    learned, watched, scored = range(20, 60), range(77, 85), len(data.store.eras) - 1
    options = replace(training_options(network_of(DEMO), target=MAIN, device="cpu", seed=1), epochs=1)
    network = train(
        network_config(data, network_of(DEMO)),
        data.eras(learned),
        data.eras(watched),
        options,
        score=ValidationScore(name="corr"),
    ).network
    (tmp_path / "gbm.txt").write_text(fit_trees(data, learned, PRESETS["demo"], MAIN, lambda *_: None))
    rows, seen = data.prepared(scored), data.window(scored)
    with torch.no_grad():
        logits = network(torch.from_numpy(rows.features), torch.from_numpy(rows.engineered), torch.from_numpy(seen))
    trees = TreeModel(tmp_path / "gbm.txt").predict(rows.features, rows.engineered)
    return logits.numpy().tobytes(), trees.tobytes()


def test_garbage_in_unresolved_targets_changes_no_prediction(rows, trained, tmp_path):
    """A network and trees trained on that day predict the same bits, whatever the unresolved targets."""
    made = [
        trained_as_of(stored_as_of(rows, 110, tmp_path / unknown.__name__, unknown), trained, tmp_path)
        for unknown in (nothing, garbage)
    ]

    assert made[0] == made[1]
