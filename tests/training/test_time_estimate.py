"""The time left, from a plan and the progress so far."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.system.moments import in_words
from bot.training.planning.time_estimate import Estimate, Stage

RECORDED = json.loads((Path(__file__).parent / "recorded_retrain.json").read_text())
"""
Plans and reports of a retrain on the sandbox's world ``small``, on two cores beside 10 to 15 busy processes of others.

Times are in seconds. The second plan was made when the data had been read.
"""

MINUTE_S, FACTOR, SECONDS = 60.0, 1.5, 20.0
"""After the first minute an estimate is within this factor while a minute is left, and then within these seconds."""


def recorded():
    """Yield each report of the recorded retrain: seconds since its begin, estimate, seconds that were really left."""
    plans = [(at, [Stage(**one) for one in stages]) for at, stages in RECORDED["plans"]]
    estimate, begin, end = Estimate(plan=plans[0][1]), RECORDED["events"][0][0], RECORDED["end"]
    for at, stage, share in RECORDED["events"]:
        for planned_at, stages in plans:
            if planned_at <= at:
                estimate.plan = stages
        yield at - begin, estimate.observe(stage, share, at), end - at


def test_the_estimate_of_a_real_retrain_holds_after_a_minute():
    """From then on, the time left is within a factor of 1.5 at every report."""
    later = [(left.all_s, real) for since, left, real in recorded() if since > MINUTE_S]

    assert len(later) > 100
    for estimated, real in later:
        if real > MINUTE_S:
            assert real / FACTOR < estimated < real * FACTOR
        else:
            assert abs(estimated - real) < SECONDS


def test_every_stage_of_a_real_retrain_is_in_its_plan():
    """Each report has the number of a stage, and the numbers only rise."""
    numbers = [left.number for _since, left, _real in recorded()]

    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, len(RECORDED["plans"][0][1]) + 1))


@given(st.floats(0.1, 100.0), st.floats(0.1, 10.0))
def test_a_steady_stage_is_estimated_exactly(seconds, plan_error):
    """Whatever the plan said, the pace of the stage itself counts after a fifth of it."""
    estimate = Estimate(plan=[Stage(name="fit", seconds=seconds * plan_error)])
    for step in range(31):
        left = estimate.observe("fit", step / 100, seconds * step / 100)

    assert left.stage_s == pytest.approx(seconds * 0.7)
    assert left.all_s == pytest.approx(seconds * 0.7)


def test_a_fit_that_was_slower_than_planned_slows_the_refit():
    """Later stages alike are expected to take longer in the same proportion; a download is not."""
    plan = [
        Stage(name="fit", seconds=100.0, alike="network"),
        Stage(name="refit", seconds=200.0, alike="network"),
        Stage(name="download", seconds=50.0, unit="bytes"),
    ]
    estimate = Estimate(plan=plan)
    estimate.observe("fit", 0.0, 0.0)
    left = estimate.observe("refit", 0.0, 300.0)

    assert left.stage_s == pytest.approx(200.0 * 310 / 110)
    assert left.all_s == pytest.approx(200.0 * 310 / 110 + 50.0)


def test_a_stage_without_a_plan_tells_its_own_time_only():
    """Commands without stages show the time left of the present one, once its pace is known."""
    estimate = Estimate()

    assert estimate.observe("tune", 0.0, 0.0).stage_s is None
    estimate.observe("tune", 0.1, 10.0)
    left = estimate.observe("tune", 0.2, 20.0)
    assert (left.number, left.all_s) == (0, None)
    assert left.stage_s == pytest.approx(80.0)


def test_a_share_that_goes_back_is_ignored():
    """A second try of a download does not make more than everything left."""
    estimate = Estimate(plan=[Stage(name="sync", seconds=100.0, unit="bytes")])
    for share, at in ((0.0, 0.0), (0.2, 20.0), (0.5, 50.0), (0.1, 51.0)):
        left = estimate.observe("sync", share, at)

    assert left.stage_s == pytest.approx(0.5 * 31 / 0.3)


def test_seconds_of_each_stage_are_recorded():
    """A stage lasts to the first report of the next one, the last one to its end."""
    estimate = Estimate(plan=[Stage(name="a", seconds=1.0), Stage(name="b", seconds=1.0)])
    estimate.observe("a", 0.0, 10.0)
    estimate.observe("b", 0.0, 14.0)
    estimate.end(21.0)

    assert estimate.took(99.0) == {"a": 4.0, "b": 7.0}


def test_a_stage_that_an_earlier_process_began_is_known():
    """A fit that goes on from a checkpoint does not tell how long a whole one takes."""
    estimate = Estimate()
    for stage, share in (("fit a", 0.0), ("fit a", 0.6), ("fit b", 0.0), ("fit b", 0.01), ("fit b", 0.5)):
        estimate.observe(stage, share, 1.0)

    assert estimate.resumed == {"fit a"}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.0, "59 s"), (61, "1 min"), (1080, "18 min"), (6000, "1 h 40 min")]
)
def test_durations_read_as_a_person_says_them(seconds, words):
    """Seconds, minutes, hours with minutes."""
    assert in_words(seconds) == words
