"""A published file is complete or absent under its own name, in bot and in models."""

import pytest

import models.files
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
