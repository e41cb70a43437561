"""Eras to train, stop and judge on that share no day of any target: every estimator splits here."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bot.errors import CannotSplit
from bot.tournament.columns import EMBARGO, horizon

CHUNK = 156
"""Eras of a walk-forward fold, as in Numerai's own (three years)."""

LEAST = 2
"""Eras a block needs: the scores of a single era have no spread to judge by."""

STOPPING_SHARE, STOPPING_LEAST = 0.1, 8
"""Share of a walk-forward fold's training eras, and their least number, that are held out for early stopping."""

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """
    Positions of eras, in order; between two blocks lies more than an embargo.

    Attributes:
        train: What parameters are learned from.
        validation: What early stopping, weights and other choices are made on.
        holdout: What only the last judgement sees; nothing is ever chosen on it.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    holdout: tuple[int, ...] = ()


def embargo(targets: Sequence[str]) -> int:
    """Return the eras to leave out between two blocks so that no label of *targets* reaches from one into the next."""
    return max(EMBARGO[horizon(target)] for target in targets)


def stopping_eras(train: int) -> int:
    """Return how many of the newest of *train* eras of a walk-forward fold are held out for early stopping."""
    return max(STOPPING_LEAST, round(train * STOPPING_SHARE))


def resolved(labelled: npt.NDArray[np.bool_], *, every: int = 1) -> tuple[int, ...]:
    """Return the eras a refit learns from: every *n*-th whose target is known, the newest among them; none is held out."""
    return _every(np.flatnonzero(labelled), every)


def holdout(
    eras: Sequence[str],
    *,
    labelled: npt.NDArray[np.bool_],
    targets: Sequence[str],
    validation_eras: int,
    holdout_eras: int = 0,
    every: int = 1,
    unsafe_embargo: int | None = None,
) -> Split:
    """
    Cut history into train | embargo | validation | embargo | hold-out, the newest labelled eras last.

    Args:
        eras: All eras in order.
        labelled: Whether the main target is known in each. Shape ``(eras,)``.
        targets: Every target that is trained on; the longest horizon sets the embargo.
        validation_eras: Labelled eras to stop and choose on.
        holdout_eras: Newest labelled eras, for the last judgement alone; 0 leaves the block and its embargo out.
        every: Keep every *n*-th of the training eras, the newest one among them.
        unsafe_embargo: Leaks labels where it is smaller than :func:`embargo`; only for planting a leak in a test.

    Raises:
        CannotSplit: The eras do not suffice, the target is unknown everywhere, or a block would have a single era.
    """
    known = _known(eras, labelled)
    gap = embargo(targets) if unsafe_embargo is None else unsafe_embargo
    asked = f"{validation_eras} validation and {holdout_eras} hold-out eras with an embargo of {gap} before each"
    if validation_eras < LEAST or (holdout_eras and holdout_eras < LEAST):
        raise CannotSplit(f"{asked}: a block of fewer than {LEAST} eras has no spread to judge by; ask for more eras")
    end = _cut(known, holdout_eras, gap)
    stopping = _cut(end.before, validation_eras, gap)
    train = _every(stopping.before, every)
    if len(end.newest) < holdout_eras or len(stopping.newest) < validation_eras or len(train) < LEAST:
        raise CannotSplit(
            f"{len(known)} labelled eras leave {len(train)} to train on after {asked}; "
            "hold out fewer eras, or sync a longer history"
        )
    return Split(train=train, validation=tuple(stopping.newest.tolist()), holdout=tuple(end.newest.tolist()))


def before_holdout(
    eras: Sequence[str], *, labelled: npt.NDArray[np.bool_], targets: Sequence[str], holdout_eras: int
) -> npt.NDArray[np.bool_]:
    """
    Return which eras anything may be learned from or chosen on: the labelled ones an embargo before the hold-out.

    Args:
        eras: All eras in order.
        labelled: Whether the main target is known in each. Shape ``(eras,)``.
        targets: Every target that is trained on; the longest horizon sets the embargo.
        holdout_eras: Newest labelled eras of :func:`holdout`.

    Raises:
        CannotSplit: Nothing is left, or the target is unknown everywhere.
    """
    rest = _cut(_known(eras, labelled), holdout_eras, embargo(targets)).before
    if not len(rest):
        raise CannotSplit(
            f"{labelled.sum()} labelled eras leave none before {holdout_eras} hold-out eras; sync more history"
        )
    return np.isin(np.arange(len(eras)), rest)


def walk_forward(
    eras: Sequence[str],
    *,
    labelled: npt.NDArray[np.bool_],
    targets: Sequence[str],
    chunk: int = CHUNK,
    window: int | None = None,
    every: int = 1,
    unsafe_embargo: int | None = None,
) -> tuple[Split, ...]:
    """
    Return folds through time: what lies an embargo before a chunk trains, the chunk validates.

    Args:
        eras: All eras in order.
        labelled: Whether the main target is known in each. Shape ``(eras,)``.
        targets: Every target that is trained on; the longest horizon sets the embargo.
        chunk: Labelled eras a fold validates on; the oldest chunk only trains. A single era left over joins the last.
        window: Newest eras a fold trains on; by default all of them, so that folds expand.
        every: Keep every *n*-th of a fold's training eras, the newest one among them.
        unsafe_embargo: Leaks labels where it is smaller than :func:`embargo`; only for planting a leak in a test.

    Raises:
        CannotSplit: There is not one full fold, or the target is unknown everywhere.
    """
    known = _known(eras, labelled)
    gap = embargo(targets) if unsafe_embargo is None else unsafe_embargo
    if chunk < LEAST:
        raise CannotSplit(f"a fold of {chunk} era has no spread to judge by; take chunks of at least {LEAST}")
    starts = [start for start in range(chunk, len(known), chunk) if len(known) - start >= LEAST]
    folds = []
    for start, end in pairwise([*starts, len(known)]):
        validation = known[start:end]
        before = known[known < validation[0] - gap]
        train = _every(before if window is None else before[-window:], every)
        if len(train) >= LEAST:
            folds.append(Split(train=train, validation=tuple(validation.tolist())))
    if not folds:
        raise CannotSplit(
            f"{len(known)} labelled eras make no fold of {chunk} eras behind an embargo of {gap};"
            " take smaller chunks, or sync a longer history"
        )
    return tuple(folds)


def _known(eras: Sequence[str], labelled: npt.NDArray[np.bool_]) -> Positions:
    """Return the positions whose target is known, at least one."""
    if labelled.shape != (len(eras),):
        raise ValueError(f"{len(eras)} eras, but labels of shape {labelled.shape}")
    known = np.flatnonzero(labelled)
    if not len(known):
        raise CannotSplit(f"the main target is unknown in all {len(eras)} eras; choose another target, or sync again")
    return known


class _Cut(NamedTuple):
    """Newest positions, and those before them with a gap between."""

    before: Positions
    newest: Positions


def _cut(known: Positions, count: int, gap: int) -> _Cut:
    """Return the newest *count* positions, and those more than *gap* before them; all and none for a count of 0."""
    if not count:
        return _Cut(before=known, newest=known[:0])
    newest = known[-count:]
    return _Cut(before=known[known < newest[0] - gap] if len(newest) else newest, newest=newest)


def _every(known: Positions, every: int) -> tuple[int, ...]:
    return tuple(known[::-1][::every][::-1].tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedEras:
    """
    Eras that shaped the judged members.

    Attributes:
        block: What for: ``training`` or ``validation``.
        positions: Of the eras.
        targets: Every target that was looked at in them.
    """

    block: str
    positions: Sequence[int]
    targets: Sequence[str]
