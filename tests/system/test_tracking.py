"""Metrics of a training go to TensorBoard or MLflow, neither of which the bot needs."""

import sys
from types import ModuleType

import pytest

from bot.errors import OperatorNeeded
from bot.training.tracking import tracking


@pytest.fixture
def calls(monkeypatch):
    """List the calls of stand-ins for both trackers, which are no dependencies."""
    made = []

    class SummaryWriter:
        def __init__(self, folder):
            made.append(folder)

        def add_scalar(self, name, value, step):
            made.append((name, value, step))

        def close(self):
            made.append("closed")

    tensorboard, mlflow = ModuleType("torch.utils.tensorboard"), ModuleType("mlflow")
    tensorboard.SummaryWriter = SummaryWriter
    mlflow.set_tracking_uri = made.append
    mlflow.start_run = lambda: made.append("started")
    mlflow.log_metric = lambda name, value, step: made.append((name, value, step))
    mlflow.end_run = lambda: made.append("closed")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", tensorboard)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    return made


@pytest.mark.parametrize("tracker", ["tensorboard", "mlflow"])
def test_tracker_receives_every_metric_and_is_closed(calls, tmp_path, tracker):
    """Metrics are named by their run, and the tracker writes to the given folder."""
    with tracking(tracker, tmp_path / "curves") as record_metrics:
        record_metrics("network-7", 30, {"loss": 1.2, "corr": 0.03})

    opened = {"tensorboard": [str(tmp_path / "curves")], "mlflow": [(tmp_path / "curves").as_uri(), "started"]}
    assert calls == [*opened[tracker], ("network-7/loss", 1.2, 30), ("network-7/corr", 0.03, 30), "closed"]


def test_failing_tracker_does_not_end_a_training(calls, tmp_path, monkeypatch):
    """Errors of the tracker are not raised, and it is still closed."""
    monkeypatch.setattr(sys.modules["mlflow"], "log_metric", lambda *_: 1 / 0)

    with tracking("mlflow", tmp_path) as record_metrics:
        record_metrics("network-7", 30, {"loss": 1.2})
        record_metrics("network-7", 60, {"loss": 1.1})

    assert calls[-1] == "closed"


@pytest.mark.parametrize(("tracker", "module"), [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow")])
def test_missing_tracker_is_named(monkeypatch, tmp_path, tracker, module):
    """The message names the tracker and the setting, and no folder is made."""
    monkeypatch.setitem(sys.modules, module, None)

    with pytest.raises(OperatorNeeded, match=f"{tracker} is not installed; install it, or set BOT_TRACKER=off"):
        tracking(tracker, tmp_path / "curves").__enter__()
    assert not (tmp_path / "curves").exists()


def test_no_metrics_are_written_without_a_tracker(tmp_path):
    """The default tracker, ``off``, makes no folder."""
    with tracking("off", tmp_path / "curves") as record_metrics:
        record_metrics("network-7", 30, {"loss": 1.2})

    assert not (tmp_path / "curves").exists()
