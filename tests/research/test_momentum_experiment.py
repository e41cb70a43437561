"""E0 on worlds with and without persistent factor returns."""

import json
import shutil
from dataclasses import replace

import pytest

from bot.data.ingest import update
from bot.errors import OperatorNeeded
from bot.research.experiment import Experiment, plain
from bot.research.momentum_experiment import e0
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.training.recipes import DEMO

pytestmark = pytest.mark.slow


def experiment(state, **changes):
    return Experiment(
        **{
            "state_dir": state,
            "data_version": "v5.3",
            "feature_set": "small",
            "target": "target_ender_20",
            "recipe": DEMO,
            "eras": None,
            "every": 1,
            "chunk": 40,
            "holdout_eras": 0,
        }
        | changes
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """Return a function that makes a state directory as `bot sync` leaves it, from a world with a given persistence."""
    made = {}

    def make(persistence):
        if persistence not in made:
            root = tmp_path_factory.mktemp("experiment")
            size = replace(SIZES["tiny"], train_eras=160, validation_eras=60, rows=(200, 200), factors=0.25)
            generate(root / "world", size=size, persistence=persistence)
            shutil.copytree(root / "world" / "v5.3", root / "state" / "data" / "v5.3")
            files = [root / "world" / "v5.3" / name for name in ("train.parquet", "validation.parquet")]
            update(root / "state" / "store", files, version="v5.3")
            made[persistence] = root / "state"
        return made[persistence]

    return make


def test_persistent_factors_are_a_go(state):
    """Planted persistence is found: cosines are above the limit, and momentum beats LightGBM by timing."""
    found = e0(experiment(state(0.8)))
    total, timing = found.gains[-2:]

    assert found.go
    assert found.persistence[0].cosine.low > 0.025
    assert total.t > 2
    assert timing.t > 2


def test_factors_without_persistence_are_a_no_go(state):
    """The same market without persistence is a no-go, although it has a fixed linear signal."""
    found = e0(experiment(state(0.0)))

    assert not found.go
    assert found.persistence[0].cosine.low < 0.025


def test_momentum_scores_more_with_persistence(state):
    """The averages with the shortest half-life have a much higher CORR with persistence than without."""
    lasting, fleeting = e0(experiment(state(0.8))), e0(experiment(state(0.0)))

    assert lasting.gains[0].alone > fleeting.gains[0].alone + 0.05


def test_interrupted_experiment_continues_with_its_last_fold(state, tmp_path):
    """Finished folds are read instead of fitted again, and the result is the same."""
    copy = shutil.copytree(state(0.0), tmp_path / "state")
    shutil.rmtree(copy / "experiments", ignore_errors=True)
    done = []

    def interrupt(stage, _share, note):
        if stage == "momentum" and note.startswith("fold 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        e0(experiment(copy, report_progress=interrupt))
    resumed = e0(experiment(copy, report_progress=lambda stage, _share, note: done.append((stage, note))))

    assert not any(note.startswith("fold 1") for _, note in done)
    assert plain(resumed.gains) == plain(e0(experiment(state(0.0))).gains)
    assert json.loads(resumed.path.read_text())["go"] is resumed.go


def test_other_options_are_another_experiment(state):
    """A run with another stride has its own results."""
    runs = {e0(experiment(state(0.0), every=every)).path for every in (1, 2)}

    assert len(runs) == 2


def test_too_few_folds_are_refused(state):
    """A chunk that leaves one fold is refused, and the message names the option to change."""
    with pytest.raises(OperatorNeeded, match=r"make 1 folds, 2 are needed; choose a smaller --chunk"):
        e0(experiment(state(0.0), chunk=120))


def test_missing_data_are_refused(tmp_path):
    """Without synced data, the message names `bot sync`."""
    with pytest.raises(OperatorNeeded, match="run `bot sync` first"):
        e0(experiment(tmp_path))
