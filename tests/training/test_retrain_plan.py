"""The plan of a retrain before there are data."""

import os

import pytest

from bot.members import pace
from bot.training.planning.machine_times import MachineTimes
from bot.training.planning.retrain_forecast import Forecast
from bot.training.planning.retrain_plan import FULL_BYTES, assumed_size, retrain_stages, stage_record
from bot.training.recipes import CONTRIBUTION, STANDARD
from bot.training.training_memory import FULL_ROWS


def resolved(recipe, feature_set="medium"):
    return recipe.resolved(data_version="v5.3", feature_set=feature_set, target="target_ender_60")


def size(plan, folder, download=FULL_BYTES):
    return assumed_size(plan, folder, download=download, device="cpu", reason="no data yet")


def known(_name, _measure):
    return (1e-6, 1e-3, 1e-7)


@pytest.fixture
def times(monkeypatch):
    """Times of a machine on which every measurement gives the same figures."""
    found = MachineTimes(path=None, machine="a machine")
    monkeypatch.setattr(found, "measured", known)
    return found


def test_files_of_full_size_mean_the_history_of_v5_3(tmp_path):
    """6.9 million rows, of which training keeps those before validation and hold-out."""
    found = size(resolved(STANDARD), tmp_path)
    fit = found.fits["gbm"]

    assert found.rows == found.new_rows == FULL_ROWS
    assert (fit.features, found.features) == (780, 3_555)
    assert 0.8 * FULL_ROWS < fit.train_rows < fit.resolved_rows < FULL_ROWS


def test_smaller_files_mean_fewer_rows(tmp_path):
    """Rows are in proportion to the bytes that the server offers."""
    assert size(resolved(STANDARD), tmp_path, FULL_BYTES // 10).rows == pytest.approx(FULL_ROWS / 10, rel=1e-6)


def test_every_fourth_era_is_a_fourth_of_the_rows(tmp_path):
    """Training eras are chosen as the recipe says."""
    plan = resolved(CONTRIBUTION)

    assert size(plan, tmp_path).fits["mlp"].train_rows == pytest.approx(
        size(resolved(STANDARD), tmp_path).fits["gbm"].train_rows / 4, rel=0.01
    )


def test_the_plan_names_disk_and_memory(tmp_path, times):
    """The download and the store take disk, fits take memory."""
    plan = resolved(STANDARD)
    stages = {one.name: one for one in retrain_stages(plan, size(plan, tmp_path), times)}

    assert stages["sync"].disk == FULL_BYTES
    assert 24e9 < stages["store"].disk < 28e9
    assert 3 << 30 < stages["fit gbm"].memory < 5 << 30
    assert 1 << 30 < stages["fit tsmixer"].memory < 2 << 30
    assert stages["refit tsmixer"].alike == stages["fit tsmixer"].alike


def test_the_last_retrain_is_preferred_in_proportion(tmp_path, times):
    """Twice the rows of an earlier retrain take twice its time; other options of a member begin anew."""
    plan = resolved(STANDARD)
    half = size(plan, tmp_path, FULL_BYTES // 2)
    stages = retrain_stages(plan, half, times)
    times.keep_retrain("standard", stage_record(plan, half, stages, {one.name: 60.0 for one in stages}))
    whole = {one.name: one for one in retrain_stages(plan, size(plan, tmp_path), times)}
    other = {
        one.name: one
        for one in retrain_stages(resolved(STANDARD, "all"), size(resolved(STANDARD, "all"), tmp_path), times)
    }

    assert whole["fit gbm"].seconds == pytest.approx(120.0, rel=1e-3)
    assert (whole["fit gbm"].basis, other["fit gbm"].basis) == ("as in the last retrain", "measured")


def test_a_plan_of_a_busy_machine_is_made_again_when_the_data_are_read(tmp_path, monkeypatch):
    """Other processes that ended during the download no longer make the hours of the fits."""
    plan, load = resolved(STANDARD), [1e6]
    monkeypatch.setattr(os, "getloadavg", lambda: (load[0], 0.0, 0.0))
    monkeypatch.setattr(pace, "lightgbm_times", lambda *_: (1e-9, 1e-3 * load[0], 1e-7 * load[0]))
    monkeypatch.setattr(pace, "network_rows", lambda *_: (1e4,))
    forecast = Forecast(plan=plan, times=MachineTimes.open(tmp_path), size=size(plan, tmp_path))
    before = {one.name: one.seconds for one in forecast.stages}
    load[0] = 1.0
    forecast.count(size(plan, tmp_path))
    after = {one.name: one.seconds for one in forecast.stages}

    assert after["fit gbm"] < 1e-3 * before["fit gbm"]
