"""
Simulate installations that judge a challenger every week: drift, false promotions and speed of the promotion gate.

It calls :func:`bot.judging.champion_test.against_champion`, the comparison that `bot retrain` makes, and no model is
trained. Each week one era resolves, and the newest 104 decide. A model's CORR-equivalent pay in an era is its quality and
a part of its own, which is correlated over the eras that share returns (moving sums of 4 or 12 weekly shocks). The part
that all models share cancels in the paired difference. The scale is measured: of 35 published LightGBMs on 397 eras, the
closest pair's CORR is correlated .98 over eras, and their paired difference has a standard deviation of .0041; that of a
typical pair is .015 (correlation .78). Models of one recipe differ in quality by .0006, the scatter of published seeds.

Run it by ``bench/promotion.py --weeks 104``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from measure import save

from bot.judging.champion_test import START, Comparison, Looks, Pay, Series, account, against_champion, lead
from bot.training.recipes import Floors

Floats = npt.NDArray[np.float64]

ERAS, YEAR, SOON = 104, 52, 8
CLOSEST, TYPICAL = 0.0041, 0.015
"""Standard deviation of the paired difference by era, of the closest and of a typical pair of published models."""

SCATTER = 0.0006
"""Standard deviation of the quality of models of one recipe."""

SINGLE = 0.0205
"""Standard deviation of the CORR of one of the closest pair, by era."""

ROW_NOISE = 1 / np.sqrt(6_500)
"""Noise of a CORR from the rows of one era."""


Quality = Callable[[float, np.random.Generator], float]
"""Function from the champion's quality and random numbers to a challenger's quality."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    Result of a scenario.

    Attributes:
        quality: Quality of the champion at the end, less that of the first. Shape ``(installations,)``.
        promoted: Weeks of the promotions of each installation, from the first week of the scenario.
        worse: The same of promotions that made the champion worse by .001 or more.
    """

    quality: Floats
    promoted: list[list[int]]
    worse: list[list[int]]

    @property
    def false_a_year(self) -> float:
        """Return the share of installations with a false promotion in a year, of the worst year."""
        last = max((week for weeks in self.worse for week in weeks), default=0)
        years = [range(first, first + YEAR) for first in range(0, last + 1, YEAR)]
        return max(float(np.mean([any(week in year for week in weeks) for weeks in self.worse])) for year in years)

    @property
    def soon(self) -> float:
        """Return the share of installations with a promotion within 8 weeks."""
        return float(np.mean([any(week < SOON for week in weeks) for weeks in self.promoted]))

    @property
    def lost(self) -> float:
        """Return two standard errors above the mean change of the champion's quality: negative where it drifts down."""
        return float(self.quality.mean() + 2 * self.quality.std() / np.sqrt(len(self.quality)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    Challengers of an installation.

    Attributes:
        about: Description.
        quality: Quality of the challengers.
        renewal: Whether they are the champion's recipe, trained again.
        deviation: Standard deviation of the paired difference by era.
        weeks: Weeks of the scenario; ``None`` for all.
        waits: Weeks of challengers of the champion's quality before the scenario begins.
        anchored: Whether renewals are held to their anchor.
        goal: Goal in words; empty where there is none.
        met: Whether the goal is met.
    """

    about: str
    quality: Quality
    renewal: bool = False
    deviation: float = CLOSEST
    weeks: int | None = None
    waits: int = 0
    anchored: bool = True
    goal: str = ""
    met: Callable[[Outcome], bool] = lambda _: True


def relative(step: float, scatter: float = 0.0) -> Quality:
    """Return challengers that differ from the champion by *step* on average."""
    return lambda champion, random: champion + step + random.normal(0, scatter)


def same_recipe(champion: float, random: np.random.Generator) -> float:  # noqa: ARG001 - a recipe's quality is its own
    """Return the quality of a recipe's next model, which does not depend on the champion's."""
    return random.normal(0, SCATTER)


NOT_DOWN = "no drift down"
SCENARIOS = (
    Scenario(
        about="other recipe, the champion's quality",
        quality=relative(0, SCATTER),
        goal=NOT_DOWN,
        met=lambda found: found.lost >= 0,
    ),
    Scenario(
        about="other recipe, worse by .001",
        quality=relative(-0.001),
        goal="false <= 5 %",
        met=lambda found: found.false_a_year <= 0.05,
    ),
    Scenario(
        about="other recipe, worse by .002",
        quality=relative(-0.002),
        goal="false <= 5 %",
        met=lambda found: found.false_a_year <= 0.05,
    ),
    Scenario(
        about="other recipe, better by .004",
        quality=relative(0.004),
        weeks=SOON,
        goal=">= 80 % in 8 weeks",
        met=lambda found: found.soon >= 0.8,
    ),
    Scenario(
        about="  the same after a year of equal ones",
        quality=relative(0.004),
        weeks=SOON,
        waits=YEAR,
        goal=">= 80 % in 8 weeks",
        met=lambda found: found.soon >= 0.8,
    ),
    Scenario(about="  the same, a typical pair's noise", quality=relative(0.004), weeks=SOON, deviation=TYPICAL),
    Scenario(
        about="same recipe, trained again",
        quality=same_recipe,
        renewal=True,
        goal=NOT_DOWN,
        met=lambda found: found.lost >= 0,
    ),
    Scenario(about="same recipe, .0002 worse each week", quality=relative(-0.0002, SCATTER), renewal=True),
    Scenario(about="  the same without an anchor", quality=relative(-0.0002, SCATTER), renewal=True, anchored=False),
    Scenario(about="no worse beyond noise, worse by .001", quality=relative(-0.001), renewal=True, anchored=False),
)
"""The last one is the rule for all challengers before looks were counted."""


def own_part(random: np.random.Generator, eras: int, deviation: float, overlap: int) -> Floats:
    """Return the part of a model's scores that no other model shares. Shape ``(eras,)``."""
    sums = np.cumsum(np.concatenate(([0.0], random.standard_normal(eras + overlap - 1))))
    return (sums[overlap:] - sums[:-overlap]) * (deviation / np.sqrt(2 * overlap))


def installation(scenario: Scenario, weeks: int, overlap: int, random: np.random.Generator) -> Outcome:
    """Simulate the weeks of one installation."""
    floors, eras = Floors(), ERAS + scenario.waits + weeks
    labels = tuple(f"{era:04d}" for era in range(1, eras + 1))
    noise = np.full(ERAS, ROW_NOISE * scenario.deviation / SINGLE)
    champion, quality, leads, share = own_part(random, eras, scenario.deviation, overlap), 0.0, {}, START
    promoted: list[int] = []
    worse: list[int] = []
    for week in range(-scenario.waits, weeks):
        theirs = scenario.quality(quality, random) if week >= 0 else quality
        challenger = own_part(random, eras, scenario.deviation, overlap)
        block = slice(scenario.waits + week, scenario.waits + week + ERAS)
        difference = challenger[block] - champion[block] + theirs - quality
        comparison = Comparison(
            champion="champion",
            eras=labels[block],
            renewal=scenario.renewal,
            differences={"corr": Series(values=difference, noise=noise)},
            correlation=np.ones(ERAS),
        )
        looks = Looks(count=week, share=account(share, 1), lead=leads)
        test = against_champion(comparison, floors, pay=Pay(), looks=looks, overlap=overlap)
        share = looks.share - test.spent
        if all(one.ok for one in test.findings):
            promoted += [week] if week >= 0 else []
            worse += [week] if theirs - quality <= -0.001 + 1e-9 else []
            leads = lead(comparison, floors, pay=Pay(), looks=looks, overlap=overlap) if scenario.anchored else {}
            champion, quality = challenger, theirs
    return Outcome(quality=np.array([quality]), promoted=[promoted], worse=[worse])


def simulate(scenario: Scenario, *, installations: int, weeks: int, overlap: int) -> Outcome:
    """Simulate installations that differ in their random numbers only."""
    found = [
        installation(scenario, scenario.weeks or weeks, overlap, np.random.default_rng([overlap, one]))
        for one in range(installations)
    ]
    return Outcome(
        quality=np.concatenate([one.quality for one in found]),
        promoted=[one.promoted[0] for one in found],
        worse=[one.worse[0] for one in found],
    )


def report(installations: int, weeks: int, path: Path | None) -> int:
    """Print the table of all scenarios, and return 1 if a goal is missed."""
    head = (
        f"{'challengers':<38}{'days':>5}{'champion':>10}{'worst 5 %':>11}{'promoted':>10}{'false':>8}{'soon':>7}  goal"
    )
    print(f"{installations} installations, {weeks} weeks\n{head}", flush=True)
    rows, missed = [], False
    for scenario in SCENARIOS:
        for days, overlap in ((20, 4), (60, 12)):
            found = simulate(scenario, installations=installations, weeks=weeks, overlap=overlap)
            met = scenario.met(found)
            missed |= not met
            row = {
                "challengers": scenario.about.strip(),
                "days": days,
                "champion": float(found.quality.mean()),
                "worst": float(np.quantile(found.quality, 0.05)),
                "promoted": float(np.mean([len(weeks) for weeks in found.promoted])),
                "false": found.false_a_year,
                "soon": found.soon,
                "met": met,
            }
            rows.append(row)
            print(
                f"{scenario.about:<38}{days:>5}{row['champion']:>+10.4f}{row['worst']:>+11.4f}{row['promoted']:>10.1f}"
                f"{row['false']:>8.1%}{row['soon']:>7.0%}  {scenario.goal}{'' if met else ': missed'}",
                flush=True,
            )
    print(EXPLAINED)
    save(path, {"installations": installations, "weeks": weeks, "rows": rows})
    return int(missed)


EXPLAINED = """
days: horizon of the target. champion: mean change of its quality over all weeks. worst 5 %: of the installations.
promoted: in all weeks. false: installations that promoted a model worse by .001 or more, in the worst year.
Models of one recipe differ by .0006 themselves, so a renewal may be worse by .001 than the one before; that is no drift.
soon: installations with a promotion in the first 8 weeks."""
