"""
Dropout whose random numbers cost little on a CPU, alone and after a ReLU.

torch draws one number of a Mersenne twister for each value, which takes a third of a mixer's training on a CPU. Here one draw
of 64 bits decides about four values, with a probability that is a multiple of 2^-16. Other devices draw as torch does.
"""

from typing import Any

import torch
from torch import Tensor, nn

LEVELS = 1 << 16
"""Number of probabilities between 0 and 1."""


class Dropout(nn.Dropout):
    """Dropout of values, ``x * kept / (1 - p)`` in training; the seed is torch's."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the values that are kept, scaled. Any shape, in and out."""
        return x * _kept(x, self.p) if self._draws_itself(x) else super().forward(x)

    def of_relu(self, x: Tensor) -> Tensor:
        """Return the dropout of ``relu(x)``; on a CPU in one step, which keeps nothing for the backward pass but its result."""
        if not self._draws_itself(x):
            return super().forward(torch.relu(x))
        dropped: Tensor = _ReluDropout.apply(x, self.p)  # type: ignore[no-untyped-call]  # torch does not annotate it
        return dropped

    def _draws_itself(self, x: Tensor) -> bool:
        # A compiled network fuses torch's own dropout with what is around it.
        return self.training and self.p > 0 and x.device.type == "cpu" and not torch.compiler.is_compiling()


class _ReluDropout(torch.autograd.Function):
    """The dropout of a ReLU: its result is positive just where the gradient passes both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:  # noqa: ANN401 - torch does not annotate it
        kept = x.clamp_min(0).mul_(_kept(x, p))
        ctx.save_for_backward(kept)
        ctx.scale = _scale(p)
        return kept

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        (kept,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(gradient, kept, 0.0).mul_(ctx.scale), None


def _kept(x: Tensor, p: float) -> Tensor:
    """Return a factor for every value of *x*: 0 with probability *p*, otherwise what keeps the mean."""
    count = x.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    values = draws.view(torch.int16)[:count].view(x.shape)
    return (values >= _dropped(p) - LEVELS // 2).to(x.dtype).mul_(_scale(p))


def _dropped(p: float) -> int:
    """Return the number of levels at which a value is dropped; at least one is kept."""
    return min(round(p * LEVELS), LEVELS - 1)


def _scale(p: float) -> float:
    return LEVELS / (LEVELS - _dropped(p))
