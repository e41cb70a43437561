"""
Write an artifact as one signed file, and read such a file that may come from anybody.

::

    magic      16 bytes    b"numerai-bot pack"
    format      4 bytes    FORMAT
    key        32 bytes    public key of the signature
    size        8 bytes    length of the body
    sha256     32 bytes    of the body
    signature  64 bytes    ed25519, of everything above
    body                   an uncompressed tar of ``manifest.json`` and the files that it lists

Numbers are big-endian. A reader checks the head, whose length is fixed, then the signature, then the body's length and
sha256. Only then is the body parsed. Nothing is compressed, so no small file unpacks into a large one.
"""

import hashlib
import json
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bot.errors import ArtifactInvalid, BadConfig
from bot.members import registry
from bot.packing.keys import public_bytes
from bot.packing.public_keys import to_text
from bot.serving.artifacts import FORMAT as ARTIFACT_FORMAT
from bot.serving.artifacts import MANIFEST, Artifact, ArtifactStore
from bot.serving.names import ELSEWHERE
from bot.serving.scorer import members_of
from bot.system.file_names import is_file_name, shown
from bot.system.files import publish

MAGIC = b"numerai-bot pack"
FORMAT = 1
"""Format of the file that this bot writes and reads."""

SUFFIX = ".pack"
"""End of the name of a pack."""

LARGEST = 4 << 30
"""Largest pack in bytes. An artifact of the recipe `standard` takes tens of megabytes."""

MOST_FILES = 500
"""Most files of an artifact: a member takes two, and twice as many where it was refitted."""

LARGEST_MANIFEST = 16 << 20
LARGEST_ARRAYS = 1 << 30
"""Most bytes that the arrays of one ``.npz`` file take in memory. Its parts are compressed."""

_CHUNK = 1 << 20
_SIGNED = struct.Struct(">16sI32sQ32s")
_SIGNATURE = 64
HEAD = _SIGNED.size + _SIGNATURE
"""Length of the head in bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """
    Head of a pack whose signature is that of a trusted key.

    Attributes:
        key: Public key of the signature.
        size: Length of the body in bytes.
        sha256: Digest of the body.
    """

    key: bytes
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """
    An artifact of a trusted pack.

    Attributes:
        artifact: The artifact in the folder that it was unpacked to; its files match its manifest.
        key: Public key that signed it.
    """

    artifact: Artifact
    key: bytes


class _Writes(Protocol):
    def write(self, content: bytes, /) -> object: ...


class _Hashing:
    """Passes on what is written, counts and hashes it."""

    def __init__(self, file: _Writes) -> None:
        self._file, self.size, self._sha256 = file, 0, hashlib.sha256()

    def write(self, content: bytes) -> int:
        """Write *content*; return its length."""
        self._file.write(content)
        self._sha256.update(content)
        self.size += len(content)
        return len(content)

    @property
    def digest(self) -> bytes:
        """Return the sha256 of everything that was written."""
        return self._sha256.digest()


def pack(artifact: Artifact, path: Path, key: Ed25519PrivateKey) -> None:
    """
    Write a verified artifact to a signed file; equal artifacts give equal bodies.

    Args:
        artifact: The artifact, with its evaluation and its judged members.
        path: File to write, in one atomic step.
        key: Key that signs it.

    Raises:
        BadConfig: The artifact cannot be judged elsewhere, or has a program; the message says why.
    """
    refuse_unjudgeable(artifact)
    names = [MANIFEST, *sorted(artifact.manifest["files"])]
    size = sum(artifact.path(name).stat().st_size for name in names)
    if len(names) > MOST_FILES or size > LARGEST - (len(names) + 20) * 2 * tarfile.BLOCKSIZE:
        raise BadConfig(
            f"artifact {artifact.id} has {len(names)} files of {size >> 20:,} MiB; a pack holds {MOST_FILES} files of"
            f" {LARGEST >> 20:,} MiB"
        )

    def write(file: BinaryIO) -> None:
        file.write(bytes(HEAD))
        body = _Hashing(file)
        with tarfile.open(fileobj=body, mode="w|") as archive:  # type: ignore[call-overload]  # it only writes
            for name in names:
                about = tarfile.TarInfo(name)
                about.size, about.mode = artifact.path(name).stat().st_size, 0o644
                with artifact.path(name).open("rb") as content:
                    archive.addfile(about, content)
        signed = _SIGNED.pack(MAGIC, FORMAT, public_bytes(key), body.size, body.digest)
        file.seek(0)
        file.write(signed + key.sign(signed))

    publish(path, write)


def unpack(path: Path, trusted: Collection[bytes], folder: Path) -> Unpacked:
    """
    Verify a pack and write its artifact below an empty folder.

    Args:
        path: File from anywhere.
        trusted: Public keys whose packs are taken.
        folder: Private folder for the body and the artifact.

    Raises:
        ArtifactInvalid: The file is no pack, is cut off or changed, has a format that this bot does not read, is signed by
            another key, or holds something else than a whole artifact.
        BadConfig: The artifact cannot be judged here, or no key is trusted.
    """
    if not trusted:
        raise BadConfig("BOT_TRUSTED_KEYS is not set; set it to the public key that `bot pack --new-key` printed")
    body = folder / "body.tar"
    with _open(path) as file:
        head = _read_head(path.name, file, trusted)
        with body.open("xb") as private:
            _copy_body(path.name, file, head, private)
    artifact = _extract(path.name, body, folder)
    body.unlink()
    refuse_unjudgeable(artifact)
    return Unpacked(artifact=artifact, key=head.key)


def refuse_unjudgeable(artifact: Artifact) -> None:
    """
    Refuse an artifact that no other machine can judge, and one that would bring along a program.

    A machine that trains, such as a rented one, can sign anything. It must not thereby run programs where the API key is.

    Raises:
        BadConfig: The artifact was adopted, has another format, or a member is a program or of an unknown kind.
    """
    number = artifact.manifest.get("format", 0)
    if number != ARTIFACT_FORMAT:
        raise BadConfig(
            f"artifact {artifact.id} has format {number}, and packs hold format {ARTIFACT_FORMAT}; train a new one with"
            " `bot retrain`"
        )
    eras = artifact.manifest.get("eras")
    if artifact.manifest.get(ELSEWHERE) or not isinstance(eras, dict) or "holdout" not in eras:
        raise BadConfig(
            f"artifact {artifact.id} was adopted, so no hold-out can judge it; run `bot adopt` on the other machine"
        )
    for member in members_of(artifact.manifest):
        if registry.find(member.kind).needs(member).files:
            raise BadConfig(
                f"artifact {artifact.id}: member {member.name} is a program, which no pack holds; run `bot adopt` or"
                " `bot retrain` on the other machine"
            )


def _open(path: Path) -> BinaryIO:
    """Open a regular file of a possible size."""
    try:
        # A pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except FileNotFoundError:
        raise BadConfig(f"there is no file {path}") from None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or not HEAD <= about.st_size <= LARGEST:
        os.close(descriptor)
        raise ArtifactInvalid(f"{shown(path.name)} is no pack: it is not a file of {HEAD} bytes to {LARGEST >> 30} GiB")
    return os.fdopen(descriptor, "rb")


def _read_head(name: str, file: BinaryIO, trusted: Collection[bytes]) -> _Head:
    """Read the head and verify its signature."""
    signed, signature = file.read(_SIGNED.size), file.read(_SIGNATURE)
    magic, number, key, size, sha256 = _SIGNED.unpack(signed)
    if magic != MAGIC:
        raise ArtifactInvalid(f"{shown(name)} is no pack of this bot; make one with `bot pack`")
    if number != FORMAT:
        older = "pack it anew there" if number < FORMAT else "update this bot"
        raise ArtifactInvalid(f"{shown(name)} has format {number}, and this bot reads format {FORMAT}; {older}")
    if key not in trusted:
        raise ArtifactInvalid(
            f"{shown(name)} is signed by {to_text(key)}, which BOT_TRUSTED_KEYS does not name; add it only if it is yours"
        )
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed)
    except (InvalidSignature, ValueError):
        raise ArtifactInvalid(
            f"{shown(name)} has a wrong signature: it was changed or damaged; fetch it again"
        ) from None
    return _Head(key=key, size=size, sha256=sha256)


def _copy_body(name: str, file: BinaryIO, head: _Head, private: BinaryIO) -> None:
    """Copy the body to a file that nobody else can change, and compare it with the head."""
    actual = os.fstat(file.fileno()).st_size - HEAD
    if actual != head.size:
        what = "is cut off" if actual < head.size else "goes on after its end"
        raise ArtifactInvalid(f"{shown(name)} {what}: {actual:,} of {head.size:,} bytes; fetch it again")
    copied = _Hashing(private)
    while chunk := file.read(min(_CHUNK, head.size - copied.size)):
        copied.write(chunk)
    if copied.digest != head.sha256:
        raise ArtifactInvalid(f"{shown(name)} was changed or damaged after it was signed; fetch it again")


def _extract(name: str, body: Path, folder: Path) -> Artifact:
    """Write the files of a body below *folder* and verify them as an artifact."""
    incoming = folder / ".incoming"
    incoming.mkdir()
    try:
        with tarfile.open(body, "r:") as archive:
            _extract_files(name, archive, incoming)
        manifest = json.loads((incoming / MANIFEST).read_bytes())
        identity, listed = str(manifest["id"]), set(manifest["files"])
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
            raise  # of the disk
        raise ArtifactInvalid(f"{shown(name)} holds no artifact; pack it anew") from None
    found = {one.name for one in incoming.iterdir()}
    if further := sorted(found - listed - {MANIFEST}):
        raise ArtifactInvalid(f"{shown(name)} holds {shown(further[0])!r}, which its artifact does not list")
    store = ArtifactStore(folder)
    incoming.rename(store.folder(identity))
    artifact = store.open(identity)
    for file in listed:
        if file.endswith(".npz"):
            _refuse_large_arrays(artifact, file)
    return artifact


def _extract_files(name: str, archive: tarfile.TarFile, folder: Path) -> None:
    """Write the plain files of an archive, each under its own name."""
    for count, entry in enumerate(archive):
        if count == MOST_FILES:
            raise ArtifactInvalid(f"{shown(name)} holds more than {MOST_FILES} files")
        # A sparse file would be larger than the pack; links, devices and folders have no place in an artifact.
        plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()
        if not plain or not is_file_name(entry.name) or (folder / entry.name).exists():
            raise ArtifactInvalid(f"{shown(name)} holds {shown(entry.name)!r}, which is no plain file of an artifact")
        if entry.name == MANIFEST and entry.size > LARGEST_MANIFEST:
            raise ArtifactInvalid(f"{shown(name)} holds a {MANIFEST} of {entry.size >> 20} MiB")
        content = archive.extractfile(entry)
        with (folder / entry.name).open("xb") as target:
            while content is not None and (chunk := content.read(_CHUNK)):
                target.write(chunk)


def _refuse_large_arrays(artifact: Artifact, name: str) -> None:
    """Refuse a file of compressed arrays that would fill the memory."""
    try:
        with zipfile.ZipFile(BytesIO(artifact.path(name).read_bytes())) as arrays:
            size = sum(one.file_size for one in arrays.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        raise ArtifactInvalid(f"artifact {artifact.id}: {name} holds no arrays") from None
    if size > LARGEST_ARRAYS:
        raise ArtifactInvalid(f"artifact {artifact.id}: {name} would take {size >> 20:,} MiB of memory")
