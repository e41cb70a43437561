"""
Errors that the bot raises, sorted by what has to happen next.

::

    BotError                     1
    |- RetryLater               75   try again later: the cause may go away by itself
    |  |- NumeraiUnavailable         the API or the storage failed or returned nonsense
    |  |- RoundNotOpen               no round accepts submissions now
    |  |- DatasetIncomplete          a file is truncated, stale or not published yet
    |  |- StorageUnavailable         the storage of packs failed
    |  |- StateLocked                another process holds the state directory
    |  |- FirstTraining              no model yet; its training runs
    |  |- SlotPaused                 `bot pause` holds the slot back
    |  `- StateUnwritable            the disk is full or failing, or the ledger is busy
    |- RefuseToSubmit           65   an upload would be wrong
    |  |- SchemaMismatch             the data do not fit the artifact
    |  |- GateFailed                 a check of the submission failed
    |  |- ArtifactInvalid            an artifact is damaged or does not replay
    |  |- CommandFailed              a member's own program failed or predicted nothing usable
    |  `- LeakageRefused             a computation would use targets that were not known at its time
    `- OperatorNeeded           78   only a person can fix it
       |- BadConfig                  a setting is wrong or missing
       |  `- LedgerDamaged              the record of rounds cannot be read
       |- BadCredentials             the key is wrong, missing or lacks a scope
       |- StateForbidden             a file is another user's, or its file system is read-only
       |- CannotSplit                too few labelled eras for training, validation and hold-out
       `- NoChampion                 no artifact has been promoted yet

Numbers are exit codes. A message is one line: the problem, its cause, and how to fix it.
"""

from collections.abc import Iterable, Sequence
from typing import Any


class BotError(Exception):
    """
    Base class of all errors that the bot raises on purpose.

    Attributes:
        exit_code: Exit code of the command line.
        advice: What a person may do about any error of its kind; the command line prints it after the message.
    """

    exit_code = 1
    advice = ""

    def __str__(self) -> str:
        """Return the message in one line; names from outside may hold line ends and control characters."""
        return "".join(character if character.isprintable() else " " for character in super().__str__())


class RetryLater(BotError):
    """The same step may succeed later although nobody changes anything."""

    exit_code = 75


class NumeraiUnavailable(RetryLater):
    """
    Numerai's API or storage failed, timed out or returned nonsense.

    Attributes:
        retry_after_s: Seconds that the server wants the client to wait, ``None`` if it named none.
        is_refusal: Whether the server answered, but refuses the request: the same one is refused again at once.
        said: What the API said in an answer without data; ``None`` where there was no such answer.
    """

    advice = "try again later; `bot doctor` checks the connection"

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, is_refusal: bool = False, said: str | None = None
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.is_refusal = is_refusal
        self.said = said


class RoundNotOpen(RetryLater):
    """No round accepts submissions now, or the round in work has closed or has been replaced by the next one."""


class DatasetIncomplete(RetryLater):
    """A downloaded file is truncated, corrupted, stale, or belongs to another round."""


class StorageUnavailable(RetryLater):
    """The storage that BOT_ARTIFACTS_URL names failed, timed out or refused the bot."""


class StateLocked(RetryLater):
    """Another process of the bot holds the state directory."""


class FirstTraining(RetryLater):
    """A recipe has no champion yet, and its first training runs. Nothing is to be done: its champion fills the round."""


class SlotPaused(RetryLater):
    """An operator has paused the slot; nothing is uploaded for it until the pause ends."""


class StateUnwritable(RetryLater):
    """A file or a row of the ledger could not be written; no upload was based on it."""


class RefuseToSubmit(BotError):
    """Going on would upload a wrong file."""

    exit_code = 65


class SchemaMismatch(RefuseToSubmit):
    """The data lack columns that the artifact was trained with, or have them with other types."""


class GateFailed(RefuseToSubmit):
    """
    At least one gate refused the submission; the message names each with its value and limit.

    Attributes:
        gates: Findings of the gates that refused, each a :class:`bot.findings.Finding`; empty where the error has no more
            than its message.
    """

    def __init__(self, message: str, *, gates: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.gates = tuple(gates)


class ArtifactInvalid(RefuseToSubmit):
    """An artifact's files do not match its manifest, or its golden batch does not replay."""


class CommandFailed(RefuseToSubmit):
    """A person's program failed, exceeded a limit, or returned predictions that cannot be used."""


class LeakageRefused(RefuseToSubmit):
    """A computation would use targets that were not yet known at the time that it stands for."""


class OperatorNeeded(BotError):
    """The step cannot succeed until a person acts."""

    exit_code = 78


class BadConfig(OperatorNeeded):
    """A setting is missing, unknown or contradictory."""


class LedgerDamaged(BadConfig):
    """The ledger cannot be read: it has to be restored from a backup."""


class BadCredentials(OperatorNeeded):
    """The API key is missing, wrong or revoked, or lacks a scope."""


class StateForbidden(OperatorNeeded):
    """A file or folder of the bot belongs to another user, or lies on a read-only file system."""


class CannotSplit(OperatorNeeded):
    """There are too few labelled eras for the requested blocks and embargoes."""


class NoChampion(OperatorNeeded):
    """No artifact of the recipe has been promoted yet."""


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name, ``; did you mean medium?``; empty where no known name is near."""
    import difflib  # noqa: PLC0415 - only a message needs it

    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def suggestion_or_all(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name: the nearest known name, or all of them, ``; known: a, b``."""
    names = sorted(known)
    return suggestion(name, names) or f"; known: {', '.join(names)}"
