"""
CPU seconds of `--help` of every command, and of `bot status` on a state directory with 90 rounds.

Every run is its own process with warm files and without a network: proxies and API address lead nowhere. A start is one
thread that does not wait, so its CPU seconds equal its wall time on an idle machine. The goal is a multiple of the CPU seconds
that importing typer and rich takes in the same run, because machines differ; wall time and load are printed beside it.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from measure import save

GOAL, GOAL_WITH_A_VALUE = 2.0, 3.0
"""Most CPU seconds, as a multiple of those of ``REFERENCE``; for a value in the command, typer imports pydantic."""

REFERENCE = "import typer, rich.console"
ROUNDS = 90
"""Rounds of the state directory; predictions of that many rounds are kept."""

OPENED = datetime(2026, 8, 1, 13, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9/"
"""Port of the discard service, which refuses every connection at once."""


class Start(NamedTuple):
    """CPU seconds and wall seconds of several runs."""

    cpu_s: list[float]
    wall_s: list[float]

    def ratio(self, reference: "Start") -> float:
        """Return the CPU seconds as a multiple of those of *reference*."""
        return statistics.median(self.cpu_s) / statistics.median(reference.cpu_s)


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command of *command*, groups among them."""
    yield path
    for name, one in sorted(getattr(command, "commands", {}).items()):
        yield from commands(one, (*path, name))


def write_state(state: Path) -> None:
    """Write a state directory with rounds, events, jobs and a champion."""
    from bot.record.ledger import Entry, Ledger, LiveFileRecord
    from bot.serving.artifacts import ArtifactStore
    from bot.tournament.rounds import Round

    store = ArtifactStore(state / "artifacts")
    recipe = {"name": "standard", "neutralize": 0.0}
    served = {"members": [], "weights": {}, "target": "target_ender_60", "neutralizers": [], "scores": {}}
    about = {**served, "recipe": recipe, "data_version": "v5.3"}
    champion = store.write(files={}, manifest=about, at=OPENED).id
    store.promote("standard", champion)
    ledger = Ledger(state / "ledger.sqlite")
    for number in range(1405, 1405 + ROUNDS):
        at = OPENED + timedelta(days=number - 1405)
        ledger.record_round(Round(number=number, opens_at=at, closes_at=at + timedelta(hours=1)))
        digests = {"sha256": f"{number:064x}", "ids_sha256": f"{number:064x}"}
        ledger.record_live_file(
            LiveFileRecord(round=number, version="v5.3", rows=6_900, fetched_at=at.isoformat(), **digests)
        )
        ledger.intend(
            Entry(
                round=number, slot="mixer", state="intended", token=f"r{number}-mixer", csv_sha256=digests["sha256"],
                data_sha256=digests["sha256"], artifact=champion, submission_id=None, filename=None,
                intended_at=at.isoformat(), confirmed_at=None,
            )
        )  # fmt: skip
        ledger.confirm(number, "mixer", submission_id=f"s{number}", filename=f"r{number}-mixer.csv", at=at)
    for name in ("retrain", "sync", "backup", "scores"):
        ledger.start_job(name, OPENED)
        ledger.finish_job(name, OPENED, "ok")
    ledger.close()


def time_python(arguments: tuple[str, ...], environment: dict[str, str], folder: Path, runs: int) -> Start:
    """Run Python once to warm up, then *runs* times."""
    found = Start([], [])
    for _ in range(runs + 1):
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, check=False
        )
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            sys.exit(f"python {' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()}")
        found.cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        found.wall_s.append(wall)
    return Start(found.cpu_s[1:], found.wall_s[1:])


def main() -> None:
    """Measure every command, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="accepted as in every bench; there is nothing to scale"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import typer

    from bot.cli.main import app

    helps = [(*words, "--help") for words in commands(typer.main.get_command(app))]
    with tempfile.TemporaryDirectory(prefix="start-up-") as scratch:
        state = Path(scratch) / "state"
        write_state(state)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_", "NUMERAI_"))}
        environment |= dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "BOT_API_URL"), NOWHERE)
        environment |= {"BOT_STATE_DIR": str(state), "BOT_MODE": "live", "PYTHONPATH": sys.path[0]}
        a_round = ("status", str(1405 + ROUNDS - 1))
        starts = [*helps, ("status",), ("status", "--json"), a_round]
        goals = {" ".join(words): GOAL_WITH_A_VALUE if words == a_round else GOAL for words in starts}
        measured = (environment, Path(scratch), options.runs)
        reference = time_python(("-c", REFERENCE), *measured)
        found = {" ".join(words): time_python(("-m", "bot", *words), *measured) for words in starts}
    print(f"median of {options.runs} runs; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"reference: python -c '{REFERENCE}': {statistics.median(reference.cpu_s):.3f} CPU s")
    print(f"{'bot ...':<34}{'CPU s':>8}{'ratio':>7}{'goal':>6}{'wall s':>8}{'fastest':>9}")
    for name, one in found.items():
        cpu, wall, ratio = statistics.median(one.cpu_s), statistics.median(one.wall_s), one.ratio(reference)
        verdict = "missed" if ratio > goals[name] else ""
        print(f"{name:<34}{cpu:8.3f}{ratio:7.2f}{goals[name]:6.1f}{wall:8.3f}{min(one.wall_s):9.3f}   {verdict}")
    save(
        options.json,
        {
            "goals": goals,
            "runs": options.runs,
            "reference": reference._asdict(),
            "starts": {name: one._asdict() for name, one in found.items()},
        },
    )
    if any(one.ratio(reference) > goals[name] for name, one in found.items()):
        sys.exit("missed")


if __name__ == "__main__":
    main()
