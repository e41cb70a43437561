"""
Other bodies of the Numerai network: a mixer that runs once an era, and perceptrons with and without residual layers.

Suffixes of tensors: B rows, T targets, Z future channels, S static width, L lookback, F features, K outputs.
"""

import torch
from torch import Tensor, nn

from models.network.dropout import Dropout
from models.network.factor_history import EraContext
from models.network.layers import FullLinear, in_full
from models.network.network_config import NetworkConfig
from models.network.tsmixer_ext import TSMixerExt, TSMixerExtConfig


class Residual(nn.Module):
    """A residual perceptron layer, normalized before: ``x + W2 Drop(relu(W1 Norm(x)))``."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.dropout = Dropout(dropout)

    def forward(self, x_BS: Tensor) -> Tensor:
        """Return the layer's output. Shape ``[B, S]`` in and out."""
        out_BS: Tensor = x_BS + self.fc2(self.dropout.of_relu(self.fc1(self.norm(in_full(x_BS)))))
        return out_BS


class Perceptron(nn.Module):
    """
    Layers on the encoded row: the control that other bodies must beat.

    ``mixing = "mlp"`` has no layers but the encoder's, only their dropout before the head; others have residual layers.
    In a stacked network, the other model's predictions are appended to the row.
    """

    def __init__(self, config: NetworkConfig, *, future: int) -> None:
        super().__init__()
        self.temporal_projection: nn.Linear | None = None
        self._descriptors = future - config.stacked
        self._targets = len(config.targets)
        width = config.encoder[-1]
        self.join = nn.Linear(width + self._targets, width) if config.stacked else None
        self.layers = (
            Dropout(config.dropout)
            if config.mixing == "mlp"
            else nn.Sequential(*(Residual(width, config.feed_forward, config.dropout) for _ in range(config.blocks)))
        )
        self._outputs = config.outputs
        self.head = (FullLinear if self._outputs == 1 else nn.Linear)(width, self._targets * self._outputs)

    def forward(self, future_BTZ: Tensor, static_BS: Tensor, _window_LFK: Tensor | None = None) -> Tensor:
        """Return the outputs. Shape ``[B, T, K]``."""
        logits_BX: Tensor = self.head(self.layers(self.joined(future_BTZ, static_BS)))
        return logits_BX.reshape(-1, self._targets, self._outputs)

    def joined(self, future_BTZ: Tensor, static_BS: Tensor) -> Tensor:
        """Return the row joined with another model's predictions. Shape ``[B, S]``."""
        row_BS = torch.relu(static_BS)
        if self.join is None:
            return row_BS
        joined_BS: Tensor = self.join(torch.cat([row_BS, future_BTZ[:, :, self._descriptors]], dim=-1))
        return joined_BS


class EraConditioned(Perceptron):
    """
    A mixer that runs once an era and scales and shifts every row of it (feature-wise linear modulation).

    The mixer's cost does not depend on the number of rows. Its input is the same for all rows, so it can learn which
    features pay at the moment, but cannot use the history of single rows.
    """

    def __init__(self, config: NetworkConfig, *, future: int) -> None:
        super().__init__(config, future=future)
        targets, width = len(config.targets), config.encoder[-1]
        self.context = EraContext(config.groups, features=config.features, scale=config.history_scale)
        self.mixer = TSMixerExt(
            TSMixerExtConfig(
                lookback=config.lookback,
                horizon=targets,
                historical=2 * config.history_channels,
                future=self._descriptors,
                hidden=config.hidden,
                feed_forward=config.feed_forward,
                blocks=config.blocks,
                outputs=config.hidden,
                dropout=config.dropout,
                norm="layer",
            )
        )
        self.temporal_projection = self.mixer.temporal_projection
        self.modulation = nn.Linear(targets * config.hidden, 2 * width)
        # Starts as the plain perceptron: no scale, no shift.
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, future_BTZ: Tensor, static_BS: Tensor, window_LFK: Tensor | None = None) -> Tensor:
        """
        Return the outputs. Shape ``[B, T, K]``.

        Raises:
            ValueError: There is no window.
        """
        if window_LFK is None:
            raise ValueError("an era-conditioned network needs a window")
        described_1TZ = future_BTZ[:1, :, : self._descriptors]
        mixed_1TH = self.mixer(self.context(window_LFK), described_1TZ, None)
        scale_1S, shift_1S = self.modulation(torch.relu(mixed_1TH.flatten(1))).chunk(2, dim=-1)
        row_BS = self.joined(future_BTZ, static_BS) * (1 + scale_1S) + shift_1S
        logits_BX: Tensor = self.head(self.layers(row_BS))
        return logits_BX.reshape(-1, self._targets, self._outputs)
