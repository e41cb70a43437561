"""``bot demo`` and ``bot sandbox``: play one round in the sandbox, or serve the sandbox."""

import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from bot.errors import BadConfig, BotError, RefuseToSubmit
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Plan
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT, demo_account
from bot.sandbox.world.generate import World, generate
from bot.sandbox.world.schema import SIZES
from bot.system import redaction
from bot.system.child_environment import ISOLATED, child_environment
from bot.system.configuration.secret_files import secrets_of_environment

OPENED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
"""Opening of the demo's round in sandbox time: a Tuesday noon."""

FIRST_ROUND = 1405
SLOT = next(iter(DEMO_ACCOUNT.models))


def play(keep: Path | None) -> dict[str, Any]:
    """
    Play one round: make a world, retrain, submit, compare the submission with the sandbox's record, and return that.

    Args:
        keep: Folder for world and state; a temporary folder if absent.

    Raises:
        BotError: A command of the bot failed. It has already printed its own message.
        RefuseToSubmit: The sandbox's record differs from the file that the bot sent.
    """
    out = Console(highlight=False, width=100)
    began = time.perf_counter()
    with _folder(keep) as root:
        out.print("[bold]A tournament in a box[/]: world of size tiny, one round, no keys, no network.")
        world = generate(root / "world", size="tiny")
        clock = SandboxClock(OPENED + timedelta(minutes=1))
        with Sandbox(world, clock=clock, schedule=Schedule(first_round=FIRST_ROUND, first_open=OPENED)) as sandbox:
            environment = {**_outside(), **settings_for(sandbox.url, root / "state")}
            environment["BOT_LOG_FORMAT"] = "console"
            for command in ("retrain", "submit --round latest", "submit --round latest"):
                out.print(f"\n[bold]$ bot {command}[/]")
                _run(command, environment, root)
            held = [one for one in sandbox.tournament.submissions if one.accepted]
        out.print("\n[bold]The sandbox's own record[/]")
        for one in held:
            out.print(f"round {one.round}, {one.slot}: {one.filename}, sha256 {one.sha256[:12]}", soft_wrap=True)
        sent = root / "state" / "rounds" / str(FIRST_ROUND) / SLOT / "predictions.csv"
        if [one.content for one in held] != [sent.read_bytes()]:
            raise RefuseToSubmit("the sandbox's record differs from the file that the bot sent")
        seconds = time.perf_counter() - began
        out.print(f"It holds exactly one submission, byte for byte the bot's own. {seconds:.0f} s.")
        if keep is None:
            out.print("World, state and report are removed now; `bot demo --keep FOLDER` keeps them.")
        submissions = [
            {"round": one.round, "slot": one.slot, "file": one.filename, "sha256": one.sha256} for one in held
        ]
        return {"submissions": submissions, "seconds": seconds, "folder": keep and str(root)}


def serve(
    *,
    datasets: Path | None,
    world: Path,
    size: str,
    port: int,
    every_s: float,
    window_s: float,
    host: str,
    models: str = SLOT,
    faults: Path | None = None,
    history: Path | None = None,
    announce: Callable[[dict[str, Any]], None],
) -> None:
    """
    Serve a tournament until SIGINT or SIGTERM.

    Args:
        datasets: Folder of files that are served as the data of every round; a generated world if absent.
        world: Folder of the generated world.
        size: Size of a new world.
        port: Port to listen on.
        every_s: Seconds from one opening to the next.
        window_s: Seconds a round stays open.
        host: Address to listen on.
        models: Names of the account's models, separated by commas.
        faults: File with a plan of faults.
        history: File to which every effect, fault and event is appended.
        announce: Called once it listens, with its address and the settings that reach it.

    Raises:
        BadConfig: An argument is wrong, or the address cannot be used.
    """
    if not 0 < window_s <= every_s:
        raise BadConfig(f"--window-s {window_s:g} must be over 0 and at most --every-s {every_s:g}")
    names = tuple(dict.fromkeys(filter(None, map(str.strip, models.split(",")))))
    if not names:
        raise BadConfig(f"--models {models!r} names no model; write names separated by commas")
    plan = _plan(faults)
    source = _source(datasets, world, size)
    # A bot that has already seen rounds of this world needs new rounds, under new numbers.
    played = source.played if isinstance(source, World) else 0
    schedule = Schedule.every(
        timedelta(seconds=every_s),
        window=timedelta(seconds=window_s),
        first_round=FIRST_ROUND + played,
        first_open=datetime.now(UTC).replace(microsecond=0),
    )
    try:
        clock = SandboxClock(datetime.now(UTC))
        served = Sandbox(
            source,
            clock=clock,
            schedule=schedule,
            accounts=[demo_account(names)],
            host=host,
            port=port,
            first_era=played,
            plan=plan,
            journal=history,
        )
    except OSError as error:
        raise BadConfig(f"cannot listen on {host}:{port}: {error.strerror}; choose another --host or --port") from None
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with served as sandbox:
        settings = settings_for(sandbox.url, Path("state"))
        if len(names) > 1:
            settings["BOT_SLOTS"] = ",".join(f"{name}={settings['BOT_RECIPE']}" for name in names)
        announce({"url": sandbox.url, "record": f"{sandbox.url}sandbox/record", "settings": settings})
        stop.wait()


def show_key() -> None:
    """Let the sandbox's key, which is public, be printed also where the environment holds it; other secrets stay hidden."""
    redaction.forget()
    redaction.hide({*secrets_of_environment()} - {DEMO_ACCOUNT.public_id, DEMO_ACCOUNT.secret_key})


def _source(datasets: Path | None, world: Path, size: str) -> Path | World:
    """Return the data to serve: the folder of given files, an existing world, or a new one."""
    if datasets is not None:
        if not list(datasets.glob("*/live.parquet")):
            raise BadConfig(
                f"{datasets} holds no <version>/live.parquet, such as v5.3/live.parquet, to serve as a round"
            )
        return datasets
    if (world / "truth" / "world.json").is_file():
        return World.open(world)
    if size not in SIZES:
        raise BadConfig(f"--size {size!r} is unknown; sizes: {', '.join(SIZES)}")
    print(f"making a {size} world in {world}", file=sys.stderr)  # noqa: T201 - standard output is for the address
    return generate(world, size=size)


def _plan(path: Path | None) -> Plan | None:
    try:
        return None if path is None else Plan.load(path)
    except (OSError, ValueError, TypeError) as error:
        raise BadConfig(f"--faults {path}: {error}") from None


def settings_for(url: str, state: Path) -> dict[str, str]:
    """Return the environment variables of a bot that plays against the sandbox at *url*."""
    return {
        "NUMERAI_PUBLIC_ID": DEMO_ACCOUNT.public_id,
        "NUMERAI_SECRET_KEY": DEMO_ACCOUNT.secret_key,
        "BOT_API_URL": url,
        "BOT_STATE_DIR": str(state),
        "BOT_MODE": "live",
        "BOT_RECIPE": "demo",
        "BOT_STARTER": "false",  # the recipe `demo` trains as fast
    }


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="bot-demo-") as folder:
        yield Path(folder)


def _run(command: str, environment: dict[str, str], folder: Path) -> None:
    """Run a command of the bot in a process of its own."""
    result = subprocess.run(  # noqa: S603 - this interpreter and our own arguments
        [*ISOLATED, "-m", "bot", *command.split()], env=environment, cwd=folder, check=False, stdout=sys.stdout
    )
    if result.returncode != 0:
        raise BotError(f"`bot {command}` ended with exit code {result.returncode}")


def _outside() -> dict[str, str]:
    """Return the environment without settings and keys of the bot."""
    return {name: value for name, value in child_environment().items() if not name.upper().startswith("BOT_")}
