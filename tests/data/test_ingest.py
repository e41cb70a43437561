"""The era store has the content of the files, and grows with them."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.data.era_store import EraStore
from bot.errors import DatasetIncomplete, SchemaMismatch
from bot.training._temporary_columns import is_mapped
from tests.data.store_files import NAMES, ROWS, TARGETS, build, same_as, small_blocks, table, write_files


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    small_blocks(monkeypatch)


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


@pytest.mark.parametrize("group", [1, 7, 13, 40, 1000])
def test_store_holds_what_the_files_hold(tmp_path, files, group):
    """Ids, features and targets are stored unchanged for row groups of any size."""
    pq.write_table(table(6, 12), files[1], row_group_size=group)
    store = build(tmp_path, files)

    assert same_as(store, table(1, 5, unresolved=0), table(6, 12))
    assert store.eras == tuple(f"{era:04d}" for era in range(1, 13))
    assert store.kinds[-3:] == ("validation", "test", "test")


@pytest.mark.parametrize("group", [1, 7, 40, 1000])
def test_blocks_have_the_usual_size(tmp_path, files, group):
    """Row groups smaller or larger than a block give blocks of about three eras, except for the last."""
    pq.write_table(table(6, 15), files[1], row_group_size=group)
    store = build(tmp_path, files)

    sizes = [len(block.eras) for block in store.manifest.blocks if block.source == files[1].name]
    assert set(sizes[:-1]) <= {2, 3, 4}
    assert sizes[-1] <= 4


def test_era_larger_than_a_block_is_held_until_it_is_whole(tmp_path, files, monkeypatch):
    """An era across many row groups is stored unchanged."""
    monkeypatch.setattr("bot.data.ingest.BLOCK_ROWS", 3)
    pq.write_table(table(6, 12), files[1], row_group_size=2)

    assert same_as(build(tmp_path, files), table(1, 5, unresolved=0), table(6, 12))


def test_empty_row_groups_are_nothing(tmp_path, files):
    """Empty row groups at the end of a file add neither rows nor blocks."""
    pq.write_table(table(6, 12), files[1])
    plain = len(build(tmp_path / "plain", files).manifest.blocks)
    with pq.ParquetWriter(files[1], table(6, 12).schema) as writer:
        for part in (table(6, 12), table(6, 12).slice(0, 0), table(6, 12).slice(0, 0)):
            writer.write_table(part)
    store = build(tmp_path, files)

    assert pq.ParquetFile(files[1]).num_row_groups == 3
    assert same_as(store, table(1, 5, unresolved=0), table(6, 12))
    assert len(store.manifest.blocks) == plain


def test_opening_reads_no_rows(tmp_path, files):
    """Opening a store reads only its manifest; a feature is a view of the file."""
    build(tmp_path, files)
    (folder,) = (tmp_path / "store").iterdir()
    store = EraStore.open(folder)
    columns = store.select(NAMES[2:5], TARGETS)

    assert store._maps == {}
    assert is_mapped(columns.in_place([1])[0])
    assert not columns.features(1).flags.owndata


def test_columns_come_in_the_order_they_were_asked_for(tmp_path, files):
    """A selection keeps its own order."""
    columns = build(tmp_path, files).select(NAMES[::-2], TARGETS[:1])
    whole = table(6, 6, unresolved=0)

    np.testing.assert_array_equal(
        columns.features(5), np.stack([whole.column(name).to_numpy() for name in NAMES[::-2]], axis=1)
    )


def test_runs_stay_within_a_block(tmp_path, files):
    """Consecutive eras of one block are one run, read in place."""
    columns = build(tmp_path, files).select(NAMES, TARGETS)

    assert columns.runs([0, 1, 2, 3, 5, 7]) == [(0, 1, 2), (3,), (5,), (7,)]
    assert [len(column) for column in columns.in_place((0, 1, 2))] == [3 * ROWS] * len(NAMES)


def test_nothing_new_writes_nothing(tmp_path, files):
    """Files that are stored completely are not read again."""
    build(tmp_path, files)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*") if path.is_file()}
    build(tmp_path, files)

    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "store").rglob("*") if path.is_file()} == before


def test_new_eras_are_appended(tmp_path, files):
    """A longer file adds its new eras; stored features are not written again."""
    store = build(tmp_path, files)
    old = {file.name: (store.folder / "blocks" / file.name).stat().st_ino for file in store.files()}
    pq.write_table(table(6, 15), files[1], row_group_size=50)
    longer = build(tmp_path, files)
    kept = {file.name for file in longer.files()} & set(old)

    assert same_as(longer, table(1, 5, unresolved=0), table(6, 15))
    assert {name for name in old if name.endswith("features")} <= kept
    assert all((longer.folder / "blocks" / name).stat().st_ino == old[name] for name in kept)


def test_late_targets_replace_only_targets(tmp_path, files):
    """A target that resolves later is written under a new name, the old file goes, and the era is no longer ``test``."""
    store = build(tmp_path, files)
    before = {file.name for file in store.files()}
    pq.write_table(table(6, 12, unresolved=0), files[1])
    resolved = build(tmp_path, files)
    after = {file.name for file in resolved.files()}

    assert np.isfinite(resolved.select(NAMES, TARGETS).target(11, "target_ender_60")).all()
    assert set(resolved.kinds) == {"validation"}
    assert {name.split(".")[1] for name in before ^ after} == {"targets"}
    assert {path.name for path in (resolved.folder / "blocks").iterdir()} == after


def test_rewritten_history_is_noticed(tmp_path, files):
    """Eras whose features the server changed are replaced from there on."""
    build(tmp_path, files)
    changed = table(6, 12)
    column = changed.column(NAMES[4]).to_numpy().copy()
    column[70] = (column[70] + 1) % 5
    changed = changed.set_column(changed.column_names.index(NAMES[4]), NAMES[4], pa.array(column, type=pa.int8()))
    pq.write_table(changed, files[1])

    assert same_as(build(tmp_path, files), table(1, 5, unresolved=0), changed)


def test_nulls_are_missing_codes(tmp_path, files):
    """A feature value that the file does not have is stored as -1."""
    holed = table(6, 12)
    values = holed.column(NAMES[0]).to_pylist()
    values[3] = None
    pq.write_table(holed.set_column(3, NAMES[0], pa.array(values, type=pa.int8())), files[1])

    assert build(tmp_path, files).select(NAMES, ()).features(5)[3, 0] == -1


def test_other_columns_start_a_store_of_their_own(tmp_path, files):
    """A version with other features gets a store of its own, and the old store stays."""
    first = build(tmp_path, files)
    wider = (*NAMES, "feature_new")
    pq.write_table(table(1, 5, unresolved=0, names=wider), files[0])
    pq.write_table(table(6, 12, names=wider), files[1])
    second = build(tmp_path, files)

    assert first.folder != second.folder
    assert EraStore.open(first.folder).eras == second.eras


@pytest.mark.parametrize(
    ("change", "error", "reason"),
    [
        (lambda: table(6, 12, kind=pa.float32()), SchemaMismatch, "another type"),
        (lambda: table(6, 12).drop_columns(["data_type"]), SchemaMismatch, "data_type"),
        (lambda: table(6, 12).drop_columns([NAMES[3]]), SchemaMismatch, NAMES[3]),
        (lambda: pa.concat_tables([table(9, 12), table(6, 8)]), DatasetIncomplete, "ascending"),
        (lambda: table(4, 12), DatasetIncomplete, "does not come after"),
    ],
    ids=["floats", "no data_type", "a feature less", "disorder", "overlap"],
)
def test_files_of_another_kind_are_refused(tmp_path, files, change, error, reason):
    """The error contains the types, columns or order that are not Numerai's."""
    shutil.copy(files[1], tmp_path / "good.parquet")
    pq.write_table(change(), files[1])
    with pytest.raises(error, match=reason):
        build(tmp_path, files)


def test_truncated_file_is_refused(tmp_path, files):
    """A truncated parquet file is refused."""
    files[1].write_bytes(files[1].read_bytes()[:-40])
    with pytest.raises(DatasetIncomplete, match="cannot be read"):
        build(tmp_path, files)


def test_files_without_targets_are_refused(tmp_path, files):
    """A file without targets, such as a live file, is refused."""
    for path in files:
        pq.write_table(pq.read_table(path).drop_columns(list(TARGETS)), path)
    with pytest.raises(SchemaMismatch, match="9 features and 0 targets"):
        build(tmp_path, files)
