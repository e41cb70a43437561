"""
Basic TSMixer: the graph of the authors' Keras code (google-research ``tsmixer``), kept as a reference model.

Pre-norm, one dense layer over time, no projection in feature mixing, projection to the horizon last. All channels are
kept. Suffixes of tensors: B batch, L lookback, T horizon, C channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.network.layers import FeatureMixing, LayerOptions, Norm, TimeMixing


@dataclass(frozen=True, slots=True, kw_only=True)
class TSMixerConfig:
    """
    Shape of a basic TSMixer; defaults of eps and momentum are Keras's.

    Attributes:
        lookback: Input steps L.
        horizon: Output steps T.
        channels: Channels C, in and out.
        feed_forward: Hidden width of feature mixing.
        blocks: Mixer blocks, exactly this many.
        dropout: Probability, 0 to below 1.
        norm: ``batch`` is the authors' default.
        rev_in: Reversible instance normalization around the network.
        eps: Added to variances in norms (RevIN has 1e-5).
        momentum: Weight of the newest batch in running statistics.
    """

    lookback: int
    horizon: int
    channels: int
    feed_forward: int
    blocks: int = 2
    dropout: float = 0.05
    norm: Norm = "batch"
    rev_in: bool = False
    eps: float = 1e-3
    momentum: float = 0.01


class TSMixer(nn.Module):
    """The network of ``TSMixerConfig``."""

    def __init__(self, config: TSMixerConfig) -> None:
        super().__init__()
        options = LayerOptions(
            feed_forward=config.feed_forward,
            dropout=config.dropout,
            norm=config.norm,
            eps=config.eps,
            momentum=config.momentum,
            normalize_before=True,
            time_norm_before=True,
        )
        steps, channels = config.lookback, config.channels
        self.blocks = nn.ModuleList(
            nn.Sequential(
                TimeMixing(steps=steps, channels=channels, options=options),
                FeatureMixing(steps=steps, channels=channels, outputs=channels, options=options),
            )
            for _ in range(config.blocks)
        )
        self.temporal_projection = nn.Linear(steps, config.horizon)
        self.rev_in = RevIN(channels) if config.rev_in else None

    def forward(self, x_BLC: Tensor) -> Tensor:
        """Return the forecast. Shapes ``[B, L, C]`` to ``[B, T, C]``."""
        mean_B1C, deviation_B1C = torch.zeros(()), torch.ones(())
        if self.rev_in is not None:
            mean_B1C, deviation_B1C = self.rev_in.statistics(x_BLC)
            x_BLC = self.rev_in.normalize(x_BLC, mean_B1C, deviation_B1C)
        for block in self.blocks:
            x_BLC = block(x_BLC)
        y_BTC: Tensor = self.temporal_projection(x_BLC.transpose(1, 2)).transpose(1, 2)
        return y_BTC if self.rev_in is None else self.rev_in.restore(y_BTC, mean_B1C, deviation_B1C)


class RevIN(nn.Module):
    """Reversible instance normalization: population statistics per sample and channel, no gradient through them."""

    eps = 1e-5

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def statistics(self, x_BLC: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation over time. Shapes ``[B, 1, C]``."""
        variance, mean = torch.var_mean(x_BLC.detach(), dim=1, keepdim=True, correction=0)
        return mean, torch.sqrt(variance + self.eps)

    def normalize(self, x_BLC: Tensor, mean_B1C: Tensor, deviation_B1C: Tensor) -> Tensor:
        """Return *x_BLC* standardised and mapped by the learned affine part."""
        return (x_BLC - mean_B1C) / deviation_B1C * self.weight + self.bias

    def restore(self, y_BTC: Tensor, mean_B1C: Tensor, deviation_B1C: Tensor) -> Tensor:
        """Return *y_BTC* in the units of the input: the inverse of ``normalize``."""
        return (y_BTC - self.bias) / self.weight * deviation_B1C + mean_B1C
