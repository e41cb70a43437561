"""
Rounds of seconds under random faults of every kind, with the real `bot run`, in real time.

Requests fail before or after their effect, connections hang, drip and reset, files are truncated or stale. Each round that
was not confirmed is explained from the log of the daemon and the history of the sandbox.
"""

import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.record.ledger import Ledger
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import ANSWERS, FILES, Fault, Faults, Phase
from bot.sandbox.referee import judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.submission._delivery import CREATES
from tests.harness.installation import FIRST_ROUND, SLOT, Installation
from tests.harness.process import running

START_S = 15.0
"""Seconds before the first round, in which the daemon starts."""

ANSWER_KINDS = tuple(kind for kind in ANSWERS if kind not in ("unauthorized", "expired"))
"""Faults of any request. A refused key needs the operator, and only URLs of the storage expire."""

FILE_KINDS = tuple(
    kind for kind in FILES if kind not in ("schema", "drop_features")
)  # other data are refused, not missed
SECONDS = (1.0, 5.0, 20.0, 60.0)
"""Seconds of faults that take time."""

LATEST_EFFECT_S = 1.0
"""Longest delay of an effect in seconds: rounds of 45 s have a guard of a few seconds, real ones of 60."""

QUIET = ("chore.started", "chore.finished", "numerapi")


class Weather(Faults):
    """Faults that are drawn for each request: *share* of all requests get one, of a kind that fits the request."""

    def __init__(self, share: float, seed: int) -> None:
        super().__init__()
        self._share, self._drawn = share, random.Random(seed)

    def take(self, operation: str, phase: Phase) -> Fault | None:
        """Return the fault of a request, or ``None``; half of them strike before its effect, half after it."""
        with self._lock:
            if phase not in ("before", "after"):
                return None
            # A GET has no phase after its effect.
            share = self._share if operation == "GET" else self._share / 2
            kind = self._drawn.choice(
                {"GET": (*ANSWER_KINDS, *FILE_KINDS), "PUT": (*ANSWER_KINDS, "expired")}.get(operation, ANSWER_KINDS)
            )
            seconds = self._drawn.choice(SECONDS)
            if kind == "slow" and phase == "before" and operation != "GET":
                # The server takes the request after that time, which no client can prevent: the guard covers as much.
                seconds = min(seconds, LATEST_EFFECT_S)
            fault = Fault(operation=operation, kind=kind, phase=phase, seconds=seconds)
            return fault if self._drawn.random() < share else None


@dataclass(kw_only=True)
class Storm:
    """
    Result of the rounds.

    Attributes:
        rounds: Number of rounds.
        requests: Number of faults by kind.
        confirmed: Seconds from opening to confirmation by round.
        wrong: Submissions of other rows, and confirmed ones that the server does not hold.
        doubled: Rounds with more than one content, or with one content created more often than is allowed.
        late: Submissions outside of the window or within the guard.
        missed: What happened in each round that was not confirmed.
    """

    rounds: int
    faults: Counter[str] = field(default_factory=Counter)
    confirmed: dict[int, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    missed: dict[int, list[str]] = field(default_factory=dict)

    @property
    def breaches(self) -> list[str]:
        """Return everything that must never happen."""
        return [*self.wrong, *self.doubled, *self.late]

    def __str__(self) -> str:
        slowest = max(self.confirmed.values(), default=0.0)
        return (
            f"storm: {self.rounds} rounds, {self.faults.total()} faults of {len(self.faults)} kinds; {len(self.wrong)} wrong,"
            f" {len(self.doubled)} doubled, {len(self.late)} late, {len(self.missed)} missed;"
            f" confirmed after {slowest:.0f} s at most"
        )

    def lines(self) -> Iterator[str]:
        """Yield the counts, the breaches, and the story of each missed round."""
        yield str(self)
        yield from (f"  {one}" for one in self.breaches)
        for number, story in self.missed.items():
            yield f"  round {number} was missed:"
            yield from (f"    {line}" for line in story)


def storm(
    world: World,
    artifacts: Path,
    folder: Path,
    *,
    rounds: int,
    seed: int,
    every_s: float = 46.0,
    window_s: float = 45.0,
    share: float = 0.3,
) -> Storm:
    """Play *rounds* rounds with one daemon, under faults in *share* of the requests."""
    shutil.copytree(artifacts, folder / "state" / "artifacts")
    opened = datetime.now(UTC) + timedelta(seconds=START_S)
    schedule = Schedule.every(
        timedelta(seconds=every_s), window=timedelta(seconds=window_s), first_round=FIRST_ROUND, first_open=opened
    )
    settings = {"BOT_TICK_S": "1", "BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": "off", "BOT_SCORES": "off"}
    journal = folder / "history.jsonl"
    with Sandbox(world, clock=SandboxClock(), schedule=schedule, journal=journal) as sandbox:
        sandbox.faults = Weather(share, seed)
        bot = Installation(sandbox=sandbox, root=folder, settings=settings)
        with running(bot) as daemon:
            ends = schedule.round(FIRST_ROUND + rounds - 1).closes_at
            sandbox.tournament.wait_for(lambda: False, timeout_s=(ends - datetime.now(UTC)).total_seconds())
            log = daemon.log
    return _result(folder, schedule, read_history(journal), _events(log), rounds)


def _result(
    folder: Path, schedule: Schedule, history: list[dict[str, Any]], log: list[dict[str, Any]], rounds: int
) -> Storm:
    found = Storm(rounds=rounds, faults=Counter(line["kind"] for line in history if line["event"] == "fault"))
    for one in judge(history, ledgers=[folder / "state" / "ledger.sqlite"]):
        {"I1": found.doubled, "I3": found.late}.get(one.promise, found.wrong).append(f"{one.promise} {one.detail}")
    created = Counter((line["round"], line["sha256"]) for line in history if line["event"] == "created")
    found.doubled += [f"round {number}: {n} times one content" for (number, _), n in created.items() if n > CREATES]
    with closing(Ledger(folder / "state" / "ledger.sqlite")) as ledger:
        entries = {number: ledger.entry(number, SLOT) for number in range(FIRST_ROUND, FIRST_ROUND + rounds)}
    for number, entry in entries.items():
        window = schedule.round(number)
        if entry is not None and entry.state == "confirmed":
            since = datetime.fromisoformat(entry.confirmed_at) - window.opens_at
            found.confirmed[number] = since.total_seconds()
        else:
            found.missed[number] = list(_story(window.opens_at, window.closes_at, history, log))
    return found


def _story(
    opens_at: datetime, closes_at: datetime, history: list[dict[str, Any]], log: list[dict[str, Any]]
) -> Iterator[str]:
    """Yield what the bot logged and what the sandbox did in a window, by the seconds since it opened."""
    faults = ((line["at"], f"fault: {line['operation']} {line['kind']} {line['phase']}", line) for line in history if line["event"] == "fault")  # fmt: skip
    effects = (
        (line["at"], f"server: {line['event']}", line) for line in history if line["event"] in ("created", "placed")
    )
    said = ((line.get("timestamp", ""), f"bot: {line['event']} {_details(line)}", line) for line in log)
    for at, text, _ in sorted((*faults, *effects, *said), key=lambda one: one[0]):
        since = (_moment(at) - opens_at).total_seconds()
        if -3 <= since <= (closes_at - opens_at).total_seconds() + 3:
            yield f"{since:6.1f} s  {text}"


def _details(line: Mapping[str, Any]) -> str:
    wanted = ("reason", "caused_by", "error", "rung", "exception", "seconds", "retry_num", "wait_for")
    return ", ".join(f"{name} {str(line[name])[:160]!r}" for name in wanted if name in line)


def _moment(at: str) -> datetime:
    moment = datetime.fromisoformat(at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _events(log: Path) -> list[dict[str, Any]]:
    found = []
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # a line of a library, or one that is being written
            continue
        if isinstance(event, dict) and event.get("event") not in QUIET and event.get("timestamp"):
            found.append(event)
    return found
