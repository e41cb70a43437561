"""Rounds with planned kills and faults, each checked by the referee from its records alone."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault, Plan
from bot.sandbox.referee import Breach, judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

DELAY = timedelta(seconds=61)
"""Longest delay of an effect."""

PATIENCE = 80
"""Number of attempts after which a round counts as lost."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Result of one run of the bot: its exit status, the kill points that it passed, and its error."""

    status: int
    passed: list[str]

    @property
    def error(self) -> str:
        """Return the error that ended the run; empty for none."""
        return "; ".join(line for line in self.passed if line.startswith("error:"))

    @property
    def hit(self) -> bool:
        """Return whether the failing disk has failed."""
        return "hit" in self.passed

    @property
    def kill_points(self) -> list[str]:
        """Return the kill points in order."""
        return [line for line in self.passed if line.endswith((":before", ":after"))]


@dataclass(kw_only=True)
class Outcome:
    """Result of a trial."""

    attempts: list[Attempt]
    breaches: list[Breach]
    history: list[dict]

    def count(self, event: str) -> int:
        """Return how often the history holds an event."""
        return sum(line["event"] == event for line in self.history)

    @property
    def kills(self) -> int:
        """Return how often the bot was killed."""
        return sum(one.status == -9 for one in self.attempts)


@dataclass(kw_only=True)
class Tally:
    """Counts over trials, printed as one line."""

    name: str
    trials: int = 0
    kills: int = 0
    faults: int = 0
    attempts: int = 0
    repeated: int = 0
    breaches: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome, label: str) -> None:
        """Count a trial."""
        self.trials += 1
        self.kills += outcome.kills
        self.attempts += len(outcome.attempts)
        self.faults += outcome.count("fault")
        self.repeated += max(outcome.count("created") - 1, 0)
        self.breaches += [f"{label}: {one.promise} {one.detail}" for one in outcome.breaches]

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.trials} trials, {self.attempts} runs, {self.kills} kill -9, {self.faults} faults,"
            f" {self.repeated} repeated creates, {len(self.breaches)} breaches"
        )


class Bots:
    """A zygote process that forks one bot at a time."""

    def __init__(self, artifacts: Path, *, preload: Path | None = None) -> None:
        environment = {**os.environ, **({"LD_PRELOAD": str(preload)} if preload else {})}
        environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
        command = [sys.executable, "-W", "ignore", "-m", "tests.harness.zygote", str(artifacts)]
        self.artifacts = artifacts
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        if self._process.stdout.readline().strip() != "ready":
            raise RuntimeError("the zygote did not start")

    def attempt(self, sandbox: Sandbox, state: Path, **asked: object) -> Attempt:
        """Run one bot."""
        line = json.dumps({"url": sandbox.url, "state": str(state), "artifacts": str(self.artifacts), **asked})
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return Attempt(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the zygote."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


@contextmanager
def bots(artifacts: Path, *, preload: Path | None = None) -> Iterator[Bots]:
    """Start a zygote; end it at the end."""
    started = Bots(artifacts, preload=preload)
    try:
        yield started
    finally:
        started.close()


def trial(
    runner: Bots,
    world: World,
    folder: Path,
    *,
    faults: Sequence[Fault] = (),
    plan: Plan | None = None,
    kills: Sequence[int | None] = (),
    between: Callable[[Sandbox, Path, Attempt], None] | None = None,
    minutes: float = 0.0,
    **asked: object,
) -> Outcome:
    """
    Play one round with planned kills and faults, and check it.

    Args:
        runner: Source of bots.
        world: Data of the tournament.
        folder: Folder for state and history; removed before and after.
        faults: Faults that always happen.
        plan: Plan of drawn faults.
        kills: Number of the kill point at which each attempt dies; later attempts are not killed.
        between: Called after every attempt that failed.
        minutes: Minutes by which the clock moves between attempts.
        asked: Options of the first attempt.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    state, journal = folder / "state", folder / "history.jsonl"
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    attempts: list[Attempt] = []
    with Sandbox(world, clock=clock, schedule=schedule, plan=plan, journal=journal) as sandbox:
        for fault in faults:
            sandbox.faults.add(fault)
        while len(attempts) < PATIENCE:
            kill = kills[len(attempts)] if len(attempts) < len(kills) else None
            details = asked if not attempts else {name: value for name, value in asked.items() if name == "read_s"}
            attempts.append(runner.attempt(sandbox, state, kill=kill, **details))
            if attempts[-1].status == 0:
                break
            if between is not None:
                between(sandbox, state, attempts[-1])
            clock.advance(timedelta(minutes=minutes))
        # Delayed effects arrive now.
        clock.advance(DELAY)
        sandbox.tournament.settle()
    history = read_history(journal)
    breaches = judge(history, ledgers=[state / "ledger.sqlite"], owed=[(FIRST_ROUND, SLOT)])
    if attempts[-1].status != 0:
        breaches.append(Breach(promise="I5", detail=f"never confirmed: {attempts[-1].error}"))
    shutil.rmtree(folder)
    return Outcome(attempts=attempts, breaches=breaches, history=history)
