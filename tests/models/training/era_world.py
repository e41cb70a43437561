"""A world of eras in memory, small enough to train on in a second: what the training tests share."""

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from models.network.network_config import NetworkConfig
from models.training.training import EraBatch, TrainingOptions, train

TARGETS = ("target_ender_20", "target_ender_60")
FEATURES, ROWS, LOOKBACK, LAG = 12, 80, 8, 6
CONFIG = NetworkConfig(
    features=FEATURES,
    targets=TARGETS,
    lookback=LOOKBACK,
    groups=(tuple(range(FEATURES)),),
    history_targets=1,
    history_scale=(FEATURES / 2) ** 0.5,
    encoder=(16,),
    hidden=16,
    feed_forward=16,
    blocks=1,
    input_scale=2**0.5,
)
PLAIN = replace(CONFIG, lookback=0, groups=(), history_targets=0)
OPTIONS = TrainingOptions(main_target="target_ender_60", epochs=2, learning_rate=1e-2, evaluations_per_epoch=3)


def score(predictions, targets, _benchmark=None):
    """Return the plain correlation, NaN for constants: enough to say which weights rank better."""
    return float(np.corrcoef(predictions, targets)[0, 1]) if np.ptp(predictions) and np.ptp(targets) else float("nan")


@dataclass
class World:
    """Eras in memory."""

    batches: list
    windows: list

    @property
    def eras(self):
        """Return the names of the eras."""
        return [batch.era for batch in self.batches]

    def batch(self, index):
        """Return an era."""
        return self.batches[index]

    def part(self, start, stop):
        """Return some of the eras."""
        return World(self.batches[start:stop], self.windows[start:stop])

    def window(self, index):
        """Return what an era may see of the past."""
        return self.windows[index]

    def changed(self, change):
        """Return the world with every batch changed."""
        return World([change(batch) for batch in self.batches], self.windows)


def world(*, persistence=0.0, static=0.1, moving=0.0, lag=LAG, weeks=1, rows=ROWS, eras=70, seed=0):
    """
    Return eras whose targets follow linear factor returns, a static and a moving part, and one interaction.

    History is one channel: the row's features times the realised feature returns of *lag* and more eras ago. A target
    covers the factor returns of *weeks* eras up to its own, so that a lag shorter than that sees part of what it predicts.
    """
    rng = np.random.default_rng(seed)
    weights = static * rng.choice([-1.0, 1.0], FEATURES)
    factor, covered, realised, batches, windows = np.zeros(FEATURES), deque(maxlen=weeks), [], [], []
    for era in range(eras):
        shock = moving * rng.standard_normal(FEATURES)
        factor = persistence * factor + np.sqrt(1 - persistence**2) * shock
        covered.append(factor)
        codes = rng.integers(0, 5, (rows, FEATURES), dtype=np.int8)
        x = (codes - 2) / np.sqrt(2)
        signal = x @ (weights + sum(covered)) + static * x[:, 0] * x[:, 1]
        ranks = np.argsort(np.argsort(signal[:, None] + rng.standard_normal((rows, 2)), axis=0), axis=0) / rows
        targets = (np.digitize(ranks, [0.05, 0.25, 0.75, 0.95]) / 4).astype(np.float32)
        realised.append(x.T @ (targets[:, 0] - 0.5) * 4 / np.sqrt(rows * FEATURES))
        newest_first = [
            realised[past] if past >= 0 else np.zeros(FEATURES) for past in range(era - lag, era - lag - LOOKBACK, -1)
        ]
        windows.append(np.stack(newest_first)[:, :, None].astype(np.float32))
        batches.append(EraBatch(era=f"{era:04d}", features=codes, engineered=None, targets=targets))
    return World(batches[20:], windows[20:])


def fit(data, config=CONFIG, options=OPTIONS, *, newest=12, **changes):
    """Train on the older eras of *data*, validate on the *newest*."""
    count = len(data.batches)
    training, validation = data.part(0, count - newest - LAG), data.part(count - newest, count)
    return train(config, training, validation, replace(options, **changes), score=score)
