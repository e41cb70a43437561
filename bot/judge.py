"""
Score members on eras they have not seen, by the code that serves, and keep every era's number.

Challenger and champion are scored on the same rows; the champion's members here are the ones it was judged by, which
had never seen anything later than the embargo before its own hold-out.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from bot.columns import horizon
from bot.history import Window
from bot.network_fit import Watcher
from bot.neutralize import KNOWN_SHARE, exposures, spoken
from bot.opinions import Opinions
from bot.preprocess import Prepared
from bot.recipes import Recipe
from bot.scorer import Members, ensemble
from bot.scoring import corr, mmc
from bot.training_set import TrainingSet
from bot.weights import EraScores, weigh
from models.ranks import rank_correlation

ENSEMBLE = "ensemble"

Floats = npt.NDArray[np.float64]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """
    A set of members with what makes one prediction of theirs.

    Attributes:
        data: The eras with the features these members take.
        members: The models.
        weights: Share of each.
        neutralizers: Features that exposure is measured to, and the ensemble neutralized.
        proportion: How much of their linear part is removed.
        to_benchmark: The ensemble is neutralized to the benchmark model instead; in an era that it does not speak
            about, to nothing, as it would be live.
    """

    data: TrainingSet
    members: Members
    weights: Mapping[str, float]
    neutralizers: Sequence[str]
    proportion: float
    to_benchmark: bool = False

    def score(self, position: int, benchmark: Floats | None) -> tuple[dict[str, Floats], npt.NDArray[np.int8]]:
        """
        Return the scores of members and ensemble for an era, and the features that exposure is measured to.

        Args:
            position: Of the era.
            benchmark: The benchmark model's predictions of it, NaN where it has none. Shape ``(rows,)``.
        """
        seen = self.data.window(position)
        return self.score_rows(self.data.prepared(position), "masked" if seen is None else seen, benchmark)

    def score_rows(
        self, rows: Prepared, window: Window, benchmark: Floats | None
    ) -> tuple[dict[str, Floats], npt.NDArray[np.int8]]:
        """Return the same for any prepared rows; *window* as in :meth:`bot.scorer.Members.score`."""
        columns = rows.features[:, [self.data.manifest.features.index(name) for name in self.neutralizers]]
        scores = self.members.score(rows, window=window)
        against = spoken(benchmark) if self.to_benchmark else columns
        blended = ensemble(scores, self.weights, against, proportion=self.proportion)
        return {**scores, ENSEMBLE: blended}, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """
    Scores of some eras.

    Attributes:
        eras: Their labels.
        rows: Rows with a target in each. Shape ``(eras,)``.
        scores: ``corr``, ``bmc`` and ``mmc`` by member, NaN where there is none; each of shape ``(eras,)``.
        exposure: Largest absolute correlation of the ensemble with a neutralizer. Shape ``(eras,)``.
    """

    eras: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    scores: Mapping[str, Mapping[str, Floats]]
    exposure: Floats


def judge(
    candidate: Candidate, positions: Sequence[int], *, target: str, opinions: Opinions, watch: Watcher
) -> tuple[Judged, dict[int, Floats]]:
    """
    Score a candidate on the eras at *positions*.

    Args:
        candidate: Models that have not seen them.
        positions: Of the eras.
        target: The truth.
        opinions: What contributions are measured to.
        watch: Told about progress.

    Returns:
        The scores, and the ensemble's predictions by position.
    """
    series: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    rows, exposure, predictions = [], [], {}
    for done, position in enumerate(positions):
        watch("judge", done / len(positions), f"{len(positions)} eras")
        scores, columns = candidate.score(position, opinions.by_era.get("bmc", {}).get(position))
        truth = candidate.data.target(position, target)
        for name, values in scores.items():
            series["corr"][name].append(corr(values, truth))
            for kind, opinion in opinions.by_era.items():
                series[kind][name].append(contribution(values, opinion.get(position), truth))
        predictions[position] = scores[ENSEMBLE]
        rows.append(int(np.isfinite(truth).sum()))
        exposure.append(float(np.abs(exposures(scores[ENSEMBLE], columns)).max(initial=0.0)))
    judged = Judged(
        eras=tuple(candidate.data.store.eras[position] for position in positions),
        rows=np.array(rows, dtype=np.int64),
        scores={kind: {name: np.array(one) for name, one in by.items()} for kind, by in series.items()},
        exposure=np.array(exposure),
    )
    return judged, predictions


def find_weights(
    data: TrainingSet, folder: Path, positions: Sequence[int], recipe: Recipe, *, target: str, opinions: Opinions
) -> dict[str, float]:
    """
    Return the members' weights: as the recipe has them, or by its rule.

    Args:
        data: The eras.
        folder: Of members that have not learned from the eras at *positions*.
        positions: Of the validation eras.
        recipe: Names the members and the rule.
        target: The truth.
        opinions: Meta model and benchmark; where one leaves out a row of an era, it counts as none there.
    """
    if recipe.weighting == "fixed":
        return dict(recipe.weights)
    names = tuple(name for name, _ in recipe.weights)
    members, eras = Members(folder, names, target=target), []
    for position in positions:
        seen = data.window(position)
        scores = members.score(data.prepared(position), window="masked" if seen is None else seen)
        said = {kind: by.get(position) for kind, by in opinions.by_era.items()}
        whole = {kind: values for kind, values in said.items() if values is not None and np.isfinite(values).all()}
        ordered = {name: scores[name] for name in names}
        truth = data.target(position, target)
        eras.append(EraScores.of(ordered, truth, meta_model=whole.get("mmc"), benchmark=whole.get("bmc")))
    found = weigh(
        recipe.weighting,
        names,
        eras,
        corr_multiplier=recipe.corr_multiplier,
        mmc_multiplier=recipe.mmc_multiplier,
        lag=horizon(target) // 5,
    )
    for finding in found.findings:
        log.warning("weights.finding", finding=finding)
    return dict(found.weights)


def correlations(ours: Mapping[int, Floats], theirs: Mapping[int, Floats]) -> Floats:
    """Return the rank correlation of two sets of predictions for each era that both have. Shape ``(eras,)``."""
    return np.array(
        [rank_correlation(values, theirs[position]) for position, values in ours.items() if position in theirs]
    )


def contribution(values: Floats, opinion: Floats | None, truth: npt.NDArray[np.float32]) -> float:
    """Return the contribution of an era where enough of its rows are spoken for, else NaN."""
    if opinion is None:
        return float("nan")
    known = np.isfinite(opinion)
    if known.mean() < KNOWN_SHARE:
        return float("nan")
    return mmc(values[known], opinion[known], truth[known])
