"""
Lagged factor history: the historical covariates of a row that has no history of its own.

Ids are new in every era, so no stock can be followed. What can be followed is what each feature *earned*: its
correlation with a target inside each era whose targets are resolved. One step of the historical axis is one resolved
era, newest first. This module makes the window of feature returns that rows of an era may see; what it says about a row
is worked out inside the network (:mod:`models.network.factor_history`), by the same graph in training and live.

Everything here that could leak takes a position and refuses a lag shorter than the target's horizon plus settlement.
"""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import numpy.typing as npt

from bot.errors import ArtifactInvalid, LeakageRefused, SchemaMismatch
from bot.system.files import seal, unseal
from bot.tournament.columns import HISTORY_LAG, horizon
from models.bins import MIDDLE_BIN, MISSING_CATEGORY

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
Window = Floats | Literal["stored", "masked"]
"""What a network sees of the past: feature returns of shape ``(L, F, T)``, those it was published with, or none."""

SCALE = 50.0
"""Brings the channels to unit size: a feature's correlation with a target has a deviation near .02 within an era, a
centred feature one of sqrt(2), and sqrt(|g|) evens out how many are added."""

MOVED = 1e-9
"""Deviation below which a feature counts as constant."""


def feature_returns(features: Codes, targets: npt.NDArray[np.floating]) -> Floats:
    """
    Return what each feature earned in one era: its Pearson correlation with each target.

    Args:
        features: Codes of one era. Shape ``(rows, F)``, int8; -1 and 5, missing, count as the middle bin.
        targets: NaN where unknown; those rows are left out, target by target. Shape ``(rows, T)``.

    Returns:
        Shape ``(F, T)``, float32: 0 for a constant feature, NaN for a target without two known, different values.
    """
    returns = np.full((features.shape[1], targets.shape[1]), np.nan, dtype=np.float32)
    known = np.isfinite(targets)
    # Targets of one horizon are mostly known in the same rows, which then are cast and summed once for all of them. The
    # others are 0 meanwhile and keep their place: the last bits of a product depend on its shape, and what a target
    # earned must not depend on which others were known.
    for mask in np.unique(known, axis=1).T:
        y = np.where((known == mask[:, np.newaxis]).all(axis=0), targets[mask], 0.0).astype(np.float64)
        moving = np.ptp(y, axis=0) > 0 if len(y) > 1 else np.zeros(y.shape[1], dtype=np.bool_)
        if not moving.any():
            continue
        x = _filled(features if mask.all() else features[mask])
        y -= y.mean(axis=0)
        # One product for covariances and sums. Sums of small whole numbers are exact in float32, whatever their order.
        made = np.column_stack([y, np.ones(len(y))]).astype(np.float32).T @ x
        mean = made[-1].astype(np.float64) / len(x)
        x_scale = np.sqrt(np.maximum(np.einsum("rf,rf->f", x, x).astype(np.float64) / len(x) - mean**2, 0.0))
        covariance = made[:-1].astype(np.float64) / len(x)
        covariance -= np.outer(y.astype(np.float32).mean(axis=0, dtype=np.float64), mean)
        scale = np.outer(y.std(axis=0)[moving], x_scale)
        earned = np.divide(covariance[moving], scale, out=np.zeros(scale.shape), where=x_scale > MOVED)
        returns[:, moving] = earned.T
    return returns


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureReturns:
    """
    What every feature earned in every era.

    Attributes:
        eras: Labels in order; consecutive positions are consecutive weeks.
        targets: Full names, whose horizons set the lags.
        values: NaN where a target is not resolved. Shape ``(eras, F, T)``, float32.
    """

    eras: tuple[str, ...]
    targets: tuple[str, ...]
    values: Floats

    def select(self, features: Sequence[int], targets: Sequence[str]) -> "FeatureReturns":
        """Return the table of some features, by position, and some targets, by name."""
        columns = [self.targets.index(name) for name in targets]
        chosen = self.values[:, list(features)][:, :, columns]
        return FeatureReturns(eras=self.eras, targets=tuple(targets), values=chosen)


def window(table: FeatureReturns, position: int, lookback: int, *, lags: Mapping[str, int] | None = None) -> Floats:
    """
    Return the feature returns that were resolved when the era at *position* was live.

    Args:
        table: Of all eras. Nothing newer than the lag is read.
        position: Of the era that is scored; ``len(table.eras)`` is the first live one.
        lookback: Steps of the historical axis.
        lags: Eras between the scored era and the newest one used, by target; the default is the minimum.

    Returns:
        Newest first, 0 where there is no resolved era. Shape ``(lookback, F, T)``, float32.

    Raises:
        LeakageRefused: A lag is shorter than the target takes to resolve.
    """
    features = table.values.shape[1]
    seen = np.zeros((lookback, features, len(table.targets)), dtype=np.float32)
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
        seen[: len(past), :, column] = np.nan_to_num(past, nan=0.0)
    return seen


def minimum_lag(target: str) -> int:
    """Return how many eras lie at least between a row and the newest era whose *target* its history may use."""
    return HISTORY_LAG[horizon(target)]


def latest_window(table: FeatureReturns, lookback: int) -> tuple[Floats, tuple[str, ...]]:
    """
    Return the newest resolved feature returns, for live rows, and the newest era of each target among them.

    Live rows come after every era of the table, so an era that is resolved in the data was resolved before them; the
    minimum lag is kept all the same.
    """
    position = len(table.eras)
    seen = window(table, position, lookback)
    newest = []
    for column, target in enumerate(table.targets):
        resolved = np.flatnonzero(~np.isnan(table.values[: position - minimum_lag(target) + 1, :, column]).all(axis=1))
        newest.append(table.eras[resolved[-1]] if len(resolved) else "")
    return seen, tuple(newest)


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryState:
    """
    The window that live rows see, as it travels in an artifact.

    Attributes:
        features: Of the window's second axis.
        targets: Of its third.
        window: Newest resolved era first. Shape ``(L, F, T)``, float32.
        newest_era: Newest resolved era by target.
        built_from_era: Newest era of the data it was built from, resolved or not.
        stale_after: Time after which newer eras must have resolved, aware; ``None`` for a state that is never served.
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    window: Floats
    newest_era: Mapping[str, str]
    built_from_era: str
    stale_after: datetime | None = None

    def select(self, features: Sequence[str], targets: Sequence[str], lookback: int) -> Floats:
        """
        Return the window as an artifact was trained to see it. Shape ``(lookback, features, targets)``.

        Raises:
            SchemaMismatch: The state lacks a feature, a target or an era of it.
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
        """Return the state as a sealed npz archive without pickles."""
        about = {
            "features": self.features,
            "targets": self.targets,
            "newest_era": dict(self.newest_era),
            "built_from_era": self.built_from_era,
            "stale_after": None if self.stale_after is None else self.stale_after.isoformat(),
        }
        buffer = io.BytesIO()
        np.savez(buffer, window=self.window, about=np.frombuffer(json.dumps(about).encode(), dtype=np.uint8))
        return seal(buffer.getvalue())

    @classmethod
    def from_bytes(cls, content: bytes) -> "HistoryState":
        """
        Read a state back.

        Raises:
            ArtifactInvalid: The bytes are no history state.
        """
        try:
            archive = np.load(io.BytesIO(unseal(content)), allow_pickle=False)
            about = json.loads(archive["about"].tobytes())
            state = cls(
                features=tuple(about["features"]),
                targets=tuple(about["targets"]),
                window=archive["window"],
                newest_era=about["newest_era"],
                built_from_era=about["built_from_era"],
                stale_after=datetime.fromisoformat(about["stale_after"]) if about["stale_after"] else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactInvalid(f"the history state is damaged: {error}") from None
        if state.window.ndim != 3 or state.window.shape[1:] != (len(state.features), len(state.targets)):
            raise ArtifactInvalid(
                f"the history state's window has shape {state.window.shape}, which fits no feature list"
            )
        return state


def _filled(features: Codes) -> Floats:
    """Return codes as float32, a missing one as the middle bin."""
    if features.view(np.uint8).max(initial=0) < MISSING_CATEGORY:
        return features.astype(np.float32)
    return _centred(features) + MIDDLE_BIN


def _centred(features: Codes) -> Floats:
    """Return codes minus 2 as float32, a missing one as 0."""
    x = features.astype(np.float32)
    x -= MIDDLE_BIN
    missing = features.view(np.uint8) >= MISSING_CATEGORY
    if missing.any():
        x[missing] = 0.0
    return x
