"""R12, R13, R22 in full: ``python -m tests.soak.damage``."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bot.sandbox.world.generate import World
from tests.harness.damage import changed_schema, damaged_artifact, damaged_download, damaged_live, killed_ledger
from tests.harness.trials import Bots, Tally
from tests.soak.stage import stage


def full(bots: Bots, world: World, folder: Path) -> Iterator[Tally]:
    """Run everything at full length."""
    yield damaged_artifact(bots.artifacts, flips=400, truncations=200)
    yield damaged_download(world, folder, flips=400, truncations=200)
    yield damaged_live(bots, world, folder, flips=400, truncations=200)
    yield changed_schema(bots, world, folder)


def main() -> int:
    """Kill the ledger in a process without threads, then the rest; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="bot-soak-") as name:
        tally = killed_ledger(Path(name), 200)
    sys.stdout.write(f"{tally}\n")
    return stage(full) or int(bool(tally.breaches))


if __name__ == "__main__":
    sys.exit(main())
