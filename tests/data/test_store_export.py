"""An export holds the store's values, and one that was cut off anywhere continues to the same bytes."""

import errno
import json
from hashlib import sha256

import numpy as np
import polars as pl
import pytest

from bot.data import store_export
from bot.data.era_store import EraStore
from bot.data.store_export import FORMATS, MANIFEST, Export, every_nth, export
from bot.data.store_views import polars_frame
from bot.errors import BadConfig, DatasetIncomplete, StateUnwritable
from bot.system import files as system_files
from tests.data.store_files import NAMES, ROWS, TARGETS, build, small_blocks, write_files


@pytest.fixture
def store(tmp_path, monkeypatch) -> EraStore:
    small_blocks(monkeypatch)
    monkeypatch.setattr(store_export, "PART_ROWS", 2 * ROWS)
    return build(tmp_path, write_files(tmp_path))


def plan(store, file_format="parquet", every=2, features=NAMES[2:7]):
    columns = store.select(features, TARGETS[:2])
    return Export(columns=columns, positions=every_nth(store, every), file_format=file_format)


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def read(folder, file_format):
    """Return an export as one frame, read with the format's own library."""
    if file_format == "parquet":
        return pl.read_parquet(folder / "*.parquet")
    arrays = {
        name: np.concatenate([np.load(one) for one in sorted(folder.glob(f"*.{name}.npy"))])
        for name in ("eras", "ids", "features", "targets")
    }
    labels = {"era": arrays["eras"].astype(str), "id": arrays["ids"].astype(str)}
    values = dict(zip(NAMES[2:7], arrays["features"].T, strict=True)) | dict(
        zip(TARGETS[:2], arrays["targets"].T, strict=True)
    )
    return pl.DataFrame(labels | values)


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_export_holds_the_chosen_columns_and_eras(store, tmp_path, file_format):
    """Every second era, the newest among them, has the values of the store; the manifest lists each file's sha256."""
    wanted = plan(store, file_format)
    manifest = export(wanted, tmp_path / "out")
    files = {name: file for part in manifest["parts"] for name, file in part["files"].items()}

    assert wanted.positions[-1] == len(store.eras) - 1
    assert read(tmp_path / "out", file_format).equals(polars_frame(wanted.columns, wanted.positions))
    assert json.loads((tmp_path / "out" / MANIFEST).read_text()) == manifest
    assert manifest["complete"]
    assert len(manifest["parts"]) == 3
    assert {*files, MANIFEST} == {*content(tmp_path / "out")}
    for name, file in files.items():
        assert sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == file["sha256"]


class Cut(BaseException):
    """The process is killed here."""


@pytest.mark.parametrize("file_format", FORMATS)
def test_an_export_cut_off_at_any_step_continues_to_the_same_bytes(store, tmp_path, monkeypatch, file_format):
    """Killed before each write, after it, and before each rename, and run again, it equals one made in one go."""
    export(plan(store, file_format), tmp_path / "whole")
    whole, point, cuts = content(tmp_path / "whole"), system_files.kill_point, 0

    for number in range(1, 200):
        left = number

        def cut(name):
            nonlocal left
            left -= 1
            if left == 0:
                raise Cut(name)
            return point(name)

        folder = tmp_path / f"cut-{number}"
        with monkeypatch.context() as patched:
            patched.setattr(system_files, "kill_point", cut)
            try:
                export(plan(store, file_format), folder)
            except Cut:
                cuts += 1
        export(plan(store, file_format), folder)

        assert content(folder) == whole, f"cut {number}"
        if left > 0:
            break

    assert cuts >= 4 * len(whole) - 4


def test_finished_parts_are_not_written_again(store, tmp_path):
    """A second run writes nothing; a part that was damaged or deleted is made again."""
    folder = tmp_path / "out"
    export(plan(store), folder)
    before, times = content(folder), {one.name: one.stat().st_mtime_ns for one in folder.iterdir()}
    export(plan(store), folder)
    untouched = {one.name: one.stat().st_mtime_ns for one in folder.iterdir()}
    (folder / "part-00001.parquet").write_bytes(b"damage")
    export(plan(store), folder)

    assert untouched == times
    assert content(folder) == before


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_done(store, tmp_path, monkeypatch, number):
    """The error names the file; no staging file stays; the finished parts do, and the next run completes the export."""
    folder, sync = tmp_path / "out", system_files.os.fsync
    calls = iter(range(1_000))

    def full(descriptor):
        if next(calls) == 6:
            raise OSError(number, "the disk refuses")
        sync(descriptor)

    export(plan(store), tmp_path / "whole")
    with monkeypatch.context() as patched:
        patched.setattr(system_files.os, "fsync", full)
        with pytest.raises(StateUnwritable) as refused:
            export(plan(store), folder)
    left = sorted(content(folder))
    export(plan(store), folder)

    assert "finished parts stay" in str(refused.value)
    assert "part-00000.parquet" in left
    assert not [name for name in left if name.startswith(".")]
    assert content(folder) == content(tmp_path / "whole")


def test_another_export_is_not_overwritten(store, tmp_path):
    """A folder of other columns, of other data or of a person's own files is refused, and stays as it is."""
    export(plan(store), tmp_path / "out")
    before = content(tmp_path / "out")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "mine.parquet").write_bytes(b"mine")

    with pytest.raises(BadConfig, match="other features"):
        export(plan(store, features=NAMES[:2]), tmp_path / "out")
    with pytest.raises(BadConfig, match="holds other data"):
        export(plan(store), tmp_path / "own")
    assert content(tmp_path / "out") == before


def test_a_damaged_store_is_not_exported(store, tmp_path):
    """A block that differs from its recorded sha256 ends the export before a part of it is written."""
    path = store.folder / "blocks" / store.manifest.blocks[1].files["features"].name
    damaged = bytearray(path.read_bytes())
    damaged[5] ^= 1
    path.write_bytes(bytes(damaged))

    with pytest.raises(DatasetIncomplete, match="differed from its recorded sha256"):
        export(plan(store, every=1), tmp_path / "out")
    assert "part-00002.parquet" not in content(tmp_path / "out")
