"""The storage of packs: what is listed, fetched and published, and what a dead or hostile one can do."""

import threading
from dataclasses import replace

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from bot.errors import ArtifactInvalid, BadConfig, OperatorNeeded, StorageUnavailable
from bot.packing import look_record, storage
from bot.packing.look_record import LookRecord
from bot.packing.storage import Storage

OLD, NEW = "2026-11-24T120000Z-0001.pack", "2026-12-01T120000Z-0002.pack"


@pytest.fixture(params=["file", "memory"])
def stored(request, tmp_path):
    """A storage on disk, where files are renamed, and one whose files appear as a whole."""
    url = f"file://{tmp_path}/exchange" if request.param == "file" else f"memory://exchange{tmp_path}"
    return Storage(url)


def write(folder, name, content=b"pack"):
    (folder / name).write_bytes(content)
    return folder / name


def test_a_published_pack_is_listed_and_fetched(stored, tmp_path):
    """It comes back byte for byte; a folder that does not exist yet is empty."""
    assert stored.files() == ()
    published = stored.publish(write(tmp_path, NEW, b"content"))
    stored.publish(write(tmp_path, OLD))
    stored.download(published, tmp_path / "fetched")

    assert [one.name for one in stored.files()] == [NEW, OLD]
    assert (tmp_path / "fetched").read_bytes() == b"content"


def test_a_pack_that_is_there_is_not_written_again(stored, tmp_path):
    """The name of a pack belongs to one content."""
    first = stored.publish(write(tmp_path, NEW, b"content"))
    second = stored.publish(write(tmp_path, NEW, b"another"))

    assert first == second


def test_only_names_of_packs_are_listed(tmp_path):
    """Other names, half written files, folders and links are passed over."""
    for name in ("README.md", f".{NEW}.part", "pack", "x.pack", "2026 11.pack", f"{NEW}.gpg"):
        write(tmp_path, name)
    (tmp_path / NEW).mkdir()
    (tmp_path / OLD).symlink_to(tmp_path / "README.md")

    assert Storage(f"file://{tmp_path}").files() == ()


def test_a_larger_file_than_it_says_is_cut(tmp_path, monkeypatch):
    """The limit holds for the size of the listing and for the bytes that come."""
    monkeypatch.setattr(storage, "LARGEST", 8)
    write(tmp_path, NEW, bytes(9))
    (listed,) = Storage(f"file://{tmp_path}").files()

    for one in (listed, replace(listed, size=1)):
        with pytest.raises(ArtifactInvalid, match=NEW):
            Storage(f"file://{tmp_path}").download(one, tmp_path / "fetched")


class Broken(LocalFileSystem):
    """A file system whose library raises something of its own."""

    protocol = "broken"

    def ls(self, path, **_):
        raise ValueError(f"signature of {path} does not match\nagain")


class Hanging(LocalFileSystem):
    """A file system that never answers."""

    protocol = "hanging"

    def ls(self, _path, **_):
        threading.Event().wait()


def test_any_error_of_a_library_is_one_line(tmp_path):
    """Whatever it raises, the command may be tried again."""
    fsspec.register_implementation("broken", Broken, clobber=True)

    with pytest.raises(StorageUnavailable, match="failed: ValueError: signature") as caught:
        Storage(f"broken://{tmp_path}").files()
    assert "\n" not in str(caught.value)


def test_a_storage_that_hangs_is_given_up(tmp_path, monkeypatch):
    """A call has a time limit, whatever the library has."""
    fsspec.register_implementation("hanging", Hanging, clobber=True)
    monkeypatch.setattr(storage, "CALL_S", 0.05)

    with pytest.raises(StorageUnavailable, match=r"gave no answer within 0\.05 s"):
        Storage(f"hanging://{tmp_path}").files()


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("nosuch://folder", BadConfig, "nosuch://folder cannot be used: Protocol not known"),
        ("arrow_hdfs_of_mine://x", BadConfig, "Protocol not known"),
        ("s3://bucket/packs", OperatorNeeded, "s3:// needs a package: Install s3fs"),
    ],
)
def test_a_url_that_cannot_be_used_is_the_operators(url, error, words):
    """An unknown protocol and a missing package are named; exit code 78."""
    with pytest.raises(error, match=words):
        Storage(url)


def test_each_file_is_looked_at_once(tmp_path):
    """A file is new until a look is recorded, and again when its content changes; a refused one where it is asked for."""
    write(tmp_path, NEW)
    (first,) = Storage(f"file://{tmp_path}").files()
    record = LookRecord(tmp_path / "packs.json")
    assert record.is_new(first)
    record.keep(first, "refused", at="2026-12-01")
    write(tmp_path, NEW, b"another content")
    (second,) = Storage(f"file://{tmp_path}").files()
    again = LookRecord(tmp_path / "packs.json")

    assert not again.is_new(first)
    assert again.is_new(first, again=True)
    assert again.is_new(second)


def test_a_look_that_does_not_end_is_counted(tmp_path):
    """A killed look is made again and counted; one that ended, or another content, begins at none."""
    write(tmp_path, NEW)
    (file,) = Storage(f"file://{tmp_path}").files()
    record = LookRecord(tmp_path / "packs.json")
    counts = [LookRecord(tmp_path / "packs.json").begin(file, at="2026-12-01") for _ in range(3)]
    new = LookRecord(tmp_path / "packs.json").is_new(file)
    record.keep(file, "refused", at="2026-12-01")

    assert counts == [0, 1, 2]
    assert new
    assert record.begin(file, at="2026-12-01") == 0
    assert record.begin(replace(file, version="another"), at="2026-12-01") == 0


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"a": {"version": 1}}', '{"a": 1}', "[" * 100_000])
def test_a_damaged_record_begins_anew(tmp_path, content):
    """A record that cannot be read costs a second look only."""
    (tmp_path / "packs.json").write_text(content)
    write(tmp_path, NEW)
    (file,) = Storage(f"file://{tmp_path}").files()

    assert LookRecord(tmp_path / "packs.json").is_new(file)


def test_the_record_does_not_grow_without_end(tmp_path, monkeypatch):
    """Files that are gone are forgotten once the record is long; an empty folder may only not be mounted."""
    write(tmp_path, NEW)
    (file,) = Storage(f"file://{tmp_path}").files()
    record = LookRecord(tmp_path / "packs.json")
    record.keep(file, "taken", at="2026-12-01")
    record.forget_absent([])
    kept = not record.is_new(file)
    monkeypatch.setattr(look_record, "MOST", 0)
    record.forget_absent([])

    assert kept
    assert record.is_new(file)
