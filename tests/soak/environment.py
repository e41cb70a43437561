"""Every command in odd surroundings: ``python -m tests.soak.environment``."""

import sys

from tests.harness.outputs import Played, round_open
from tests.harness.surroundings import can_be_another_user, play, play_another_user
from tests.soak.counts import record
from tests.soak.stage import trained


def main() -> int:
    """Play all cases; print the counts and every breach."""
    with trained() as (world, artifacts, folder):
        with round_open(world.directory, artifacts, folder / "own") as installation:
            played = play(installation)
        another = Played(name="environment, another user")
        if can_be_another_user():
            with round_open(world.directory, artifacts, folder / "others") as installation:
                installation.submit(max_exposure=1.0)
                another = play_another_user(installation)
    print(played, *played.breaches, another, *another.breaches, sep="\n", flush=True)
    record(
        "environment",
        samples=played.cases + another.cases,
        breaches=len(played.breaches) + len(another.breaches),
    )
    return int(bool(played.breaches or another.breaches))


if __name__ == "__main__":
    sys.exit(main())
