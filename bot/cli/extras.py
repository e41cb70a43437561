"""Packages that only some installations have."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from bot.errors import OperatorNeeded


def needs_training_packages(purpose: str) -> AbstractContextManager[None]:
    """Report a package of the ``train`` extra that is missing when the block imports it; see :func:`needs_packages`."""
    return needs_packages(purpose, extra="train")


@contextmanager
def needs_packages(purpose: str, *, extra: str) -> Iterator[None]:
    """
    Report a package of *extra* that is missing when the block imports it, as in the submitting image.

    Raises:
        OperatorNeeded: The package is not installed; the message names it, *purpose* and the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[{extra}] to {purpose}") from None
