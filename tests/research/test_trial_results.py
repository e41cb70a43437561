"""The table of trials and the sentence on the winner, from trials as a study keeps them."""

import math

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from bot.research.trial_results import CORR, PAY, REASON, rows, verdict
from bot.research.trial_worker import BASE, SURPLUS


def study(*trials):
    """Return the trials of a study, numbered."""
    found = optuna.create_study(direction="maximize")
    for one in trials:
        found.add_trial(one)
    return found.get_trials()


def complete(series, **attributes):
    return create_trial(value=float(np.mean(series)), user_attrs={PAY: list(series), **attributes})


def noise(seed, size=200):
    return np.random.default_rng(seed).normal(0, 0.02, size)


def test_a_winner_beyond_noise_is_called_so():
    """A trial that pays more in nearly every era beats the base beyond noise."""
    base = noise(1)
    found = verdict(study(complete(base, base=True), complete(base + 0.01 + 0.1 * noise(2))), lag=4)

    assert found.startswith("trial 1 pays +0.0")
    assert "beyond noise" in found


def test_the_best_of_many_equal_trials_is_noise():
    """Of 40 trials that are no better than the base, the best one is not called better, in 39 of 40 studies."""
    called = 0
    for repeat in range(40):
        series = [noise(100 * repeat + number) for number in range(41)]
        called += "beyond noise" in verdict(
            study(complete(series[0], base=True), *(complete(one) for one in series[1:])), lag=0
        )

    assert called <= 4  # of 40 at a level of .05: more than 4 has a probability of .05


def test_a_base_that_nothing_beats_is_said_so():
    """Where the base has the highest value, the sentence names it as the best."""
    found = verdict(study(complete([0.1] * 30, base=True), complete([0.0] * 30)), lag=4)

    assert found == "none of the 1 other complete trials beats the recipe that the study began with"


@pytest.mark.parametrize(
    ("trials", "words"),
    [
        ((create_trial(state=TrialState.FAIL, user_attrs={BASE: True}), complete([0.1] * 30)), "has no value"),
        ((complete([0.0] * 5, base=True), complete([0.1] * 5)), "5 eras are fewer than"),
    ],
)
def test_what_cannot_be_measured_is_named(trials, words):
    """Without a value of the base, or with too few eras, the sentence gives the reason."""
    assert words in verdict(study(*trials), lag=4)


def test_rows_show_state_scores_and_the_largest_differences():
    """A row has the state and value of its trial, and names the parameters that are furthest from the base."""
    near, among = optuna.distributions.FloatDistribution(0, 10), optuna.distributions.CategoricalDistribution
    own = {"a.x": 1.0, "a.y": 2.0, "a.z": "all", "a.w": 3.0, "a.v": 4.0}
    kinds = {"a.x": near, "a.y": near, "a.z": among(["all", "20D"]), "a.w": near, "a.v": near}
    other = {"a.x": 1.1, "a.y": 8.0, "a.z": "20D", "a.w": 3.0, "a.v": 4.2}
    found = rows(
        study(
            create_trial(value=0.5, params=own, distributions=kinds, user_attrs={BASE: True, CORR: 0.02}),
            create_trial(value=0.0, state=TrialState.PRUNED, params=other, distributions=kinds),
            create_trial(state=TrialState.FAIL, user_attrs={SURPLUS: True}),
            create_trial(state=TrialState.PRUNED, user_attrs={REASON: "loss is nan"}),
        ),
        own,
    )

    assert [(row.number, row.state, row.about) for row in found] == [
        (0, "complete", "base"),
        (1, "pruned", "a.z all→20D, a.y 2→8, a.x 1→1.1, 1 more"),
        (3, "pruned", "loss is nan"),
    ]
    assert (found[0].value, found[0].corr, found[1].value) == (0.5, 0.02, 0.0)
    assert math.isnan(found[0].contribution)
    assert math.isnan(found[2].value)
