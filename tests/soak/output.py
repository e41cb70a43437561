"""Every command under every kind of output that cannot be written: ``python -m tests.soak.output``."""

import sys

from tests.harness.outputs import KINDS, Played, play, play_daemon, round_open
from tests.soak.counts import record
from tests.soak.stage import trained


def main() -> int:
    """Play all commands and the daemon; print the counts and every breach."""
    with trained() as (world, artifacts, folder):
        with round_open(world.directory, artifacts, folder / "commands") as installation:
            played = play(installation)
        for number, kind in enumerate(KINDS):
            with round_open(world.directory, artifacts, folder / f"daemon-{number}") as installation:
                daemon = Played(name="output")
                play_daemon(installation, kind, daemon)
            played.cases += daemon.cases
            played.breaches += daemon.breaches
    print(played, *played.breaches, sep="\n", flush=True)
    record("output", samples=played.cases, breaches=len(played.breaches))
    return int(bool(played.breaches))


if __name__ == "__main__":
    sys.exit(main())
