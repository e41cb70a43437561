"""
Layers of the mixers: norms over time and channel, time mixing, feature mixing, conditional mixing.

Equations: appendix B.3 of *TSMixer: An All-MLP Architecture for Time Series Forecasting* (arXiv 2303.06053).
Tensors carry their shape as a suffix::

    B batch   T steps   C channels in   H channels out   S static width
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.network.dropout import Dropout

Norm = Literal["layer", "batch"]
Static = Literal["fm", "linear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerOptions:
    """
    Options that all layers of one mixer share.

    Attributes:
        feed_forward: Hidden width of feature mixing.
        dropout: Probability, 0 to below 1.
        norm: ``layer`` takes one mean and variance per sample over (time, channel); ``batch`` takes them per
            (time, channel) over the batch, as the authors' Keras code does.
        eps: Added to the variance.
        momentum: Weight of the newest batch in running statistics (1 - Keras's momentum); ``batch`` only.
        normalize_before: Feature mixing normalizes its input instead of its output; the shortcut stays as it is.
        time_norm_before: Time mixing does.
    """

    feed_forward: int
    dropout: float = 0.1
    norm: Norm = "layer"
    eps: float = 1e-5
    momentum: float = 0.1
    normalize_before: bool = False
    time_norm_before: bool = False


def in_full(x: Tensor) -> Tensor:
    """Return *x* in float32 where it has less; statistics of half-precision values lose too much."""
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


class FullLinear(nn.Linear):
    """A linear map that is never computed in half precision, in which most rows of an era have equal scores."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the mapped tensor, float32 under autocast."""
        device = x.device.type
        if not torch.is_autocast_enabled(device):
            return super().forward(x)
        with torch.autocast(device, enabled=False):
            return super().forward(x.float())


class StepLinear(nn.Linear):
    """
    A linear map of the channels of every step, as one product of a matrix.

    Runtimes add the bias inside a product of matrices, and in a pass of its own after one of stacks of matrices.
    """

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return the mapped tensor. Shapes ``[B, T, C]`` to ``[B, T, H]``."""
        return super().forward(x_BTC.flatten(0, 1)).view(-1, x_BTC.shape[1], self.out_features)


class TimeLayerNorm(nn.LayerNorm):
    """Layer norm over (time, channel), never in half precision."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Normalize each sample. Shape ``[B, T, C]`` in and out."""
        return super().forward(in_full(x_BTC))


class TimeBatchNorm(nn.BatchNorm1d):
    """Batch norm with affine parameters and statistics of their own for every (time, channel)."""

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Normalize over the batch. Shape ``[B, T, C]`` in and out."""
        return super().forward(in_full(x_BTC).flatten(1)).view(x_BTC.shape)


def time_norm(steps: int, channels: int, options: LayerOptions) -> nn.Module:
    """Return the 2-D norm of *options* over ``[*, steps, channels]``."""
    if options.norm == "layer":
        return TimeLayerNorm((steps, channels), eps=options.eps)
    return TimeBatchNorm(steps * channels, eps=options.eps, momentum=options.momentum)


class TimeMixing(nn.Module):
    """
    Mix over time, the same way for every channel: ``Norm(x + Drop(relu(W x + b)))``, or pre-norm inside the branch.

    Paper: TM in B.3.
    """

    def __init__(self, *, steps: int, channels: int, options: LayerOptions) -> None:
        super().__init__()
        self.norm = time_norm(steps, channels, options)
        self.norm_before = options.time_norm_before
        self.fc1 = nn.Linear(steps, steps)
        self.dropout = Dropout(options.dropout)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return the mixed tensor. Shape ``[B, T, C]`` in and out."""
        inner_BTC = self.norm(x_BTC) if self.norm_before else x_BTC
        mixed_BCT = self.dropout.of_relu(self.fc1(inner_BTC.transpose(1, 2)))
        out_BTC: Tensor = x_BTC + mixed_BCT.transpose(1, 2)
        return out_BTC if self.norm_before else self.norm(out_BTC)


class FeatureMixing(nn.Module):
    """
    Mix over channels, the same way at every step: ``Norm(P x + Drop(W3 Drop(relu(W2 x + b2)) + b3))``.

    P is the identity while C = H, else a linear map. Paper: FM in B.3.
    """

    def __init__(self, *, steps: int, channels: int, outputs: int, options: LayerOptions) -> None:
        super().__init__()
        before = options.normalize_before
        self.norm_before = time_norm(steps, channels, options) if before else nn.Identity()
        self.norm_after = nn.Identity() if before else time_norm(steps, outputs, options)
        self.fc1 = StepLinear(channels, options.feed_forward)
        self.fc2 = StepLinear(options.feed_forward, outputs)
        self.projection = StepLinear(channels, outputs) if channels != outputs else nn.Identity()
        self.dropout = Dropout(options.dropout)

    def body(self, x_BTC: Tensor) -> Tensor:
        """Return shortcut plus branch, before the norm that may follow. Shapes ``[B, T, C]`` to ``[B, T, H]``."""
        hidden = self.dropout.of_relu(self.fc1(self.norm_before(x_BTC)))
        out_BTH: Tensor = self.projection(x_BTC) + self.dropout(self.fc2(hidden))
        return out_BTH

    def forward(self, x_BTC: Tensor) -> Tensor:
        """Return the mixed tensor. Shapes ``[B, T, C]`` to ``[B, T, H]``."""
        out_BTH: Tensor = self.norm_after(self.body(x_BTC))
        return out_BTH


class StaticExpansion(nn.Module):
    """
    Expand static covariates to the time axis: V = FM(Expand(S)) as in the paper, or a repeated linear map.

    With post-norm all steps are equal up to the norm's affine part, so the mixing runs once a row.
    """

    def __init__(self, *, steps: int, static: int, outputs: int, kind: Static, options: LayerOptions) -> None:
        super().__init__()
        self.steps = steps
        self.mixing = (
            FeatureMixing(steps=steps, channels=static, outputs=outputs, options=options) if kind == "fm" else None
        )
        self.linear = nn.Linear(static, outputs) if kind == "linear" else None
        self.once = not options.normalize_before

    def forward(self, static_BS: Tensor) -> Tensor:
        """Return V. Shapes ``[B, S]`` to ``[B, T, H]``."""
        static_B1S = static_BS.unsqueeze(1)
        if self.linear is not None:
            linear_B1H: Tensor = self.linear(static_B1S)
            return linear_B1H.expand(-1, self.steps, -1)
        if self.mixing is None:
            raise ValueError("a static expansion is either linear or feature mixing")
        if not self.once:
            mixed_BTH: Tensor = self.mixing(static_B1S.expand(-1, self.steps, -1))
            return mixed_BTH
        v_BTH: Tensor = self.mixing.norm_after(self.mixing.body(static_B1S).expand(-1, self.steps, -1))
        return v_BTH


class ConditionalFeatureMixing(nn.Module):
    """
    Feature mixing of ``x (+) V`` with V from the static covariates; plain feature mixing where there are none.

    Paper: CFM in B.3.
    """

    def __init__(
        self, *, steps: int, channels: int, outputs: int, static: int, kind: Static, options: LayerOptions
    ) -> None:
        super().__init__()
        self.static = (
            StaticExpansion(steps=steps, static=static, outputs=outputs, kind=kind, options=options) if static else None
        )
        width = channels + (outputs if static else 0)
        self.mixing = FeatureMixing(steps=steps, channels=width, outputs=outputs, options=options)

    def forward(self, x_BTC: Tensor, static_BS: Tensor | None) -> Tensor:
        """Return the mixed tensor. Shapes ``[B, T, C]`` and ``[B, S]`` to ``[B, T, H]``."""
        if self.static is not None:
            x_BTC = torch.cat([x_BTC, self.static(static_BS)], dim=-1)
        out_BTH: Tensor = self.mixing(x_BTC)
        return out_BTH


class ConditionalMixing(nn.Module):
    """One block: time mixing first, then conditional feature mixing, where the static part joins. Paper: CMix in B.3."""

    def __init__(
        self, *, steps: int, channels: int, outputs: int, static: int, kind: Static, options: LayerOptions
    ) -> None:
        super().__init__()
        self.time_mixing = TimeMixing(steps=steps, channels=channels, options=options)
        self.feature_mixing = ConditionalFeatureMixing(
            steps=steps, channels=channels, outputs=outputs, static=static, kind=kind, options=options
        )

    def forward(self, x_BTC: Tensor, static_BS: Tensor | None) -> Tensor:
        """Return the block's output. Shapes ``[B, T, C]`` and ``[B, S]`` to ``[B, T, H]``."""
        out_BTH: Tensor = self.feature_mixing(self.time_mixing(x_BTC), static_BS)
        return out_BTH
