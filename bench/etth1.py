"""
Errors of the mixer's layers on its authors' benchmark: basic TSMixer with RevIN on ETTh1, beside the paper's table.

ETTh1.csv (Zhou et al., ``ETDataset``, 17,420 hours of 7 channels) may not be shipped, so its path is an argument; without
the file nothing is trained. Official protocol: lookback 512, hours split 8,640 / 2,880
/ 2,880, scaled by the training part, windows of stride 1 that reach back over the border of their part, Adam on the
mean squared error, batches of 32, the best of at most 100 epochs on validation with patience 5.

T=720 has the paper's settings. T=96 has lighter ones (two blocks, width 64), because the paper's take six minutes an epoch
on two cores. Expect 3 and 10 minutes.
"""

import argparse
import copy
import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tsmixer_keras import TSMixer, TSMixerConfig

LOOKBACK = 512
PARTS = (8_640, 2_880, 2_880)
BATCH = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """
    Training options of one horizon, and its errors.

    Attributes:
        blocks: Mixer blocks.
        feed_forward: Hidden width of feature mixing.
        learning_rate: Learning rate.
        dropout: Dropout.
        paper: MSE and MAE of the paper.
        goal: Largest MSE and MAE that meet the goal.
    """

    blocks: int
    feed_forward: int
    learning_rate: float
    dropout: float
    paper: tuple[float, float]
    goal: tuple[float, float]


SETTINGS = {
    96: Setting(blocks=2, feed_forward=64, learning_rate=1e-3, dropout=0.9, paper=(0.361, 0.392), goal=(0.380, 0.405)),
    720: Setting(blocks=2, feed_forward=64, learning_rate=1e-3, dropout=0.9, paper=(0.463, 0.472), goal=(0.475, 0.485)),
}


def read(path: Path) -> npt.NDArray[np.float32]:
    """Return the channels of the file, scaled by the training part's mean and deviation. Shape ``[hours, C]``."""
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        header = next(lines)
        values = np.array([line[1:] for line in lines], dtype=np.float64)
    if header[0] != "date" or len(values) < sum(PARTS):
        sys.exit(f"{path} has {len(values):,} rows under {header[0]!r}; ETTh1.csv has 17,420 under 'date'")
    known = values[: PARTS[0]]
    return ((values - known.mean(axis=0)) / known.std(axis=0)).astype(np.float32)


class Windows:
    """All windows of one part of the series, as views of it."""

    def __init__(self, series: npt.NDArray[np.float32], *, start: int, length: int, horizon: int) -> None:
        first = max(0, start - LOOKBACK)
        part = torch.from_numpy(series[first : start + length])
        self._steps = part.unfold(0, LOOKBACK + horizon, 1).transpose(1, 2)

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self._steps)

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the inputs, and the steps that follow them. Shapes ``[B, L, C]`` and ``[B, T, C]``."""
        chosen = self._steps[index]
        return chosen[:, :LOOKBACK], chosen[:, LOOKBACK:]


@torch.inference_mode()
def errors(network: TSMixer, windows: Windows) -> tuple[float, float]:
    """Return the mean squared and the mean absolute error over all windows."""
    network.eval()
    squared = absolute = 0.0
    for index in torch.arange(len(windows)).split(256):
        x, y = windows.rows(index)
        off = network(x) - y
        squared += float(off.square().mean((1, 2)).sum())
        absolute += float(off.abs().mean((1, 2)).sum())
    return squared / len(windows), absolute / len(windows)


def fit(series: npt.NDArray[np.float32], horizon: int, *, epochs: int, patience: int = 5) -> tuple[float, float]:
    """Train on the first part, keep the weights that are best on the second, and return MSE and MAE on the third."""
    setting = SETTINGS[horizon]
    starts = np.cumsum((0, *PARTS[:-1]))
    training, validation, test = (
        Windows(series, start=int(start), length=length, horizon=horizon)
        for start, length in zip(starts, PARTS, strict=True)
    )
    torch.manual_seed(1)
    network = TSMixer(
        TSMixerConfig(
            lookback=LOOKBACK,
            horizon=horizon,
            channels=series.shape[1],
            feed_forward=setting.feed_forward,
            blocks=setting.blocks,
            dropout=setting.dropout,
            rev_in=True,
        )
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=setting.learning_rate)
    best, age, weights = float("inf"), 0, copy.deepcopy(network.state_dict())
    for epoch in range(epochs):
        network.train()
        for index in torch.randperm(len(training)).split(BATCH):
            if len(index) == 1:
                continue  # one window has no batch statistics; another epoch leaves out another window
            x, y = training.rows(index)
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.mse_loss(network(x), y).backward()
            optimizer.step()
        squared, _ = errors(network, validation)
        print(f"  T={horizon}, epoch {epoch + 1}: validation MSE {squared:.4f}", file=sys.stderr, flush=True)
        age += 1
        if squared < best:
            best, age, weights = squared, 0, copy.deepcopy(network.state_dict())
        if age >= patience:
            break
    network.load_state_dict(weights)
    return errors(network, test)


def main() -> None:
    """Train, print the table, and fail if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", help="ETTh1.csv")
    parser.add_argument("--scale", type=float, default=1.0, help="share of 100 epochs")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.file is None or not options.file.is_file():
        sys.exit("give the path of ETTh1.csv; without it nothing is measured")
    series = read(options.file)
    epochs = max(1, round(100 * options.scale))
    made = {horizon: fit(series, horizon, epochs=epochs) for horizon in SETTINGS}
    print(f"{'figure':<14}{'ours':>9}{'paper':>9}{'ratio':>8}{'goal':>8}")
    missed = []
    for horizon, ours in made.items():
        setting = SETTINGS[horizon]
        for name, our, paper, goal in zip(("MSE", "MAE"), ours, setting.paper, setting.goal, strict=True):
            print(f"{f'T={horizon} {name}':<14}{our:>9.4f}{paper:>9.3f}{our / paper:>8.2f}{goal:>8.3f}")
            missed += [f"T={horizon} {name}"] if our > goal else []
    if options.json:
        options.json.write_text(json.dumps({str(horizon): ours for horizon, ours in made.items()}, indent=1))
    if missed:
        sys.exit("missed: " + ", ".join(missed))


if __name__ == "__main__":
    main()
