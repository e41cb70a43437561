"""A run that is interrupted, short of memory or shared by several processes gives what an undisturbed one gives."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training import training as training_module
from models.training._era_feed import EraFeed, copied
from models.training._era_order import EraOrder
from models.training.checkpoint import Checkpoint
from models.training.training import TrainingStopped, train
from tests.models.training.era_world import CONFIG, LAG, OPTIONS, PLAIN, World, fit, score, world
from tests.models.training.two_ranks import BODIES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


class Killed(BaseException):
    """Stands for SIGKILL: nobody catches it."""


def run(data, options, config=CONFIG, **given):
    """Train on the older eras of *data*."""
    count = len(data.batches)
    return train(config, data.part(0, count - 12 - LAG), data.part(count - 12, count), options, score=score, **given)


def same(one, two):
    """Say whether two trained networks and the runs that made them are equal to the last bit."""
    states = [list(run.network.state_dict().values()) for run in (one, two)]
    return all(torch.equal(a, b) for a, b in zip(*states, strict=True)) and one.evaluations == two.evaluations


@pytest.mark.parametrize("step", [1, 9, 17, 31, 40])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, step):
    """Wherever it is killed, the second run ends with the bits of one that was not, after at most a quarter epoch."""
    data, options = world(eras=60), replace(OPTIONS, batch_rows=50, evaluations_per_epoch=4)
    undisturbed = run(data, options)
    checkpoint, again = Checkpoint(path=tmp_path / "run.pt", key="a"), []

    def kill(now):
        if now.step == step:
            raise Killed

    with pytest.raises(Killed):
        run(data, options, checkpoint=checkpoint, on_progress=kill)
    resumed = run(data, options, checkpoint=checkpoint, on_progress=lambda now: again.append(now.step))

    assert same(resumed, undisturbed)
    assert step - again[0] < 22 / 4 + 1


@pytest.mark.parametrize("step", [9, 25])
def test_a_killed_run_of_steps_and_averaged_weights_goes_on_bit_for_bit(tmp_path, step):
    """The plain perceptron with one output, a fixed number of steps and an average of its weights continues too."""
    data, config = world(eras=60), replace(PLAIN, mixing="mlp", head="score")
    options = replace(OPTIONS, steps=30, ema=0.9, loss="pearson", benchmark_penalty=0.3)
    data = data.changed(lambda batch: replace(batch, benchmark=(batch.features[:, 0] - 2.0).astype(np.float32)))
    undisturbed = run(data, options, config)
    checkpoint = Checkpoint(path=tmp_path / "run.pt", key="a")

    def kill(now):
        if now.step == step:
            raise Killed

    with pytest.raises(Killed):
        run(data, options, config, checkpoint=checkpoint, on_progress=kill)
    resumed = run(data, options, config, checkpoint=checkpoint)
    again = run(data, options, config, checkpoint=checkpoint)

    assert same(resumed, undisturbed)
    assert same(again, undisturbed)


def test_a_stopped_run_loses_no_step(tmp_path):
    """Asked to stop, training saves in the middle of a quarter and goes on with the next step."""
    data = world(eras=60)
    checkpoint, steps = Checkpoint(path=tmp_path / "run.pt", key="a"), []

    with pytest.raises(TrainingStopped, match="stopped after step 3 of 44"):
        run(
            data,
            OPTIONS,
            checkpoint=checkpoint,
            on_progress=lambda now: steps.append(now.step),
            should_stop=lambda: len(steps) == 2,
        )
    resumed = run(data, OPTIONS, checkpoint=checkpoint, on_progress=lambda now: steps.append(now.step))

    assert list(dict.fromkeys(steps)) == [1, 2, 3, *range(4, 45)]
    assert same(resumed, run(data, OPTIONS))


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_not_used(tmp_path):
    """The run starts anew rather than going on from something else."""
    checkpoint = Checkpoint(path=tmp_path / "folder" / "run.pt", key="a")
    assert checkpoint.load() is None

    checkpoint.save({"step": 3, "weights": torch.arange(4)})
    whole = checkpoint.path.read_bytes()

    assert checkpoint.load()["step"] == 3
    assert Checkpoint(path=checkpoint.path, key="b").load() is None
    for position in np.random.default_rng(0).integers(0, len(whole), 60):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << (position % 8)
        checkpoint.path.write_bytes(damaged)
        assert checkpoint.load() is None
    checkpoint.path.write_bytes(whole[:-10])
    assert checkpoint.load() is None
    checkpoint.remove()
    assert not checkpoint.path.exists()


def test_too_little_memory_halves_the_batch(monkeypatch):
    """The step that did not fit is taken again in smaller parts, and training goes on with those."""
    data, seen = world(eras=60), []
    monkeypatch.setattr(training_module, "SMALLEST_BATCH", 10)
    options = replace(OPTIONS, epochs=1, batch_rows=80)

    class Small(training_module._Fit):
        def _parts(self, era, step, place):
            parts = super()._parts(era, step, place)
            if max(map(len, parts)) > 30:
                raise torch.OutOfMemoryError
            return parts

    monkeypatch.setattr(training_module, "_Fit", Small)
    trained = run(data, options, on_progress=lambda now: seen.append(now.batch_rows))

    assert seen[0] == 20
    assert set(seen) == {20}
    assert trained.evaluations[-1].step == 22


def test_parts_of_an_era_add_up_to_the_whole():
    """Without dropout the rows that fit on the device at once change a result by rounding only."""
    data, config = world(eras=60), replace(CONFIG, dropout=0.0, input_dropout=0.0, history_dropout=0.0)
    options = replace(OPTIONS, epochs=1)

    whole, parts = (
        fit(data, config, replace(options, batch_rows=rows)).network.state_dict().values() for rows in (80, 33)
    )

    assert all(torch.allclose(a, b, atol=2e-4) for a, b in zip(whole, parts, strict=True))


def test_eras_stay_on_the_device_while_there_is_room():
    """A resident era is prepared once, the others every time, and both are the same era."""
    data, asked = world(eras=30), []

    class Counting(World):
        def batch(self, index):
            asked.append(index)
            return super().batch(index)

    source = Counting(data.batches, data.windows)
    size = data.batches[0].features.nbytes + data.batches[0].targets.nbytes
    feed = EraFeed(source, torch.device("cpu"), resident_bytes=2 * size, inputs=CONFIG.inputs)

    first, second = (list(feed.stream([0, 1, 2])) for _ in range(2))

    assert asked == [0, 1, 2, 2]
    assert feed.resident == 2
    for one, two in zip(first, second, strict=True):
        assert one.era == two.era
        assert torch.equal(one.features, two.features)
        assert torch.equal(one.window, two.window)


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_copy_of_a_mapped_era_keeps_its_order_in_memory(order):
    """Part of a file that nobody may write to is copied once, dense, and in the order that it has."""
    mapped = np.array(np.arange(60, dtype=np.int8).reshape(6, 10), order=order)[1:5, 2:9]
    mapped.flags.writeable = False

    copy = copied(mapped, pinned=False)

    assert np.array_equal(copy.numpy(), mapped)
    assert copy.stride() == ((7, 1) if order == "C" else (1, 4))


def test_an_epoch_takes_every_nth_era_with_another_offset():
    """Four epochs of a fourth of the eras see each era once."""
    order = EraOrder.plan(10, replace(OPTIONS, epochs=4, era_stride=4, evaluations_per_epoch=1))
    epochs = [order.steps[start:stop] for start, stop in ((0, 3), (3, 6), (6, 8), (8, 10))]

    assert [sorted(era for (era,) in epoch) for epoch in epochs] == [[0, 4, 8], [1, 5, 9], [2, 6], [3, 7]]
    assert order.due == {3, 6, 8, 10}


def test_steps_repeat_epochs_until_there_are_enough():
    """A fixed number of steps ends inside an epoch, or goes on beyond the epochs; the schedule is that long."""
    epochs = EraOrder.plan(10, replace(OPTIONS, epochs=4, era_stride=4, evaluations_per_epoch=1))
    few, many = (EraOrder.plan(10, replace(OPTIONS, era_stride=4, evaluations_per_epoch=1, steps=n)) for n in (4, 23))

    assert few.steps == epochs.steps[:4]
    assert (few.length, few.due) == (4, {3, 4})
    assert many.steps[:10] == epochs.steps
    assert (many.length, len(many.steps), max(many.due)) == (23, 23, 23)
    assert EraOrder.plan(1, replace(OPTIONS, era_stride=3, steps=2)).length == 2


def test_a_short_last_step_takes_eras_again():
    """Every step has the same number of eras, and a run that stops early keeps the schedule of the whole."""
    order = EraOrder.plan(7, replace(OPTIONS, epochs=1, eras_per_step=3, stop_after=2))
    whole = EraOrder.plan(7, replace(OPTIONS, epochs=1, eras_per_step=3))

    assert [len(step) for step in whole.steps] == [3, 3, 3]
    assert {era for step in whole.steps for era in step} == set(range(7))
    assert order.steps == whole.steps[:2]
    assert (order.length, max(order.due)) == (3, 2)


def test_a_run_on_more_eras_can_keep_a_shorter_schedule():
    """The schedule has the length that is given, whatever the eras; it never ends before the training."""
    given = replace(OPTIONS, epochs=1, stop_after=5)

    assert EraOrder.plan(20, replace(given, schedule_length=7)).length == 7
    assert EraOrder.plan(20, given).length == 20
    assert EraOrder.plan(20, replace(given, schedule_length=3)).length == 5


def test_bfloat16_learns_the_same_signal():
    """Half precision in the products costs no skill that shows."""
    data = world()

    half, full = (fit(data, precision=precision).best_score for precision in ("bfloat16", "float32"))

    assert half == pytest.approx(full, abs=0.05)
    assert half > 0.2


@pytest.fixture(scope="module")
def alone_and_together(tmp_path_factory):
    """A folder with what two ranks on loopback, and one process, made of each body."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    ranks = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = [str(ROOT / "tests" / "models" / "training" / "two_ranks.py"), str(folder)]
    for command in ([*ranks, *script], [sys.executable, *script]):
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=300)
    return folder


@pytest.mark.parametrize("body", BODIES)
def test_two_processes_train_as_one(alone_and_together, body):
    """Two ranks end with equal bits, and within a millionth of one process that takes the same steps."""
    first, second, alone = (torch.load(alone_and_together / f"{body}-{name}.pt") for name in ("2-0", "2-1", "1-0"))
    runs = [torch.load(alone_and_together / f"{body}-{name}.run.pt") for name in ("2-0", "2-1", "1-0")]

    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.allclose(first[name], alone[name], rtol=0, atol=1e-6) for name in first)
    assert runs[0] == runs[1]
    assert runs[0]["corr"] == pytest.approx(runs[2]["corr"], abs=1e-5)
    assert runs[0]["eras"] == runs[2]["eras"]


def test_eras_that_cannot_be_shared_are_refused(monkeypatch):
    """Two processes cannot take one era a step; the message says what to set."""
    monkeypatch.setattr(training_module.Team, "current", classmethod(lambda cls: cls(rank=0, size=2)))

    with pytest.raises(ValueError, match="1 eras a step cannot be shared by 2 processes; set a multiple"):
        run(world(eras=60), OPTIONS)
