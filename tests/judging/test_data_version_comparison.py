"""A champion of another data version on the challenger's rows: scores are joined by era and id."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.data.ingest import update
from bot.features.preprocess import Preprocess
from bot.findings import Absent
from bot.judging._champion_comparison import OtherVersionChampion
from bot.judging.judge import Ensemble
from bot.serving.names import ENSEMBLE
from bot.training.training_set import TrainingSet
from tests.data.store_files import NAMES, ROWS, table

TARGET = "target_ender_60"


def data(folder, rows, version, names=NAMES):
    """Return the eras of a table as a training set on a store of their own."""
    folder.mkdir()
    pq.write_table(rows, folder / "train.parquet")
    store = update(folder / "store", [folder / "train.parquet"], version=version)
    return TrainingSet.build(
        store.select(names, (TARGET,)), Preprocess(features=names, groups={}),
        targets=(TARGET,), history_targets=(), lookback=0,
    )  # fmt: skip


def shuffled(rows):
    """Return the rows of each era in another order."""
    order = np.concatenate(
        [np.random.default_rng(era).permutation(ROWS) + era * ROWS for era in range(len(rows) // ROWS)]
    )
    return rows.take(pa.array(order))


@pytest.fixture
def rival(tmp_path):
    """Return a function that puts a champion, which predicts its first features, on other rows of eras 3 to 8."""
    own = data(tmp_path / "own", table(3, 8), "v5.3")

    def first_features(rows):
        codes = rows.prepared(own.manifest).features
        return {"gbm": codes[:, 0] + codes[:, 1] / 8}

    members = SimpleNamespace(score=first_features)

    def on(rows):
        candidate = Ensemble(
            data=own, members=members, models={"gbm": own}, weights={"gbm": 1.0}, neutralizers=NAMES[:2], proportion=0.0
        )
        return candidate, OtherVersionChampion(
            champion=candidate, data=data(tmp_path / "other", rows, "v5.4", NAMES[4:])
        )

    return on


def test_rows_are_joined_by_id(rival):
    """In another order and beside unknown eras, each row has the score that it has in the champion's own data."""
    champion, other_version = rival(shuffled(table(1, 7)))
    home = champion.score(2, None)  # era 5
    there = other_version.score(4, None)
    place = {one: row for row, one in enumerate(champion.data.store.store.ids(2))}
    order = [place[one] for one in other_version.data.store.store.ids(4)]

    assert order != sorted(order)
    for name in ("gbm", ENSEMBLE):
        np.testing.assert_array_equal(there.scores[name], home.scores[name][order])
    np.testing.assert_array_equal(there.neutralizers, home.neutralizers[order])
    assert other_version.shared(range(7)) == [2, 3, 4, 5, 6]


def test_a_row_that_the_champion_lacks_gets_the_middle(rival):
    """Rows that only the challenger's version has get the median score and the middle bin."""
    rows = table(3, 5).set_column(0, "id", pa.array([f"n{row:015x}" if row % ROWS == 4 else one for row, one in enumerate(
        table(3, 5).column("id").to_pylist())]))  # fmt: skip
    champion, other_version = rival(rows)
    there = other_version.score(1, None)
    others = np.delete(there.scores["gbm"], 4)

    assert there.scores["gbm"][4] == np.median(others)
    assert there.neutralizers[4].tolist() == [2, 2]
    np.testing.assert_array_equal(others, np.delete(champion.score(1, None).scores["gbm"], 4))
    assert other_version.shared([0, 1, 2]) == [0, 1, 2]


def test_eras_of_other_rows_are_not_shared(rival):
    """If no era has four fifths of its rows in both versions, there is no comparison."""
    rows = table(3, 5)
    other = rows.set_column(0, "id", pa.array([f"n{row:015x}" for row in range(len(rows))]))
    _, other_version = rival(other)

    assert isinstance(other_version.shared([0, 1, 2]), Absent)
