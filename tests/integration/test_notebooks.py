"""The notebooks of `examples/notebooks` run on a bot of the sandbox and come to right results."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bot.live.live_scores import LiveScores
from bot.record.ledger import Ledger
from bot.tournament.responses import LiveScore
from tests.harness import notebooks
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "notebooks"
RECIPE = 'targets = ["target_ender_60"]\n[data]\nengineered = []\n[members.only]\nkind = "{kind}"\n{options}'


@pytest.fixture
def state(installation, trained, monkeypatch) -> Path:
    """The state of a bot with data and a champion, in its folder."""
    for name in ("data", "store"):
        shutil.copytree(trained / name, installation.state / name)
    monkeypatch.chdir(installation.root)
    return installation.state


def test_each_notebook_is_run():
    """There is a test of every notebook, and none is kept with outputs of somebody's own data."""
    found = sorted(FOLDER.glob("*.ipynb"))

    assert [one.stem for one in found] == ["compare_two_recipes", "live_record", "read_the_store"]
    assert not [one for path in found for one in notebooks.cells(path) if one["outputs"] or one["execution_count"]]


def test_the_store_is_read_three_ways(state):
    """Arrays and frame have the same rows, and trees that are fitted on the store predict eras that follow."""
    found = notebooks.run(FOLDER / "read_the_store.ipynb", STATE=str(state))
    columns, newest = found["columns"], found["newest"]

    assert found["by_era"]["rows"].to_list() == [int(np.diff(columns.offsets)[one]) for one in newest]
    assert found["correlations"].shape == (len(found["labelled"]), len(columns.feature_names))
    assert np.isfinite(found["loss"].item())
    assert np.mean(found["scores"]) > 0


@pytest.mark.slow
def test_two_recipes_are_compared(state):
    """The intervals stand around the differences of the comparison that was made."""
    (state.parent / "recipes").mkdir()
    (state.parent / "recipes" / "ridge.toml").write_text(RECIPE.format(kind="linear", options=""))
    (state.parent / "recipes" / "trees.toml").write_text(RECIPE.format(kind="lightgbm", options='preset = "demo"'))
    options = ["--every", "4", "--chunk", "60", "--eras", "140"]
    found = notebooks.run(
        FOLDER / "compare_two_recipes.ipynb", STATE=str(state), RECIPES=["ridge", "trees"], OPTIONS=options
    )
    kept = json.loads(next(state.glob("experiments/compare-*/result.json")).read_text())

    assert found["intervals"]["mean"].to_list() == [one["mean"] for one in kept["differences"]]
    assert all(low < mean < high for low, mean, high in found["intervals"].select("low", "mean", "high").iter_rows())
    assert -1 <= found["alike"] <= 1


@pytest.mark.parametrize("rounds", [0, 1, 200])
def test_a_live_record_is_summed_up(installation, state, rounds):
    """Without rounds there is an empty table; with one no error of the mean; with many the mean and its error."""
    values = np.random.default_rng(0).normal(0.01, 0.02, rounds).tolist()
    if rounds:
        installation.submit(max_exposure=1)
        add_rounds(state / "ledger.sqlite", values)
    found = notebooks.run(FOLDER / "live_record.ipynb", STATE=str(state))
    summary = found["summary"]

    assert len(found["confirmed"]) == rounds
    assert len(found["record"]) == rounds
    assert summary["rounds"].sum() == rounds
    if rounds:
        assert summary["live"][0] == pytest.approx(np.mean(values))
        assert np.isfinite(summary["error"][0]) == (rounds > 1)
        assert np.isfinite(summary["expected"][0])


def add_rounds(path, values):
    """Record scores of the submitted round and of rounds before it, which the same artifact filled."""
    ledger, record = Ledger(path), LiveScores(path)
    entry = ledger.entry(FIRST_ROUND, SLOT)
    for number, value in zip(range(FIRST_ROUND, 0, -1), values, strict=False):
        if number != FIRST_ROUND:
            ledger.intend(replace(entry, round=number))
        score = LiveScore(
            round=number, name="corr60", value=value, percentile=0.5, day=60, date=OPENED.isoformat(), resolved=True
        )
        record.record(SLOT, [score])
    ledger.close()
    record.close()
