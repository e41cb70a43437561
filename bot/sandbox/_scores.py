"""Scores of resolved rounds and of uploaded diagnostics, by numerai-tools from the world's truth."""

import io
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bot.sandbox.tournament import Submission
from bot.sandbox.world.generate import LiveEra
from bot.tournament.columns import MAIN_TARGET


def score(submission: Submission, era: LiveEra) -> dict[str, float]:
    """Return CORR, MMC and BMC of a submission on its round's main target, as Numerai's functions compute them."""
    import pandas as pd  # noqa: PLC0415 - with numerai-tools half a second; only scoring pays for it
    from numerai_tools.scoring import correlation_contribution, numerai_corr  # noqa: PLC0415

    file = pd.read_csv(io.BytesIO(submission.content)).set_index("id")["prediction"]
    # A late file bears the ids of the round before; its values are mapped in order, as those of a file on time are.
    sent = np.resize(file.to_numpy(), len(era.ids)) if submission.late else file.reindex(era.ids).to_numpy()
    predictions = pd.DataFrame({"prediction": sent}, index=era.ids)
    truth = pd.Series(era.targets[MAIN_TARGET], index=era.ids, name="target")
    return {
        "corr60": float(numerai_corr(predictions, truth).iloc[0]),
        "mmc60": float(correlation_contribution(predictions, pd.Series(era.meta_model, index=era.ids), truth).iloc[0]),
        "bmc": float(correlation_contribution(predictions, pd.Series(era.benchmark, index=era.ids), truth).iloc[0]),
    }


def diagnose(content: bytes, validation: Any, features: list[str]) -> dict[str, Any]:  # noqa: ANN401 - a DataFrame
    """
    Return what the diagnostics page shows of validation predictions.

    Args:
        content: ``id,prediction`` of validation rows.
        validation: Frame of the validation file with era, main target, benchmark, meta model and *features*, index id.
        features: To neutralize for and measure exposure against.
    """
    import pandas as pd  # noqa: PLC0415
    from numerai_tools.scoring import (  # noqa: PLC0415
        correlation_contribution,
        feature_neutral_corr,
        max_feature_correlation,
        numerai_corr,
    )

    sent = pd.read_csv(io.BytesIO(content)).set_index("id")
    rows = validation.join(sent, how="inner")
    # An era is either left out or whole, as the real server wants it ("Incomplete eras uploaded", 2022).
    whole = validation[validation["era"].isin(rows["era"].unique())].groupby("era").size()
    if torn := [str(era) for era, count in rows.groupby("era").size().items() if count < whole[era]]:
        message = f"invalid_submission_eras: Incomplete eras uploaded: {torn}"
        return {"status": "failed", "message": message, "eras_accepted_count": 0, "per_era_diagnostics": []}
    rows = rows.dropna(subset=["prediction", MAIN_TARGET])
    eras: list[dict[str, Any]] = []
    for label, era in rows.groupby("era"):
        predictions, truth = era[["prediction"]], era[MAIN_TARGET].rename("target")
        corr = float(numerai_corr(predictions, truth).iloc[0])
        _, exposure = max_feature_correlation(era["prediction"], era[features])
        eras.append(
            {
                "era": str(label),
                "validation_corr": corr,
                "validation_corr_v4": corr,
                "validation_bmc": float(correlation_contribution(predictions, era["benchmark"], truth).iloc[0]),
                "validation_mmc": float(correlation_contribution(predictions, era["meta_model"], truth).iloc[0])
                if era["meta_model"].notna().all()
                else None,
                "validation_feature_neutral_corr": float(
                    feature_neutral_corr(predictions, era[features], truth).iloc[0]
                ),
                "validation_feature_corr_max": float(exposure),
            }
        )
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


@lru_cache(maxsize=8)
def diagnosed(content: bytes, directory: Path) -> dict[str, Any]:
    """Return :func:`diagnose` of a file, worked out once however often it comes; pandas takes seconds for a hundred eras."""
    return diagnose(content, *validation_rows(directory))


def validation_rows(directory: Path) -> tuple[Any, list[str]]:
    """Return the newest data version's validation rows and the features that diagnostics neutralize for."""
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
    return rows.join(others), features
