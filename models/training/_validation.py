"""Measure a network's score of the main target on validation eras."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import torch

from models.bins import CORR_VALUES
from models.network.network import Network, expected_value
from models.stopping import TrainingDiverged
from models.training._era_feed import DeviceEra, EraFeed
from models.training.distributed import Team
from models.training.training_values import Score

ROWS = 4096
"""Number of rows scored at a time; limits memory and does not change results."""


class Validation:
    """
    Validation eras, shared among the processes that train together.

    Args:
        feed: The eras.
        main: Position of the scored target.
        score: Score of one era.
        team: Processes that share the work. Every process gets the whole result.
    """

    def __init__(self, feed: EraFeed, *, main: int, score: Score, team: Team) -> None:
        self.eras = len(feed.eras)
        self._feed, self._main, self._score, self._team = feed, main, score, team

    def scores(
        self, network: Network, precision: AbstractContextManager[None], on_era: Callable[[], None]
    ) -> dict[str, float]:
        """
        Return the score by era, without eras that cannot be scored. The network stays in evaluation mode.

        *on_era* is called before each era.

        Raises:
            TrainingDiverged: A prediction is not finite.
        """
        network.eval()
        mine: dict[int, tuple[str, float]] = {}
        order = self._team.share(range(self.eras))
        for index, era in zip(order, self._feed.stream(order), strict=True):
            on_era()
            targets = era.targets[:, self._main].double().cpu().numpy()
            known = ~np.isnan(targets)
            if known.sum() < 2:
                continue
            with torch.inference_mode(), precision:
                parts = [self._expected(network, era, slice(at, at + ROWS)) for at in range(0, len(targets), ROWS)]
            benchmark = None if era.benchmark is None else era.benchmark.cpu().numpy()[known]
            predictions = np.concatenate(parts)[known]
            if not np.isfinite(predictions).all():
                raise TrainingDiverged(
                    "the network predicts no numbers; lower the learning rate or the size of the network"
                )
            score = self._score(predictions, targets[known], benchmark)
            if np.isfinite(score):
                mine[index] = (era.era, float(score))
        every = {index: pair for part in self._team.gather(mine) for index, pair in part.items()}
        return {era: score for _, (era, score) in sorted(every.items())}

    def _expected(self, network: Network, era: DeviceEra, rows: slice) -> npt.NDArray[np.float64]:
        """Return CORR's expected score of the main target for *rows*."""
        logits_BTK = network(*era.inputs(rows))
        scores: npt.NDArray[np.float64] = (
            expected_value(logits_BTK[:, self._main].float(), CORR_VALUES).double().cpu().numpy()
        )
        return scores
