"""
Play the README's five steps against the embedded tournament, and put what they print into it.

A block of the README that begins with ``$ bot`` holds commands and their whole output. World, model and predictions are those
of `bot demo`; the round opened a minute ago.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.sandbox.clock import SandboxClock
from bot.sandbox.demo import FIRST_ROUND, settings_for
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import generate
from bot.system.child_environment import ISOLATED, child_environment

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"^```text\n(\$ bot .*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ bot (.+)$", re.MULTILINE)
WIDTH = "100"
HOME = "/home/you/numerai"
"""Stands for the folder of the run."""


def commands(text: str) -> list[str]:
    """Return the commands of the README's blocks, in their order."""
    return [command for block in BLOCK.findall(text) for command in COMMAND.findall(block)]


@contextmanager
def played(
    root: Path, *, opened: datetime, schedule: Schedule | None = None
) -> Iterator[tuple[dict[str, str], SandboxClock]]:
    """Serve a tournament; yield the environment of a bot that plays it in *root*, and the clock, a minute after *opened*."""
    world = generate(root / "world", size="tiny")
    clock = SandboxClock(opened + timedelta(minutes=1))
    schedule = schedule or Schedule(first_round=FIRST_ROUND, first_open=opened, window=timedelta(hours=26))
    with Sandbox(world, clock=clock, schedule=schedule) as sandbox:
        outside = {name: value for name, value in child_environment().items() if not name.upper().startswith("BOT_")}
        about = {**outside, **settings_for(sandbox.url, Path("state")), "COLUMNS": WIDTH, "PYTHONIOENCODING": "utf-8"}
        for name in ("BOT_MODE", "BOT_RECIPE"):  # the steps write these into bot.toml
            del about[name]
        yield about, clock


def output(command: str, environment: dict[str, str], root: Path) -> str:
    """Run ``bot`` *command* in *root*; return what it prints on standard output, without spaces at line ends."""
    done = subprocess.run(  # noqa: S603 - this interpreter and the README's own commands
        [*ISOLATED, "-m", "bot", *command.split()],
        env=environment,
        cwd=root,
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        raise SystemExit(f"`bot {command}` ended with exit code {done.returncode}: {done.stdout}{done.stderr}")
    shown = done.stdout.replace(str(root), HOME)
    return "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())


def renewed(text: str) -> str:
    """Return the README with the output of its commands as they print it now."""
    opened = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    with (
        tempfile.TemporaryDirectory(prefix="first-steps-") as folder,
        played(Path(folder), opened=opened) as (environment, _),
    ):

        def again(block: re.Match[str]) -> str:
            shown = (f"$ bot {one}\n{output(one, environment, Path(folder))}" for one in COMMAND.findall(block[1]))
            return "```text\n" + "\n".join(shown) + "\n```"

        return BLOCK.sub(again, text)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
