"""
The market behind a world: persistent stocks, slow features, and returns that overlap from era to era.

Ids are drawn anew for every era, so that no stock can be followed. The stocks persist, so that the scores of a fixed model
have the autocorrelation of real ones (.75 .50 .25 for 20D targets, from the overlap of four-week returns).
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.sandbox.world.schema import TARGET_NAMES, Schema, WorldSize
from bot.tournament.columns import ALIAS, MAIN_TARGET, SPANNED_ERAS
from models.bins import FEATURE_VALUES, MIDDLE_BIN, TARGET_SHARES, TARGET_VALUES

AHEAD = max(SPANNED_ERAS.values())
"""Weeks that the market is ahead of the newest era, so that the world knows its targets."""

SLOW = 0.985
"""Weekly autocorrelation of a stock's features; after a year it is one half."""

INNOVATION = np.float32(np.sqrt(1 - SLOW**2))

LOADING = 0.45
"""Loading of a feature on its group's common factor; features of a group correlate by its square."""

BLOCK = 256
"""Number of feature columns binned, or stocks updated, at a time."""

OWN = 0.2
"""Share of a target's variance that is its own; targets of one horizon correlate near .75 after binning."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """
    One era with all its targets.

    Attributes:
        ids: Sorted ids, ``n`` of them.
        codes: Feature values 0 to 4, int8, shape ``(n, F)``. A missing feature has the middle value in all rows.
        targets: Targets by full name, float32, shape ``(n,)`` each.
        signal: Expected returns by the part of the signal that never changes. Shape ``(n,)``.
        known: Part of them that benchmark and meta model predict. Shape ``(n,)``.
    """

    ids: list[str]
    codes: npt.NDArray[np.int8]
    targets: dict[str, Floats]
    signal: Floats
    known: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class _Week:
    """
    The stocks of one week, before their targets are known.

    Attributes:
        present: Indices of the listed stocks. Shape ``(n,)``.
        codes: Feature values. Shape ``(n, F)``.
        signal: Expected returns by the part of the signal that never changes. Shape ``(n,)``.
        known: Part of them that benchmark and meta model predict. Shape ``(n,)``.
    """

    present: npt.NDArray[np.intp]
    codes: npt.NDArray[np.int8]
    signal: Floats
    known: Floats


class Market:
    """
    A market in weekly steps; :meth:`next_era` returns one era after another.

    Args:
        size: Number of stocks, features and eras, and strength of the signal.
        schema: Features and their groups.
        seed: Seed; the same seed gives the same market.
        persistence: Share of the factor returns' variance that lasts from week to week. At 0, past factor returns
            predict nothing.
        benchmark_share: Share of the features whose lasting part benchmark and meta model predict; 1 predicts all of the signal.
    """

    def __init__(
        self, size: WorldSize, schema: Schema, *, seed: int, persistence: float, benchmark_share: float = 1.0
    ) -> None:
        self.size, self.schema, self.seed, self.persistence = size, schema, seed, persistence
        self._benchmark_share = benchmark_share
        self.week = 0
        self.given = 0
        fixed = np.random.default_rng([seed, 2])
        self._stocks = int(max(size.rows) * 1.05)
        features, groups = len(schema.features), int(schema.group.max()) + 1
        self._lasting = (fixed.normal(size=features) * _weights(size, schema) / np.sqrt(features)).astype(np.float32)
        self._pair = fixed.choice(groups, size=2, replace=False)
        self.common = fixed.normal(size=(self._stocks, groups)).astype(np.float32)
        self.own = fixed.normal(size=(self._stocks, features)).astype(np.float32)
        self.listed = fixed.normal(size=self._stocks).astype(np.float32)
        self.drift = fixed.normal(size=features).astype(np.float32)
        self._weeks: deque[_Week] = deque()
        self._returns: deque[Floats] = deque(maxlen=AHEAD)

    @property
    def history(self) -> int:
        """Return the number of eras before the first live one."""
        return self.size.train_eras + self.size.validation_eras

    def next_era(self) -> Era:
        """Return the next era, after the market has run as far ahead as its targets need."""
        while self.week < self.given + AHEAD:
            self._step()
        week = self._weeks.popleft()
        weekly = np.stack(self._returns)
        targets = {}
        for column, name in enumerate(TARGET_NAMES):
            for days, weeks in SPANNED_ERAS.items():
                total = weekly[:weeks, :, column].sum(axis=0)[week.present]
                targets[f"target_{name}_{days}"] = _binned(total)
        targets[ALIAS] = targets[MAIN_TARGET]
        ids = self._ids(len(week.present))
        self.given += 1
        return Era(ids=ids, codes=week.codes, targets=targets, signal=week.signal, known=week.known)

    def state(self) -> dict[str, Any]:
        """Return the state of the market as arrays."""
        rows = np.array([len(week.present) for week in self._weeks])
        return {
            "week": np.array([self.week, self.given]),
            "common": self.common,
            "own": self.own,
            "listed": self.listed,
            "drift": self.drift,
            "rows": rows,
            "present": np.concatenate([week.present for week in self._weeks]),
            "codes": np.concatenate([week.codes for week in self._weeks]),
            "signal": np.concatenate([week.signal for week in self._weeks]),
            **self._known_state(),
            "returns": np.stack(self._returns),
        }

    def _known_state(self) -> dict[str, Any]:
        """Return the part of the signal that the benchmark predicts, where it does not predict all of it."""
        if self._benchmark_share == 1:
            return {}
        return {"known": np.concatenate([week.known for week in self._weeks])}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state from :meth:`state`."""
        self.week, self.given = (int(value) for value in state["week"])
        self.common, self.own = state["common"].copy(), state["own"].copy()
        self.listed, self.drift = state["listed"].copy(), state["drift"].copy()
        ends = np.cumsum(state["rows"])[:-1]
        names = ("present", "codes", "signal", "known" if "known" in state else "signal")
        parts = (np.split(state[name], ends) for name in names)
        self._weeks = deque(
            _Week(present=present, codes=codes, signal=signal, known=known)
            for present, codes, signal, known in zip(*parts, strict=True)
        )
        self._returns = deque(state["returns"], maxlen=AHEAD)

    def _step(self) -> None:
        """Advance by one week: store this week's era, then draw the returns and move the features."""
        random = np.random.default_rng([self.seed, 3, self.week])
        exposure = np.take(self.common, self.schema.group, axis=1)
        for rows in self._parts():
            exposure[rows] *= LOADING
            exposure[rows] += np.float32(np.sqrt(1 - LOADING**2)) * self.own[rows]
        self._weeks.append(self._observe(exposure, random))
        # Returns of the following week: they are the first of the era that was just stored.
        self._returns.append(self._move(exposure, random))
        for slow in (self.common, self.own, self.listed, self.drift):
            for rows in self._parts() if slow is self.own else [slice(None)]:
                slow[rows] *= SLOW
                slow[rows] += INNOVATION * random.standard_normal(slow[rows].shape, dtype=np.float32)
        self.week += 1

    def _parts(self) -> list[slice]:
        """Return slices of the stocks; a copy of all stocks at full width would take a hundred megabytes."""
        return [slice(start, start + BLOCK) for start in range(0, self._stocks, BLOCK)]

    def _observe(self, exposure: Floats, random: np.random.Generator) -> _Week:
        """Bin the features of the stocks that are listed this week, in random order."""
        first, last = self.size.rows
        expected = first + (last - first) * min(self.week / self.history, 1.0)
        count = int(expected * (1 + 0.02 * np.sin(self.week / 7.0)))
        present = random.permutation(np.argsort(-self.listed)[:count])
        # A feature's values lie side by side, as binning makes them and as the files hold them.
        codes = np.empty((exposure.shape[1], count), dtype=np.int8).T
        for start in range(0, exposure.shape[1], BLOCK):
            codes[:, start : start + BLOCK] = _equal_bins(exposure[:, start : start + BLOCK][present])
        codes[:, self.schema.first_era > self.week] = MIDDLE_BIN
        signal = self._signal(exposure)
        known = signal if self._benchmark_share == 1 else self._known(exposure)
        return _Week(present=present, codes=codes, signal=signal[present], known=known[present])

    def _signal(self, exposure: Floats) -> Floats:
        """Return the part of expected returns that never changes: a linear part, and a product of two groups."""
        linear = exposure @ self._lasting
        product = self.common[:, self._pair[0]] * self.common[:, self._pair[1]]
        total: Floats = _standard(linear) + np.float32(0.5) * _standard(product)
        return total

    def _known(self, exposure: Floats) -> Floats:
        """Return the linear part of the signal by the first features alone."""
        count = max(1, round(self._benchmark_share * exposure.shape[1]))
        return _standard(exposure[:, :count] @ self._lasting[:count])

    def _move(self, exposure: Floats, random: np.random.Generator) -> Floats:
        """Return one week's return of every stock for every target name. Shape ``(stocks, names)``."""
        fresh = random.standard_normal(self.drift.shape, dtype=np.float32)
        factor = np.sqrt(self.persistence) * self.drift + np.sqrt(1 - self.persistence) * fresh
        shared = (
            self.size.signal * self._signal(exposure)
            + self.size.factors * _standard(exposure @ factor.astype(np.float32))
            + random.standard_normal(self._stocks, dtype=np.float32)
        )
        own = random.standard_normal((self._stocks, len(TARGET_NAMES)), dtype=np.float32)
        moved: Floats = np.sqrt(1 - OWN, dtype=np.float32) * shared[:, None] + np.sqrt(OWN, dtype=np.float32) * own
        return moved

    def _ids(self, count: int) -> list[str]:
        """Return sorted random ids of the era, drawn by a seed that holds its number."""
        random = np.random.default_rng([self.seed, 4, self.given])
        numbers = random.integers(0, 1 << 60, size=count * 2, dtype=np.int64)
        numbers = np.unique(numbers)[: count * 2]
        return [f"n{number:015x}" for number in np.sort(random.permutation(numbers)[:count])]


def _equal_bins(values: Floats) -> npt.NDArray[np.int8]:
    """Cut each column into five bins whose counts differ by one at most; shape ``(rows, columns)``."""
    by_column = np.ascontiguousarray(values.T)
    bins = len(FEATURE_VALUES)
    edges = [-(-len(values) * number // bins) for number in range(1, bins)]
    # numpy sorts float32 with vector instructions; its partition by four edges takes four times as long.
    limits = np.sort(by_column, axis=1)[:, edges]
    codes = np.zeros(by_column.shape, dtype=np.int8)
    for limit in limits.T:
        codes += by_column >= limit[:, None]
    return codes.T


def _weights(size: WorldSize, schema: Schema) -> npt.NDArray[np.float64]:
    """Return the standard deviation of each feature's weight in the lasting signal. Shape ``(F,)``."""
    weights = np.ones(len(schema.features))
    weights[np.isin(schema.features, schema.sets["medium"])] = size.medium_weight
    weights[np.isin(schema.features, schema.sets["small"])] = size.small_weight
    return weights


def _standard(values: Floats) -> Floats:
    centred: Floats = values - values.mean()
    scaled: Floats = centred / centred.std()
    return scaled


def _binned(values: Floats) -> Floats:
    """Cut one era's returns into the five target values by rank, in the shares of real targets."""
    edges = np.cumsum(TARGET_SHARES)[:-1] * len(values)
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.asarray(TARGET_VALUES, dtype=np.float32)[np.searchsorted(edges, ranks, side="right")]
