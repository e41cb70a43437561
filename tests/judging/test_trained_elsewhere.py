"""What trained elsewhere may have seen the hold-out: it is never compared as if it had not."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bot.errors import BadConfig
from bot.findings import Absent
from bot.judging import _champion_comparison as comparison
from bot.judging.judge import learned_elsewhere, unseen_positions
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
