"""The era store survives interruptions, and damage is found."""

import errno
import os
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from bot.data.era_store import EraStore
from bot.data.file_record import FileRecord
from bot.data.ingest import BlockFile, update
from bot.errors import DatasetIncomplete, OperatorNeeded
from tests.data.store_files import build, content, small_blocks, table, write_files


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    small_blocks(monkeypatch)


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


@pytest.mark.parametrize("writes", [1, 5, 20, 29])
@pytest.mark.parametrize(("owner", "call"), [(BlockFile, "append"), (os, "fsync")], ids=["append", "fsync"])
def test_full_disk_loses_nothing(tmp_path, files, monkeypatch, owner, call, writes):
    """A disk that fills at any write raises OperatorNeeded; published blocks stay, and a rerun completes the store."""
    whole = content(update(tmp_path / "other", files, version="v5.3"))
    real, left = getattr(owner, call), [writes]

    def fills(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, fills)
        with pytest.raises(OperatorNeeded, match="the disk is full"):
            build(tmp_path, files)
    folders = [folder for folder in (tmp_path / "store").iterdir() if (folder / "manifest.json").exists()]
    held = [content(EraStore.open(folder)) for folder in folders]

    assert all(part == whole[: len(part)] for part in held)
    assert content(build(tmp_path, files)) == whole


def test_too_little_room_is_said_beforehand(tmp_path, files, monkeypatch):
    """The error contains the needed and the free bytes, and nothing is written."""
    monkeypatch.setattr("bot.data.ingest.shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    with pytest.raises(OperatorNeeded, match=r"needs [\d,]+ bytes .* 100 are free"):
        build(tmp_path, files)


def test_no_flipped_bit_of_a_store_is_used(tmp_path, files):
    """A flipped bit in any file is found by opening or verifying the store."""
    store = build(tmp_path, files)
    random = np.random.default_rng(5)
    paths = sorted(path for path in store.folder.rglob("*") if path.is_file())
    used = 0
    for number in range(400):
        path = paths[number % len(paths)]
        good = path.read_bytes()
        bad = bytearray(good)
        bad[random.integers(len(bad))] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        try:
            EraStore.open(store.folder).verify()
            used += 1
        except DatasetIncomplete:
            pass
        path.write_bytes(good)

    assert used == 0


@pytest.mark.parametrize("part", ["features", "targets", "ids"])
def test_damaged_block_is_made_anew_by_the_next_update(tmp_path, files, part):
    """A block with a flipped bit is removed, and the next update completes the store."""
    store = build(tmp_path, files)
    whole, second = content(store), store.manifest.blocks[1]
    path = store.folder / "blocks" / second.files[part].name
    bad = bytearray(path.read_bytes())
    bad[7] ^= 1
    path.write_bytes(bad)
    with pytest.raises(DatasetIncomplete, match="is removed; run `bot sync`"):
        EraStore.open(store.folder).verify()
    repaired = build(tmp_path, files)
    repaired.verify()

    assert content(repaired) == whole
    assert repaired.manifest.blocks[0] == store.manifest.blocks[0]


def test_verified_store_survives_a_later_update(tmp_path, files):
    """Verified files stay readable when a sync replaces them."""
    store = build(tmp_path, files)
    store.verify()
    before = content(store)
    pq.write_table(table(6, 15, unresolved=0), files[1])
    build(tmp_path, files)

    assert not all((store.folder / "blocks" / file.name).exists() for file in store.files())
    assert content(store) == before


def test_no_flipped_bit_of_a_file_is_used(tmp_path, files):
    """A file that changed since its download is removed and not stored."""
    expected = {path.name: FileRecord.of(path) for path in files}
    bad = bytearray(files[1].read_bytes())
    bad[len(bad) // 2] ^= 4
    files[1].write_bytes(bad)
    with pytest.raises(DatasetIncomplete, match="damaged since its download"):
        build(tmp_path, files, expected=expected)

    assert not files[1].exists()


@pytest.mark.parametrize("columns", ["features", "targets"])
def test_a_manifest_with_a_repeated_column_is_damaged(tmp_path, files, columns):
    """A store that lists a column twice is refused, whatever its digest: values would be those of another column."""
    store = build(tmp_path, files)
    names = getattr(store.manifest, columns)
    twice = replace(store.manifest, **{columns: (*names[:-1], names[0])})
    (store.folder / "manifest.json").write_text(twice.to_json())
    with pytest.raises(DatasetIncomplete, match="is damaged"):
        EraStore.open(store.folder)


def test_damaged_manifest_is_rebuilt(tmp_path, files):
    """A store with a damaged manifest is written anew."""
    store = build(tmp_path, files)
    whole = content(store)
    (store.folder / "manifest.json").write_text("{")

    assert content(build(tmp_path, files)) == whole
