"""
The fallbacks that can fill a slot, best first, and their predictions.

::

    champion            of the slot's recipe
    previous champion   of the slot's recipe, newest first
    fallback recipe     champions of the recipe that BOT_FALLBACK names
    starter             champions of the recipe `starter`, only while there is none of the recipes above
    last round          the last confirmed predictions, row for row, where BOT_REUSE_LAST_ROUND allows it

A fallback is used only when all better ones cannot score or were refused. None of them fills in a missing feature.
Each scores the live file of the data version that it was trained on, which may differ from the champion's.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import structlog

from bot.data.live_file import LiveFile
from bot.errors import ArtifactInvalid, BotError, FirstTraining, NoChampion, RefuseToSubmit
from bot.features.column_sums import ColumnSums
from bot.features.distributions import FeatureDistributions, FeatureDrift
from bot.findings import Absent
from bot.history.published import choose, history_path
from bot.members.rows import LiveFiles, RawRows
from bot.record.heartbeat import DAEMON, TRAINER, is_running
from bot.record.ledger import Entry, Ledger
from bot.record.running import running_work
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import DISTRIBUTIONS
from bot.serving.scorer import Scored, Scorer
from bot.serving.version_pin import Pin
from bot.submission._scoring_watch import ScoringWatch
from bot.submission.live_benchmark import Floats, live_benchmark, live_benchmark_file
from bot.submission.live_fetch import live_path
from bot.submission.submission_file import read_submission
from bot.system.file_names import file_name
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot
from models.inference.ranks import rank_correlation

ENDING_S = 3.0
"""Seconds between the end of a member's command and that of the turn: its processes end, and its file is read."""

RETRAIN = "retrain"
"""Name of the job, and of the work, that trains."""

FallbackName = Literal["champion", "previous champion", "fallback recipe", "starter", "last round"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """
    One way to fill a slot.

    Attributes:
        name: Kind of fallback.
        artifact: Id of the artifact that predicts, or that predicted the last round.
        data_version: Data version of the live file that it needs.
    """

    name: FallbackName
    artifact: str
    data_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableFallbacks:
    """
    The fallbacks of one slot.

    Attributes:
        fallbacks: All there are, best first.
        problems: One error for each recipe that has no champion, or whose champions are unknown.
    """

    fallbacks: tuple[Fallback, ...]
    problems: tuple[BotError, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePredictions:
    """
    Predictions of the live rows, and the measurements that gates and report need.

    Attributes:
        predictions: Predictions, uniform in (0, 1). Shape ``(rows,)``, float64.
        members: Raw score of each member; empty when nothing was scored. Shape ``(rows,)`` each.
        neutralizers: Features that exposures are measured against; no column when nothing was scored.
            Shape ``(rows, k)``, int8.
        validation: Held-out scores from the artifact.
        drift: Rank correlation with the predictions of the last confirmed submission's artifact.
        not_neutralized: Why the ensemble was not neutralized to the benchmark; ``None`` where it was, or need not be.
        feature_drift: Distance of the live features from the training features; ``None`` where it is not known.
        columns: Fingerprints of the columns that the members scored; ``None`` when nothing was scored.
    """

    predictions: np.ndarray
    members: Mapping[str, np.ndarray]
    neutralizers: np.ndarray
    validation: Mapping[str, Any]
    drift: float | Absent
    not_neutralized: Absent | None = None
    feature_drift: FeatureDrift | None = None
    columns: ColumnSums | None = None


@dataclass(slots=True, kw_only=True)
class Fallbacks:
    """
    The fallbacks of an installation.

    Attributes:
        client: Client that knows the server's time and serves the benchmark's predictions.
        ledger: Record of the confirmed submissions.
        artifacts: Store of the champions.
        state_dir: State directory, which holds the published history.
        data_version: BOT_DATA_VERSION, the version of a recipe without a champion; see :mod:`bot.serving.version_pin`.
        threads: Threads for scoring.
        fallback: Recipe whose champions are the fallback; none when empty.
        starter: Recipe whose champions fill a slot until another recipe has one; none when empty.
        reuse_last_round: Whether the last round's predictions may be sent again.
        scorers: Opened artifacts by id.
    """

    client: NumeraiClient
    ledger: Ledger
    artifacts: ArtifactStore
    state_dir: Path
    data_version: str
    threads: int = 1
    fallback: str = ""
    starter: str = ""
    reuse_last_round: bool = False
    scorers: dict[str, Scorer] = field(default_factory=dict)

    def find(self, slot: Slot, round_number: int) -> AvailableFallbacks:
        """Return the fallbacks of a slot, best first, and why a recipe has none."""
        fallbacks: list[Fallback] = []
        problems: list[BotError] = []
        for recipe in dict.fromkeys(filter(None, (slot.recipe, self.fallback, self.starter))):
            is_own, is_starter = recipe == slot.recipe, recipe not in (slot.recipe, self.fallback)
            if is_starter and (fallbacks or not self.artifacts.has_champion(recipe)):
                continue
            try:
                champions = self.artifacts.champions(recipe)
            except (NoChampion, ArtifactInvalid) as error:
                problems.append(self._first_training(recipe) or error)
                continue
            in_use = Pin.of(self.artifacts, recipe, self.data_version).in_use
            for place, identity in enumerate(champions):
                own: FallbackName = "previous champion" if place else "champion"
                name: FallbackName = own if is_own else "starter" if is_starter else "fallback recipe"
                version = self.artifacts.data_version(identity) or in_use
                fallbacks.append(Fallback(name=name, artifact=identity, data_version=version))
        last = self.ledger.last_confirmed(slot.name, before=round_number) if self.reuse_last_round else None
        if last is not None:
            in_use = Pin.of(self.artifacts, slot.recipe, self.data_version).in_use
            fallbacks.append(Fallback(name="last round", artifact=last.artifact, data_version=in_use))
        return AvailableFallbacks(fallbacks=tuple(fallbacks), problems=tuple(problems))

    def _first_training(self, recipe: str) -> FirstTraining | None:
        """Return that the first training of a recipe runs, if it does: then a person has nothing to do."""
        if self.artifacts.has_champion(recipe) or recipe in self.artifacts.kept_back():
            return None
        job = self.ledger.job(RETRAIN)
        # A job without an end may also have been cut off together with its process.
        begun = job is not None and job["finished_at"] is None
        runs = begun and any(is_running(self.state_dir, name, trains=True) for name in (DAEMON, TRAINER))
        if not runs and RETRAIN not in [work["name"] for work in running_work(self.state_dir)]:
            return None
        return FirstTraining(
            f"recipe {recipe!r} has no champion yet: the first training runs; nothing is to be done,"
            " the bot fills rounds as soon as it has a model"
        )

    def predict(
        self, fallback: Fallback, live: LiveFile, slot: Slot, round_: Round, watch: ScoringWatch
    ) -> LivePredictions:
        """
        Predict the rows of *live*, the round's file of the fallback's data version.

        Args:
            fallback: The fallback.
            live: The live rows.
            slot: The slot to fill.
            round_: The open round.
            watch: Watch of the fallback's turn; it may end the process.

        Raises:
            RefuseToSubmit: This fallback cannot predict them.
        """
        last = self.ledger.last_confirmed(slot.name, before=round_.number)
        if fallback.name == "last round" and last is not None:
            return self._repeat(last, live)
        try:
            scorer = self._open(fallback.artifact, watch)
            scored = self._score(scorer, live, round_, watch)
            validation = scorer.artifact.required("scores")
        except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
            # A manifest of another bot may have any form; only this artifact is refused.
            raise ArtifactInvalid(
                f"artifact {fallback.artifact} does not score: {type(error).__name__}: {error}; go back with `bot rollback`"
            ) from None
        if scored.not_neutralized is not None:
            log.error("round.not_neutralized", artifact=fallback.artifact, reason=scored.not_neutralized.reason)
        return LivePredictions(
            predictions=scored.rows.predictions,
            members=scored.rows.members,
            neutralizers=scored.rows.neutralizers,
            validation=validation,
            drift=self._drift(scored.rows, live, fallback, last, round_, watch),
            not_neutralized=scored.not_neutralized,
            feature_drift=_feature_drift(scorer, scored.rows),
            columns=scored.rows.columns,
        )

    def _repeat(self, last: Entry, live: LiveFile) -> LivePredictions:
        """Put the last round's predictions on this round's rows in their order, as Numerai does with old ids."""
        path = self.ledger.rounds / str(last.round) / file_name(last.slot) / "predictions.csv"
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != last.csv_sha256:
            raise ArtifactInvalid(f"{path} is not the file that was sent in round {last.round}")
        return LivePredictions(
            predictions=np.resize(read_submission(path).predictions, len(live.ids)),
            members={},
            neutralizers=np.empty((len(live.ids), 0), np.int8),
            validation={},
            drift=Absent("predictions of the last round"),
        )

    def _open(self, identity: str, watch: ScoringWatch) -> Scorer:
        """Open an artifact; verify its files every time, even when the models are loaded already."""
        with watch.scoring(identity):
            artifact = self.artifacts.open(identity)
            if identity not in self.scorers:
                self.scorers[identity] = Scorer(artifact, threads=self.threads)
        return self.scorers[identity]

    def _score(self, scorer: Scorer, live: LiveFile, round_: Round, watch: ScoringWatch) -> "_Scored":
        """Score the live rows, neutralized to the benchmark where the artifact wants it and it is there."""
        live.refuse_unreadable(scorer.features)
        version = self._version(scorer)
        history = choose(scorer.history, history_path(self.state_dir, version), now=self.client.server_now())
        benchmark = self._benchmark(scorer, live, round_, version)
        predictions = benchmark if isinstance(benchmark, np.ndarray) else None
        files = self._files(live, round_, version, watch) if scorer.reads_files else None
        raw = RawRows(names=live.names, values=live.values, history=history, benchmark=predictions, files=files)
        try:
            with watch.scoring(scorer.artifact.id):
                rows = scorer.score(raw)
        except (RuntimeError, ValueError, MemoryError) as error:  # of onnxruntime and numpy: one model's failure
            raise ArtifactInvalid(f"artifact {scorer.artifact.id} does not score: {error}") from None
        for finding in rows.prepared.findings:
            log.warning("features.filled", artifact=scorer.artifact.id, reason=finding)
        return _Scored(rows=rows, not_neutralized=benchmark if isinstance(benchmark, Absent) else None)

    def _benchmark(self, scorer: Scorer, live: LiveFile, round_: Round, version: str) -> Floats | Absent | None:
        """Return the benchmark's predictions of the live rows, or why there are none; ``None`` where none are needed."""
        if scorer.benchmark is None:
            return None
        folder = self.ledger.rounds / str(round_.number) / version
        return live_benchmark(self.client, round_, folder, live, version=version, column=scorer.benchmark)

    def _files(self, live: LiveFile, round_: Round, version: str, watch: ScoringWatch) -> LiveFiles:
        """Return the round's files for members that read them themselves; the benchmark's is fetched if it is there."""
        folder = self.ledger.rounds / str(round_.number)
        benchmark = live_benchmark_file(self.client, round_, folder / version, version=version)
        if isinstance(benchmark, Absent):
            log.warning("round.no_benchmark_file", reason=benchmark.reason)
        return LiveFiles(
            live=live_path(folder, version),
            benchmark=None if isinstance(benchmark, Absent) else benchmark,
            ids=live.ids,
            # The command must end before the watch ends this process with it, so that the next fallback has its turn.
            deadline=time.monotonic() + watch.left_s - ENDING_S,
            state_dir=self.state_dir,
        )

    def _drift(
        self,
        rows: Scored,
        live: LiveFile,
        fallback: Fallback,
        last: Entry | None,
        round_: Round,
        watch: ScoringWatch,
    ) -> float | Absent:
        """Return the rank correlation with the predictions of the last confirmed submission's artifact on the same rows."""
        if last is None or last.artifact == fallback.artifact:
            return Absent("same artifact or none before")
        if last.artifact in watch.deaths:  # a comparison is not worth another attempt
            return Absent(f"the last artifact does not score: {watch.deaths[last.artifact]}")
        try:
            scorer = self._open(last.artifact, watch)
            if self._version(scorer) != fallback.data_version:
                return Absent(f"the last artifact is on {self._version(scorer)}")
            before = self._score(scorer, live, round_, watch).rows
        except RefuseToSubmit as error:
            log.warning("drift.unknown", artifact=last.artifact, reason=str(error))
            return Absent("the last artifact does not score")
        return rank_correlation(rows.predictions, before.predictions)

    def _version(self, scorer: Scorer) -> str:
        """Return the data version that an artifact scores."""
        return str(scorer.artifact.manifest.get("data_version", self.data_version))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scored:
    """
    Live rows scored by one artifact.

    Attributes:
        rows: Predictions and scores.
        not_neutralized: Why they are not neutralized to the benchmark; ``None`` where they are, or need not be.
    """

    rows: Scored
    not_neutralized: Absent | None


def _feature_drift(scorer: Scorer, rows: Scored) -> FeatureDrift | None:
    """
    Return the distance of the live features from the training features.

    It is ``None`` of an older artifact, which kept no distributions, and where they cannot be read.
    """
    path = scorer.artifact.path(DISTRIBUTIONS)
    try:
        learned = FeatureDistributions.from_bytes(path.read_bytes()) if path.is_file() else None
        if learned is None or learned.features != scorer.manifest.features:
            return None
        return learned.drift(rows.prepared.features)
    except (OSError, ValueError) as error:
        log.warning("marginals.unusable", reason=str(error))
        return None
