"""Exponential moving average of a network's weights during training."""

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

Tensors = tuple[Tensor, ...] | list[Tensor]

WARM_UP = 10
"""Constant of the warm-up of the decay, that of TensorFlow's ``ExponentialMovingAverage`` with ``num_updates``."""


def weight_average(network: nn.Module, decay: float) -> AveragedModel:
    """
    Return a copy of *network* whose ``update_parameters`` moves it towards the network's weights.

    The decay of update *t* is ``min(decay, (1 + t) / (10 + t))``, so that the average of a short run does not keep the
    initial weights.

    Args:
        network: Network in training.
        decay: Decay after many updates, 0 to 1.
    """

    def update(averaged: Tensors, current: Tensors, _count: Tensor | int) -> None:
        # _count is on the device: reading it would wait for the step.
        updates = int(average.n_averaged)
        step = get_ema_multi_avg_fn(min(decay, (1 + updates) / (WARM_UP + updates)))  # type: ignore[no-untyped-call]
        step(averaged, current, updates)

    average = AveragedModel(network, multi_avg_fn=update)
    average.n_averaged = average.n_averaged.cpu()
    return average
