"""Bring the scores of a network with a single output to one scale."""

import numpy as np
import torch

from models.network.network import Network
from models.training._era_feed import EraFeed

SPREAD = 0.1
"""Standard deviation of the scores within an era. Class probabilities give scores of about this size."""

ERAS, ROWS = 16, 4096
"""Number of eras that the scale is measured on, and of rows scored at a time."""


def scale_scores(network: Network, feed: EraFeed) -> None:
    """
    Scale the head of *network*, so that its scores have the standard deviation :data:`SPREAD` within an era.

    The correlation loss leaves the scale free. On one scale the seeds of an average count equally, and the tolerances of
    export and golden batch mean the same for every network. No rank changes.

    Args:
        network: Network with a single output, in evaluation mode, on the device of the feed.
        feed: Eras to measure on; evenly spaced ones are taken.
    """
    spreads = []
    with torch.inference_mode():
        for era in feed.stream(range(0, len(feed.eras), -(-len(feed.eras) // ERAS))):
            parts = [network(*era.inputs(slice(at, at + ROWS))) for at in range(0, len(era.targets), ROWS)]
            if len(scores := torch.cat(parts)) > 1:
                spreads.append(float(scores.std(dim=0).mean()))
    spread = float(np.mean(spreads)) if spreads else 0.0
    if spread > 0:
        with torch.no_grad():
            network.mixer.head.weight.mul_(SPREAD / spread)
            network.mixer.head.bias.mul_(SPREAD / spread)
