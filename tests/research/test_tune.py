"""Tuning on a small world with real stores, networks and trees: the hold-out changes nothing, and the winner is a recipe."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.data.ingest import update
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import OperatorNeeded
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.research.experiment import Experiment
from bot.research.search_space import SearchSpace
from bot.research.trial_results import CONTRIBUTION, CORR, PAY, REASON
from bot.research.trial_worker import Worker, open_study
from bot.research.tune import FoldScores, References, Tuning
from bot.sandbox.world.generate import generate
from bot.sandbox.world.schema import SIZES
from bot.tournament.columns import EMBARGO
from bot.training import recipe_file
from bot.training.recipes import DEMO
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
        holdout_eras=HELD_OUT,
        device="cpu",
    )
    space = SearchSpace(base=changes.pop("base", SMALL), feature_sets=("small",))
    return Tuning(experiment=experiment, space=space, **changes)


def base_trial(base=SMALL):
    return optuna.trial.FixedTrial(SearchSpace(base=base, feature_sets=("small",)).base_parameters)


@pytest.fixture(scope="module")
def value(state):
    """Return the value of the base."""
    return tuning(state).objective(base_trial())


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

    other = tuning(synced(tmp_path, world, garbled)).objective(base_trial())

    assert other == value


def test_other_targets_before_the_hold_out_change_the_value(state, value, world, tmp_path):
    """With other targets in the last validated eras, the objective differs; so the test above would notice a leak."""
    names, eras = held_out(state)
    last = eras.index(names[0]) - EMBARGO[20]

    other = tuning(synced(tmp_path, world, eras[last - 3 : last])).objective(base_trial())

    assert other != value


def test_a_study_continues_and_its_winner_is_a_recipe(state, value, tmp_path):
    """A study begins with the base, gets a third trial later, and the winner is the recipe with the best parameters."""
    database = f"sqlite:///{tmp_path / 'study.sqlite'}"
    for count in (2, 3):
        one = tuning(state)
        study = open_study(database, one.name)
        worker = Worker(study=study, trials=count, base=one.space.base_parameters)
        assert worker.work(one.objective) == (2 if count == 2 else 1)

    winner, table = one.winner(study, "tuned"), one.table(study)

    assert (winner.name, winner.target, winner.feature_set) == ("tuned", TARGET, "small")
    assert network_of(winner).learning_rate == study.best_params["tsmixer.learning_rate"]
    assert winner.holdout_eras == HELD_OUT
    assert (table[0].about, table[0].value) == ("base", value)
    assert [row.state for row in table] == ["complete" if row.about == "base" else row.state for row in table]
    assert "the recipe that the study began with" in one.verdict(study)


def test_a_study_of_other_data_or_bounds_has_another_name(state):
    """Only workers with the same history, options and search space share trials."""
    one = tuning(state)

    assert one.name == tuning(state).name
    assert tuning(state, penalty=1.0).name != one.name
    assert tuning(state, base=replace(SMALL, neutralize=0.5)).name != one.name


def test_the_value_is_pay_less_the_deviation_between_folds(state):
    """Pay is 3 x CORR + 15 x contribution; with the same mean, equal folds have a higher value than unequal ones."""
    one = tuning(state, penalty=0.5)

    def fold(corr, contribution):
        return FoldScores(corr=np.array([corr, corr]), contribution=np.array([contribution, contribution]))

    assert one._value([fold(0.02, 0.001), fold(0.02, 0.001)]) == pytest.approx(0.075)
    assert one._value([fold(0.02, 0.003), fold(0.02, -0.001)]) == pytest.approx(0.075 - 0.5 * 0.03)


def test_a_trial_keeps_its_pay_of_every_era(state):
    """Pay, CORR and contribution of the finished folds are kept with the trial, so that trials are compared by era."""
    one, trial = tuning(state), base_trial()
    one.objective(trial)

    kept = trial.user_attrs
    eras = sum(len(fold.validation) for fold in one.folds(one.data(SMALL)))
    assert len(kept[PAY]) == eras
    assert np.mean(kept[PAY]) == pytest.approx(3 * kept[CORR] + 15 * kept[CONTRIBUTION], abs=1e-6)


def test_contribution_is_measured_against_the_meta_model_where_there_is_one(state, tmp_path):
    """An era with a meta model takes it, an earlier one the benchmark; without any for an era, pay is CORR alone."""
    one = tuning(state)
    positions = [position for fold in one.folds(one.data(SMALL)) for position in fold.validation]
    meta = ReferencePredictions.read(one.experiment.data_folder, one.store, positions, target=TARGET).by_era["mmc"]
    found = one.references

    assert 0 < found.meta_eras == len(meta) < len(positions)
    assert all(found.contribution[era] is not found.benchmark[era] for era in meta)
    assert all(found.contribution[era] is found.benchmark[era] for era in positions if era not in meta)
    empty = References.read(replace(one.experiment, state_dir=tmp_path), one.store, positions)
    assert (empty.contribution, str(empty)) == ({}, "CORR alone, for some era lacks the benchmark's predictions")


def test_workers_of_one_machine_leave_each_other_their_unfinished_fits(state):
    """A fit removes the unfinished one of a process that was killed days ago, and not that of another worker."""
    trees = remade(SMALL, weights={"gbm": 1.0})
    base = replace(
        trees, members=tuple(replace(one, options=LightGBMOptions(params={"num_trees": 3})) for one in trees.members)
    )
    kept = tuning(state).fitter.kept
    running, left = kept / ".running", kept / ".left"
    for folder in (running, left):
        folder.mkdir(parents=True)
    os.utime(left, (time.time() - 3 * 86400,) * 2)

    tuning(state, base=base).objective(base_trial(base))

    assert running.is_dir()
    assert not left.exists()


def test_a_recipe_that_cannot_be_trained_is_pruned_with_its_reason(state):
    """A trial whose loss is not finite is pruned, and the trial keeps the reason."""
    wild = remade(SMALL, network={"learning_rate": 1e30})  # beyond what a recipe file may hold
    study = optuna.create_study()
    one = tuning(state, base=wild)
    study.enqueue_trial({**one.space.base_parameters, "tsmixer.learning_rate": 1e30})

    with pytest.raises(optuna.TrialPruned):
        one.objective(trial := study.ask())

    assert "loss is nan" in trial.user_attrs[REASON]


def test_an_empty_study_has_no_winner(state, tmp_path):
    """A study without a complete trial is refused, and the message names the command to run."""
    one = tuning(state)

    with pytest.raises(OperatorNeeded, match="bot tune"):
        one.winner(open_study(f"sqlite:///{tmp_path / 'empty.sqlite'}", one.name), "tuned")


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
    """`bot tune` prints trials and verdict, writes a recipe file, and refuses to replace another recipe."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "own.toml").write_text(recipe_file.to_toml(SMALL))
    command = ("tune", "--trials", "1", "--chunk", "45", "--every", "2")

    first, second = bot(state, tmp_path, *command), bot(state, tmp_path, *command)
    other = bot(state, tmp_path, *command, "--name", "own")

    won = recipe_file.find("tuned", tmp_path / "recipes")
    assert first.returncode == 0, first.stderr
    assert "none of the 0 other complete trials beats the recipe that the study began with" in first.stdout
    assert "there is nothing to retrain" in first.stdout
    assert (won.name, won.target, won.feature_set, won.holdout_eras) == ("tuned", TARGET, "small", HELD_OUT)
    assert (second.returncode, second.stdout.split(":")[1].split(",")[0]) == (0, " 0 trials done here")
    assert other.returncode == 78
    assert "--name" in other.stderr


def test_a_journal_of_an_earlier_version_is_refused(state, tmp_path):
    """A study that an earlier version kept in a journal is refused with one line that tells how to begin anew."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "own.toml").write_text(recipe_file.to_toml(SMALL))
    other = tmp_path / "state"
    shutil.copytree(state, other, ignore=shutil.ignore_patterns("tuning"))
    (other / "tuning").mkdir()
    (other / "tuning" / "study.journal").write_text('{"op_code": 0}\n')

    refused = bot(other, tmp_path, "tune", "--trials", "1", "--chunk", "45")

    assert refused.returncode == 78
    assert "study.journal" in refused.stderr
    assert "delete it or move it away" in refused.stderr.replace("\n", " ")
