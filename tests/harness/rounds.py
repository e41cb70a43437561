"""
R3 and R4: thousands of rounds, each with its own fault, without an upload to the wrong round or after a close.

One bot keeps its state through all of them. A round's fault is drawn from its number: stale or spliced live files, a
rollover or a close during each step, a start in the last minute, failing answers. Numerai decides when
``create_submission`` arrives; a rollover at exactly that moment is left out, because no client can detect it.
"""

import random
import shutil
from datetime import timedelta
from pathlib import Path

from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault, Faults, Plan
from bot.sandbox.referee import judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT
from tests.harness.trials import Attempt, Bots, Tally

STEPS = (
    ("rounds", "after"), ("dataset", "before"), ("dataset", "after"), ("GET", "before"), ("submissions", "before"),
    ("submission_upload_auth", "before"), ("submission_upload_auth", "after"), ("PUT", "before"), ("PUT", "after"),
)  # fmt: skip
INTERVAL, WINDOW = timedelta(hours=2), timedelta(hours=1)
KINDS = ("none", "answers", "stale", "stale_for_long", "spliced", "rollover", "close", "last_minute", "too_late")
LOST = ("rollover", "close", "last_minute", "too_late")
"""Faults under which a round may end without a submission."""


def add_fault(sandbox: Sandbox, state: Path, number: int, seed: int) -> str:
    """Apply the fault of a round; return its name."""
    drawn = random.Random(f"{seed}/{number}")
    kind = drawn.choice(KINDS)
    sandbox.faults = Faults(Plan(seed=number, share=0.2 if kind in ("answers", "rollover", "close") else 0.0))
    operation, phase = drawn.choice(STEPS)
    match kind:
        case "stale":
            sandbox.faults.add(Fault(operation="GET", kind="stale_live", times=drawn.randint(1, 3)))
        case "stale_for_long":
            sandbox.faults.add(Fault(operation="rounds", kind="data_stale", seconds=drawn.choice([90, 300])))
        case "spliced":
            folder = state / "rounds" / str(number) / "v5.3"
            folder.mkdir(parents=True, exist_ok=True)
            before = state / "rounds" / str(number - 1) / "v5.3" / "live.parquet"
            left = before.read_bytes()[: drawn.randint(1, 9000)] if before.is_file() else b"PAR1"
            (folder / ".live.parquet.part").write_bytes(left)
            (folder / "live.parquet").write_bytes(left)
        case "rollover" | "close":
            sandbox.faults.add(Fault(operation=operation, kind=kind, phase=phase, skip=drawn.randint(0, 1)))
        case "last_minute":
            sandbox.clock.advance(WINDOW - timedelta(seconds=drawn.randint(45, 75)))
        case "too_late":
            sandbox.clock.advance(WINDOW + timedelta(seconds=drawn.randint(1, 60)))
    return kind


def season(bots: Bots, world: World, folder: Path, rounds: int, *, seed: int = 0) -> tuple[Tally, dict[str, int]]:
    """Play *rounds* rounds; return the counts, and the number of confirmed rounds by fault."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    state, journal = folder / "state", folder / "history.jsonl"
    schedule = Schedule.every(INTERVAL, window=WINDOW, first_round=FIRST_ROUND, first_open=OPENED)
    tally, confirmed, owed = Tally(name="R3 R4 season"), dict.fromkeys(KINDS, 0), []
    with Sandbox(world, clock=SandboxClock(OPENED, rate=0), schedule=schedule, journal=journal) as sandbox:
        for number in range(FIRST_ROUND, FIRST_ROUND + rounds):
            sandbox.clock.set(schedule.round(number).opens_at + timedelta(seconds=1))
            kind = add_fault(sandbox, state, number, seed)
            last = _play(bots, sandbox, state, number, tally)
            confirmed[kind] += last.status == 0
            if kind not in LOST:
                owed.append((number, SLOT))
    history = read_history(journal)
    tally.trials = rounds
    tally.faults = sum(line["event"] in ("fault", "event") for line in history)
    created = [line for line in history if line["event"] == "created"]
    tally.repeated = len(created) - len({line["round"] for line in created})
    breaches = judge(history, ledgers=[state / "ledger.sqlite"], owed=owed)
    tally.breaches = [f"{one.promise} {one.detail}" for one in breaches]
    shutil.rmtree(folder)
    return tally, confirmed


def _play(bots: Bots, sandbox: Sandbox, state: Path, number: int, tally: Tally) -> Attempt:
    """Run bots until the round is confirmed or closed."""
    while True:
        attempt = bots.attempt(sandbox, state)
        tally.attempts += 1
        sandbox.clock.advance(timedelta(minutes=1))
        current = sandbox.tournament.current()
        if attempt.status == 0 or current is None or current.number != number:
            return attempt
