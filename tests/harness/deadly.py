"""
`bot` with artifacts that kill their process or never return while they load or score.

``deadly.json`` in the state directory has the way of each artifact, and optionally the longest scoring in seconds.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bot.serving.scorer import Scorer
from bot.submission import _turns

WAYS = ("kill", "hang", "hang with the lock", "kill on load", "hang on load")
LATE_S = 1e6


def arm(ways: Mapping[str, str], *, report: Callable[[str, str], object] = lambda _identity, _way: None) -> None:
    """Let the artifacts in *ways* die so in this process from now on, after *report* was called with id and way."""
    score, load = Scorer.score, Scorer.__init__

    def deadly_score(self, *about, **more):
        if not ways.get(self.artifact.id, "on load").endswith("on load"):
            report(self.artifact.id, ways[self.artifact.id])
            _die(ways[self.artifact.id])
        return score(self, *about, **more)

    def deadly_load(self, artifact, **more):
        if ways.get(artifact.id, "").endswith("on load"):
            report(artifact.id, ways[artifact.id])
            _die(ways[artifact.id])
        load(self, artifact, **more)

    Scorer.score, Scorer.__init__ = deadly_score, deadly_load


def _die(way: str) -> None:
    if way.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "hang with the lock":
        ctypes.PyDLL(None).sleep(int(LATE_S))  # unlike CDLL, it keeps Python's lock
    time.sleep(LATE_S)


if __name__ == "__main__":
    from bot.cli.main import main

    about = json.loads((Path(os.environ["BOT_STATE_DIR"]) / "deadly.json").read_text(encoding="utf-8"))
    _turns.LONGEST_S = about.get("longest_s", _turns.LONGEST_S)
    arm(about["ways"])
    sys.argv[0] = "bot"
    main()
