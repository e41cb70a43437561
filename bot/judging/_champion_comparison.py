"""
Challenger and champion on the hold-out: everything that is known of a challenger when it is judged.

A champion of another data version scores the same eras from its own store, and its predictions are put on the
challenger's rows by their ids, so that both are held against the same truth, benchmark and meta model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from bot.data.reference_predictions import ReferencePredictions
from bot.errors import ArtifactInvalid, BotError, DatasetIncomplete, NoChampion, SchemaMismatch
from bot.history.sync import Synced
from bot.judging.judge import (
    ENSEMBLE,
    Ensemble,
    JudgedEras,
    ScoredEra,
    correlations,
    judge,
    judged_candidate,
    open_judged,
    unseen,
)
from bot.judging.leakage import find_leaks
from bot.judging.promotion import Comparison, Evidence, Series
from bot.scoring.coverage import COVERAGE
from bot.scoring.summaries import max_drawdown
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.scorer import GOLDEN_TOLERANCE
from bot.system.progress import ProgressCallback
from bot.training.splits import UsedEras
from bot.training.training_set import TrainingSet
from models.bins import MIDDLE_BIN

JUDGED = "judged-"
"""Prefix of the models that have not seen the hold-out, beside those that serve."""

TARGET_VARIANCE = 0.8
"""Of a target in steps of one bin: ``2 * (0.05 * 2**2 + 0.20 * 1**2)``, by Numerai's shares of the five bins."""

Floats = npt.NDArray[np.float64]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutJudgement:
    """
    What came of scoring the hold-out.

    Attributes:
        challenger: Its scores there.
        champion: The champion's, on the eras that neither has seen; ``None`` where there is none to score.
        champion_id: Of the champion, scored or not.
        evidence: What the decision rests on.
    """

    challenger: JudgedEras
    champion: JudgedEras | None
    champion_id: str | None
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherVersionChampion:
    """
    A champion of another data version, as if it had scored the challenger's rows.

    Attributes:
        champion: Its judged members on its own data.
        data: The challenger's: what is scored, and the truth.
    """

    champion: Ensemble
    data: TrainingSet

    def score(self, position: int, benchmark: Floats | None) -> ScoredEra:
        """
        Score the rows that both versions have; the few others get the middle of everything.

        Args:
            position: Of the era, in the challenger's data.
            benchmark: Of the challenger's rows.
        """
        own, place = self.champion.data, self._place(position)
        known = place >= 0
        there = own.store.eras.index(self.data.store.eras[position])
        rows, seen = own.prepared(there), own.window(there)
        rows = replace(rows, features=rows.features[place[known]], engineered=rows.engineered[place[known]])
        said = None if benchmark is None else benchmark[known]
        home = self.champion.score_rows(rows, "masked" if seen is None else seen, said)
        scores = {name: np.full(len(place), np.median(values)) for name, values in home.scores.items()}
        neutralizers = np.full((len(place), home.neutralizers.shape[1]), MIDDLE_BIN, np.int8)
        for name, values in home.scores.items():
            scores[name][known] = values
        neutralizers[known] = home.neutralizers
        return ScoredEra(scores=scores, neutralizers=neutralizers)

    def shared(self, positions: Sequence[int]) -> list[int]:
        """
        Return the positions of the eras of which the champion's version has the rows, too.

        Raises:
            ValueError: There are none.
        """
        there = set(self.champion.data.store.eras)
        found = [
            one
            for one in positions
            if self.data.store.eras[one] in there and (self._place(one) >= 0).mean() >= COVERAGE
        ]
        if not found:
            raise ValueError("its data version shares no era's rows with this one")
        return found

    def _place(self, position: int) -> npt.NDArray[np.intp]:
        """Return the champion's row of each of the era's rows, -1 where it has none. Shape ``(rows,)``."""
        own = self.champion.data.store
        wanted = self.data.store.store.ids(position)
        held = own.store.ids(own.eras.index(self.data.store.eras[position]))
        order = np.argsort(held)
        place = order[np.minimum(np.searchsorted(held, wanted, sorter=order), len(held) - 1)]
        return np.where(held[place] == wanted, place, -1)


def compare_with_champion(
    challenger: Ensemble,
    positions: Sequence[int],
    *,
    target: str,
    fresh: Synced,
    data_folder: Path,
    artifacts: ArtifactStore,
    recipe: str,
    used: Sequence[UsedEras],
    suspicious: float,
    served: Mapping[str, float],
    report_progress: ProgressCallback,
    other_version: tuple[str, Ensemble] | None = None,
) -> HoldoutJudgement:
    """
    Score the challenger on the eras at *positions*, and the champion where neither has seen them.

    Args:
        challenger: Members that have not seen these eras.
        positions: The hold-out.
        target: Main target.
        fresh: The data.
        data_folder: Of the synced files.
        artifacts: Where the champion is.
        recipe: Whose champion.
        used: Eras that shaped the challenger's members.
        suspicious: CORR over which a leak is to be feared.
        served: ``golden`` and ``latency_s`` of the models that would serve.
        report_progress: Called with the progress.
        other_version: A champion of another data version on its own data, and its id.
    """
    reference = ReferencePredictions.read(data_folder, fresh.store, positions, target=target)
    ours = judge(challenger, positions, target=target, reference=reference, report_progress=report_progress)
    missing, theirs, comparison, champion_id, moves = dict(reference.absent), None, None, None, False
    try:
        champion_id = artifacts.champions(recipe)[0]
        artifact = artifacts.open(champion_id)
        moves = has_other_version(artifact, fresh)
        common = unseen(artifact, positions, fresh.store.eras)
        rival: Ensemble | OtherVersionChampion
        if not moves:
            rival = judged_candidate(artifact, fresh.store, fresh.returns, (target,))
        elif other_version is not None and other_version[0] == champion_id:
            rival = OtherVersionChampion(champion=other_version[1], data=challenger.data)
            common = rival.shared(common)
        else:
            raise ValueError(f"its data, {artifact.manifest['data_version']}, could not be opened")  # noqa: TRY301
        theirs = judge(rival, common, target=target, reference=reference, report_progress=report_progress)
        comparison = _compare(champion_id, ours, theirs, correlations(ours.predictions, theirs.predictions))
    except NoChampion:
        pass
    except (BotError, ValueError, KeyError, OSError) as error:
        missing["champion"] = f"not compared with {champion_id}: {error}"
    evidence = Evidence(
        corr=_series(ours, "corr"),
        contributions={name: _series(ours, name) for name in reference.by_era},
        drawdown=max_drawdown(ours.scores["corr"][ENSEMBLE]),
        exposure=float(ours.exposure.mean()),
        golden=served["golden"],
        golden_limit=GOLDEN_TOLERANCE,
        latency_s=served["latency_s"],
        leaks=find_leaks(
            challenger.data,
            positions,
            used,
            target=target,
            corr=ours.scores["corr"][ENSEMBLE],
            suspicious=suspicious,
        ),
        comparison=comparison,
        moves=moves,
        not_computed=missing,
    )
    return HoldoutJudgement(challenger=ours, champion=theirs, champion_id=champion_id, evidence=evidence)


def open_other_version(
    artifacts: ArtifactStore, recipe: str, fresh: Synced, state_dir: Path
) -> tuple[str, Ensemble] | None:
    """
    Open a champion of another data version on its own data, before hours of training: it has to be compared with.

    Returns:
        Its id and judged members; ``None`` where there is no such champion, or it cannot be opened, which is logged.

    Raises:
        StateLocked: A sync is at its store.
    """
    try:
        champion = artifacts.open(artifacts.champions(recipe)[0])
        return (champion.id, open_judged(champion, state_dir)) if has_other_version(champion, fresh) else None
    except (NoChampion, ArtifactInvalid):
        return None
    except (DatasetIncomplete, SchemaMismatch, ValueError, OSError) as error:
        log.warning("champion.not_comparable", recipe=recipe, reason=str(error))
        return None


def has_other_version(artifact: Artifact, fresh: Synced) -> bool:
    """Say whether an artifact was trained on another data version than this one."""
    here = fresh.store.manifest.data_version
    return str(artifact.manifest.get("data_version", here)) != here


def _compare(champion: str, ours: JudgedEras, theirs: JudgedEras, correlation: Floats) -> Comparison:
    """Return the differences on the champion's eras, paired with ours of the same label."""
    same = [ours.eras.index(era) for era in theirs.eras]
    unlike = np.sqrt(2 * np.clip(1 - np.nan_to_num(correlation), 0, None))
    differences = {}
    for name in ours.scores:
        mine, other = _series(ours, name), _series(theirs, name)
        differences[name] = Series(values=mine.values[same] - other.values, noise=other.noise * unlike)
    return Comparison(champion=champion, differences=differences, correlation=correlation)


def _series(judged: JudgedEras, score: str) -> Series:
    """Return the ensemble's scores with the noise of finite rows; of a contribution, at most this much."""
    rows = np.maximum(judged.rows, 2)
    noise = np.sqrt(1 / (rows - 1)) if score == "corr" else np.sqrt(TARGET_VARIANCE / rows)
    return Series(values=judged.scores[score][ENSEMBLE], noise=noise)
