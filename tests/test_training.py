from dataclasses import dataclass, fields, replace

import numpy as np
import pytest
import torch

from models.network_config import NetworkConfig
from models.training import EraBatch, TrainingDiverged, TrainingOptions, train

TARGETS = ("target_ender_20", "target_ender_60")
FEATURES, ROWS, LOOKBACK, LAG = 12, 80, 8, 6
CONFIG = NetworkConfig(
    features=FEATURES,
    targets=TARGETS,
    lookback=LOOKBACK,
    groups=(tuple(range(FEATURES)),),
    history_targets=1,
    history_scale=(FEATURES / 2) ** 0.5,
    encoder=(16,),
    hidden=16,
    feed_forward=16,
    blocks=1,
    input_scale=2**0.5,
)
PLAIN = replace(CONFIG, lookback=0, groups=(), history_targets=0)
OPTIONS = TrainingOptions(main_target="target_ender_60", epochs=2, learning_rate=1e-2, evaluations_per_epoch=3)


def score(predictions, targets):
    """Return the plain correlation, NaN for constants: enough to say which weights rank better."""
    return float(np.corrcoef(predictions, targets)[0, 1]) if np.ptp(predictions) and np.ptp(targets) else float("nan")


@dataclass
class World:
    """Eras in memory."""

    batches: list
    windows: list

    @property
    def eras(self):
        """Return the names of the eras."""
        return [batch.era for batch in self.batches]

    def batch(self, index):
        """Return an era."""
        return self.batches[index]

    def part(self, start, stop):
        """Return some of the eras."""
        return World(self.batches[start:stop], self.windows[start:stop])

    def window(self, index):
        """Return what an era may see of the past."""
        return self.windows[index]

    def changed(self, change):
        """Return the world with every batch changed."""
        return World([change(batch) for batch in self.batches], self.windows)


def world(*, persistence=0.0, static=0.1, moving=0.0, lag=LAG, eras=70, seed=0):
    """
    Return eras whose targets follow linear factor returns, a static and a moving part, and one interaction.

    History is one channel: the row's features times the realised feature returns of *lag* and more eras ago.
    """
    rng = np.random.default_rng(seed)
    weights = static * rng.choice([-1.0, 1.0], FEATURES)
    factor, realised, batches, windows = np.zeros(FEATURES), [], [], []
    for era in range(eras):
        shock = moving * rng.standard_normal(FEATURES)
        factor = persistence * factor + np.sqrt(1 - persistence**2) * shock
        codes = rng.integers(0, 5, (ROWS, FEATURES), dtype=np.int8)
        x = (codes - 2) / np.sqrt(2)
        signal = x @ (weights + factor) + static * x[:, 0] * x[:, 1]
        ranks = np.argsort(np.argsort(signal[:, None] + rng.standard_normal((ROWS, 2)), axis=0), axis=0) / ROWS
        targets = (np.digitize(ranks, [0.05, 0.25, 0.75, 0.95]) / 4).astype(np.float32)
        realised.append(x.T @ (targets[:, 0] - 0.5) * 4 / np.sqrt(ROWS * FEATURES))
        newest_first = [
            realised[past] if past >= 0 else np.zeros(FEATURES) for past in range(era - lag, era - lag - LOOKBACK, -1)
        ]
        windows.append(np.stack(newest_first)[:, :, None].astype(np.float32))
        batches.append(EraBatch(era=f"{era:04d}", features=codes, engineered=None, targets=targets))
    return World(batches[20:], windows[20:])


def fit(data, config=CONFIG, options=OPTIONS, *, newest=12, **changes):
    """Train on the older eras of *data*, validate on the *newest*."""
    count = len(data.batches)
    training, validation = data.part(0, count - newest - LAG), data.part(count - newest, count)
    return train(config, training, validation, replace(options, **changes), score=score)


def gain(data):
    """Return how much history adds to CORR on the newest forty eras."""
    return fit(data, newest=40).best_corr - fit(data, PLAIN, newest=40).best_corr


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "pearson"])
def test_every_loss_learns_a_planted_signal(loss):
    """Validation CORR is far above zero on a world with linear and interacting effects."""
    trained = fit(world(), loss=loss)

    assert trained.best_corr > 0.2
    assert trained.best_corr == pytest.approx(np.mean(list(trained.corr_per_era.values())))


def test_history_is_used_where_factor_returns_persist():
    """With persistent factor returns the lagged history adds much to what features alone can say."""
    assert gain(world(persistence=0.95, static=0.0, moving=0.35, eras=210)) > 0.1


def test_history_is_worth_nothing_where_factor_returns_are_independent():
    """The leakage canary: nothing can be timed, so the network with history scores as the one without."""
    assert abs(gain(world(moving=0.2, eras=150))) < 0.03


def test_the_canary_sings_when_an_era_sees_its_own_returns():
    """History that overlaps the predicted era fakes a gain that the canary's limit catches."""
    assert gain(world(moving=0.2, lag=0, eras=150)) > 0.1


def test_the_same_seed_gives_the_same_bits():
    """Two runs are equal to the last bit, another seed is not, and the caller's generator is left alone."""
    data = world()
    torch.manual_seed(5)
    expected_next = torch.rand(1)
    torch.manual_seed(5)

    first, again, other = fit(data), fit(data), fit(data, seed=8)
    states = [list(run.network.state_dict().values()) for run in (first, again, other)]

    assert torch.equal(torch.rand(1), expected_next)
    assert first.evaluations == again.evaluations
    assert all(torch.equal(a, b) for a, b in zip(states[0], states[1], strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(states[0], states[2], strict=True))


def test_the_best_weights_are_kept():
    """The network that comes back scores the validation eras as its best evaluation did."""
    data = world()
    trained = fit(data, epochs=3)

    with torch.no_grad():
        batch = data.batches[40]
        logits = trained.network(torch.from_numpy(batch.features), None, torch.from_numpy(data.windows[40]))
    expected = logits[:, 1].softmax(-1) @ torch.tensor([-(0.5**1.5), -0.125, 0.0, 0.125, 0.5**1.5])
    best = max(trained.evaluations, key=lambda evaluation: evaluation.smoothed)

    assert trained.best_step == best.step
    assert trained.best_corr == pytest.approx(best.corr)
    assert trained.corr_per_era[batch.era] == pytest.approx(score(expected.numpy(), batch.targets[:, 1]), abs=1e-6)
    assert not trained.network.training


def test_training_stops_when_patience_is_over():
    """After *patience* evaluations without a better smoothed CORR no further era is seen."""
    seen = iter([0.5, 0.4, 0.3, *([0.2] * 100)])
    data = world()

    trained = train(
        PLAIN,
        data.part(0, 12),
        data.part(14, 15),
        replace(OPTIONS, epochs=9, patience=2, smoothing=1),
        score=lambda _predictions, _targets: next(seen),
    )

    assert [evaluation.corr for evaluation in trained.evaluations] == [0.5, 0.4, 0.3]
    assert (trained.best_step, trained.best_corr) == (4, 0.5)


def test_corr_is_smoothed_over_the_newest_evaluations():
    """One lucky evaluation does not win: the mean of the newest *smoothing* ones decides."""
    seen = iter([0.1, 0.7, 0.1, 0.5, 0.6, 0.7])
    data = world()

    trained = train(
        PLAIN, data.part(0, 12), data.part(14, 15), replace(OPTIONS, smoothing=2), score=lambda _p, _t: next(seen)
    )

    assert [e.smoothed for e in trained.evaluations] == pytest.approx([0.1, 0.4, 0.4, 0.3, 0.55, 0.65])
    assert trained.best_step == 24


def test_evaluations_come_as_often_as_asked_and_the_rate_is_one_cycle():
    """Four evaluations an epoch; the learning rate warms up to its peak and falls to nearly nothing."""
    progress = []
    data = world()
    options = replace(OPTIONS, evaluations_per_epoch=4, patience=99, warm_up=0.25)

    trained = train(PLAIN, data.part(0, 16), data.part(20, 24), options, score=score, on_progress=progress.append)
    rates = [evaluation.learning_rate for evaluation in trained.evaluations]

    assert [evaluation.step for evaluation in trained.evaluations] == [4, 8, 12, 16, 20, 24, 28, 32]
    assert max(rates) == rates[1] == pytest.approx(OPTIONS.learning_rate, rel=0.01)
    assert rates[-1] < OPTIONS.learning_rate / 1000
    assert [now.step for now in progress] == list(range(1, 33))
    assert {now.steps for now in progress} == {32}
    assert (progress[0].corr, progress[4].corr) == (None, trained.evaluations[0].corr)
    assert progress[-1].seconds_left == 0


def test_unknown_targets_are_passed_over():
    """Eras and rows without any known target change nothing; a whole training set of them is refused."""
    data = world().part(0, 8)
    unknown = data.changed(lambda batch: replace(batch, targets=np.full_like(batch.targets, np.nan)))
    holes = [batch.targets.copy() for batch in data.batches]
    for targets in holes:
        targets[::3] = np.nan
        targets[1::3, 0] = np.nan
    partly = [replace(b, targets=t) for b, t in zip(data.batches, holes, strict=True)]
    mixed = World([*partly, *unknown.batches], [*data.windows, *data.windows])

    trained = train(PLAIN, mixed, data, OPTIONS, score=score)

    assert np.isfinite(trained.best_corr)
    with pytest.raises(ValueError, match="no training era has a known target"):
        train(PLAIN, unknown, data, OPTIONS, score=score)


def test_an_era_larger_than_a_batch_is_split():
    """Every row still takes part, and memory that must not be written is read without complaint."""
    data = world().part(0, 6)
    for batch in data.batches:
        batch.features.flags.writeable = False

    trained = train(PLAIN, data, data, replace(OPTIONS, batch_rows=33), score=score)

    assert trained.evaluations[-1].step == 12


def test_without_validation_the_last_weights_are_kept():
    """A final fit on all eras runs its epochs and reports no CORR."""
    data = world().part(0, 6)

    trained = train(PLAIN, data, World([], []), replace(OPTIONS, patience=1), score=score)

    assert trained.best_step == 12
    assert np.isnan(trained.best_corr)
    assert trained.corr_per_era == {}


def test_a_loss_that_is_not_finite_stops_training():
    """A history full of infinities is reported, not trained on."""
    data = world().part(0, 6)
    for seen in data.windows:
        seen[:] = np.inf

    with pytest.raises(TrainingDiverged, match="lower the learning rate"):
        train(replace(CONFIG, history_dropout=0.0), data, data, OPTIONS, score=score)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"loss": "mae"}, "'mae' is unknown; known: cross_entropy, mse, pearson"),
    ],
)
def test_options_that_fit_nothing_are_refused(change, message):
    """The message names the option."""
    with pytest.raises(ValueError, match=message):
        replace(OPTIONS, **change)


def test_a_main_target_that_the_network_lacks_is_refused():
    """Early stopping needs a target that is predicted."""
    data = world().part(0, 2)

    with pytest.raises(ValueError, match="'target_x_20' is not among target_ender_20"):
        train(PLAIN, data, data, replace(OPTIONS, main_target="target_x_20"), score=score)


def test_batches_have_the_fields_callers_build():
    """The interface between the era store and training."""
    assert [field.name for field in fields(EraBatch)] == ["era", "features", "engineered", "targets", "predictions"]
