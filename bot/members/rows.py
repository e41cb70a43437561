"""
Rows of one era as members read them, whatever their source.

A member reads its own preprocessing and its own part of the factor history. Both are made once for all members that
share them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bot.errors import SchemaMismatch
from bot.features.preprocess import Prepared, Preprocess, prepare
from bot.history.factor_history import HistoryState

Floats = npt.NDArray[np.float32]
Scores = npt.NDArray[np.floating]

MAX_OUT_OF_RANGE = 0.01
"""Largest share of values outside 0 to 4 that are filled as missing. More of them mean a new coding of the features."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryInput:
    """
    Part of the factor history that a network reads.

    Attributes:
        features: Features along the second axis of the window.
        targets: Targets along its third axis.
        lookback: Resolved eras along its first axis.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    lookback: int


class EraRows(Protocol):
    """Rows of one era."""

    @property
    def count(self) -> int:
        """Return the number of rows."""
        ...

    @property
    def benchmark(self) -> npt.NDArray[np.float64] | None:
        """Return the predictions of Numerai's benchmark model, NaN where it has none; ``None`` without them."""
        ...

    @property
    def files(self) -> "LiveFiles | None":
        """Return the round's files, for members that read them themselves; ``None`` for rows of the history."""
        ...

    def prepared(self, preprocess: Preprocess) -> Prepared:
        """Return the rows after a preprocessing."""
        ...

    def window(self, wanted: HistoryInput) -> Floats | None:
        """Return feature returns that were resolved at the era, newest first, shape ``(L, F, T)``; ``None`` without history."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFiles:
    """
    Files of a round.

    Attributes:
        live: Path of ``live.parquet``.
        benchmark: Path of the benchmark models' predictions; ``None`` where there are none.
        ids: Ids of the rows, in their order.
        deadline: Time of :func:`time.monotonic` at which all members must have returned.
        state_dir: State directory, on whose disk a member may work.
    """

    live: Path
    benchmark: Path | None
    ids: Sequence[str]
    deadline: float
    state_dir: Path


@dataclass(kw_only=True)
class RawRows:
    """
    Rows of raw codes: those of a live file, of a golden batch, or rows whose features were changed.

    Attributes:
        names: Columns of *values*; a member takes those that it was trained on.
        values: Raw codes. Shape ``(rows, columns)``, int8.
        history: History at the era; ``None`` masks it.
        benchmark: See :attr:`EraRows.benchmark`.
        files: See :attr:`EraRows.files`.
    """

    names: Sequence[str]
    values: npt.NDArray[np.int8]
    history: HistoryState | None = None
    benchmark: npt.NDArray[np.float64] | None = None
    files: LiveFiles | None = None
    _prepared: dict[str, Prepared] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    def prepared(self, preprocess: Preprocess) -> Prepared:
        """
        Return the rows after a preprocessing.

        Raises:
            SchemaMismatch: A feature of the preprocessing is missing, or the features have a new coding.
        """
        found = self._prepared.get(preprocess.digest)
        if found is None:
            found = self._prepared[preprocess.digest] = prepare(preprocess, self.names, self.values)
            if found.out_of_range > MAX_OUT_OF_RANGE * found.features.size:
                raise SchemaMismatch(
                    f"{found.out_of_range / found.features.size:.1%} of the feature values lie outside 0 to 4"
                    f" (limit {MAX_OUT_OF_RANGE:.0%}): the features have a new coding; retrain on the current data"
                )
        return found

    def window(self, wanted: HistoryInput) -> Floats | None:
        """Return the part of the history that a network reads, ``None`` where it is masked."""
        return None if self.history is None else self.history.select(wanted.features, wanted.targets, wanted.lookback)


@dataclass(kw_only=True)
class ChangedRows(RawRows):
    """
    Raw rows of an era whose features were changed.

    Attributes:
        era: Rows of the same era, whose history holds for the changed ones too.
    """

    era: EraRows

    def window(self, wanted: HistoryInput) -> Floats | None:
        """Return the window of the era."""
        return self.era.window(wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRows:
    """
    Some rows of an era.

    Attributes:
        rows: All rows.
        place: Positions of the chosen ones. Shape ``(chosen,)``.
        benchmark: Predictions of the benchmark for the chosen rows; see :attr:`EraRows.benchmark`.
        files: See :attr:`EraRows.files`.
    """

    rows: EraRows
    place: npt.NDArray[np.intp]
    benchmark: npt.NDArray[np.float64] | None
    files: LiveFiles | None = None

    @property
    def count(self) -> int:
        """Return the number of chosen rows."""
        return len(self.place)

    def prepared(self, preprocess: Preprocess) -> Prepared:
        """Return the chosen rows after a preprocessing of all."""
        found = self.rows.prepared(preprocess)
        return replace(found, features=found.features[self.place], engineered=found.engineered[self.place])

    def window(self, wanted: HistoryInput) -> Floats | None:
        """Return the window of all rows."""
        return self.rows.window(wanted)
