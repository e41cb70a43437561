"""Split eras into blocks whose targets share no market day; every estimator uses these splits."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bot.errors import CannotSplit
from bot.tournament.columns import EMBARGO, horizon

CHUNK = 156
"""Eras of a walk-forward fold, as in Numerai's own walk-forward (three years)."""

LEAST = 2
"""Minimum number of eras of a block: the scores of a single era have no spread."""

STOPPING_SHARE, STOPPING_LEAST = 0.1, 8
"""Share and minimum number of a walk-forward fold's training eras that are held out for early stopping."""

Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """
    Positions of eras in ascending order; more than an embargo lies between two blocks.

    Attributes:
        train: Eras that parameters are fitted on.
        validation: Eras for early stopping, weights and other choices.
        holdout: Eras for the final judgement only; nothing is chosen on them.
    """

    train: tuple[int, ...]
    validation: tuple[int, ...]
    holdout: tuple[int, ...] = ()


def embargo(targets: Sequence[str]) -> int:
    """Return the number of eras to leave out between two blocks so that no label of *targets* is in both."""
    return max(EMBARGO[horizon(target)] for target in targets)


def stopping_eras(train: int) -> int:
    """Return how many of the newest of *train* eras of a walk-forward fold are held out for early stopping."""
    return max(STOPPING_LEAST, round(train * STOPPING_SHARE))


def resolved(labelled: npt.NDArray[np.bool_], *, every: int = 1) -> tuple[int, ...]:
    """Return the eras of a refit: every *n*-th of the eras whose target is known, the newest included."""
    return _every(np.flatnonzero(labelled), every)


def holdout(
    eras: Sequence[str],
    *,
    labelled: npt.NDArray[np.bool_],
    targets: Sequence[str],
    validation_eras: int,
    holdout_eras: int = 0,
    every: int = 1,
    remedy: str = "hold out fewer eras, or sync a longer history",
) -> Split:
    """
    Split history into train | embargo | validation | embargo | hold-out, the newest labelled eras last.

    Args:
        eras: Labels of all eras in order.
        labelled: Whether the main target is known in each era. Shape ``(eras,)``.
        targets: Every target that is trained on; the longest horizon sets the embargo.
        validation_eras: Labelled eras of the validation block.
        holdout_eras: Newest labelled eras, for the final judgement only; 0 leaves out the block and its embargo.
        every: Keep every *n*-th of the training eras, the newest included.
        remedy: What to do where there are too few eras.

    Raises:
        CannotSplit: There are too few eras, the target is unknown everywhere, or a block would have a single era.
    """
    known = _known(eras, labelled)
    gap = embargo(targets)
    also = f" and {holdout_eras} hold-out" if holdout_eras else ""
    blocks = f"{validation_eras} validation{also} eras with an embargo of {gap} before each"
    if validation_eras < LEAST or (holdout_eras and holdout_eras < LEAST):
        raise CannotSplit(f"{blocks}: a block of fewer than {LEAST} eras has no spread to judge by; set more eras")
    end = _cut(known, holdout_eras, gap)
    stopping = _cut(end.before, validation_eras, gap)
    train = _every(stopping.before, every)
    if len(end.newest) < holdout_eras or len(stopping.newest) < validation_eras or len(train) < LEAST:
        raise CannotSplit(f"{len(known)} labelled eras leave {len(train)} to train on after {blocks}; {remedy}")
    return Split(train=train, validation=tuple(stopping.newest.tolist()), holdout=tuple(end.newest.tolist()))


def before_holdout(
    eras: Sequence[str], *, labelled: npt.NDArray[np.bool_], targets: Sequence[str], holdout_eras: int
) -> npt.NDArray[np.bool_]:
    """
    Return which eras may be trained or chosen on: the labelled ones at least an embargo before the hold-out.

    Args:
        eras: Labels of all eras in order.
        labelled: Whether the main target is known in each era. Shape ``(eras,)``.
        targets: Every target that is trained on; the longest horizon sets the embargo.
        holdout_eras: Newest labelled eras, as in :func:`holdout`.

    Returns:
        Shape ``(eras,)``.

    Raises:
        CannotSplit: No era is left, or the target is unknown everywhere.
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
) -> tuple[Split, ...]:
    """
    Return walk-forward folds: each validates on a chunk of eras and trains on the eras an embargo before it.

    Args:
        eras: Labels of all eras in order.
        labelled: Whether the main target is known in each era. Shape ``(eras,)``.
        targets: Every target that is trained on; the longest horizon sets the embargo.
        chunk: Labelled eras that a fold validates on. The oldest chunk is only trained on; a single era that is left
            over joins the last chunk.
        window: Newest eras that a fold trains on; by default all of them, so that folds expand.
        every: Keep every *n*-th of a fold's training eras, the newest included.

    Raises:
        CannotSplit: There is no full fold, or the target is unknown everywhere.
    """
    known = _known(eras, labelled)
    gap = embargo(targets)
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
            f" take smaller chunks, such as {len(known) // 2} eras, or sync a longer history"
        )
    return tuple(folds)


def _known(eras: Sequence[str], labelled: npt.NDArray[np.bool_]) -> Positions:
    """Return the positions of the eras whose target is known; raise where there is none."""
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
    """Return the newest *count* positions, and those more than *gap* before them; a count of 0 cuts nothing off."""
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
        block: Their use: ``training`` or ``validation``.
        positions: Positions of the eras.
        targets: Every target of these eras that was used.
    """

    block: str
    positions: Sequence[int]
    targets: Sequence[str]
