"""
The ways to fill a slot, best first, and what each of them predicts.

::

    champion            the recipe's own
    previous champion   those before it, newest first
    fallback recipe     champions of the recipe that BOT_FALLBACK names
    last round          the last confirmed predictions, row for row, where BOT_REUSE_LAST_ROUND allows it

A fallback is stepped on only when all above it cannot score or were refused. None of them fills in a feature that is missing.
Each scores with the data version that it was trained on, which may be another one than the champion's.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import structlog

from bot.data.live_file import LiveFile
from bot.errors import ArtifactInvalid, BotError, NoChampion, RefuseToSubmit
from bot.features.distributions import FeatureDistributions, FeatureDrift
from bot.history.factor_history import Window
from bot.history.published import choose, history_path
from bot.record.ledger import Entry, Ledger
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import DISTRIBUTIONS
from bot.serving.scorer import Scored, Scorer
from bot.serving.version_pin import Pin
from bot.submission.live_benchmark import live_benchmark
from bot.submission.submission_file import reread
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot
from models.inference.ranks import rank_correlation

FallbackName = Literal["champion", "previous champion", "fallback recipe", "last round"]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """
    One way to fill a slot.

    Attributes:
        name: Its place on the ladder.
        artifact: What predicts, or has predicted the last round.
        data_version: Whose live file it needs.
    """

    name: FallbackName
    artifact: str
    data_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """
    What a fallback says about the live rows.

    Attributes:
        predictions: Uniform in (0, 1). Shape ``(rows,)``, float64.
        members: Raw score of each member. Shape ``(rows,)`` each; nothing when nothing was scored.
        neutralizers: Features that exposures are measured against. Shape ``(rows, k)``, int8; no column likewise.
        validation: Held-out scores from the artifact.
        drift: Rank correlation with what the last confirmed submission's artifact says, or why there is none.
        unlike: What is not as the artifact was judged, in words; empty where all is.
        features: How far the live features are from those it learned from; ``None`` where that is not known.
    """

    predictions: np.ndarray
    members: Mapping[str, np.ndarray]
    neutralizers: np.ndarray
    validation: Mapping[str, Any]
    drift: float | str
    unlike: str = ""
    features: FeatureDrift | None = None


@dataclass(slots=True, kw_only=True)
class Fallbacks:
    """
    The ladder of an installation.

    Attributes:
        client: For the server's time.
        ledger: Knows what was confirmed last.
        artifacts: Where champions come from.
        state_dir: Holds the published history.
        data_version: BOT_DATA_VERSION, where a recipe without a champion begins; see :mod:`bot.serving.version_pin`.
        threads: For scoring.
        fallback: Recipe whose champions fill in; none when empty.
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
    reuse_last_round: bool = False
    scorers: dict[str, Scorer] = field(default_factory=dict)

    def find(self, slot: Slot, round_number: int) -> tuple[tuple[Fallback, ...], tuple[BotError, ...]]:
        """Return the found there are, best first, and why a recipe has none."""
        found: list[Fallback] = []
        absent: list[BotError] = []
        for recipe in dict.fromkeys(filter(None, (slot.recipe, self.fallback))):
            try:
                champions = self.artifacts.champions(recipe)
            except (NoChampion, ArtifactInvalid) as error:
                absent.append(error)
                continue
            in_use = Pin.of(self.artifacts, recipe, self.data_version).in_use
            for place, identity in enumerate(champions):
                own: FallbackName = "previous champion" if place else "champion"
                name: FallbackName = own if recipe == slot.recipe else "fallback recipe"
                version = self.artifacts.data_version(identity) or in_use
                found.append(Fallback(name=name, artifact=identity, data_version=version))
        last = self.ledger.last_confirmed(slot.name, before=round_number) if self.reuse_last_round else None
        if last is not None:
            in_use = Pin.of(self.artifacts, slot.recipe, self.data_version).in_use
            found.append(Fallback(name="last round", artifact=last.artifact, data_version=in_use))
        return tuple(found), tuple(absent)

    def fill(self, fallback: Fallback, live: LiveFile, slot: Slot, round_: Round) -> Filled:
        """
        Predict the rows of *live*, the round's file of the fallback's data version.

        Raises:
            RefuseToSubmit: This fallback cannot.
        """
        last = self.ledger.last_confirmed(slot.name, before=round_.number)
        if fallback.name == "last round" and last is not None:
            return self._again(last, live)
        scorer = self._open(fallback.artifact)
        scored, unlike = self._score(scorer, live, round_)
        if unlike:
            log.error("round.not_neutralized", artifact=fallback.artifact, reason=unlike)
        return Filled(
            predictions=scored.predictions,
            members=scored.members,
            neutralizers=scored.neutralizers,
            validation=scorer.artifact.manifest["scores"],
            drift=self._drift(scored, live, fallback, last, round_),
            unlike=unlike,
            features=_unlike(scorer, scored),
        )

    def _again(self, last: Entry, live: LiveFile) -> Filled:
        """Put the last round's predictions on this round's rows in their order, as Numerai does with ids of the round before."""
        path = self.ledger.rounds / str(last.round) / last.slot / "predictions.csv"
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != last.csv_sha256:
            raise ArtifactInvalid(f"{path} is not what round {last.round} sent")
        _, predictions = reread(path)
        return Filled(
            predictions=np.resize(predictions, len(live.ids)),
            members={},
            neutralizers=np.empty((len(live.ids), 0), np.int8),
            validation={},
            drift="predictions of the last round",
        )

    def _open(self, identity: str) -> Scorer:
        """Open an artifact, verifying its files every time even when the models are loaded already."""
        artifact = self.artifacts.open(identity)
        if identity not in self.scorers:
            self.scorers[identity] = Scorer(artifact, threads=self.threads)
        return self.scorers[identity]

    def _score(self, scorer: Scorer, live: LiveFile, round_: Round) -> tuple[Scored, str]:
        """Score the live rows; return, too, why they could not be neutralized to the benchmark."""
        version = self._version(scorer)
        window: Window = choose(scorer.history, history_path(self.state_dir, version), now=self.client.server_now())
        benchmark, reason = None, ""
        if scorer.benchmark is not None:
            benchmark, reason = live_benchmark(
                self.client,
                round_,
                self.ledger.rounds / str(round_.number) / version,
                live,
                version=version,
                column=scorer.benchmark,
            )
        try:
            scored = scorer.score(live.names, live.values, window=window, benchmark=benchmark)
        except (RuntimeError, ValueError, MemoryError) as error:  # of onnxruntime and numpy: one model's failure
            raise ArtifactInvalid(f"artifact {scorer.artifact.id} does not score: {error}") from None
        for finding in scored.prepared.findings:
            log.warning("features.filled", artifact=scorer.artifact.id, reason=finding)
        return scored, reason

    def _drift(
        self, scored: Scored, live: LiveFile, fallback: Fallback, last: Entry | None, round_: Round
    ) -> float | str:
        """Correlate with what the last confirmed submission's artifact says about the same rows, or say why not."""
        if last is None or last.artifact == fallback.artifact:
            return "same artifact or none before"
        try:
            scorer = self._open(last.artifact)
            if self._version(scorer) != fallback.data_version:
                return f"the last artifact is on {self._version(scorer)}"
            before, _ = self._score(scorer, live, round_)
        except RefuseToSubmit as error:
            log.warning("drift.unknown", artifact=last.artifact, reason=str(error))
            return "the last artifact does not score"
        return rank_correlation(scored.predictions, before.predictions)

    def _version(self, scorer: Scorer) -> str:
        """Return the data version that an artifact scores."""
        return str(scorer.artifact.manifest.get("data_version", self.data_version))


def _unlike(scorer: Scorer, scored: Scored) -> FeatureDrift | None:
    """Return how far the features are from those learned from; ``None`` of an older artifact, or where that cannot be said."""
    path = scorer.artifact.path(DISTRIBUTIONS)
    try:
        learned = FeatureDistributions.from_bytes(path.read_bytes()) if path.is_file() else None
        if learned is None or learned.features != scorer.manifest.features:
            return None
        return learned.drift(scored.prepared.features)
    except (OSError, ValueError) as error:
        log.warning("marginals.unusable", reason=str(error))
        return None
