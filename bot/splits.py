"""Training and validation eras that share no day of any target: every estimator splits here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bot.columns import EMBARGO, horizon

CHUNK = 156
"""Eras of a walk-forward fold, as in Numerai's own (three years)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Positions of eras, in order; ``validation`` begins more than an embargo after ``train`` ends."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


def embargo(targets: Sequence[str]) -> int:
    """Return the eras to leave out before validation so that no label of *targets* reaches into it."""
    return max(EMBARGO[horizon(target)] for target in targets)


def holdout(
    eras: Sequence[str],
    *,
    labelled: npt.NDArray[np.bool_],
    targets: Sequence[str],
    validation_eras: int,
    every: int = 1,
) -> Split:
    """
    Hold out the newest labelled eras.

    Args:
        eras: All eras in order.
        labelled: Whether the main target is known in each. Shape ``(eras,)``.
        targets: Every target that is trained on; the longest horizon sets the embargo.
        validation_eras: Newest labelled eras to hold out.
        every: Keep every *n*-th of the training eras, the newest one among them.

    Raises:
        ValueError: Nothing is left to train on.
    """
    known = np.flatnonzero(labelled)
    if len(known) < validation_eras:
        raise ValueError(f"{len(known)} labelled eras cannot hold out {validation_eras}")
    validation = known[len(known) - validation_eras :]
    first = validation[0] if len(validation) else len(eras)
    gap = embargo(targets)
    train = known[known < first - gap][::-1][::every][::-1]
    if len(train) == 0:
        raise ValueError(
            f"{len(known)} labelled eras leave none to train on after {validation_eras} held-out eras and an embargo of {gap}"
        )
    return Split(train=tuple(train.tolist()), validation=tuple(validation.tolist()))


def walk_forward(eras: Sequence[str], *, targets: Sequence[str], chunk: int = CHUNK) -> Iterator[Split]:
    """
    Yield expanding folds: everything up to an embargo before a chunk trains, the chunk validates.

    Raises:
        ValueError: There is not one full fold.
    """
    gap = embargo(targets)
    if len(eras) <= chunk:
        raise ValueError(f"{len(eras)} eras are not more than one chunk of {chunk}")
    for start in range(chunk, len(eras), chunk):
        if start - gap > 0:
            yield Split(train=tuple(range(start - gap)), validation=tuple(range(start, min(start + chunk, len(eras)))))
