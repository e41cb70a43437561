"""A conversation with a command through a pseudo-terminal, as a person has it."""

import os
import pty
import select
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """
    What a terminal showed.

    Attributes:
        shown: Everything, echoed answers included.
        code: Exit code of the command.
    """

    shown: str
    code: int


def converse(
    command: Sequence[str],
    answers: Iterable[tuple[str, str]],
    *,
    environment: Mapping[str, str],
    folder: Path,
    limit_s: float = 300.0,
) -> Conversation:
    """
    Run a command on a terminal of its own and answer its questions.

    Args:
        command: Program and arguments.
        answers: End of each question that is waited for, and the line to type then.
        environment: Its variables.
        folder: Its working folder.
        limit_s: Longest wait in seconds for a question, or for the end.

    Raises:
        TimeoutError: A question did not come; the message has what was shown until then.
    """
    child, terminal = pty.fork()
    if child == 0:
        try:
            os.chdir(folder)
            os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - the command of the test
        finally:
            os._exit(127)
    shown = ""
    try:
        for question, answer in answers:
            shown += _until(terminal, question, shown, limit_s)
            os.write(terminal, f"{answer}\n".encode())
        shown += _until(terminal, None, shown, limit_s)
    finally:
        os.close(terminal)
        _, status = os.waitpid(child, 0)
    return Conversation(shown=shown, code=os.waitstatus_to_exitcode(status))


def _until(terminal: int, question: str | None, before: str, limit_s: float) -> str:
    """Return what is shown until a question ends, or until the command does."""
    shown, end = "", time.monotonic() + limit_s
    # The space after a question is written when its answer can be typed: what is typed before is dropped with a secret's echo.
    while question is None or not shown.endswith(f"{question} "):
        if not select.select([terminal], [], [], max(0.0, end - time.monotonic()))[0]:
            raise TimeoutError(f"{question!r} was not asked within {limit_s:g} s: {before}{shown}")
        try:
            part = os.read(terminal, 4096)
        except OSError:  # the command has ended
            part = b""
        if not part:
            if question is None:
                return shown
            raise TimeoutError(f"{question!r} was not asked before the end: {before}{shown}")
        shown += part.decode(errors="replace")
    return shown
