"""What `bot tune` says at the end of a study."""

import re
from types import SimpleNamespace

import optuna
import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from bot.cli.research.tune import _RecipeFile, _write_winner
from bot.errors import BadConfig
from bot.research.trial_worker import BASE
from bot.training.recipes import DEMO


@pytest.mark.parametrize(
    ("value", "advice"), [(0.1, "there is nothing to retrain"), (0.3, "`bot retrain --recipe tuned`")]
)
def test_a_base_that_nothing_beats_is_not_to_be_retrained(tmp_path, monkeypatch, capsys, value, advice):
    """Only a trial that is better than the base is worth a training."""
    monkeypatch.chdir(tmp_path)
    study = optuna.create_study(direction="maximize")
    study.add_trial(optuna.trial.create_trial(value=0.2, user_attrs={BASE: True}))
    study.add_trial(optuna.trial.create_trial(value=value))
    tuning = SimpleNamespace(
        winner=lambda *_: DEMO, table=lambda _: (), verdict=lambda _: "a verdict", references="CORR alone"
    )

    _write_winner(_RecipeFile(name="tuned", study="tune-1"), tuning, study)

    assert advice in capsys.readouterr().out
    assert (tmp_path / "recipes" / "tuned.toml").is_file()


@pytest.mark.parametrize("place", ["a file", "/proc/self"])
def test_recipes_that_cannot_be_written_end_the_command_at_its_start(tmp_path, monkeypatch, place):
    """A file in place of the folder, or a system that takes no files, is one line before any data are read."""
    (tmp_path / "recipes").touch()
    monkeypatch.chdir(tmp_path if place == "a file" else place)
    result = CliRunner().invoke(app, ["tune", "--trials", "1"])

    assert isinstance(result.exception, BadConfig)
    assert re.search(r"/recipes cannot be written: .*; make it a folder that is writable", str(result.exception))
    assert result.exception.exit_code == 78
