"""Two artifacts side by side, from the evaluations of their hold-outs that are kept; nothing is trained or scored."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from bot.findings import Absent
from bot.reporting.charts import Line, line_chart
from bot.scoring.bootstrap import TooFewEras
from bot.scoring.paired_comparison import Difference, paired_differences
from bot.scoring.summaries import max_drawdown, sharpe
from bot.tournament.columns import overlap_eras
from bot.web.content.artifact_files import ArtifactFiles

SCORES = ("pay", "CORR", "MMC", "BMC")
SURE = 1.96
"""Errors from which a difference is not chance, in 95 of 100 cases."""

Floats = npt.NDArray[np.float64]
Series = dict[str, dict[str, Floats]]


def compare_artifacts(first: ArtifactFiles, second: ArtifactFiles) -> dict[str, Any] | Absent:
    """
    Compare two artifacts on the eras that both hold-outs have.

    Returns:
        Names, number of eras, mean scores, differences with their errors, charts and a sentence; or why that is not possible.
    """
    for one in (first, second):
        if not one.series("corr"):
            return Absent(
                f"no evaluation of {one.id} is kept: it was adopted, or its hold-out has no scores. Compare recipes with"
                " `bot evaluate compare`"
            )
    if first.target != second.target:
        return Absent(f"their targets differ ({first.target} and {second.target}), so their scores cannot be compared")
    eras = [era for era in first.eras if era in set(second.eras)]
    if not eras:
        return Absent("their hold-outs have no era in common")
    names = _names(first, second)
    series = {name: _series(one, eras) for name, one in zip(names, (first, second), strict=True)}
    shown = [score for score in SCORES if all(np.isfinite(one[score]).any() for one in series.values())]
    differences = _differences(series, names, shown, first.target)
    return {
        "names": names, "eras": len(eras), "first_era": eras[0], "last_era": eras[-1], "target": first.target, "shown": shown,
        "rows": [_row(name, series[name]) for name in names], "differences": differences,
        "sentence": _sentence(differences, names, len(eras)), "charts": list(_charts(series, eras, shown)),
        "versions": sorted({str(one.manifest.get("data_version", "")) for one in (first, second)}),
    }  # fmt: skip


def _names(first: ArtifactFiles, second: ArtifactFiles) -> tuple[str, str]:
    """Return two different short names: recipe and day, with the end of the id where these are the same."""
    names = [f"{one.recipe}, {one.day}" for one in (first, second)]
    if names[0] == names[1]:
        names = [f"{name}, {one.id[11:]}" for name, one in zip(names, (first, second), strict=True)]
    return names[0], names[1]


def _series(one: ArtifactFiles, eras: list[str]) -> dict[str, Floats]:
    """Return the scores of *eras*; pay takes the contribution to the benchmark in eras without a meta model."""
    place = {era: at for at, era in enumerate(one.eras)}
    found = {}
    for score in ("corr", "mmc", "bmc"):
        values = one.series(score) or [None] * len(place)
        found[score.upper()] = np.array(
            [np.nan if values[place[era]] is None else values[place[era]] for era in eras], float
        )
    recipe = one.manifest.get("recipe")
    corr, mmc = (_multiplier(recipe, name) for name in ("corr_multiplier", "mmc_multiplier"))
    contribution = np.where(np.isfinite(found["MMC"]), found["MMC"], found["BMC"])
    return {"pay": corr * found["CORR"] + mmc * contribution, **found}


def _multiplier(recipe: object, name: str) -> float:
    value = recipe.get(name) if isinstance(recipe, Mapping) else None
    return float(value) if isinstance(value, int | float) else math.nan


def _row(name: str, series: Mapping[str, Floats]) -> dict[str, Any]:
    main = series["pay"] if np.isfinite(series["pay"]).any() else series["CORR"]
    means = {score: float(np.nanmean(one)) if np.isfinite(one).any() else None for score, one in series.items()}
    return {"name": name, "means": means, "sharpe": sharpe(main), "fall": max_drawdown(main)}


def _differences(series: Series, names: tuple[str, str], shown: list[str], target: str) -> list[Difference]:
    """Return first less second by score; without those that too few eras have."""
    found: list[Difference] = []
    for score in shown:
        try:
            found += paired_differences(series, [names], lag=overlap_eras(target), scores=(score,))
        except (TooFewEras, ValueError):
            continue
    return found


def _sentence(differences: list[Difference], names: tuple[str, str], eras: int) -> str:
    """Return in words what the first difference says."""
    if not differences:
        return f"{eras} common eras are too few to say which one is better."
    one = differences[0]
    better, other = names if one.mean >= 0 else names[::-1]
    gap = f"{better} has {abs(one.mean):.4f} more {one.score} an era than {other} (error {one.error:.4f}, {one.eras} eras)"
    if abs(one.t) >= SURE:
        return f"{gap}: more than chance."
    return f"{gap}: no more than chance explains. These eras would show a difference of {one.detectable:.4f}."


def _charts(series: Series, eras: list[str], shown: list[str]) -> Iterator[Markup]:
    for score in shown:
        lines = [
            Line(name=name, values=_summed(scores[score]).tolist(), joined=True) for name, scores in series.items()
        ]
        title = "Pay" if score == "pay" else score
        yield line_chart(f"{title}, cumulative", eras, lines, decimals=3)


def _summed(values: Floats) -> Floats:
    return np.where(np.isfinite(values), np.nancumsum(values), np.nan)


def kept_pages(state_dir: Path, recipes: set[str]) -> list[dict[str, str]]:
    """Return the pages of finished comparisons that `bot evaluate compare` left of all *recipes*, newest first."""
    found = []
    for path in sorted((state_dir / "experiments").glob("compare-*/comparison.html"), key=_written, reverse=True):
        try:
            about = json.loads(path.with_name("result.json").read_text(encoding="utf-8"))
            named = [str(name) for name in about["recipes"]]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if recipes <= set(named):
            found.append({"folder": path.parent.name, "recipes": ", ".join(named)})
    return found


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
