"""Times of this machine are measured once, and kept for the next plan."""

import json
import os

import pytest

from bot.training.planning import machine_times
from bot.training.planning.machine_times import FILE, MachineTimes


@pytest.fixture(autouse=True)
def _quiet(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))


def never():
    pytest.fail("measured again")


def test_a_figure_is_measured_once(tmp_path):
    """The next process reads the figure from the state directory."""
    first = MachineTimes.open(tmp_path).measured("rows/s", lambda: (3.5,))

    assert first == (3.5,)
    assert MachineTimes.open(tmp_path).measured("rows/s", never) == (3.5,)


def test_another_machine_measures_anew(tmp_path, monkeypatch):
    """Figures of a machine with another processor or other cores are not used."""
    MachineTimes.open(tmp_path).measured("rows/s", lambda: (3.5,))
    monkeypatch.setattr(machine_times, "identity", lambda: "another, 64 cores")

    assert MachineTimes.open(tmp_path).measured("rows/s", lambda: (99.0,)) == (99.0,)


def test_a_figure_of_a_busy_machine_is_used_once(tmp_path, monkeypatch):
    """What other processes took at that moment must not stand in every later plan."""
    monkeypatch.setattr(os, "getloadavg", lambda: (1e6, 0.0, 0.0))
    times = MachineTimes.open(tmp_path)

    assert times.measured("rows/s", lambda: (1.0,)) == times.measured("rows/s", never) == (1.0,)
    assert times.busy
    times.keep_retrain("demo", {"judge": {"seconds": 2.0, "amount": 10.0, "about": ""}})
    assert MachineTimes.open(tmp_path).figures == {}


def test_a_figure_of_a_busy_machine_is_measured_again_when_asked(tmp_path, monkeypatch):
    """Once the other processes have ended, the new figure is that of this machine, and is kept."""
    monkeypatch.setattr(os, "getloadavg", lambda: (1e6, 0.0, 0.0))
    times = MachineTimes.open(tmp_path)
    times.measured("rows/s", lambda: (1.0,))
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    times.forget_busy()

    assert times.measured("rows/s", lambda: (3.5,)) == (3.5,)
    assert not times.busy
    assert MachineTimes.open(tmp_path).figures == {"rows/s": (3.5,)}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "machine": 2}', '{"format": 99}'])
def test_a_damaged_file_is_measured_again(tmp_path, content):
    """An unreadable file, or one of another format, is replaced."""
    (tmp_path / FILE).write_text(content)

    assert MachineTimes.open(tmp_path).measured("rows/s", lambda: (2.0,)) == (2.0,)
    assert json.loads((tmp_path / FILE).read_text())["figures"] == {"rows/s": [2.0]}


def test_a_measurement_that_fails_is_told(tmp_path):
    """There is no figure then, and the reason is kept for the plan."""
    times = MachineTimes.open(tmp_path)

    assert times.measured("rows/s", lambda: [1 / 0]) is None
    assert times.failed == ["rows/s cannot be measured: ZeroDivisionError: division by zero"]


def test_stages_that_a_retrain_left_out_keep_their_times(tmp_path):
    """A fit taken from an earlier one takes no time; the time of the last real fit stays."""
    fit = {"seconds": 60.0, "amount": 5.0, "about": "a"}
    times = MachineTimes.open(tmp_path)
    times.keep_retrain("demo", {"fit gbm": fit, "judge": {"seconds": 2.0, "amount": 10.0, "about": ""}})
    times.keep_retrain("demo", {"judge": {"seconds": 3.0, "amount": 10.0, "about": ""}})

    kept = MachineTimes.open(tmp_path).retrains["demo"]
    assert (kept["fit gbm"], kept["judge"]["seconds"]) == (fit, 3.0)
