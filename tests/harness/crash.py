"""R1, R2, R22, R23: kills at every kill point and lost answers; ledger and round survive."""

import itertools
import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bot.sandbox.faults import Fault, Plan
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness.trials import Bots, Tally, trial

OPERATIONS = (
    "rounds", "dataset", "GET", "submissions", "submission_upload_auth", "PUT", "create_submission",
)  # fmt: skip
PHASES = ("before", "after")
KINDS = ("bad_gateway", "reset", "graphql_error", "empty", "fin", "unavailable", "wrong_type")
LOST = ("bad_gateway", "reset", "html", "empty", "fin", "graphql_error", "gzip")


def kill_points(bots: Bots, world: World, folder: Path) -> list[str]:
    """Return the kill points that an undisturbed round passes, in order."""
    outcome = trial(bots, world, folder)
    if outcome.breaches:
        raise RuntimeError(f"an undisturbed round breaks promises: {outcome.breaches}")
    return outcome.attempts[0].kill_points


def every_kill_point(bots: Bots, world: World, folder: Path, *, full: bool) -> tuple[int, Tally]:
    """Kill at every kill point, once and twice, under every operation failing before and after its effect."""
    passed = kill_points(bots, world, folder)
    tally = Tally(name="R1 every kill point")
    failing = [None, *itertools.product(OPERATIONS, PHASES)]
    for kill in range(1, len(passed) + 1):
        chosen = failing if full else [failing[1 + kill % (len(failing) - 1)] if kill % 2 else None]
        for nth, what in enumerate(chosen):
            for times in (1, 2) if full else (1 + kill // 2 % 2,):
                kind = KINDS[(kill + nth) % len(KINDS)]
                faults = [] if what is None else [Fault(operation=what[0], phase=what[1], kind=kind)]
                outcome = trial(bots, world, folder, faults=faults, kills=[kill] * times)
                tally.add(outcome, f"kill {times}x at {kill} ({passed[kill - 1]}), {what} {kind}")
    return len(passed), tally


def random_seeds(bots: Bots, world: World, folder: Path, seeds: Sequence[int]) -> Tally:
    """Kill at random kill points under randomly failing operations."""
    tally = Tally(name="R1 random seeds")
    for seed in seeds:
        drawn = random.Random(seed)
        plan = Plan(seed=seed, share=drawn.choice([0.0, 0.1, 0.3, 0.5]))
        kills = [drawn.randint(1, 60) if drawn.random() < 0.6 else None for _ in range(drawn.randint(0, 5))]
        tally.add(trial(bots, world, folder, plan=plan, kills=kills), f"seed {seed}")
    return tally


def lost_answers(bots: Bots, world: World, folder: Path, *, delays: Sequence[float]) -> tuple[Tally, Tally]:
    """Lose the answers of PUT and create: first with immediate effects, then with effects up to a minute late."""
    linear, late = Tally(name="R2 lost answers"), Tally(name="R2 delayed effects")
    for operation, kind, times in itertools.product(("PUT", "create_submission"), LOST, (1, 3)):
        fault = Fault(operation=operation, kind=kind, phase="after", times=times, seconds=4.0)
        linear.add(trial(bots, world, folder, faults=[fault], read_s=3.0), f"{operation} {kind} {times}x")
    for operation, delay, times in itertools.product(("PUT", "create_submission"), delays, (1, 2)):
        fault = Fault(operation=operation, kind="status", phase="delayed", times=times, seconds=delay)
        outcome = trial(bots, world, folder, faults=[fault], minutes=0.25)
        late.add(outcome, f"{operation} {delay} s {times}x")
    return linear, late


def changed_champion(bots: Bots, world: World, folder: Path, champions: Sequence[str], *, step: int) -> Tally:
    """Promote another artifact after each kill, with the create committed late or its answer lost."""
    tally = Tally(name="R2 champion changed")
    store = ArtifactStore(bots.artifacts)
    turn = itertools.cycle(champions)

    def promote(*_: object) -> None:
        store.promote("demo", next(turn))

    for kill in range(1, len(kill_points(bots, world, folder)) + 1, step):
        promote()
        late = Fault(operation="create_submission", kind="status", phase="delayed", seconds=20)
        lost = Fault(operation="create_submission", kind="reset", phase="after")
        for fault in (late, lost):
            outcome = trial(bots, world, folder, faults=[fault], kills=[kill, kill], between=promote)
            tally.add(outcome, f"kill at {kill}, create {fault.phase}")
    return tally


def another_champion(store: ArtifactStore) -> tuple[str, str]:
    """Write a second artifact with other weights; return the ids of both."""
    (known,) = store.champions("demo")
    first = store.open(known)
    files = {name: first.path(name) for name in first.manifest["files"]}
    manifest = {**first.manifest, "weights": {"gbm": 1.0}}
    second = store.write(files=files, manifest=manifest, at=datetime(2026, 12, 1, tzinfo=UTC))
    return known, second.id


def lost_state(bots: Bots, world: World, folder: Path, *, step: int) -> Tally:
    """Delete the state directory after each kill."""
    tally = Tally(name="R23 state deleted")

    def forget(_: object, state: Path, __: object) -> None:
        shutil.rmtree(state, ignore_errors=True)

    passed = kill_points(bots, world, folder)
    for kill in range(1, len(passed) + 1, step):
        outcome = trial(bots, world, folder, kills=[kill], between=forget)
        tally.add(outcome, f"deleted at {kill} ({passed[kill - 1]})")
    return tally
