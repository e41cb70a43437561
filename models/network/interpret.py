"""
Interpret a network: importance of its history, weights of past eras, attribution of one row's score.

Every row has its own history ``[B, L, C]`` here, so that the history can be permuted and attributed like other inputs.
Suffixes of tensors: B rows, F features, E engineered, L lookback, C channels, T targets.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.bins import CORR_VALUES, MISSING_CATEGORY
from models.network.factor_history import CENTRE
from models.network.network import Network, expected_value
from models.network.seeds import SeedAverage

STEPS = 256
"""Number of points on the path of integrated gradients; the error falls with it."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """
    Inputs of a network for rows of one era.

    Attributes:
        features: Codes. Shape ``(B, F)``, int8.
        engineered: Aggregates; ignored if the network takes none. Shape ``(B, E)``.
        window: Feature returns, newest first; ``None`` masks the history. Shape ``(L, F, K)``.
        predictions: Another model's predictions; ``None`` masks them. Shape ``(B, T)``.
    """

    features: npt.NDArray[np.int8]
    engineered: Floats | None = None
    window: Floats | None = None
    predictions: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Weights of the resolved eras, newest first, in one target's projection of one network. Shape ``(L,)``."""

    network: int
    target: str
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """
    Contribution of every input to one row's score. The sum is ``score - baseline - missed``.

    Attributes:
        score: Expected CORR value of the row.
        baseline: Expected CORR value of a row with middle bins, no history and no predictions.
        missed: Error of the numerical integration.
        features: Contributions of the features. Shape ``(F,)``.
        engineered: Contributions of the aggregates. Shape ``(E,)``.
        history: Contributions of the history, groups before targets. Shape ``(L, C)``.
        predictions: Contributions of another model's predictions. Shape ``(T,)``.
    """

    score: float
    baseline: float
    missed: float
    features: npt.NDArray[np.float64]
    engineered: npt.NDArray[np.float64]
    history: npt.NDArray[np.float64]
    predictions: npt.NDArray[np.float64]


def temporal_weights(average: SeedAverage) -> tuple[Curve, ...]:
    """Return the learned temporal projection of every network; empty if they take no history."""
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
    Return the loss of one era's score for each block of the history, permuted among rows.

    Args:
        average: Networks that mix the history row by row.
        rows: Rows of the era, with a window.
        score: Score of the expected CORR values of all rows.
        blocks: Masks of the steps and channels that are permuted together. Shape ``(L, C)`` each.
        target: Target whose expectation is scored.
        seed: Seed of the permutation. Every block uses the same one.

    Raises:
        ValueError: The networks have no history of single rows.
    """
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(rows.features)))
    with torch.inference_mode():
        inputs = _inputs(average, rows)
        whole = score(_expected(average, *inputs, target=target).double().numpy())
        features, engineered, history, predictions = inputs
        if history is None:
            raise ValueError("the networks take no history")
        losses = {}
        for name, mask in blocks.items():
            moved = torch.where(torch.from_numpy(mask), history[order], history)
            permuted = _expected(average, features, engineered, moved, predictions, target=target)
            losses[name] = whole - score(permuted.double().numpy())
    return losses


def integrated_gradients(average: SeedAverage, rows: Rows, row: int, *, target: str, steps: int = STEPS) -> Attribution:
    """
    Attribute one row's score to its inputs by integrated gradients, along a straight path from the baseline.

    Source: M. Sundararajan, A. Taly and Q. Yan, *Axiomatic Attribution for Deep Networks* (2017), equation 3, by the
    midpoint rule. A missing feature that is a category of its own is missing all along the path.

    Args:
        average: Networks that mix the history row by row, or take none.
        rows: Rows of the era.
        row: Position of the row.
        target: Target whose expected CORR value is explained.
        steps: Number of points on the path.

    Raises:
        ValueError: The networks mix the history by era.
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
    """Return features, aggregates, each row's history and predictions; ``None`` if the network does not take them."""
    config, network = average.config, _networks(average)[0]
    if config.mixing == "era":
        raise ValueError("a network that mixes by era has no history of single rows")
    features = torch.from_numpy(np.ascontiguousarray(rows.features)).to(torch.float32)
    engineered = None if not config.engineered or rows.engineered is None else torch.from_numpy(rows.engineered)
    history = None
    if config.has_history:
        centred = torch.where(features == MISSING_CATEGORY, 0.0, features - CENTRE)
        window = np.zeros(config.shape("window"), dtype=np.float32) if rows.window is None else rows.window
        history = network.history.scores(centred, torch.from_numpy(window))
    predictions = None
    if config.stacked:
        known = rows.predictions
        predictions = torch.zeros(len(features), len(config.targets)) if known is None else torch.from_numpy(known)
    return features, engineered, history, predictions


def _start(average: SeedAverage, name: str, end: Tensor | None) -> Tensor | None:
    """Return the baseline of one input: the middle bin, the aggregates' offset, or zeros."""
    if end is None:
        return None
    if name == "features":
        return torch.where(end == MISSING_CATEGORY, end, CENTRE)
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
    scores = []
    for network in _networks(average):
        if history is None:
            logits = network(features, engineered, None, predictions)
        else:
            logits = network.from_history(features, engineered, history, predictions)
        scores.append(expected_value(logits, CORR_VALUES)[:, column])
    return torch.stack(scores).mean(dim=0)
