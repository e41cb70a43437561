"""
Historical covariates of the Numerai network: the scores that factor models of resolved eras give a row.

Channel (g, k) of step l is the product of the row's centred features of group g and their returns with target k in the
l-th newest resolved era, ``window``::

    x[i, l, (g, k)] = scale / sqrt(|g|) * sum over j in g of (f[i, j] - 2) * window[l, j, k]

Suffixes of tensors: B rows, F features, L lookback, K history targets, C channels, T steps after the projection.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from models.bins import MIDDLE_BIN

CENTRE = float(MIDDLE_BIN)
"""The middle bin in the network's arithmetic."""


class FactorHistory(nn.Module):
    """
    The history of each row, from its features and the window that all rows share.

    Args:
        groups: Positions of each group's features; channels are in this order, targets fastest.
        scale: Factor that brings the channels to unit size.
    """

    def __init__(self, groups: Sequence[Sequence[int]], *, scale: float) -> None:
        super().__init__()
        self._count = len(groups)
        self._scales = [scale / len(group) ** 0.5 for group in groups]
        for index, group in enumerate(groups):
            self.register_buffer(f"group_{index}", torch.tensor(group, dtype=torch.long), persistent=False)

    def scores(self, centred_BF: Tensor, window_LFK: Tensor) -> Tensor:
        """Return the whole history, step by step. Shape ``[B, L, C]``."""
        steps, _, targets = window_LFK.shape
        return self._product(centred_BF, window_LFK, steps, targets)

    def projected(self, centred_BF: Tensor, window_LFK: Tensor, projection: nn.Linear) -> Tensor:
        """
        Return the history after a projection over time, the same for every channel. Shape ``[B, T, C]``.

        Equal to ``projection`` of :meth:`scores` up to the order of float sums. Both maps are linear, so the window is
        projected once for all rows: T products a row instead of L.
        """
        steps, _, targets = window_LFK.shape
        projected_TFK = (projection.weight @ window_LFK.reshape(steps, -1)).reshape(-1, *window_LFK.shape[1:])
        history_BTC = self._product(centred_BF, projected_TFK, projection.out_features, targets)
        return history_BTC + projection.bias.unsqueeze(-1)

    def _product(self, centred_BF: Tensor, loadings_SFK: Tensor, steps: int, targets: int) -> Tensor:
        loadings_FX = loadings_SFK.permute(1, 0, 2).reshape(-1, steps * targets)
        # Read each feature as one run of memory; reading row by row costs more than the products.
        centred_FB = centred_BF.T.contiguous()
        parts = [
            (centred_FB.index_select(0, group).T @ (loadings_FX.index_select(0, group) * scale)).reshape(
                -1, steps, targets
            )
            for group, scale in self.groups()
        ]
        return torch.cat(parts, dim=-1)

    def groups(self) -> Iterator[tuple[Tensor, float]]:
        """Yield the positions of each group's features and the scale of its channels."""
        for index, scale in enumerate(self._scales):
            yield self.get_buffer(f"group_{index}"), scale


class EraContext(nn.Module):
    """
    Context of an era from its window: mean and root mean square of the feature returns of each group.

    It is the same for every row of the era, and is computed once.
    """

    def __init__(self, groups: Sequence[Sequence[int]], *, features: int, scale: float) -> None:
        super().__init__()
        share_GF = torch.zeros(len(groups), features)
        for index, group in enumerate(groups):
            share_GF[index, list(group)] = 1 / len(group)
        self.share_GF: Tensor
        self.register_buffer("share_GF", share_GF, persistent=False)
        self._scale = scale

    def forward(self, window_LFK: Tensor) -> Tensor:
        """Return the context. Shapes ``[L, F, K]`` to ``[1, L, 2 * G * K]``."""
        scaled_LFK = window_LFK * self._scale
        mean_LGK = self.share_GF @ scaled_LFK
        size_LGK = torch.sqrt(self.share_GF @ scaled_LFK.square() + 1e-6)
        return torch.cat([mean_LGK.flatten(1), size_LGK.flatten(1)], dim=-1).unsqueeze(0)
