"""Score of a validation era that early stopping uses: CORR, BMC, or the pay that a round gives for both."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bot.scoring.metrics import corr, mmc_table

LABELS = {"corr": "CORR", "bmc": "BMC", "pay": "pay"}
"""Name of each score in messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationScore:
    """
    The validation score of a network, a function of one era's predictions.

    BMC stands in for MMC: the meta model is published from era 1133 only, the benchmark covers every validation era.

    Attributes:
        name: ``corr``, ``bmc`` or ``pay``.
        corr_multiplier: Weight of CORR in the pay.
        mmc_multiplier: Weight of BMC in the pay.
    """

    name: Literal["corr", "bmc", "pay"]
    corr_multiplier: float = 0.0
    mmc_multiplier: float = 0.0

    @property
    def label(self) -> str:
        """Return the name in messages."""
        return LABELS[self.name]

    def __call__(
        self,
        predictions: npt.NDArray[np.float64],
        targets: npt.NDArray[np.float64],
        benchmark: npt.NDArray[np.float32] | None,
    ) -> float:
        """
        Return the score of one era, NaN where it cannot be computed.

        Args:
            predictions: Predictions of the rows with a target. Shape ``(rows,)``.
            targets: Their targets. Shape ``(rows,)``.
            benchmark: Their benchmark predictions, NaN where unknown; ``None`` for an era without any, which only CORR
                can score. Shape ``(rows,)``.
        """
        if self.name == "corr":
            return corr(predictions, targets)
        if benchmark is None:
            return float("nan")
        bmc = float(mmc_table(predictions, benchmark, targets)[0, 0])
        if self.name == "bmc":
            return bmc
        return self.corr_multiplier * corr(predictions, targets) + self.mmc_multiplier * bmc
