"""
Every error the bot raises, sorted by what happens next.

::

    BotError                     1
    |- RetryLater               75   try again: the world may have changed
    |  |- NumeraiUnavailable         the API or the storage did not answer as it should
    |  |- RoundNotOpen               there is nothing to submit to right now
    |  |- DatasetIncomplete          a file is truncated, stale or not there yet
    |  |- StateLocked                another process holds the state directory
    |  `- StateUnwritable            the disk is full or failing, or the ledger is busy
    |- RefuseToSubmit           65   uploading would be wrong
    |  |- SchemaMismatch             the data do not fit the artifact
    |  |- GateFailed                 a check on the submission failed
    |  |- ArtifactInvalid            an artifact is damaged or does not replay
    |  `- LeakageRefused             a computation would see what it must not
    `- OperatorNeeded           78   only a person can mend it
       |- BadConfig                  a setting is wrong or missing
       |- BadCredentials             the key is wrong, missing or lacks a scope
       |- CannotSplit                too few labelled eras to train, choose and judge apart
       `- NoChampion                 nothing has been trained yet

Messages say what is wrong, why, and how to mend it, in one line.
"""


class BotError(Exception):
    """The root of all errors raised on purpose; ``exit_code`` is what the command line returns."""

    exit_code = 1


class RetryLater(BotError):
    """The same step may succeed later without anybody changing anything."""

    exit_code = 75


class NumeraiUnavailable(RetryLater):
    """
    Numerai's API or storage failed, timed out, or answered something that makes no sense.

    ``retry_after_s`` carries the server's own wish where it named one.
    """

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RoundNotOpen(RetryLater):
    """No round accepts submissions now, or the one in hand has closed or rolled over."""


class DatasetIncomplete(RetryLater):
    """A downloaded file is truncated, corrupted, stale, or belongs to another round."""


class StateLocked(RetryLater):
    """Another process of the bot holds the state directory."""


class StateUnwritable(RetryLater):
    """The state directory did not take what had to be written; nothing was uploaded on the strength of it."""


class RefuseToSubmit(BotError):
    """Going on would upload something wrong."""

    exit_code = 65


class SchemaMismatch(RefuseToSubmit):
    """The data lack columns, or carry types, that the artifact was trained with."""


class GateFailed(RefuseToSubmit):
    """At least one gate refused the submission; the message names each with value and limit."""


class ArtifactInvalid(RefuseToSubmit):
    """An artifact's files do not match its manifest, or its golden batch does not replay."""


class LeakageRefused(RefuseToSubmit):
    """A computation asked for targets that were not yet known at the time it stands for."""


class OperatorNeeded(BotError):
    """Nothing will improve until a person acts."""

    exit_code = 78


class BadConfig(OperatorNeeded):
    """A setting is missing, unknown or contradictory."""


class BadCredentials(OperatorNeeded):
    """The API key is missing, wrong, revoked, or lacks a scope."""


class CannotSplit(OperatorNeeded):
    """The labelled eras do not suffice for the blocks and embargoes that were asked for."""


class NoChampion(OperatorNeeded):
    """No artifact has been promoted yet for the recipe."""
