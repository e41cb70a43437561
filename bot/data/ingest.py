"""
Ingest: read Numerai's parquet files into the era store, as a stream, without ever leaving a store half written.

Some row groups and a few columns are decoded at a time. Eras that are complete are written; only the rows of the one
era that continues in the next row group are kept in memory, so memory does not grow with the data. New blocks are
published by replacing the manifest. An interrupted run leaves a valid store with fewer eras, and the next run completes
it. Files that a manifest lists are never written again.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise, takewhile
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

import numpy as np
import numpy.typing as npt
import structlog

from bot.data._parquet import Era, ParquetSource
from bot.data._taken import TakenFile, read_taken, write_taken
from bot.data.era_store import FEATURES, IDS, MANIFEST, TARGETS, Block, EraStore, Manifest, StoredFile
from bot.data.file_record import FileRecord
from bot.data.parquet_columns import AS_SERVED
from bot.errors import DatasetIncomplete, OperatorNeeded, SchemaMismatch
from bot.features.codes import Codes
from bot.system.files import publish, sync
from bot.system.progress import CountCallback

BLOCK_ROWS = 65_536
"""Approximate rows of a block: blocks hold whole eras, and row groups that are read together complete whole blocks."""

SAMPLED = 16
"""Least number of features of stored eras that are compared with a newer file."""

COMPARED_CELLS = 1 << 29
"""
Most cells of a newer file that are decoded to be compared with stored eras.

They are all of 3,555 features in 151,000 rows, a row group of v5.3 with 128,000 rows included, which took 1.0 CPU seconds on
an AMD EPYC. Of 3.9 million rows that were all rewritten, they are 138 features.
"""

BUFFER_BYTES = 1 << 20
"""Bytes that are handed to the kernel at a time: columns are shorter, and each call costs time."""

FLUSH_BYTES = 32 << 20
"""Bytes after which a block's file is synced to disk and dropped from the page cache."""

log = structlog.get_logger()


def update(
    root: Path,
    sources: Sequence[Path],
    *,
    version: str,
    expected: Mapping[str, FileRecord] | None = None,
    on_progress: CountCallback | None = None,
) -> EraStore:
    """
    Update the store of a data version from its parquet files, and open it.

    Eras that are stored are not written again, except for targets that have arrived since. Eras whose rows or features
    differ from the stored ones are replaced. Of a file's newer version, the row groups from the first changed byte on are
    read; what is read is compared with the recorded digests before. Columns are paired by name; those that not every file
    has are left out. Files with other columns get a store of their own.

    Args:
        root: Folder of all stores.
        sources: Parquet files in the order of their eras.
        version: Data version.
        expected: Record of each file's download, by file name; a file that differs is removed.
        on_progress: Called with rows done and rows in all.

    Raises:
        DatasetIncomplete: A file is damaged, or its eras are not in order.
        SchemaMismatch: The files share no features or targets, or features that are no codes.
        OperatorNeeded: The disk is full; the store is unchanged or has some of the new eras.
    """
    records = {path.name: _verified(path, (expected or {}).get(path.name)) for path in sources}
    opened = [ParquetSource.open(path) for path in sources]
    empty = _empty(version, opened)
    digest = hashlib.sha256("\n".join([*empty.features, *empty.targets]).encode()).hexdigest()[:8]
    folder = root / f"{version}-{digest}"
    (folder / "blocks").mkdir(parents=True, exist_ok=True)
    try:
        store = EraStore.open(folder)
    except DatasetIncomplete as error:
        if (folder / MANIFEST).exists():
            log.warning("store.rebuilt", reason=str(error))
        store = EraStore(folder, _intact(folder) or empty)
    taken = read_taken(sources[0].parent)
    writer = _Writer(store, on_progress, taken)
    last = ""
    try:
        for source in opened:
            last = writer.take(source, records[source.name], after=last)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OperatorNeeded(f"the disk is full while writing {folder}; make room and run `bot sync` again") from None
    writer.sweep()
    if writer.taken != taken:
        write_taken(sources[0].parent, writer.taken)
    return EraStore.open(folder)


def _empty(version: str, sources: Sequence[ParquetSource]) -> Manifest:
    """Return the manifest of a store without eras, for the columns that all files have, in the order of the first file."""
    shared = set.intersection(*({*source.features, *source.targets} for source in sources))
    features = tuple(name for name in sources[0].features if name in shared)
    targets = tuple(name for name in sources[0].targets if name in shared)
    if not features or not targets:
        raise SchemaMismatch(
            f"the files share {len(features)} features and {len(targets)} targets; both are needed: are they of one version?"
        )
    for source in sources:
        alone = {name: "not in every file" for name in (*source.features, *source.targets) if name not in shared}
        if left_out := alone | dict(source.odd):
            log.warning(
                "store.columns_left_out", source=source.name, columns=len(left_out), first=next(iter(left_out.items()))
            )
    return Manifest(data_version=version, features=features, targets=targets, sources={})


class BlockFile:
    """
    A file of a block, written from front to back and hashed meanwhile.

    Written pages are dropped from the page cache: a store may be larger than memory, and reused pages cost less than
    fresh ones (measured in ``bench/ingest.py``). Plain writes make a full disk an error; in a memory-mapped file, it
    would end the process. Use the file as a context manager; leaving it closes the file.

    Args:
        path: Path of the file. An existing file is replaced, and a process that has it mapped keeps its content.

    Raises:
        OSError: The disk is full; so do the methods.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.path, self.bytes = path, 0
        self._sha256, self._unsynced = hashlib.sha256(), 0
        self._file = path.open("xb", buffering=BUFFER_BYTES)

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    def append(self, values: np.ndarray) -> None:
        """Append the bytes of an array of any shape in C order; contiguous arrays are not copied."""
        content = values.reshape(-1).view(np.uint8).data
        self._sha256.update(content)
        self._file.write(content)
        self.bytes += len(content)
        self._unsynced += len(content)
        if self._unsynced >= FLUSH_BYTES:
            self._sync()

    def finish(self) -> StoredFile:
        """Sync everything to disk and return the file's entry for the manifest."""
        self._sync()
        return StoredFile(name=self.path.name, bytes=self.bytes, sha256=self._sha256.hexdigest())

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._unsynced = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _WrittenFeatures:
    """
    Feature files of new blocks.

    Attributes:
        files: Feature file of each block.
        rest: Feature codes of the rows that were read and belong to no block yet. Shape ``(F, rows)``, int8.
    """

    files: list[StoredFile]
    rest: Codes


class _Writer:
    """
    Adds parquet files to a store.

    Attributes:
        folder: Folder of the store.
        manifest: The manifest that is published on disk, except while blocks are dropped within :meth:`take`.
        taken: Files that the store was written from, by name.
    """

    def __init__(self, store: EraStore, on_progress: CountCallback | None, taken: Mapping[str, TakenFile]) -> None:
        self.folder, self.manifest, self.on_progress = store.folder, store.manifest, on_progress
        self.taken = dict(taken)

    def take(self, source: ParquetSource, record: FileRecord, *, after: str) -> str:
        """
        Append the new eras of a file and update the targets of its stored eras; return the label of its last era.

        Args:
            source: The file.
            record: Record of the file.
            after: Last era of the file before it; earlier eras are that file's, and are left out here.

        Raises:
            DatasetIncomplete: The file is damaged, or its eras are not in order.
            OperatorNeeded: The disk has too little space.
        """
        if self.manifest.sources.get(source.name) == record.sha256:
            mine = [block for block in self.manifest.blocks if block.source == source.name]
            return mine[-1].eras[-1] if mine else after
        before = self.taken.get(source.name)
        same = before is not None and self.manifest.sources.get(source.name) == before.sha256
        known = before.unchanged(source, record) if before is not None and same else []
        first = known[-1].stop if known else 0
        _demand_pieces(source, record, first)
        every = [*known, *source.eras(first)]
        eras = [era for era in every if era.label > after]
        if not eras:
            raise DatasetIncomplete(
                f"{source.name} has no era after {after}, the last one of the file before it; {AS_SERVED}"
            )
        if len(eras) < len(every):
            log.warning("store.eras_left_out", source=source.name, eras=len(every) - len(eras), stored_up_to=after)
        self._drop_changed(source, eras, first)
        self._drop_later(source, eras)
        fresh = self._fresh(source, eras)
        self._update_targets(source, eras, first)
        if fresh:
            self._demand_space(sum(era.rows for era in fresh))
            if fresh[0].start < first:  # unchanged eras of a block that was dropped
                _demand_pieces(source, record, fresh[0].start)
            self._append(source, fresh)
        self._publish(replace(self.manifest, sources={**self.manifest.sources, source.name: record.sha256}))
        if record.pieces:
            self.taken[source.name] = TakenFile(pieces=record.pieces, eras=tuple(every))
        log.info("store.updated", source=source.name, eras=len(eras), added=len(fresh))
        return every[-1].label

    def sweep(self) -> None:
        """Remove block files that the manifest does not list."""
        listed = {file.name for file in EraStore(self.folder, self.manifest).files()}
        for path in (self.folder / "blocks").iterdir():
            if path.name not in listed:
                path.unlink()

    def _drop_changed(self, source: ParquetSource, eras: Sequence[Era], first: int) -> None:
        """
        Drop the stored blocks of a file from the first one whose rows or features differ from the file.

        The rows before *first* have not changed.
        """
        index = self._first_changed(source, eras, first)
        if index is None:
            return
        begin = self.manifest.blocks[index].eras[0]
        log.warning("store.changed", source=source.name, first_era=begin, reason="the server rewrote it")
        # Blocks are in the order of their eras: those of later files go too, and are taken from these files again.
        dropped = {one.source for one in self.manifest.blocks[index:]}
        sources = {name: sha256 for name, sha256 in self.manifest.sources.items() if name not in dropped}
        self.manifest = replace(self.manifest, blocks=self.manifest.blocks[:index], sources=sources)

    def _first_changed(self, source: ParquetSource, eras: Sequence[Era], first: int) -> int | None:
        """Return the first stored block of a file whose rows, or any of the compared features, differ from the file."""
        mine = [index for index, block in enumerate(self.manifest.blocks) if block.source == source.name]
        if not mine:
            return None
        store, by_label = EraStore(self.folder, self.manifest), {era.label: era for era in eras}
        changed, places, ids = None, {}, source.ids(first)
        for index in mine:
            block = self.manifest.blocks[index]
            found = [by_label.get(label) for label in block.eras]
            if all(era is not None and era.rows == rows for era, rows in zip(found, block.rows, strict=True)):
                stored, read = _later_rows([era for era in found if era is not None], first)
                if np.array_equal(store.part(block, IDS)[0, stored], ids[read]):
                    places[index] = stored, read
                    continue
            changed = index
            break
        if not places:
            return changed
        chosen = self._compared(len(ids), seed=len(eras))
        names = [self.manifest.features[feature] for feature in chosen]
        for offset, codes in source.chunks(names, first, source.bounds[-1]):
            for index, (stored, read) in places.items():
                part = store.part(self.manifest.blocks[index], FEATURES)
                if (changed is None or index < changed) and not np.array_equal(
                    part[chosen[offset], stored], codes[read]
                ):
                    changed = index
        return changed

    def _compared(self, rows: int, *, seed: int) -> npt.NDArray[np.int64]:
        """Return the features to compare: all where few rows may differ, else as many as the cells allow."""
        count = len(self.manifest.features)
        size = min(max(COMPARED_CELLS // max(rows, 1), SAMPLED), count)
        return np.sort(np.random.default_rng(seed).choice(count, size=size, replace=False))

    def _fresh(self, source: ParquetSource, eras: Sequence[Era]) -> list[Era]:
        """Return the eras of a file that are not stored from it."""
        stored = {era for block in self.manifest.blocks if block.source == source.name for era in block.eras}
        return [era for era in eras if era.label not in stored]

    def _drop_later(self, source: ParquetSource, eras: Sequence[Era]) -> None:
        """
        Drop stored blocks from the first new era of a file on: blocks are in the order of their eras.

        Numerai may move eras from one file to another, or add an era that was missing.
        """
        fresh = self._fresh(source, eras)
        later = [
            index for index, block in enumerate(self.manifest.blocks) if fresh and block.eras[-1] >= fresh[0].label
        ]
        if not later:
            return
        blocks, dropped = self.manifest.blocks[: later[0]], {block.source for block in self.manifest.blocks[later[0] :]}
        log.warning(
            "store.changed", source=source.name, first_era=fresh[0].label, reason="an era came before stored ones"
        )
        sources = {name: sha256 for name, sha256 in self.manifest.sources.items() if name not in dropped}
        self.manifest = replace(self.manifest, blocks=blocks, sources=sources)

    def _update_targets(self, source: ParquetSource, eras: Sequence[Era], first: int) -> None:
        """
        Write new target files for stored blocks whose targets differ from the file, and update ``data_type``.

        The rows before *first* have not changed.
        """
        mine = [index for index, block in enumerate(self.manifest.blocks) if block.source == source.name]
        if not mine:
            return
        by_label = {era.label: era for era in eras}
        store = EraStore(self.folder, self.manifest)
        values = source.floats(self.manifest.targets, first)
        blocks = list(self.manifest.blocks)
        for index in mine:
            found = [by_label[label] for label in blocks[index].eras]
            block = blocks[index] = replace(blocks[index], kinds=tuple(era.kind for era in found))
            stored, read = _later_rows(found, first)
            before = store.part(block, TARGETS)
            if np.ascontiguousarray(values[:, read]).tobytes() == before[:, stored].tobytes():
                continue
            now = np.concatenate([before[:, : stored.start], values[:, read]], axis=1)
            stem, _, count = block.files[TARGETS].name.rpartition(".")
            file = self._write(f"{stem}.{int(count) + 1}", now)
            blocks[index] = replace(block, files={**block.files, TARGETS: file})
        self._publish(replace(self.manifest, blocks=tuple(blocks)))

    def _append(self, source: ParquetSource, fresh: Sequence[Era]) -> None:
        """Stream new eras into blocks, and publish the blocks that some row groups complete before reading more."""
        origin = fresh[0].start
        ids, targets = source.ids(origin), source.floats(self.manifest.targets, origin)
        total, waiting = sum(era.rows for era in fresh), list(fresh)
        rest = np.empty((len(self.manifest.features), 0), dtype=np.int8)
        for start, stop in source.spans(BLOCK_ROWS):
            if stop <= fresh[0].start:
                continue
            whole = [era for era in waiting if era.stop <= stop]
            waiting = waiting[len(whole) :]
            parts = _parts(whole)
            written = self._write_features(source, parts, max(start, fresh[0].start), stop, rest)
            rest = written.rest
            blocks = [
                Block(
                    source=source.name,
                    eras=tuple(era.label for era in part),
                    rows=tuple(era.rows for era in part),
                    kinds=tuple(era.kind for era in part),
                    files={
                        FEATURES: file,
                        TARGETS: self._write(f"{self._name(number)}.{TARGETS}.0", targets[:, _span(part, origin)]),
                        IDS: self._write(f"{self._name(number)}.{IDS}", ids[_span(part, origin)]),
                    },
                )
                for number, (part, file) in enumerate(zip(parts, written.files, strict=True))
            ]
            grown = (*self.manifest.blocks, *blocks)
            self._publish(replace(self.manifest, blocks=grown, serial=self.manifest.serial + len(blocks)))
            if self.on_progress is not None:
                self.on_progress(total - sum(era.rows for era in waiting), total)

    def _write_features(
        self, source: ParquetSource, parts: Sequence[Sequence[Era]], start: int, stop: int, held: Codes
    ) -> _WrittenFeatures:
        """
        Write the feature files of new blocks, column after column.

        Args:
            source: The parquet file.
            parts: Eras of each block; all end before *stop*.
            start: First row to read.
            stop: Row after the last row to read.
            held: Codes of the rows before *start* that belong to no block yet. Shape ``(F, rows)``, int8.
        """
        first = start - held.shape[1]
        spans = [slice(part[0].start - first, part[-1].stop - first) for part in parts]
        rest = np.empty((len(held), stop - (parts[-1][-1].stop if parts else first)), dtype=np.int8)
        names = [f"{self._name(number)}.{FEATURES}" for number in range(len(parts))]
        with ExitStack() as stack:
            files = [stack.enter_context(self._file(name)) for name in names]
            for column, codes in source.chunks(self.manifest.features, start, stop):
                line = np.concatenate([held[column], codes])
                for file, rows in zip(files, spans, strict=True):
                    file.append(line[rows])
                rest[column] = line[len(line) - rest.shape[1] :]
            return _WrittenFeatures(files=[file.finish() for file in files], rest=rest)

    def _name(self, number: int) -> str:
        """Return the name of the block that is *number* blocks after the next one."""
        return f"{self.manifest.serial + number:05d}"

    def _file(self, name: str) -> BlockFile:
        return BlockFile(self.folder / "blocks" / name)

    def _write(self, name: str, values: np.ndarray) -> StoredFile:
        with self._file(name) as file:
            file.append(np.ascontiguousarray(values))
            return file.finish()

    def _publish(self, manifest: Manifest) -> None:
        sync(self.folder / "blocks")
        publish(self.folder / MANIFEST, manifest.to_json().encode())
        self.manifest = manifest

    def _demand_space(self, rows: int) -> None:
        needed = rows * (len(self.manifest.features) + 4 * len(self.manifest.targets) + 16)
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise OperatorNeeded(f"the era store needs {needed:,} bytes in {self.folder}, {free:,} are free; make room")


def _intact(folder: Path) -> Manifest | None:
    """Return a store's manifest up to the first block that lacks a file, ``None`` where the manifest is unreadable."""
    try:
        manifest = Manifest.read(folder / MANIFEST)
    except DatasetIncomplete:
        return None
    store = EraStore(folder, manifest)
    whole = tuple(takewhile(lambda block: not store.missing_files(block), manifest.blocks))
    return replace(manifest, blocks=whole, sources={})


def _parts(eras: Sequence[Era]) -> list[Sequence[Era]]:
    """Divide consecutive eras into blocks of about :data:`BLOCK_ROWS` rows."""
    count = max(1, round(sum(era.rows for era in eras) / BLOCK_ROWS))
    bounds = np.linspace(0, len(eras), count + 1).round().astype(int)
    return [eras[low:high] for low, high in pairwise(bounds) if low < high]


def _span(eras: Sequence[Era], origin: int) -> slice:
    """Return the rows of consecutive eras of a file among its rows from *origin* on."""
    return slice(eras[0].start - origin, eras[-1].stop - origin)


def _later_rows(eras: Sequence[Era], first: int) -> tuple[slice, slice]:
    """Return the rows from *first* on of a block's eras: in the block, and among the file's rows from *first* on."""
    start, stop = eras[0].start, eras[-1].stop
    low = min(max(start, first), stop)
    return slice(low - start, stop - start), slice(max(low - first, 0), max(stop - first, 0))


def _demand_pieces(source: ParquetSource, record: FileRecord, row: int) -> None:
    """Compare the pieces from the row group with a row to the end of the file with their digests before they are read."""
    if record.pieces and not record.holds(source.path, source.first_byte(row)):
        _refuse(source.path)


def _verified(path: Path, record: FileRecord | None) -> FileRecord:
    """
    Return a file's record, its digests where it has none; a file that changed since its download is removed.

    Of a file whose marks are those of its last check, only the footer is read here.
    """
    if not path.is_file():
        raise DatasetIncomplete(f"{path} is not there; run `bot sync`")
    if record is None:
        return FileRecord.of(path)
    if not (_has_footer(path, record) if record.is_untouched(path) else record.read(path)):
        _refuse(path)
    return record


def _has_footer(path: Path, record: FileRecord) -> bool:
    """Return whether the footer is as recorded."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 8, 0))
        footer = int.from_bytes(file.read(4), "little")
    return record.holds(path, max(size - 8 - footer, 0))


def _refuse(path: Path) -> NoReturn:
    """Remove a damaged file, so that it is fetched again."""
    path.unlink()
    raise DatasetIncomplete(f"{path} was damaged since its download and is removed; run `bot sync` again")
