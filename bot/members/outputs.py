"""A loaded model with one output for each target of its members: checked against its recipe, it scores rows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from bot.features.preprocess import Preprocess
from bot.members.registry import Source
from bot.members.rows import EraRows, Scores


class Predictor(Protocol):
    """A model of codes and engineered columns."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns in order: features first, then engineered columns."""
        ...

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the predicted targets."""
        ...

    def predict(
        self, features: npt.NDArray[np.int8], engineered: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.floating]:
        """Return the prediction of each row for every target. Shape ``(rows, targets)``."""
        ...


class MultiTargetModel:
    """
    The model of a member and its heads.

    Attributes:
        path: File of the model.

    Args:
        source: Members, preprocessing and files.
        path: File of the model.
        model: The model.

    Raises:
        ValueError: It takes other columns than the preprocessing makes, or lacks a member's target.
    """

    def __init__(self, source: Source, path: Path, model: Predictor) -> None:
        self.path = path
        self._model, self._preprocess = model, source.preprocess
        _check_inputs(model.inputs, source.preprocess)
        self._heads = _heads(source, model.targets)

    def score(self, rows: EraRows) -> Mapping[str, Scores]:
        """Return the prediction of each member's target. Shape ``(rows,)`` each."""
        prepared = rows.prepared(self._preprocess)
        found = self._model.predict(prepared.features, prepared.engineered)
        return {name: found[:, column] for name, column in self._heads.items()}


def _check_inputs(inputs: Sequence[str], preprocess: Preprocess) -> None:
    if tuple(inputs) != (*preprocess.features, *preprocess.engineered_names):
        raise ValueError(
            f"the model takes {len(inputs)} columns that are not those of the preprocessing in their order"
        )


def _heads(source: Source, targets: Sequence[str]) -> dict[str, int]:
    """Return the position of each member's target in *targets*."""
    try:
        return {one.name: tuple(targets).index(str(one.target)) for one in source.unit.members}
    except ValueError:
        wanted = ", ".join(source.unit.targets)
        raise ValueError(f"the model predicts {', '.join(targets)}, its members need {wanted}") from None
