"""
The Numerai network: a TSMixer-Ext whose axes are resolved eras and targets (mapping A).

Rows have no past, because ids are new in every era. So one step of the historical axis is the score that the factor
model of a resolved era gives the row (step 0 is the newest era). The prediction axis is the *targets*. The row's features
are static covariates. Future-known covariates describe each target: a learned descriptor, its horizon and, in a stacked
network, another model's prediction of it. Suffixes of tensors::

    B rows   F features   E engineered   L lookback   C history channels   T targets   Z descriptor   S static   K outputs

``window`` holds realised feature returns, shape ``[L, F, history targets]``, and is the same for all rows of an era.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.bins import MISSING_CATEGORY
from models.network._network_bodies import EraConditioned, Perceptron
from models.network.dropout import Dropout
from models.network.factor_history import CENTRE, FactorHistory
from models.network.network_config import WITHOUT_HISTORY, NetworkConfig
from models.network.tsmixer_ext import TSMixerExt, TSMixerExtConfig

HEAD_GAIN = 0.1
"""Factor of the head's initial weights, so that training starts near the class prior."""


class Network(nn.Module):
    """
    Logits of the five classes for every row and target, or one score, as ``config.head`` says.

    Training sometimes masks the window (``None`` or zeros) and the predictions. So the plain network of the row's features
    is nested in this one, and a stale history can be masked in a live round.
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

        self.input_dropout = Dropout(config.input_dropout)
        first, *rest = config.encoder
        self.encoder_input = nn.Linear(config.features + config.engineered, first)
        self.missing_input = nn.Linear(config.features, first, bias=False) if config.missing_category else None
        layers: list[nn.Module] = []
        for before, after in zip(config.encoder, rest, strict=False):
            layers += [nn.ReLU(), Dropout(config.dropout), nn.Linear(before, after)]
        self.encoder = nn.Sequential(*layers)
        self.history = FactorHistory(config.groups, scale=config.history_scale)
        self.descriptor = nn.Embedding(len(config.targets), config.descriptor)
        # Perceptrons read no descriptor, and processes that train together wait for the gradient of every parameter.
        self.descriptor.requires_grad_(config.mixing not in WITHOUT_HISTORY)
        self.mixer: TSMixerExt | Perceptron = _body(config)
        with torch.no_grad():
            projection = self.mixer.temporal_projection
            if projection is not None:
                projection.weight.copy_(exponential_averages(config.lookback, len(config.targets)))
                projection.bias.zero_()
            self.mixer.head.weight.mul_(HEAD_GAIN)
            start = torch.tensor(config.class_prior).log() if config.head == "classes" else torch.zeros(1)
            self.mixer.head.bias.copy_(start.repeat(len(self.mixer.head.bias) // len(start)))

    def forward(
        self,
        features_BF: Tensor,
        engineered_BE: Tensor | None = None,
        window_LFK: Tensor | None = None,
        predictions_BT: Tensor | None = None,
    ) -> Tensor:
        """
        Return logits, or scores.

        Args:
            features_BF: Codes 0..4, ``MISSING_CATEGORY`` where missing is a category. int8, shape ``[B, F]``.
            engineered_BE: Row aggregates, not scaled. float32, shape ``[B, E]``; ``None`` only if E is 0.
            window_LFK: Feature returns, newest resolved era first. float32, ``[L, F, K]``; ``None`` masks them.
            predictions_BT: Centred predictions of each target by another model. float32; ``None`` masks them.

        Returns:
            Logits, or scores with K = 1. Shape ``[B, T, K]``, float32.

        Raises:
            ValueError: The network does not take an input, or needs a missing one.
        """
        config = self.config
        centred_BF, missing_BF = self._centred(features_BF)
        static_BS = self._encode(centred_BF, missing_BF, engineered_BE)
        future_BTZ = self._future(features_BF.shape[0], predictions_BT)
        if window_LFK is not None and not config.has_history:
            raise ValueError("the network takes no history")
        if window_LFK is None and config.has_history:
            window_LFK = static_BS.new_zeros(config.shape("window"))
        if window_LFK is not None and self.training:
            window_LFK = _mask(window_LFK, config.history_dropout)
        if isinstance(self.mixer, Perceptron):
            logits_BTK: Tensor = self.mixer(future_BTZ, static_BS, window_LFK)
            return logits_BTK.float()
        projected_BTC: Tensor | None = None
        if window_LFK is not None and self.mixer.temporal_projection is not None:
            projected_BTC = self.history.projected(centred_BF, window_LFK, self.mixer.temporal_projection)
        logits_BTK = self.mixer.mix(projected_BTC, future_BTZ, static_BS)
        return logits_BTK.float()

    def from_history(
        self,
        features_BF: Tensor,
        engineered_BE: Tensor | None,
        history_BLC: Tensor,
        predictions_BT: Tensor | None = None,
    ) -> Tensor:
        """
        Return logits, or scores, for rows that have a history each: the textbook form, slower, for inspecting a network.

        Raises:
            ValueError: The network does not mix the history row by row.
        """
        if not isinstance(self.mixer, TSMixerExt) or not self.config.has_history:
            raise ValueError(f"mixing {self.config.mixing!r} has no history of single rows")
        static_BS = self._encode(*self._centred(features_BF), engineered_BE)
        logits_BTK: Tensor = self.mixer(history_BLC, self._future(features_BF.shape[0], predictions_BT), static_BS)
        return logits_BTK

    def _centred(self, features_BF: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return features centred on the middle bin, 0 where missing, and a mask of missing ones."""
        x_BF = features_BF.to(torch.float32) - CENTRE
        if self.missing_input is None:
            return x_BF, None
        missing_BF = (features_BF == MISSING_CATEGORY).to(torch.float32)
        return x_BF * (1 - missing_BF), missing_BF

    def _encode(self, centred_BF: Tensor, missing_BF: Tensor | None, engineered_BE: Tensor | None) -> Tensor:
        """Return the static covariates of each row. Shape ``[B, S]``."""
        config = self.config
        x_BF = centred_BF
        if config.input_offset != CENTRE:
            x_BF = x_BF + (CENTRE - config.input_offset)
            x_BF = x_BF if missing_BF is None else x_BF * (1 - missing_BF)
        if config.input_scale != 1:
            x_BF = x_BF / config.input_scale
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

    def _future(self, rows: int, predictions_BT: Tensor | None) -> Tensor:
        """Return the covariates of every target of every row. Shape ``[B, T, Z]``."""
        future_TZ = torch.cat([self.descriptor.weight, self.horizon_TZ], dim=-1)
        future_BTZ = future_TZ.unsqueeze(0).expand(rows, -1, -1)
        if not self.config.stacked:
            if predictions_BT is not None:
                raise ValueError("the network takes no predictions of another model")
            return future_BTZ
        if predictions_BT is None:
            predictions_BT = future_TZ.new_zeros(rows, len(self.config.targets))
        if self.training:
            predictions_BT = _mask(predictions_BT, self.config.z_dropout)
        return torch.cat([future_BTZ, predictions_BT.unsqueeze(-1)], dim=-1)


def _body(config: NetworkConfig) -> TSMixerExt | Perceptron:
    """Return the part of the network between the encoded row and the logits."""
    future = config.descriptor + 1 + config.stacked
    if config.mixing in WITHOUT_HISTORY:
        return Perceptron(config, future=future)
    if config.mixing == "era":
        return EraConditioned(config, future=future)
    return TSMixerExt(
        TSMixerExtConfig(
            lookback=config.lookback,
            horizon=len(config.targets),
            historical=config.history_channels,
            future=future,
            static=config.encoder[-1],
            hidden=config.hidden,
            feed_forward=config.feed_forward,
            blocks=config.blocks,
            outputs=config.outputs,
            dropout=config.dropout,
            norm=config.norm,
            static_mixing=config.static_mixing,
        )
    )


def exponential_averages(lookback: int, count: int) -> Tensor:
    """
    Return weights of *count* exponential averages over the lookback. Shape ``[count, lookback]``.

    Half-lives run from a thirteenth of the lookback to all of it. Where feature returns persist weakly, such an average
    beats a mixer with random initial weights, so the mixer starts from the averages. Each row has norm 1, which keeps the
    variance of independent steps.
    """
    step_L = torch.arange(lookback, dtype=torch.float32)
    shortest = math.log(max(1.0, lookback / 13))
    half_life_T1 = torch.linspace(shortest, math.log(lookback), count).exp().unsqueeze(1)
    weights_TL: Tensor = torch.exp2(-step_L / half_life_T1)
    return weights_TL / weights_TL.square().sum(dim=1, keepdim=True).sqrt()


def _mask(tensor: Tensor, share: float) -> Tensor:
    """Return *tensor*, or zeros for all rows with probability *share*; not rescaled, because a masked input is a valid one."""
    if share <= 0:
        return tensor
    return tensor * (torch.rand((), device=tensor.device) >= share)


def expected_value(logits_BTK: Tensor, values: Sequence[float]) -> Tensor:
    """
    Return the mean of *values* under the predicted class distribution, or the score of a single output.

    Shapes ``[B, T, K]`` to ``[B, T]``.
    """
    if logits_BTK.shape[-1] == 1:
        return logits_BTK.squeeze(-1)
    # Not a matrix product: autocast would compute it in bfloat16, in which most rows of an era have equal scores.
    return (logits_BTK.softmax(dim=-1) * logits_BTK.new_tensor(values)).sum(dim=-1)
