"""A published file is complete or absent under its own name, in bot and in models."""

import errno
import os

import pytest

import models.files
from bot.errors import StateForbidden, StateUnwritable
from bot.system import files


@pytest.fixture(params=[files.publish, models.files.publish], ids=["bot", "models"])
def publish(request):
    return request.param


def test_a_file_appears_with_its_folder(publish, tmp_path):
    """The folder is made, and no temporary file stays."""
    publish(tmp_path / "folder" / "file", b"content")

    assert (tmp_path / "folder" / "file").read_bytes() == b"content"
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["file"]


def test_content_may_be_written_piece_by_piece(publish, tmp_path):
    """A function writes the content to the open file, in place of an older file."""
    publish(tmp_path / "file", b"old")
    publish(tmp_path / "file", lambda file: file.writelines((b"one", b"two")))

    assert (tmp_path / "file").read_bytes() == b"onetwo"


def test_a_failed_write_leaves_the_older_file(publish, tmp_path):
    """On a full disk the older file stays, and the temporary one is removed."""

    def fail(file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    publish(tmp_path / "file", b"old")
    with pytest.raises(OSError, match="No space left"):
        publish(tmp_path / "file", fail)

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("file", b"old")]


def test_every_flipped_bit_of_a_sealed_file_is_found():
    """The digest covers the content and itself."""
    sealed = files.seal(b"content")

    assert files.unseal(sealed) == b"content"
    for bit in range(8 * len(sealed)):
        damaged = bytearray(sealed)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="digest"):
            files.unseal(bytes(damaged))


@pytest.mark.parametrize(
    ("number", "error", "words"),
    [
        (errno.ENOSPC, StateUnwritable, "the disk is full"),
        (errno.EDQUOT, StateUnwritable, "quota"),
        (errno.EMFILE, StateUnwritable, "ulimit -n"),
        (errno.ENFILE, StateUnwritable, "fs.file-max"),
        (errno.EIO, StateUnwritable, "the disk fails"),
        (errno.ENOTDIR, StateForbidden, "a file lies where a folder belongs"),
        (errno.EEXIST, StateForbidden, "move it away"),
        (errno.ENAMETOOLONG, StateUnwritable, "File name too long"),
        (errno.EROFS, StateForbidden, "read-only"),
        (errno.EACCES, StateForbidden, f"the bot runs as uid {os.geteuid()}"),
        (errno.EPERM, StateForbidden, f"the bot runs as uid {os.geteuid()}"),
    ],
)
def test_an_error_of_the_system_names_its_cause(tmp_path, number, error, words):
    """Each number gets its own cause; only a full disk is called full."""
    path = tmp_path / "rounds" / "file"
    found = files.state_error(tmp_path, OSError(number, os.strerror(number), str(path)))

    assert type(found) is error
    assert words in str(found)
    assert str(path) in str(found)
    assert "\n" not in str(found)
    assert ("full" in str(found)) == (number == errno.ENOSPC)


def test_a_refused_folder_is_shown_with_its_owner(tmp_path):
    """The nearest folder that exists is named with owner and mode."""
    tmp_path.chmod(0o555)
    found = files.state_error(tmp_path, PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "a" / "b")))

    assert f"{tmp_path} belongs to uid {os.getuid()} with mode 555" in str(found)


def test_an_error_without_a_file_name_is_reported_with_the_folder_in_use(tmp_path):
    """The path that the caller was working on stands in for a missing file name."""
    assert str(tmp_path) in str(files.state_error(tmp_path, OSError(errno.EIO, "Input/output error")))


def test_a_folder_that_cannot_be_written_is_found(tmp_path, monkeypatch):
    """The refusal names the file or the folder that this process cannot write."""
    monkeypatch.setattr(os, "access", lambda path, _mode: path != tmp_path)

    assert files.refusal(tmp_path / "ledger.sqlite").filename == str(tmp_path)
    assert files.refusal(tmp_path / "folder" / "ledger.sqlite").errno == errno.EACCES


def test_a_folder_that_can_be_written_is_not_refused(tmp_path):
    """Without a refusal there is no error."""
    assert files.refusal(tmp_path / "folder" / "ledger.sqlite") is None
