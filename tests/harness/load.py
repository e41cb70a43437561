"""
R17: a round opens while every core trains, and after the trainer was killed for lack of memory.

A real ``bot run`` retrains as its job. Beside it run as many ``bot retrain`` as there are cores, at ordinary priority and
with one thread a core each.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from bot.sandbox.clock import SandboxClock
from bot.sandbox.referee import judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation
from tests.harness.process import Running, running, until

GOAL_S = 120.0
EVERY, WINDOW = timedelta(hours=2), timedelta(hours=1)
CORES = os.cpu_count() or 1
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(CORES))
RECIPE = "busy"
TRAINING = """
base = "demo"

[network]
epochs = 10000
patience = 100000
evaluations_per_epoch = 2
"""
"""Recipe that trains until it is killed, and saves a checkpoint every few seconds."""

MEMORY = Path("/sys/fs/cgroup/memory")
"""Folder of memory control groups. Without access to it, the trainer gets SIGKILL from the test instead of the kernel."""


@dataclass(kw_only=True)
class Load:
    """Result of the rounds: seconds from opening to confirmation, under load and after each death of the trainer."""

    loaded: list[float] = field(default_factory=list)
    after_death: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    steps: list[tuple[int, int]] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    @property
    def longest(self) -> float:
        """Return the longest time to a confirmed round."""
        return max([*self.loaded, *self.after_death])

    def __str__(self) -> str:
        return (
            f"R17 load: {len(self.loaded)} rounds under load, confirmed {max(self.loaded):.0f} s after the opening at most;"
            f" {len(self.after_death)} after the trainer died ({', '.join(self.outcomes)}), {max(self.after_death):.0f} s at most;"
            f" cores {min(self.busy):.0f} % busy at least;"
            f" died at step, went on from: {', '.join(f'{died} {first}' for died, first in self.steps)};"
            f" {len(self.breaches)} breaches"
        )


def play(world: World, state: Path, folder: Path, *, cycles: int, burners: int = CORES, tick_s: float = 20.0) -> Load:
    """
    Open a round under load, end the trainer, open the next one, and see the trainer go on; *cycles* times.

    Args:
        world: The data.
        state: Of an installation that has retrained the demo recipe.
        folder: For everything that is written.
        cycles: How often; every other time the kernel itself ends the trainer, where memory can be made to run out.
        burners: Of ``bot retrain`` beside the daemon's own.
        tick_s: The daemon's ``BOT_TICK_S``.
    """
    load, journal = Load(), folder / "history.jsonl"
    schedule = Schedule.every(EVERY, window=WINDOW, first_round=FIRST_ROUND, first_open=OPENED)
    clock = SandboxClock(OPENED - timedelta(minutes=10))
    with Sandbox(world, clock=clock, schedule=schedule, journal=journal) as sandbox:
        settings = {"BOT_RECIPE": RECIPE, "BOT_TICK_S": str(tick_s), "BOT_RETRAIN": "5s", "BOT_SYNC": "off"} | THREADS
        daemon = _install(Installation(sandbox=sandbox, root=folder / "bot", settings=settings), state)
        with _burners(sandbox, state, folder, burners) as others, running(daemon) as bot, _group(bot) as group:
            for cycle in range(cycles):
                number = FIRST_ROUND + 2 * cycle
                died = _evaluated(bot)
                _each(others, signal.SIGCONT)
                psutil.cpu_percent()
                clock.set(schedule.round(number).opens_at - timedelta(seconds=1))
                load.loaded.append(bot.confirmed(schedule, number, limit_s=2 * GOAL_S))
                load.busy.append(psutil.cpu_percent())
                died = max(died, *(one["step"] for one in bot.events("network.evaluated")))
                _each(others, signal.SIGSTOP)
                load.outcomes.append(_end_trainer(bot, group if cycle % 2 else None))
                _each(others, signal.SIGCONT)
                clock.set(schedule.round(number + 1).opens_at - timedelta(seconds=1))
                load.after_death.append(bot.confirmed(schedule, number + 1, limit_s=2 * GOAL_S))
                _each(others, signal.SIGSTOP)
                load.steps.append((died, _evaluated(bot)))
            bot.process.send_signal(signal.SIGTERM)
            if bot.process.wait(timeout=60) != 0:
                load.breaches.append(f"the daemon ended with {bot.process.returncode}")
        verified = daemon.bot("verify")
    if verified.returncode != 0:
        load.breaches.append(f"bot verify: {verified.stderr}")
    left = [path.name for path in daemon.state.glob("retrain-*/")]
    load.breaches += [f"left in the state directory: {name}" for name in left[1:]]
    load.breaches += [
        f"a trainer died at step {died} and the next began at {first}" for died, first in load.steps if first <= died
    ]
    owed = [(FIRST_ROUND + place, SLOT) for place in range(2 * cycles)]
    found = judge(read_history(journal), ledgers=[daemon.state / "ledger.sqlite"], owed=owed)
    load.breaches += [f"{one.promise} {one.detail}" for one in found]
    return load


def _install(installation: Installation, state: Path) -> Installation:
    """Copy the data into a new state directory; make the demo recipe's champion that of the recipe that never ends."""
    (installation.root / "recipes").mkdir(parents=True)
    (installation.root / "recipes" / f"{RECIPE}.toml").write_text(TRAINING, encoding="utf-8")
    for name in ("artifacts", "data", "store"):
        shutil.copytree(state / name, installation.state / name)
    store = ArtifactStore(installation.state / "artifacts")
    known = store.open(store.champions("demo")[0])
    files = {name: known.path(name) for name in known.manifest["files"]}
    manifest = {**known.manifest, "recipe": {**known.manifest["recipe"], "name": RECIPE}}
    store.promote(RECIPE, store.write(files=files, manifest=manifest, at=datetime(2026, 12, 1, tzinfo=UTC)).id)
    return installation


@contextmanager
def _burners(sandbox: Sandbox, state: Path, folder: Path, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start *count* ``bot retrain``; yield them once they train, stopped by SIGSTOP."""
    burners: list[subprocess.Popen[bytes]] = []
    logs = [folder / f"burner{number}" / "log" for number in range(count)]
    try:
        for log in logs:
            one = _install(Installation(sandbox=sandbox, root=log.parent, settings=THREADS), state)
            command = one.command("retrain", "--recipe", RECIPE)
            with log.open("w", encoding="utf-8") as file:
                burners.append(subprocess.Popen(command, env=one.environment, cwd=one.root, stderr=file))
        until(lambda: all("network: seed" in log.read_text(encoding="utf-8") for log in logs), 120, "no load")
        _each(burners, signal.SIGSTOP)
        yield burners
        ended = [one.returncode for one in burners if one.poll() is not None]
        if ended:
            raise RuntimeError(f"the load ended by itself: {ended}")
    finally:
        _each(burners, signal.SIGKILL)
        for one in burners:
            one.wait()


def _each(burners: list[subprocess.Popen[bytes]], number: int) -> None:
    """Send a signal to all of them."""
    for one in burners:
        one.send_signal(number)


def _evaluated(bot: Running) -> int:
    """Wait for the next checkpoint of the daemon's trainer; return its step."""
    known = len(bot.events("network.evaluated"))
    until(lambda: len(bot.events("network.evaluated")) > known, 180, "the trainer does not get on")
    return int(bot.events("network.evaluated")[known]["step"])


def _end_trainer(bot: Running, group: Path | None) -> str:
    """Kill the daemon's trainer during its work; return how, and the outcome that the daemon logged."""
    trainer = bot.child("retrain")
    if trainer is None:
        raise RuntimeError("the daemon has no trainer")
    if Path(f"/proc/{trainer.pid}/oom_score_adj").read_text(encoding="ascii").strip() != "500":
        raise RuntimeError("the trainer is not the first to go when memory runs out")
    finished = len(bot.events("chore.finished"))
    if group is None:
        trainer.kill()
        ended = _job(bot, finished)
    else:
        with _no_memory(group):
            ended = _job(bot, finished)
    return f"{'SIGKILL' if group is None else 'out of memory'}: {ended}"


def _job(bot: Running, finished: int) -> str:
    """Wait until the daemon has logged the end of its trainer; return the outcome."""
    ended = until(lambda: bot.events("chore.finished")[finished:], 60, "the trainer is alive")
    return str(ended[0]["outcome"])


@contextmanager
def _group(bot: Running) -> Iterator[Path | None]:
    """Put the daemon and its children into a memory control group, like a container; yield its folder or ``None``."""
    group = MEMORY / f"numerai-bot-soak-{bot.process.pid}"
    if not os.access(MEMORY, os.W_OK):
        yield None
        return
    group.mkdir()
    (group / "cgroup.procs").write_text(str(bot.process.pid), encoding="ascii")
    yield group
    group.rmdir()


@contextmanager
def _no_memory(group: Path) -> Iterator[None]:
    """Let a process of the group exhaust its memory, so that the kernel kills another one of the group."""
    used = int((group / "memory.usage_in_bytes").read_text(encoding="ascii"))
    limit = group / "memory.limit_in_bytes"
    limit.write_text(str(used + (32 << 20)), encoding="ascii")
    greedy = subprocess.Popen(
        [sys.executable, "-c", "input(); kept = bytearray(128 << 20); input()"], stdin=subprocess.PIPE
    )
    (group / "cgroup.procs").write_text(str(greedy.pid), encoding="ascii")
    try:
        greedy.stdin.write(b"\n")
        greedy.stdin.flush()
        yield
        if greedy.poll() is not None:
            raise RuntimeError("the kernel ended another process than the trainer")
    finally:
        limit.write_text("-1", encoding="ascii")
        greedy.communicate(b"\n")
