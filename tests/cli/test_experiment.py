"""Experiments of the command line use a recipe's own pins."""

import pytest

from bot.cli.research._experiment import find_plan, make_experiment
from bot.settings import load_settings


@pytest.mark.parametrize(
    ("pins", "expected"),
    [
        ("", ("medium", "target_ender_60")),
        ('feature_set = "small"\ntarget = "target_ender_20"\n', ("small", "target_ender_20")),
    ],
)
def test_an_experiment_has_the_pins_of_its_recipe(tmp_path, monkeypatch, pins, expected):
    """Feature set and target come from the recipe where it pins them, and from the settings elsewhere."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text(f'base = "demo"\n{pins}', encoding="utf-8")
    settings = load_settings(state_dir=tmp_path / "state", feature_set="medium", target="target_ender_60")

    plan = find_plan(settings, "mine")
    experiment = make_experiment(settings, plan, eras=None, every=1, chunk=4, report_progress=lambda *_: None)

    assert (experiment.feature_set, experiment.target) == expected


def test_without_a_recipe_it_is_that_of_the_first_slot(tmp_path, monkeypatch):
    """Slots decide where there are some; BOT_RECIPE is for an account's only model."""
    monkeypatch.chdir(tmp_path)
    slotted = load_settings(state_dir=tmp_path / "state", slots={"mixer": "demo"}, recipe="standard")
    alone = load_settings(state_dir=tmp_path / "state", recipe="demo")

    assert find_plan(slotted, None).recipe.name == "demo"
    assert find_plan(slotted, "standard").recipe.name == "standard"
    assert find_plan(alone, None).recipe.name == "demo"
