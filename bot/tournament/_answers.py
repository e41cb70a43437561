"""
Read the JSON of the API strictly.

A value has its type and a sane size, or it is an error where it is needed, ``None`` where it is not, or the reason to
leave out its row of a list. Only errors of the bot leave this module.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import structlog
from pydantic import BeforeValidator, Field, PlainValidator, TypeAdapter, ValidationError, WrapValidator

from bot.errors import BadCredentials, BotError, NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.tournament._reply import Answer

YEARS = range(2015, 2100)
"""Years of plausible times. Numerai began in 2015; a time beyond the range overflows the arithmetic of dates."""

LONGEST = 500
"""Most characters of a server's message that an error repeats."""

T = TypeVar("T")
log = structlog.get_logger()


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")  # noqa: TRY004 - pydantic reads ValueError
    return value


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("a time is text")  # noqa: TRY004 - pydantic reads ValueError
    time = datetime.fromisoformat(value)
    if time.year not in YEARS:
        raise ValueError(f"the year {time.year} is not plausible")
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def or_else(default: object) -> WrapValidator:
    """Return a validator that replaces an odd value by *default*, for fields that no submission needs."""

    def read(value: Any, validate: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - JSON
        try:
            return validate(value)
        except ValidationError:
            return default

    return WrapValidator(read)


Count = Annotated[int, BeforeValidator(_no_truth_value), Field(ge=0, le=2**31 - 1)]
"""A whole number that SQLite and a file name can hold."""

Amount = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False, ge=-1e15, le=1e15)]
"""A finite number, or its text: the API returns decimals as text."""

Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(min_length=1, max_length=20_000)]
"""A text that is not empty: a name, an id, a URL."""
Time = Annotated[datetime, PlainValidator(_time)]
"""An ISO time as aware UTC; one without a zone is UTC."""


def read(answer: Answer, *, with_key: bool) -> dict[str, Any]:
    """
    Return the JSON object of a GraphQL answer that has data.

    Args:
        answer: The answer; GraphQL servers give errors of a query with any status.
        with_key: Whether the client has a key that may be wrong.

    Raises:
        BadCredentials: The server does not accept the key.
        RoundNotOpen: No round is open.
        RefuseToSubmit: The server refused the content of a submission.
        NumeraiUnavailable: Any other error, a bad status, or no JSON object.
    """
    if not answer.is_ok:
        raise _failure(answer, with_key=with_key)
    found = _parse(answer.content, answer.place)
    error = error_of(found)
    if error is not None and not usable(found):
        raise error
    if error is not None:
        log.warning("answer.partial", reason=str(error))
    return found


def _failure(answer: Answer, *, with_key: bool) -> BotError:
    """Return the error of a status that is no success."""
    try:
        error = error_of(_parse(answer.content, answer.place))
    except NumeraiUnavailable:
        error = None
    # A passing failure is one whatever its text is.
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        failure = answer.failure()
        return failure if error is None else NumeraiUnavailable(
            f"{failure}: {error}", retry_after_s=failure.retry_after_s
        )  # fmt: skip
    refused = answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    if error is not None and not (refused and type(error) is NumeraiUnavailable):
        return error
    # To a client without a key, a firewall or a sign-in page answers so.
    if refused and with_key:
        return BadCredentials(
            f"Numerai answered {answer.status} to the API key;"
            " check NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY and the key's scopes"
        )
    return answer.failure()


def _parse(content: bytes, place: str) -> dict[str, Any]:
    """
    Return the JSON object of an answer.

    Raises:
        NumeraiUnavailable: The answer is no JSON object.
    """
    try:
        # NaN and Infinity are no JSON, though Python reads them: they count as absent.
        answer = json.loads(content, parse_constant=lambda _: None)
    except (ValueError, RecursionError):  # a deep answer overflows the parser's stack
        raise NumeraiUnavailable(f"{place} answered something that is not JSON") from None
    if not isinstance(answer, dict):
        raise NumeraiUnavailable(f"{place} answered JSON that is not an object")
    return answer


def error_of(answer: dict[str, Any]) -> BotError | None:
    """Return the errors of a GraphQL answer as one error of the bot, ``None`` for an answer without errors."""
    errors = answer.get("errors")
    if not errors:
        return None
    message = _one_line("; ".join(map(_message, errors if isinstance(errors, list) else [errors])))
    plain = message.lower()
    if any(words in plain for words in ("cannot query field", "unknown argument", "unknown type")):
        return NumeraiUnavailable(f"Numerai refuses the query: {message}", is_refusal=True)
    refusals = ("session is invalid", "unauthorized", "not authorized", "unauthenticated", "permission", "api key")
    if any(words in plain for words in refusals):
        return BadCredentials(
            f"Numerai refuses the API key ({message}); check NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY and the key's scopes"
        )
    if "round not open" in plain:
        return RoundNotOpen(f"Numerai: {message}")
    if "invalid_submission" in plain:
        return RefuseToSubmit(f"Numerai refused the submission: {message}")
    return NumeraiUnavailable(f"Numerai answered an error: {message}", said=message)


def usable(answer: dict[str, Any]) -> bool:
    """Return whether an answer has data: GraphQL may return errors of single fields beside the rest of the data."""
    data = answer.get("data")
    return isinstance(data, dict) and any(value is not None for value in data.values())


def one(answer: dict[str, Any], path: Sequence[str], kind: type[T]) -> T:
    """
    Return the value at *path* of an answer's data.

    Raises:
        NumeraiUnavailable: It is absent, null or odd.
    """
    found = _at(answer, path)
    if found is None:
        raise error_of(answer) or NumeraiUnavailable(f"the API's answer has no {'.'.join(path)!r}")
    return checked(found, kind, ".".join(path))


def checked(value: object, kind: type[T], what: str) -> T:
    """
    Return a value of JSON as *kind*.

    Raises:
        NumeraiUnavailable: It is odd.
    """
    try:
        value_read: T = _reader(kind).validate_python(value)  # type: ignore[arg-type]  # types are hashable
    except ValidationError as error:
        raise NumeraiUnavailable(f"the API's answer has no usable {what}: {_problem(error)}") from None
    return value_read


def rows(answer: dict[str, Any], path: Sequence[str], kind: type[T], *, having: str = "") -> tuple[T, ...]:
    """
    Return the rows of the list at *path* of an answer's data; odd rows are left out and logged.

    Args:
        answer: The answer.
        path: Names of the fields that lead to the list.
        kind: Type of a row.
        having: Name of a field; rows in which it is null are no rows yet and are left out silently.

    Raises:
        NumeraiUnavailable: There is no list.
    """
    found = one(answer, path, list[object])
    present = [
        row for row in found if row is not None and not (having and isinstance(row, dict) and row.get(having) is None)
    ]
    reader, read, problems = _reader(kind), [], []  # type: ignore[arg-type]  # types are hashable
    for row in present:
        try:
            read.append(reader.validate_python(row))
        except ValidationError as error:
            problems.append(_problem(error))
    if problems:
        log.warning("answer.rows_left_out", rows=len(problems), of=".".join(path), first=problems[0])
    return tuple(read)


def _at(answer: dict[str, Any], path: Sequence[str]) -> object:
    """Return what lies at *path* of an answer's data; ``None`` where the path ends early."""
    found: object = answer.get("data")
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


@cache  # built when it is first used: the daemon reads few kinds of answers
def _reader(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401 - any type that pydantic reads
    return TypeAdapter(kind)


def _problem(error: ValidationError) -> str:
    """Return the first problem of a value without the value, which may be a secret or huge."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _message(error: object) -> str:
    if not isinstance(error, dict):
        return str(error)
    extensions = error.get("extensions")
    code = extensions.get("code") if isinstance(extensions, dict) else None
    message = str(error.get("message") or error.get("detail") or error)
    return f"{message} ({code})" if isinstance(code, str) else message


def _one_line(text: str) -> str:
    """Return text of a server on one line that every terminal and log can print."""
    printable = text.encode("utf-8", "backslashreplace").decode()
    return re.sub(r"\s+", " ", printable)[:LONGEST]
