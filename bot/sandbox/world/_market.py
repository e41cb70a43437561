"""
The market underneath: stocks that persist, slow features, and returns that overlap from era to era.

Ids are drawn anew for every era, so nobody can follow a stock; but the stocks are the same, which gives the scores of
a fixed model the autocorrelation of real ones (.75 .50 .25 for 20D targets, the overlap of four-week returns).
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
"""Weeks the market runs ahead of the era that is given out, so that its targets are known to the world."""

SLOW = 0.985
"""Weekly autocorrelation of a stock's features: a year on, half of it is left."""

INNOVATION = np.float32(np.sqrt(1 - SLOW**2))

LOADING = 0.45
"""Share of a feature's deviation that its group has in common; features of a group correlate by its square."""

BLOCK = 256
"""Feature columns binned, or stocks moved, at a time."""

OWN = 0.2
"""Share of a target's variance that no other target of its horizon has; gives correlations near .75 after binning."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Era:
    """
    One era as the world knows it.

    Attributes:
        ids: Sorted. ``n`` of them.
        codes: Shape ``(n, F)``, int8, 0 to 4, or 2 throughout where the feature is missing.
        targets: By full name, all known. Shape ``(n,)`` each, float32.
        signal: What a perfect model of the lasting part would say. Shape ``(n,)``.
    """

    ids: list[str]
    codes: npt.NDArray[np.int8]
    targets: dict[str, Floats]
    signal: Floats


class Market:
    """
    Weekly steps of the market; :meth:`next_era` gives out one era after the other.

    Args:
        size: How large, and how much there is to learn.
        schema: Features and groups.
        seed: Same seed, same market.
        persistence: Share of the factor returns' variance that lasts from week to week (0: none; a history of factor
            returns is then worth nothing).
    """

    def __init__(self, size: WorldSize, schema: Schema, *, seed: int, persistence: float) -> None:
        self.size, self.schema, self.seed, self.persistence = size, schema, seed, persistence
        self.week = 0
        self.given = 0
        fixed = np.random.default_rng([seed, 2])
        self._stocks = int(max(size.rows) * 1.05)
        features, groups = len(schema.features), int(schema.group.max()) + 1
        self._lasting = (fixed.normal(size=features) / np.sqrt(features)).astype(np.float32)
        self._pair = fixed.choice(groups, size=2, replace=False)
        self.common = fixed.normal(size=(self._stocks, groups)).astype(np.float32)
        self.own = fixed.normal(size=(self._stocks, features)).astype(np.float32)
        self.listed = fixed.normal(size=self._stocks).astype(np.float32)
        self.drift = fixed.normal(size=features).astype(np.float32)
        self._eras: deque[tuple[npt.NDArray[np.intp], npt.NDArray[np.int8], Floats]] = deque()
        self._returns: deque[Floats] = deque(maxlen=AHEAD)

    @property
    def history(self) -> int:
        """Return the eras before the first live one."""
        return self.size.train_eras + self.size.validation_eras

    def next_era(self) -> Era:
        """Give out the next era; the market runs as far ahead as its targets need."""
        while self.week < self.given + AHEAD:
            self._step()
        present, codes, signal = self._eras.popleft()
        weekly = np.stack(self._returns)
        targets = {}
        for column, name in enumerate(TARGET_NAMES):
            for days, weeks in SPANNED_ERAS.items():
                total = weekly[:weeks, :, column].sum(axis=0)[present]
                targets[f"target_{name}_{days}"] = _binned(total)
        targets[ALIAS] = targets[MAIN_TARGET]
        ids = self._ids(len(present))
        self.given += 1
        return Era(ids=ids, codes=codes, targets=targets, signal=signal)

    def state(self) -> dict[str, Any]:
        """Return everything needed to go on from here, as plain arrays."""
        rows = np.array([len(present) for present, _, _ in self._eras])
        return {
            "week": np.array([self.week, self.given]),
            "common": self.common,
            "own": self.own,
            "listed": self.listed,
            "drift": self.drift,
            "rows": rows,
            "present": np.concatenate([present for present, _, _ in self._eras]),
            "codes": np.concatenate([codes for _, codes, _ in self._eras]),
            "signal": np.concatenate([signal for _, _, signal in self._eras]),
            "returns": np.stack(self._returns),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a state that :meth:`state` gave."""
        self.week, self.given = (int(value) for value in state["week"])
        self.common, self.own = state["common"].copy(), state["own"].copy()
        self.listed, self.drift = state["listed"].copy(), state["drift"].copy()
        ends = np.cumsum(state["rows"])[:-1]
        parts = (np.split(state[name], ends) for name in ("present", "codes", "signal"))
        self._eras = deque(zip(*parts, strict=True))
        self._returns = deque(state["returns"], maxlen=AHEAD)

    def _step(self) -> None:
        """Let one week pass: note this week's era, then move prices and features."""
        random = np.random.default_rng([self.seed, 3, self.week])
        exposure = np.take(self.common, self.schema.group, axis=1)
        for rows in self._parts():
            exposure[rows] *= LOADING
            exposure[rows] += np.float32(np.sqrt(1 - LOADING**2)) * self.own[rows]
        self._eras.append(self._observe(exposure, random))
        # Returns of the week that follows: the era just noted has them as its first.
        self._returns.append(self._move(exposure, random))
        for slow in (self.common, self.own, self.listed, self.drift):
            for rows in self._parts() if slow is self.own else [slice(None)]:
                slow[rows] *= SLOW
                slow[rows] += INNOVATION * random.standard_normal(slow[rows].shape, dtype=np.float32)
        self.week += 1

    def _parts(self) -> list[slice]:
        """Return the stocks in parts: copies of everything at full width would be a hundred megabytes each."""
        return [slice(start, start + BLOCK) for start in range(0, self._stocks, BLOCK)]

    def _observe(
        self, exposure: Floats, random: np.random.Generator
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.int8], Floats]:
        """Bin the features of the stocks that are listed this week, in an order that says nothing."""
        first, last = self.size.rows
        expected = first + (last - first) * min(self.week / self.history, 1.0)
        count = int(expected * (1 + 0.02 * np.sin(self.week / 7.0)))
        present = random.permutation(np.argsort(-self.listed)[:count])
        codes = np.empty((count, exposure.shape[1]), dtype=np.int8)
        for start in range(0, exposure.shape[1], BLOCK):
            codes[:, start : start + BLOCK] = _equal_bins(exposure[:, start : start + BLOCK][present])
        codes[:, self.schema.first_era > self.week] = MIDDLE_BIN
        return present, codes, self._signal(exposure)[present]

    def _signal(self, exposure: Floats) -> Floats:
        """Return the part of expected returns that never changes: linear, and a product of two groups."""
        linear = exposure @ self._lasting
        product = self.common[:, self._pair[0]] * self.common[:, self._pair[1]]
        total: Floats = _standard(linear) + np.float32(0.5) * _standard(product)
        return total

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
        """Return sorted ids that no other era has: the era's number hides in digits that look like the rest."""
        random = np.random.default_rng([self.seed, 4, self.given])
        numbers = random.integers(0, 1 << 60, size=count * 2, dtype=np.int64)
        numbers = np.unique(numbers)[: count * 2]
        return [f"n{number:015x}" for number in np.sort(random.permutation(numbers)[:count])]


def _equal_bins(values: Floats) -> npt.NDArray[np.int8]:
    """Cut each column into five bins whose counts differ by one at most; shape ``(rows, columns)``."""
    by_column = np.ascontiguousarray(values.T)
    bins = len(FEATURE_VALUES)
    edges = [-(-len(values) * number // bins) for number in range(1, bins)]
    # Four order statistics per column: a tenth of the time of sorting them.
    limits = np.partition(by_column, edges, axis=1)[:, edges]
    codes = np.zeros(by_column.shape, dtype=np.int8)
    for limit in limits.T:
        codes += by_column >= limit[:, None]
    return codes.T


def _standard(values: Floats) -> Floats:
    centred: Floats = values - values.mean()
    scaled: Floats = centred / centred.std()
    return scaled


def _binned(values: Floats) -> Floats:
    """Cut one era's returns into the five target values by rank, in the shares of real targets."""
    edges = np.cumsum(TARGET_SHARES)[:-1] * len(values)
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.asarray(TARGET_VALUES, dtype=np.float32)[np.searchsorted(edges, ranks, side="right")]
