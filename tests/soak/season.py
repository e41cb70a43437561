"""R5, R24 in full: ``python -m tests.soak.season``."""

import sys
from datetime import timedelta

from tests.harness.season import GOALS, failing, play, quiet
from tests.soak.stage import trained


def main() -> int:
    """Run everything at full length."""
    quiet()
    broken = False
    with trained() as (world, artifacts, folder):
        for share, goal in GOALS:
            season = play(
                f"R5 {share:.0%} errors", world, artifacts, folder / f"r5-{share}", rounds=1000, plan=failing(share)
            )
            print(season, flush=True)
            broken |= bool(season.breaches) or season.percentile(99.9) > goal
        season = play(
            "R5 outage to T+45 min", world, artifacts, folder / "outage", rounds=100, outage=timedelta(minutes=45)
        )
        print(season, flush=True)
        broken |= bool(season.breaches) or max(season.seconds) > 47 * 60
        season = play("R24", world, artifacts, folder / "r24", rounds=365, slots=3, plan=failing(0.2))
        print(season, flush=True)
        broken |= bool(season.breaches)
    return int(broken)


if __name__ == "__main__":
    sys.exit(main())
