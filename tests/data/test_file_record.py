"""Digests piece by piece: what has not changed is not read, and what is read was compared before."""

import hashlib
import os
from datetime import UTC, datetime, timedelta

import pyarrow.parquet as pq
import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.data._parquet import ParquetSource
from bot.data.era_store import EraStore
from bot.data.file_record import FileRecord
from bot.errors import DatasetIncomplete
from tests.data.store_files import ROWS, build, content, small_blocks, table, write_files

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Make pieces of 256 bytes and blocks of three eras."""
    monkeypatch.setattr("bot.data.file_record.PIECE", 256)
    small_blocks(monkeypatch)


@pytest.fixture
def files(tmp_path):
    """Paths of a train and a validation file; the latter has a row group for each two eras."""
    paths = write_files(tmp_path)
    grow(paths[1], 16)
    return paths


def grow(path, last, **options):
    """Write the validation file up to era *last*."""
    pq.write_table(table(6, last, **options), path, row_group_size=2 * ROWS)


def records(files, *, checked=0.0):
    """Return the record of each file."""
    return {path.name: FileRecord.of(path).published(path, checked=checked) for path in files}


def flip(path, place, *, keep_times=False):
    """Flip a bit of a file."""
    about = path.stat()
    bad = bytearray(path.read_bytes())
    bad[place] ^= 4
    path.write_bytes(bad)
    if keep_times:
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(last=st.integers(12, 20), more=st.integers(0, 5), unresolved=st.integers(0, 9), then=st.integers(0, 9))
def test_a_store_follows_each_version_of_its_file(tmp_path_factory, last, more, unresolved, then):
    """After any growth of the file, the store is the one that is written from the new version alone."""
    folder = tmp_path_factory.mktemp("grown")
    files = write_files(folder)
    grow(files[1], last, unresolved=unresolved)
    build(folder, files, expected=records(files))
    grow(files[1], last + more, unresolved=then)
    grown = build(folder, files, expected=records(files))

    assert content(grown) == content(build(folder / "anew", files))


def test_the_unchanged_part_is_not_read(tmp_path, files, monkeypatch):
    """Of a newer version, the rows from the first changed row group on are decoded."""
    build(tmp_path, files, expected=records(files))
    grow(files[1], 17)
    starts, read = [], ParquetSource._read
    monkeypatch.setattr(
        ParquetSource, "_read", lambda self, names, start, stop: starts.append(start) or read(self, names, start, stop)
    )
    build(tmp_path, files, expected=records(files))

    # The targets of era 15 are new, which shares a row group with era 14; era 13 might have gone on in it.
    assert min(starts) == 7 * ROWS


def test_a_flipped_bit_in_the_new_part_is_found(tmp_path, files):
    """The new part is compared with its digests although the file has the marks of its last check."""
    build(tmp_path, files, expected=records(files))
    grow(files[1], 17)
    known = records(files)
    place = pq.read_metadata(files[1]).row_group(5).column(0).dictionary_page_offset + 9
    flip(files[1], place)
    now = {path.name: known[path.name].published(path, checked=NOW.timestamp()) for path in files}
    with time_machine.travel(NOW, tick=False), pytest.raises(DatasetIncomplete, match="damaged since its download"):
        build(tmp_path, files, expected=now)

    assert not files[1].exists()


def test_a_flipped_bit_in_the_kept_part_is_found_before_it_is_read(tmp_path, files):
    """Damage that leaves no mark does not reach the store, and is found when the store is written anew."""
    store = build(tmp_path, files, expected=records(files))
    known = records(files)
    flip(files[1], 40)
    now = {path.name: known[path.name].published(path, checked=NOW.timestamp()) for path in files}
    with time_machine.travel(NOW, tick=False):
        assert content(build(tmp_path, files, expected=now)) == content(store)
        (store.folder / "manifest.json").unlink()
        with pytest.raises(DatasetIncomplete, match="damaged since its download"):
            build(tmp_path, files, expected=now)


def test_a_damaged_record_of_the_store_costs_a_comparison_only(tmp_path, files):
    """Without the record of the file's version before, the store is compared from the first row on."""
    build(tmp_path, files, expected=records(files))
    flip(tmp_path / "stored.bin", 20)
    grow(files[1], 18)
    store = build(tmp_path, files, expected=records(files))

    assert content(store) == content(build(tmp_path / "anew", files))


@pytest.mark.parametrize(("days", "untouched"), [(0, True), (29, True), (31, False), (-1, False)])
def test_a_file_is_read_whole_once_a_month(files, days, untouched):
    """Unchanged marks are trusted for a month, and not by a clock that went back."""
    with time_machine.travel(NOW, tick=False):
        record = FileRecord.of(files[0]).published(files[0], checked=NOW.timestamp())
    with time_machine.travel(NOW + timedelta(days=days), tick=False):
        assert record.is_untouched(files[0]) == untouched


@pytest.mark.parametrize("keep_times", [False, True])
def test_a_written_file_is_not_untouched(files, keep_times):
    """A write changes the marks, even if the time of the content is set back."""
    with time_machine.travel(NOW, tick=False):
        record = FileRecord.of(files[0]).published(files[0], checked=NOW.timestamp())
        os.utime(files[0], ns=(0, 0))
        flip(files[0], 40, keep_times=keep_times)

        assert not record.is_untouched(files[0])
        assert record.read(files[0]) is None


def test_a_record_of_an_earlier_version_gets_pieces(files):
    """A digest of the whole file is compared once, and the record has pieces from then on."""
    content = files[0].read_bytes()
    entry = {"bytes": len(content), "etag": "a", "sha256": hashlib.sha256(content).hexdigest()}
    record = FileRecord.from_entry(entry)

    read = record.read(files[0])

    assert record.pieces == ()
    assert read.pieces == FileRecord.of(files[0]).pieces
    assert FileRecord.from_entry(read.to_entry()) == read


def test_the_store_opens(tmp_path, files):
    """The record of taken files is no part of the store."""
    store = build(tmp_path, files, expected=records(files))

    assert content(EraStore.open(store.folder)) == content(store)
