"""Score members on eras they have not seen, by the code that serves."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bot.scorer import Members, ensemble
from bot.scoring import corr
from bot.summaries import max_drawdown, sharpe
from bot.training_set import TrainingSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """CORR of one member over eras: mean, Sharpe and largest drawdown of the cumulative sum."""

    mean: float
    sharpe: float
    max_drawdown: float
    eras: int


def judge(
    data: TrainingSet,
    members: Members,
    positions: Sequence[int],
    *,
    target: str,
    weights: Mapping[str, float],
    neutralizers: Sequence[str],
    proportion: float,
) -> dict[str, Score]:
    """
    Score *members* and their ensemble on the eras at *positions*.

    Args:
        data: The eras.
        members: Models that have not seen them.
        positions: Of the eras.
        target: The truth.
        weights: Share of each member.
        neutralizers: Features that the ensemble is neutralized to.
        proportion: How much of their linear part is removed.

    Returns:
        Score by member, and of the ``ensemble``.
    """
    columns = [data.manifest.features.index(name) for name in neutralizers]
    per_era: dict[str, list[float]] = defaultdict(list)
    for position in positions:
        rows = data.prepared(position)
        seen = data.window(position)
        scores = members.score(rows, window="masked" if seen is None else seen)
        blended = ensemble(scores, weights, rows.features[:, columns], proportion=proportion)
        truth = data.target(position, target)
        for name, values in {**scores, "ensemble": blended}.items():
            per_era[name].append(corr(values, truth))
    return {
        name: Score(
            mean=float(np.mean(series)),
            sharpe=sharpe(np.array(series)),
            max_drawdown=max_drawdown(np.array(series)),
            eras=len(series),
        )
        for name, series in per_era.items()
    }
