"""Read responses of the API: errors become exceptions of the bot, lists become values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.errors import BadCredentials, NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.tournament.rounds import Payout, Round


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveScore:
    """
    A score of a submission on one day.

    Attributes:
        round: Numerai's round number.
        name: Name of the score, such as ``corr60``.
        value: Value of the score.
        percentile: Percentile among all models, 0 to 1; ``None`` if the API returned none.
        day: Number of the round's scoring day.
        date: Date of the scoring day.
        resolved: Whether the score is final.
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
    """
    A submission that the server holds.

    Attributes:
        id: Numerai's id of the submission.
        filename: Name of the file, from the name at the upload.
        round: Number of the round.
        status: Status of the submission; ``None`` if the API returned none.
        selected: Whether this submission counts for the round.
        inserted_at: Time of the submission as the API returns it.
        error: Error of Numerai's validation; ``None`` if the submission was accepted.
    """

    id: str
    filename: str
    round: int
    status: str | None
    selected: bool
    inserted_at: str
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """
    Results of Numerai's diagnostics for predictions of validation eras.

    Attributes:
        status: ``done``, or a name of a pending or failed state.
        message: Reason of a failure; ``None`` if the API returned none.
        eras: Number of eras that were accepted.
        scores: ``corr``, ``bmc`` and ``mmc`` by era, without eras that lack the score.
    """

    status: str
    message: str | None
    eras: int
    scores: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """
    The payout of a model for one round.

    Attributes:
        round: Number of the round.
        slot: Name of the model.
        nmr: Payout in NMR, negative for a burn.
        settled: Whether the payout is final.
    """

    round: int
    slot: str
    nmr: float
    settled: bool


def should_retry(error: Exception) -> bool | float:
    """Return whether a failed query is sent again, or the seconds that the server wants the client to wait first."""
    if not isinstance(error, NumeraiUnavailable):
        return False
    return error.retry_after_s if error.retry_after_s is not None else True


def raise_errors(answer: dict[str, Any]) -> None:
    """
    Raise the errors of a GraphQL response as errors of the bot; an unknown error counts as transient.

    Raises:
        BadCredentials: The server does not accept the key.
        RoundNotOpen: No round is open.
        RefuseToSubmit: The server refused the content of a submission.
        NumeraiUnavailable: Any other error.
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
    Return the field *name* of a GraphQL response's data.

    Raises:
        NumeraiUnavailable: The field is absent or null.
    """
    data = answer.get("data")
    if not isinstance(data, dict) or data.get(name) is None:
        raise NumeraiUnavailable(f"the API's answer has no {name!r}")
    return data[name]


def to_round(listed: dict[str, Any]) -> Round:
    """
    Return a round that the API lists; it closes at the earlier of its two closing times.

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
    Return the live scores that the API lists, without those that have no value yet.

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
    """Return the submissions that the API lists, without those that belong to no round."""
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


def to_diagnostics(listed: Sequence[Mapping[str, Any]]) -> Diagnostics:
    """
    Return the diagnostics that the API lists, which is a list of one.

    Raises:
        NumeraiUnavailable: The list is empty, or a field is missing or unreadable.
    """
    names = {"corr": "validationCorrV4", "bmc": "validationBmc", "mmc": "validationMmc"}
    try:
        only = listed[0]
        eras = only["perEraDiagnostics"] or ()
        return Diagnostics(
            status=str(only["status"]),
            message=only["message"] or None,
            eras=int(only["erasAcceptedCount"] or 0),
            scores={
                name: {str(one["era"]): float(one[key]) for one in eras if one[key] is not None}
                for name, key in names.items()
            },
        )
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise NumeraiUnavailable(f"the API returns diagnostics without a usable {error}") from None


def to_payments(listed: Mapping[str, Any]) -> tuple[Payment, ...]:
    """
    Return the payouts that the API lists, without those that have no amount yet.

    Raises:
        NumeraiUnavailable: A field is missing or unreadable.
    """
    try:
        return tuple(
            Payment(
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
    Return the NMR at risk in each of a model's rounds, by round number.

    Raises:
        NumeraiUnavailable: A field is missing or unreadable.
    """
    try:
        return {int(one["roundNumber"]): float(one["atRisk"]) for one in listed if one["atRisk"] is not None}
    except (KeyError, TypeError, ValueError) as error:
        raise NumeraiUnavailable(f"the API lists a round's stake without a usable {error}") from None


def _time(value: str | datetime) -> datetime:
    time = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
