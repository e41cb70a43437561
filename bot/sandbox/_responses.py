"""JSON of rounds, submissions, scores and payouts in the form of Numerai's API, under snake case names."""

import uuid
from datetime import datetime
from typing import Any

from bot.sandbox.schedule import Window
from bot.sandbox.tournament import CLASSIC, Submission
from bot.tournament.columns import MAIN_TARGET

PAYS = {"corr60": 3.0, "mmc60": 15.0}
"""Multipliers of the scores that pay since round 1343, with a clip of 1."""


def iso(moment: datetime) -> str:
    """Return a time in the API's format."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def round_json(window: Window, status: str) -> dict[str, Any]:
    """Return a round with the score configurations that pay."""
    resolved = status == "RESOLVED"
    configs = [
        {
            "id": f"{window.number}-{name}", "score_config_id": name, "round_number_start": 1343,
            "round_number_end": None, "name": name, "version": "v1", "display_name": name, "total_score_days": 60,
            "returns_lag_days": 2, "data_delay_days": 2, "universe": "classic", "is_canon_score": True,
            "is_payout": True, "scoring_start": iso(window.closes_at), "scoring_end": iso(window.resolves_at),
            "min_multiplier": multiplier, "max_multiplier": multiplier, "default_multiplier": multiplier,
            "clip_threshold": 1.0, "stake_threshold": 72000.0, "payout_factor": "1.0",
        }
        for name, multiplier in PAYS.items()
    ]  # fmt: skip
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(window.number))), "tournament": CLASSIC,
        "number": window.number, "target": MAIN_TARGET, "open_time": iso(window.opens_at),
        "close_time": iso(window.closes_at), "close_staking_time": iso(window.closes_at),
        "score_time": iso(window.closes_at), "resolve_time": iso(window.resolves_at),
        "resolved_general": resolved, "resolved_staking": resolved, "payout_factor": "1.0",
        "stake_threshold": 72000.0, "data_datestamp": int(f"{window.opens_at:%Y%m%d}"),
        "round_score_configs": configs,
    }  # fmt: skip


def submission_json(one: Submission) -> dict[str, Any]:
    """Return a submission."""
    return {
        "id": one.id, "filename": one.filename, "inserted_at": iso(one.inserted_at), "selected": one.selected,
        "status": one.status, "error_info": None if one.accepted else "invalid", "trigger_id": one.trigger_id,
        "round": {"number": one.round, "tournament": CLASSIC},
    }  # fmt: skip


def score_json(one: Submission, window: Window, name: str, value: float) -> dict[str, Any]:
    """Return one score of a submission."""
    return {
        "round_id": str(one.round), "submission_id": one.id, "round_number": one.round,
        "round_resolve_time": iso(window.resolves_at), "round_score_time": iso(window.closes_at),
        "round_close_staking_time": iso(window.closes_at), "value": value, "percentile": 0.5, "display_name": name,
        "version": "v1", "date": f"{window.resolves_at:%Y-%m-%d}", "day": 60,
        "resolve_date": f"{window.resolves_at:%Y-%m-%d}", "resolved": True,
    }  # fmt: skip


def payout_json(one: Submission, window: Window, scores: dict[str, float], stake: float) -> dict[str, Any]:
    """Return the payout of a stake on a submission; the amount is null until the round is scored."""
    earned = sum(multiplier * scores.get(name, 0.0) for name, multiplier in PAYS.items())
    return {
        "round_id": str(one.round), "round_number": one.round, "round_resolve_time": iso(window.resolves_at),
        "model_id": one.model_id, "model_name": one.slot, "model_display_name": one.slot, "currency_symbol": "$",
        "payout_nmr": str(stake * min(max(earned, -1.0), 1.0)) if scores else None, "payout_value": None,
    }  # fmt: skip


def performance_json(one: Submission, window: Window, scores: dict[str, float], stake: float) -> dict[str, Any]:
    """Return a submission and its scores in the form of the older performance query."""
    listed = [
        {"date": iso(window.resolves_at), "day": 60, "display_name": name, "payout_pending": None,
         "payout_settled": None, "percentile": 0.5, "value": value}
        for name, value in scores.items()
    ]  # fmt: skip
    return {
        "at_risk": str(stake), "payout_multipliers": [], "round_payout_factor": "1.0", "round_number": one.round,
        "round_open_time": iso(window.opens_at), "round_resolve_time": iso(window.resolves_at),
        "round_resolved": bool(scores), "round_target": MAIN_TARGET, "submission_scores": listed,
        "intra_round_submission_scores": [],
    }  # fmt: skip
