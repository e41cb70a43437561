"""Fitting a network: what it learns, when it stops, and what it refuses."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from models.bins import CORR_VALUES
from models.inference.ranks import double_ranks, normal_scores
from models.network.network import expected_value
from models.training import training as training_module
from models.training._score_scale import SPREAD
from models.training.training import EraBatch, TrainingDiverged, train
from tests.models.training.era_world import CONFIG, OPTIONS, PLAIN, World, fit, score, world

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "pearson"])
def test_every_loss_learns_a_planted_signal(loss):
    """Validation CORR is far above zero on a world with linear and interacting effects."""
    trained = fit(world(), loss=loss)

    assert trained.best_score > 0.2
    assert trained.best_score == pytest.approx(np.mean(list(trained.score_per_era.values())))


@pytest.mark.parametrize("mixing", ["row", "mlp"])
@pytest.mark.parametrize("loss", ["mse", "pearson"])
def test_a_single_output_learns_a_planted_signal(mixing, loss):
    """Validation CORR is that of the classes, and the scores of an era have a standard deviation near SPREAD."""
    data, config = world(), replace(CONFIG if mixing == "row" else PLAIN, mixing=mixing, head="score")
    trained = fit(data, config, loss=loss)
    with torch.no_grad():
        window = torch.from_numpy(data.windows[0]) if mixing == "row" else None
        scores = trained.network(torch.from_numpy(data.batches[0].features), None, window)

    assert trained.best_score > 0.2
    assert float(scores.std(dim=0).mean()) == pytest.approx(SPREAD, rel=0.2)


def test_cross_entropy_needs_classes():
    """A head with one output has no probabilities."""
    with pytest.raises(ValueError, match="cross-entropy needs the head 'classes'"):
        fit(world(), replace(PLAIN, head="score"))


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
    assert trained.best_score == pytest.approx(best.score)
    assert trained.score_per_era[batch.era] == pytest.approx(score(expected.numpy(), batch.targets[:, 1]), abs=1e-6)
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
        score=lambda _predictions, _targets, _benchmark: next(seen),
    )

    assert [evaluation.score for evaluation in trained.evaluations] == [0.5, 0.4, 0.3]
    assert (trained.best_step, trained.best_score) == (4, 0.5)


def test_corr_is_smoothed_over_the_newest_evaluations():
    """One lucky evaluation does not win: the mean of the newest *smoothing* ones decides."""
    seen = iter([0.1, 0.7, 0.1, 0.5, 0.6, 0.7])
    data = world()

    trained = train(
        PLAIN, data.part(0, 12), data.part(14, 15), replace(OPTIONS, smoothing=2), score=lambda _p, _t, _b: next(seen)
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
    assert list(dict.fromkeys(now.step for now in progress)) == list(range(1, 33))
    assert {now.steps for now in progress} == {32}
    assert (progress[0].score, next(now for now in progress if now.step == 5).score) == (
        None,
        trained.evaluations[0].score,
    )
    assert progress[-1].seconds_left == 0


def test_a_number_of_steps_takes_the_place_of_epochs():
    """There is no early stopping, the schedule has that length, and the last weights are kept."""
    data = world()
    falling = iter(np.linspace(0.5, 0.1, 100))
    options = replace(OPTIONS, steps=30, epochs=1, patience=1, smoothing=1)

    trained = train(PLAIN, data.part(0, 12), data.part(14, 15), options, score=lambda _p, _t, _b: next(falling))
    unheld = train(PLAIN, data.part(0, 12), World([], []), replace(options, stop_after=30), score=score)

    assert [evaluation.step for evaluation in trained.evaluations] == [4, 8, 12, 16, 20, 24, 28, 30]
    assert trained.evaluations[-1].learning_rate < OPTIONS.learning_rate / 1000
    assert (trained.best_step, trained.best_score) == (30, trained.evaluations[-1].score)
    assert unheld.best_step == 30
    assert same_weights(trained.network, unheld.network)


def same_weights(one, two):
    """Return whether two networks are equal to the last bit."""
    states = (one.state_dict().values(), two.state_dict().values())
    return all(torch.equal(a, b) for a, b in zip(*states, strict=True))


@pytest.mark.parametrize("ema", [0.9, 0.999])
def test_averaged_weights_are_the_mean_of_those_of_all_steps(monkeypatch, ema):
    """The kept weights follow the recursion of the average, whose decay starts low; it evaluates and returns them."""
    data, seen = world().part(0, 6), []
    step = training_module._Fit._attempt

    def record(fit, number, eras):
        losses = step(fit, number, eras)
        seen.append(fit.network.encoder_input.weight.detach().double().clone())
        return losses

    monkeypatch.setattr(training_module._Fit, "_attempt", record)
    trained = train(PLAIN, data, World([], []), replace(OPTIONS, ema=ema), score=score)
    expected = seen[0]
    for update, weight in enumerate(seen[1:], start=1):
        decay = min(ema, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * weight

    assert len(seen) == 12
    assert torch.allclose(trained.network.encoder_input.weight.double(), expected, atol=1e-6)
    assert not torch.allclose(expected, seen[-1], atol=1e-4)


def test_averaged_weights_learn_a_planted_signal():
    """The network that comes back scores the validation eras as its best evaluation did."""
    data = world()
    trained = fit(data, PLAIN, ema=0.98)
    with torch.no_grad():
        expected = expected_value(trained.network(torch.from_numpy(data.batches[40].features)), CORR_VALUES)[:, 1]

    assert trained.best_score > 0.2
    assert trained.score_per_era[data.batches[40].era] == pytest.approx(
        score(expected.numpy(), data.batches[40].targets[:, 1]), abs=1e-6
    )


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

    assert np.isfinite(trained.best_score)
    with pytest.raises(ValueError, match="no training era has a known target"):
        train(PLAIN, unknown, data, OPTIONS, score=score)


def test_an_era_larger_than_a_batch_is_split():
    """Every row still takes part, and memory that must not be written is read without complaint."""
    data = world().part(0, 6)
    for batch in data.batches:
        batch.features.flags.writeable = False

    trained = train(PLAIN, data, data, replace(OPTIONS, batch_rows=33), score=score)

    assert trained.evaluations[-1].step == 12


def test_an_era_without_weight_teaches_nothing():
    """Eras of weight 0 leave the gradient to the others; equal weights change no bit."""
    data, empty = world().part(0, 12), World([], [])
    plain = train(PLAIN, data, empty, OPTIONS, score=score)
    equal = train(PLAIN, data.changed(lambda batch: replace(batch, weight=1.0)), empty, OPTIONS, score=score)
    noisy = data.changed(
        lambda batch: replace(batch, targets=batch.targets[::-1].copy(), weight=0.0) if int(batch.era) % 2 else batch
    )
    blind = train(PLAIN, noisy, empty, replace(OPTIONS, weight_decay=0.0), score=score)
    other = noisy.changed(lambda batch: replace(batch, targets=1 - batch.targets) if batch.weight == 0 else batch)
    again = train(PLAIN, other, empty, replace(OPTIONS, weight_decay=0.0), score=score)

    assert _bits(plain) == _bits(equal)
    assert _bits(blind) == _bits(again) != _bits(plain)


def _bits(trained):
    return [value.numpy().tobytes() for value in trained.network.state_dict().values()]


def test_without_validation_the_last_weights_are_kept():
    """A final fit on all eras runs its epochs and reports no CORR."""
    data = world().part(0, 6)

    trained = train(PLAIN, data, World([], []), replace(OPTIONS, patience=1), score=score)

    assert trained.best_step == 12
    assert np.isnan(trained.best_score)
    assert trained.score_per_era == {}


def test_a_loss_that_is_not_finite_stops_training():
    """A history full of infinities is reported, not trained on."""
    data = world().part(0, 6)
    for seen in data.windows:
        seen[:] = np.inf

    with pytest.raises(TrainingDiverged, match="lower the learning rate"):
        train(replace(CONFIG, history_dropout=0.0), data, data, OPTIONS, score=score)


def test_predictions_that_are_no_numbers_stop_training():
    """A network whose loss was finite, and which predicts no numbers for an era of the validation, has diverged."""
    data, unseen = world().part(0, 6), world().part(6, 9)
    for seen in unseen.windows:
        seen[:] = np.inf

    with pytest.raises(TrainingDiverged, match="predicts no numbers"):
        train(replace(CONFIG, history_dropout=0.0), data, unseen, OPTIONS, score=score)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"patience": 0}, "patience is 0"),
        ({"steps": -1}, "must not be negative"),
        ({"ema": 1.0}, r"ema is 1\.0; it must be in \[0, 1\)"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"benchmark_penalty": -1.0}, "benchmark_penalty must not be negative"),
        ({"residual": 1.5}, r"residual must be inside \[0, 1\]"),
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
    names = [field.name for field in fields(EraBatch)]

    assert names == ["era", "features", "engineered", "targets", "predictions", "benchmark", "weight"]


def test_a_benchmark_is_taken_out_of_what_is_learned():
    """Against a benchmark that knows the linear effects, the network learns what that leaves, not the same again."""
    data = world(static=0.25)
    x = [batch.features - 2.0 for batch in data.batches]
    labels = np.concatenate([batch.targets.mean(axis=1) - 0.5 for batch in data.batches])
    weights = np.linalg.lstsq(np.concatenate(x), labels)[0]

    def benchmark(batch):
        ranks = double_ranks((batch.features - 2.0) @ weights)
        return replace(batch, benchmark=normal_scores(len(ranks))[ranks].astype(np.float32))

    known = data.changed(benchmark)
    without, half, whole = (
        fit(known, PLAIN, loss="pearson", residual=residual).best_score for residual in (None, 0.5, 1.0)
    )

    assert without == fit(data, PLAIN, loss="pearson").best_score > 0.4
    assert without > half > whole
    assert whole < without / 2


def test_a_penalty_on_the_benchmark_leaves_its_part_out():
    """The penalised network correlates less with the benchmark; eras without a benchmark are trained without a penalty."""
    data = world(static=0.25)
    known = data.changed(lambda batch: replace(batch, benchmark=(batch.features[:, 2] - 2.0).astype(np.float32)))
    half = World([*known.batches[:26], *data.batches[26:]], data.windows)

    def exposure(source, penalty):
        network = fit(source, PLAIN, loss="pearson", benchmark_penalty=penalty, epochs=4).network
        with torch.no_grad():
            scores = [expected_value(network(torch.from_numpy(b.features)), CORR_VALUES)[:, 1] for b in data.batches]
        return np.mean([score(one.numpy(), b.benchmark) for one, b in zip(scores, known.batches, strict=True)])

    free, penalised = exposure(known, 0.0), exposure(known, 1.0)

    assert free == exposure(data, 1.0) > 0.2
    assert penalised < free / 2
    assert penalised < exposure(half, 1.0) < free


def test_residual_labels_need_the_benchmark():
    """Rows without the benchmark are not learned; an era without it is refused."""
    data = world().part(0, 6)

    def partly(batch, other):
        benchmark = (batch.features[:, 0] - 2.0).astype(np.float32)
        benchmark[::2] = np.nan
        targets = batch.targets.copy()
        targets[::2] = other
        return replace(batch, benchmark=benchmark, targets=targets)

    one, two = (
        train(PLAIN, data.changed(lambda b, v=value: partly(b, v)), data, replace(OPTIONS, residual=1.0), score=score)
        for value in (0.0, 1.0)
    )

    assert one.evaluations == two.evaluations
    with pytest.raises(ValueError, match="era 0020 has no benchmark predictions for residual labels"):
        train(PLAIN, data.part(0, 1), data, replace(OPTIONS, residual=1.0), score=score)


def test_the_score_of_an_era_sees_its_benchmark():
    """The rows with a target are scored, with their benchmark where the era has one."""
    data, seen = world().part(0, 4), []
    benchmark = np.linspace(-1, 1, len(data.batches[2].targets), dtype=np.float32)
    targets = data.batches[2].targets.copy()
    targets[:3] = np.nan
    held_out = World([replace(data.batches[2], targets=targets, benchmark=benchmark), data.batches[3]], data.windows)

    def record(predictions, targets, benchmark):
        seen.append((len(predictions), len(targets), benchmark))
        return 0.0

    train(PLAIN, data.part(0, 2), held_out, replace(OPTIONS, epochs=1, evaluations_per_epoch=1), score=record)

    assert [rows for rows, _, _ in seen] == [rows for _, rows, _ in seen] == [77, 80]
    np.testing.assert_array_equal(seen[0][2], benchmark[3:])
    assert seen[1][2] is None
