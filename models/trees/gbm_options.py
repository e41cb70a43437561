"""Options of a gradient-boosted regression, and the LightGBM parameters made from them."""

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
        num_trees: Number of trees. There is no early stopping.
        learning_rate: Share of each tree that counts.
        max_depth: Largest number of splits from root to leaf.
        num_leaves: Largest number of leaves of a tree.
        colsample_bytree: Share of the columns that each tree may use.
        min_data_in_leaf: Smallest number of rows in a leaf.
        bin_sample: Rows that LightGBM samples to find the values of a column. Its own default of 200,000 takes 12
            bytes per row and column; 20,000 gave identical trees while every value has 1e-4 of the rows.
        boosting: ``dart`` drops some earlier trees before it grows the next one, and cannot be resumed.
        drop_rate: Share of the trees that ``dart`` drops.
        max_drop: Largest number of trees that ``dart`` drops; 0 or less for no limit.
        skip_drop: Probability that ``dart`` drops no tree.
        uniform_drop: Whether ``dart`` drops every tree with the same probability, whatever its weight.
        device: ``auto`` uses a GPU where LightGBM was built for one and finds it.
        seed: Seed of the choice of columns and of dropped trees.
        threads: Number of cores, 0 for all. On the CPU the model does not depend on it.
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
Presets of a recipe.

``small``, ``standard``, ``large`` and ``deep`` are Numerai's published parameters: the example notebook, the same with
the leaf size of the benchmark models, "standard large", and "deep". ``demo`` is small enough for the demo. ``dart`` has
the shape of ``small`` and a higher learning rate, which makes up for dropped trees.
"""


def data_parameters(options: GbmOptions, device: Device) -> Parameters:
    """
    Return the parameters of a Dataset. Trainings with equal parameters can share one.

    Leaf size, seed and label are no part of it, so that trainings which differ in them share a Dataset.
    """
    return {
        "bin_construct_sample_cnt": options.bin_sample,
        # LightGBM's default samples rows by the training's seed.
        "data_random_seed": 1,
        # LightGBM's default drops columns that no leaf of the training's size could split.
        "feature_pre_filter": False,
        "max_bin": 255,
        "device_type": device,
        "verbosity": -1,
    }


def train_parameters(options: GbmOptions, device: Device) -> Parameters:
    """Return all parameters of a training, those of its Dataset included."""
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
        # Sums run over all rows in their order: the trees are the same on any number of cores, without a second matrix.
        parameters["force_col_wise"] = True
    if device == "gpu":
        parameters["gpu_use_dp"] = True
    return parameters
