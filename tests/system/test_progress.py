"""Curves for tools the bot does not need."""

import sys
from types import ModuleType

import pytest

from bot.errors import OperatorNeeded
from bot.system.progress import tracking


@pytest.fixture
def tools(monkeypatch):
    """Stand-ins for both tools, which are no dependency, that note what they are told."""
    told = []

    class SummaryWriter:
        def __init__(self, folder):
            told.append(folder)

        def add_scalar(self, name, value, step):
            told.append((name, value, step))

        def close(self):
            told.append("closed")

    tensorboard, mlflow = ModuleType("torch.utils.tensorboard"), ModuleType("mlflow")
    tensorboard.SummaryWriter = SummaryWriter
    mlflow.set_tracking_uri = told.append
    mlflow.start_run = lambda: told.append("started")
    mlflow.log_metric = lambda name, value, step: told.append((name, value, step))
    mlflow.end_run = lambda: told.append("closed")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", tensorboard)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    return told


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_a_tool_is_told_every_measurement_and_closed(tools, tmp_path, tracker):
    """Names carry the run; everything lies in the folder given."""
    with tracking(tracker, tmp_path / "curves") as track:
        track("network-7", 30, {"loss": 1.2, "corr": 0.03})

    opened = {"tensorboard": [str(tmp_path / "curves")], "mlflow": [(tmp_path / "curves").as_uri(), "started"]}
    assert tools == [*opened[tracker], ("network-7/loss", 1.2, 30), ("network-7/corr", 0.03, 30), "closed"]


def test_a_tool_that_fails_is_left_alone(tools, tmp_path, monkeypatch):
    """Training goes on without it."""
    monkeypatch.setattr(sys.modules["mlflow"], "log_metric", lambda *_: 1 / 0)

    with tracking("mlflow", tmp_path) as track:
        track("network-7", 30, {"loss": 1.2})
        track("network-7", 60, {"loss": 1.1})

    assert tools[-1] == "closed"


@pytest.mark.parametrize(("tracker", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_a_tool_that_is_not_installed_is_named(monkeypatch, tmp_path, tracker, module):
    """The message says what to do, and nothing is written."""
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(OperatorNeeded, match=f"{tracker} is not installed; install it, or set BOT_TRACKER=off"):
        tracking(tracker, tmp_path / "curves").__enter__()
    assert not (tmp_path / "curves").exists()


def test_nothing_is_tracked_unless_asked(tmp_path):
    """Off means off: no folder, no import."""
    with tracking("off", tmp_path / "curves") as track:
        track("network-7", 30, {"loss": 1.2})

    assert not (tmp_path / "curves").exists()
