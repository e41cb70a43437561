"""
Kill points: the moments right before and right after every side effect of a submission have names.

A bot that can be killed anywhere is proven by killing it everywhere, so "everywhere" must be a list. In production
nobody watches and nothing happens here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

_watchers: list[Callable[[str], None]] = []


@contextmanager
def boundary(name: str) -> Iterator[None]:
    """Enclose one side effect: ``name:before`` is passed before it, ``name:after`` once it has succeeded."""
    _pass(f"{name}:before")
    yield
    _pass(f"{name}:after")


@contextmanager
def watching(watcher: Callable[[str], None]) -> Iterator[None]:
    """Tell *watcher* of every boundary as it is passed; what it raises, or whom it kills, is its business."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def _pass(name: str) -> None:
    for watcher in _watchers:
        watcher(name)
