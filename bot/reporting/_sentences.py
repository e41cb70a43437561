"""Figures in words: the decision on an artifact in one sentence, what its scores show, and what a comparison shows."""

import math
from collections.abc import Mapping
from typing import Any

from bot.reporting.chart_axes import format_number
from bot.serving.names import ENSEMBLE

CONTRIBUTIONS = {"bmc": "the benchmark model (BMC)", "mmc": "the meta model (MMC)"}

CERTAIN = 2.0
"""Standard errors from which a difference is called more than noise: two-sided 5 %."""


def decision_sentence(decision: Mapping[str, Any]) -> str:
    """Return whether the artifact was promoted and why, and for a refused one whether a champion stays."""
    if decision["promote"]:
        return f"Promoted, because {decision['reason']}."
    refused = [one for one in decision["findings"] if not one["ok"]]
    reasons = [str(one["message"]).removeprefix(f"{one['gate']}: ") for one in refused if one["message"]]
    because = "; ".join(reasons) or decision["reason"]
    stays = f"The champion {decision['champion']} stays." if decision["champion"] else "There is still no champion."
    return f"Not promoted, because {because}. {stays}"


def score_sentences(figures: Mapping[str, Any]) -> list[str]:
    """Return what the scores show: skill, distance from the benchmark, contributions, losses and the newest eras."""
    members = figures["members"][ENSEMBLE]
    corr = members["corr"]
    found = [f"The ensemble's mean CORR is {_number(corr)}{_against_zero(corr, 'the skill may be chance')}."]
    reference, difference = (figures.get(key, {}).get("benchmark") for key in ("references", "differences"))
    if reference and difference:
        side = "above" if difference["mean"] >= 0 else "below"
        amount = format_number(abs(difference["mean"]))
        found.append(
            f"The benchmark model has {_number(reference)}. The ensemble is {amount} {side} it in the same"
            f" {difference['eras']} eras{_against_zero(difference, 'neither is proven better', 'of the difference')}."
        )
    for score, whom in CONTRIBUTIONS.items():
        if (one := members.get(score)) and one["eras"]:
            unclear = "the contribution may be none"
            found.append(f"It contributes {_number(one)} to {whom} in {one['eras']} eras{_against_zero(one, unclear)}.")
    known = [value for value in figures["series"]["corr"][ENSEMBLE] if value is not None and math.isfinite(value)]
    lost = sum(value < 0 for value in known)
    fall = format_number(corr["max_drawdown"], 3)
    found.append(f"CORR was negative in {lost} of {len(known)} eras, and its sum fell by at most {fall}.")
    if 0 < corr["recent"]["eras"] < corr["eras"]:
        newest, side = corr["recent"], "lower" if corr["recent"]["mean"] < corr["mean"] else "higher"
        found.append(f"In the newest {newest['eras']} eras the mean CORR is {_number(newest)}, {side} than in all.")
    return found


def comparison_sentences(figures: Mapping[str, Any]) -> list[str]:
    """Return for each pair of recipes which one pays more an era, and whether that is more than noise."""
    found = []
    for one in figures["differences"]:
        if one["score"] != "pay" or not _known(one["mean"], one["error"]) or not one["error"]:
            continue
        side = "more" if one["mean"] >= 0 else "less"
        errors = abs(one["mean"]) / one["error"]
        noise = "more than noise" if errors >= CERTAIN else "which may be noise"
        found.append(
            f"{one['late']} pays {format_number(abs(one['mean']))} {side} per era than {one['early']};"
            f" that is {errors:.1f} standard errors, {noise}."
        )
    return found


def _number(figure: Mapping[str, Any]) -> str:
    return format_number(figure["mean"])


def _against_zero(figure: Mapping[str, Any], unclear: str, of: str = "") -> str:
    """Return where the interval of a figure lies, as the end of a sentence; nothing if the interval is unknown."""
    low, high = figure["low"], figure["high"]
    if not _known(low, high):
        return ""
    interval = f"; the interval {of}{' ' if of else ''}from {format_number(low)} to {format_number(high)}"
    if low > 0:
        return f"{interval} is above zero"
    return f"{interval} is below zero" if high < 0 else f"{interval} includes zero, so {unclear}"


def _known(*bounds: float | None) -> bool:
    return all(one is not None and math.isfinite(one) for one in bounds)


def beside(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of the score table below the members: the reference models, and the distance from the benchmark."""
    references: Mapping[str, Any] = figures.get("references", {})
    differences: Mapping[str, Any] = figures.get("differences", {})
    names = {"benchmark": "benchmark model"}
    rows = {names.get(name, name): one for name, one in references.items()}
    return rows | {f"{ENSEMBLE} less {names.get(name, name)}": one for name, one in differences.items()}


def sections(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return anchor and name of every section of the page that has content."""
    known = {
        "decision": "Decision",
        "scores": "Scores",
        "regimes": "Targets and regimes",
        "members": "Members",
        "importance": "Importance",
        "exposure": "Exposure",
        "calibration": "Calibration",
        "losses": "Worst eras",
        "drift": "Drift" if figures["drift"] else "",
        "missing": "Not computed" if figures["not_computed"] else "",
    }
    return [(anchor, name) for anchor, name in known.items() if name]
