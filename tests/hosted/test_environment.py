"""The imitation of Numerai's machine: its limits hold, and it refuses results that Numerai would refuse."""

import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from bot.errors import GateFailed, OperatorNeeded
from bot.hosted._environment import IMAGES, run, this_python

pytestmark = pytest.mark.slow

LIVE = pd.DataFrame({"era": "X", "feature_a": np.int8(2)}, index=pd.Index(["n1", "n2", "n3"], name="id"))


@pytest.fixture
def ran(tmp_path):
    """Return a function that runs a model on three live rows and their benchmark."""

    def given(model):
        (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps(model))
        LIVE.to_parquet(tmp_path / "live.parquet")
        LIVE[["feature_a"]].to_parquet(tmp_path / "benchmarks.parquet")
        files = (tmp_path / name for name in ("model.pkl", "live.parquet", "benchmarks.parquet"))
        return run(Path(sys.executable), *files, tmp_path)

    return given


def test_predictions_come_back_to_the_last_bit(ran):
    """Predictions return exactly, with seconds and memory; a second argument receives the benchmark's file."""
    values = [0.1, 1 / 3, np.nextafter(1.0, 0.0)]
    found = ran(lambda _live, benchmarks: pd.DataFrame({"prediction": values}, index=benchmarks.index))

    assert found.ids == ("n1", "n2", "n3")
    assert found.predictions.tolist() == values
    assert found.seconds > 0
    assert found.peak_bytes > 10**7


def test_relative_paths_are_those_of_this_process(ran, tmp_path, monkeypatch):
    """The default state directory is a relative path, and the model runs in a folder of its own."""
    ran(lambda live: pd.DataFrame({"prediction": [0.1, 0.2, 0.3]}, index=live.index))
    (tmp_path / "scratch").mkdir()
    monkeypatch.chdir(tmp_path)
    found = run(Path(sys.executable), Path("model.pkl"), Path("live.parquet"), None, Path("scratch"))

    assert found.predictions.tolist() == [0.1, 0.2, 0.3]


def connects(live):
    import socket

    socket.create_connection(("127.0.0.1", 9), timeout=1)


def spreads(live):
    import os

    raise RuntimeError(f"{len(os.sched_getaffinity(0))} core")


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda _live: np.ones(5 * 10**9, dtype=np.int8), "Unable to allocate"),
        (connects, "an uploaded model has no network"),
        (spreads, "1 core"),
        (lambda live: pd.DataFrame({"prediction": [0.1, 0.2, np.nan]}, index=live.index), r"outside \(0, 1\)"),
        (lambda live: pd.DataFrame({"prediction": [0.0, 0.2, 0.3]}, index=live.index), r"outside \(0, 1\)"),
        (lambda _live: pd.DataFrame({"prediction": [0.1, 0.2, 0.3]}), "one prediction for each id"),
        (lambda live: pd.DataFrame({"other": [0.1, 0.2, 0.3]}, index=live.index), "one prediction for each id"),
    ],
    ids=["memory", "network", "cores", "missing", "edge", "ids", "column"],
)
def test_model_that_numerai_would_not_run_is_refused(ran, model, reason):
    """More than 4 GB, a connection, or an incomplete result is refused with its reason; there is one core."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    try:
        with pytest.raises(GateFailed, match=f"does not run on Numerai's machine: .*{reason}"):
            ran(model)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_model_that_takes_too_long_is_refused(ran, monkeypatch):
    """A model that exceeds the time limit is refused."""
    monkeypatch.setattr("bot.hosted._environment.LIMIT_S", 0.05)

    with pytest.raises(GateFailed, match="runs longer than"):
        ran(lambda live: live)


def test_python_without_an_image_is_refused(monkeypatch):
    """A Python version without an image of Numerai is refused, since a pickle runs on one version only."""
    monkeypatch.setattr(sys, "version_info", type(sys)("version"))
    sys.version_info.major, sys.version_info.minor = 3, 15

    with pytest.raises(OperatorNeeded, match=r"runs no models of Python 3\.15; export with one of 3\.11, 3\.12, 3\.13"):
        this_python()


def test_every_image_pins_what_a_packed_model_imports():
    """Each image pins numpy, pandas, onnx, LightGBM, and pyarrow for live files."""
    for pins in IMAGES.values():
        assert {"numpy", "pandas", "onnx", "lightgbm", "pyarrow", "cloudpickle"} <= set(pins)
