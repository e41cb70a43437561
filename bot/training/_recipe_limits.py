"""Ranges of the numbers of a recipe: outside of them nothing can be trained, blended or judged."""

from collections.abc import Iterator

from bot.members.limits import SHARE, Limit, out_of_range
from bot.training.recipes import Recipe

CORRELATION = Limit(low=-1, high=1)
POSITIVE = Limit(low=0, high=1e6, open_low=True)

LIMITS = {
    "neutralize": SHARE,
    "corr_multiplier": Limit(low=0, high=1000),
    "mmc_multiplier": Limit(low=0, high=1000),
    "validation_eras": Limit(low=2, high=2000),
    "holdout_eras": Limit(low=2, high=2000),
    "every": Limit(low=1, high=1000),
    "newest": Limit(low=0, high=100_000),
    "half_life": Limit(low=0, high=100_000),
}
"""Range of each number of a recipe."""

FLOORS = {
    "confidence": Limit(low=0, high=1, open_low=True, open_high=True),
    "min_skill": Limit(low=-1000, high=1000),
    "min_corr": CORRELATION,
    "min_contribution": CORRELATION,
    "max_drawdown": POSITIVE,
    "max_exposure": Limit(low=0, high=1, open_low=True),
    "min_champion_correlation": CORRELATION,
    "max_latency_s": POSITIVE,
    "suspicious_corr": SHARE,
}
"""Range of each floor."""

MEMBER = {"weight": Limit(low=0, high=1e6), "residual": Limit(low=0, high=1, open_low=True)}
"""Range of each number of a member, beside its options."""


def numbers_out_of_range(recipe: Recipe) -> Iterator[str]:
    """Yield a line for each number of a recipe that is outside its range: key, value, allowed range."""
    yield from out_of_range(recipe, LIMITS)
    yield from out_of_range(recipe.floors, FLOORS, "floors.")
    for member in recipe.members:
        yield from out_of_range(member, MEMBER, f"members.{member.name}.")
