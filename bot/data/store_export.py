"""
Write columns of an era store as parquet or npy files, for programs that know neither the store nor the bot.

::

    <folder>/export.json            what it holds: columns, eras, and the files of each part with size and sha256
    <folder>/part-00000.parquet     era, id, features (int8, -1 where missing), targets (float32)
    <folder>/part-00000.features.npy, .targets.npy, .ids.npy, .eras.npy

A part holds whole eras, at most about 65,000 rows, and is written in one step. An interrupted export continues with the first
missing part, and then equals one that was made in one go, byte by byte. Memory is that of one part.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow.parquet as pq

from bot.data.era_store import Columns, EraStore
from bot.data.store_views import arrow_table, era_arrays
from bot.errors import BadConfig
from bot.system.files import publish, sha256_of, state_error
from bot.system.progress import CountCallback

FORMAT = 1
"""Format number of the manifest."""

MANIFEST = "export.json"

PART_ROWS = 65_536
"""Approximate rows of a part that has neighbouring eras."""

PART_BLOCKS = 2
"""Most blocks of the store that a part reads: mapped pages count as memory of the process, 250 MB a block of `all`."""

FileFormat = Literal["parquet", "npy"]
FORMATS: tuple[FileFormat, ...] = ("parquet", "npy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """
    Columns and eras to export.

    Attributes:
        columns: Columns of a store.
        positions: Ascending positions of the eras.
        file_format: ``parquet`` or ``npy``.
    """

    columns: Columns
    positions: tuple[int, ...]
    file_format: FileFormat

    @property
    def about(self) -> dict[str, Any]:
        """Return what the export holds, the digest of its source included."""
        source = [file.sha256 for file in self.columns.store.files()]
        return {
            "format": FORMAT,
            "data_version": self.columns.store.manifest.data_version,
            "source": hashlib.sha256("\n".join(source).encode()).hexdigest(),
            "file_format": self.file_format,
            "features": list(self.columns.feature_names),
            "targets": list(self.columns.target_names),
            "eras": [self.columns.eras[one] for one in self.positions],
        }

    def parts(self) -> Iterator[tuple[int, ...]]:
        """Yield the positions of each part."""
        rows = np.diff(self.columns.offsets)
        part: list[int] = []
        blocks: set[str] = set()
        for position in self.positions:
            block = self.columns.store.place(position).block.eras[0]
            full = int(rows[part].sum()) >= PART_ROWS or (block not in blocks and len(blocks) == PART_BLOCKS)
            if part and full:
                yield tuple(part)
                part, blocks = [], set()
            part.append(position)
            blocks.add(block)
        if part:
            yield tuple(part)


def every_nth(store: EraStore, every: int) -> tuple[int, ...]:
    """Return the positions of every *n*-th era, the newest among them."""
    return tuple(range(len(store.eras)))[::-every][::-1]


def export(plan: Export, folder: Path, *, on_progress: CountCallback | None = None) -> dict[str, Any]:
    """
    Write the files of an export that are not there yet; return the manifest.

    Args:
        plan: Columns and eras.
        folder: Folder of the files; made where it is missing.
        on_progress: Called with parts done and parts in all.

    Raises:
        BadConfig: The folder holds something else.
        DatasetIncomplete: A file of the store differs from its recorded sha256.
        StateUnwritable: The disk is full or failing; finished parts stay.
    """
    parts = list(plan.parts())
    known = _finished(plan, folder)
    done = known[: len(parts)]
    for number, part in enumerate(parts):
        if number >= len(done):
            done.append(_write(plan, part, folder, number))
            _publish(folder / MANIFEST, json.dumps(_manifest(plan, done, parts), indent=1).encode())
        if on_progress is not None:
            on_progress(number + 1, len(parts))
    return _manifest(plan, done, parts)


def _manifest(plan: Export, done: Sequence[dict[str, Any]], parts: Sequence[object]) -> dict[str, Any]:
    return {**plan.about, "complete": len(done) == len(parts), "parts": list(done)}


def _finished(plan: Export, folder: Path) -> list[dict[str, Any]]:
    """
    Return the entries of the parts that are there, up to the first one that is missing or differs from its sha256.

    Raises:
        BadConfig: The folder holds another export, or files but no export.
    """
    path = folder / MANIFEST
    if not path.is_file():
        if folder.is_dir() and any(
            one.suffix in (".parquet", ".npy") and not _is_part(one) for one in folder.iterdir()
        ):
            raise BadConfig(f"{folder} holds other data and no {MANIFEST}; choose another --output")
        return []
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        parts = list(held.pop("parts"))
        held.pop("complete")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadConfig(f"{path} is damaged; delete {folder}, or choose another --output") from None
    differs = [key for key, value in plan.about.items() if held.get(key) != value]
    if differs:
        raise BadConfig(
            f"{folder} holds an export of other {', '.join(differs)}; choose another --output, or delete that folder"
        )
    found = []
    for part in parts:
        if not all(_is_whole(folder / name, file) for name, file in part["files"].items()):
            break
        found.append(part)
    return found


def _is_part(path: Path) -> bool:
    return path.name.startswith(("part-", ".part-"))


def _is_whole(path: Path, file: dict[str, Any]) -> bool:
    return path.is_file() and path.stat().st_size == file["bytes"] and sha256_of(path) == file["sha256"]


def _write(plan: Export, part: Sequence[int], folder: Path, number: int) -> dict[str, Any]:
    """Write the files of a part and return its entry."""
    # A store of its own, whose maps end with it: mapped pages of the whole history would count as memory of the process.
    store = EraStore(plan.columns.store.folder, plan.columns.store.manifest)
    blocks = {block.eras[0]: block for block in (store.place(one).block for one in part)}
    store.verify(blocks=list(blocks.values()))
    columns = store.select(plan.columns.feature_names, plan.columns.target_names)
    files = {}
    for ending, write in _writers(plan.file_format, columns, part).items():
        path = folder / f"part-{number:05d}.{ending}"
        _publish(path, write)
        files[path.name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
    rows = np.diff(columns.offsets)
    return {
        "eras": [columns.eras[one] for one in part],
        "rows": int(sum(rows[one] for one in part)),
        "files": files,
    }


def _writers(file_format: FileFormat, columns: Columns, part: Sequence[int]) -> dict[str, Callable[[BinaryIO], object]]:
    """Return a function for each file of a part that writes it to an open file."""
    if file_format == "parquet":
        return {"parquet": partial(_write_parquet, columns, part)}
    rows = [int(one) for one in np.diff(columns.offsets)[list(part)]]
    eras = (np.full(count, columns.eras[one].encode(), dtype="S8") for one, count in zip(part, rows, strict=True))
    widths = len(columns.feature_names), len(columns.target_names)
    arrays: dict[str, tuple[Iterator[np.ndarray], str, tuple[int, ...]]] = {
        "features": ((era_arrays(columns, one).features for one in part), "i1", widths[:1]),
        "targets": ((columns.targets(one) for one in part), "f4", widths[1:]),
        "ids": ((columns.store.ids(one) for one in part), "S16", ()),
        "eras": (eras, "S8", ()),
    }
    return {
        f"{name}.npy": partial(_write_npy, chunks, np.dtype(dtype), (sum(rows), *width))
        for name, (chunks, dtype, width) in arrays.items()
    }


def _write_parquet(columns: Columns, part: Sequence[int], file: BinaryIO) -> None:
    table = arrow_table(columns, part)
    pq.write_table(table, file, compression="zstd", row_group_size=max(len(table), 1), use_dictionary=["era"])


def _write_npy(chunks: Iterator[np.ndarray], dtype: np.dtype[Any], shape: tuple[int, ...], file: BinaryIO) -> None:
    """Write arrays below one another as one npy file, C-ordered."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    file.writelines(np.ascontiguousarray(chunk, dtype=dtype).tobytes() for chunk in chunks)


def _publish(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    try:
        publish(path, content)
    except OSError as error:
        found = state_error(path, error)
        raise type(found)(f"{found}; finished parts stay, and the same command goes on with the next one") from None
