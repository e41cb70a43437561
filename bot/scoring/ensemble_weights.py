"""
Weights of ensemble members, from their scores on eras that no member was trained on.

Weights that are optimal on some eras are mostly noise on the next ones, so every rule stays near equal weights. The
optimum is shrunk to equal weights. A weight above an equal share requires pay that is ahead by more than one standard
error. Without enough evidence the weights are equal, and a finding gives the reason.
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
"""Share by which the optimum is moved to equal weights; half way keeps its direction and halves the possible loss."""

RIDGE = 0.1
"""Share of the members' similarity that counts as noise, so that nearly equal members get nearly equal weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EraScores:
    """
    Scores of all members on one out-of-fold era, in the order of the members.

    Attributes:
        corr: CORR of each member. Shape ``(members,)``.
        mmc: Contribution of each member to the meta model, NaN if the era has none. Shape ``(members,)``.
        bmc: Contribution of each member to the benchmark, NaN if the era has none. Shape ``(members,)``.
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
        Score the members on one era that they were not trained on.

        Args:
            members: Predictions of all rows, by member. Shape ``(rows,)`` each.
            targets: Target that is paid for, NaN where unknown. Shape ``(rows,)``.
            meta_model: Predictions of the meta model, ``None`` for eras before it begins. Shape ``(rows,)``.
            benchmark: Predictions of the benchmark model, which replaces a missing meta model, or ``None``. Shape
                ``(rows,)``.
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
    Weights of the members.

    Attributes:
        weights: Weights by member. They are at least 0 and add up to 1.
        findings: Messages about replaced scores and eras left out, and the reason for equal weights.
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

    - ``equal`` uses no scores.
    - ``inverse_variance`` weights each member by one over the variance of its pay per era.
    - ``constrained`` maximises the pay of the blend, ``corr_multiplier * CORR + mmc_multiplier * MMC`` of the weighted sum
      of gaussianized members, over weights of at least 0, and shrinks the optimum to equal weights. Both scores of a sum
      are the sum of its parts' scores over the length of the sum, so the pay is ``a @ w / sqrt(w @ C @ w)`` with mean pay
      ``a`` and similarity ``C`` of the members.

    With every rule, a member's weight exceeds an equal share only if its pay exceeds the members' mean by more than one
    standard error of the paired difference.

    Args:
        rule: Name of the rule.
        members: Names of the members, in the order of the scores in *eras*.
        eras: Scores on out-of-fold eras in order of time, without the eras of a promotion gate.
        corr_multiplier: Multiplier of CORR in the round's payout.
        mmc_multiplier: Multiplier of MMC in the round's payout; BMC replaces MMC in eras without a meta model. With 0, an
            era needs neither.
        lag: Eras that share returns: 4 for a 20-day target, 12 for a 60-day target.
        shrink: Share by which the ``constrained`` optimum is moved to equal weights, from 0 to 1.

    Raises:
        ValueError: There are no members, an era has another number of members, or *shrink* is outside 0 to 1.
    """
    if not members or any(len(era.corr) != len(members) for era in eras) or not 0 <= shrink <= 1:
        raise ValueError(f"members {list(members)}, scores of {len(eras)} eras and shrink {shrink} do not fit together")
    equal = np.full(len(members), 1 / len(members))
    if rule == "equal" or len(members) == 1:
        return _by_member(members, equal, ())
    pay = _pay(eras, len(members), corr_multiplier, mmc_multiplier)
    ahead = pay.table - pay.table.mean(axis=1, keepdims=True)
    try:
        errors = np.array([newey_west_error(column, lag=lag) for column in ahead.T])
    except TooFewEras as error:
        return _by_member(members, equal, (*pay.findings, f"equal weights: {error}"))
    found = _inverse_variance(pay.table) if rule == "inverse_variance" else _optimum(pay)
    if found is None:
        return _by_member(
            members, equal, (*pay.findings, f"equal weights: {rule} finds no member worth more than another")
        )
    if rule == "constrained":
        found = (1 - shrink) * found + shrink * equal
    return _by_member(members, _limit_to_equal(found, ahead.mean(axis=0) > errors), pay.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pay:
    """
    Pay of the members in the eras that have all scores.

    Attributes:
        table: Pay by era and member. Shape ``(eras, members)``.
        eras: The eras.
        findings: Messages about eras that use BMC and eras left out.
    """

    table: Floats
    eras: tuple[EraScores, ...]
    findings: tuple[str, ...]


def _pay(eras: Sequence[EraScores], members: int, corr_multiplier: float, mmc_multiplier: float) -> _Pay:
    """Return the pay of each member, with BMC in the place of MMC in eras without a meta model."""
    rows, usable, with_bmc = [], [], 0
    for era in eras:
        row = corr_multiplier * era.corr
        if mmc_multiplier:  # a round that pays for CORR alone needs no reference predictions
            contribution = era.mmc
            if np.isnan(contribution).any():
                contribution, with_bmc = era.bmc, with_bmc + bool(np.isfinite(era.bmc).all())
            row = row + mmc_multiplier * contribution
        if np.isfinite(row).all():
            rows.append(row)
            usable.append(era)
    findings = []
    if with_bmc:
        findings.append(f"BMC stands in for MMC in {with_bmc} of {len(eras)} eras, which have no meta model")
    if len(rows) < len(eras):
        findings.append(f"{len(eras) - len(rows)} of {len(eras)} eras lack a score of some member and are left out")
    return _Pay(table=np.array(rows).reshape(len(rows), members), eras=tuple(usable), findings=tuple(findings))


def _inverse_variance(pay: Floats) -> Floats | None:
    """Return weights by one over the variance of each member's pay, ``None`` if a member's pay does not vary."""
    variance = pay.var(axis=0)
    return None if (variance <= 0).any() else (1 / variance) / (1 / variance).sum()


def _optimum(pay: _Pay) -> Floats | None:
    """
    Return the weights of at least 0 that maximise ``a @ w / sqrt(w @ C @ w)``.

    They are, up to scale, the weights that minimise ``w @ C @ w / 2 - a @ w``, found by coordinate descent. The ridge makes
    the solution unique, whatever the order of the coordinates.

    Returns:
        Weights that add up to 1, or ``None`` if no member has positive pay or a member is constant.
    """
    a = pay.table.mean(axis=0)
    similarity = np.mean([era.similarity for era in pay.eras], axis=0)
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


def _limit_to_equal(weights: Floats, ahead: npt.NDArray[np.bool_]) -> Floats:
    """Limit members that are not *ahead* to an equal share, and add the rest to those that are, in proportion."""
    equal = 1 / len(weights)
    if not ahead.any():
        return np.full(len(weights), equal)
    kept = np.where(ahead, weights, np.minimum(weights, equal))
    parts = np.where(ahead, np.maximum(weights, 1e-12), 0.0)
    return np.asarray(kept + (1 - kept.sum()) * parts / parts.sum())


def _by_member(members: Sequence[str], weights: Floats, findings: tuple[str, ...]) -> EnsembleWeights:
    return EnsembleWeights(weights=dict(zip(members, weights.tolist(), strict=True)), findings=findings)
