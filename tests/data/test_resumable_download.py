"""A download continues only from bytes that the server sent."""

import hashlib

import pytest

from bot.data.transfer import resumable_download
from bot.data.transfer.resumable_download import ResumableDownload

CONTENT = bytes(range(256)) * 4
PIECES = [CONTENT[start : start + 100] for start in range(0, len(CONTENT), 100)]


def broken(pieces):
    """Yield some pieces, then raise as a broken connection does."""
    yield from pieces
    raise ConnectionError


def interrupted(tmp_path, etag='"a"', count=4):
    """Interrupt a download after its first pieces; return the download of the next attempt."""
    part = ResumableDownload(tmp_path / "train.parquet")
    part.restart(etag)
    with pytest.raises(ConnectionError):
        part.write(broken(PIECES[:count]), len(CONTENT), None)
    return ResumableDownload(tmp_path / "train.parquet")


def test_interrupted_download_asks_for_the_rest_of_the_same_content(tmp_path):
    """The next attempt requests the rest of the same content, and returns the digest of the whole."""
    part = interrupted(tmp_path)

    assert part.resume() == {"Range": "bytes=400-", "If-Range": '"a"'}
    assert part.write(PIECES[4:], len(CONTENT), None) == hashlib.sha256(CONTENT).hexdigest()
    assert part.path.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", ["", 'W/"weak"'])
def test_content_without_a_strong_name_is_fetched_anew(tmp_path, etag):
    """Without a strong ETag, the download begins anew."""
    assert interrupted(tmp_path, etag).resume() == {}


def test_no_flipped_bit_of_a_beginning_is_gone_on_from(tmp_path):
    """Bytes that changed on the disk since their arrival are downloaded again."""
    part = interrupted(tmp_path)
    good = part.path.read_bytes()
    resumed = []
    for place in range(0, len(good), 7):
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        part.path.write_bytes(bad)
        resumed.append(part.resume())

    assert resumed == [{}] * len(resumed)


def test_bytes_after_the_last_note_are_fetched_again(tmp_path):
    """After a power cut, only the noted bytes are kept."""
    part = interrupted(tmp_path)
    part.path.write_bytes(part.path.read_bytes() + b"torn")

    assert part.resume()["Range"] == "bytes=400-"
    part.write(PIECES[4:], len(CONTENT), None)
    assert part.path.read_bytes() == CONTENT


def test_killed_before_publishing_goes_on_from_the_last_note(tmp_path, monkeypatch):
    """A download that was complete but not published never requests an empty range."""
    monkeypatch.setattr(resumable_download, "NOTE_EVERY", 300)
    part = ResumableDownload(tmp_path / "train.parquet")
    part.restart('"a"')
    part.write(PIECES, len(CONTENT), None)

    assert ResumableDownload(tmp_path / "train.parquet").resume()["Range"] == "bytes=900-"
