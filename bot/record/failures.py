"""Why a slot of a round was refused or missed: a value that the ledger keeps, and the words that people read."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from bot.errors import BotError, FirstTraining, GateFailed
from bot.findings import Finding

KINDS = {65: "refused", 75: "later", 78: "needs the operator"}
"""Kind of a failure by the exit code of its error; with any other code the attempt crashed."""

CRASHED, TRAINING = "crashed", "training"
"""Kinds of a failure whose error has no such exit code, and of a slot that waits for the first model of its recipe."""

NEXT_ROUND = "nothing: the next round comes"
LONGEST = 160
"""Characters of the longest headline; services limit the title of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """
    Why one slot of a round has no confirmed submission.

    Attributes:
        round: Number of the round.
        slot: Name of the slot; empty where the cause concerns every slot of the round.
        kind: ``refused``, ``later`` (the bot tries again by itself), ``training`` (the bot tries again when it has a model),
            ``needs the operator`` or ``crashed``.
        message: The cause and the way to fix it, in one line.
        gates: Gates that refused.
        first_at: ISO time of the first failure of the round, UTC.
        last_at: ISO time of the newest one, UTC.
        attempts: Number of failed attempts.
    """

    round: int
    slot: str
    kind: str
    message: str
    gates: tuple[Finding, ...] = ()
    first_at: str
    last_at: str
    attempts: int = 1

    @classmethod
    def of(cls, error: BaseException, *, round_number: int, slot: str, at: datetime) -> "Failure":
        """Return the failure that an error stands for."""
        known = isinstance(error, BotError)
        return cls(
            round=round_number,
            slot=slot,
            kind=_kind(error),
            message=str(error) if known else f"{type(error).__name__}: {error}",
            gates=error.gates if isinstance(error, GateFailed) else (),
            first_at=at.isoformat(),
            last_at=at.isoformat(),
        )

    @property
    def settings(self) -> tuple[str, ...]:
        """Return the names of the settings that hold the limits of the gates that refused."""
        return tuple(dict.fromkeys(one.setting for one in self.gates if one.setting))

    @property
    def cause(self) -> tuple[object, ...]:
        """Return what makes two failures the same: the kind, and the gates or the message without its figures."""
        return self.kind, tuple(one.gate for one in self.gates) or self.message

    @property
    def headline(self) -> str:
        """Return the cause in a few words: ``exposure 0.4123 (limit at most 0.2)``."""
        gates = ", ".join(f"{one.gate} {figure(one.value)} (limit {one.limit})" for one in self.gates)
        text = gates or self.message.partition("; ")[0]
        return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

    @property
    def remedy(self) -> str:
        """Return what to do while the round is open."""
        return self.remedy_of(is_open=True)

    def remedy_of(self, *, is_open: bool) -> str:
        """Return what to do about an open round, or about one that has closed; empty where the message does not say."""
        found = dict.fromkeys(one.remedy for one in self.gates if one.remedy)
        passing = ("the bot tries again" if is_open else NEXT_ROUND) if self.kind == "later" else ""
        return "; ".join(found) or self.message.partition("; ")[2] or passing

    def to_json(self, *, is_open: bool = True) -> dict[str, Any]:
        """Return the failure as plain JSON values, as `bot status --json` shows it; *is_open* is of its round."""
        return {
            "kind": self.kind,
            "message": self.message,
            "headline": self.headline,
            "remedy": self.remedy_of(is_open=is_open),
            "settings": list(self.settings),
            "gates": gates_to_json(self.gates),
            "attempts": self.attempts,
            "first_at": self.first_at,
            "last_at": self.last_at,
        }


def _kind(error: BaseException) -> str:
    """Return the kind of a failure by its error."""
    if isinstance(error, FirstTraining):
        return TRAINING
    return KINDS.get(error.exit_code, CRASHED) if isinstance(error, BotError) else CRASHED


def gates_to_json(gates: Iterable[Finding]) -> list[dict[str, Any]]:
    """Return findings as plain JSON values; a value that is no finite number becomes text."""
    found = [asdict(one) for one in gates]
    for one in found:
        value = one["value"]
        one["value"] = str(value) if isinstance(value, float) and not math.isfinite(value) else value
    return found


def gates_from_json(text: str) -> tuple[Finding, ...]:
    """Return the findings of a row; keys of a newer bot are left out."""
    known = Finding.__dataclass_fields__
    rows: list[Mapping[str, Any]] = json.loads(text)
    return tuple(Finding(**{key: value for key, value in one.items() if key in known}) for one in rows)


def figure(value: object) -> str:
    """Return a measured value as text."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def headline(failures: Iterable[Failure]) -> str:
    """Return the causes of a round in one line: ``my_model: exposure 0.4123 (limit at most 0.2)``; empty without any."""
    causes = dict.fromkeys(f"{one.slot}: {one.headline}" if one.slot else one.headline for one in failures)
    text = "; ".join(causes)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def details(failures: Iterable[Failure]) -> str:
    """Return cause, remedy and setting of each failure, one a line; empty without any."""
    return "\n".join(_detail(one) for one in failures)


def _detail(one: Failure) -> str:
    slot = f"{one.slot}: " if one.slot else ""
    setting = f" (setting: {', '.join(one.settings)})" if one.settings else ""
    return f"{slot}{one.message}{setting}"
