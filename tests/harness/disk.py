"""
R11: the n-th write, sync, rename or removal of a round fails with ENOSPC or EIO, for every n.

The failing disk is a C library (``failing.c``) that is preloaded into the bot, so that SQLite's writes fail too.
"""

import errno
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bot.record.ledger import Ledger
from bot.sandbox.referee import Breach
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.trials import Attempt, Bots, Tally, trial

EXPECTED = (0, 75, 78)
"""Allowed exit statuses: done, try later, or needs the operator to make room; never a crash or a refusal."""


def build(folder: Path) -> Path:
    """
    Compile the failing disk.

    Raises:
        RuntimeError: There is no C compiler.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("no C compiler")
    library = folder / "failing.so"
    source = Path(__file__).with_name("failing.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    return library


def sweep(bots: Bots, world: World, folder: Path, *, errors: Sequence[int], step: int = 1, start: int = 1) -> Tally:
    """Fail one operation of a round after another; after each the bot must recover by itself."""
    tally = Tally(name="R11 failing disk")
    for number in errors:
        for fail in range(start, 1000, step):
            unreadable: list[Breach] = []

            def look(_: Sandbox, state: Path, attempt: Attempt, found: list[Breach] = unreadable) -> None:
                if (state / "ledger.sqlite").is_file():
                    Ledger(state / "ledger.sqlite").close()
                if attempt.status not in EXPECTED:
                    found.append(Breach(promise="R11", detail=f"exit status {attempt.status}, {attempt.error}"))

            outcome = trial(bots, world, folder, between=look, fail=fail, errno=number)
            outcome.breaches += unreadable
            if len(outcome.attempts) > 2:
                outcome.breaches.append(Breach(promise="R11", detail=f"recovered in run {len(outcome.attempts)} only"))
            tally.add(outcome, f"{errno.errorcode[number]} at {fail}")
            if len(outcome.attempts) == 1 and not outcome.attempts[0].hit:
                break
    return tally
