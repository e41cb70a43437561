"""
Score challenger and champion on the hold-out, and collect the evidence that the decision rests on.

A champion of another data version scores the same eras from its own store. Its scores are joined to the challenger's
rows by id, so that both are compared with the same targets, benchmark and meta model.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from bot.data.reference_predictions import ReferencePredictions
from bot.errors import ArtifactInvalid, BotError, DatasetIncomplete, NoChampion, RetryLater, StateLocked
from bot.findings import Absent
from bot.history.synced import Synced
from bot.judging._renewal import is_renewal
from bot.judging.champion_test import Comparison, Series
from bot.judging.judge import (
    Ensemble,
    JudgedEras,
    ScoredEra,
    ScoresEras,
    correlations,
    judge,
    judged_ensemble,
    learned_elsewhere,
    open_judged,
    unseen_positions,
)
from bot.judging.leakage import find_leaks
from bot.judging.promotion import Evidence
from bot.members.kept_scores import KeptScores
from bot.members.rows import ChosenRows
from bot.scoring.coverage import COVERAGE, if_covered
from bot.scoring.metrics import row_noise
from bot.scoring.summaries import max_drawdown
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.names import ENSEMBLE
from bot.serving.scorer import GOLDEN_TOLERANCE
from bot.system.progress import ProgressCallback, part
from bot.training.splits import UsedEras
from bot.training.training_set import TrainingSet
from models.bins import MIDDLE_BIN

UNUSABLE = (BotError, ValueError, KeyError, TypeError, OSError)
"""Errors of a champion that cannot be scored: one that an older version wrote may lack any file or key."""

PAUSES_S = (1.0, 10.0)
"""Seconds before a champion is read again after an error that may pass, such as that of a network disk."""

SCORED = 0.9
"""Share of the comparison that scoring eras takes; the rest are the leakage checks."""

Floats = npt.NDArray[np.float64]
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCheck:
    """
    Measurements of the models that would serve, loaded from their files.

    Attributes:
        golden: Largest difference of a score when the golden batch is replayed.
        latency_s: Seconds to score a live era.
    """

    golden: float
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger:
    """
    A challenger before it is judged.

    Attributes:
        ensemble: Models that have not seen the hold-out.
        used: Eras that these models learned from, and those that they were stopped and weighted on.
        suspicious_corr: Mean CORR over which to warn of a leak.
        serving: Measurements of the models that would serve.
        method: Entries of its manifest that :func:`bot.judging._renewal.is_renewal` compares with the champion's.
    """

    ensemble: Ensemble
    used: Sequence[UsedEras]
    suspicious_corr: float
    serving: ServingCheck
    method: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdout:
    """
    Eras of the judgement.

    Attributes:
        positions: Positions in the challenger's data.
        target: Main target.
        reference: Predictions of the benchmark and the meta model for these eras.
    """

    positions: Sequence[int]
    target: str
    reference: ReferencePredictions


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedChampion:
    """A champion of another data version on its own data, opened before training."""

    id: str
    ensemble: Ensemble


@dataclass(frozen=True, slots=True, kw_only=True)
class Champions:
    """
    Source of the champion that a challenger is compared with.

    Attributes:
        artifacts: All artifacts.
        recipe: Name of the recipe.
        synced: Store and feature returns of the challenger's data version.
        other_version: Champion of another data version, where one could be opened.
        scores: Scores of judged models that are not computed again; ``None`` computes all.
    """

    artifacts: ArtifactStore
    recipe: str
    synced: Synced
    other_version: OpenedChampion | None = None
    scores: KeptScores | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutJudgement:
    """
    Scores of the hold-out and the evidence they give.

    Attributes:
        challenger: Scores of the challenger.
        champion: Scores of the champion on the eras that neither has seen; ``None`` where it could not be scored.
        champion_id: Id of the champion, scored or not.
        evidence: Input of the decision.
    """

    challenger: JudgedEras
    champion: JudgedEras | None
    champion_id: str | None
    evidence: Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class _JudgedChampion:
    """
    The champion on the hold-out.

    Attributes:
        id: Id of its artifact; ``None`` where there is no champion or its pointer is damaged.
        moves: Whether it was trained on another data version than the challenger.
        scores: Scores on the eras that it has not seen; ``Absent`` where it could not be scored; ``None`` where the
            recipe has no champion.
        passing: Whether it could not be scored for an error that may pass.
        manifest: Its manifest; empty where it could not be opened.
    """

    id: str | None
    moves: bool = False
    manifest: Mapping[str, Any] = field(default_factory=dict)
    scores: JudgedEras | Absent | None
    passing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherVersionChampion:
    """
    A champion of another data version that scores the challenger's rows.

    Attributes:
        champion: Its judged members on its own data.
        data: Data of the challenger, with the rows to score and their targets.
    """

    champion: Ensemble
    data: TrainingSet

    def score(self, position: int, benchmark: Floats | None) -> ScoredEra:
        """
        Score the rows that both versions have; the few others get the median score and the middle bin.

        Args:
            position: Position of the era in the challenger's data.
            benchmark: Predictions of the benchmark for the challenger's rows. Shape ``(rows,)``.
        """
        own, place = self.champion.data, self._place(position)
        known = place >= 0
        own_position = own.store.eras.index(self.data.store.eras[position])
        known_benchmark = None if benchmark is None else if_covered(benchmark[known])
        rows = ChosenRows(rows=self.champion.rows(own_position, None), place=place[known], benchmark=known_benchmark)
        home = self.champion.score_rows(rows)
        scores = {name: np.full(len(place), np.median(values)) for name, values in home.scores.items()}
        neutralizers = np.full((len(place), home.neutralizers.shape[1]), MIDDLE_BIN, np.int8)
        for name, values in home.scores.items():
            scores[name][known] = values
        neutralizers[known] = home.neutralizers
        return ScoredEra(scores=scores, neutralizers=neutralizers)

    def shared(self, positions: Sequence[int]) -> list[int] | Absent:
        """Return the positions of the eras of which the champion's version has enough rows (:data:`COVERAGE`)."""
        own_eras = set(self.champion.data.store.eras)
        found = [
            one
            for one in positions
            if self.data.store.eras[one] in own_eras and (self._place(one) >= 0).mean() >= COVERAGE
        ]
        return found or Absent("its data version shares no era's rows with this one")

    def _place(self, position: int) -> npt.NDArray[np.intp]:
        """Return the champion's row for each row of the era, -1 where it has none. Shape ``(rows,)``."""
        own = self.champion.data.store
        wanted = self.data.store.store.ids(position)
        held = own.store.ids(own.eras.index(self.data.store.eras[position]))
        order = np.argsort(held)
        place = order[np.minimum(np.searchsorted(held, wanted, sorter=order), len(held) - 1)]
        return np.where(held[place] == wanted, place, -1)


def compare_with_champion(
    challenger: Challenger, holdout: Holdout, champions: Champions, *, report_progress: ProgressCallback
) -> HoldoutJudgement:
    """Score the challenger on the hold-out, and the champion on those of its eras that neither has seen."""
    data = challenger.ensemble.data
    ours_share = SCORED / 2 if _has_champion(champions) else SCORED
    ours = judge(
        challenger.ensemble,
        holdout.positions,
        target=holdout.target,
        reference=holdout.reference,
        report_progress=part(report_progress, "judge", 0.0, ours_share),
    )
    report_progress("judge", ours_share, "champion")
    champion = _judge_champion(champions, data, holdout, part(report_progress, "judge", ours_share, SCORED))
    report_progress("judge", SCORED, "leakage checks")
    theirs = champion.scores
    not_computed = dict(holdout.reference.absent)
    if isinstance(theirs, Absent):
        not_computed["champion"] = f"not compared with {champion.id or 'the champion'}: {theirs.reason}"
    compared = theirs if isinstance(theirs, JudgedEras) else None
    evidence = Evidence(
        corr=_series(ours, "corr"),
        contributions={name: _series(ours, name) for name in holdout.reference.by_era},
        drawdown=max_drawdown(ours.scores["corr"][ENSEMBLE]),
        exposure=float(ours.exposure.mean()),
        golden=challenger.serving.golden,
        golden_limit=GOLDEN_TOLERANCE,
        latency_s=challenger.serving.latency_s,
        leaks=find_leaks(
            data,
            challenger.ensemble.models.values(),
            holdout.positions,
            challenger.used,
            target=holdout.target,
            corr=ours.scores["corr"][ENSEMBLE],
            suspicious=challenger.suspicious_corr,
        ),
        comparison=None if compared is None else _compare(champion, challenger.method, ours, compared),
        moves=champion.moves,
        unread=champion.passing,
        not_computed=not_computed,
    )
    return HoldoutJudgement(challenger=ours, champion=compared, champion_id=champion.id, evidence=evidence)


def _has_champion(champions: Champions) -> bool:
    try:
        champions.artifacts.champions(champions.recipe)
    except NoChampion:
        return False
    return True


def open_champion_of_other_version(
    artifacts: ArtifactStore, recipe: str, synced: Synced, state_dir: Path
) -> OpenedChampion | None:
    """
    Open a champion of another data version on its own data, before hours of training.

    A challenger that moves the data version is promoted only after a comparison with it.

    Returns:
        ``None`` where there is no such champion, or where it cannot be opened, which is logged.

    Raises:
        StateLocked: A sync is writing to its store.
    """
    try:
        champion = artifacts.open(artifacts.champions(recipe)[0])
        if not _has_other_version(champion, synced) or learned_elsewhere(champion):
            return None
        return OpenedChampion(id=champion.id, ensemble=open_judged(champion, state_dir))
    except (NoChampion, ArtifactInvalid):
        return None
    except StateLocked:
        raise
    except UNUSABLE as error:
        log.warning("champion.not_comparable", recipe=recipe, reason=_reason(error))
        return None


def _judge_champion(
    champions: Champions, data: TrainingSet, holdout: Holdout, report_progress: ProgressCallback
) -> _JudgedChampion:
    """
    Find the recipe's champion and score it; a champion that fails becomes a reason and does not end the retrain.

    An error that may pass, such as one of the disk, is waited for. If it stays, the champion does too.
    """
    for pause_s in (*PAUSES_S, None):
        found = _read_champion(champions, data, holdout, report_progress)
        if not found.passing or pause_s is None:
            break
        log.warning("champion.unread", recipe=champions.recipe, artifact=found.id, retry_s=pause_s)
        time.sleep(pause_s)
    return found


def _read_champion(
    champions: Champions, data: TrainingSet, holdout: Holdout, report_progress: ProgressCallback
) -> _JudgedChampion:
    """Find the recipe's champion and score it once."""
    identity, moves = None, False
    try:
        identity = champions.artifacts.champions(champions.recipe)[0]
        artifact = champions.artifacts.open(identity)
        moves = _has_other_version(artifact, champions.synced)
        scores = _score_champion(artifact, champions, data, holdout, report_progress)
    except NoChampion:
        return _JudgedChampion(id=None, scores=None)
    except UNUSABLE as error:
        return _JudgedChampion(id=identity, moves=moves, scores=Absent(_reason(error)), passing=_may_pass(error))
    return _JudgedChampion(id=identity, moves=moves, manifest=artifact.manifest, scores=scores)


def _may_pass(error: Exception) -> bool:
    """Return whether an error says nothing about the champion: the disk failed, or another process was in the way."""
    if isinstance(error, OSError):
        return not isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
    return isinstance(error, RetryLater) and not isinstance(error, DatasetIncomplete)


def _reason(error: Exception) -> str:
    """Return an error as a reason; Python's KeyError is only a key."""
    return f"it has no {error}, so an older bot made it" if isinstance(error, KeyError) else str(error)


def _score_champion(
    artifact: Artifact, champions: Champions, data: TrainingSet, holdout: Holdout, report_progress: ProgressCallback
) -> JudgedEras | Absent:
    """Score the champion on the hold-out's eras that it has not seen, from its own data where its version differs."""
    synced, other = champions.synced, champions.other_version
    positions = unseen_positions(artifact, holdout.positions, synced.store.eras)
    if isinstance(positions, Absent):
        return positions
    rival: ScoresEras
    if not _has_other_version(artifact, synced):
        rival = judged_ensemble(artifact, synced.store, synced.returns, (holdout.target,), kept=champions.scores)
    elif other is not None and other.id == artifact.id:
        rival = OtherVersionChampion(champion=other.ensemble, data=data)
        positions = rival.shared(positions)
    else:
        return Absent(f"its data, {artifact.manifest['data_version']}, could not be opened")
    if isinstance(positions, Absent):
        return positions
    return judge(rival, positions, target=holdout.target, reference=holdout.reference, report_progress=report_progress)


def _has_other_version(artifact: Artifact, synced: Synced) -> bool:
    """Return whether an artifact was trained on another data version than the one that was synced."""
    here = synced.store.manifest.data_version
    return str(artifact.manifest.get("data_version", here)) != here


def _compare(champion: _JudgedChampion, method: Mapping[str, Any], ours: JudgedEras, theirs: JudgedEras) -> Comparison:
    """Return the differences of the scores on the champion's eras, paired by the eras' labels."""
    correlation = correlations(ours.predictions, theirs.predictions)
    same = [ours.eras.index(era) for era in theirs.eras]
    unlike = np.sqrt(2 * np.clip(1 - np.nan_to_num(correlation), 0, None))
    differences = {}
    for name in ours.scores:
        mine, other = _series(ours, name), _series(theirs, name)
        differences[name] = Series(values=mine.values[same] - other.values, noise=other.noise * unlike)
    return Comparison(
        champion=str(champion.id),
        eras=theirs.eras,
        renewal=is_renewal(method, champion.manifest),
        differences=differences,
        correlation=correlation,
    )


def _series(judged: JudgedEras, score: str) -> Series:
    """Return the ensemble's scores with the noise of finite rows; for a contribution, its upper bound."""
    noise = row_noise(score, judged.rows, judged.target_variance)
    return Series(values=judged.scores[score][ENSEMBLE], noise=noise)
