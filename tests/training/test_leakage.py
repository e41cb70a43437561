"""Targets that are not resolved yet change neither training rows nor predictions."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bot.data.ingest import update
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.history.factor_history import minimum_lag, window
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.scoring.metrics import corr
from bot.tournament.columns import EMBARGO
from bot.training.splits import holdout
from bot.training.training_set import TrainingSet

pytestmark = pytest.mark.slow

TARGETS = ("target_ender_60", "target_ender_20")
MAIN = TARGETS[0]
LOOKBACK = 8
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Return a function that makes the training set of a generated world, each world once."""

    @cache
    def made(persistence, seed):
        folder = tmp_path_factory.mktemp("world") / "world"
        size = replace(SIZES["tiny"], train_eras=100, validation_eras=60, rows=(200, 200), signal=0.0)
        generate(folder, size=size, persistence=persistence, seed=seed)
        metadata = FeatureMetadata.read(folder / "v5.3" / "features.json")
        features = metadata.members("medium")
        paths = [folder / "v5.3" / "train.parquet", folder / "v5.3" / "validation.parquet"]
        store = update(folder / "store", paths, version="v5.3").select(features, TARGETS)
        return training_set(store, metadata)

    return made


def training_set(store, metadata):
    manifest = Preprocess(
        features=store.feature_names,
        groups=metadata.groups(store.feature_names),
        missing="median_bin",
        normalize="centre",
        engineered=("group_mean",),
    )
    return TrainingSet.build(store, manifest, targets=TARGETS, history_targets=TARGETS, lookback=LOOKBACK)


class Garbled:
    """A store's columns with other targets in some eras."""

    def __init__(self, columns, eras):
        self._columns, self._eras = columns, frozenset(eras)

    def __getattr__(self, name):
        return getattr(self._columns, name)

    def targets(self, position):
        known = self._columns.targets(position)
        if position not in self._eras:
            return known
        return np.random.default_rng(position).choice(np.float32([0, 0.25, 0.5, 0.75, 1]), size=known.shape)

    def target(self, position, name):
        return self.targets(position)[:, self.target_names.index(name)]


def with_garbage(data, eras):
    """Return the training set with other targets in some eras."""
    return TrainingSet.build(
        Garbled(data.store, eras), data.manifest, targets=TARGETS, history_targets=TARGETS, lookback=LOOKBACK
    )


@pytest.mark.parametrize("position", [60, 90, 130])
def test_garbage_in_unresolved_targets_changes_no_input(build, position):
    """The inputs of an era are bitwise the same, whatever the targets are that had not resolved."""
    data = build(0.0, 1)
    unresolved = range(position - minimum_lag("target_ender_20") + 1, len(data.store.eras))
    before, after = data.eras([position]), with_garbage(data, unresolved).eras([position])

    assert before.window(0).tobytes() == after.window(0).tobytes()
    assert before.batch(0).engineered.tobytes() == after.batch(0).engineered.tobytes()


def test_garbage_in_the_held_out_eras_changes_no_training_row(build):
    """Targets of the embargo and the held-out eras change no training input, no network target and no tree column."""
    data = build(0.0, 1)
    split = holdout(data.store.eras, labelled=data.store.labelled(MAIN), targets=TARGETS, validation_eras=20, every=1)
    other = with_garbage(data, range(split.train[-1] + 1, len(data.store.eras)))
    pairs = [
        (getattr(data.eras(split.train).batch(index), part), getattr(other.eras(split.train).batch(index), part))
        for index in (0, len(split.train) - 1)
        for part in ("engineered", "targets")
    ]
    newest = len(split.train) - 1
    pairs.append((data.eras(split.train).window(newest), other.eras(split.train).window(newest)))
    rows, other_rows = data.table(split.train, MAIN), other.table(split.train, MAIN)
    pairs += [(rows.labels, other_rows.labels), *zip(rows.chunks[-1], other_rows.chunks[-1], strict=True)]

    assert len(rows.chunks) == len(other_rows.chunks)
    assert all(one.tobytes() == two.tobytes() for one, two in pairs)


def test_no_label_of_a_training_era_overlaps_a_held_out_one(build):
    """Between the last training era and the first held-out one lies the embargo of the longest horizon."""
    data = build(0.0, 1)
    split = holdout(data.store.eras, labelled=data.store.labelled(MAIN), targets=TARGETS, validation_eras=20, every=1)

    assert split.validation[0] - split.train[-1] > EMBARGO[60]


def timing_corr(data, *, lag):
    """Return the mean CORR of the history alone: each feature weighted with its returns up to *lag* eras before."""
    scores = []
    for position in range(40, len(data.store.eras) - EMBARGO[60]):
        seen = window(data.returns, position + minimum_lag(MAIN) - lag, LOOKBACK)[:, :, 0].mean(axis=0)
        rows = data.prepared(position).features.astype(np.float32) - 2
        scores.append(corr((rows @ seen).astype(np.float64), data.target(position, MAIN).astype(np.float64)))
    return float(np.mean(scores))


def test_history_earns_nothing_where_nothing_lasts(build):
    """In worlds whose factor returns do not persist, an honest history has no CORR."""
    earned = [timing_corr(build(0.0, seed), lag=minimum_lag(MAIN)) for seed in SEEDS]

    assert abs(np.mean(earned)) < 0.03


def test_leak_would_be_seen(build):
    """In the same worlds, a lag of one era leaks a CORR that no honest history reaches."""
    faked = [timing_corr(build(0.0, seed), lag=1) for seed in SEEDS]

    assert min(faked) > 0.15


def test_history_earns_where_factors_last(build):
    """Where factor returns persist, the same history has CORR."""
    earned = [timing_corr(build(0.8, seed), lag=minimum_lag(MAIN)) for seed in SEEDS]

    assert np.mean(earned) > 0.05
