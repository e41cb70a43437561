"""`bot retrain` over several recipes."""

import json
from pathlib import Path

import fsspec
import pytest
import typer
from fsspec.implementations.local import LocalFileSystem

from bot.cli.answer import answer
from bot.cli.models import retrain
from bot.errors import BadConfig, CannotSplit, NumeraiUnavailable, OperatorNeeded
from bot.packing.keys import make_key


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Names of the recipes that are trained; the working folder has a file of a recipe that cannot work."""
    names = []
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "broken.toml").write_text("[network]\npatience = 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_SLOTS", "one=broken,two=demo")
    monkeypatch.setenv("BOT_STARTER", "false")

    def train(_settings, recipes, *_):
        names.extend(one.name for one in recipes)
        return [None for _ in recipes]

    monkeypatch.setattr(retrain, "retrain_alone", train)
    monkeypatch.setattr(retrain, "_finish", lambda _settings, _result: {})
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


@pytest.mark.parametrize(
    ("kind", "names", "reported"),
    [
        (CannotSplit, ["one", "two", "three"], 2),
        (NumeraiUnavailable, ["one", "two"], 1),
    ],
)
def test_a_recipe_that_fails_keeps_no_other_from_being_trained(trained, monkeypatch, capsys, kind, names, reported):
    """The others are trained and reported, unless the reason is one that concerns all; the error names its recipe."""
    for name in ("one", "two", "three"):
        Path("recipes", f"{name}.toml").write_text('base = "demo"\n')
    monkeypatch.setenv("BOT_SLOTS", "a=one,b=two,c=three")
    original, reason = retrain.retrain_alone, "that is why"

    def train(settings, recipes, *rest):
        done = original(settings, recipes, *rest)
        if recipes[0].name == "two":
            raise kind(reason)
        return done

    monkeypatch.setattr(retrain, "retrain_alone", train)
    with pytest.raises(typer.Exit) as ended:
        answer(lambda: retrain.retrain_recipes(None, None), as_json=True)
    content = json.loads(capsys.readouterr().out)

    assert ended.value.exit_code == kind.exit_code
    assert trained == names
    assert len(content["retrained"]) == reported
    assert [one["message"] for one in content["errors"]] == [f"recipe two: {reason}"]


def storage(monkeypatch, url):
    make_key(Path("signing.key"))
    monkeypatch.setenv("BOT_SIGNING_KEY", "signing.key")
    monkeypatch.setenv("BOT_ARTIFACTS_URL", url)


@pytest.mark.parametrize(
    ("url", "kind", "said"),
    [
        ("s3://bucket/packs", OperatorNeeded, "s3:// needs a package: Install s3fs"),
        ("nosuch://packs", BadConfig, "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_opened_ends_a_retrain_before_training(trained, monkeypatch, url, kind, said):
    """The reason is known before hours are spent, with the exit code of an error that only a person can fix."""
    storage(monkeypatch, url)
    with pytest.raises(kind, match=said) as refused:
        retrain.retrain_recipes("demo", None)

    assert (trained, refused.value.exit_code) == ([], 78)


def test_a_storage_that_does_not_answer_stops_no_training(trained, monkeypatch):
    """It may answer once the artifact is there; neither does one without a signing key, which only receives."""

    class Silent(LocalFileSystem):
        protocol = "silent"

        def __init__(self, *_, **__):
            raise OSError("no answer")

    fsspec.register_implementation("silent", Silent, clobber=True)
    storage(monkeypatch, "silent://packs")
    retrain.retrain_recipes("demo", None)
    monkeypatch.setenv("BOT_SIGNING_KEY", "none.key")
    monkeypatch.setenv("BOT_ARTIFACTS_URL", "s3://bucket/packs")
    retrain.retrain_recipes("demo", None)

    assert trained == ["demo", "demo"]
