"""What trained elsewhere may have seen the hold-out: it is never compared as if it had not."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from bot.errors import BadConfig
from bot.findings import Absent
from bot.judging import _champion_comparison as comparison
from bot.judging.judge import learned_elsewhere, trained_here, unseen_positions
from bot.members.kinds.command import CommandOptions
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.member import Member
from bot.reporting.evaluate import Evaluator
from bot.serving.artifacts import Artifact
from tests.serving.manifests import manifest

SYNCED = SimpleNamespace(store=SimpleNamespace(manifest=SimpleNamespace(data_version="v5.3"), eras=("0001", "0002")))


@pytest.fixture
def adopted():
    about = manifest(trained_elsewhere=["mine"], data_version="v5.2")
    return Artifact(id="2026-11-24T1018Z-3f9c", folder=Path(), manifest=about)


def test_it_has_no_unseen_era(adopted):
    """No era counts as out of sample, and the reason names the member."""
    found = unseen_positions(adopted, [0, 1], SYNCED.store.eras)

    assert found == Absent("it may have learned from these eras: it was not trained here (mine)")


def test_an_artifact_of_the_bot_is_judged_as_before(adopted):
    """Without members from elsewhere there is no such reason."""
    assert learned_elsewhere(Artifact(id="a", folder=Path(), manifest=manifest(trained_elsewhere=[]))) is None
    assert learned_elsewhere(Artifact(id="a", folder=Path(), manifest=manifest())) is None


def test_a_challenger_is_not_compared_with_it(adopted):
    """The champion's scores are absent with the reason, and nothing of it is opened."""
    artifacts = SimpleNamespace(champions=lambda _: (adopted.id,), open=lambda _: adopted)
    champions = comparison.Champions(artifacts=artifacts, recipe="mine", synced=SYNCED)
    holdout = SimpleNamespace(positions=[0, 1], target="target_ender_60")
    judged = comparison._judge_champion(champions, None, holdout, lambda *_: None)

    assert judged.id == adopted.id
    assert "may have learned from these eras" in judged.scores.reason
    assert not judged.passing
    assert comparison.open_champion_of_other_version(artifacts, "mine", SYNCED, Path()) is None


def test_it_cannot_be_evaluated(adopted, tmp_path):
    """`bot evaluate` refuses it in one line."""
    evaluator = Evaluator(artifacts=SimpleNamespace(open=lambda _: adopted), state_dir=tmp_path)
    with pytest.raises(BadConfig, match="may have learned from these eras"):
        evaluator.evaluate(adopted.id)


def test_a_hold_out_judges_only_members_that_were_trained_here():
    """Of a mixed recipe, members from elsewhere take no part in the judgement."""
    trees = Member(name="gbm", kind="lightgbm", options=LightGBMOptions())
    program = Member(name="mine", kind="command", options=CommandOptions(command=("a",)))

    assert trained_here((trees, program)) == (trees,)


def test_no_experiment_takes_a_recipe_with_a_member_from_elsewhere(tmp_path, monkeypatch):
    """`bot tune`, `bot evaluate compare` and others refuse it before they read any data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text('[members.mine]\nkind = "command"\ncommand = ["a"]\n')
    for arguments in (["tune", "--recipe", "mine"], ["evaluate", "compare", "demo", "mine"]):
        result = CliRunner().invoke(app, arguments)
        assert isinstance(result.exception, BadConfig)
        assert "member mine of kind command was trained elsewhere" in str(result.exception)
