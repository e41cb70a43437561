"""A small table for trees: what tests of their training share."""

from dataclasses import replace

import numpy as np

from models.trees.gbm import GbmOptions, train_gbm

TINY = GbmOptions(
    num_trees=12, learning_rate=0.1, max_depth=3, num_leaves=7, colsample_bytree=0.5, min_data_in_leaf=20, threads=1
)
NAMES = [f"feature_{index}" for index in range(8)] + ["mean_a", "mean_b"]
DART = replace(TINY, boosting="dart", num_trees=30, drop_rate=0.4, skip_drop=0.2)


def data(rows=800):
    rng = np.random.default_rng(1)
    features = rng.integers(0, 5, size=(rows, 8), dtype=np.int8)
    features[:, 5] = 2
    features[:, 6] = np.arange(rows) % 8 == 0
    engineered = rng.normal(size=(rows, 2)).astype(np.float32)
    y = 0.5 + 0.05 * (features[:, 0] - 2) + 0.05 * engineered[:, 1] + 0.1 * rng.normal(size=rows)
    return [*features.T, *engineered.T], y.astype(np.float32)


def train(cache, y=None, options=TINY, digest="rows"):
    columns, usual = data()
    return train_gbm([columns], usual if y is None else y, options, NAMES, rows_digest=digest, cache=cache)
