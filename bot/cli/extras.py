"""Packages that only some installations have."""

from collections.abc import Iterator
from contextlib import contextmanager

from bot.errors import OperatorNeeded


@contextmanager
def needs_training_packages(purpose: str) -> Iterator[None]:
    """
    Report a package of the ``train`` extra that is missing when the block imports it.

    Raises:
        OperatorNeeded: The package is not installed; the message names it, *purpose* and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to {purpose}") from None
