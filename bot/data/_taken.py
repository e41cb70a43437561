"""Which version of each parquet file the era store was written from, so that the next version is read from its first change on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.data._parquet import Era, ParquetSource
from bot.data.file_record import FileRecord, joint_digest
from bot.system.files import publish, seal, unseal

TAKEN = "stored.bin"
"""Name of the record beside the parquet files; without it the next version of a file is compared from its first row on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenFile:
    """
    A parquet file whose eras are all stored.

    Attributes:
        pieces: sha256 of each of its pieces.
        eras: All of its eras, in the order of their rows.
    """

    pieces: tuple[str, ...]
    eras: tuple[Era, ...]

    @property
    def sha256(self) -> str:
        """Return the digest by which a store's manifest knows the file."""
        return joint_digest(self.pieces)

    def unchanged(self, source: ParquetSource, record: FileRecord) -> list[Era]:
        """Return the leading eras of a newer version that lie in row groups with the same bytes, and end there."""
        rows = source.rows_within(record.common_bytes(self.pieces))
        # The era of the last row may go on in the next row group.
        return [era for era in self.eras if era.stop < rows]


def read_taken(folder: Path) -> dict[str, TakenFile]:
    """Return the files that a store was written from, by name; none where the record is absent or damaged."""
    try:
        content = json.loads(unseal((folder / TAKEN).read_bytes()))
        return {name: TakenFile(pieces=tuple(one["pieces"]), eras=_eras(one["eras"])) for name, one in content.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def write_taken(folder: Path, taken: Mapping[str, TakenFile]) -> None:
    """Write the record in one atomic step."""
    content = {
        name: {"pieces": one.pieces, "eras": [[era.label, era.kind, era.rows] for era in one.eras]}
        for name, one in taken.items()
    }
    publish(folder / TAKEN, seal(json.dumps(content).encode()))


def _eras(listed: Sequence[Sequence[str | int]]) -> tuple[Era, ...]:
    found: list[Era] = []
    for label, kind, rows in listed:
        start = found[-1].stop if found else 0
        found.append(Era(label=str(label), kind=str(kind), start=start, rows=int(rows)))
    return tuple(found)
