"""Every query with changed answers: ``python -m tests.soak.answers``."""

import sys

from tests.harness.answers import play


def main() -> int:
    """Play every change of every answer."""
    played = play()
    print(*played.breaches, played, sep="\n", flush=True)
    return int(bool(played.breaches))


if __name__ == "__main__":
    sys.exit(main())
