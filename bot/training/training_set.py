"""
Training set: prepared rows, lagged factor history and targets, one era at a time.

Only one era is in memory at a time. Tree models read columns of the store in place; derived columns can be written to
disk. The module imports no training library, because code that only scores uses it too.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bot.data.era_store import FEATURES, Columns, EraStore
from bot.features.preprocess import Prepared, Preprocess, prepare
from bot.history.factor_history import FeatureReturns, LatestWindow, feature_returns, latest_window, window
from bot.members.fitting import Fold
from bot.members.rows import HistoryInput
from bot.scoring.residual import residual
from bot.system.progress import CountCallback
from bot.training._temporary_columns import TemporaryColumns
from bot.training.splits import walk_forward
from models.training.era_batch import EraBatch
from models.trees.gbm_options import Chunks


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRows:
    """
    Labelled rows for a tree model.

    Attributes:
        chunks: Columns of each run of eras, features before engineered ones.
        labels: Target of the rows. Shape ``(rows,)``.
    """

    chunks: Chunks
    labels: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """
    A store, the preprocessing that training and live share, and the table of realised feature returns.

    Attributes:
        store: Raw columns of the training set.
        manifest: Preprocessing.
        targets: Targets that the model learns, in order.
        returns: Realised feature returns of the history targets; empty when the history is switched off.
        lookback: Resolved eras on the historical axis.
        predictions: Function of a position that returns another model's out-of-sample predictions of each target in
            that era, float32, shape ``(rows, T)``, or ``None`` where there are none. ``None``: not stacked.
        benchmark: Normal scores of a benchmark's predictions by position of the eras that it covers, NaN in rows without
            one, float32, shape ``(rows,)``. The member decides their use: residual labels, the penalty, early stopping.
            ``None``: it uses none.
        residual: Share of the benchmark's part that :meth:`label` takes out of a target; ``None``: the target itself.
    """

    store: Columns
    manifest: Preprocess
    targets: tuple[str, ...]
    returns: FeatureReturns | None
    lookback: int
    predictions: Callable[[int], np.ndarray | None] | None = None
    benchmark: Mapping[int, np.ndarray] | None = None
    residual: float | None = None
    _unchanged: set[int] = field(default_factory=set, repr=False, compare=False)

    @classmethod
    def build(
        cls,
        store: Columns,
        manifest: Preprocess,
        *,
        targets: Sequence[str],
        history_targets: Sequence[str],
        lookback: int,
        returns: FeatureReturns | None = None,
    ) -> "TrainingSet":
        """
        Make a training set; compute the realised returns of its features era by era where *returns* is ``None``.

        :mod:`bot.history.factor_history` defines which of them a later era may use.
        """
        if returns is None and lookback and history_targets:
            columns = [store.target_names.index(name) for name in history_targets]
            values = np.stack(
                [
                    feature_returns(
                        prepare(manifest, store.feature_names, store.features(position)).features,
                        store.targets(position)[:, columns],
                    )
                    for position in range(len(store.eras))
                ]
            )
            returns = FeatureReturns(eras=store.eras, targets=tuple(history_targets), values=values)
        return cls(store=store, manifest=manifest, targets=tuple(targets), returns=returns, lookback=lookback)

    @classmethod
    def select(
        cls,
        store: EraStore,
        manifest: Preprocess,
        *,
        targets: Sequence[str],
        further_targets: Sequence[str] = (),
        history_targets: Sequence[str],
        lookback: int,
        table: FeatureReturns,
    ) -> "TrainingSet":
        """
        Select the columns of *manifest* from a store, and their realised returns from the *table* of all features.

        The caller reads *further_targets* too, which no model learns.

        Returns for targets that the table lacks are computed from the store.

        Raises:
            SchemaMismatch: The store lacks a feature or a target.
        """
        columns = store.select(manifest.features, tuple(dict.fromkeys((*targets, *further_targets, *history_targets))))
        position = {name: index for index, name in enumerate(store.manifest.features)}
        known = bool(history_targets) and set(history_targets) <= set(table.targets)
        return cls.build(
            columns,
            manifest,
            targets=targets,
            history_targets=history_targets,
            lookback=lookback,
            returns=table.select([position[name] for name in manifest.features], history_targets) if known else None,
        )

    def prepared(self, position: int) -> Prepared:
        """Return the prepared rows of the era at *position*; missing values are searched for in its first use only."""
        codes, unchanged = self.store.features(position), position in self._unchanged
        rows = prepare(self.manifest, self.store.feature_names, codes, unchanged=unchanged)
        if rows.unchanged:
            self._unchanged.add(position)
        return rows

    def window(self, position: int) -> np.ndarray | None:
        """Return the feature returns that were resolved when the era at *position* was live. Shape ``(L, F, T)``."""
        return None if self.returns is None else window(self.returns, position, self.lookback)

    @property
    def history(self) -> HistoryInput | None:
        """Return the part of the history that :meth:`window` has; ``None`` without history."""
        if self.returns is None:
            return None
        return HistoryInput(features=self.manifest.features, targets=self.returns.targets, lookback=self.lookback)

    @property
    def era_names(self) -> Sequence[str]:
        """Return the name of each era."""
        return self.store.eras

    @property
    def content(self) -> str:
        """Return the sha256 of the stored files and of the preprocessing."""
        files = [file.sha256 for block in self.store.store.manifest.blocks for file in block.files.values()]
        return hashlib.sha256(json.dumps([self.manifest.digest, files]).encode()).hexdigest()

    def with_predictions(self, predictions: Callable[[int], np.ndarray | None]) -> "TrainingSet":
        """Return the same eras with stacked predictions."""
        return replace(self, predictions=predictions)

    def labelled(self, target: str) -> np.ndarray:
        """Return for each era whether a target is known in it. Shape ``(eras,)``."""
        return self.store.labelled(target)

    def rows(self, position: int) -> int:
        """Return the number of rows of an era."""
        return int(self.store.offsets[position + 1] - self.store.offsets[position])

    def folds(self, target: str, *, chunk: int, every: int) -> tuple[Fold, ...]:
        """Return walk-forward folds of all eras, labelled or not; see :func:`bot.training.splits.walk_forward`."""
        known = np.ones(len(self.store.eras), dtype=np.bool_)
        splits = walk_forward(self.store.eras, labelled=known, targets=(target,), chunk=chunk, every=every)
        return tuple(Fold(train=one.train, validation=one.validation) for one in splits)

    def live_window(self) -> LatestWindow | None:
        """Return the newest resolved feature returns, ``None`` where no network reads them."""
        return None if self.returns is None else latest_window(self.returns, self.lookback)

    def target(self, position: int, name: str) -> np.ndarray:
        """Return one target of the era at *position*, NaN where unknown. Shape ``(rows,)``, float32."""
        return self.store.target(position, name)

    def label(self, position: int, name: str) -> np.ndarray:
        """Return the label of a target: the target, or its residual where there is a benchmark; NaN where unknown."""
        target = self.target(position, name)
        if self.residual is None or self.benchmark is None:
            return target
        benchmark = self.benchmark.get(position)
        if benchmark is None:
            return np.full_like(target, np.nan)
        return residual(target, benchmark, share=self.residual)

    def eras(self, positions: Sequence[int], weights: Mapping[int, float] | None = None) -> "Eras":
        """Return the eras at *positions* as batches, with their weights in the loss where they have some."""
        return Eras(data=self, positions=tuple(positions), weights=weights)

    def table(
        self,
        positions: Sequence[int],
        target: str,
        *,
        temporary: Path | None = None,
        on_progress: CountCallback | None = None,
    ) -> TreeRows:
        """
        Return the labelled rows of the eras at *positions* for a tree model.

        Features are views of the store where the preprocessing does not change the raw codes. Changed features are
        copied as int8 and engineered columns are made as float32; with a missing category, that is most of the data.

        Args:
            positions: Positions of the eras, ascending.
            target: Full name of the target.
            temporary: Folder for the copies, so that only one block of the store at a time is in memory.
            on_progress: Called with the eras done and those in all.
        """
        chunks, labels, done = [], [], 0
        with nullcontext() if temporary is None else TemporaryColumns(temporary) as disk:
            for run in self.store.runs(positions):
                eras = [self.prepared(position) for position in run]
                known = np.concatenate([self.label(position, target) for position in run])
                keep = np.isfinite(known)
                columns = [
                    stored if np.array_equal(stored, prepared) else prepared
                    for stored, prepared in zip(
                        self.store.in_place(run), _joined([era.features for era in eras]), strict=True
                    )
                ]
                columns += _joined([era.engineered for era in eras])
                columns = columns if keep.all() else [column[keep] for column in columns]
                chunks.append(columns if disk is None else disk.write(columns))
                labels.append(known[keep])
                done += len(run)
                if on_progress is not None:
                    on_progress(done, len(positions))
        return TreeRows(chunks=chunks, labels=np.concatenate(labels))

    def digest(self, positions: Sequence[int], target: str) -> str:
        """Return the sha256 of everything that determines the rows of :meth:`table`, except the labels."""
        places = [self.store.store.place(position) for position in positions]
        known = [np.packbits(np.isfinite(self.label(position, target))).tobytes() for position in positions]
        content = {
            "preprocess": self.manifest.digest,
            "eras": [
                [self.store.eras[position], one.block.files[FEATURES].sha256, one.rows.start, one.rows.stop]
                for position, one in zip(positions, places, strict=True)
            ],
            "known": hashlib.sha256(b"".join(known)).hexdigest(),
        }
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Eras:
    """Some eras of a training set, batch by batch, for :func:`models.training.training.train`."""

    data: TrainingSet
    positions: tuple[int, ...]
    weights: Mapping[int, float] | None = None

    @property
    def eras(self) -> tuple[str, ...]:
        """Return the labels of the eras."""
        return tuple(self.data.store.eras[position] for position in self.positions)

    def batch(self, index: int) -> EraBatch:
        """Return the *index*-th of the eras."""
        position = self.positions[index]
        data = self.data
        rows = data.prepared(position)
        columns = [data.store.target_names.index(name) for name in data.targets]
        return EraBatch(
            era=data.store.eras[position],
            features=rows.features,
            engineered=rows.engineered,
            targets=data.store.targets(position)[:, columns],
            predictions=None if data.predictions is None else data.predictions(position),
            benchmark=None if data.benchmark is None else data.benchmark.get(position),
            weight=1.0 if self.weights is None else self.weights[position],
        )

    def window(self, index: int) -> np.ndarray | None:
        """Return the feature returns that were resolved when the *index*-th era was live."""
        return self.data.window(self.positions[index])


def _joined(eras: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the columns of the concatenated matrices, each contiguous."""
    return list(np.ascontiguousarray(np.concatenate(eras).T))
