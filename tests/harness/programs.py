"""A slot of `bot run` that a person's program fills, and rounds in which the program fails in some way."""

import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from bot.record.ledger import Ledger
from bot.sandbox.clock import SandboxClock
from bot.sandbox.referee import judge, read_history
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation
from tests.harness.process import running, until
from tests.harness.trials import Tally

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ROUND = timedelta(minutes=30)
LIMIT_S = 900.0
"""Longest wait for a round in seconds; many times what it takes, so that a busy machine fails no test."""

SOUND = "sound"
WAYS = {
    SOUND: "",
    "SIGKILL": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "hang": "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
    "wrong ids": "live.index = live.index.str.replace('n', 'm')",
    "6 GB": "held = bytearray(6 << 30)",
    "NaN": "model.predict = lambda rows: [float('nan')] * len(rows)",
    "constant": "model.predict = lambda rows: [0.5] * len(rows)",
    "prints": "while True: print('x' * 100_000)",
    "large file": "open('large', 'wb').truncate(5 << 30)",
    "exit": "raise SystemExit(3)",
    "network": "import urllib.request; urllib.request.urlopen('http://192.0.2.1', timeout=5)",
    "daemon": "import os, time\nif not os.fork():\n    os.setsid()\n    time.sleep(600)\nraise SystemExit(1)",
}
"""Lines that are run in the program after it has read its files."""

RECIPE = """
[members.mine]
kind = "command"
command = ["python", "predict.py"]
time_s = 20
"""


def write_program(installation: Installation, *, way: Path | None = None) -> Path:
    """
    Write the documentation's program and its recipe; return the program's folder.

    Args:
        installation: Bot that gets the recipe ``mine``.
        way: File whose lines the program runs in every round; none where it is absent.
    """
    folder = installation.root / "recipes" / "mine"
    shutil.copytree(EXAMPLES / "program", folder)
    (folder.parent / "mine.toml").write_text(RECIPE, encoding="utf-8")
    data = installation.state / "data" / "v5.3"
    subprocess.run([sys.executable, folder / "train.py", data], check=True)
    if way is not None:
        program = folder / "predict.py"
        read, predict = program.read_text(encoding="utf-8").split('live["prediction"]', 1)
        fail = f"import pathlib\nway = pathlib.Path({str(way)!r})\nexec(way.read_text() if way.is_file() else '')\n"
        program.write_text(f'{read}{fail}live["prediction"]{predict}', encoding="utf-8")
    return folder


def drawn(count: int, *, seed: int = 0) -> tuple[str, ...]:
    """Return the ways of *count* rounds: each way in turn, in an order that is drawn."""
    ways = [list(WAYS)[place % len(WAYS)] for place in range(count)]
    random.Random(seed).shuffle(ways)
    return tuple(ways)


def play(world: World, trained: Path, root: Path, ways: Sequence[str]) -> Tally:
    """
    Play a round of `bot run` for each way; the recipe ``demo`` is the fallback of the program's.

    Args:
        world: World of the tournament.
        trained: State directory with a champion of ``demo``.
        root: Folder of the bot.
        ways: Way in which the program fails in each round.
    """
    tally = Tally(name="programs")
    shutil.copytree(trained, root / "state")
    schedule = Schedule.every(ROUND, window=ROUND - timedelta(seconds=1), first_round=FIRST_ROUND, first_open=OPENED)
    clock, journal, way = SandboxClock(OPENED, rate=0), root / "history.jsonl", root / "way.py"
    settings = {"BOT_TICK_S": "0.3", "BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": "off", "BOT_SCORES": "off"}
    settings |= {"BOT_RECIPE": "mine", "BOT_FALLBACK": "demo", "BOT_DIAGNOSTICS": "off"}
    with Sandbox(world, clock=clock, schedule=schedule, journal=journal) as sandbox:
        bot = Installation(sandbox=sandbox, root=root, settings=settings)
        write_program(bot, way=way)
        adopted = bot.bot("adopt", "mine")
        if adopted.returncode != 0:
            tally.breaches.append(f"not adopted: {adopted.stderr}")
            return tally
        with running(bot) as daemon:
            for place, name in enumerate(ways):
                way.write_text(WAYS[name], encoding="utf-8")
                clock.advance(schedule.round(FIRST_ROUND + place).opens_at + timedelta(seconds=1) - clock.now())
                tally.trials += 1
                tally.breaches += _breaches(daemon, bot, FIRST_ROUND + place, name)
    tally.breaches += map(str, judge(read_history(journal), ledgers=[bot.state / "ledger.sqlite"]))
    if left := [path.name for path in bot.state.glob("command-*")]:
        tally.breaches.append(f"folders of runs are left: {left}")
    return tally


def _breaches(daemon, bot: Installation, number: int, name: str) -> Iterator[str]:
    """Yield what is wrong with the submission of a round."""

    def confirmed():
        ledger = Ledger(bot.state / "ledger.sqlite")
        try:
            entry = ledger.entry(number, SLOT)
        finally:
            ledger.close()
        return entry if entry is not None and entry.state == "confirmed" else None

    try:
        entry = until(confirmed, LIMIT_S, f"round {number} is not confirmed")
    except TimeoutError as error:
        yield f"{name}: {error}: {daemon.log.read_text(encoding='utf-8')[-2000:]}"
        return
    wanted = "champion" if name == SOUND else "fallback recipe"
    if entry.filled_by != wanted:
        yield f"{name}: round {number} was filled by {entry.filled_by}, not {wanted}: {entry.passed_over}"
    if name != SOUND and "member mine: `python predict.py`" not in entry.passed_over:
        yield f"{name}: round {number} does not name the command: {entry.passed_over!r}"
