"""The reproduction of the paper's benchmark, on a small series of the same columns; and the RevIN it needs."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.tsmixer_keras import RevIN

CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")


@pytest.fixture
def bench(monkeypatch):
    """Return the script with a short lookback, small parts and one short horizon."""
    path = Path(__file__).parents[2] / "bench" / "etth1.py"
    monkeypatch.syspath_prepend(path.parent)
    spec = importlib.util.spec_from_file_location("etth1", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "LOOKBACK", 24)
    monkeypatch.setattr(module, "PARTS", (222, 80, 80))  # a last batch of one window, as T=96 has
    setting = module.Setting(
        blocks=1, feed_forward=8, learning_rate=1e-2, dropout=0.1, paper=(0.5, 0.5), goal=(0.3, 0.4)
    )
    monkeypatch.setattr(module, "SETTINGS", {6: setting})
    return module


def series(path, *, hours=382, noise=0.1):
    """Write hours of seven daily waves."""
    random, time = np.random.default_rng(0), np.arange(hours)
    lines = ["date," + ",".join(CHANNELS)]
    for hour in time:
        waves = np.sin(2 * np.pi * (hour / 24 + np.arange(7) / 7)) * np.arange(1, 8) + 20
        values = waves + noise * random.standard_normal(7)
        lines.append(f"2016-07-{1 + hour // 24} {hour % 24:02d}:00:00," + ",".join(f"{value:.4f}" for value in values))
    path.write_text("\n".join(lines) + "\n")
    return path


def run(bench, monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["etth1.py", *map(str, arguments)])
    bench.main()


def test_daily_waves_are_learned_and_printed_beside_the_paper(bench, monkeypatch, tmp_path, capsys):
    """A few epochs go through the whole script: errors far below the series' variance, one line for each of them."""
    run(bench, monkeypatch, series(tmp_path / "ETTh1.csv"), "--scale", 0.05, "--json", tmp_path / "out.json")
    printed = capsys.readouterr().out.splitlines()

    assert [line.split()[:2] for line in printed[1:]] == [["T=6", "MSE"], ["T=6", "MAE"]]
    assert all(0 < float(line.split()[2]) < 0.3 for line in printed[1:])
    assert (tmp_path / "out.json").is_file()


def test_a_missed_goal_ends_with_exit_1(bench, monkeypatch, tmp_path):
    """What cannot be forecast is not called reproduced."""
    with pytest.raises(SystemExit, match="missed: T=6 MSE, T=6 MAE"):
        run(bench, monkeypatch, series(tmp_path / "ETTh1.csv", noise=100), "--scale", 0.01)


def test_without_the_file_no_number_is_printed(bench, monkeypatch, tmp_path, capsys):
    """The script says what it needs."""
    with pytest.raises(SystemExit, match="path of ETTh1"):
        run(bench, monkeypatch, tmp_path / "absent.csv")
    assert capsys.readouterr().out == ""


def test_a_file_that_is_too_short_is_refused(bench, monkeypatch, tmp_path):
    """The official split needs its rows."""
    with pytest.raises(SystemExit, match="has 381 rows under 'date'"):
        run(bench, monkeypatch, series(tmp_path / "ETTh1.csv", hours=381))


def test_windows_of_a_part_reach_back_and_no_further(bench):
    """The first forecast of a part is its first hour, the last one ends with it."""
    hours = np.arange(400, dtype=np.float32)[:, None]
    windows = bench.Windows(hours, start=240, length=80, horizon=6)
    x, y = windows.rows(torch.tensor([0, len(windows) - 1]))

    assert len(windows) == 80 - 6 + 1
    assert (x[0, 0, 0], x[0, -1, 0], y[0, 0, 0], y[1, -1, 0]) == (216, 239, 240, 319)


def test_rev_in_is_its_definition():
    """Population mean and deviation over time, the affine part, and back, in plain numpy."""
    random = np.random.default_rng(1)
    x, y = random.normal(3, 5, (2, 9, 4)), random.normal(size=(2, 6, 4))
    weight, bias = random.uniform(0.5, 2, 4), random.normal(size=4)
    layer = RevIN(4).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    mean, deviation = x.mean(axis=1, keepdims=True), np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)

    ours = layer.statistics(torch.from_numpy(x))
    normal = layer.normalize(torch.from_numpy(x), *ours)
    restored = layer.restore(torch.from_numpy(y), *ours)

    np.testing.assert_allclose(normal.detach(), (x - mean) / deviation * weight + bias, rtol=1e-12)
    np.testing.assert_allclose(restored.detach(), (y - bias) / weight * deviation + mean, rtol=1e-12)
