"""Ranges of the numbers of a recipe, and values that exclude each other: neither can be trained, blended or judged."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields

from bot.training.recipes import Floors, NetworkRecipe, Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """
    A range of numbers.

    Attributes:
        low: Its lower end.
        high: Its upper end.
        open_low: Whether the lower end itself is refused.
        open_high: Whether the upper end itself is refused.
    """

    low: float
    high: float
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, number: float) -> bool:
        """Return whether a number is in the range; NaN never is."""
        if math.isnan(number):
            return False
        above = number > self.low if self.open_low else number >= self.low
        below = number < self.high if self.open_high else number <= self.high
        return above and below

    def __str__(self) -> str:
        low = f"over {self.low:g}" if self.open_low else f"at least {self.low:g}"
        high = f"under {self.high:,.12g}" if self.open_high else f"at most {self.high:,.12g}"
        return f"{low} and {high}"


SHARE = Limit(low=0, high=1)
DROPPED = Limit(low=0, high=1, open_high=True)
CORRELATION = Limit(low=-1, high=1)
POSITIVE = Limit(low=0, high=1e6, open_low=True)

LIMITS = {
    "neutralize": SHARE,
    "corr_multiplier": Limit(low=0, high=1000),
    "mmc_multiplier": Limit(low=0, high=1000),
    "validation_eras": Limit(low=2, high=2000),
    "holdout_eras": Limit(low=2, high=2000),
    "every": Limit(low=1, high=1000),
    "network.lookback": Limit(low=0, high=2000),
    "network.encoder": Limit(low=1, high=65_536),
    "network.hidden": Limit(low=1, high=65_536),
    "network.feed_forward": Limit(low=1, high=65_536),
    "network.blocks": Limit(low=1, high=1000),
    "network.dropout": DROPPED,
    "network.input_dropout": DROPPED,
    "network.history_dropout": DROPPED,
    "network.z_dropout": DROPPED,
    "network.stacked_chunk": Limit(low=2, high=2000),
    "network.residual": SHARE,
    "network.pearson_weight": Limit(low=0, high=1e6),
    "network.benchmark_penalty": Limit(low=0, high=1e6),
    "network.epochs": Limit(low=1, high=10_000),
    "network.steps": Limit(low=0, high=10_000_000),
    "network.learning_rate": Limit(low=0, high=100, open_low=True),
    "network.weight_decay": Limit(low=0, high=100),
    "network.patience": Limit(low=1, high=1_000_000),
    "network.evaluations_per_epoch": Limit(low=1, high=10_000),
    "network.eras_per_step": Limit(low=1, high=2000),
    "network.era_stride": Limit(low=1, high=1000),
    "network.batch_rows": Limit(low=1, high=100_000_000),
    "network.ema": DROPPED,
    "network.seeds": Limit(low=1, high=1000),
    "network.seed": Limit(low=0, high=2**31 - 1),
    "floors.confidence": Limit(low=0, high=1, open_low=True, open_high=True),
    "floors.min_skill": Limit(low=-1000, high=1000),
    "floors.min_corr": CORRELATION,
    "floors.min_contribution": CORRELATION,
    "floors.max_drawdown": POSITIVE,
    "floors.max_exposure": Limit(low=0, high=1, open_low=True),
    "floors.min_champion_correlation": CORRELATION,
    "floors.max_latency_s": POSITIVE,
    "floors.suspicious_corr": SHARE,
}
"""Range of each number by its key in a recipe's file; of a list of numbers, that of each."""

WEIGHT = Limit(low=0, high=1e6)
"""Range of a member's weight."""


def out_of_range(recipe: Recipe) -> Iterator[str]:
    """Yield a line for each number of a recipe that is outside its range: key, value, allowed range."""
    values = [(f"weights.{name}", weight, WEIGHT) for name, weight in recipe.weights]
    for prefix, part in (("", recipe), ("network.", recipe.network), ("floors.", recipe.floors)):
        values += _numbers(prefix, part)
    for key, value, limit in values:
        if value not in limit:
            yield f"{key} = {_short(value)} must be {limit}"


def conflicts(network: NetworkRecipe) -> Iterator[str]:
    """Yield a line for each value of a network's recipe that another one rules out."""
    if network.mixing == "era" and not (network.lookback and network.history_targets):
        yield "network.mixing = 'era' needs a history: lookback at least 1, and history_targets"
    if not network.encoder:
        yield "network.encoder = [] must name at least one width"
    if network.head == "score" and network.loss == "cross_entropy":
        yield "network.head = 'score' has no classes for loss = 'cross_entropy'; take loss = 'pearson' or 'mse'"
    if network.residual != 1 and network.labels == "target":
        yield f"network.residual = {_short(network.residual)} has no effect without labels = 'benchmark_residual'"


def _numbers(prefix: str, part: Recipe | NetworkRecipe | Floors) -> Iterator[tuple[str, float, Limit]]:
    for one in fields(part):
        limit, value = LIMITS.get(f"{prefix}{one.name}"), getattr(part, one.name)
        if limit is not None:
            for number in value if isinstance(value, tuple) else (value,):
                yield f"{prefix}{one.name}", number, limit


def _short(value: float) -> str:
    """Return a number as text of a length that fits a line."""
    return f"{value:g}" if isinstance(value, float) or abs(value) < 10**12 else f"a number of {len(str(value))} digits"
