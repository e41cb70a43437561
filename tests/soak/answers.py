"""Every query with changed answers: ``python -m tests.soak.answers``."""

import sys

from tests.harness.answers import play
from tests.soak.counts import record


def main() -> int:
    """Play every change of every answer."""
    played = play()
    print(*played.breaches, played, sep="\n", flush=True)
    record("answers", samples=played.mutants, breaches=len(played.breaches))
    return int(bool(played.breaches))


if __name__ == "__main__":
    sys.exit(main())
