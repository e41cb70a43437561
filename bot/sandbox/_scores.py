"""Scores of resolved rounds and of uploaded diagnostics, computed by numerai-tools from the world's targets."""

import io
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bot.sandbox.tournament import Submission
from bot.sandbox.world.generate import LiveEra
from bot.tournament.columns import MAIN_TARGET


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationRows:
    """
    The rows that diagnostics are computed on.

    Attributes:
        frame: Era, main target, benchmark, meta model and *features* of the validation file; the index is the id.
        features: Features that predictions are neutralized for and whose exposure is measured.
    """

    frame: Any  # a DataFrame; pandas is loaded only where something is scored
    features: list[str]


def score(submission: Submission, era: LiveEra) -> dict[str, float]:
    """Return CORR, MMC and BMC of a submission on its round's main target, as Numerai's functions compute them."""
    import pandas as pd  # noqa: PLC0415 - half a second with numerai-tools, which only scoring needs
    from numerai_tools.scoring import correlation_contribution, numerai_corr  # noqa: PLC0415

    file = pd.read_csv(io.BytesIO(submission.content)).set_index("id")["prediction"]
    # A late file has the ids of the round before. Numerai maps its values in order onto the ids of the next round.
    sent = np.resize(file.to_numpy(), len(era.ids)) if submission.late else file.reindex(era.ids).to_numpy()
    predictions = pd.DataFrame({"prediction": sent}, index=era.ids)
    target = pd.Series(era.targets[MAIN_TARGET], index=era.ids, name="target")
    return {
        "corr60": float(numerai_corr(predictions, target).iloc[0]),
        "mmc60": float(correlation_contribution(predictions, pd.Series(era.meta_model, index=era.ids), target).iloc[0]),
        "bmc": float(correlation_contribution(predictions, pd.Series(era.benchmark, index=era.ids), target).iloc[0]),
    }


@lru_cache(maxsize=8)
def diagnosed(content: bytes, directory: Path) -> dict[str, Any]:
    """Return :func:`diagnose` of a file on a world's validation rows. Cached: a hundred eras take seconds."""
    return diagnose(content, validation_rows(directory))


def diagnose(content: bytes, validation: ValidationRows) -> dict[str, Any]:
    """
    Return Numerai's diagnostics of validation predictions.

    Args:
        content: CSV of ``id,prediction`` for validation rows.
        validation: Rows to score on.
    """
    import pandas as pd  # noqa: PLC0415

    sent = pd.read_csv(io.BytesIO(content)).set_index("id")
    rows = validation.frame.join(sent, how="inner")
    # The real server accepts whole eras only ("Incomplete eras uploaded", 2022).
    whole = validation.frame[validation.frame["era"].isin(rows["era"].unique())].groupby("era").size()
    if torn := [str(era) for era, count in rows.groupby("era").size().items() if count < whole[era]]:
        message = f"invalid_submission_eras: Incomplete eras uploaded: {torn}"
        return {"status": "failed", "message": message, "eras_accepted_count": 0, "per_era_diagnostics": []}
    rows = rows.dropna(subset=["prediction", MAIN_TARGET])
    eras = [_era_diagnostics(str(label), era, validation.features) for label, era in rows.groupby("era")]
    return _summary(eras)


def validation_rows(directory: Path) -> ValidationRows:
    """Return the validation rows of the newest data version in *directory*, with the features of its small set."""
    import pandas as pd  # noqa: PLC0415

    folder = max(directory.glob("v*/"))
    sets = json.loads((folder / "features.json").read_text(encoding="utf-8"))["feature_sets"]
    features = list(sets["small"])
    rows = pd.read_parquet(folder / "validation.parquet", columns=["era", MAIN_TARGET, *features])
    benchmark = pd.read_parquet(folder / "validation_benchmark_models.parquet", columns=["v53_lgbm_ender60"])
    meta_model = pd.read_parquet(folder / "meta_model.parquet", columns=["numerai_meta_model"])
    others = benchmark.join(meta_model).rename(
        columns={"v53_lgbm_ender60": "benchmark", "numerai_meta_model": "meta_model"}
    )
    return ValidationRows(frame=rows.join(others), features=features)


def _era_diagnostics(label: str, era: Any, features: list[str]) -> dict[str, Any]:  # noqa: ANN401 - a DataFrame
    """Return the scores of one era; MMC is ``None`` where the meta model does not cover the era."""
    from numerai_tools.scoring import (  # noqa: PLC0415
        correlation_contribution,
        feature_neutral_corr,
        max_feature_correlation,
        numerai_corr,
    )

    predictions, target = era[["prediction"]], era[MAIN_TARGET].rename("target")
    corr = float(numerai_corr(predictions, target).iloc[0])
    _, exposure = max_feature_correlation(era["prediction"], era[features])
    mmc = None
    if era["meta_model"].notna().all():
        mmc = float(correlation_contribution(predictions, era["meta_model"], target).iloc[0])
    return {
        "era": label,
        "validation_corr": corr,
        "validation_corr_v4": corr,
        "validation_bmc": float(correlation_contribution(predictions, era["benchmark"], target).iloc[0]),
        "validation_mmc": mmc,
        "validation_feature_neutral_corr": float(feature_neutral_corr(predictions, era[features], target).iloc[0]),
        "validation_feature_corr_max": float(exposure),
    }


def _summary(eras: list[dict[str, Any]]) -> dict[str, Any]:
    """Return per-era scores together with their means, deviations, Sharpe ratios and drawdowns."""
    summary: dict[str, Any] = {
        "status": "done",
        "message": None,
        "eras_accepted_count": len(eras),
        "per_era_diagnostics": eras,
    }
    for name, key in (
        ("validation_corr", "validation_corr_v4"),
        ("validation_mmc", "validation_mmc"),
        ("validation_bmc", "validation_bmc"),
    ):
        values = np.array([era[key] for era in eras if era[key] is not None])
        if len(values):
            summary |= {
                f"{name}_mean": float(values.mean()),
                f"{name}_std": float(values.std()),
                f"{name}_sharpe": float(values.mean() / values.std()) if values.std() else None,
                f"{name}_max_drawdown": float((np.maximum.accumulate(values.cumsum()) - values.cumsum()).max()),
            }
    summary["validation_corr_v4_mean"] = summary.get("validation_corr_mean")
    summary["validation_max_drawdown"] = summary.get("validation_corr_max_drawdown")
    summary["validation_feature_neutral_corr_mean"] = (
        float(np.mean([era["validation_feature_neutral_corr"] for era in eras])) if eras else None
    )
    return summary
