"""A live file gives the same values by name however its writer stored it, or is refused in words."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.data.live_file import read_live
from bot.data.parquet_columns import LIVE
from bot.errors import DatasetIncomplete, SchemaMismatch
from tests.harness.readers import check_live
from tests.harness.shapes import NUMBERS, TEXTS, numbers, refusal, stored

ROWS = 12
NAMES = tuple(f"feature_{letter}" for letter in "abcdef")


def live(rows=ROWS, **columns):
    """Return a live file's table; *columns* replace or add columns."""
    random = np.random.default_rng(7)
    content = {"id": [f"n{row:015x}" for row in range(rows)], "era": ["X"] * rows, "data_type": ["live"] * rows}
    content |= {name: pa.array(random.integers(0, 5, rows), pa.int8()) for name in NAMES}
    return pa.table(content | columns)


def written(tmp_path, table, **options):
    pq.write_table(table, tmp_path / "live.parquet", **options)
    return tmp_path / "live.parquet"


@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_any_shape_gives_the_same_values_or_a_refusal(data, tmp_path_factory):
    """Permuted, repeated, dropped, renamed, added and retyped columns keep every value under its name."""
    check_live(data, tmp_path_factory.mktemp("live"))


@pytest.mark.parametrize("name", ["id", "era", NAMES[0], NAMES[-1]])
def test_a_repeated_name_is_refused(tmp_path, name):
    """Two columns of one name are refused, since either may hold the values."""
    path = written(tmp_path, live().append_column(name, live().column(NAMES[2])))
    with pytest.raises(DatasetIncomplete, match=f"twice, '{name}' first"):
        read_live(path)


def test_a_name_with_a_suffix_is_another_name(tmp_path):
    """A column ``feature_a.1``, which pyarrow delivers with ``feature_a``, moves no value."""
    table = live().append_column(f"{NAMES[0]}.1", live().column(NAMES[3]))
    found = read_live(written(tmp_path, table.select(["id", "era", f"{NAMES[0]}.1", *NAMES])))

    for name, column in zip(found.names, found.values.T, strict=True):
        np.testing.assert_array_equal(column, numbers(table, name))


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_a_number_of_any_type_is_a_code(tmp_path, kind):
    """Whole numbers are read from every numeric type, from text and from dictionaries."""
    table = live()
    for name in NAMES:
        table = stored(table, name, kind)
    found = read_live(written(tmp_path, table, row_group_size=5))

    assert (found.names, found.missing, found.strange, found.unreadable) == (NAMES, 0, 0, {})
    np.testing.assert_array_equal(found.values, read_live(written(tmp_path, live())).values)


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_ids_are_text_of_any_type(tmp_path, kind):
    """Ids are the same from every type of text."""
    path = written(tmp_path, stored(stored(live(), "id", kind), "era", kind), row_group_size=5)

    assert (read_live(path).ids, read_live(path).era) == (tuple(live().column("id").to_pylist()), "X")


@pytest.mark.parametrize(
    ("values", "codes", "counts"),
    [
        (pa.array([None, 1, 2], pa.int8()), [-1, 1, 2], (1, 0)),
        (pa.array([None, None, None]), [-1, -1, -1], (3, 0)),
        (pa.array([float("nan"), 1.0, None]), [-1, 1, -1], (2, 0)),
        (pa.array([float("inf"), float("-inf"), 4.0]), [-2, -2, 4], (0, 2)),
        (pa.array([0.5, -2.0, 4.0]), [-2, -2, 4], (0, 1)),
        (pa.array([300, 2, -300], pa.int16()), [-2, 2, -2], (0, 2)),
        (pa.array([2**62, 0, 1]), [-2, 0, 1], (0, 1)),
        (pa.array([3, None, 3]).dictionary_encode(), [3, -1, 3], (1, 0)),
    ],
    ids=["null", "nothing", "nan", "inf", "half", "300", "huge", "dictionary"],
)
def test_what_is_no_code_is_counted(tmp_path, values, codes, counts):
    """Null and NaN count as missing, numbers beyond a byte as strange; the other values stay."""
    found = read_live(written(tmp_path, live(3, **{NAMES[0]: values})))

    assert found.values[:, found.names.index(NAMES[0])].tolist() == codes
    assert (found.missing, found.strange) == counts


@pytest.mark.parametrize(
    "values",
    [["abc"] * ROWS, [[1]] * ROWS, [{"a": 1}] * ROWS, pa.array([0] * ROWS, pa.timestamp("ns")), [True] * ROWS],
    ids=["text", "list", "struct", "time", "bool"],
)
def test_a_column_without_numbers_concerns_only_who_needs_it(tmp_path, values):
    """A feature of text, lists or times is left out, and an artifact that needs it is refused with its name."""
    found = read_live(written(tmp_path, live(feature_new=values)))
    found.refuse_unreadable(NAMES)

    assert found.names == NAMES
    with pytest.raises(SchemaMismatch, match=r"feature_new is .* holds no codes"):
        found.refuse_unreadable([*NAMES, "feature_new"])


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"id": list(range(ROWS))}, "id is int64, not text"),
        ({"id": [[1]] * ROWS}, "id is list"),
        ({"id": [None, *"abcdefghijk"]}, "1 ids that are no ids, ''"),
        ({"id": ["n1,0.5", *"abcdefghijk"]}, "no ids, 'n1,0.5'"),
        ({"id": ["n\n1", *"abcdefghijk"]}, "no ids"),
        ({"id": ["n" * 100_000] * ROWS}, "longer than 64 characters"),
        ({"id": pa.array([b"\xff\xfe"] * ROWS)}, "cannot be read"),
        ({"era": [1] * ROWS}, "era is int64, not text"),
        ({"era": [["X"]] * ROWS}, "era is list"),
        ({"era": ["X", *["Y"] * (ROWS - 1)]}, "2 eras"),
    ],
)
def test_odd_ids_and_eras_are_refused(tmp_path, columns, reason):
    """Ids that no CSV file could hold, and columns of another type, are refused in one line."""
    path = written(tmp_path, live(**columns))

    assert reason in (refusal(read_live, path) or "")


def test_too_many_rows_are_refused_before_they_are_decoded(tmp_path):
    """Run-length encoding packs 20 million rows into a small file, which is refused from its footer."""
    rows = 20_000_000
    same = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["X"]))
    path = written(tmp_path, pa.table({"id": same, "era": same, NAMES[0]: pa.array(np.zeros(rows, np.int8))}))
    del same
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    with pytest.raises(DatasetIncomplete, match="20,000,000 rows"):
        read_live(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert path.stat().st_size < 1 << 20
    assert max(peak, pa.total_allocated_bytes() - before) < 1 << 24


def test_a_long_text_in_many_rows_takes_its_memory_once(tmp_path):
    """A megabyte of text in every row is refused without being copied for every row."""
    rows = 5_000
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array(["n" * (1 << 20)]))
    path = written(tmp_path, live(rows, id=long, feature_new=long))
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(DatasetIncomplete, match="longer than 64"):
        read_live(path)

    assert pa.default_memory_pool().max_memory() - before < 1 << 28


def test_too_many_column_chunks_are_refused(tmp_path, monkeypatch):
    """Thousands of row groups are refused by the number of their column chunks."""
    monkeypatch.setattr("bot.data.live_file.LIVE", replace(LIVE, chunks=50))
    with pytest.raises(DatasetIncomplete, match="108 column chunks"):
        read_live(written(tmp_path, live(), row_group_size=1))


def test_a_footer_beyond_memory_is_refused(tmp_path, monkeypatch):
    """A footer is measured before it is parsed."""
    monkeypatch.setattr("bot.data.live_file.LIVE", replace(LIVE, footer=100))
    with pytest.raises(DatasetIncomplete, match="footer of"):
        read_live(written(tmp_path, live()))


def test_a_damaged_file_is_refused_or_read(tmp_path):
    """Of 400 files with a changed byte, each is read or refused in one line."""
    path = written(tmp_path, live())
    good, random = path.read_bytes(), np.random.default_rng(3)
    for _ in range(400):
        bad = bytearray(good)
        bad[random.integers(len(bad))] = int(random.integers(256))
        path.write_bytes(bad)
        refusal(read_live, path)
