"""The era store has the content of the files, and grows with them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.data import ingest
from bot.data._parquet import ParquetSource
from bot.data.era_store import EraStore
from bot.errors import DatasetIncomplete, SchemaMismatch
from bot.training._temporary_columns import is_mapped
from tests.data.store_files import NAMES, ROWS, TARGETS, build, same_as, small_blocks, table, write_files
from tests.harness.readers import check_history
from tests.harness.shapes import OTHERS, refusal


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


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_any_one_feature_is_noticed_where_few_rows_may_differ(tmp_path, files, monkeypatch, name):
    """All features of the rows that a newer file may have changed are compared, some at a time."""
    monkeypatch.setattr(ingest, "SAMPLED", 2)
    build(tmp_path, files)
    codes = table(6, 12).column(name).to_numpy().copy()
    codes[70] = (codes[70] + 1) % 5
    newer = changed(name, pa.array(codes, type=pa.int8()))
    pq.write_table(newer, files[1])

    assert same_as(build(tmp_path, files), table(1, 5, unresolved=0), newer)


def test_of_many_rows_only_as_many_features_are_compared_as_the_cells_allow(tmp_path, files, monkeypatch):
    """Beyond that number of cells a sample of the features stands for all."""
    monkeypatch.setattr(ingest, "SAMPLED", 2)
    monkeypatch.setattr(ingest, "COMPARED_CELLS", 4 * len(table(6, 12)))
    read = []
    original = ParquetSource.chunks
    build(tmp_path, files)
    pq.write_table(table(6, 12), files[1], row_group_size=7)
    monkeypatch.setattr(
        ParquetSource, "chunks", lambda source, names, *rest: read.append(len(names)) or original(source, names, *rest)
    )
    build(tmp_path, files)

    assert read[0] == 4


@pytest.mark.parametrize("change", ["a code", "an era that is gone"])
def test_a_changed_training_file_costs_no_era_of_the_files_after_it(tmp_path, files, change):
    """Where stored eras of the first file change and the second file does not, the store has all eras of both."""
    changed = table(1, 5, unresolved=0)
    if change == "a code":
        codes = changed.column(NAMES[4]).to_numpy().copy()
        codes[-1] = (codes[-1] + 1) % 5
        place = changed.column_names.index(NAMES[4])
        changed = changed.set_column(place, NAMES[4], pa.array(codes, type=pa.int8()))
    else:
        changed = changed.filter(pa.array(np.array(changed.column("era").to_pylist()) != "0003"))
    build(tmp_path, files)
    pq.write_table(changed, files[0], row_group_size=20)
    build(tmp_path, files)

    assert same_as(build(tmp_path, files), changed, table(6, 12))


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
        (
            lambda: changed(NAMES[2], pa.array([0.25] * len(table(6, 12)), pa.float32())),
            SchemaMismatch,
            f"{NAMES[2]} has 91 values that are no codes, such as 0.25; is BOT_DATA_VERSION one of v5",
        ),
        (lambda: changed(NAMES[2], pa.array([300] * len(table(6, 12)))), SchemaMismatch, "such as 300"),
        (lambda: pa.concat_tables([table(9, 12), table(6, 8)]), DatasetIncomplete, "has era 0006 after 0012"),
        (lambda: table(6, 12).take(list(range(90, -1, -2))), DatasetIncomplete, "ascending order of eras"),
        (lambda: table(2, 5), DatasetIncomplete, "has no era after 0005"),
        (lambda: changed("era", pa.array([None] * len(table(6, 12)), pa.string())), DatasetIncomplete, "without an era"),
        (lambda: table(6, 12).slice(0, 0), DatasetIncomplete, "has no eras"),
        (lambda: table(6, 12).drop_columns(["era"]), SchemaMismatch, "lacks era"),
        (lambda: changed("id", pa.array(["n1"] * len(table(6, 12)))), SchemaMismatch, "not 16 characters"),
        (lambda: changed("id", pa.array([[1]] * len(table(6, 12)))), DatasetIncomplete, "cannot be read"),
        (lambda: repeated(NAMES[1]), DatasetIncomplete, f"twice, '{NAMES[1]}' first"),
        (lambda: repeated("target"), DatasetIncomplete, "twice, 'target' first"),
        (lambda: repeated("era"), DatasetIncomplete, "twice, 'era' first"),
        (lambda: repeated("data_type"), DatasetIncomplete, "twice, 'data_type' first"),
    ],
)  # fmt: skip
def test_files_of_another_kind_are_refused(tmp_path, files, change, error, reason):
    """The error contains the values, columns or order that are not Numerai's, and the store keeps what it had."""
    before = build(tmp_path, files)
    pq.write_table(change(), files[1])
    with pytest.raises(error, match=reason):
        build(tmp_path, files)

    assert same_as(EraStore.open(before.folder), table(1, 5, unresolved=0), table(6, 12))


def changed(name, column):
    """Return the validation file with another column of a name."""
    content = table(6, 12)
    return content.set_column(content.column_names.index(name), name, column)


def repeated(name):
    """Return the validation file with two columns of a name."""
    return table(6, 12).append_column(name, table(6, 12).column("target_ender_20"))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_shape_of_the_files_gives_the_same_store_or_a_refusal(data, tmp_path_factory):
    """Columns in any order, of any type, repeated, added, renamed or dropped keep every value under its name."""
    check_history(data, tmp_path_factory.mktemp("shapes"))


@pytest.mark.parametrize("order", ["reversed", "id last", "shuffled"])
def test_columns_may_stand_in_another_order(tmp_path, files, order):
    """A validation file with its columns in another order than the training file's gives the same store."""
    names = table(6, 12).column_names
    other = {"reversed": names[::-1], "id last": [*names[1:], "id"], "shuffled": sorted(names, key=hash)}[order]
    plain = build(tmp_path / "plain", files)
    pq.write_table(table(6, 12).select(other), files[1])
    store = build(tmp_path, files)

    assert store.folder.name == plain.folder.name
    assert same_as(store, table(1, 5, unresolved=0), table(6, 12))


@pytest.mark.parametrize("kind", sorted(OTHERS))
@pytest.mark.parametrize("prefix", ["", "feature_", "target_"])
def test_columns_that_nobody_reads_change_nothing(tmp_path, files, kind, prefix):
    """A new column of one file, of any type, leaves the store as it was."""
    plain = build(tmp_path, files)
    content = table(6, 12)
    pq.write_table(content.append_column(f"{prefix}new", OTHERS[kind](len(content))), files[1])
    store = build(tmp_path, files)

    assert store.folder == plain.folder
    assert same_as(store, table(1, 5, unresolved=0), table(6, 12))


def test_a_new_column_without_numbers_in_every_file_is_left_out(tmp_path, files):
    """A text column under the prefix of features, in both files, is no feature."""
    for path in files:
        content = pq.read_table(path)
        pq.write_table(content.append_column("feature_text", pa.array(["us"] * len(content))), path)

    assert same_as(build(tmp_path, files), table(1, 5, unresolved=0), table(6, 12))


def test_columns_that_one_file_lacks_are_left_out(tmp_path, files):
    """A feature and a target that one file lacks start a store without them; nothing is refused."""
    pq.write_table(table(6, 12).drop_columns([NAMES[3], TARGETS[1]]), files[1])
    store = build(tmp_path, files)

    assert store.manifest.features == tuple(name for name in NAMES if name != NAMES[3])
    assert store.manifest.targets == (TARGETS[0], TARGETS[2])


@pytest.mark.parametrize("kind", [pa.int32(), pa.float64(), pa.string(), pa.large_string()], ids=str)
def test_eras_may_be_numbers(tmp_path, files, kind):
    """Eras 1, 1.0 and "1" are the era 0001, also beyond 9."""
    for path, content in zip(files, (table(1, 5, unresolved=0), table(6, 12)), strict=True):
        eras = content["era"].cast(pa.int32()).cast(kind)
        pq.write_table(content.set_column(content.column_names.index("era"), "era", eras), path)
    store = build(tmp_path, files)

    assert store.eras == tuple(f"{era:04d}" for era in range(1, 13))
    assert same_as(store, table(1, 5, unresolved=0), table(6, 12))


def test_a_file_without_data_type_is_stored(tmp_path, files):
    """Without the column ``data_type``, eras have the kind of their file."""
    pq.write_table(table(6, 12).drop_columns(["data_type"]), files[1])
    store = build(tmp_path, files)

    assert set(store.kinds[5:]) == {"validation"}
    assert same_as(store, table(1, 5, unresolved=0), table(6, 12))


def test_targets_may_be_unknown_in_every_row(tmp_path, files):
    """A target of nothing but nulls, which has no type, is unknown in every row."""
    content = table(6, 12)
    pq.write_table(changed(TARGETS[1], pa.nulls(len(content))), files[1])
    store = build(tmp_path, files)

    assert np.isnan(store.select((), (TARGETS[1],)).target(7, TARGETS[1])).all()
    assert np.isfinite(store.select((), (TARGETS[1],)).target(2, TARGETS[1])).all()


def test_eras_of_two_files_are_stored_once(tmp_path, files):
    """Eras that the training file holds are left out of the validation file."""
    plain = build(tmp_path / "plain", files)
    pq.write_table(pa.concat_tables([table(4, 5, unresolved=0), table(6, 12)]), files[1])
    store = build(tmp_path, files)

    assert store.eras == plain.eras
    assert same_as(store, table(1, 5, unresolved=0), table(6, 12))


def test_eras_that_move_to_the_training_file_are_stored_once(tmp_path, files):
    """Should Numerai move eras from one file to the other, the store has each of them once, from its new file."""
    build(tmp_path, files)
    pq.write_table(table(1, 8, unresolved=0), files[0])
    moved = build(tmp_path, files)
    pq.write_table(table(9, 12), files[1])
    shorter = build(tmp_path, files)

    for store in (moved, shorter):
        assert same_as(store, table(1, 8, unresolved=0), table(9, 12))
        assert [block.source for block in store.manifest.blocks if "0008" in block.eras] == ["train.parquet"]


def test_an_era_that_was_missing_is_added_in_its_place(tmp_path, files):
    """An era between stored ones is stored in order."""
    pq.write_table(pa.concat_tables([table(6, 8, unresolved=0), table(10, 12)]), files[1])
    build(tmp_path, files)
    pq.write_table(pa.concat_tables([table(6, 8, unresolved=0), table(9, 12)]), files[1])
    store = build(tmp_path, files)

    assert same_as(store, table(1, 5, unresolved=0), table(6, 8, unresolved=0), table(9, 12))


def test_an_era_of_three_rows_is_stored(tmp_path, files):
    """Eras may be as small as one row."""
    content = pa.concat_tables([table(6, 8, unresolved=0).slice(0, 2 * ROWS + 3), table(9, 12)])
    pq.write_table(content, files[1])

    assert same_as(build(tmp_path, files), table(1, 5, unresolved=0), content)


def test_too_many_rows_are_refused_before_they_are_decoded(tmp_path, files):
    """Run-length encoding packs 100 million rows into a small file, which is refused from its footer."""
    rows = 25_000_000
    code = pa.array(np.zeros(rows, np.int8))
    label = pa.DictionaryArray.from_arrays(code, pa.array(["0006"]))
    part = pa.table({"id": label, "era": label, "feature_00": code, "target": pa.array(np.zeros(rows, np.float32))})
    with pq.ParquetWriter(files[1], part.schema) as writer:
        for _ in range(4):
            writer.write_table(part)
    with pytest.raises(DatasetIncomplete, match="100,000,000 rows"):
        build(tmp_path, files)

    assert files[1].stat().st_size < 1 << 21


def test_damaged_files_are_refused_or_stored(tmp_path, files):
    """Of 60 files with a changed byte, each is stored or refused in one line."""
    good, random = files[1].read_bytes(), np.random.default_rng(3)
    for number in range(60):
        bad = bytearray(good)
        bad[random.integers(len(bad))] = int(random.integers(256))
        files[1].write_bytes(bad)
        refusal(build, tmp_path / str(number), files)


def test_truncated_file_is_refused(tmp_path, files):
    """A truncated parquet file is refused."""
    files[1].write_bytes(files[1].read_bytes()[:-40])
    with pytest.raises(DatasetIncomplete, match="cannot be read"):
        build(tmp_path, files)


def test_files_without_targets_are_refused(tmp_path, files):
    """A file without targets, such as a live file, is refused."""
    for path in files:
        pq.write_table(pq.read_table(path).drop_columns(list(TARGETS)), path)
    with pytest.raises(SchemaMismatch, match="9 features and 0 targets of numbers"):
        build(tmp_path, files)
