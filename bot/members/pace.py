"""
Measure how fast this machine fits models, in a second or two each, with the code that fits them and made rows.

It imports training libraries, so kinds import it inside functions.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bot.members.fitting import Device
from bot.members.network.options import NetworkOptions
from bot.members.network.setup import training_options
from models.bins import TARGET_VALUES
from models.linear.ridge import LinearRows, fit_ridge
from models.network.network_config import WITHOUT_HISTORY, NetworkConfig
from models.stopping import TrainingStopped
from models.training.distributed import Team
from models.training.era_batch import EraBatch
from models.training.training import device_named, train
from models.trees.gbm import train_gbm
from models.trees.gbm_options import Chunks, GbmOptions

MEASURED_S = 1.2
"""Seconds of a measurement, beside its preparation."""

NETWORK_ROWS = {"cpu": 512, "cuda": 4096}
"""Rows of a step of the measured network."""

TREE_ROWS, TREES, TREE_COLUMNS = (4_000, 32_000), 6, 400
"""Rows of the two measured tree models, their trees, and the largest number of their columns."""

RIDGE_ROWS, RIDGE_ERAS, RIDGE_COLUMNS = 1_000, 3, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """
    Inputs and outputs of a network.

    Attributes:
        features: Features.
        engineered: Engineered columns.
        groups: Groups of features.
        targets: Targets that it learns.
    """

    features: int
    engineered: int
    groups: int
    targets: int


def network_rows(shape: NetworkShape, options: NetworkOptions, device: Device) -> tuple[float]:
    """
    Return the rows a second that the training of a network takes.

    Raises:
        RuntimeError: Several processes train together; the others would have to measure too.
    """
    if Team.current().size > 1:
        raise RuntimeError("several processes train together")
    past = bool(options.lookback and options.history_targets) and options.mixing not in WITHOUT_HISTORY
    parts = np.array_split(np.arange(shape.features), max(shape.groups, 1))
    config = NetworkConfig(
        features=shape.features,
        targets=tuple(f"target_{number}" for number in range(shape.targets)),
        engineered=shape.engineered,
        mixing=options.mixing,
        head=options.head,
        lookback=options.lookback if past else 0,
        groups=tuple(tuple(one.tolist()) for one in parts) if past else (),
        history_targets=len(options.history_targets) if past else 0,
        encoder=options.encoder,
        hidden=options.hidden,
        feed_forward=options.feed_forward,
        blocks=options.blocks,
    )
    rows = min(NETWORK_ROWS[device_named(device).type], options.batch_rows)
    eras, at = _MadeEras(config, rows), list[float]()
    chosen = replace(options, steps=1_000, epochs=1, era_stride=1, eras_per_step=1, compiled=False)
    with suppress(TrainingStopped):
        train(
            config,
            eras,
            _MadeEras(config, rows, count=0),
            training_options(chosen, target=config.targets[0], device=device, seed=1),
            score=lambda *_: 0.0,
            on_progress=lambda _now: at.append(time.perf_counter()),
            should_stop=lambda: len(at) > 2 and at[-1] - at[0] > MEASURED_S,
        )
    # The fastest step: what other processes take now, they do not take for hours.
    return (rows / float(np.diff(at).min()),)


class _MadeEras:
    """Eras of random rows, all of them the same."""

    def __init__(self, config: NetworkConfig, rows: int, count: int = 8) -> None:
        random = np.random.default_rng(1)
        self.eras = tuple(f"{number:04}" for number in range(count))
        self._batch = EraBatch(
            era="0001",
            features=random.integers(0, 5, (rows, config.features), dtype=np.int8),
            engineered=random.standard_normal((rows, config.engineered), dtype=np.float32),
            targets=random.choice(np.array(TARGET_VALUES, dtype=np.float32), (rows, len(config.targets))),
            benchmark=random.standard_normal(rows, dtype=np.float32),
        )
        self._window = (
            random.standard_normal((config.lookback, config.features, config.history_targets), dtype=np.float32) * 0.01
            if config.lookback
            else None
        )

    def batch(self, _index: int) -> EraBatch:
        return self._batch

    def window(self, _index: int) -> npt.NDArray[np.float32] | None:
        return self._window


FitTrees = Callable[[Chunks, npt.NDArray[np.float32], Callable[[int, int], None]], object]
"""Fits :data:`TREES` trees: columns, labels of shape ``(rows,)``, and the callback after each tree."""


def tree_times(fit: FitTrees, columns: int) -> tuple[float, float, float]:
    """
    Return the seconds that trees take.

    Args:
        fit: The library's training.
        columns: Columns of the data.

    Returns:
        Seconds to prepare one value, seconds of a tree whatever its rows, and seconds of a tree for each row.
    """
    used = min(columns, TREE_COLUMNS)
    small, large = (_tree_times(fit, rows, used) for rows in TREE_ROWS)
    a_row = max(large[1] - small[1], 0.0) / (TREE_ROWS[1] - TREE_ROWS[0])
    # Columns that are sampled make a tree's time; the measured ones stand for more.
    scale = columns / used
    fixed = max(small[1] - a_row * TREE_ROWS[0], 0.0)
    return large[0] / (TREE_ROWS[1] * used), fixed * scale, a_row * scale


def _tree_times(fit: FitTrees, rows: int, columns: int) -> tuple[float, float]:
    """Return the seconds before the first tree, and those of one tree."""
    random = np.random.default_rng(1)
    values = random.integers(0, 5, (columns, rows), dtype=np.int8)
    labels = (values[:8].mean(axis=0) / 8 + random.standard_normal(rows)).astype(np.float32)
    at = [time.perf_counter()]
    fit([list(values)], labels, lambda *_: at.append(time.perf_counter()))
    trees = np.diff(at[1:])
    tree = float(trees.min()) if len(trees) else at[-1] - at[0]
    return max(at[1] - at[0] - tree, 0.0), tree


def lightgbm_times(options: GbmOptions, columns: int) -> tuple[float, float, float]:
    """Return the figures of :func:`tree_times` for LightGBM."""
    # The made rows are few: the leaves of the options would not split them.
    few = replace(options, num_trees=TREES, min_data_in_leaf=20)

    def fit(chunks: Chunks, labels: npt.NDArray[np.float32], report: Callable[[int, int], None]) -> object:
        return train_gbm(chunks, labels, few, [f"c{index}" for index in range(len(chunks[0]))], report)

    return tree_times(fit, columns)


def ridge_times(columns: int, targets: int) -> tuple[float, float]:
    """Return the seconds that a ridge regression takes for each row, and those after the last row."""
    used, at = min(columns, RIDGE_COLUMNS), list[float]()
    random = np.random.default_rng(1)
    rows = LinearRows(
        features=random.integers(0, 5, (RIDGE_ROWS, used), dtype=np.int8),
        engineered=np.empty((RIDGE_ROWS, 0), dtype=np.float32),
        labels=random.random((RIDGE_ROWS, targets), dtype=np.float32),
        weight=1.0,
    )

    def eras() -> Iterator[LinearRows]:
        for _ in range(RIDGE_ERAS):
            at.append(time.perf_counter())
            yield rows
        at.append(time.perf_counter())

    names: Sequence[str] = [f"target_{number}" for number in range(targets)]
    fit_ridge(eras(), [f"c{number}" for number in range(used)], names, alpha=0.1)
    scale = columns / used
    # The first era is slower: pages and threads begin.
    return (
        (at[-1] - at[1]) / ((RIDGE_ERAS - 1) * RIDGE_ROWS) * scale**2,
        (time.perf_counter() - at[-1]) * scale**3,
    )
