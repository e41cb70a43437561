"""How well a network ranks eras it does not learn from: per-era CORR of the main target."""

from contextlib import AbstractContextManager

import numpy as np
import numpy.typing as npt
import torch

from models.classes import CORR_VALUES
from models.network.network import Network, expected_value
from models.training._era_feed import DeviceEra, EraFeed
from models.training.distributed import Team
from models.training.training_values import Score

ROWS = 4096
"""Rows scored at once; bounds memory, changes no result."""


class Validation:
    """
    Eras to measure on, shared among the processes that train together.

    Args:
        feed: The eras.
        main: Position of the target that is scored.
        score: CORR of one era.
        team: Who shares the work; every process gets the whole result.
    """

    def __init__(self, feed: EraFeed, *, main: int, score: Score, team: Team) -> None:
        self.eras = len(feed.eras)
        self._feed, self._main, self._score, self._team = feed, main, score, team

    def corr(self, network: Network, precision: AbstractContextManager[None]) -> dict[str, float]:
        """Return CORR by era, leaving out eras that cannot be scored; the network is left in evaluation mode."""
        network.eval()
        mine: dict[int, tuple[str, float]] = {}
        order = self._team.share(range(self.eras))
        for index, era in zip(order, self._feed.stream(order), strict=True):
            targets = era.targets[:, self._main].double().cpu().numpy()
            known = ~np.isnan(targets)
            if known.sum() < 2:
                continue
            with torch.inference_mode(), precision:
                parts = [self._scores(network, era, slice(at, at + ROWS)) for at in range(0, len(targets), ROWS)]
            corr = self._score(np.concatenate(parts)[known], targets[known])
            if np.isfinite(corr):
                mine[index] = (era.era, float(corr))
        every = {index: pair for part in self._team.gather(mine) for index, pair in part.items()}
        return {era: corr for _, (era, corr) in sorted(every.items())}

    def _scores(self, network: Network, era: DeviceEra, rows: slice) -> npt.NDArray[np.float64]:
        """Return CORR's expected score of the main target for *rows*."""
        inputs, _ = era.rows(rows)
        logits_BTK = network(*inputs)
        scores: npt.NDArray[np.float64] = (
            expected_value(logits_BTK[:, self._main].float(), CORR_VALUES).double().cpu().numpy()
        )
        return scores
