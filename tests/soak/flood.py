"""A flood of the daemon's port in full: ``python -m tests.soak.flood``."""

import sys
import tempfile
import time
from pathlib import Path

from bot.sandbox.world.generate import generate
from tests.harness.flood import play
from tests.soak.counts import record

COUNT = 1100


def main() -> int:
    """Play every attack with more connections than a process has descriptors."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bot-soak-") as name:
        world = generate(Path(name) / "world", size="tiny")
        flooded = play(world.directory, Path(name), count=COUNT)
    print(f"{flooded}; {time.monotonic() - began:.0f} s", *flooded.breaches, sep="\n", flush=True)
    record("flood", samples=sum(flooded.sent.values()), breaches=len(flooded.breaches))
    return int(bool(flooded.breaches))


if __name__ == "__main__":
    sys.exit(main())
