"""
What is known of a downloaded file: its digest piece by piece, and the marks of the file system.

Pieces tell which bytes two versions of a file have in common, so that only the others are read again. A file whose marks
are those of its last check is trusted until :data:`FULL_CHECK_S` have passed. Before bytes of it are used, the digests of
their pieces are compared all the same.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

PIECE = 1 << 23
"""Bytes of a piece."""

READ = 1 << 18
"""Bytes that are read at a time."""

FULL_CHECK_S = 30 * 86400.0
"""Seconds after which a file is read whole again, to find damage that changes no mark: a disk's, not a program's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """
    A verified file.

    Attributes:
        bytes: Size.
        etag: ETag of the content on the server.
        sha256: Digest of the pieces' digests; of the whole file where there are no pieces.
        pieces: sha256 of each piece; none in a record of an earlier version.
        marks: Time of the last change of content and of the inode, and the inode's number.
        checked: Unix time at which every piece was last compared.
    """

    bytes: int
    etag: str
    sha256: str
    pieces: tuple[str, ...] = ()
    marks: tuple[int, ...] = ()
    checked: float = 0.0

    @classmethod
    def of(cls, path: Path, *, etag: str = "", kept: Sequence[str] = (), whole: Any = None) -> Self:  # noqa: ANN401 - hashlib's type is private
        """
        Record a file.

        Args:
            path: The file.
            etag: ETag of the content on the server.
            kept: Digests of the first pieces, which are not read.
            whole: Digest of the whole file to update in the same pass.
        """
        pieces = (*kept, *_piece_digests(path, len(kept), whole=whole))
        return cls(bytes=path.stat().st_size, etag=etag, sha256=joint_digest(pieces), pieces=pieces, marks=_marks(path))

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Self:
        """Read an entry of ``sync.json``; what is of another type counts as absent."""
        pieces, marks, checked = (entry.get(name) for name in ("pieces", "marks", "checked"))
        known = isinstance(pieces, list) and joint_digest(map(str, pieces)) == entry["sha256"]
        return cls(
            bytes=entry["bytes"],
            etag=str(entry["etag"]),
            sha256=str(entry["sha256"]),
            pieces=tuple(map(str, pieces)) if known and pieces else (),
            marks=tuple(marks) if isinstance(marks, list) else (),
            checked=float(checked) if isinstance(checked, int | float) else 0.0,
        )

    def to_entry(self) -> dict[str, Any]:
        """Return the entry of ``sync.json``."""
        return {
            "bytes": self.bytes,
            "etag": self.etag,
            "sha256": self.sha256,
            "pieces": list(self.pieces),
            "marks": list(self.marks),
            "checked": self.checked,
        }

    def published(self, path: Path, *, checked: float) -> Self:
        """Return the record of a file that was renamed to *path*, and whose bytes were compared at a Unix time."""
        return replace(self, marks=_marks(path), checked=checked)

    def is_untouched(self, path: Path) -> bool:
        """Return whether a file has the marks of its last check, which is not long ago."""
        fresh = 0 <= time.time() - self.checked < FULL_CHECK_S
        return (
            fresh
            and bool(self.pieces)
            and path.is_file()
            and path.stat().st_size == self.bytes
            and _marks(path) == self.marks
        )

    def read(self, path: Path) -> Self | None:
        """Read a whole file; return its record, with pieces in any case, ``None`` where it is not as recorded."""
        if not path.is_file() or path.stat().st_size != self.bytes:
            return None
        whole = None if self.pieces else hashlib.sha256()
        found = self.of(path, etag=self.etag, whole=whole)
        same = found.pieces == self.pieces if whole is None else whole.hexdigest() == self.sha256
        return replace(found, marks=_marks(path), checked=time.time()) if same else None

    def holds(self, path: Path, begin: int) -> bool:
        """Read the pieces with the bytes from *begin* on; return whether they are as recorded."""
        first = begin // PIECE
        return tuple(_piece_digests(path, first)) == self.pieces[first:]

    def common_bytes(self, earlier: Sequence[str]) -> int:
        """Return how many of the first bytes are those of an earlier version with these pieces."""
        pairs = zip(self.pieces, earlier, strict=False)
        same = next(
            (index for index, (one, other) in enumerate(pairs) if one != other), min(len(self.pieces), len(earlier))
        )
        return min(same * PIECE, self.bytes)


def joint_digest(pieces: Iterator[str] | Sequence[str]) -> str:
    """Return the sha256 of the digests of a file's pieces."""
    return hashlib.sha256("\n".join(pieces).encode()).hexdigest()


def _marks(path: Path) -> tuple[int, ...]:
    about = path.stat()
    return about.st_mtime_ns, about.st_ctime_ns, about.st_ino


def _piece_digests(path: Path, first: int, *, whole: Any = None) -> list[str]:  # noqa: ANN401 - see above
    """Return the sha256 of each piece of a file from the one numbered *first* on; update *whole*."""
    found: list[str] = []
    buffer = memoryview(bytearray(READ))
    with path.open("rb", buffering=0) as file:
        file.seek(first * PIECE)
        while True:
            digest, left = hashlib.sha256(), PIECE
            while left and (size := file.readinto(buffer[: min(left, READ)])):
                digest.update(buffer[:size])
                if whole is not None:
                    whole.update(buffer[:size])
                left -= size
            if left == PIECE:
                break
            found.append(digest.hexdigest())
    return found
