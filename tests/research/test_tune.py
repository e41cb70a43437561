"""Tuning on a small world with real stores, networks and trees: the hold-out changes nothing, and the winner is a recipe."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.data.ingest import update
from bot.errors import OperatorNeeded
from bot.research.experiment import Experiment
from bot.research.trial_worker import Worker, open_study
from bot.research.tune import REASON, SearchSpace, Tuning
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.tournament.columns import EMBARGO
from bot.training import recipe_file
from bot.training.recipes import DEMO, STANDARD
from tests.harness.recipes import network_of, remade

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TARGET, HELD_OUT = "target_ender_20", 10
SMALL = remade(
    DEMO,
    targets=(TARGET, "target_jasper_20"),
    holdout_eras=HELD_OUT,
    network={"lookback": 4, "history_targets": (TARGET,), "encoder": (16,), "hidden": 8, "blocks": 1, "epochs": 1},
)
POINT = {
    "lookback": 4, "history_targets": "all", "hidden": 8, "feed_forward": 64, "blocks": 1, "dropout": 0.1,
    "learning_rate": 1e-3, "weight_decay": 1e-3, "loss": "mse", "gbm": "demo", "feature_set": "small",
    "weight_tsmixer": 0.5, "weight_gbm": 0.5,
}  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return the files of a small world."""
    root = tmp_path_factory.mktemp("tuning")
    size = replace(SIZES["tiny"], train_eras=60, validation_eras=60, rows=(60, 60), factors=0.25)
    generate(root, size=size, persistence=0.8)
    return root / "v5.3"


def synced(root, world, garbled=()):
    """Return a state directory as `bot sync` leaves it, with random targets in the eras *garbled*."""
    shutil.copytree(world, root / "data" / "v5.3")
    files = [root / "data" / "v5.3" / name for name in ("train.parquet", "validation.parquet")]
    for file in files:
        table = pq.read_table(file)
        chosen = np.isin(table["era"].to_numpy(zero_copy_only=False), list(garbled))
        for name in [name for name in table.column_names if name.startswith("target")]:
            values = table[name].to_numpy(zero_copy_only=False).copy()
            noise = np.random.default_rng(9).choice(np.float32([0, 0.25, 0.5, 0.75, 1]), size=len(values))
            values[chosen & np.isfinite(values)] = noise[chosen & np.isfinite(values)]
            table = table.set_column(table.column_names.index(name), name, pa.array(values, from_pandas=True))
        pq.write_table(table, file)
    update(root / "store", files, version="v5.3")
    return root


@pytest.fixture(scope="module")
def state(tmp_path_factory, world):
    """Return a state directory as `bot sync` leaves it."""
    return synced(tmp_path_factory.mktemp("state"), world)


def tuning(state, **changes):
    experiment = Experiment(
        state_dir=state,
        data_version="v5.3",
        feature_set="small",
        target=TARGET,
        recipe=SMALL,
        eras=None,
        every=2,
        chunk=45,
        device="cpu",
    )
    space = SearchSpace(base=changes.pop("base", SMALL), feature_sets=("small",), presets=("demo",))
    return Tuning(experiment=experiment, space=space, **changes)


@pytest.fixture(scope="module")
def value(state):
    """Return the value of one point."""
    return tuning(state).objective(optuna.trial.FixedTrial(POINT))


def held_out(state):
    """Return the labels of the hold-out eras, and of all eras."""
    store = tuning(state).store
    labelled = np.flatnonzero(store.select((), (TARGET,)).labelled(TARGET))
    return [store.eras[position] for position in labelled[-HELD_OUT:]], store.eras


def test_folds_end_an_embargo_before_the_hold_out(state):
    """Training and validation eras of every fold are at least an embargo older than the hold-out."""
    one = tuning(state)
    names, eras = held_out(state)
    first = eras.index(names[0])

    newest = max(position for fold in one.folds(one.data(SMALL)) for position in (*fold.train, *fold.validation))

    assert newest == first - EMBARGO[20] - 1


def test_other_targets_in_the_hold_out_change_nothing(state, value, world, tmp_path):
    """With other targets in hold-out and embargo, the objective is the same to the last bit."""
    names, eras = held_out(state)
    garbled = eras[eras.index(names[0]) - EMBARGO[20] :]

    other = tuning(synced(tmp_path, world, garbled)).objective(optuna.trial.FixedTrial(POINT))

    assert other == value


def test_other_targets_before_the_hold_out_change_the_value(state, value, world, tmp_path):
    """With other targets in the last validated eras, the objective differs; so the test above would notice a leak."""
    names, eras = held_out(state)
    last = eras.index(names[0]) - EMBARGO[20]

    other = tuning(synced(tmp_path, world, eras[last - 3 : last])).objective(optuna.trial.FixedTrial(POINT))

    assert other != value


def test_a_study_continues_and_its_winner_is_a_recipe(state, tmp_path):
    """A study of two trials gets a third one, and the winner is the recipe with the best parameters."""
    journal = str(tmp_path / "study.journal")
    for count in (2, 3):
        one = tuning(state)
        study = open_study(journal, one.name)
        assert Worker(study=study, trials=count).work(one.objective) == (2 if count == 2 else 1)

    winner = one.winner(study, "tuned")

    assert (winner.name, winner.target, winner.feature_set) == ("tuned", TARGET, "small")
    assert network_of(winner).learning_rate == study.best_params["learning_rate"]
    assert sum(one.weight for one in winner.members) == pytest.approx(1, abs=1e-3)
    assert winner.holdout_eras == HELD_OUT


def test_a_study_of_other_data_or_bounds_has_another_name(state):
    """Only workers with the same history, options and search space share trials."""
    one = tuning(state)

    assert one.name == tuning(state).name
    assert tuning(state, penalty=1.0).name != one.name
    assert tuning(state, base=replace(SMALL, neutralize=0.5)).name != one.name


def test_deviation_between_folds_lowers_the_value(state):
    """With the same mean, equal folds have a higher value than one good and one bad fold."""
    one = tuning(state, penalty=0.5)

    assert one._value([0.02, 0.02]) == pytest.approx(0.02)
    assert one._value([0.05, -0.01]) == pytest.approx(0.02 - 0.5 * 0.03)


def test_a_recipe_that_cannot_be_trained_is_pruned_with_its_reason(state):
    """A trial whose loss is not finite is pruned, and the trial keeps the reason."""
    wild = remade(SMALL, network={"learning_rate": 1e30})
    study = optuna.create_study()
    one = tuning(state, base=wild)
    study.enqueue_trial({**POINT, "learning_rate": 1e30})

    with pytest.raises(optuna.TrialPruned):
        one.objective(trial := study.ask())

    assert "loss is nan" in trial.user_attrs[REASON]


def test_an_empty_study_has_no_winner(state, tmp_path):
    """A study without a complete trial is refused, and the message names the command to run."""
    one = tuning(state)

    with pytest.raises(OperatorNeeded, match="bot tune"):
        one.winner(open_study(str(tmp_path / "empty.journal"), one.name), "tuned")


def bot(state, folder, *arguments):
    """Run a command in *folder*, which has the recipes."""
    environment = {
        "PATH": "",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "BOT_STATE_DIR": str(state),
        "BOT_TARGET": TARGET,
        "BOT_FEATURE_SET": "small",
        "BOT_RECIPE": "own",
        "BOT_DEVICE": "cpu",
    }
    words = [sys.executable, "-m", "bot", *arguments]
    return subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=150)


def test_the_command_writes_a_recipe_file(state, tmp_path):
    """`bot tune` writes a recipe file, runs no trial the second time, and refuses to replace another recipe."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "own.toml").write_text(recipe_file.to_toml(SMALL))
    command = ("tune", "--trials", "1", "--chunk", "45", "--every", "2")

    first, second = bot(state, tmp_path, *command), bot(state, tmp_path, *command)
    other = bot(state, tmp_path, *command, "--name", "own")

    won = recipe_file.find("tuned", tmp_path / "recipes")
    assert first.returncode == 0, first.stderr
    assert "bot retrain --recipe tuned" in first.stdout
    assert (won.name, won.target, won.feature_set, won.holdout_eras) == ("tuned", TARGET, "small", HELD_OUT)
    assert (second.returncode, second.stdout.split(":")[1].split(",")[0]) == (0, " 0 trials done here")
    assert other.returncode == 78
    assert "--name" in other.stderr


def networks(recipe):
    return [one.options.network for one in recipe.members if one.kind == "tsmixer"]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), base=st.sampled_from([SMALL, STANDARD, remade(SMALL, weights={"gbm": 1.0})]))
def test_parameters_of_a_trial_choose_the_same_recipe_again(seed, base):
    """A trial's parameters give its recipe again, and the recipe's history is within the base's."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    space = SearchSpace(base=base, feature_sets=("small", "medium"), presets=("demo", "small"))
    trial = study.ask()

    drawn = space.recipe(trial)

    assert drawn == space.recipe(optuna.trial.FixedTrial(trial.params))
    assert [one.name for one in drawn.members] == [one.name for one in base.members]
    for found, before in zip(networks(drawn), networks(base), strict=True):
        assert 0 <= found.lookback <= before.lookback
        assert set(found.history_targets) <= set(before.history_targets)
        assert found.history_targets
    assert sum(one.weight for one in drawn.members) == pytest.approx(1, abs=1e-3)
