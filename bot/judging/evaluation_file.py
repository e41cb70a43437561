"""
Write the judgement of an artifact as ``evaluation.json``.

::

    {"target": "target_ender_60",
     "validation": BLOCK,            challenger on the eras of early stopping and weights
     "holdout": BLOCK,               challenger on the hold-out
     "champion": BLOCK or null,      champion on the hold-out's eras that it had not seen
     "champion_id": "..." or null,
     "correlation": [...],           rank correlation of both ensembles on the champion's eras
     "not_computed": {"mmc": "reason"}}

    BLOCK = {"eras": ["0900", ...], "rows": [...], "exposure": [...],
             "scores": {"corr": {"tsmixer": [...], "gbm": [...], "ensemble": [...]}, "bmc": {...}, "mmc": {...}}}

Every list has one entry per era of its block; an era without the score has ``null``.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bot.judging._champion_comparison import HoldoutJudgement
from bot.judging.judge import JudgedEras
from bot.scoring.summaries import max_drawdown, sharpe


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrSummary:
    """
    CORR of one member over eras.

    Attributes:
        mean: Mean over the eras.
        sharpe: Mean divided by the standard deviation.
        max_drawdown: Largest fall of the cumulative sum.
        eras: Eras with a score.
    """

    mean: float
    sharpe: float
    max_drawdown: float
    eras: int


def summarize_corr(judged: JudgedEras) -> dict[str, CorrSummary]:
    """Return the CORR of members and ensemble over the eras that have one."""
    return {
        name: CorrSummary(
            mean=float(np.nanmean(series)) if np.isfinite(series).any() else float("nan"),
            sharpe=sharpe(series),
            max_drawdown=max_drawdown(series),
            eras=int(np.isfinite(series).sum()),
        )
        for name, series in judged.scores["corr"].items()
    }


def evaluation_json(judgement: HoldoutJudgement, validation: JudgedEras, *, target: str) -> str:
    """Return the judgement as JSON text in the form that the module describes."""
    comparison = judgement.evidence.comparison
    content = {
        "target": target,
        "validation": _block(validation),
        "holdout": _block(judgement.challenger),
        "champion": None if judgement.champion is None else _block(judgement.champion),
        "champion_id": judgement.champion_id,
        "correlation": [] if comparison is None else _numbers(comparison.correlation),
        "not_computed": dict(judgement.evidence.not_computed),
    }
    return json.dumps(content, indent=1) + "\n"


def _block(judged: JudgedEras) -> Mapping[str, Any]:
    return {
        "eras": list(judged.eras),
        "rows": judged.rows.tolist(),
        "exposure": _numbers(judged.exposure),
        "scores": {
            score: {name: _numbers(series) for name, series in members.items()}
            for score, members in judged.scores.items()
        },
    }


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
