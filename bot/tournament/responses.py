"""What the API's answers mean: errors by what happens next, rounds as values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.errors import BadCredentials, NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.tournament.rounds import Payout, Round


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScore:
    """
    A score of a submission as it stood on a day.

    Attributes:
        round: Numerai's number.
        name: Such as ``corr60``.
        value: The score.
        percentile: Among all models, 0 to 1; ``None`` where it is not told.
        day: Of the round's scoring days.
        date: Of the day.
        resolved: Whether it is final.
    """

    round: int
    name: str
    value: float
    percentile: float | None
    day: int
    date: str
    resolved: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSubmission:
    """A submission as the server lists it; ``error`` is what its validation said, ``None`` if it was accepted."""

    id: str
    filename: str
    round: int
    status: str | None
    selected: bool
    inserted_at: str
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """
    What Numerai's diagnostics say about predictions of validation eras.

    Attributes:
        status: ``done``, or what it waits for, or that it failed.
        message: Why it failed, ``None`` where nothing is said.
        eras: Eras that were accepted.
        scores: ``corr``, ``bmc`` and ``mmc`` by era; a score that an era has not got is left out.
    """

    status: str
    message: str | None
    eras: int
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What a model was paid for a round, in NMR; *settled*, or as things stand."""

    round: int
    slot: str
    nmr: float
    settled: bool


def worth_another_try(error: Exception) -> bool | float:
    """Retry what the server may do better in a moment, no sooner than it asks for."""
    if not isinstance(error, NumeraiUnavailable):
        return False
    return error.retry_after_s if error.retry_after_s is not None else True


def raise_errors(answer: dict[str, Any]) -> None:
    """
    Turn the errors of a GraphQL answer into ours; an unknown one counts as transient.

    Raises:
        BadCredentials: The server does not take the key.
        RoundNotOpen: It says that no round is open.
        RefuseToSubmit: It refused a submission's content.
        NumeraiUnavailable: Anything else.
    """
    errors = answer.get("errors")
    if not errors:
        return
    listed = errors if isinstance(errors, list) else [errors]
    message = "; ".join(str(one.get("message", one)) if isinstance(one, dict) else str(one) for one in listed)
    plain = message.lower()
    if any(word in plain for word in ("session is invalid", "unauthorized", "not authorized", "permission", "api key")):
        raise BadCredentials(
            f"Numerai refuses the API key ({message}); check NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY and the key's scopes"
        )
    if "round not open" in plain:
        raise RoundNotOpen(f"Numerai: {message}")
    if "invalid_submission" in plain:
        raise RefuseToSubmit(f"Numerai refused the submission: {message}")
    raise NumeraiUnavailable(f"Numerai answered an error: {message}")


def field(answer: dict[str, Any], name: str) -> Any:  # noqa: ANN401 - JSON
    """
    Return one field of a GraphQL answer's data.

    Raises:
        NumeraiUnavailable: It is absent or null.
    """
    data = answer.get("data")
    if not isinstance(data, dict) or data.get(name) is None:
        raise NumeraiUnavailable(f"the API's answer has no {name!r}")
    return data[name]


def to_round(listed: dict[str, Any]) -> Round:
    """
    Read a round as the API lists it; it closes at the earlier of its two closing times.

    Raises:
        NumeraiUnavailable: A number or time is missing or unreadable.
    """
    try:
        closings = [_time(listed[name]) for name in ("closeTime", "closeStakingTime") if listed.get(name)]
        return Round(
            number=int(listed["number"]),
            opens_at=_time(listed["openTime"]),
            closes_at=min(closings),
            payouts=tuple(
                Payout(
                    score=str(one.get("displayName") or one.get("name")),
                    multiplier=float(one["defaultMultiplier"]),
                    clip=None if one.get("clipThreshold") is None else float(one["clipThreshold"]),
                )
                for one in listed.get("roundScoreConfigs") or ()
                if one.get("isPayout") and one.get("defaultMultiplier") is not None
            ),
            factor=None if listed.get("payoutFactor") is None else float(listed["payoutFactor"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NumeraiUnavailable(f"the API describes a round without a usable {error}") from None


def to_scores(listed: Sequence[Mapping[str, Any]]) -> tuple[LiveScore, ...]:
    """
    Read live scores as the API lists them; those without a value yet are left out.

    Raises:
        NumeraiUnavailable: A field is missing or unreadable.
    """
    try:
        return tuple(
            LiveScore(
                round=int(one["roundNumber"]),
                name=str(one["displayName"]),
                value=float(one["value"]),
                percentile=None if one["percentile"] is None else float(one["percentile"]),
                day=int(one["day"] or 0),
                date=str(one["date"]),
                resolved=bool(one["resolved"]),
            )
            for one in listed
            if one["value"] is not None
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NumeraiUnavailable(f"the API lists a score without a usable {error}") from None


def to_submissions(listed: Sequence[Mapping[str, Any]]) -> tuple[ServerSubmission, ...]:
    """Read submissions as the API lists them; those of no round are left out."""
    return tuple(
        ServerSubmission(
            id=str(one["id"]),
            filename=str(one["filename"]),
            round=int(one["round"]["number"]),
            status=one["status"],
            selected=bool(one["selected"]),
            inserted_at=str(one["insertedAt"]),
            error=one["errorInfo"] or None,
        )
        for one in listed
        if one["round"] is not None
    )


def to_diagnosis(listed: Sequence[Mapping[str, Any]]) -> Diagnosis:
    """
    Read diagnostics as the API returns them, a list of one.

    Raises:
        NumeraiUnavailable: It is empty, or a field is missing or unreadable.
    """
    names = {"corr": "validationCorrV4", "bmc": "validationBmc", "mmc": "validationMmc"}
    try:
        told = listed[0]
        eras = told["perEraDiagnostics"] or ()
        return Diagnosis(
            status=str(told["status"]),
            message=told["message"] or None,
            eras=int(told["erasAcceptedCount"] or 0),
            scores={
                name: {str(one["era"]): float(one[key]) for one in eras if one[key] is not None}
                for name, key in names.items()
            },
        )
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise NumeraiUnavailable(f"the API returns diagnostics without a usable {error}") from None


def to_paid(listed: Mapping[str, Any]) -> tuple[Paid, ...]:
    """
    Read payouts as the API lists them; those without an amount yet are left out.

    Raises:
        NumeraiUnavailable: A field is missing or unreadable.
    """
    try:
        return tuple(
            Paid(
                round=int(one["roundNumber"]), slot=str(one["modelName"]), nmr=float(one["payoutNmr"]), settled=settled
            )
            for kind, settled in (("pending", False), ("actual", True))
            for one in listed[kind] or ()
            if one["payoutNmr"] is not None
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NumeraiUnavailable(f"the API lists a payout without a usable {error}") from None


def to_stakes(listed: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """
    Read the stakes at risk of a model's rounds.

    Raises:
        NumeraiUnavailable: A field is missing or unreadable.
    """
    try:
        return {int(one["roundNumber"]): float(one["atRisk"]) for one in listed if one["atRisk"] is not None}
    except (KeyError, TypeError, ValueError) as error:
        raise NumeraiUnavailable(f"the API lists a round's stake without a usable {error}") from None


def _time(value: str | datetime) -> datetime:
    told = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)
