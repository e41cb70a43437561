"""
Kill points: named points right before and right after every side effect of a submission.

Tests kill the bot at each of them to prove that it can be killed anywhere. In production nothing listens and nothing happens here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_listeners: list[Callable[[str], None]] = []


@contextmanager
def kill_point(name: str) -> Iterator[None]:
    """Enclose one side effect: listeners are called with ``name:before`` before it and ``name:after`` once it has succeeded."""
    _call_listeners(f"{name}:before")
    yield
    _call_listeners(f"{name}:after")


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Call *listener* with the name of every kill point that is reached; it may raise or kill the process."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def _call_listeners(name: str) -> None:
    for listener in _listeners:
        listener(name)
