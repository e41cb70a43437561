"""Average networks that differ in their seed, as one graph to serve."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.network.network import Network


class SeedAverage(nn.Module):
    """
    The mean of the class probabilities, or of the scores, of networks of one shape.

    Every expected value of the mean is the mean of the networks' expected values.

    Raises:
        ValueError: There is no network, or they have different configs.
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        if not networks or any(network.config != networks[0].config for network in networks):
            raise ValueError(f"{len(networks)} networks cannot be averaged; one or more of one config can")
        self.networks = nn.ModuleList(networks)
        self.config = networks[0].config

    def forward(
        self,
        features_BF: Tensor,
        engineered_BE: Tensor | None = None,
        window_LFK: Tensor | None = None,
        predictions_BT: Tensor | None = None,
    ) -> Tensor:
        """Return logits, the logarithm of the mean probabilities, or the mean scores. Shape ``[B, T, K]``."""
        if len(self.networks) == 1:
            logits_BTK: Tensor = self.networks[0](features_BF, engineered_BE, window_LFK, predictions_BT)
            return logits_BTK
        outputs = [network(features_BF, engineered_BE, window_LFK, predictions_BT) for network in self.networks]
        if self.config.head == "score":
            return torch.stack(outputs).mean(dim=0)
        logs = [output.log_softmax(dim=-1) for output in outputs]
        return torch.stack(logs).logsumexp(dim=0) - math.log(len(logs))
