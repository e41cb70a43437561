"""Fingerprints of columns find every difference between the scored features and the file, and no other."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.data.live_column_sums import differing_columns
from bot.data.live_file import read_live
from bot.errors import DatasetIncomplete
from bot.features.column_sums import ColumnSums
from bot.features.preprocess import Preprocess, prepare
from tests.harness.shapes import NUMBERS, refusal, shapes

ROWS = 20
NAMES = tuple(f"feature_{letter}" for letter in "abcdef")


def live():
    """Return a live file whose features have the same five equal bins, so that plain sums of all columns are equal."""
    random = np.random.default_rng(11)
    bins = np.repeat(np.arange(5), ROWS // 5)
    content = {"id": [f"n{row:015x}" for row in range(ROWS)], "era": ["X"] * ROWS}
    return pa.table(content | {name: pa.array(random.permutation(bins), pa.int8()) for name in NAMES})


def seen(path, missing="median_bin", features=NAMES):
    """Return the fingerprints of the rows that members would score."""
    rows = read_live(path)
    prepared = prepare(Preprocess(features=features, groups={}, missing=missing), rows.names, rows.values)
    return ColumnSums.of(features, prepared.features, missing)


@settings(deadline=None, max_examples=80)
@given(data=st.data(), missing=st.sampled_from(["median_bin", "category"]))
def test_what_the_reader_reads_is_in_the_file(data, missing, tmp_path_factory):
    """The fingerprints agree for every shape of a file that is read, missing and strange values included."""
    table = live()
    for name, values in data.draw(
        st.dictionaries(
            st.sampled_from(NAMES),
            st.lists(st.sampled_from([None, 0, 2, 4, -1, 7, 99]), min_size=ROWS, max_size=ROWS) | st.just([2] * ROWS),
            max_size=2,
        )
    ).items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values, pa.int8()))
    path = data.draw(shapes(table, features=NAMES, kinds=NUMBERS[1:])).write(
        tmp_path_factory.mktemp("live") / "live.parquet"
    )
    if refusal(read_live, path) is None:
        kept = tuple(name for name in read_live(path).names if name in NAMES)
        if kept:
            assert differing_columns(path, seen(path, missing, kept)) == ()


@settings(deadline=None, max_examples=50)
@given(
    order=st.permutations(range(len(NAMES))).filter(lambda one: one != list(range(len(NAMES)))),
    missing=st.sampled_from(["median_bin", "category"]),
)
def test_columns_under_other_names_are_found(order, missing, tmp_path_factory):
    """Features that changed places differ although all have equal bins; the others do not."""
    path = tmp_path_factory.mktemp("live") / "live.parquet"
    pq.write_table(live(), path)
    values = read_live(path).values[:, order]
    moved = tuple(name for name, place in zip(NAMES, order, strict=True) if NAMES[place] != name)

    assert differing_columns(path, ColumnSums.of(NAMES, values, missing)) == moved


def test_rows_in_another_order_are_found(tmp_path):
    """Rows that changed places change every fingerprint."""
    pq.write_table(live(), tmp_path / "live.parquet")
    values = read_live(tmp_path / "live.parquet").values[::-1]

    assert differing_columns(tmp_path / "live.parquet", ColumnSums.of(NAMES, values, "median_bin")) == NAMES


@pytest.mark.parametrize("change", ["repeated", "absent"])
def test_a_column_that_is_not_there_once_differs(tmp_path, change):
    """A name that the file repeats or lacks counts as different."""
    pq.write_table(live(), tmp_path / "live.parquet")
    sums = seen(tmp_path / "live.parquet")
    other = live().append_column(NAMES[1], live()["feature_a"]) if change == "repeated" else live().drop([NAMES[1]])
    pq.write_table(other, tmp_path / "live.parquet")

    assert differing_columns(tmp_path / "live.parquet", sums) == (NAMES[1],)


def test_a_damaged_file_is_one_line(tmp_path):
    """A file that was cut off meanwhile is refused."""
    pq.write_table(live(), tmp_path / "live.parquet")
    sums = seen(tmp_path / "live.parquet")
    (tmp_path / "live.parquet").write_bytes((tmp_path / "live.parquet").read_bytes()[:-9])
    with pytest.raises(DatasetIncomplete, match="cannot be read"):
        differing_columns(tmp_path / "live.parquet", sums)
