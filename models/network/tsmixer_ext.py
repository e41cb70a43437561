"""
TSMixer-Ext: the all-MLP forecaster with historical, future-known and static covariates.

Source: appendix B.3 of arXiv 2303.06053. The authors published no code for it. Projection to the horizon comes first,
static covariates join after time mixing, and K blocks means K blocks::

    X' = CFM(TP_{L->T}(X), S)   Z' = CFM(Z, S)   Y_1 = CMix_{2H->H}(X' (+) Z', S)   Y_k = CMix_{H->H}(Y_{k-1}, S)
    out = FC(Y_K)

The caller decides what one step of each axis is; for Numerai see ``models.network.network``. Suffixes of tensors::

    B batch   L lookback   T horizon   C channels   S static width   H hidden
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.network.layers import (
    ConditionalFeatureMixing,
    ConditionalMixing,
    FeatureMixing,
    FullLinear,
    LayerOptions,
    Norm,
    Static,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TSMixerExtConfig:
    """
    Shape and switches of a TSMixer-Ext. An input of width 0 is absent; at least one input is needed.

    Attributes:
        lookback: Steps L of the historical input; unused without one.
        horizon: Steps T of the future input and the output.
        historical: Historical channels, targets' past and past covariates together.
        future: Channels known ahead for every step of the horizon.
        static: Width of the static covariates.
        hidden: Channels H inside the mixer.
        feed_forward: Hidden width of feature mixing.
        blocks: Mixer blocks K, exactly this many.
        outputs: Channels of the output.
        dropout: Probability, 0 to below 1.
        norm: 2-D norm over time and channel: ``layer`` per sample, ``batch`` per (time, channel).
        normalize_before: Pre-norm in feature mixing; the paper's Ext is post-norm.
        time_norm_before: Pre-norm in time mixing.
        static_mixing: ``fm`` is the paper's V; ``linear`` is what pytorch-tsmixer does.
        eps: Added to variances.
        momentum: Momentum of the running statistics of ``batch``.

    Raises:
        ValueError: A size is not positive, there is no input, or dropout is outside [0, 1).
    """

    lookback: int
    horizon: int
    historical: int = 0
    future: int = 0
    static: int = 0
    hidden: int = 64
    feed_forward: int = 128
    blocks: int = 2
    outputs: int = 1
    dropout: float = 0.1
    norm: Norm = "layer"
    normalize_before: bool = False
    time_norm_before: bool = False
    static_mixing: Static = "fm"
    eps: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self) -> None:
        """Check all sizes."""
        for name in ("horizon", "hidden", "feed_forward", "blocks", "outputs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if min(self.historical, self.future, self.static) < 0 or not (self.historical or self.future or self.static):
            raise ValueError("at least one of historical, future and static must have channels, none fewer than 0")
        if self.historical and self.lookback < 1:
            raise ValueError(f"lookback is {self.lookback}; historical channels need at least 1 step")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be in [0, 1)")
        if self.norm not in ("layer", "batch") or self.static_mixing not in ("fm", "linear"):
            raise ValueError(f"norm {self.norm!r} or static_mixing {self.static_mixing!r} is unknown")

    @property
    def layers(self) -> LayerOptions:
        """Return the options that all layers share."""
        return LayerOptions(
            feed_forward=self.feed_forward,
            dropout=self.dropout,
            norm=self.norm,
            eps=self.eps,
            momentum=self.momentum,
            normalize_before=self.normalize_before,
            time_norm_before=self.time_norm_before,
        )


class TSMixerExt(nn.Module):
    """The network of a ``TSMixerExtConfig``. Absent inputs are ``None``."""

    def __init__(self, config: TSMixerExtConfig) -> None:
        super().__init__()
        self.config = config
        layers, hidden, horizon = config.layers, config.hidden, config.horizon
        self.temporal_projection: nn.Linear | None = None
        self.align_historical: ConditionalFeatureMixing | None = None
        self.align_future: ConditionalFeatureMixing | None = None
        self.align_static: FeatureMixing | None = None
        if config.historical:
            self.temporal_projection = nn.Linear(config.lookback, horizon)
            self.align_historical = self._align(config.historical)
        if config.future:
            self.align_future = self._align(config.future)
        if not (config.historical or config.future):
            self.align_static = FeatureMixing(steps=horizon, channels=config.static, outputs=hidden, options=layers)
        aligned = hidden * (2 if config.historical and config.future else 1)
        self.blocks = nn.ModuleList(
            ConditionalMixing(
                steps=horizon,
                channels=aligned if block == 0 else hidden,
                outputs=hidden,
                static=config.static,
                kind=config.static_mixing,
                options=layers,
            )
            for block in range(config.blocks)
        )
        self.head = (FullLinear if config.outputs == 1 else nn.Linear)(hidden, config.outputs)

    def _align(self, channels: int) -> ConditionalFeatureMixing:
        config = self.config
        return ConditionalFeatureMixing(
            steps=config.horizon,
            channels=channels,
            outputs=config.hidden,
            static=config.static,
            kind=config.static_mixing,
            options=config.layers,
        )

    def forward(self, historical_BLC: Tensor | None, future_BTC: Tensor | None, static_BS: Tensor | None) -> Tensor:
        """
        Return the output. Shape ``[B, T, outputs]``.

        Raises:
            ValueError: An input is missing, is given although the config has no channels for it, or has another shape.
        """
        config = self.config
        _check("historical", historical_BLC, (config.lookback, config.historical))
        _check("future", future_BTC, (config.horizon, config.future))
        _check("static", static_BS, (config.static,))
        projected_BTC: Tensor | None = None
        if self.temporal_projection is not None and historical_BLC is not None:
            projected_BTC = self.temporal_projection(historical_BLC.transpose(1, 2)).transpose(1, 2)
        return self.mix(projected_BTC, future_BTC, static_BS)

    def mix(self, projected_BTC: Tensor | None, future_BTC: Tensor | None, static_BS: Tensor | None) -> Tensor:
        """
        Return the output for a historical input that is already projected to the horizon.

        The projection is linear and the same for every channel. A caller whose history is a product can therefore
        project the smaller factor.
        """
        config = self.config
        aligned = []
        if self.align_historical is not None:
            aligned.append(self.align_historical(projected_BTC, static_BS))
        if self.align_future is not None:
            aligned.append(self.align_future(future_BTC, static_BS))
        if self.align_static is not None and static_BS is not None:
            aligned.append(self.align_static(static_BS.unsqueeze(1).expand(-1, config.horizon, -1)))
        y_BTH = torch.cat(aligned, dim=-1)
        for block in self.blocks:
            y_BTH = block(y_BTH, static_BS)
        out_BTO: Tensor = self.head(y_BTH)
        return out_BTO


def _check(name: str, tensor: Tensor | None, expected: tuple[int, ...]) -> None:
    """Raise ``ValueError`` if *tensor* is missing, unexpected, or of another shape than *expected*."""
    if not expected[-1]:
        if tensor is not None:
            raise ValueError(f"{name} input given, but the config has no {name} channels")
        return
    if tensor is None:
        raise ValueError(f"{name} input is missing; expected shape [batch, {', '.join(map(str, expected))}]")
    if tuple(tensor.shape[1:]) != expected:
        raise ValueError(
            f"{name} input has shape {tuple(tensor.shape)}; expected [batch, {', '.join(map(str, expected))}]"
        )
