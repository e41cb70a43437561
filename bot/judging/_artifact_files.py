"""The parts of an artifact that a retrain and an adoption write in the same way: manifest entries and golden batch."""

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot import __version__
from bot.data.era_store import EraStore
from bot.members.fitting import Facts
from bot.members.member import Member
from bot.members.rows import RawRows
from bot.members.stored import to_json
from bot.serving.names import GOLDEN
from bot.serving.scorer import Members, golden_batch
from bot.training.recipes import ResolvedRecipe
from bot.training.training_data import TrainingData

GOLDEN_ROWS = 128
"""Rows of the newest era in the golden batch."""

SCORED_WITH = ("onnxruntime", "numpy")
"""Packages that score every artifact."""


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
        "bot": __version__,
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
