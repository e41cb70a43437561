"""Size, kind, device and rows of a gradient-boosted regression, and what LightGBM is told of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Device = Literal["cpu", "cuda", "gpu"]
Parameters = Mapping[str, str | int | float | bool]
Column = npt.NDArray[np.generic]
Chunks = Sequence[Sequence[Column]]
"""Rows in chunks, each a list of columns: int8 codes or float32. Each column of shape ``(rows of the chunk,)``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GbmOptions:
    """
    Size of a gradient-boosted regression; names are LightGBM's.

    Attributes:
        num_trees: Trees, all of them used.
        learning_rate: Share of each tree that counts.
        max_depth: Splits from root to leaf at most.
        num_leaves: Leaves of a tree at most.
        colsample_bytree: Share of the columns that each tree may look at.
        min_data_in_leaf: Rows a leaf must hold.
        bin_sample: Rows that LightGBM looks at to find the values of a column. Its own default of 200,000 takes 12
            bytes per row and column; 20,000 gave identical trees while every value has 1e-4 of the rows.
        boosting: ``dart`` leaves out some of the trees so far before it grows the next, and cannot be resumed.
        drop_rate: Of ``dart``: share of the trees that is left out.
        max_drop: Of ``dart``: trees left out at most; 0 or less for no bound.
        skip_drop: Of ``dart``: probability that none is left out.
        uniform_drop: Of ``dart``: every tree is as likely to be left out, whatever its weight.
        device: ``auto`` takes a GPU where LightGBM was built for one and finds it.
        seed: Of the choice of columns, and of trees left out.
        threads: Cores, 0 for all; on the CPU the model does not depend on their number.
    """

    num_trees: int
    learning_rate: float
    max_depth: int
    num_leaves: int
    colsample_bytree: float
    min_data_in_leaf: int = 20
    bin_sample: int = 20_000
    boosting: Literal["gbdt", "dart"] = "gbdt"
    drop_rate: float = 0.1
    max_drop: int = 50
    skip_drop: float = 0.5
    uniform_drop: bool = False
    device: Literal["auto", "cpu", "cuda", "gpu"] = "cpu"
    seed: int = 1
    threads: int = 0


_SMALL = GbmOptions(num_trees=2_000, learning_rate=0.01, max_depth=5, num_leaves=31, colsample_bytree=0.1)
_LARGE = GbmOptions(num_trees=20_000, learning_rate=0.001, max_depth=6, num_leaves=64, colsample_bytree=0.1)

PRESETS: Mapping[str, GbmOptions] = {
    "demo": GbmOptions(
        num_trees=100, learning_rate=0.05, max_depth=5, num_leaves=15, colsample_bytree=0.3, min_data_in_leaf=200
    ),
    "small": _SMALL,
    "standard": GbmOptions(
        num_trees=2_000,
        learning_rate=0.01,
        max_depth=5,
        num_leaves=31,
        colsample_bytree=0.1,
        min_data_in_leaf=10_000,
    ),
    "large": _LARGE,
    "deep": GbmOptions(
        num_trees=30_000,
        learning_rate=0.001,
        max_depth=10,
        num_leaves=1_024,
        colsample_bytree=0.1,
        min_data_in_leaf=10_000,
    ),
    "dart": GbmOptions(
        num_trees=2_000,
        learning_rate=0.05,
        max_depth=5,
        num_leaves=31,
        colsample_bytree=0.1,
        boosting="dart",
    ),
}
"""
Numerai's published parameters (``small``: the example notebook; ``standard``: the same with the leaf size of the
benchmark's configurations; ``large``: "standard large"; ``deep``), a toy for the demo, and ``dart``: the small shape, at
a learning rate that outweighs what leaving trees out takes away.
"""


def data_parameters(options: GbmOptions, device: Device) -> Parameters:
    """
    Return what a Dataset is made by: it serves every training whose answer here is equal.

    Leaf size, seed and label are kept out of it on purpose. LightGBM's own defaults drop columns that no leaf of the
    wanted size could split, and sample rows by the seed; here neither touches the Dataset.
    """
    return {
        "bin_construct_sample_cnt": options.bin_sample,
        "data_random_seed": 1,
        "feature_pre_filter": False,
        "max_bin": 255,
        "device_type": device,
        "verbosity": -1,
    }


def train_parameters(options: GbmOptions, device: Device) -> Parameters:
    """Return everything LightGBM is told, the Dataset's part included."""
    parameters = {
        **data_parameters(options, device),
        "objective": "regression",
        "boosting": options.boosting,
        "num_iterations": options.num_trees,
        "learning_rate": options.learning_rate,
        "max_depth": options.max_depth,
        "num_leaves": options.num_leaves,
        "feature_fraction": options.colsample_bytree,
        "min_data_in_leaf": options.min_data_in_leaf,
        "seed": options.seed,
        "num_threads": options.threads,
        "deterministic": True,
    }
    if options.boosting == "dart":
        parameters |= {
            "drop_rate": options.drop_rate,
            "max_drop": options.max_drop,
            "skip_drop": options.skip_drop,
            "uniform_drop": options.uniform_drop,
        }
    if device == "cpu":
        # Sums over all rows in their order: the same trees on any number of cores, and no second copy of the matrix.
        parameters["force_col_wise"] = True
    if device == "gpu":
        parameters["gpu_use_dp"] = True
    return parameters
