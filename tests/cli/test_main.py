"""The entry of every command."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IGNORED = """
import signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from bot.cli import main
main.app = lambda **_: print(signal.getsignal(signal.SIGCHLD).name)
main.main()
"""


def test_exit_codes_of_children_are_kept_whatever_the_parent_ignored():
    """A supervisor that ignores SIGCHLD hands this down; the kernel would then report every failed training as a success."""
    done = subprocess.run([sys.executable, "-c", IGNORED], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "SIG_DFL\n"
