"""`bot retrain` over several recipes."""

import pytest

from bot.cli.answer import answer
from bot.cli.models import retrain
from bot.errors import BadConfig


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Names of the recipes that are trained; the working folder has a file of a recipe that cannot work."""
    names = []
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "broken.toml").write_text("[network]\npatience = 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_SLOTS", "one=broken,two=demo")
    monkeypatch.setenv("BOT_STARTER", "false")
    monkeypatch.setattr(
        retrain, "retrain_alone", lambda _settings, recipes, *_: names.extend(one.name for one in recipes) or []
    )
    return names


def test_a_broken_recipe_file_does_not_stop_the_others(trained):
    """The other recipes are trained first; then the broken file is the command's error."""
    with pytest.raises(BadConfig, match=r"broken\.toml: members\.tsmixer\.network\.patience = 0 must be at least 1"):
        answer(lambda: retrain.retrain_recipes(None, None), as_json=False)

    assert trained == ["demo"]


def test_only_a_broken_recipe_trains_nothing(trained):
    """A recipe that is named alone and cannot work is the command's error."""
    with pytest.raises(BadConfig, match="patience"):
        answer(lambda: retrain.retrain_recipes("broken", None), as_json=False)

    assert trained == []
