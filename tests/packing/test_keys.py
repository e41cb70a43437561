"""The signing key: made once, readable by its owner only; public keys as a person writes them."""

import stat
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import BadConfig
from bot.packing.keys import make_key, public_bytes, read_key
from bot.packing.public_keys import from_text, to_text


def test_a_new_key_is_private_and_read_again(tmp_path):
    """The file has mode 0600 from the start, and the same public half."""
    public = make_key(tmp_path / "state" / "signing.key")
    path = tmp_path / "state" / "signing.key"

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_bytes(read_key(path)) == public


def test_an_existing_key_is_never_replaced(tmp_path):
    """Neither a file nor a link that lies there is written to."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "signing.key").symlink_to(tmp_path / "victim")

    with pytest.raises(BadConfig, match="exists already"):
        make_key(tmp_path / "signing.key")
    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize(("mode", "ok"), [(0o600, True), (0o440, True), (0o644, False), (0o660, False)])
def test_a_key_that_others_can_use_is_refused(tmp_path, mode, ok):
    """The owner and, read-only, the group of a mounted secret may read it, and nobody else."""
    path = tmp_path / "signing.key"
    make_key(path)
    path.chmod(mode)

    if ok:
        assert read_key(path)
    else:
        with pytest.raises(BadConfig, match=f"has mode {mode:o}; others must not use it: chmod 600 it"):
            read_key(path)


@pytest.mark.parametrize("content", [b"", b"no key", b"\xff" * 5000])
def test_a_file_without_a_key_is_named(tmp_path, content):
    """A file that holds something else, and an absent one, are one line."""
    (tmp_path / "signing.key").write_bytes(content)
    (tmp_path / "signing.key").chmod(0o600)

    with pytest.raises(BadConfig, match=r"signing\.key holds no signing key"):
        read_key(tmp_path / "signing.key")
    with pytest.raises(BadConfig, match="make one with `bot pack --new-key`"):
        read_key(tmp_path / "absent")


@given(st.binary(min_size=32, max_size=32))
def test_a_public_key_is_one_word(key):
    """Text and bytes are each other's inverse."""
    assert from_text(to_text(key)) == key
    assert len(to_text(key).split()) == 1


@given(st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9+/]{43}=", fullmatch=True))
def test_any_other_text_is_no_public_key(text):
    """Text is read as the key whose text it is, or refused."""
    with suppress(ValueError):
        assert to_text(from_text(text)) == text
