"""
The canary: on worlds where nothing can be timed a network with history scores as one without, and a leak would show.

Weekly factor returns, targets over four weeks, so that a target overlaps those of the three eras before it. Scores are
of eras that neither training nor early stopping has seen, an embargo away from those that did.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from models.training.training import train
from tests.models.training.era_world import CONFIG, FEATURES, OPTIONS, PLAIN, score, world

pytestmark = pytest.mark.slow

WEEKS, HONEST, LEAKY = 4, 5, 1
"""Eras that a target covers, the shortest lag that sees nothing of it, and one that does."""

NOTHING_LASTS = (0.0,) * FEATURES
HALF_LASTS = (0.95,) * (FEATURES // 2) + (0.0,) * (FEATURES // 2)
"""Autocorrelation of each feature's weekly return: of none, and of the first group alone."""

HALVES = replace(CONFIG, groups=(tuple(range(FEATURES // 2)), tuple(range(FEATURES // 2, FEATURES))))
EMBARGO = 8
TRAIN, VALIDATION, TEST = 150, 40, 110
LIMIT = 0.02
"""What history may add to CORR, or take from it, where there is nothing to time."""


@cache
def worlds(persistence, lag):
    """Return training, validation and test eras; worlds that differ in lag alone have equal rows."""
    made = world(
        persistence=np.array(persistence),
        static=0.06,
        moving=0.1,
        weeks=WEEKS,
        lag=lag,
        rows=250,
        eras=20 + TRAIN + VALIDATION + TEST + 2 * EMBARGO,
    )
    validation = TRAIN + EMBARGO
    test = validation + VALIDATION + EMBARGO
    return made.part(0, TRAIN), made.part(validation, validation + VALIDATION), made.part(test, test + TEST)


@cache
def network_corr(config, persistence, lag=HONEST):
    """Return the mean CORR on the test eras of a network as the training loop leaves it."""
    training, validation, test = worlds(persistence, lag)
    options = replace(OPTIONS, main_target="target_ender_20", epochs=3, learning_rate=5e-3)
    network = train(config, training, validation, options, score=score).network
    values = torch.tensor([-(0.5**1.5), -0.125, 0.0, 0.125, 0.5**1.5])
    scores = []
    with torch.no_grad():
        for batch, seen in zip(test.batches, test.windows, strict=True):
            window = torch.from_numpy(seen) if config.has_history else None
            logits = network(torch.from_numpy(batch.features), None, window)
            scores.append(score((logits[:, 0].softmax(-1) @ values).numpy(), batch.targets[:, 0]))
    return float(np.mean(scores))


def ewma_corr(persistence):
    """
    Return the mean CORR on the test eras of the linear control.

    It weighs each feature with its mean return over training, plus an exponential average of those in the window; half-life
    and weight of the average are chosen on the validation eras.
    """
    training, validation, test = worlds(persistence, HONEST)
    lasting = np.mean([returns(batch) for batch in training.batches], axis=0)

    def corr(part, half_life, weight):
        steps = np.exp2(-np.arange(CONFIG.lookback) / half_life)
        scores = []
        for batch, seen in zip(part.batches, part.windows, strict=True):
            weights = lasting + weight * (steps / steps.sum()) @ seen[:, :, 0]
            scores.append(score((batch.features - 2.0) @ weights, batch.targets[:, 0]))
        return np.mean(scores)

    choices = [(half_life, weight) for half_life in (1, 2, 4, 13, 40) for weight in (0, 0.1, 0.3, 1, 3)]
    return float(corr(test, *max(choices, key=lambda choice: corr(validation, *choice))))


def returns(batch):
    """Return what each feature earned in an era, in the unit of the windows."""
    x = (batch.features - 2) / np.sqrt(2)
    return x.T @ (batch.targets[:, 0] - 0.5) * 4 / np.sqrt(x.size)


def test_history_is_worth_nothing_where_nothing_lasts():
    """The canary is quiet: the network with history scores as the one without."""
    added = network_corr(HALVES, NOTHING_LASTS) - network_corr(PLAIN, NOTHING_LASTS)

    assert abs(added) < LIMIT


def test_the_canary_sings_when_the_lag_is_too_short():
    """With a lag of one era the same build fakes a gain, far beyond what the canary lets pass."""
    added = network_corr(HALVES, NOTHING_LASTS, LEAKY) - network_corr(PLAIN, NOTHING_LASTS)

    assert added > 0.09 > LIMIT


def test_history_is_worth_much_where_something_lasts():
    """The network beats its static control, and the exponential average, which cannot tell what lasts from what does not."""
    learned, control = network_corr(HALVES, HALF_LASTS), ewma_corr(HALF_LASTS)

    assert learned > network_corr(PLAIN, HALF_LASTS) + 0.1
    assert learned > control + 0.02
