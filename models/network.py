"""
The Numerai network: a TSMixer-Ext whose axes are resolved eras and targets (mapping A).

Rows have no past: ids are new in every era. So the historical axis is what the last resolved eras' factor models say
about this row (step 0 is the newest), the prediction axis is the *targets*, and the row's own features are static
covariates. Future-known covariates describe each target. Suffixes of tensors::

    B rows   F features   E engineered   L lookback   C history channels   T targets   Z descriptor   S static   K classes
"""

import math

import torch
from torch import Tensor, nn

from models.classes import CLASS_PRIOR
from models.network_config import MISSING_CODE, NetworkConfig
from models.tsmixer_ext import TSMixerExt, TSMixerExtConfig

HEAD_GAIN = 0.1
"""Shrinks the head's first weights, so that training starts at the class prior and not at noise around it."""


class Network(nn.Module):
    """
    Logits of the five classes for every row and target.

    A masked history (``None`` or zeros) and masked descriptors are part of training, so that the plain network of the
    row's own features is nested in this one, and a stale history can be masked live.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        offset = torch.tensor(config.engineered_offset or (0.0,) * config.engineered, dtype=torch.float32)
        scale = torch.tensor(config.engineered_scale or (1.0,) * config.engineered, dtype=torch.float32)
        flags = torch.tensor([[float(target.endswith("_60"))] for target in config.targets])
        self.engineered_offset: Tensor
        self.engineered_scale: Tensor
        self.horizon_TZ: Tensor
        self.register_buffer("engineered_offset", offset)
        self.register_buffer("engineered_scale", scale)
        self.register_buffer("horizon_TZ", flags)

        self.input_dropout = nn.Dropout(config.input_dropout)
        first, *rest = config.encoder
        self.encoder_input = nn.Linear(config.features + config.engineered, first)
        self.missing_input = nn.Linear(config.features, first, bias=False) if config.missing_category else None
        layers: list[nn.Module] = []
        for before, after in zip(config.encoder, rest, strict=False):
            layers += [nn.ReLU(), nn.Dropout(config.dropout), nn.Linear(before, after)]
        self.encoder = nn.Sequential(*layers)
        self.descriptor = nn.Embedding(len(config.targets), config.descriptor)
        self.mixer = TSMixerExt(
            TSMixerExtConfig(
                lookback=config.lookback,
                horizon=len(config.targets),
                historical=config.history_channels,
                future=config.descriptor + 1,
                static=config.encoder[-1],
                hidden=config.hidden,
                feed_forward=config.feed_forward,
                blocks=config.blocks,
                outputs=len(CLASS_PRIOR),
                dropout=config.dropout,
                norm=config.norm,
                static_mixing=config.static_mixing,
            )
        )
        with torch.no_grad():
            if self.mixer.temporal_projection is not None:
                self.mixer.temporal_projection.weight.copy_(exponential_averages(config.lookback, len(config.targets)))
                self.mixer.temporal_projection.bias.zero_()
            self.mixer.head.weight.mul_(HEAD_GAIN)
            self.mixer.head.bias.copy_(torch.tensor(CLASS_PRIOR).log())

    def forward(
        self, features_BF: Tensor, engineered_BE: Tensor | None = None, history_BLC: Tensor | None = None
    ) -> Tensor:
        """
        Return logits.

        Args:
            features_BF: Codes 0..4, ``MISSING_CODE`` where missing is a category. int8, shape ``[B, F]``.
            engineered_BE: Row aggregates as they come. float32, shape ``[B, E]``; ``None`` only where E is 0.
            history_BLC: Factor scores, newest resolved era first. float32, shape ``[B, L, C]``; ``None`` is masked.

        Returns:
            Shape ``[B, T, K]``, float32.

        Raises:
            ValueError: An input the network has no place for, or a missing one.
        """
        config = self.config
        rows = features_BF.shape[0]
        future_TZ = torch.cat([self.descriptor.weight, self.horizon_TZ], dim=-1)
        if config.has_history and history_BLC is None:
            history_BLC = future_TZ.new_zeros(rows, config.lookback, config.history_channels)
        if self.training:
            future_TZ = _mask_batch(future_TZ, config.z_dropout)
            history_BLC = None if history_BLC is None else _mask_batch(history_BLC, config.history_dropout)
        static_BS = self._encode(features_BF, engineered_BE)
        logits_BTK: Tensor = self.mixer(history_BLC, future_TZ.unsqueeze(0).expand(rows, -1, -1), static_BS)
        return logits_BTK

    def _encode(self, features_BF: Tensor, engineered_BE: Tensor | None) -> Tensor:
        """Return the static covariates of each row. Shape ``[B, S]``."""
        config = self.config
        x_BF = features_BF.to(torch.float32) - config.input_offset
        if config.input_scale != 1:
            x_BF = x_BF / config.input_scale
        missing_BF: Tensor | None = None
        if self.missing_input is not None:
            missing_BF = (features_BF == MISSING_CODE).to(torch.float32)
            x_BF = x_BF * (1 - missing_BF)
        if (engineered_BE is None) == bool(config.engineered):
            raise ValueError(
                f"the network takes {config.engineered} engineered columns; given {engineered_BE is not None}"
            )
        if engineered_BE is not None:
            x_BF = torch.cat([x_BF, (engineered_BE - self.engineered_offset) / self.engineered_scale], dim=-1)
        first = self.encoder_input(self.input_dropout(x_BF))
        if self.missing_input is not None and missing_BF is not None:
            first = first + self.missing_input(self.input_dropout(missing_BF))
        static_BS: Tensor = self.encoder(first)
        return static_BS


def exponential_averages(lookback: int, count: int) -> Tensor:
    """
    Return weights of *count* exponential averages over the lookback, half-lives from a thirteenth of it to all of it.

    Where feature returns persist weakly, such an average beats a mixer that starts from noise, so the mixer starts
    from the averages. Each row has norm 1, which keeps the variance of steps that are independent of each other.
    Shape ``[count, lookback]``.
    """
    step_L = torch.arange(lookback, dtype=torch.float32)
    shortest = math.log(max(1.0, lookback / 13))
    half_life_T1 = torch.linspace(shortest, math.log(lookback), count).exp().unsqueeze(1)
    weights_TL: Tensor = torch.exp2(-step_L / half_life_T1)
    return weights_TL / weights_TL.square().sum(dim=1, keepdim=True).sqrt()


def _mask_batch(tensor: Tensor, share: float) -> Tensor:
    """Return *tensor*, or zeros with probability *share*: all rows together, and unscaled, for a masked input is a state."""
    if share <= 0:
        return tensor
    return tensor * (torch.rand((), device=tensor.device) >= share)
