"""
Rounds whose champions die while they score: each must be confirmed by the best fallback that scores, before the guard.

Every attempt is a process of its own. Waits are virtual: the limit of a scoring passes at once when it hangs, and the
sandbox's clock is advanced by it.
"""

import itertools
import json
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.record.ledger import Entry, Ledger
from bot.sandbox.clock import SandboxClock
from bot.sandbox.referee import judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.tournament.rounds import CLOSE_GUARD
from tests.harness.deadly import WAYS
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT
from tests.harness.trials import Bots, Tally

SCORING_S, AGAIN_S = 3.0, 8.0
"""Assumed seconds of an attempt without its waits, and from its death to the first request of the next."""

TURN_S = 15.0
"""Seconds of a turn that hangs where time is short."""

LEFT_S = (3300.0, 900.0, 240.0, 120.0, 60.0, 40.0)
"""Seconds before the guard at which the first attempt begins."""

LONG_S = 900.0
"""Seconds before the guard from which on every champion has two tries."""

SOUND = "sound"


@dataclass(frozen=True, kw_only=True)
class Case:
    """
    A round.

    Attributes:
        ways: How each champion dies, the current one first; ``sound`` for not at all.
        times: Attempts in which a champion dies so; later it scores.
        left_s: Seconds before the guard at the first attempt.
    """

    ways: tuple[str, ...]
    times: int
    left_s: float

    @property
    def needed_s(self) -> float:
        """Return the seconds in which every champion above the first sound one can die once."""
        dying = itertools.takewhile(lambda way: way != SOUND, self.ways)
        return sum((TURN_S if "hang" in way else SCORING_S) + AGAIN_S for way in dying) + SCORING_S


def cases(count: int, *, champions: int, seed: int = 0) -> Iterator[Case]:
    """Yield drawn cases: each has a way, a number of champions and a time left; the last champion is sound."""
    drawn = random.Random(seed)
    for place in range(count):
        dying = 1 + place % (champions - 1)
        first = WAYS[place % len(WAYS)]
        others = [drawn.choice((*WAYS, *WAYS, SOUND)) for _ in range(dying - 1)]
        yield Case(ways=(first, *others, SOUND), times=drawn.choice((1, 2, 99, 99)), left_s=LEFT_S[place % len(LEFT_S)])


def another_four(store: ArtifactStore) -> tuple[str, ...]:
    """Write copies of the only champion; return the ids of all five, newest first."""
    (known,) = store.champions("demo")
    whole = store.open(known)
    files = {name: whole.path(name) for name in whole.manifest["files"]}
    for day in range(4):
        made = store.write(files=files, manifest=dict(whole.manifest), at=datetime(2026, 12, 1 + day, tzinfo=UTC))
        store.promote("demo", made.id)
    return store.champions("demo")


def ladder(bots: Bots, world: World, folder: Path, played: Iterable[Case]) -> Tally:
    """Play a round of each case with the champions of *bots*."""
    tally = Tally(name="ladder")
    known = ArtifactStore(bots.artifacts).champions("demo")
    for case in played:
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "artifacts" / "champions").mkdir(parents=True)
        champions = known[: len(case.ways)]
        for one in champions:
            (folder / "artifacts" / one).symlink_to(bots.artifacts / one)
        pointer = json.dumps({"champion": champions[0], "previous": champions[1:]})
        (folder / "artifacts" / "champions" / "demo.json").write_text(pointer, encoding="utf-8")
        tally.trials += 1
        tally.breaches += [f"{case}: {breach}" for breach in _play(bots, world, folder, case, champions, tally)]
    shutil.rmtree(folder, ignore_errors=True)
    return tally


def _play(bots: Bots, world: World, folder: Path, case: Case, champions: Sequence[str], tally: Tally) -> Iterator[str]:
    state, journal = folder / "state", folder / "history.jsonl"
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    guard_at = schedule.round(FIRST_ROUND).closes_at - CLOSE_GUARD
    clock = SandboxClock(guard_at - timedelta(seconds=case.left_s), rate=0)
    ways, died = dict(zip(champions, case.ways, strict=True)), Counter[str]()
    with Sandbox(world, clock=clock, schedule=schedule, journal=journal) as sandbox:
        while clock.now() < guard_at:
            deadly = {one: way for one, way in ways.items() if way != SOUND and died[one] < case.times}
            asked = {"artifacts": str(folder / "artifacts"), "deadly": deadly}
            attempt = bots.attempt(sandbox, state, **asked)
            tally.attempts += 1
            dead = [line.removeprefix("died:") for line in attempt.passed if line.startswith("died:")]
            if not dead:
                break
            died.update(dead)
            waited_s = _limit_s(state, dead[0]) if "hang" in ways[dead[0]] else 0.0
            clock.advance(timedelta(seconds=SCORING_S + AGAIN_S + waited_s))
    tally.kills += sum(died.values())
    yield from map(str, judge(read_history(journal), ledgers=[state / "ledger.sqlite"]))
    entry = _entry(state)
    if entry is not None and entry.state == "confirmed":
        yield from _unjust(entry, champions, ways, died, case)
    elif case.needed_s < case.left_s:
        yield f"not confirmed after {dict(died)}: {attempt.status} {attempt.error}"


def _unjust(
    entry: Entry, champions: Sequence[str], ways: Mapping[str, str], died: Counter[str], case: Case
) -> Iterator[str]:
    """Yield what is wrong with the choice of the fallback."""
    for better in champions[: champions.index(entry.artifact)]:
        if died[better] < (2 if case.left_s >= LONG_S else 1):
            yield f"{better} ({ways[better]}) was passed over after {died[better]} deaths: {entry.passed_over}"
        if better not in entry.passed_over:
            yield f"{better} is not named in {entry.passed_over!r}"
    if max(died.values(), default=0) > 2:
        yield f"an artifact had more than two tries: {dict(died)}"


def _limit_s(state: Path, artifact: str) -> float:
    """Return the limit of an artifact's last scoring in seconds."""
    with closing(sqlite3.connect(state / "ledger.sqlite")) as database:
        (limit_s,) = database.execute("SELECT limit_s FROM scoring WHERE artifact = ?", (artifact,)).fetchone()
    return float(limit_s)


def _entry(state: Path) -> Entry | None:
    with closing(Ledger(state / "ledger.sqlite")) as ledger:
        return ledger.entry(FIRST_ROUND, SLOT)
