"""
Compare a challenger with the champion so that the answer stays honest however often the same eras are asked.

Each week brings one new era and another challenger for nearly the same eras. A test that is right 19 times in 20 is wrong
twice a year if it is repeated weekly, and "no worse beyond noise" lets every second slightly worse challenger pass. Two
kinds of challenger need two rules:

- **Another recipe** has to prove that it is no worse. With the confidence of the look, its pay must be over the champion's
  less :data:`TOLERATED_LOSS`. The recipe's ``1 - confidence`` (5 %) is the chance of a false promotion in a *year*, and is
  spent over the looks of that year (K. K. G. Lan and D. L. DeMets, *Discrete sequential boundaries for clinical trials*,
  Biometrika 70, 1983) from an account, as in alpha-investing (D. P. Foster and R. A. Stine, *Alpha-investing*, JRSS B 70,
  2008): it begins with :data:`START` of the year's share, each new era adds :data:`EARNED`, and each look spends
  :data:`PART` of the rest. So a year of 52 eras cannot spend more than the whole share, whatever the looks have in common,
  a look without new eras costs the later ones, and eras earn confidence again as they resolve.
- **A renewal**, the champion's recipe trained again on data that are at least as new, has the champion's quality in
  expectation, and more recent data. It claims nothing and searches for nothing, so it spends nothing, and only has to be
  no worse beyond noise. Without two blocks of shared eras nothing was compared, and it is refused. A series of such steps could still lead down, each step within noise (*biocreep*: R. B. D'Agostino,
  J. M. Massaro and L. M. Sullivan, *Non-inferiority trials*, Statistics in Medicine 22, 2003). So a renewal must also be no
  worse, with :data:`ANCHOR_CONFIDENCE`, than the series' *anchor*: the last champion that did not come by a renewal. The
  champion's lead over its anchor is kept by era, and counts as long as two blocks of these eras are in the hold-out.

``bench/promotion.py --weeks 104`` simulates both rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bot.findings import Absent, Finding
from bot.scoring.bootstrap import TooFewEras
from bot.scoring.mean_error import MeanError, mean_error
from bot.training.recipes import Floors

Floats = npt.NDArray[np.float64]

ERAS_A_YEAR = 52
"""Eras that resolve in a year."""

START = 0.1
"""Share of a year's confidence in the account of a new record; also its maximum."""

EARNED = (1 - START) / ERAS_A_YEAR
"""Share that each newly resolved era adds. With it, at most the whole share is spent in any 52 eras."""

PART = 0.5
"""Part of the account that one look spends; with one look an era, each comes to spend what the era added."""

TOLERATED_LOSS = 0.001
"""Loss of CORR-equivalent pay that a promotion may bring: a hold-out of 104 eras cannot tell less from noise."""

ANCHOR_CONFIDENCE = 0.8
"""
Confidence with which a renewal must be worse than its anchor to be refused.

Simulated with renewals of equal quality, the longest time without a promotion in two years is 4 weeks (13 in one
installation of twenty); at 95 % it is 3, and renewals that lose .0002 a week take away 2.6 times as much.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """
    Scores of one model, or differences between the scores of two, by era.

    Attributes:
        values: Score of each era, NaN where it has none. Shape ``(eras,)``.
        noise: Standard deviation of the score that comes from the era's finite rows. Shape ``(eras,)``.
    """

    values: Floats
    noise: Floats

    def known(self) -> "Series":
        """Return the eras that have a value."""
        keep = np.isfinite(self.values)
        return Series(values=self.values[keep], noise=self.noise[keep])


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """
    Comparison of challenger and champion on the eras that are out of sample for both.

    Attributes:
        champion: Id of the champion's artifact.
        eras: Labels of the eras.
        renewal: Whether the challenger is the champion's recipe, trained again on data that are at least as new.
        differences: Scores of the challenger minus those of the champion, by kind of score.
        correlation: Rank correlation of their predictions. Shape ``(eras,)``.
    """

    champion: str
    eras: tuple[str, ...]
    renewal: bool
    differences: Mapping[str, Series]
    correlation: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Pay:
    """
    Payout factors, by which scores become pay.

    Attributes:
        corr: Multiplier of CORR.
        mmc: Multiplier of MMC.
    """

    corr: float = 3.0
    mmc: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """
    Earlier decisions on these eras.

    Attributes:
        count: Decisions of any recipe that used at least half of these eras.
        share: Share of a year's confidence that is in the account, 0 to 1.
        lead: Champion minus its anchor by era; empty where the champion is the anchor itself.
        note: State of the record where a person should know it; empty otherwise.
        repeats: Whether this look is the newest of the record again: the same predictions on the same eras.
    """

    count: int = 0
    share: float = START
    lead: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    repeats: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChampionTest:
    """
    Result of the comparison with the champion.

    Attributes:
        findings: Result of each check.
        spent: Share of a year's confidence that the look costs if every other floor holds.
        reason: The result in words.
    """

    findings: tuple[Finding, ...]
    spent: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """
    The paired difference that decides.

    Attributes:
        name: ``pay`` or ``corr``.
        series: Difference of each era.
    """

    name: str
    series: Series


def account(remaining: float, new_eras: int) -> float:
    """Return the share in the account: that after the last look, and what the eras since then have added."""
    return min(START, max(remaining, 0.0) + EARNED * new_eras)


def measure(differences: Mapping[str, Series], objective: str, pay: Pay, *, overlap: int) -> Measure:
    """
    Return the difference that decides: that of CORR, or that of CORR-equivalent pay.

    CORR-equivalent pay is ``(corr x CORR + mmc x MMC) / (corr + mmc)`` with the payout factors *corr* and *mmc*: the CORR
    of a model that is paid as much and whose MMC equals its CORR. It has the scale and the noise of a CORR, whatever the
    factors are; pay over the factor of CORR alone would have six times the noise at factors of 3 and 15. BMC replaces MMC
    in eras without the meta model. Where fewer than two blocks of eras have either, CORR decides.

    Args:
        differences: ``corr``, and ``bmc`` and ``mmc`` where they are known.
        objective: ``pay`` or ``corr``.
        pay: Payout factors.
        overlap: Eras that share returns.
    """
    corr, total = differences["corr"], pay.corr + pay.mmc
    parts = [differences[name] for name in ("mmc", "bmc") if name in differences]
    if objective != "pay" or not parts or not total:
        return Measure(name="corr", series=corr)
    known = np.isfinite(parts[0].values)
    contribution, noise = (
        np.where(known, getattr(parts[0], one), getattr(parts[-1], one)) for one in ("values", "noise")
    )
    # The errors of CORR and contribution come from the same rows, so they add up in full.
    combined = Series(
        values=(pay.corr * corr.values + pay.mmc * contribution) / total,
        noise=(pay.corr * corr.noise + pay.mmc * noise) / total,
    )
    enough = np.isfinite(combined.values).sum() >= 2 * overlap
    return Measure(name="pay", series=combined) if enough else Measure(name="corr", series=corr)


def against_champion(comparison: Comparison, floors: Floors, *, pay: Pay, looks: Looks, overlap: int) -> ChampionTest:
    """
    Test a challenger against the champion by the rule of its kind; see the module's text.

    Args:
        comparison: Scores of both.
        floors: Limits of the recipe.
        pay: Payout factors.
        looks: Earlier decisions on these eras.
        overlap: Eras that share returns.
    """
    decisive = measure(comparison.differences, floors.objective, pay, overlap=overlap)
    others = {name: one.known() for name, one in comparison.differences.items() if name != decisive.name}
    check = _reported if floors.objective == "pay" else _no_worse
    level = (1 + floors.confidence) / 2
    guards = [check(f"{name}_vs_champion", name, one, level, overlap) for name, one in others.items()]
    if not comparison.renewal:
        return _proof(decisive, comparison, floors, looks, overlap, guards)
    name = decisive.name
    series = decisive.series.known()
    findings = [_no_worse(f"{name}_vs_champion", name, series, level, overlap, decides=True), *guards]
    lead = _lead_over_anchor(decisive.series, comparison, looks, overlap)
    if lead is not None:
        findings.append(_no_worse(f"{name}_vs_anchor", name, lead.known(), ANCHOR_CONFIDENCE, overlap))
    reason = f"the same recipe, trained again, and no worse than {comparison.champion}"
    return ChampionTest(findings=tuple(findings), spent=0.0, reason=f"{reason}; {history(looks, comparison)}")


def lead(comparison: Comparison, floors: Floors, *, pay: Pay, looks: Looks, overlap: int) -> dict[str, float]:
    """Return a challenger's lead over its anchor by era, to be recorded where it is promoted; empty for a new anchor."""
    if not comparison.renewal:
        return {}
    series = measure(comparison.differences, floors.objective, pay, overlap=overlap).series
    total = _lead_over_anchor(series, comparison, looks, overlap)
    values = (series if total is None else total).values
    return {era: float(value) for era, value in zip(comparison.eras, values, strict=True) if np.isfinite(value)}


def history(looks: Looks, comparison: Comparison) -> str:
    """Return in words how often the eras have decided before."""
    times = {0: "have not decided", 1: "have decided once"}.get(looks.count, f"have decided {looks.count} times")
    note = f" ({looks.note})" if looks.note else ""
    return f"these {len(comparison.eras)} eras {times} before{note}"


def _lead_over_anchor(series: Series, comparison: Comparison, looks: Looks, overlap: int) -> Series | None:
    """Return challenger minus anchor; ``None`` where the champion is the anchor or too few eras of it are left."""
    before = np.array([looks.lead.get(era, np.nan) for era in comparison.eras])
    total = Series(values=series.values + before, noise=series.noise)
    return total if np.isfinite(total.values).sum() >= 2 * overlap else None


def _proof(
    decisive: Measure, comparison: Comparison, floors: Floors, looks: Looks, overlap: int, guards: list[Finding]
) -> ChampionTest:
    """Return the test of another recipe: its lower bound at this look's confidence is over the tolerated loss."""
    name, spent = decisive.name, PART * looks.share
    confidence = 1 - (1 - floors.confidence) * spent
    found = _measured(decisive.series.known(), overlap)
    before = history(looks, comparison)
    if isinstance(found, Absent):
        shown, low = f"not computed: {found.reason}", float("-inf")
    else:
        low = found.low(confidence)
        shown = f"{found.mean:.4f}, at least {low:.4f} with {100 * confidence:.6g}% confidence"
    finding = Finding(
        gate=f"{name}_vs_champion",
        ok=low > -TOLERATED_LOSS,
        value=shown,
        limit=f"low over {-TOLERATED_LOSS:g}",
        message=f"{name}_vs_champion: another recipe than the champion's must prove itself, and its {_WORDS[name]} differs"
        f" by {shown}, not over {-TOLERATED_LOSS:g}; {before}; retrain as eras resolve, or promote it by hand",
    )
    reason = f"{_WORDS[name]} differs from that of {comparison.champion} by {shown}; {before}"
    return ChampionTest(findings=(finding, *guards), spent=spent, reason=reason)


_WORDS = {"pay": "CORR-equivalent pay", "corr": "CORR", "bmc": "BMC", "mmc": "MMC"}


def _reported(gate: str, name: str, series: Series, level: float, overlap: int) -> Finding:
    """Return a difference that is shown and refuses nothing."""
    found = _no_worse(gate, name, series, level, overlap)
    return replace(found, ok=True, limit="shown only")


def _no_worse(gate: str, name: str, series: Series, level: float, overlap: int, *, decides: bool = False) -> Finding:
    """Return whether the one-sided upper bound at *level* reaches 0; what *decides* must be computed."""
    found, limit = _measured(series, overlap), "high at least 0"
    if isinstance(found, Absent):
        value = f"not computed: {found.reason}"
        message = f"{gate}: {value}; retrain as eras resolve, or promote it by hand"
        return Finding(gate=gate, ok=not decides, value=value, limit=limit, message=message)
    shown = f"{found.mean:.4f} [{found.low(level):.4f}, {found.high(level):.4f}]"
    whom = "the champion before its renewals" if gate.endswith("anchor") else "the champion"
    return Finding(
        gate=gate,
        ok=found.high(level) >= 0,
        value=shown,
        limit=limit,
        message=f"{gate}: the challenger's {_WORDS[name]} differs from that of {whom} by {shown}: worse beyond noise",
    )


def _measured(series: Series, overlap: int) -> MeanError | Absent:
    try:
        return mean_error(series.values, series.noise, overlap=overlap)
    except TooFewEras as error:
        return Absent(str(error))
