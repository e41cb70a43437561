"""
Factor history: feature returns of resolved eras, as the network's historical input.

Ids are new in every era, so rows cannot be followed over time; features can. A feature's return in an era is its
correlation with a target, known once the era's targets are resolved. One step of the historical axis is one resolved
era, newest first. This module makes the window of feature returns that rows of an era may use. The network combines it
with the features (:mod:`models.network.factor_history`), by the same graph in training and live.

Every function that could leak takes a position, and refuses a lag shorter than the target's horizon plus settlement.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from bot.errors import ArtifactInvalid, LeakageRefused, SchemaMismatch
from bot.features.codes import Codes
from bot.system.files import seal, unseal
from bot.tournament.columns import HISTORY_LAG, horizon
from models.bins import MIDDLE_BIN, MISSING_CATEGORY

Floats = npt.NDArray[np.float32]
SCALE = 50.0
"""Factor that brings the channels to unit size: within an era, the correlation of a feature with a target has a standard
deviation near .02 and a centred feature one of sqrt(2); dividing by sqrt(|g|) offsets the number of features added."""

CONSTANT_BELOW = 1e-9
"""Standard deviation up to which a feature counts as constant."""


def feature_returns(features: Codes, targets: npt.NDArray[np.floating]) -> Floats:
    """
    Return the Pearson correlation of each feature with each target in one era.

    Args:
        features: Feature codes. Shape ``(rows, F)``, int8; the missing codes -1 and 5 count as the middle bin.
        targets: Targets, NaN where unknown; such rows are left out, target by target. Shape ``(rows, T)``.

    Returns:
        Shape ``(F, T)``, float32: 0 for a constant feature, NaN for a target without two known, different values.
    """
    returns = np.full((features.shape[1], targets.shape[1]), np.nan, dtype=np.float32)
    known = np.isfinite(targets)
    # Targets of one horizon are mostly known in the same rows, so these rows are cast and summed once for all of them.
    # Targets of other rows are 0 here and keep their columns: the last bits of a product depend on its shape, and a
    # target's return must not depend on the other targets that are known.
    for mask in {column.tobytes(): column for column in known.T}.values():
        y = np.where((known == mask[:, np.newaxis]).all(axis=0), targets[mask], 0.0).astype(np.float64)
        varies = np.ptp(y, axis=0) > 0 if len(y) > 1 else np.zeros(y.shape[1], dtype=np.bool_)
        if not varies.any():
            continue
        x = _filled(features if mask.all() else features[mask])
        y -= y.mean(axis=0)
        # One product gives covariances and sums. Sums of small whole numbers are exact in float32 in any order.
        product = np.column_stack([y, np.ones(len(y))]).astype(np.float32).T @ x
        mean = product[-1].astype(np.float64) / len(x)
        x_scale = np.sqrt(np.maximum(np.einsum("rf,rf->f", x, x).astype(np.float64) / len(x) - mean**2, 0.0))
        covariance = product[:-1].astype(np.float64) / len(x)
        covariance -= np.outer(y.astype(np.float32).mean(axis=0, dtype=np.float64), mean)
        scale = np.outer(y.std(axis=0)[varies], x_scale)
        correlations = np.divide(covariance[varies], scale, out=np.zeros(scale.shape), where=x_scale > CONSTANT_BELOW)
        returns[:, varies] = correlations.T
    return returns


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReturns:
    """
    Return of every feature in every era.

    Attributes:
        eras: Era labels in order; consecutive positions are consecutive weeks.
        targets: Full target names; their horizons set the lags.
        values: Feature returns, NaN where a target is not resolved. Shape ``(eras, F, T)``, float32.
    """

    eras: tuple[str, ...]
    targets: tuple[str, ...]
    values: Floats

    def select(self, features: Sequence[int], targets: Sequence[str]) -> "FeatureReturns":
        """Return the returns of some features, chosen by position, and some targets, chosen by name."""
        columns = [self.targets.index(name) for name in targets]
        chosen = self.values[:, list(features)][:, :, columns]
        return FeatureReturns(eras=self.eras, targets=tuple(targets), values=chosen)


def window(table: FeatureReturns, position: int, lookback: int, *, lags: Mapping[str, int] | None = None) -> Floats:
    """
    Return the feature returns that were resolved when the era at *position* was live.

    Args:
        table: Feature returns of all eras; nothing newer than the lag is read.
        position: Position of the era that is scored; ``len(table.eras)`` is the first live era.
        lookback: Number of steps of the historical axis.
        lags: Eras between the scored era and the newest one used, by target; the default is the minimum.

    Returns:
        Newest era first, 0 where there is no resolved era. Shape ``(lookback, F, T)``, float32.

    Raises:
        LeakageRefused: A lag is shorter than the target needs to resolve.
    """
    features = table.values.shape[1]
    values = np.zeros((lookback, features, len(table.targets)), dtype=np.float32)
    for column, target in enumerate(table.targets):
        lag = minimum_lag(target) if lags is None else lags[target]
        if lag < minimum_lag(target):
            raise LeakageRefused(
                f"{target} is known {minimum_lag(target)} eras later; a history with lag {lag} would see the future"
            )
        newest = position - lag
        oldest = max(newest - lookback + 1, 0)
        if newest < 0:
            continue
        past = table.values[oldest : newest + 1, :, column][::-1]
        values[: len(past), :, column] = np.nan_to_num(past, nan=0.0)
    return values


def minimum_lag(target: str) -> int:
    """Return the least number of eras from a row back to the newest era whose *target* its history may use."""
    return HISTORY_LAG[horizon(target)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatestWindow:
    """
    The newest resolved feature returns.

    Attributes:
        values: Feature returns, newest era first. Shape ``(lookback, F, T)``, float32.
        newest_eras: Label of the newest resolved era of each target, empty where there is none.
    """

    values: Floats
    newest_eras: dict[str, str]


def latest_window(table: FeatureReturns, lookback: int) -> LatestWindow:
    """
    Return the newest resolved feature returns, for live rows.

    Live rows come after every era of the table, so every era that is resolved in the data was resolved before them. The
    minimum lag is kept all the same.
    """
    position, newest = len(table.eras), {}
    for column, target in enumerate(table.targets):
        resolved = np.flatnonzero(~np.isnan(table.values[: position - minimum_lag(target) + 1, :, column]).all(axis=1))
        newest[target] = table.eras[resolved[-1]] if len(resolved) else ""
    return LatestWindow(values=window(table, position, lookback), newest_eras=newest)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryState:
    """
    The window of live rows, as it is stored in an artifact or published.

    Attributes:
        features: Names along the window's second axis.
        targets: Names along the window's third axis.
        window: Feature returns, newest resolved era first. Shape ``(L, F, T)``, float32.
        newest_era: Newest resolved era by target.
        built_from_era: Newest era of the data that the window was built from, resolved or not.
        stale_after: Aware time by which newer eras must have resolved; ``None`` for a state that is never served.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    window: Floats
    newest_era: Mapping[str, str]
    built_from_era: str
    stale_after: datetime | None = None

    def select(self, features: Sequence[str], targets: Sequence[str], lookback: int) -> Floats:
        """
        Return the part of the window that an artifact was trained on. Shape ``(lookback, features, targets)``.

        Raises:
            SchemaMismatch: The state lacks a feature, a target or an era of that part.
        """
        rows = {name: index for index, name in enumerate(self.features)}
        columns = {name: index for index, name in enumerate(self.targets)}
        absent = [name for name in features if name not in rows] + [name for name in targets if name not in columns]
        if absent or lookback > len(self.window):
            what = absent[0] if absent else f"{lookback} eras"
            raise SchemaMismatch(f"the history state has no {what}; run `bot sync`")
        chosen = np.ix_(range(lookback), [rows[name] for name in features], [columns[name] for name in targets])
        return np.ascontiguousarray(self.window[chosen])

    def to_bytes(self) -> bytes:
        """Return the state as an npz archive without pickles, followed by its digest."""
        description = {
            "features": self.features,
            "targets": self.targets,
            "newest_era": dict(self.newest_era),
            "built_from_era": self.built_from_era,
            "stale_after": None if self.stale_after is None else self.stale_after.isoformat(),
        }
        buffer = io.BytesIO()
        np.savez(buffer, window=self.window, about=np.frombuffer(json.dumps(description).encode(), dtype=np.uint8))
        return seal(buffer.getvalue())

    @classmethod
    def from_bytes(cls, content: bytes) -> "HistoryState":
        """
        Read a state from its bytes.

        Raises:
            ArtifactInvalid: The bytes are not a history state.
        """
        try:
            archive = np.load(io.BytesIO(unseal(content)), allow_pickle=False)
            description = json.loads(archive["about"].tobytes())
            state = cls(
                features=tuple(description["features"]),
                targets=tuple(description["targets"]),
                window=archive["window"],
                newest_era=description["newest_era"],
                built_from_era=description["built_from_era"],
                stale_after=datetime.fromisoformat(description["stale_after"]) if description["stale_after"] else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactInvalid(f"the history state is damaged: {error}") from None
        if state.window.ndim != 3 or state.window.shape[1:] != (len(state.features), len(state.targets)):
            raise ArtifactInvalid(
                f"the history state's window has shape {state.window.shape}, which fits no feature list"
            )
        return state


def _filled(features: Codes) -> Floats:
    """Return codes as float32, missing ones as the middle bin."""
    filled = features.astype(np.float32)
    # As unsigned bytes, the missing code -1 is 255: one comparison finds both missing codes.
    codes = features.view(np.uint8)
    if codes.max(initial=0) >= MISSING_CATEGORY:
        filled[codes >= MISSING_CATEGORY] = MIDDLE_BIN
    return filled
