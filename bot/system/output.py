"""
Standard output and standard error that cannot harm the bot: writing to them never raises and never shows a secret.

A terminal that is gone, a full disk, a closed descriptor or a pipe without a reader costs the text and nothing else: the
exit code is that of the command.
"""

import io
import os
import select
import signal
import sys
from contextlib import suppress

from bot.system.redaction import redact

PATIENCE_S = 1.0
"""Longest wait in seconds for a reader of standard error. A round does not wait for a paused terminal or a full pipe."""

PLAIN = str.maketrans(
    {"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "·": "-", "…": "...", "→": "->", "±": "+/-", "²": "^2"}
)
"""What an encoding without these characters shows in their place."""

_AT_ONCE = 512
"""Bytes that a pipe or terminal which is ready takes without a wait."""


class GuardedOutput(io.TextIOBase):
    """
    A text stream on a file descriptor.

    It writes at once, so that nothing is left to write when the interpreter ends: a failure there would be exit code 120.

    Args:
        descriptor: The file descriptor.
        name: Name of the stream.
        encoding: Encoding of the text; what it cannot express is shown by :data:`PLAIN`, or escaped.
        patience_s: Longest wait for a reader, in seconds; ``None`` waits without a limit.
    """

    def __init__(self, descriptor: int, *, name: str, encoding: str, patience_s: float | None) -> None:
        self._descriptor, self._encoding, self._patience_s = descriptor, encoding, patience_s
        self._stuck = False
        self.name, self.mode = name, "w"

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute in typeshed
        """Return the encoding, which libraries choose their characters by."""
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        """Return the name of the treatment of characters that the encoding lacks."""
        return "backslashreplace"

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether the stream is a terminal that is still there."""
        with suppress(OSError):
            return os.isatty(self._descriptor)
        return False

    def writable(self) -> bool:
        """Return that text may be written."""
        return True

    def write(self, text: str) -> int:
        """Write *text* without its secrets as far as that is possible; return its length in any case."""
        if not isinstance(text, str):  # libraries find out by this error that a stream takes no bytes
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        left = memoryview(self._encoded(redact(text)))
        with suppress(OSError):  # EIO, ENOSPC, EBADF, EPIPE: the text is lost, the work is not
            while left:
                if self._patience_s is not None and not self._is_ready(self._patience_s):
                    break
                try:
                    left = left[os.write(self._descriptor, left if self._patience_s is None else left[:_AT_ONCE]) :]
                except BlockingIOError:  # another process has made the shared terminal non-blocking
                    self._is_ready(self._patience_s)
        return len(text)

    def _encoded(self, text: str) -> bytes:
        try:
            return text.encode(self._encoding)
        except UnicodeEncodeError:
            return text.translate(PLAIN).encode(self._encoding, "backslashreplace")

    def _is_ready(self, patience_s: float | None) -> bool:
        """Wait for the reader, but only once while it does not read."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        limit_ms = None if patience_s is None else 0 if self._stuck else int(patience_s * 1000)
        self._stuck = not poll.poll(limit_ms)
        return not self._stuck


def guard_output() -> None:
    """Guard the standard streams of this process, unless somebody has replaced them."""
    _reserve_descriptors()
    # A terminal may stop background processes that write to it (`stty tostop`).
    with suppress(ValueError):  # only the main thread may; another one is not the start of a program
        signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    for descriptor, name, patience_s in ((1, "stdout", None), (2, "stderr", PATIENCE_S)):
        stream = getattr(sys, name)
        if isinstance(stream, GuardedOutput) or stream is not getattr(sys, f"__{name}__"):
            continue
        encoding = getattr(stream, "encoding", None) or "utf-8"
        guarded = GuardedOutput(descriptor, name=f"<{name}>", encoding=encoding, patience_s=patience_s)
        setattr(sys, name, guarded)


def _reserve_descriptors() -> None:
    """Open the null device where a standard descriptor is closed: the next file opened, such as a ledger, would take it."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)  # noqa: FBT003 - the function's only form
