"""What an era store says about itself: its eras, its columns, and the digest of every file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bot.errors import DatasetIncomplete

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of a block; it is never changed once the manifest names it."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """
    Consecutive eras that share files.

    Attributes:
        source: Name of the parquet file they came from.
        eras: Labels in order.
        rows: Of each era.
        kinds: ``data_type`` of each era.
        files: ``features``, ``targets`` and ``ids``.
    """

    source: str
    eras: tuple[str, ...]
    rows: tuple[int, ...]
    kinds: tuple[str, ...]
    files: Mapping[str, StoredFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """
    What a store holds.

    Attributes:
        data_version: Such as ``v5.3``.
        features: Columns of the features in file order.
        targets: Columns of the targets in file order.
        blocks: In the order of their eras.
        sources: sha256 of each parquet file that is contained completely, by name.
        serial: Number of the next block.
    """

    data_version: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    blocks: tuple[Block, ...] = ()
    sources: Mapping[str, str]
    serial: int = 0

    def to_json(self) -> str:
        """Return the manifest as JSON with a digest of its own content."""
        blocks = [
            {**_fields(block), "files": {part: _fields(file) for part, file in block.files.items()}}
            for block in self.blocks
        ]
        content = {"format": FORMAT, **_fields(self), "blocks": blocks}
        return json.dumps({"digest": _digest(content), **content})

    @classmethod
    def read(cls, path: Path) -> "Manifest":
        """
        Read a store's manifest.

        Raises:
            DatasetIncomplete: It is absent, damaged, or of another format.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            _expect(content.pop("digest") == _digest(content) and content.pop("format") == FORMAT)
            blocks = tuple(
                Block(
                    source=block["source"],
                    eras=tuple(block["eras"]),
                    rows=tuple(block["rows"]),
                    kinds=tuple(block["kinds"]),
                    files={part: StoredFile(**file) for part, file in block["files"].items()},
                )
                for block in content.pop("blocks")
            )
            features, targets = tuple(content.pop("features")), tuple(content.pop("targets"))
            return cls(features=features, targets=targets, blocks=blocks, **content)
        except FileNotFoundError:
            raise DatasetIncomplete(f"there is no era store in {path.parent}; run `bot sync`") from None
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            raise DatasetIncomplete(f"{path} is damaged; `bot sync` makes the store anew") from None


def _fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return a dataclass's fields without copying them, as ``asdict`` would, name by name."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _expect(holds: bool) -> None:  # noqa: FBT001 - a condition
    if not holds:
        raise ValueError
