"""Small packs, sound and hostile, signed by a key of the test."""

import hashlib
import io
import tarfile
from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bot.packing import pack_file
from bot.packing.keys import public_bytes
from bot.serving.artifacts import ArtifactStore
from tests.serving.manifests import manifest

KEY, FOREIGN = Ed25519PrivateKey.from_private_bytes(b"k" * 32), Ed25519PrivateKey.from_private_bytes(b"f" * 32)
TRUSTED = {public_bytes(KEY)}
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ERAS = {"train": ["0001", "0100"], "validation": ["0120", "0140"], "holdout": ["0160", "0200"], "newest": "0210"}


def artifact(folder, *, at=NOW, files=None, **more):
    """Write an artifact without models."""
    content = {"gbm.txt": b"tree", "judged-gbm.txt": b"younger tree", "evaluation.json": b"{}"} | (files or {})
    return ArtifactStore(folder).write(files=content, manifest=manifest(eras=ERAS, **more), at=at)


def packed(folder, *, key=KEY, **more):
    """Write an artifact and its pack; return the path of the pack."""
    one = artifact(folder / "artifacts", **more)
    path = folder / f"{one.id}.pack"
    pack_file.pack(one, path, key)
    return path


def signed(body: bytes, *, key=KEY, number=pack_file.FORMAT, size=None) -> bytes:
    """Return a pack with any body, whose signature is right."""
    sha256 = hashlib.sha256(body).digest()
    head = pack_file._SIGNED.pack(
        pack_file.MAGIC, number, public_bytes(key), len(body) if size is None else size, sha256
    )
    return head + key.sign(head) + body


def archive(path, *further: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return the body of a pack with further entries."""
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes()[pack_file.HEAD :])) as sound:
        entries = [(one, sound.extractfile(one).read()) for one in sound]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as changed:
        for entry, content in (*entries, *further):
            changed.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def entry(name: str, content: bytes = b"x", kind: bytes = tarfile.REGTYPE, link: str = "") -> tuple:
    """Return an entry of an archive."""
    about = tarfile.TarInfo(name)
    about.type, about.linkname = kind, link
    about.size = len(content) if kind == tarfile.REGTYPE else 0
    return about, content
