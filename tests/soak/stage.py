"""Set up a soak: a world, an artifact trained on it, and a zygote of the bot."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World, generate
from tests.harness.installation import OPENED, Installation
from tests.harness.trials import Bots, Tally, bots

Soak = Callable[[Bots, World, Path], Iterable[Tally]]


@contextmanager
def trained() -> Iterator[tuple[World, Path, Path]]:
    """Generate a world and train an artifact on it in a temporary folder; yield world, artifacts and the folder."""
    with tempfile.TemporaryDirectory(prefix="bot-soak-") as name:
        root = Path(name)
        world = generate(root / "world", size="tiny")
        with Sandbox(world, clock=SandboxClock(OPENED)) as sandbox:
            made = Installation(sandbox=sandbox, root=root)
            result = made.bot("retrain")
            if result.returncode != 0:
                raise RuntimeError(result.stderr)
        yield World.open(root / "world"), made.state / "artifacts", root


def stage(soak: Soak, *, preload: Callable[[Path], Path] | None = None) -> int:
    """Run *soak* on a trained world and print its counts; return the exit status."""
    broken = 0
    with (
        trained() as (world, artifacts, root),
        bots(artifacts, preload=preload(root) if preload else None) as runner,
    ):
        began = time.monotonic()
        for tally in soak(runner, world, root / "trial"):
            print(f"{tally}; {time.monotonic() - began:.0f} s", flush=True)
            for breach in tally.breaches:
                print(f"  {breach}")
            broken += len(tally.breaches)
    return 1 if broken else 0
