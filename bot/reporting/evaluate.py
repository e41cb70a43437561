"""
`bot evaluate`: evaluate an artifact on eras that its judged members were not trained on.

Steps: open artifact and store -> load the judged members -> score every unseen era -> check calibration, seeds and
importance on a sample of them -> compare the newest live rows with training eras -> return figures.

Figures that cannot be computed are listed under ``not_computed`` with the reason; they are never zero.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from bot.data.era_store import Columns
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import BadConfig
from bot.features.feature_sets import FeatureMetadata
from bot.findings import Absent, Finding
from bot.judging.judge import kept_scores, learned_elsewhere, open_judged, unseen_positions
from bot.judging.leakage import eras_used_by_artifact, find_leaks
from bot.members.kept_scores import KeptScores
from bot.reporting._era_measurements import EraMeasurements, UnseenEras, measure_eras
from bot.reporting._figures import (
    bin_figures,
    churn_figures,
    correlation_figures,
    group_exposures,
    group_regimes,
    member_figures,
    pay_figures,
    regime_figures,
    target_figures,
    top_exposures,
    worst_eras,
)
from bot.reporting._model_checks import LISTED, check_drift, check_importance, check_network
from bot.reporting.report_page import SCHEMA, Figures
from bot.scoring.metrics import FNC_SET
from bot.scoring.summaries import PayoutTerms
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.names import ENSEMBLE, EVALUATION
from bot.system.files import publish
from bot.system.progress import ProgressCallback, part
from bot.tournament.columns import overlap_eras
from bot.training.recipes import Floors

MEASURE, NETWORK, IMPORTANCE = (0.0, 0.28), (0.28, 0.33), (0.33, 0.9)
"""Parts of the progress: scores of every era, checks of the network, and permuted features; leakage checks end it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """
    Evaluation of artifacts.

    Attributes:
        artifacts: The artifacts.
        state_dir: The state directory, with ``data``, ``store`` and the live files of rounds.
        terms: Payout factors of a round; without them no payout is computed.
        report_progress: Called with the progress.
    """

    artifacts: ArtifactStore
    state_dir: Path
    terms: PayoutTerms | None = None
    report_progress: ProgressCallback = lambda _stage, _share, _note: None

    def evaluate(self, identity: str) -> dict[str, Any]:
        """
        Return the figures of an artifact; :mod:`bot.reporting._figures` and ``_model_checks`` document their parts.

        Raises:
            ArtifactInvalid: The artifact does not verify.
            BadConfig: It keeps no members for an evaluation, or no era that they were not trained on has resolved.
            DatasetIncomplete: The store it was trained on is not there.
            StateLocked: A sync is writing to the store.
        """
        artifact = self.artifacts.open(identity)
        self.report_progress("report", 0.0, "eras of the artifact")
        scores = kept_scores(self.state_dir)
        eras = self._unseen_eras(artifact, scores)
        block = overlap_eras(eras.target)
        neutral = self._fnc_features(eras)
        measured = self._measure(eras, neutral)
        judgement = json.loads(artifact.path(EVALUATION).read_text(encoding="utf-8"))
        regimes = regime_figures(measured, block=block)
        pay = self._pay(measured, eras.target, block)
        churn = churn_figures(judgement, block=block)
        network = check_network(eras, part(self.report_progress, "report", *NETWORK))
        importance = check_importance(eras, measured, part(self.report_progress, "report", *IMPORTANCE))
        scores.save()
        drift = check_drift(self.state_dir, eras.ensemble)
        parts: dict[str, object] = {
            **{f"regime {name}": regime for name, regime in regimes.items()},
            "fnc": neutral,
            "pay": pay,
            "churn": churn,
            "calibration": network.calibration,
            "seeds": network.seeds,
            "gain": importance.gain,
            "drift": drift,
        }
        reasons = {name: part.reason for name, part in parts.items() if isinstance(part, Absent)}
        return {
            **_artifact_figures(artifact),
            "judgement": judgement,
            **_score_figures(measured, block),
            "regimes": [regime for regime in regimes.values() if not isinstance(regime, Absent)],
            **_feature_figures(eras, measured, block),
            "calibration": _present(network.calibration, None),
            "seeds": _present(network.seeds, None),
            "importance": {
                "gain": _present(importance.gain, {}),
                "permutation": importance.permutation,
                "eras": importance.eras,
            },
            "drift": _present(drift, []),
            "leaks": [asdict(finding) for finding in self._leaks(eras, measured)],
            "pay": _present(pay, None),
            "churn": _present(churn, None),
            "not_computed": {**measured.absent, **reasons},
        }

    def _unseen_eras(self, artifact: Artifact, scores: KeptScores) -> UnseenEras:
        """Return the judged members and the labelled eras from the start of their hold-out."""
        if isinstance(elsewhere := learned_elsewhere(artifact), Absent):
            raise BadConfig(f"artifact {artifact.id} cannot be evaluated: {elsewhere.reason}; its live scores count")
        ensemble, target = open_judged(artifact, self.state_dir, kept=scores), str(artifact.manifest["target"])
        store = ensemble.data.store
        positions = unseen_positions(artifact, np.flatnonzero(store.labelled(target)).tolist(), store.eras)
        if isinstance(positions, Absent):
            raise BadConfig(f"artifact {artifact.id} cannot be evaluated: {positions.reason}; `bot retrain` makes one")
        return UnseenEras(artifact=artifact, ensemble=ensemble, positions=tuple(positions), target=target)

    def _data_folder(self, artifact: Artifact) -> Path:
        return self.state_dir / "data" / str(artifact.manifest["data_version"])

    def _fnc_features(self, eras: UnseenEras) -> Columns | Absent:
        """Return the columns that FNC neutralizes to."""
        folder = self._data_folder(eras.artifact)
        sets = FeatureMetadata.read(folder / "features.json").feature_sets
        if FNC_SET not in sets:
            return Absent(f"{folder.name} has no feature set {FNC_SET}")
        return eras.data.store.store.select(sets[FNC_SET], ())

    def _measure(self, eras: UnseenEras, neutral: Columns | Absent) -> EraMeasurements:
        """Score every unseen era beside the benchmark and the meta model."""
        folder, store = self._data_folder(eras.artifact), eras.data.store.store
        return measure_eras(
            eras,
            reference=ReferencePredictions.read(folder, store, eras.positions, target=eras.target),
            neutral=None if isinstance(neutral, Absent) else neutral,
            report_progress=part(self.report_progress, "report", *MEASURE),
        )

    def _pay(self, measured: EraMeasurements, target: str, block: int) -> Figures | Absent:
        """Return the expected payout."""
        if self.terms is None:
            return Absent("no round is priced yet: run `bot scores`, or give --pay corr=3,mmc=15,clip=1")
        return pay_figures(measured, self.terms, target, block=block)

    def _leaks(self, eras: UnseenEras, measured: EraMeasurements) -> tuple[Finding, ...]:
        """Repeat the judge's leakage checks on these figures."""
        self.report_progress("report", IMPORTANCE[1], f"leakage checks of {len(eras.positions)} eras")
        manifest = eras.artifact.manifest
        return find_leaks(
            eras.data,
            eras.ensemble.models.values(),
            eras.positions,
            eras_used_by_artifact(manifest, eras.data.store.eras),
            target=eras.target,
            corr=measured.scores["corr"][ENSEMBLE],
            suspicious=float(manifest["recipe"]["floors"].get("suspicious_corr", Floors().suspicious_corr)),
        )


def _artifact_figures(artifact: Artifact) -> Figures:
    """Return the entries of the manifest that describe the artifact."""
    manifest = artifact.manifest
    return {
        "schema": SCHEMA,
        "artifact": artifact.id,
        "evaluated_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "about": {key: manifest[key] for key in ("created_at", "data_version", "feature_set", "features", "eras")},
        "recipe": manifest["recipe"]["name"],
        "target": str(manifest["target"]),
        "weights": manifest["weights"],
        "neutralize": manifest["recipe"]["neutralize"],
        "decision": manifest["decision"],
    }


def _score_figures(measured: EraMeasurements, block: int) -> Figures:
    """Return the scores of every era, and their summary by member and by target."""
    return {
        "eras": list(measured.eras),
        "block": block,
        "series": {score: {name: one.tolist() for name, one in by.items()} for score, by in measured.scores.items()},
        "others": {name: one.tolist() for name, one in measured.others.items()},
        "members": {
            name: {
                score: member_figures(by[name], block=block, noise=measured.noise(score))
                for score, by in measured.scores.items()
            }
            for name in measured.scores["corr"]
        },
        "references": {
            name: member_figures(series, block=block, noise=measured.noise("corr"))
            for name, series in measured.others.items()
            if np.isfinite(series).any()
        },
        "differences": _benchmark_difference(measured, block),
        "by_target": target_figures(measured, block=block),
    }


def _benchmark_difference(measured: EraMeasurements, block: int) -> Figures:
    """Return the CORR of the ensemble less that of the benchmark model, paired by era; empty without the benchmark."""
    difference = measured.scores["corr"][ENSEMBLE] - measured.others.get("benchmark", np.array(np.nan))
    return {"benchmark": member_figures(difference, block=block)} if np.isfinite(difference).any() else {}


def _feature_figures(eras: UnseenEras, measured: EraMeasurements, block: int) -> Figures:
    """Return regimes by group, correlations of members, bins, exposure and the worst eras."""
    features, groups = eras.data.manifest.features, eras.data.manifest.groups
    return {
        "group_regimes": group_regimes(measured, groups, block=block),
        "alike": correlation_figures(measured),
        "bins": bin_figures(measured, block=block),
        "exposure": {
            "most": np.abs(measured.exposure).max(axis=1).tolist(),
            "groups": {name: one.tolist() for name, one in group_exposures(measured, groups).items()},
            "features": top_exposures(measured, features, count=LISTED),
        },
        "worst": worst_eras(measured, features, groups),
    }


def _present(result: object, default: object) -> object:
    """Return a result, or *default* in the place of an absent one."""
    return default if isinstance(result, Absent) else result


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
