"""Commands of the bot, one after another in one process, on a terminal or a pipe of a given kind."""

import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.docs.markdown import ROOT
from tests.harness.installation import LIMIT_S, Installation
from tests.harness.terminal import converse

SCRIPT = """
import sys
from bot.cli.main import main
for words in sys.argv[1:]:
    sys.argv = ["bot", *words.split()]
    print(f"BEGIN {words}", flush=True)
    code = 0
    try:
        main()
    except SystemExit as end:
        code = end.code or 0
    print(f"\\nEND {code}", flush=True)
"""
RUN = re.compile(r"BEGIN ([^\r\n]+)\r?\n(.*?)\r?\nEND (\d+)", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Run:
    """
    What a command showed, standard error included on a terminal.

    Attributes:
        text: The text.
        code: Exit code.
    """

    text: str
    code: int


def run_all(
    installation: Installation, commands: Sequence[str], environment: Mapping[str, str], *, terminal: bool
) -> dict[str, Run]:
    """Return what each command showed on a terminal, or else in a pipe as ASCII, by its words."""
    call = [sys.executable, "-c", SCRIPT, *commands]
    outside = {**installation.environment, "PYTHONPATH": str(ROOT), **environment}
    if terminal:
        shown = converse(call, [], environment=outside, folder=installation.root, limit_s=LIMIT_S).shown
    else:
        done = subprocess.run(
            call, env=outside, cwd=installation.root, capture_output=True, check=False, timeout=LIMIT_S
        )
        shown = done.stdout.decode("ascii")
    return {words: Run(text=text, code=int(code)) for words, text, code in RUN.findall(shown)}
