"""The slots of one round as its page shows them: stages in order, gates with reasons, and figures of the report."""

from collections.abc import Mapping, Sequence
from typing import Any

STAGES = {
    "fetch": "live file fetched and proven to be this round's",
    "score": "rows scored, ensemble neutralized",
    "gates": "gates checked",
    "deliver": "uploaded and read back",
}
"""Stages of a submission in their order, in words."""

Row = dict[str, Any]


def slot_rows(found: Mapping[str, Any]) -> list[Row]:
    """
    Return the slots of a round, each with stages, gates and figures.

    Args:
        found: Result of :func:`bot.web.status.post_mortem`.
    """
    return [_slot(slot, about) for slot, about in found["slots"].items()]


def _slot(slot: str, about: Mapping[str, Any]) -> Row:
    report = about.get("report")
    report = report if isinstance(report, dict) else {}
    failure = about.get("failure") or {}
    gates = [one for one in _list(report.get("gates")) or _list(failure.get("gates")) if isinstance(one, dict)]
    stages = _stages(report.get("seconds"))
    return {
        **about,
        "slot": slot,
        "stages": stages,
        "seconds": sum(one["seconds"] for one in stages),
        # A refusal is what the page was opened for: it comes first.
        "gates": sorted((_gate(one) for one in gates), key=lambda one: bool(one["ok"])),
        "refused": [str(one) for one in _list(report.get("rungs_refused"))],
        "figures": list(_figures(report)),
    }


def _stages(seconds: object) -> list[Row]:
    """Return the stages in the order of a submission; those that this version does not know come last."""
    known = seconds if isinstance(seconds, dict) else {}
    names = [name for name in STAGES if name in known] + sorted(known.keys() - STAGES.keys())
    return [
        {"name": name, "about": STAGES.get(name, ""), "seconds": known[name]}
        for name in names
        if isinstance(known[name], int | float)
    ]


def _gate(one: Mapping[str, Any]) -> Row:
    refused = not one.get("ok")
    return {
        "gate": one.get("gate", ""),
        "ok": not refused,
        "value": one.get("value"),
        "limit": one.get("limit", ""),
        "remedy": (one.get("remedy") or one.get("message") or "") if refused else "",
        "setting": one.get("setting", "") if refused else "",
    }


def _figures(report: Mapping[str, Any]) -> Sequence[tuple[str, object]]:
    """Return names and values of what the report measured."""
    names = {
        "rows": "rows",
        "max_exposure": "largest exposure",
        "drift": "correlation with the last artifact",
        "feature_drift": "drifted features",
    }
    return [(text, report[name]) for name, text in names.items() if isinstance(report.get(name), int | float)]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
