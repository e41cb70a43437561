"""
Look into a network: what its history is worth, how it weighs the past, and what made a single row's score.

The history here is that of the textbook form, one for each row, ``[B, L, C]``, so that it can be permuted and attributed
like any other input. Suffixes of tensors: B rows, F features, E engineered, L lookback, C channels, T targets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.classes import CORR_VALUES
from models.network.factor_history import CENTRE
from models.network.network import Network, expected_value
from models.network.network_config import MISSING_CODE
from models.network.seeds import SeedAverage

STEPS = 256
"""Points of the path of integrated gradients; the error falls with their number."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """
    Rows of one era as a network takes them.

    Attributes:
        features: Shape ``(B, F)``, int8.
        engineered: Shape ``(B, E)``; not read where the network takes none.
        window: Feature returns, newest first, shape ``(L, F, K)``; ``None`` masks the history.
        predictions: Another model's, shape ``(B, T)``; ``None`` masks them.
    """

    features: npt.NDArray[np.int8]
    engineered: Floats | None = None
    window: Floats | None = None
    predictions: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """How one projected step (one target) of one network weighs the resolved eras, newest first. Shape ``(L,)``."""

    network: int
    target: str
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """
    What every input added to one row's score; all of it adds up to ``score - baseline`` but for ``missed``.

    Attributes:
        score: Expected CORR value of the row.
        baseline: The same of a row in the middle bin of everything, with no history and no predictions.
        missed: What the path's points did not account for.
        features: The row's own features. Shape ``(F,)``.
        engineered: Its aggregates. Shape ``(E,)``.
        history: What each resolved era said about it, groups before targets. Shape ``(L, C)``.
        predictions: Another model's. Shape ``(T,)``.
    """

    score: float
    baseline: float
    missed: float
    features: npt.NDArray[np.float64]
    engineered: npt.NDArray[np.float64]
    history: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.float64]


def temporal_weights(average: SeedAverage) -> tuple[Curve, ...]:
    """Return the learned temporal projection of every network; none where it takes no history."""
    curves = []
    for number, network in enumerate(_networks(average)):
        projection = network.mixer.temporal_projection
        if projection is None:
            continue
        for target, weights in zip(network.config.targets, projection.weight.detach().numpy(), strict=True):
            curves.append(Curve(network=number, target=target, weights=tuple(weights.tolist())))
    return tuple(curves)


def history_losses(
    average: SeedAverage,
    rows: Rows,
    score: Callable[[npt.NDArray[np.float64]], float],
    blocks: Mapping[str, npt.NDArray[np.bool_]],
    *,
    target: str,
    seed: int,
) -> dict[str, float]:
    """
    Return what a score of one era loses when rows get another row's history, block by block.

    Args:
        average: Networks that mix the history row by row.
        rows: Of the era, with a window.
        score: Of the expected CORR values of all rows.
        blocks: Which steps and channels change their rows together. Shape ``(L, C)`` each.
        target: Whose expectation is scored.
        seed: Of the permutation, the same for every block.

    Raises:
        ValueError: The networks have no history of single rows.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(rows.features)))
    with torch.inference_mode():
        inputs = _inputs(average, rows)
        whole = score(_expected(average, *inputs, target=target).double().numpy())
        features, engineered, history, predictions = inputs
        if history is None:
            raise ValueError("a network without history loses nothing with it")
        losses = {}
        for name, mask in blocks.items():
            moved = torch.where(torch.from_numpy(mask), history[order], history)
            permuted = _expected(average, features, engineered, moved, predictions, target=target)
            losses[name] = whole - score(permuted.double().numpy())
    return losses


def integrated_gradients(average: SeedAverage, rows: Rows, row: int, *, target: str, steps: int = STEPS) -> Attribution:
    """
    Attribute one row's score to its inputs: gradients along the straight path from nothing to the row, integrated.

    Source: M. Sundararajan, A. Taly and Q. Yan, *Axiomatic Attribution for Deep Networks* (2017), equation 3, by the
    midpoint rule. A missing feature that is a category of its own is missing all along the path.

    Args:
        average: Networks with a history of single rows, or with none.
        rows: Of the era.
        row: Which one.
        target: Whose expected CORR value is explained.
        steps: Points of the path.

    Raises:
        ValueError: The networks mix the history by era: no row has one of its own.
    """
    ends = [None if value is None else value[row : row + 1] for value in _inputs(average, rows)]
    starts = [_start(average, name, end) for name, end in zip(_NAMES, ends, strict=True)]
    along = ((torch.arange(steps) + 0.5) / steps).to(torch.float32)

    def between(start: Tensor, end: Tensor) -> Tensor:
        shape = (steps, *(1 for _ in end.shape[1:]))
        return (start + along.reshape(shape) * (end - start)).requires_grad_()

    path = [
        None if start is None or end is None else between(start, end) for start, end in zip(starts, ends, strict=True)
    ]
    total = _expected(average, *path, target=target).sum()
    present = [value for value in path if value is not None]
    gradients = dict(zip(map(id, present), torch.autograd.grad(total, present), strict=True))
    with torch.inference_mode():
        score, baseline = (float(_expected(average, *inputs, target=target)) for inputs in (ends, starts))
    parts = [
        np.zeros(0)
        if value is None or start is None or end is None
        else ((end - start)[0] * gradients[id(value)].mean(dim=0)).detach().double().numpy()
        for value, start, end in zip(path, starts, ends, strict=True)
    ]
    features, engineered, history, predictions = parts
    return Attribution(
        score=score,
        baseline=baseline,
        missed=score - baseline - sum(float(part.sum()) for part in parts),
        features=features,
        engineered=engineered,
        history=history,
        predictions=predictions,
    )


_NAMES = ("features", "engineered", "history", "predictions")


def _networks(average: SeedAverage) -> list[Network]:
    return [network for network in average.networks if isinstance(network, Network)]


def _inputs(average: SeedAverage, rows: Rows) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
    """Return features, aggregates, each row's history and predictions; ``None`` where the network takes none."""
    config, network = average.config, _networks(average)[0]
    if config.mixing == "era":
        raise ValueError("a network that mixes by era has no history of single rows to look into")
    features = torch.from_numpy(np.ascontiguousarray(rows.features)).to(torch.float32)
    engineered = None if not config.engineered or rows.engineered is None else torch.from_numpy(rows.engineered)
    history = None
    if config.has_history:
        centred = torch.where(features == MISSING_CODE, 0.0, features - CENTRE)
        window = np.zeros(config.shape("window"), dtype=np.float32) if rows.window is None else rows.window
        history = network.history.scores(centred, torch.from_numpy(window))
    predictions = None
    if config.stacked:
        known = rows.predictions
        predictions = torch.zeros(len(features), len(config.targets)) if known is None else torch.from_numpy(known)
    return features, engineered, history, predictions


def _start(average: SeedAverage, name: str, end: Tensor | None) -> Tensor | None:
    """Return the baseline of one input: the middle bin, the aggregates' own offset, nothing said by anybody."""
    if end is None:
        return None
    if name == "features":
        return torch.where(end == MISSING_CODE, end, CENTRE)
    if name == "engineered":
        return _networks(average)[0].engineered_offset.expand_as(end).clone()
    return torch.zeros_like(end)


def _expected(
    average: SeedAverage,
    features: Tensor | None,
    engineered: Tensor | None,
    history: Tensor | None,
    predictions: Tensor | None,
    *,
    target: str,
) -> Tensor:
    """Return the mean over networks of each row's expected CORR value of *target*. Shape ``[B]``."""
    if features is None:
        raise ValueError("rows have features")
    column = average.config.targets.index(target)
    said = []
    for network in _networks(average):
        if history is None:
            logits = network(features, engineered, None, predictions)
        else:
            logits = network.from_history(features, engineered, history, predictions)
        said.append(expected_value(logits, CORR_VALUES)[:, column])
    return torch.stack(said).mean(dim=0)
