"""Steps that a retrain, an adoption and the arrival of another machine's artifact have in common."""

import json
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from bot.data.era_store import EraStore
from bot.judging._champion_comparison import HoldoutJudgement, ServingCheck
from bot.judging.champion_test import Looks, Pay, lead
from bot.judging.judge import Ensemble
from bot.judging.looks import Judged, keep_look
from bot.judging.promotion import Decision
from bot.members.fitting import Facts
from bot.members.member import Member
from bot.members.rows import RawRows
from bot.members.stored import to_json
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.names import GOLDEN
from bot.serving.scorer import Members, Scorer, golden_batch, replay
from bot.system.files import sha256_of
from bot.tournament.columns import overlap_eras
from bot.training.recipes import ResolvedRecipe
from bot.training.training_data import TrainingData

LIVE_ROWS = 7_200
"""Rows of the largest live era so far (6,700 to 7,200 in 2026)."""

GOLDEN_ROWS = 128
"""Rows of the newest era in the golden batch."""

SCORED_WITH = ("onnxruntime", "numpy")
"""Packages that score every artifact."""

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


def predicts_the_same(
    artifact: Artifact, method: Mapping[str, Any], weights: Mapping[str, float], served: Path
) -> bool:
    """
    Return whether models predict exactly what an artifact predicts.

    Args:
        artifact: The artifact.
        method: Recipe, feature set and target of the models, as their manifest will have them.
        weights: Their weights.
        served: Folder of their files and of everything else that serving needs.
    """
    entries, files = json.loads(json.dumps({**method, "weights": weights})), artifact.manifest["files"]
    if any(artifact.manifest.get(key) != value for key, value in entries.items()):
        return False
    return all(one.name in files and files[one.name]["sha256"] == sha256_of(one) for one in served.iterdir())


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


def common_entries(
    plan: ResolvedRecipe,
    data: TrainingData,
    facts: Mapping[str, Facts],
    *,
    neutralizers: Sequence[str],
    benchmark: str | None,
    packages: Iterable[str] = (),
) -> dict[str, Any]:
    """
    Return the entries of a manifest that do not depend on how the models came about.

    Args:
        plan: The recipe.
        data: Its data.
        facts: Facts of each member's files.
        neutralizers: Features that exposure is measured to.
        benchmark: Column of the benchmark model that a round needs; ``None`` where it needs none.
        packages: Packages that the members were trained with.
    """
    manifest = data.main.manifest
    return {
        "bot": version("numerai-bot"),
        "recipe": asdict(plan.recipe),
        "recipe_sha256": plan.recipe.digest,
        "data_version": plan.data_version,
        "feature_set": plan.feature_set,
        "features": len(manifest.features),
        "preprocess_sha256": manifest.digest,
        "target": plan.target,
        "targets": list(plan.targets),
        "members": to_json(plan.members),
        "fits": {name: dict(one) for name, one in facts.items()},
        "neutralizers": list(neutralizers),
        "benchmark": benchmark,
        "packages": {name: version(name) for name in dict.fromkeys((*packages, *SCORED_WITH))},
        "machine": platform.machine(),
    }


def write_golden(folder: Path, recipe_members: Sequence[Member], store: EraStore) -> npt.NDArray[np.int8]:
    """
    Write rows of the newest era, and the members' scores of them, to the folder of the models.

    Args:
        folder: Folder of the models.
        recipe_members: Members of the recipe.
        store: Store of the rows.

    Returns:
        The raw features of the newest era. Shape ``(rows, features)``.
    """
    members = Members(folder, recipe_members)
    columns = store.select(members.features, ())
    newest = np.ascontiguousarray(columns.features(len(columns.eras) - 1))
    rows = newest[:GOLDEN_ROWS]
    scores = members.score(RawRows(names=members.features, values=rows, history=members.history))
    (folder / GOLDEN).write_bytes(golden_batch(members.features, rows, scores))
    return newest
