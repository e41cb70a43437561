"""
From Numerai's parquet files to the era store: streaming, appending, and never half done.

Files are decoded some row groups and a few columns at a time, and the eras that are whole then are written from front
to back; only the rows of the one era that goes on in the next row group are held until it comes. So memory does not
grow with the data. Blocks are published by replacing the manifest, after each such reading; an interrupted run leaves a
valid store of fewer eras, which the next run completes. Nothing that a manifest names is ever written again.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import pairwise, takewhile
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import structlog

from bot.data._parquet import Codes, Era, ParquetSource
from bot.data.era_store import FEATURES, IDS, MANIFEST, TARGETS, Block, EraStore, Manifest, StoredFile
from bot.errors import DatasetIncomplete, OperatorNeeded, SchemaMismatch
from bot.system.files import publish, sha256_of, sync
from bot.system.progress import CountCallback
from bot.tournament.columns import FEATURE_PREFIX, is_target

BLOCK_ROWS = 65_536
"""Rows of a block, more or less: an era is in one block, and so is what one reading of the file completes."""

SAMPLED = 16
"""Features of eras that are stored already which are compared with a newer file."""

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
    expected: Mapping[str, str] | None = None,
    on_progress: CountCallback | None = None,
) -> EraStore:
    """
    Bring the store of a data version up to date with its parquet files, and open it.

    Eras that are stored already are not written again: only targets that have arrived since. Eras whose rows or
    features differ from the stored ones are replaced, and a schema of other columns starts a store of its own.

    Args:
        root: Folder of all stores.
        sources: Parquet files in the order of their eras.
        version: Data version.
        expected: sha256 that each file had when it was downloaded, by name; one that differs now is removed.
        on_progress: Called with the progress.

    Raises:
        DatasetIncomplete: A file is damaged, or its eras are not in order.
        SchemaMismatch: The files do not have the same columns, or columns of another type.
        OperatorNeeded: The disk is full; the store is what it was before, or has some of the new eras.
    """
    digests = {path.name: _sound(path, (expected or {}).get(path.name)) for path in sources}
    opened = [ParquetSource.open(path) for path in sources]
    schema = opened[0].columns
    for one in opened[1:]:
        one.demand(schema)
    features = tuple(name for name in schema if name.startswith(FEATURE_PREFIX))
    targets = tuple(name for name in schema if is_target(name))
    if not features or not targets:
        raise SchemaMismatch(
            f"{sources[0].name} has {len(features)} features and {len(targets)} targets, and needs both"
        )
    digest = hashlib.sha256("\n".join([*features, *targets]).encode()).hexdigest()[:8]
    folder = root / f"{version}-{digest}"
    (folder / "blocks").mkdir(parents=True, exist_ok=True)
    empty = Manifest(data_version=version, features=features, targets=targets, sources={})
    try:
        store = EraStore.open(folder)
    except DatasetIncomplete as error:
        if (folder / MANIFEST).exists():
            log.warning("store.rebuilt", reason=str(error))
        store = EraStore(folder, _intact(folder) or empty)
    writer = _Writer(store, on_progress)
    try:
        for source in opened:
            writer.take(source, digests[source.name])
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OperatorNeeded(f"the disk is full while writing {folder}; make room and run `bot sync` again") from None
    writer.sweep()
    return EraStore.open(folder)


class BlockFile:
    """
    A file being written.

    Use it as a context manager; leaving it closes the file.

    Args:
        path: Where; a file that is there makes room, and who has it mapped keeps it.

    Raises:
        OSError: The disk is full; so do the methods.
    """

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.path, self.bytes = path, 0
        self._sha256, self._since = hashlib.sha256(), 0
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
        """Write values of any shape after those before, as their bytes in C order; they are best contiguous."""
        content = values.reshape(-1).view(np.uint8).data
        self._sha256.update(content)
        self._file.write(content)
        self.bytes += len(content)
        self._since += len(content)
        if self._since >= FLUSH_BYTES:
            self._to_disk()

    def finish(self) -> StoredFile:
        """Bring everything to disk and say what was written."""
        self._to_disk()
        return StoredFile(name=self.path.name, bytes=self.bytes, sha256=self._sha256.hexdigest())

    def _to_disk(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self._since = 0


class _Writer:
    """Adds sources to a store; ``manifest`` is always what is published on disk."""

    def __init__(self, store: EraStore, on_progress: CountCallback | None) -> None:
        self.folder, self.manifest, self.on_progress = store.folder, store.manifest, on_progress

    def take(self, source: ParquetSource, sha256: str) -> None:
        """Append a source's new eras and update the targets of the others."""
        if self.manifest.sources.get(source.name) == sha256:
            return
        eras = source.eras()
        self._drop_changed(source, eras)
        holder = {era: block.source for block in self.manifest.blocks for era in block.eras}
        fresh = [era for era in eras if holder.get(era.label) != source.name]
        last = self.manifest.blocks[-1].eras[-1] if self.manifest.blocks else ""
        if fresh and fresh[0].label <= last:
            raise DatasetIncomplete(
                f"{source.path}: era {fresh[0].label} does not come after era {last}, which is stored already;"
                " delete the file and run `bot sync`"
            )
        self._update_targets(source, eras)
        if fresh:
            self._demand_space(sum(era.rows for era in fresh))
            self._append(source, fresh)
        self._publish(replace(self.manifest, sources={**self.manifest.sources, source.name: sha256}))
        log.info("store.updated", source=source.name, eras=len(eras), added=len(fresh))

    def sweep(self) -> None:
        """Remove files of blocks that no manifest names any more."""
        named = {file.name for file in EraStore(self.folder, self.manifest).files()}
        for path in (self.folder / "blocks").iterdir():
            if path.name not in named:
                path.unlink()

    def _drop_changed(self, source: ParquetSource, eras: Sequence[Era]) -> None:
        """Forget the stored eras of a source from the first one on that its file now has otherwise."""
        mine = [index for index, block in enumerate(self.manifest.blocks) if block.source == source.name]
        if not mine:
            return
        store = EraStore(self.folder, self.manifest)
        where = {era.label: era for era in eras}
        sample = np.sort(
            np.random.default_rng(len(eras)).choice(
                len(self.manifest.features), size=min(SAMPLED, len(self.manifest.features)), replace=False
            )
        )
        ids = source.ids()
        codes = np.stack([source.codes(self.manifest.features[index]) for index in sample])
        for index in mine:
            block = self.manifest.blocks[index]
            place = [where.get(label) for label in block.eras]
            if all(era is not None and era.rows == rows for era, rows in zip(place, block.rows, strict=True)):
                rows = _span([era for era in place if era is not None])
                same_ids = np.array_equal(store.part(block, IDS)[0], ids[rows])
                if same_ids and np.array_equal(store.part(block, FEATURES)[sample], codes[:, rows]):
                    continue
            log.warning("store.changed", source=source.name, first_era=block.eras[0], reason="the server rewrote it")
            self.manifest = replace(self.manifest, blocks=self.manifest.blocks[:index])
            return

    def _update_targets(self, source: ParquetSource, eras: Sequence[Era]) -> None:
        """Write the targets of stored blocks anew where the file knows others; eras may be marked otherwise then."""
        where = {era.label: era for era in eras}
        mine = [index for index, block in enumerate(self.manifest.blocks) if block.source == source.name]
        if not mine:
            return
        store = EraStore(self.folder, self.manifest)
        values = source.floats(self.manifest.targets)
        blocks = list(self.manifest.blocks)
        for index in mine:
            place = [where[label] for label in blocks[index].eras]
            block = blocks[index] = replace(blocks[index], kinds=tuple(era.kind for era in place))
            now = np.ascontiguousarray(values[:, _span(place)])
            if now.tobytes() == store.part(block, TARGETS).tobytes():
                continue
            stem, _, count = block.files[TARGETS].name.rpartition(".")
            file = self._write(f"{stem}.{int(count) + 1}", now)
            blocks[index] = replace(block, files={**block.files, TARGETS: file})
        self._publish(replace(self.manifest, blocks=tuple(blocks)))

    def _append(self, source: ParquetSource, fresh: Sequence[Era]) -> None:
        """Stream the new eras into blocks; publish those that some row groups complete before the next are read."""
        ids, targets = source.ids(), source.floats(self.manifest.targets)
        total, waiting = sum(era.rows for era in fresh), list(fresh)
        held = np.empty((len(self.manifest.features), 0), dtype=np.int8)
        for start, stop in source.spans(BLOCK_ROWS):
            if stop <= fresh[0].start:
                continue
            whole = [era for era in waiting if era.stop <= stop]
            waiting = waiting[len(whole) :]
            parts = _parts(whole)
            features, held = self._features(source, parts, max(start, fresh[0].start), stop, held)
            blocks = [
                Block(
                    source=source.name,
                    eras=tuple(era.label for era in part),
                    rows=tuple(era.rows for era in part),
                    kinds=tuple(era.kind for era in part),
                    files={
                        FEATURES: file,
                        TARGETS: self._write(f"{self._name(number)}.{TARGETS}.0", targets[:, _span(part)]),
                        IDS: self._write(f"{self._name(number)}.{IDS}", ids[_span(part)]),
                    },
                )
                for number, (part, file) in enumerate(zip(parts, features, strict=True))
            ]
            grown = (*self.manifest.blocks, *blocks)
            self._publish(replace(self.manifest, blocks=grown, serial=self.manifest.serial + len(blocks)))
            if self.on_progress is not None:
                self.on_progress(total - sum(era.rows for era in waiting), total)

    def _features(
        self, source: ParquetSource, parts: Sequence[Sequence[Era]], start: int, stop: int, held: Codes
    ) -> tuple[list[StoredFile], Codes]:
        """
        Write the features of new blocks, each column of each from front to back.

        Args:
            source: Of the rows.
            parts: Eras of each block, which end before *stop*.
            start: First row to read.
            stop: Row after the last one.
            held: The rows before *start* that no block has yet. Shape ``(F, rows)``.

        Returns:
            A file for each block, and the rows before *stop* that no block has yet.
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
            return [file.finish() for file in files], rest

    def _name(self, number: int) -> str:
        """Return the name of a block that is not published yet."""
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
    """Return what a store holds before the first block that lacks a file, ``None`` where it does not know itself."""
    try:
        manifest = Manifest.read(folder / MANIFEST)
    except DatasetIncomplete:
        return None
    store = EraStore(folder, manifest)
    whole = tuple(takewhile(lambda block: not store.missing_files(block), manifest.blocks))
    return replace(manifest, blocks=whole, sources={})


def _parts(eras: Sequence[Era]) -> list[Sequence[Era]]:
    """Share consecutive eras out among blocks of the usual size."""
    count = max(1, round(sum(era.rows for era in eras) / BLOCK_ROWS))
    bounds = np.linspace(0, len(eras), count + 1).round().astype(int)
    return [eras[low:high] for low, high in pairwise(bounds) if low < high]


def _span(eras: Sequence[Era]) -> slice:
    """Return the rows of consecutive eras in their file."""
    return slice(eras[0].start, eras[-1].stop)


def _sound(path: Path, expected: str | None) -> str:
    """Return a file's sha256; one that changed since its download is removed, so that it is fetched again."""
    try:
        found = sha256_of(path)
    except FileNotFoundError:
        raise DatasetIncomplete(f"{path} is not there; run `bot sync`") from None
    if expected is not None and found != expected:
        path.unlink()
        raise DatasetIncomplete(f"{path} was damaged since its download and is removed; run `bot sync` again")
    return found
