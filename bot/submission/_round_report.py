"""The report of one submission: a value, its JSON, and the fields of its summary in the log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.findings import Absent, Finding
from bot.scoring.neutralize import exposures
from bot.serving.names import ENSEMBLE
from models.inference.ranks import rank_correlation

SCHEMA = 1
"""Schema number in the JSON."""

TOP = 10
"""Number of exposures that are listed by position, largest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundReport:
    """
    Report of one submission of one slot.

    Attributes:
        round: Numerai's number of the round.
        slot: Model name.
        artifact: Id of the artifact.
        data_version: Data version of the live file.
        data_sha256: Digest of the live file.
        submission_id: Id on the server, once confirmed.
        filled_by: Name of the fallback that filled the slot; ``champion`` where nothing was wrong. The key in JSON is ``rung``.
        refused: Why the better fallbacks could not fill the slot. The key in JSON is ``rungs_refused``.
        rows: Number of scored rows.
        validation: Held-out scores of each member and the ensemble, from the artifact.
        member_correlation: Rank correlation of each pair of members, and of each member with the ensemble.
        drift: Rank correlation with the last submission's artifact on the same rows; ``None`` where there is none.
        feature_drift: Share of the features that are unlike every training era; ``None`` where it is not known.
        max_exposure: Largest absolute correlation with a feature.
        exposures: Position and correlation of the most exposed features.
        gates: Results of the gates.
        seconds: Seconds of each stage.
    """

    round: int
    slot: str
    artifact: str
    data_version: str
    data_sha256: str
    submission_id: str | None
    filled_by: str
    refused: tuple[str, ...]
    rows: int
    validation: Mapping[str, Any]
    member_correlation: Mapping[str, float]
    drift: float | None
    feature_drift: float | None
    max_exposure: float
    exposures: tuple[tuple[int, float], ...]
    gates: tuple[Finding, ...]
    seconds: Mapping[str, float]

    @classmethod
    def of(
        cls,
        *,
        round: int,  # noqa: A002 - the field's own word
        slot: str,
        artifact: str,
        data_version: str,
        data_sha256: str,
        submission_id: str | None,
        filled_by: str = "champion",
        refused: tuple[str, ...] = (),
        predictions: npt.NDArray[np.float64],
        members: Mapping[str, npt.NDArray[np.float64]],
        features: npt.NDArray[np.int8],
        validation: Mapping[str, Any],
        drift: float | Absent,
        feature_drift: float | None = None,
        findings: Sequence[Finding],
        seconds: Mapping[str, float],
    ) -> "RoundReport":
        """
        Measure a submission.

        Shapes: *predictions* and members ``(rows,)``, *features* ``(rows, k)``. The reason of an absent *drift* is in the
        gate's finding.
        """
        series = {**members, ENSEMBLE: predictions}
        names = list(series)
        pairs = {
            f"{first}~{second}": round_(rank_correlation(series[first], series[second]))
            for index, first in enumerate(names)
            for second in names[index + 1 :]
        }
        exposed = exposures(predictions, features)
        order = np.argsort(-np.abs(exposed), kind="stable")[:TOP]
        return cls(
            round=round,
            slot=slot,
            artifact=artifact,
            data_version=data_version,
            data_sha256=data_sha256,
            submission_id=submission_id,
            filled_by=filled_by,
            refused=refused,
            rows=len(predictions),
            validation=validation,
            member_correlation=pairs,
            drift=None if isinstance(drift, Absent) else round_(drift),
            feature_drift=None if feature_drift is None else round_(feature_drift),
            max_exposure=round_(float(np.abs(exposed).max(initial=0.0))),
            exposures=tuple((int(position), round_(float(exposed[position]))) for position in order),
            gates=tuple(findings),
            seconds=dict(seconds),
        )

    def to_json(self) -> str:
        """Return the report as JSON with its schema number."""
        content = asdict(self)
        content["rung"], content["rungs_refused"] = content.pop("filled_by"), content.pop("refused")
        return json.dumps({"schema": SCHEMA, **content}, indent=1, sort_keys=True) + "\n"

    def summary(self) -> dict[str, Any]:
        """Return the fields of the one log line of a finished round."""
        return {
            "artifact": self.artifact,
            "rung": self.filled_by,
            "data_version": self.data_version,
            "submission": self.submission_id,
            "rows": self.rows,
            "validation_corr": _means(self.validation),
            "member_correlation": dict(self.member_correlation),
            "drift": self.drift,
            "feature_drift": self.feature_drift,
            "max_exposure": self.max_exposure,
            "refused": [finding.gate for finding in self.gates if not finding.ok],
            "seconds": dict(self.seconds),
        }


def _means(validation: object) -> dict[str, float]:
    """Return the mean scores of a manifest; those that another bot wrote in another form are left out."""
    scores = validation.items() if isinstance(validation, Mapping) else ()
    means = {str(name): score.get("mean") for name, score in scores if isinstance(score, Mapping)}
    return {name: round_(mean) for name, mean in means.items() if isinstance(mean, int | float)}


def round_(value: float) -> float:
    """Round to four places; more are noise."""
    return float(np.round(value, 4))
