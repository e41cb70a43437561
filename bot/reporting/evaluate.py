"""
`bot evaluate`: an artifact on eras that its judged members have not seen, from the store to figures.

The story: artifact -> store and returns -> the members it was judged by -> score every unseen era -> sample some for
calibration, seeds and importance -> compare the newest live rows with training eras -> figures.

What cannot be told is in ``not_computed`` with its reason, never a zero.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bot.data.reference_predictions import ReferencePredictions
from bot.errors import BadConfig
from bot.features.feature_sets import FeatureMetadata
from bot.findings import Finding
from bot.judging.evaluation_file import EVALUATION
from bot.judging.judge import ENSEMBLE, Ensemble, open_judged, unseen
from bot.judging.leakage import eras_used_by_artifact, find_leaks
from bot.reporting._era_measurements import EraMeasurements, measure_eras
from bot.reporting._figures import (
    Content,
    alike,
    bin_figures,
    churn_figures,
    group_exposures,
    group_regimes,
    member_figures,
    pay_figures,
    regimes,
    target_figures,
    top_exposures,
    worst_eras,
)
from bot.reporting._model_checks import NAMED, drift_probe, importance_probe, network_probe
from bot.reporting.report_page import SCHEMA, Figures
from bot.scoring.metrics import FNC_SET
from bot.scoring.summaries import Terms
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.system.files import publish
from bot.system.progress import ProgressCallback
from bot.tournament.columns import overlap_eras
from bot.training.recipes import Floors


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """Everything an evaluation needs; *terms* are what a round pays, *report_progress* is called with the progress."""

    artifacts: ArtifactStore
    state_dir: Path
    terms: Terms | None = None
    report_progress: ProgressCallback = lambda _stage, _share, _note: None

    def evaluate(self, identity: str) -> Content:
        """
        Evaluate an artifact; see :mod:`bot.reporting._figures` for what the parts hold.

        Raises:
            ArtifactInvalid: The artifact does not verify.
            BadConfig: It keeps no members that have not seen the newest eras, or none has resolved since.
            DatasetIncomplete: The store it was trained on is not there.
            StateLocked: A sync is at the store.
        """
        artifact = self.artifacts.open(identity)
        about = artifact.manifest
        target = str(about["target"])
        candidate = open_judged(artifact, self.state_dir)
        store = candidate.data.store.store
        positions = self._unseen(artifact, candidate, target)
        home = self.state_dir / "data" / str(about["data_version"])
        sets = FeatureMetadata.read(home / "features.json").feature_sets
        neutral = store.select(sets[FNC_SET], ()) if FNC_SET in sets else None
        measured = measure_eras(
            candidate,
            positions,
            target=target,
            targets=candidate.data.targets,
            reference=ReferencePredictions.read(home, store, positions, target=target),
            neutral=neutral,
            report_progress=self.report_progress,
        )
        block = overlap_eras(target)
        features, groups = candidate.data.manifest.features, candidate.data.manifest.groups
        split, missing = regimes(measured, block=block)
        absent = {**measured.absent, **missing}
        if neutral is None:
            absent["fnc"] = f"{home.name} has no feature set {FNC_SET}"
        judgement = json.loads(artifact.path(EVALUATION).read_text(encoding="utf-8"))
        paid, absent["pay"] = None, "no round is priced yet: `bot scores` does, or say --pay corr=3,mmc=15,clip=1"
        if self.terms is not None:
            paid, absent["pay"] = pay_figures(measured, self.terms, target, block=block)
        changed, absent["churn"] = churn_figures(judgement, block=block)
        probabilities, seeds = network_probe(artifact, candidate, positions, target, absent, self.report_progress)
        return {
            "schema": SCHEMA,
            "artifact": identity,
            "evaluated_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "about": {key: about[key] for key in ("created_at", "data_version", "feature_set", "features", "eras")},
            "recipe": about["recipe"]["name"],
            "target": target,
            "weights": about["weights"],
            "neutralize": about["recipe"]["neutralize"],
            "decision": about["decision"],
            "judgement": judgement,
            "eras": list(measured.eras),
            "block": block,
            "series": {
                score: {name: one.tolist() for name, one in by.items()} for score, by in measured.scores.items()
            },
            "others": {name: one.tolist() for name, one in measured.others.items()},
            "members": {
                name: {score: member_figures(by[name], block=block) for score, by in measured.scores.items()}
                for name in measured.scores["corr"]
            },
            "by_target": target_figures(measured, block=block),
            "regimes": split,
            "group_regimes": group_regimes(measured, groups, block=block),
            "alike": alike(measured),
            "bins": bin_figures(measured, block=block),
            "exposure": {
                "most": np.abs(measured.exposure).max(axis=1).tolist(),
                "groups": {name: one.tolist() for name, one in group_exposures(measured, groups).items()},
                "features": top_exposures(measured, features, count=NAMED),
            },
            "worst": worst_eras(measured, features, groups),
            "calibration": probabilities,
            "seeds": seeds,
            "importance": importance_probe(
                artifact, candidate, positions, target, measured, absent, self.report_progress
            ),
            "drift": drift_probe(self.state_dir, candidate, absent),
            "leaks": [asdict(one) for one in self._leaks(about, candidate, positions, target, measured)],
            "pay": paid,
            "churn": changed,
            "not_computed": {what: why for what, why in absent.items() if why},
        }

    def _leaks(
        self,
        about: Mapping[str, Any],
        candidate: Ensemble,
        positions: Sequence[int],
        target: str,
        measured: EraMeasurements,
    ) -> tuple[Finding, ...]:
        """Return what the judge's own checks say about these figures, too."""
        self.report_progress("leaks", 0.0, f"{len(positions)} eras")
        return find_leaks(
            candidate.data,
            positions,
            eras_used_by_artifact(about, candidate.data.store.eras),
            target=target,
            corr=measured.scores["corr"][ENSEMBLE],
            suspicious=float(about["recipe"]["floors"].get("suspicious_corr", Floors().suspicious_corr)),
        )

    def _unseen(self, artifact: Artifact, candidate: Ensemble, target: str) -> list[int]:
        """Return the labelled eras that the judged members have not seen, nor anything that reaches into them."""
        columns = candidate.data.store
        try:
            return unseen(artifact, np.flatnonzero(columns.labelled(target)).tolist(), columns.eras)
        except ValueError as error:
            raise BadConfig(f"artifact {artifact.id} cannot be evaluated: {error}; `bot retrain` makes one") from None


def save(figures: Figures, path: Path) -> None:
    """Write the figures of an evaluation as JSON in one atomic step; NaN and infinities become ``null``."""
    publish(path, (json.dumps(_finite(figures), separators=(",", ":"), allow_nan=False) + "\n").encode())


def _finite(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON with ``None`` in place of NaN and infinities."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
