"""
Decide whether a challenger replaces the champion, from scores of the hold-out.

Nothing was tuned on the hold-out. A challenger must have more skill there than chance, must satisfy the floors of its
recipe, and must stand the comparison with the champion (:mod:`bot.judging.champion_test`).

There are two sources of noise, and the larger one counts:

- Neighbouring eras share returns. The block bootstrap of :mod:`bot.scoring.bootstrap` measures this noise, but
  understates it where there are few blocks.
- The rows of an era are finite. Shuffled within their eras, scores have a mean of 0 and an exactly known variance,
  however few eras there are: that of a correlation is ``1 / (rows - 1)`` (E. J. G. Pitman, *Significance tests which
  may be applied to samples from any populations II*, 1937).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bot.findings import Finding
from bot.judging.champion_test import ChampionTest, Comparison, Looks, Pay, Series, against_champion
from bot.scoring.bootstrap import Interval, TooFewEras, block_bootstrap, widened
from bot.tournament.columns import overlap_eras
from bot.training.recipes import Floors

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    Measurements of a challenger that the decision is based on.

    Attributes:
        corr: CORR of its ensemble on the hold-out.
        contributions: BMC and MMC of its ensemble, where they could be computed.
        drawdown: Largest fall of its cumulative CORR.
        exposure: Largest absolute correlation with a feature, mean over eras.
        golden: Largest difference of a golden score when the files that serve were loaded again.
        golden_limit: Largest difference that is tolerated.
        latency_s: Seconds that the files that serve take to score a live era.
        leaks: Findings of :mod:`bot.judging.leakage`; a failed one refuses, whatever the scores.
        comparison: Comparison with the champion; ``None`` where there is no champion or it cannot be scored.
        not_computed: Reasons by name of a score, or ``champion``.
        moves: Promotion would move the recipe to another data version. It requires a comparison with the champion.
        unread: There is a champion, and it could not be compared for an error that may pass. It stays.
    """

    corr: Series
    contributions: Mapping[str, Series]
    drawdown: float
    exposure: float
    golden: float
    golden_limit: float
    latency_s: float
    leaks: tuple[Finding, ...]
    comparison: Comparison | None
    not_computed: Mapping[str, str]
    moves: bool = False
    unread: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """
    Result of the judgement.

    Attributes:
        promote: Whether the challenger becomes champion.
        findings: Result of each check.
        reason: Summary in one sentence.
        spent: Share of a year's confidence that the comparison with the champion cost. A challenger that another floor
            refuses costs nothing, because it could not be promoted in error.
    """

    promote: bool
    findings: tuple[Finding, ...]
    reason: str
    spent: float = 0.0


def decide(
    evidence: Evidence, floors: Floors, *, target: str, pay: Pay | None = None, looks: Looks | None = None
) -> Decision:
    """
    Decide whether a challenger becomes champion.

    Too few eras for an interval of CORR refuse it. A contribution without enough eras is reported and never refuses.

    Args:
        evidence: Measurements of the challenger.
        floors: Limits of the recipe.
        target: Main target; its horizon determines how many eras share returns.
        pay: Payout factors of the recipe; by default those of 2026.
        looks: Earlier decisions on these eras; by default none.
    """
    block = overlap_eras(target)
    findings = [*evidence.leaks, _skill(evidence.corr.known(), floors), _corr(evidence.corr.known(), floors, block)]
    findings += [_contribution(name, evidence, floors, block) for name in ("bmc", "mmc")]
    findings += [
        _at_most("drawdown", evidence.drawdown, floors.max_drawdown, "cumulative CORR falls too far"),
        _at_most("exposure", evidence.exposure, floors.max_exposure, "it depends on one feature; neutralize more"),
        _at_most(
            "golden", evidence.golden, evidence.golden_limit, "its files score differently from the trained models"
        ),
        _at_most("latency", evidence.latency_s, floors.max_latency_s, "a round takes too long to score"),
    ]
    comparison, test = evidence.comparison, None
    if comparison is None:
        findings.append(_without_comparison(evidence))
    else:
        findings.append(_alike(comparison.correlation, floors))
        test = against_champion(comparison, floors, pay=pay or Pay(), looks=looks or Looks(), overlap=block)
    refused = [finding for finding in findings if not finding.ok]
    spent = 0.0 if test is None or refused else test.spent
    if test is not None:
        findings += test.findings
        refused += [finding for finding in test.findings if not finding.ok]
    reason = "; ".join(one.message for one in refused) if refused else _promoted(evidence, test)
    return Decision(promote=not refused, findings=tuple(findings), reason=reason, spent=spent)


def unchanged(decision: Decision, champion: str) -> Decision:
    """Return the decision on models that are the champion's own files: it stays, and no confidence is spent."""
    reason = f"the same data and recipe gave the files of the champion {champion} again, byte for byte"
    return replace(decision, promote=False, reason=reason, spent=0.0)


def _promoted(evidence: Evidence, test: ChampionTest | None) -> str:
    """Return the reason of a promotion, with the warning of a leak where there is one."""
    alone = evidence.not_computed.get("champion", "there is no champion to beat")
    against = alone if test is None else test.reason
    warned = [f"; {one.message}" for one in evidence.leaks if one.gate == "too_good" and isinstance(one.value, str)]
    reason = f"CORR {np.nanmean(evidence.corr.values):.4f} on the hold-out is more than chance, floors hold, {against}"
    return "".join((reason, *warned))


def _without_comparison(evidence: Evidence) -> Finding:
    """Return the finding where no champion was compared with."""
    why = evidence.not_computed.get("champion", "none yet")
    if evidence.unread:
        return _unread(why)
    return _unproven(why) if evidence.moves else _passed("champion", why, "no worse than it")


def interval(series: Series, *, confidence: float, block: int) -> Interval:
    """
    Return the mean of *series* with bounds from the larger of both sources of noise.

    Raises:
        TooFewEras: There are fewer than two blocks.
    """
    return widened(block_bootstrap(series.values, block=block, level=confidence), series.noise, level=confidence)


def skill(series: Series) -> float:
    """
    Return the distance of the scores' mean from that of shuffled rows, in standard deviations; 0 without eras.

    If rows are exchangeable within their eras, it is standard normal by the central limit theorem: 0.023 % of models
    without skill are over 3.5.
    """
    deviation = float(np.sqrt((series.noise**2).sum()))
    return float(series.values.sum()) / deviation if deviation else 0.0


def _skill(series: Series, floors: Floors) -> Finding:
    value = skill(series)
    return Finding(
        gate="skill",
        ok=value >= floors.min_skill,
        value=value,
        limit=f"at least {floors.min_skill:g}",
        message=f"skill: CORR is {value:.1f} deviations from that of shuffled rows, not {floors.min_skill:g}:"
        " it may be chance",
    )


def _corr(series: Series, floors: Floors, block: int) -> Finding:
    limit = f"low over {floors.min_corr:g}"
    try:
        found = interval(series, confidence=floors.confidence, block=block)
    except TooFewEras as error:
        return Finding(
            gate="corr", ok=False, value=str(error), limit=limit, message=f"corr: {error}; raise holdout_eras"
        )
    return Finding(
        gate="corr",
        ok=found.low > floors.min_corr,
        value=_shown(found),
        limit=limit,
        message=f"corr: CORR {_shown(found)} has a lower bound that is not over {floors.min_corr:g}",
    )


def _contribution(name: str, evidence: Evidence, floors: Floors, block: int) -> Finding:
    limit = f"high at least {floors.min_contribution:g}"
    if name not in evidence.contributions:
        return _passed(
            name, f"not computed: {evidence.not_computed.get(name, 'no predictions to compare with')}", limit
        )
    try:
        found = interval(evidence.contributions[name].known(), confidence=floors.confidence, block=block)
    except TooFewEras as error:
        return _passed(name, f"not computed: {error}", limit)
    return Finding(
        gate=name,
        ok=found.high >= floors.min_contribution,
        value=_shown(found),
        limit=limit,
        message=f"{name}: {name.upper()} {_shown(found)} has an upper bound under {floors.min_contribution:g}",
    )


def _alike(correlation: Floats, floors: Floors) -> Finding:
    value = float(np.nanmean(correlation))
    return Finding(
        gate="like_champion",
        ok=value >= floors.min_champion_correlation,
        value=value,
        limit=f"at least {floors.min_champion_correlation:g}",
        message=f"like_champion: predictions correlate {value:.2f} with the champion's, not"
        f" {floors.min_champion_correlation:g}; if the change is intended, promote it by hand",
    )


def _at_most(gate: str, value: float, limit: float, what: str) -> Finding:
    return Finding(
        gate=gate,
        ok=value <= limit,
        value=value,
        limit=f"at most {limit:g}",
        message=f"{gate}: {what} ({value:.4g}, at most {limit:g})",
    )


def _unproven(why: str) -> Finding:
    return Finding(
        gate="champion",
        ok=False,
        value=why,
        limit="compared, where the data version moves",
        message=f"champion: {why}; the data version moves only for a challenger that was compared: run `bot sync` and"
        " `bot retrain` again, or `bot promote` it by hand",
    )


def _unread(why: str) -> Finding:
    return Finding(
        gate="champion",
        ok=False,
        value=why,
        limit="compared",
        message=f"champion: {why}; the error may pass: run `bot retrain` again, or `bot promote` this one by hand",
    )


def _passed(gate: str, value: str, limit: str) -> Finding:
    return Finding(gate=gate, ok=True, value=value, limit=limit, message=f"{gate}: {value}")


def _shown(found: Interval) -> str:
    return f"{found.estimate:.4f} [{found.low:.4f}, {found.high:.4f}]"
