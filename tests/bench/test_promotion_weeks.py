"""The promotion gate over years of weekly challengers, in a short form of `bench/promotion.py --weeks`."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCH)
        patch.delitem(sys.modules, "promotion_weeks", raising=False)
        import promotion_weeks

        yield promotion_weeks


def outcome(bench, about, **changes):
    (scenario,) = [one for one in bench.SCENARIOS if one.about.strip() == about]
    return scenario, bench.simulate(scenario, **{"installations": 40, "weeks": 52, "overlap": 12} | changes)


@pytest.mark.parametrize("about", ["other recipe, the champion's quality", "same recipe, trained again"])
def test_equal_challengers_do_not_lead_the_champion_down(bench, about):
    """After a year of challengers of its own quality, the champion is no worse, whichever rule they meet."""
    scenario, found = outcome(bench, about)

    assert scenario.met(found)


@pytest.mark.parametrize("overlap", [4, 12])
def test_worse_challengers_are_hardly_ever_promoted(bench, overlap):
    """Of forty installations, at most two promote a challenger that is worse by .001 within a year."""
    scenario, found = outcome(bench, "other recipe, worse by .001", overlap=overlap)

    assert scenario.met(found)


@pytest.mark.parametrize("overlap", [4, 12])
def test_better_challengers_are_promoted_soon(bench, overlap):
    """Challengers that are better by .004 are promoted within eight weeks in four of five installations."""
    scenario, found = outcome(bench, "other recipe, better by .004", overlap=overlap)

    assert scenario.met(found)


def test_renewals_keep_the_champion_fresh(bench):
    """Renewals of equal quality are promoted in most weeks."""
    _, found = outcome(bench, "same recipe, trained again", installations=20)

    assert sum(map(len, found.promoted)) > 0.6 * 20 * 52


def test_the_anchor_ends_a_series_of_steps_down(bench):
    """Renewals that lose .0002 a week take away less than half of what they do without the anchor."""
    _, held = outcome(bench, "same recipe, .0002 worse each week", installations=20)
    _, free = outcome(bench, "the same without an anchor", installations=20)

    assert free.quality.mean() < -0.006
    assert held.quality.mean() > free.quality.mean() / 2
