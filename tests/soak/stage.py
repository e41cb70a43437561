"""What a soak needs before it begins: a world, an artifact trained on it, and a warm bot."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from bot.sandbox import Sandbox, SandboxClock
from bot.sandbox.world import World, generate
from tests.integration.conftest import Installation
from tests.soak.trials import OPENED, Bots, Tally, bots

Soak = Callable[[Bots, World, Path], Iterable[Tally]]


def stage(soak: Soak, *, preload: Callable[[Path], Path] | None = None) -> int:
    """Make world and artifact in a temporary folder, run *soak*, print its counts; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="bot-soak-") as name:
        root = Path(name)
        world = generate(root / "world", size="tiny")
        with Sandbox(world, clock=SandboxClock(OPENED)) as sandbox:
            trained = Installation(sandbox=sandbox, root=root)
            result = trained.bot("retrain")
            if result.returncode != 0:
                sys.stderr.write(result.stderr)
                return 1
        broken = 0
        with bots(trained.state / "artifacts", preload=preload(root) if preload else None) as runner:
            began = time.monotonic()
            for tally in soak(runner, World.open(root / "world"), root / "trial"):
                print(f"{tally}; {time.monotonic() - began:.0f} s", flush=True)
                for breach in tally.breaches:
                    print(f"  {breach}")
                broken += len(tally.breaches)
        return 1 if broken else 0
