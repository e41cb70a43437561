"""
Keep the scores of judged models: equal models give equal scores for equal rows.

The eras of a judgement are scored several times: for the weights, for the decision, for the report, as those of the next
challenger's champion, and for every recipe that has the same members with other weights or another neutralization.
"""

import hashlib
import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from bot.features.preprocess import Prepared, Preprocess
from bot.members import registry
from bot.members.registry import Model, ScoreModel, Source
from bot.members.rows import EraRows, HistoryInput, Scores
from bot.system.files import publish, sha256_of

KEPT_S = 90 * 86400.0
"""Seconds after which the scores of a model that was not scored again are removed."""

KEPT_BYTES = 1 << 30
"""Bytes that scores may take; those of the models that were not scored for longest are removed first."""

log = structlog.get_logger()


@dataclass(kw_only=True)
class _ColumnDigest:
    """The digest of the columns that were scored last: the models of an ensemble mostly read the same ones, one after another."""

    _of: Prepared | None = None
    _digest: Any = None

    def digest(self, prepared: Prepared) -> Any:  # noqa: ANN401 - hashlib's type is private
        """Return a digest of prepared rows that can be updated."""
        if self._of is not prepared:
            self._digest = hashlib.blake2b(digest_size=16)
            _update(self._digest, prepared.features, prepared.engineered)
            self._of = prepared
        return self._digest.copy()


@dataclass(kw_only=True)
class ModelScores:
    """
    Kept scores of one model, whatever its members are called.

    Attributes:
        path: File of the scores.
        preprocess: Preprocessing of the rows.
        history: History that the model reads; ``None`` where it reads none.
        columns: Digest that models share.
    """

    path: Path
    preprocess: Preprocess
    history: HistoryInput | None
    columns: _ColumnDigest
    _known: Mapping[str, Scores] = field(default_factory=dict)
    _new: dict[str, Scores] = field(default_factory=dict)

    def score(self, names: Sequence[str], model: Model, rows: EraRows) -> Mapping[str, Scores]:
        """
        Return the scores of each member, from before where these rows were scored. Shape ``(rows,)`` each.

        Args:
            names: The members, in the order of the model's outputs.
            model: The model.
            rows: Rows of one era.
        """
        key = self._digest(rows)
        held = self._find(key)
        if held is None or held.shape != (len(names), rows.count):
            scores = model.score(rows)
            if set(scores) != set(names):  # a member cannot score this era
                return scores
            held = self._new[key] = np.stack([scores[name] for name in names])
        return dict(zip(names, held, strict=True))

    def _find(self, key: str) -> Scores | None:
        if key in self._new:
            return self._new[key]
        try:
            return self._known.get(key)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):  # damaged
            return None

    def _digest(self, rows: EraRows) -> str:
        """Return the digest of everything that a model may read of some rows."""
        window = None if self.history is None else rows.window(self.history)
        digest = self.columns.digest(rows.prepared(self.preprocess))
        _update(digest, window, rows.benchmark)
        return str(digest.hexdigest())

    def save(self) -> None:
        """Write the new scores beside those from before."""
        if not self._new:
            if self.path.exists():
                os.utime(self.path)
            return
        every = {**dict(self._readable()), **self._new}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        publish(self.path, lambda file: np.savez(file, **every))  # type: ignore[arg-type]  # keys are digests
        self._known, self._new = every, {}

    def _readable(self) -> Iterator[tuple[str, Scores]]:
        for key in self._known:
            if (held := self._find(key)) is not None:
                yield key, held


@dataclass(kw_only=True)
class KeptScores:
    """
    Scores of judged models, by the contents of the models' files and of the rows.

    Attributes:
        folder: Folder of the scores; it is made when some are saved.
    """

    folder: Path
    _open: dict[str, ModelScores] = field(default_factory=dict)
    _columns: _ColumnDigest = field(default_factory=_ColumnDigest)

    def of(self, source: Source) -> ScoreModel | None:
        """Return the function that scores a model; ``None`` for a kind whose scores depend on more than its files and the rows."""
        owner = source.unit.owner
        kind = registry.find(owner.kind)
        needs = kind.needs(owner)
        if not needs.training or needs.elsewhere or needs.files:
            return None
        begin = f"{source.prefix}{owner.name}"
        content = {
            "versions": [kind.version, version("numerai-bot"), version("onnxruntime")],
            "kind": owner.kind,
            "options": asdict(owner.options),
            "targets": [one.target for one in source.unit.members],
            "files": {
                path.name.removeprefix(begin): sha256_of(path)
                for path in sorted(source.folder.iterdir())
                if path.name.startswith(begin)
            },
            "preprocess": source.preprocess.digest,
        }
        key = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]
        if key not in self._open:
            history = HistoryInput(features=source.preprocess.features, targets=needs.history, lookback=needs.lookback)
            path = self.folder / f"{key}.npz"
            self._open[key] = ModelScores(
                path=path,
                preprocess=source.preprocess,
                history=history if needs.history else None,
                columns=self._columns,
                _known=_read(path),
            )
        return partial(self._open[key].score, [one.name for one in source.unit.members])

    def save(self) -> None:
        """Write new scores, and remove old ones; a disk that is full costs the scores only."""
        try:
            for one in self._open.values():
                one.save()
            self._remove_unused()
        except OSError as error:
            log.warning("scores.not_kept", reason=str(error))

    def _remove_unused(self) -> None:
        total = 0
        for path in sorted(self.folder.glob("*.npz"), key=lambda one: -one.stat().st_mtime):
            about = path.stat()
            total += about.st_size
            if total > KEPT_BYTES or about.st_mtime < time.time() - KEPT_S:
                path.unlink(missing_ok=True)


def _read(path: Path) -> Mapping[str, Scores]:
    """Return the scores of a file; each is read, and its checksum compared, when it is asked for."""
    with suppress(OSError, ValueError, EOFError, zipfile.BadZipFile):
        found: Mapping[str, Scores] = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        return found
    return {}


def _update(digest: Any, *arrays: npt.NDArray[np.generic] | None) -> None:  # noqa: ANN401 - hashlib's type is private
    for values in arrays:
        digest.update(b"-" if values is None else _layout(values))
        if values is not None:
            digest.update(_in_memory_order(values).data)


def _layout(values: npt.NDArray[np.generic]) -> bytes:
    return repr((values.shape, values.dtype.str, values.flags.f_contiguous)).encode()


def _in_memory_order(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    """Return values, or their transposition where columns are contiguous, as bytes that need no copy."""
    return values.T if values.flags.f_contiguous else np.ascontiguousarray(values)
