"""
Gates of a submission: pure functions that return findings.

The first five repeat Numerai's own rules (numerai-tools 0.7.2, ``submissions.py``) and are a little stricter, so that
Numerai accepts every file that passes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.features.distributions import FeatureDrift
from bot.findings import Absent, Finding
from bot.scoring.neutralize import exposures

Floats = npt.NDArray[np.float64]

_NOT_COMPARED = Absent("not compared")
_BACK = "go back with `bot rollback`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Limits at which each gate refuses.

    Attributes:
        min_rows: Least number of rows. A live era has 6,700 to 7,300 rows; the sandbox's smallest has a hundred or more.
        min_distinct: Least share of distinct predictions. Trees tie rows; ties of half the rows mean a broken model.
        min_std: Least standard deviation of the predictions; ranks spread evenly over (0, 1) have .289.
        max_exposure: Largest absolute correlation with a feature. Numerai's own small example model reaches .30.
        min_drift: Rank correlation with the last submission's artifact on the same rows must be larger. A retrain that
            reverses the predictions is broken.
        warn_feature_drift: Share of features whose values lie outside of all training eras, above which to warn. A
            healthy live file has none; 30 features that Numerai adds or loses at once are .8 % of all.
        max_feature_drift: Largest such share: above it, the live data differ from the data that the models learned.
    """

    min_rows: int = 50
    min_distinct: float = 0.5
    min_std: float = 0.1
    max_exposure: float = 0.45
    min_drift: float = 0.0
    warn_feature_drift: float = 0.02
    max_feature_drift: float = 0.5


def check_submission(
    ids: Sequence[str],
    predictions: Floats,
    *,
    live_ids: Sequence[str],
    features: npt.NDArray[np.int8] | None = None,
    drift: float | Absent = _NOT_COMPARED,
    limits: Limits | None = None,
) -> tuple[Finding, ...]:
    """
    Check a submission.

    Args:
        ids: Ids of the file.
        predictions: Predictions of the file. Shape ``(rows,)``.
        live_ids: Ids of the round's live file.
        features: Codes of the same rows, to measure exposure; ``None`` skips that gate. Shape ``(rows, k)``.
        drift: Rank correlation with the last submission's artifact, or why there is none.
        limits: Limits of the gates.

    Returns:
        One finding per gate, in a fixed order.
    """
    limits = limits or Limits()
    values = np.asarray(predictions, dtype=np.float64)
    usable = bool(len(values)) and bool(np.isfinite(values).all())
    findings = [
        _ids(ids, live_ids, limits.min_rows),
        _at_least("finite", _share(np.isfinite(values)), 1.0, "predictions are not all finite; the artifact is broken"),
        _range(values),
        _at_least("std", float(values.std()) if usable else 0.0, limits.min_std, "predictions hardly differ"),
        _at_least(
            "distinct", len(np.unique(values)) / len(values) if usable else 0.0, limits.min_distinct, "too many ties"
        ),
    ]
    if features is not None:
        findings.append(_exposure(values if usable else None, features, limits.max_exposure))
    findings.append(_drift(drift, limits.min_drift))
    return tuple(findings)


def feature_drift(drift: FeatureDrift | None, limits: Limits) -> Finding:
    """Compare the live features' distributions with the training features'; see :mod:`bot.features.distributions`."""
    warn, most = limits.warn_feature_drift, limits.max_feature_drift
    limit = f"at most {most:g}, warns over {warn:g}"
    if drift is None:
        value = "not compared: the artifact does not keep its training features"
        return Finding(gate="features", ok=True, value=value, limit=limit, message=f"features: {value}")
    summary = f"{drift.share:.1%} of the features are unlike every training era, {drift.worst} by {drift.distance:.2f}"
    if drift.odd_rows:
        summary += f"; {drift.rows} rows are fewer, or more, than any of them had"
    warned, remedy = drift.share > warn or drift.odd_rows, "retrain, or raise BOT_MAX_FEATURE_DRIFT"
    return Finding(
        gate="features",
        ok=drift.share <= most,
        value=f"warning: {summary}" if warned else drift.share,
        limit=limit,
        message=f"features: {summary} (at most {most:.0%}); is it another coding or data version? {remedy}",
        remedy=remedy,
        setting="BOT_MAX_FEATURE_DRIFT",
    )


def columns_as_filed(differing: Sequence[str], columns: int) -> Finding:
    """
    Refuse predictions of features that differ from the live file's columns of the same names.

    Args:
        differing: Names of the columns that differ, from :func:`bot.data.live_column_sums.differing_columns`.
        columns: Number of columns that were compared.
    """
    first = f", {differing[0]} first" if differing else ""
    return Finding(
        gate="columns",
        ok=not differing,
        value=f"{columns - len(differing)} of {columns} as in the live file",
        limit="all",
        message=f"columns: {len(differing)} of {columns} scored features differ from the live file's columns of the same"
        f" names{first}; the bot reads this file wrongly: update the bot",
        remedy="update the bot",
    )


def official_validation(verdict: str | None) -> Finding:
    """Return the finding of Numerai's own validation; *verdict* is its message, ``None`` where it accepts the file."""
    return Finding(
        gate="official_validation",
        ok=verdict is None,
        value="accepted" if verdict is None else "refused",
        limit="accepted",
        message=f"official validation: {verdict or 'accepted'}",
        remedy="" if verdict is None else "Numerai would refuse this file; go back with `bot rollback`",
    )


def not_neutralized(reason: str) -> Finding:
    """
    Warn that the submission is not neutralized to the benchmark.

    Never refuses: a submitted round is worth more than a neutralized one.
    """
    return Finding(
        gate="neutralized",
        ok=True,
        value=f"not neutralized: {reason}",
        limit="to the benchmark model where it is there",
        message=f"neutralized: {reason}",
    )


def _ids(ids: Sequence[str], live_ids: Sequence[str], min_rows: int) -> Finding:
    sent, live = set(ids), set(live_ids)
    absent, unknown, repeated = len(live - sent), len(sent - live), len(ids) - len(sent)
    whole = not (absent or unknown or repeated)
    ok = whole and len(ids) >= min_rows
    few = "the live file is too short; wait for a whole one, or lower BOT_MIN_ROWS"
    remedy = few if whole and not ok else "fetch the live file again"
    return Finding(
        gate="ids",
        ok=ok,
        value=f"{len(ids)} rows",
        limit=f"the live ids, at least {min_rows}",
        message=f"ids: {absent} live ids missing, {unknown} unknown, {repeated} repeated, {len(ids)} rows"
        f" (at least {min_rows}); {remedy}",
        remedy=remedy,
        setting="BOT_MIN_ROWS" if whole else "",
    )


def _range(values: Floats) -> Finding:
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
    return Finding(
        gate="range",
        ok=low > 0.0 and high < 1.0,
        value=f"{low:.6f} to {high:.6f}",
        limit="inside (0, 1)",
        message=f"range: predictions run from {low:.6g} to {high:.6g}, not inside (0, 1); the ensemble is broken",
        remedy=_BACK,
    )


def _exposure(values: Floats | None, features: npt.NDArray[np.int8], limit: float) -> Finding:
    largest = float(np.abs(exposures(values, features)).max(initial=0.0)) if values is not None else float("nan")
    remedy = "neutralize more in the recipe, let BOT_FALLBACK name another one, or raise BOT_MAX_EXPOSURE"
    return Finding(
        gate="exposure",
        ok=largest <= limit,
        value=largest,
        limit=f"at most {limit:g}",
        message=f"exposure: {largest:.3f} to one feature is over {limit:g}; {remedy}",
        remedy=remedy,
        setting="BOT_MAX_EXPOSURE",
    )


def _drift(drift: float | Absent, limit: float) -> Finding:
    if isinstance(drift, Absent):
        return Finding(gate="drift", ok=True, value=drift.reason, limit=f"over {limit:g}", message="drift: -")
    return Finding(
        gate="drift",
        ok=drift > limit,
        value=drift,
        limit=f"over {limit:g}",
        message=f"drift: rank correlation {drift:.3f} with the last submission's artifact is not over {limit:g};"
        f" {_BACK}",
        remedy=_BACK,
        setting="BOT_MIN_DRIFT",
    )


def _at_least(gate: str, value: float, limit: float, problem: str) -> Finding:
    return Finding(
        gate=gate,
        ok=value >= limit,
        value=value,
        limit=f"at least {limit:g}",
        message=f"{gate}: {problem} ({value:.4g}, at least {limit:g}); {_BACK}",
        remedy=_BACK,
    )


def _share(flags: npt.NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else 0.0
