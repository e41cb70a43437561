"""Steps that a retrain and the arrival of another machine's artifact have in common."""

import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from bot.judging._champion_comparison import HoldoutJudgement, ServingCheck
from bot.judging.champion_test import Looks, Pay, lead
from bot.judging.judge import Ensemble
from bot.judging.looks import Judged, keep_look
from bot.judging.promotion import Decision
from bot.members.rows import RawRows
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.scorer import Scorer, replay
from bot.tournament.columns import overlap_eras
from bot.training.recipes import ResolvedRecipe

LIVE_ROWS = 7_200
"""Rows of the largest live era so far (6,700 to 7,200 in 2026)."""

log = structlog.get_logger()


def pay_of(plan: ResolvedRecipe) -> Pay:
    """Return the recipe's payout factors."""
    return Pay(corr=plan.recipe.corr_multiplier, mmc=plan.recipe.mmc_multiplier)


def check_serving(loaded: Ensemble, newest: npt.NDArray[np.int8], golden: bytes) -> ServingCheck:
    """
    Replay a golden batch and time a live era with models that were loaded from their files.

    Args:
        loaded: Models that would serve.
        newest: Raw features of some rows, in the order of the members' features. Shape ``(rows, features)``.
        golden: The golden batch.
    """
    live = np.resize(newest, (LIVE_ROWS, newest.shape[1]))
    began = time.perf_counter()
    loaded.score_rows(RawRows(names=loaded.members.features, values=live, history=loaded.members.history))
    latency_s = time.perf_counter() - began
    differences = replay(loaded.members, golden)
    return ServingCheck(golden=max(differences.values(), default=0.0), latency_s=latency_s)


def record_look(
    ledger_path: Path | None,
    plan: ResolvedRecipe,
    artifact: Artifact,
    judgement: HoldoutJudgement,
    decision: Decision,
    looks: Looks,
) -> None:
    """Record the decision between challenger and champion before it takes effect."""
    comparison, overlap = judgement.evidence.comparison, overlap_eras(plan.target)
    if comparison is None:
        return
    judged = Judged(
        recipe=plan.recipe.name,
        artifact=artifact.id,
        comparison=comparison,
        looks=looks,
        decision=decision,
        lead=lead(comparison, plan.recipe.floors, pay=pay_of(plan), looks=looks, overlap=overlap),
    )
    keep_look(ledger_path, judged, at=datetime.now(UTC))


def take_effect(artifacts: ArtifactStore, plan: ResolvedRecipe, artifact: Artifact, decision: Decision) -> None:
    """
    Make an artifact the champion where the decision is to promote, once it replays its golden batch.

    Raises:
        ArtifactInvalid: The written artifact does not score as it was trained.
    """
    Scorer(artifact)
    if decision.promote:
        artifacts.promote(plan.recipe.name, artifact.id, by="gate")
    else:
        artifacts.prune()
    log.info(
        "artifact.promoted" if decision.promote else "artifact.kept_back",
        artifact=artifact.id,
        recipe=plan.recipe.name,
        data_version=plan.data_version,
        reason=decision.reason,
    )
