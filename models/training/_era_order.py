"""The eras of every training step, a function of the seed, so that a resumed run repeats them."""

from dataclasses import dataclass
from itertools import count

import numpy as np

from models.training.training_values import TrainingOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class EraOrder:
    """
    All steps of a run.

    Attributes:
        steps: Positions of the eras of each step.
        due: Steps after which the validation score is measured, counted from 1.
        length: Number of steps of the schedule: those of all epochs, or the options' number; ``steps`` may be fewer.
    """

    steps: tuple[tuple[int, ...], ...]
    due: frozenset[int]
    length: int

    @classmethod
    def plan(cls, eras: int, options: TrainingOptions) -> "EraOrder":
        """
        Shuffle *eras* in every epoch. A last step that is too short repeats eras of its epoch.

        Raises:
            ValueError: There are no eras.
        """
        if eras < 1:
            raise ValueError("there are no eras to train on")
        steps: list[tuple[int, ...]] = []
        due: set[int] = set()
        for epoch in count() if options.steps else range(options.epochs):
            if options.steps and len(steps) >= options.steps:
                break
            chosen = np.arange(epoch % options.era_stride, eras, options.era_stride)
            if not len(chosen):
                continue
            shuffled = np.random.default_rng([options.seed, epoch]).permutation(chosen)
            width = options.eras_per_step
            padded = np.resize(shuffled, -(-len(shuffled) // width) * width)
            parts = options.evaluations_per_epoch
            taken = len(padded) // width
            due |= {len(steps) + max(1, round(taken * part / parts)) for part in range(1, parts + 1)}
            steps += [tuple(map(int, group)) for group in padded.reshape(-1, width)]
        steps = steps[: options.steps or len(steps)]
        length = options.schedule_length or len(steps)
        steps = steps[: options.stop_after or len(steps)]
        length = max(length, len(steps))  # a schedule cannot end before the training does
        due = {step for step in due if step <= len(steps)} | {len(steps)}
        return cls(steps=tuple(steps), due=frozenset(due), length=length)
