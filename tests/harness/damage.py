"""R12, R13, R22: flipped bits, truncated files, changed schemas, and a process killed while it writes the ledger."""

import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from bot.data.download import fetch
from bot.errors import ArtifactInvalid, DatasetIncomplete
from bot.record.ledger import Ledger, LiveFileRecord
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.mutations import MUTATIONS
from bot.sandbox.referee import judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.system.kill_points import listening
from bot.tournament.client import NumeraiClient
from tests.harness.installation import FIRST_ROUND, OPENED
from tests.harness.trials import Bots, Tally

SAME, FILLED, REFUSED, LATER = "same", "filled", "refused", "later"
DECISIONS = {
    "features_added": SAME, "columns_reordered": SAME, "rows_reordered": SAME, "int16": SAME, "float32": SAME,
    "one_dropped": REFUSED, "some_dropped": REFUSED, "last_dropped": REFUSED, "all_dropped": REFUSED,
    "one_repeated": LATER, "one_as_list": REFUSED, "others_added": SAME, "written_otherwise": SAME,
    "one_renamed": REFUSED, "nulls": FILLED, "nans": FILLED, "out_of_range": FILLED, "fractions": FILLED, "coded_anew": REFUSED, "coded_as_before_v5": REFUSED,
    "some_missing": FILLED, "bins_merged": REFUSED,
    "no_rows": LATER, "half_the_rows": LATER, "twice_the_rows": LATER, "ids_repeated": LATER, "no_ids": LATER,
    "an_old_era": LATER, "two_eras": LATER, "no_era": LATER,
}  # fmt: skip
"""The bot's decision about each change of the live file: ignore it, fill as trained, refuse the artifact, or wait."""


def spoiled(content: bytes, count: int, *, truncations: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield copies with one flipped bit each, then truncated copies."""
    drawn = random.Random(seed)
    for _ in range(count):
        bit = drawn.randrange(8 * len(content))
        copy = bytearray(content)
        copy[bit // 8] ^= 1 << bit % 8
        yield f"bit {bit}", bytes(copy)
    for _ in range(truncations):
        size = drawn.randrange(len(content))
        yield f"{size} bytes", content[:size]


def damaged_artifact(artifacts: Path, *, flips: int, truncations: int) -> Tally:
    """Damage each file of an artifact in turn; none may open."""
    tally = Tally(name="R12 artifact")
    store = ArtifactStore(artifacts)
    (identity,) = store.champions("demo")[:1]
    files = sorted(path for path in (artifacts / identity).iterdir() if path.is_file())
    for nth, path in enumerate(files):
        content = path.read_bytes()
        share = (flips + nth) // len(files), (truncations + nth) // len(files)
        for what, copy in spoiled(content, share[0], truncations=share[1], seed=nth):
            path.write_bytes(copy)
            tally.trials += 1
            try:
                store.open(identity)
                tally.breaches.append(f"{path.name}: {what} was accepted")
            except ArtifactInvalid:
                pass
        path.write_bytes(content)
    store.open(identity)
    return tally


def damaged_live(bots: Bots, world: World, folder: Path, *, flips: int, truncations: int) -> Tally:
    """Damage the live file between two runs; the next run must fetch it again and send the same predictions."""
    tally = Tally(name="R12 live file")
    with _played(world, folder) as (sandbox, state):
        sandbox.faults.add(Fault(operation="submissions", kind="status", times=10**6))
        live = state / "rounds" / str(FIRST_ROUND) / "v5.3" / "live.parquet"
        bots.attempt(sandbox, state)
        sound = live.read_bytes()
        for what, copy in spoiled(sound, flips, truncations=truncations):
            live.write_bytes(copy)
            with sqlite3.connect(state / "ledger.sqlite") as database:
                database.execute("DELETE FROM submission")
            database.close()
            attempt = bots.attempt(sandbox, state)
            tally.trials += 1
            if live.read_bytes() != sound or "ledger.intend:after" not in attempt.passed:
                tally.breaches.append(f"{what}: {attempt.error}")
    return tally


def damaged_download(world: World, folder: Path, *, flips: int, truncations: int) -> Tally:
    """Damage the live file during the download, or leave a part of another one; the published file must be the server's."""
    tally = Tally(name="R12 download")
    with _played(world, folder) as (sandbox, _):
        key = {"public_id": DEMO_ACCOUNT.public_id, "secret_key": DEMO_ACCOUNT.secret_key}
        client, path = NumeraiClient(api_url=sandbox.url, **key), folder / "live.parquet"
        fetch(client, "v5.3/live.parquet", path)
        sound, part = path.read_bytes(), folder / ".live.parquet.part"
        path.unlink()
        for what, copy in spoiled(sound, flips, truncations=truncations // 2):

            def rot(name: str, copy: bytes = copy) -> None:
                if name == "part.sync:after":
                    part.write_bytes(copy)

            tally.trials += 1
            try:
                with listening(rot):
                    fetch(client, "v5.3/live.parquet", path)
                tally.breaches.append(f"{what} was accepted")
            except DatasetIncomplete:
                if path.exists():
                    tally.breaches.append(f"{what} was published")
        for what, left in spoiled(sound[::-1], 0, truncations=truncations - truncations // 2):
            part.write_bytes(left)
            tally.trials += 1
            if fetch(client, "v5.3/live.parquet", path) and path.read_bytes() != sound:
                tally.breaches.append(f"spliced onto {what}")
    return tally


def changed_schema(bots: Bots, world: World, folder: Path) -> Tally:
    """Apply each change to the live file of a second round; compare the bot's decision with ``DECISIONS``."""
    tally = Tally(name="R13 schema")
    healthy = _second_round(bots, world, folder, None)[1]
    for name in MUTATIONS:
        status, sent, breaches = _second_round(bots, world, folder, name)
        decision = {0: SAME if sent == healthy else FILLED, 65: REFUSED, 75: LATER}.get(status, str(status))
        tally.trials += 1
        tally.breaches += breaches
        if decision != DECISIONS[name]:
            tally.breaches.append(f"{name}: {decision}, not {DECISIONS[name]}")
    return tally


def _second_round(bots: Bots, world: World, folder: Path, change: str | None) -> tuple[int, list[str], list[str]]:
    with _played(world, folder) as (sandbox, state):
        bots.attempt(sandbox, state)
        sandbox.clock.advance(timedelta(days=1))
        if change is not None:
            sandbox.faults.add(Fault(operation="rounds", kind="schema_change", message=change, seconds=9e4))
        status = bots.attempt(sandbox, state).status
        held = [one.content for one in sandbox.tournament.submissions if one.round == FIRST_ROUND + 1]
        breaches = judge(read_history(folder / "history.jsonl"), ledgers=[state / "ledger.sqlite"])
    return status, sorted(held[0].decode().splitlines()) if held else [], [f"{change}: {one}" for one in breaches]


class _played:  # noqa: N801 - a context manager
    """A sandbox with one open round, and a folder for a bot's state."""

    def __init__(self, world: World, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
        schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
        self.folder = folder
        self.sandbox = Sandbox(world, clock=clock, schedule=schedule, journal=folder / "history.jsonl")

    def __enter__(self) -> tuple[Sandbox, Path]:
        self.sandbox.start()
        return self.sandbox, self.folder / "state"

    def __exit__(self, *_: object) -> None:
        self.sandbox.stop()


def killed_ledger(folder: Path, kills: int, *, seed: int = 0) -> Tally:
    """Kill a process that writes the ledger; every acknowledged row must exist, and the file be sound."""
    tally = Tally(name="R22 ledger")
    path, drawn, acknowledged = folder / "ledger.sqlite", random.Random(seed), 0
    Ledger(path).close()
    for _ in range(kills):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _write_for_ever(path, acknowledged, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            pipe.readline()
            time.sleep(drawn.uniform(0, 0.01))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            lines = pipe.read().split()
        acknowledged = max([int(line) for line in lines], default=acknowledged + 1)
        ledger = Ledger(path)
        database = sqlite3.connect(path)
        rows = {number for (number,) in database.execute("SELECT round FROM live_file")}
        sound = database.execute("PRAGMA integrity_check").fetchone()[0]
        database.close()
        lost = set(range(1, acknowledged + 1)) - rows
        tally.breaches += [f"round {number} was acknowledged and is lost" for number in lost]
        tally.breaches += [] if sound == "ok" else [sound]
        ledger.close()
        tally.trials += 1
        tally.kills += 1
        acknowledged = max(rows)
    tally.attempts = acknowledged
    return tally


def _write_for_ever(path: Path, written: int, acknowledge: int) -> None:
    ledger = Ledger(path)
    while True:
        written += 1
        ledger.record_live_file(
            LiveFileRecord(
                round=written, version="v5.3", sha256="s", ids_sha256="i", rows=1, fetched_at=OPENED.isoformat()
            )
        )
        os.write(acknowledge, f"{written}\n".encode())
