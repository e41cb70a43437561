"""
Era store: the complete history on disk, memory-mapped, and read era by era.

::

    store/<version>-<schema>/
      manifest.json            features, targets, eras, and every file's size and sha256
      blocks/<n>.features      int8, column after column: shape (F, rows)
      blocks/<n>.targets.<k>   float32, column after column: shape (T, rows); written anew when a target arrives late
      blocks/<n>.ids           16 bytes a row

A block holds whole eras, about 65,000 rows. The values of a column stand together in a block, so an era's rows of one
column are contiguous bytes: trees read columns in place, networks copy an era at memory speed, and features outside
the selected set are never read. Opening takes milliseconds. :mod:`bot.data.ingest` writes the store.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.errors import DatasetIncomplete, SchemaMismatch
from bot.features.codes import Codes
from bot.system.progress import CountCallback

MANIFEST = "manifest.json"
FORMAT = 1
"""Format number of the manifest."""

ID_BYTES = 16
"""Length of an id: ``n`` and fifteen hex digits."""

FEATURES, TARGETS, IDS = "features", "targets", "ids"
"""The files of a block."""

_DTYPES: Mapping[str, np.dtype[Any]] = {
    FEATURES: np.dtype(np.int8),
    TARGETS: np.dtype(np.float32),
    IDS: np.dtype(f"S{ID_BYTES}"),
}
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file of a block; it never changes once the manifest lists it."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """
    Consecutive eras that share files.

    Attributes:
        source: Name of the parquet file that the eras were read from.
        eras: Era labels in order.
        rows: Number of rows of each era.
        kinds: ``data_type`` of each era.
        files: The block's files by part: ``features``, ``targets`` and ``ids``.
    """

    source: str
    eras: tuple[str, ...]
    rows: tuple[int, ...]
    kinds: tuple[str, ...]
    files: Mapping[str, StoredFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class EraPlace:
    """
    Where an era is stored.

    Attributes:
        block: The block that holds the era.
        rows: The era's rows in the block.
    """

    block: Block
    rows: slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """
    Contents of a store.

    Attributes:
        data_version: Data version, such as ``v5.3``.
        features: Feature columns in file order.
        targets: Target columns in file order.
        blocks: Blocks in the order of their eras.
        sources: sha256 of each parquet file whose eras are all stored, by file name.
        serial: Number of the next block.
    """

    data_version: str
    features: tuple[str, ...]
    targets: tuple[str, ...]
    blocks: tuple[Block, ...] = ()
    sources: Mapping[str, str]
    serial: int = 0

    def to_json(self) -> str:
        """Return the manifest as JSON with a digest of its content."""
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
            DatasetIncomplete: The manifest is absent, damaged, or of another format.
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
            _expect(len({*features, *targets}) == len(features) + len(targets))
            return cls(features=features, targets=targets, blocks=blocks, **content)
        except FileNotFoundError:
            raise DatasetIncomplete(f"there is no era store in {path.parent}; run `bot sync`") from None
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            raise DatasetIncomplete(f"{path} is damaged; `bot sync` makes the store anew") from None


class EraStore:
    """
    A store that is open for reading.

    Attributes:
        folder: Folder of the store.
        manifest: Contents of the store.
        eras: Era labels in order.
        kinds: ``data_type`` of each era.
        offsets: First row of each era, then the number of rows. Shape ``(E + 1,)``.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.eras = tuple(era for block in manifest.blocks for era in block.eras)
        self.kinds = tuple(kind for block in manifest.blocks for kind in block.kinds)
        self.offsets = np.cumsum([0, *(rows for block in manifest.blocks for rows in block.rows)])
        self._maps: dict[str, npt.NDArray[Any]] = {}

    @classmethod
    def open(cls, folder: Path) -> "EraStore":
        """
        Open a store; its files are mapped when they are first read.

        Raises:
            DatasetIncomplete: The manifest is absent or damaged, or a file is missing or has another size.
        """
        store = cls(folder, Manifest.read(folder / MANIFEST))
        missing = [file.name for block in store.manifest.blocks for file in store.missing_files(block)]
        if missing:
            raise DatasetIncomplete(
                f"{folder / 'blocks' / missing[0]} is missing or has another size; `bot sync` repairs the store"
            )
        return store

    @staticmethod
    def newest(root: Path, version: str) -> Path | None:
        """Return the folder of a data version's most recently written store, or ``None``."""
        written = {path.parent: path.stat().st_mtime for path in root.glob(f"{version}-*/{MANIFEST}")}
        return max(written, key=written.__getitem__, default=None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle folder and manifest, so that another process opens exactly these files."""
        return EraStore._reopened, (self.folder, self.manifest)

    @classmethod
    def _reopened(cls, folder: Path, manifest: Manifest) -> "EraStore":
        """
        Open a store in another process and map every file at once, before a sync can replace one.

        Raises:
            DatasetIncomplete: A file is missing or has another size.
        """
        store = cls(folder, manifest)
        try:
            for block in manifest.blocks:
                for part in block.files:
                    store.part(block, part)
        except (FileNotFoundError, ValueError) as error:
            raise DatasetIncomplete(
                f"{folder.resolve()} is not the store that the process leading the training has ({error});"
                " do all hosts share the state directory, under the same path?"
            ) from None
        return store

    def missing_files(self, block: Block) -> list[StoredFile]:
        """Return the files of a block that are missing or have another size than recorded."""
        paths = {file: self.folder / "blocks" / file.name for file in block.files.values()}
        return [file for file, path in paths.items() if not path.is_file() or path.stat().st_size != file.bytes]

    def files(self) -> Iterator[StoredFile]:
        """Yield every file of every block."""
        for block in self.manifest.blocks:
            yield from block.files.values()

    def verify(self, on_progress: CountCallback | None = None, *, blocks: Iterable[Block] | None = None) -> None:
        """
        Read every byte and compare it with the recorded digests.

        Verified files stay mapped, so a sync that replaces or removes them does not affect this store.

        Args:
            on_progress: Called with bytes done and bytes in all.
            blocks: Blocks to verify; ``None`` verifies all.

        Raises:
            DatasetIncomplete: A file differs; it is removed, so that the next sync writes it anew.
        """
        parts = [(block, part) for block in blocks or self.manifest.blocks for part in block.files]
        total, done = sum(block.files[part].bytes for block, part in parts), 0
        for block, part in parts:
            file = block.files[part]
            path = self.folder / "blocks" / file.name
            try:
                content = self.part(block, part).reshape(-1).view(np.uint8)
                same = hashlib.sha256(content.data).hexdigest() == file.sha256
            except (FileNotFoundError, ValueError):  # removed or resized since the store was opened
                same = False
            if not same:
                path.unlink(missing_ok=True)
                raise DatasetIncomplete(f"{path} differed from its recorded sha256 and is removed; run `bot sync`")
            done += file.bytes
            if on_progress is not None:
                on_progress(done, total)

    def select(self, features: Sequence[str], targets: Sequence[str]) -> "Columns":
        """
        Return a view of some columns; nothing is copied.

        Raises:
            SchemaMismatch: The data version lacks one of the columns.
        """
        return Columns(self, tuple(features), tuple(targets))

    def ids(self, position: int) -> npt.NDArray[np.bytes_]:
        """Return the ids of one era in file order. Shape ``(rows,)``."""
        place = self.place(position)
        return self.part(place.block, IDS)[0, place.rows]

    def place(self, position: int) -> EraPlace:
        """Return the block of the era at *position* and its rows in that block."""
        index, first = self._blocks_of_eras[position]
        block = self.manifest.blocks[index]
        start = sum(block.rows[: position - first])
        return EraPlace(block=block, rows=slice(start, start + block.rows[position - first]))

    def part(self, block: Block, part: str) -> npt.NDArray[Any]:
        """Return one file of a block, memory-mapped. Shape ``(columns, rows)``."""
        file = block.files[part]
        if file.name not in self._maps:
            dtype, rows = _DTYPES[part], sum(block.rows)
            shape = (file.bytes // dtype.itemsize // max(rows, 1), rows)
            self._maps[file.name] = np.memmap(self.folder / "blocks" / file.name, dtype=dtype, mode="r", shape=shape)
        return self._maps[file.name]

    @cached_property
    def _blocks_of_eras(self) -> list[tuple[int, int]]:
        """Return for each era the number of its block and the position of the block's first era."""
        places, first = [], 0
        for index, block in enumerate(self.manifest.blocks):
            places += [(index, first)] * len(block.eras)
            first += len(block.eras)
        return places


class Columns:
    """
    Some features and targets of a store, era by era.

    Attributes:
        eras: Era labels in order.
        offsets: First row of each era, then the number of rows. Shape ``(E + 1,)``.
        feature_names: Selected features in this order.
        target_names: Selected targets in this order.
    """

    def __init__(self, store: EraStore, features: tuple[str, ...], targets: tuple[str, ...]) -> None:
        self.store, self.eras, self.offsets = store, store.eras, store.offsets
        self.feature_names, self.target_names = features, targets
        self._features = _positions(features, store.manifest.features)
        self._targets = _positions(targets, store.manifest.targets)
        self._adjacent = bool(len(features)) and bool((np.diff(self._features) == 1).all())

    def features(self, position: int) -> Codes:
        """
        Return the feature codes of one era, -1 where the file has none.

        Returns:
            Shape ``(rows, F)``, int8, column-major. A view of the file if the columns are adjacent there, else a copy.
        """
        place = self.store.place(position)
        columns = self.store.part(place.block, FEATURES)[:, place.rows]
        if self._adjacent:
            return columns[self._features[0] : self._features[-1] + 1].T
        return np.take(columns, self._features, axis=0).T

    def targets(self, position: int) -> Floats:
        """Return the targets of one era, NaN where unknown. Shape ``(rows, T)``, float32."""
        place = self.store.place(position)
        return np.take(self.store.part(place.block, TARGETS)[:, place.rows], self._targets, axis=0).T

    def target(self, position: int, name: str) -> Floats:
        """Return one target of one era, NaN where unknown. Shape ``(rows,)``, float32."""
        place = self.store.place(position)
        return self.store.part(place.block, TARGETS)[self._targets[self.target_names.index(name)], place.rows]

    def labelled(self, target: str) -> npt.NDArray[np.bool_]:
        """Return for each era whether *target* is known in any row. Shape ``(E,)``."""
        return np.array([bool(np.isfinite(self.target(one, target)).any()) for one in range(len(self.eras))])

    def runs(self, positions: Sequence[int]) -> list[tuple[int, ...]]:
        """Group ascending positions into runs of consecutive eras of one block."""
        runs: list[list[int]] = []
        for position in positions:
            block = self.store.place(position).block
            if runs and runs[-1][-1] == position - 1 and self.store.place(position - 1).block is block:
                runs[-1].append(position)
            else:
                runs.append([position])
        return [tuple(run) for run in runs]

    def in_place(self, run: Sequence[int]) -> list[Codes]:
        """Return each feature of a run of eras as a view of the file. ``F`` arrays of shape ``(rows,)``."""
        first, last = self.store.place(run[0]), self.store.place(run[-1])
        rows = slice(first.rows.start, last.rows.stop)
        # Slicing a memmap takes four times as long as slicing an array.
        content = self.store.part(first.block, FEATURES).view(np.ndarray)
        return [content[index, rows] for index in self._features]


def _positions(wanted: Sequence[str], known: Sequence[str]) -> npt.NDArray[np.intp]:
    position = {name: index for index, name in enumerate(known)}
    absent = [name for name in wanted if name not in position]
    if absent:
        shown = ", ".join(absent[:5]) + (", ..." if len(absent) > 5 else "")
        raise SchemaMismatch(f"the data lack {len(absent)} columns: {shown}; is BOT_DATA_VERSION right?")
    return np.array([position[name] for name in wanted], dtype=np.intp)


def _fields(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
    """Return a dataclass's fields by name; unlike ``asdict``, values are not copied."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _digest(content: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _expect(condition: bool) -> None:  # noqa: FBT001 - a condition
    if not condition:
        raise ValueError
