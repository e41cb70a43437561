"""
How much each member of an ensemble counts, from scores on eras that no member has learned from.

Weights that are optimal on some eras are mostly noise on the next ones, so everything here pulls towards equal weights:
the optimum is shrunk to them, more than an equal share has to be earned by more than one standard error, and evidence
that cannot tell gives equal weights and says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bot.scoring.bootstrap import TooFewEras, newey_west_error
from bot.scoring.metrics import corr_table, mmc_table
from models.inference.ranks import double_ranks, normal_scores

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float64]
Rule = Literal["equal", "inverse_variance", "constrained"]

SHRINK = 0.5
"""How far the optimum is moved to equal weights: half way keeps its direction and halves what it can lose."""

RIDGE = 0.1
"""Part of the members' similarity that is taken as noise, so that members that are nearly the same share evenly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EraScores:
    """
    What one out-of-fold era says about the members, in the order they were given.

    Attributes:
        corr: CORR of each. Shape ``(members,)``.
        mmc: Contribution to the meta model; NaN where the era has none. Shape ``(members,)``.
        bmc: Contribution to the benchmark; NaN where the era has none. Shape ``(members,)``.
        similarity: Correlation of the gaussianized members. Shape ``(members, members)``.
    """

    corr: Floats
    mmc: Floats
    bmc: Floats
    similarity: Floats

    @classmethod
    def of(
        cls, members: Mapping[str, Array], targets: Array, *, meta_model: Array | None, benchmark: Array | None
    ) -> "EraScores":
        """
        Score the members on one era that they have not learned from.

        Args:
            members: Predictions by name, every row. Shape ``(rows,)`` each.
            targets: What is paid for; NaN where unknown. Shape ``(rows,)``.
            meta_model: Or ``None`` before it begins. Shape ``(rows,)``.
            benchmark: Stands in where there is no meta model, or ``None``. Shape ``(rows,)``.
        """
        predictions = np.stack([np.asarray(values) for values in members.values()], axis=1)
        unknown = np.full(predictions.shape[1], np.nan)
        contributions = [
            unknown if other is None else mmc_table(predictions, other, targets)[:, 0]
            for other in (meta_model, benchmark)
        ]
        gauss = np.stack([normal_scores(len(p))[double_ranks(p)] for p in predictions.T], axis=1)
        lengths = np.linalg.norm(gauss, axis=0)
        scale = np.outer(lengths, lengths)
        return cls(
            corr=corr_table(predictions, targets)[:, 0],
            mmc=contributions[0],
            bmc=contributions[1],
            similarity=np.divide(gauss.T @ gauss, scale, out=np.full(scale.shape, np.nan), where=scale > 0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleWeights:
    """
    Weights, and whatever has to be known about them.

    Attributes:
        weights: By member, at least 0, adding up to 1.
        findings: What stood in for what, and why weights are equal where no other could be told.
    """

    weights: Mapping[str, float]
    findings: tuple[str, ...]


def weigh(
    rule: Rule,
    members: Sequence[str],
    eras: Sequence[EraScores],
    *,
    corr_multiplier: float,
    mmc_multiplier: float,
    lag: int,
    shrink: float = SHRINK,
) -> EnsembleWeights:
    """
    Return the members' weights by a rule.

    ``equal`` looks at nothing. ``inverse_variance`` weighs by one over the variance of what a member is paid per era.
    ``constrained`` maximises what the blend is paid, ``corr_multiplier * CORR + mmc_multiplier * MMC`` of the weighted sum
    of gaussianized members, over weights that are not negative: both scores of a sum are those of its parts over the
    length of the sum, so it is the ratio ``a @ w / sqrt(w @ C @ w)`` of mean pay and similarity. Its optimum is shrunk.

    Whatever the rule, a member is given more than an equal share only if its pay exceeds the members' mean by more than
    one standard error of the paired difference.

    Args:
        rule: See above.
        members: Names, in the order of *eras*.
        eras: Out-of-fold, in order of time; not those of a promotion gate.
        corr_multiplier: Of CORR in the round's terms.
        mmc_multiplier: Of MMC; BMC stands in for eras without a meta model.
        lag: Eras that share returns: 4 for a 20-day target, 12 for a 60-day one.
        shrink: 1 makes ``constrained`` equal, 0 leaves it as it is.

    Raises:
        ValueError: There are no members, their number differs from that of an era, or *shrink* is not within 0 and 1.
    """
    if not members or any(len(era.corr) != len(members) for era in eras) or not 0 <= shrink <= 1:
        raise ValueError(f"members {list(members)}, scores of {len(eras)} eras and shrink {shrink} do not fit together")
    equal = np.full(len(members), 1 / len(members))
    if rule == "equal" or len(members) == 1:
        return _weighing(members, equal, ())
    pay, usable, findings = _pay(eras, len(members), corr_multiplier, mmc_multiplier)
    ahead = pay - pay.mean(axis=1, keepdims=True)
    try:
        errors = np.array([newey_west_error(column, lag=lag) for column in ahead.T])
    except TooFewEras as error:
        return _weighing(members, equal, (*findings, f"equal weights: {error}"))
    found = _inverse_variance(pay) if rule == "inverse_variance" else _optimum(pay, usable)
    if found is None:
        return _weighing(members, equal, (*findings, f"equal weights: {rule} finds no member worth more than another"))
    if rule == "constrained":
        found = (1 - shrink) * found + shrink * equal
    return _weighing(members, _earned(found, ahead.mean(axis=0) > errors), findings)


def _pay(
    eras: Sequence[EraScores], members: int, corr_multiplier: float, mmc_multiplier: float
) -> tuple[Floats, list[EraScores], tuple[str, ...]]:
    """Return what every member is paid in the eras that have all scores, those eras, and what was done about the others."""
    rows, usable, instead = [], [], 0
    for era in eras:
        contribution = era.mmc
        if np.isnan(contribution).any():
            contribution, instead = era.bmc, instead + bool(np.isfinite(era.bmc).all())
        row = corr_multiplier * era.corr + mmc_multiplier * contribution
        if np.isfinite(row).all():
            rows.append(row)
            usable.append(era)
    findings = []
    if instead:
        findings.append(f"BMC stands in for MMC in {instead} of {len(eras)} eras, which have no meta model")
    if len(rows) < len(eras):
        findings.append(f"{len(eras) - len(rows)} of {len(eras)} eras lack a score of some member and are left out")
    return np.array(rows).reshape(len(rows), members), usable, tuple(findings)


def _inverse_variance(pay: Floats) -> Floats | None:
    variance = pay.var(axis=0)
    return None if (variance <= 0).any() else (1 / variance) / (1 / variance).sum()


def _optimum(pay: Floats, eras: Sequence[EraScores]) -> Floats | None:
    """
    Return the weights of at least 0 with the most pay for the length of their sum.

    The ratio's optimum is that of ``w @ C @ w / 2 - a @ w`` but for scale; one weight at a time is set to its best until
    none moves, which the ridge makes the one solution whatever the order.
    """
    a = pay.mean(axis=0)
    similarity = np.mean([era.similarity for era in eras], axis=0)
    if not np.isfinite(similarity).all() or (a <= 0).all():
        return None
    a = a / a.max()
    similarity = (1 - RIDGE) * similarity + RIDGE * np.eye(len(a))
    w = np.zeros(len(a))
    for _ in range(10_000):
        before = w.copy()
        for i in range(len(w)):
            w[i] = max(0.0, a[i] - similarity[i] @ w + similarity[i, i] * w[i]) / similarity[i, i]
        if np.abs(w - before).max() < 1e-14:
            break
    return np.asarray(w / w.sum())


def _earned(weights: Floats, ahead: npt.NDArray[np.bool_]) -> Floats:
    """Return weights in which only members that are *ahead* have more than an equal share; they get what is cut off."""
    equal = 1 / len(weights)
    if not ahead.any():
        return np.full(len(weights), equal)
    kept = np.where(ahead, weights, np.minimum(weights, equal))
    given = np.where(ahead, np.maximum(weights, 1e-12), 0.0)
    return np.asarray(kept + (1 - kept.sum()) * given / given.sum())


def _weighing(members: Sequence[str], weights: Floats, findings: tuple[str, ...]) -> EnsembleWeights:
    return EnsembleWeights(weights=dict(zip(members, weights.tolist(), strict=True)), findings=findings)
