"""A block's file has the appended bytes and their digest."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bot.data.ingest import BlockFile

VALUES = st.sampled_from([np.int8, np.float32]).flatmap(lambda kind: arrays(kind, st.integers(0, 9)))


@given(parts=st.lists(VALUES, max_size=6), kept=st.integers(1, 40))
def test_digest_is_that_of_the_file(tmp_path_factory, parts, kept):
    """The file has the parts in order however often it is dropped from the page cache."""
    path = tmp_path_factory.mktemp("block") / "0.features"
    with pytest.MonkeyPatch.context() as patch, BlockFile(path) as file:
        patch.setattr("bot.data.ingest.FLUSH_BYTES", kept)
        for part in parts:
            file.append(part)
        stored = file.finish()
    content = path.read_bytes()

    assert content == b"".join(part.tobytes() for part in parts)
    assert (stored.name, stored.bytes) == ("0.features", len(content))
    assert stored.sha256 == hashlib.sha256(content).hexdigest()


def test_who_has_the_older_file_mapped_keeps_it(tmp_path):
    """A file of the same name is replaced, not overwritten: its maps keep their content."""
    path = tmp_path / "0.features"
    path.write_bytes(b"older")
    mapped = np.memmap(path, dtype=np.uint8, mode="r")
    with BlockFile(path) as file:
        file.append(np.frombuffer(b"newer", dtype=np.uint8))
        file.finish()

    assert (mapped.tobytes(), path.read_bytes()) == (b"older", b"newer")
