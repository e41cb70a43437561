"""`bot diagnose` with nothing to upload."""

import json

import pytest

from bot.cli.research.diagnose import diagnose_artifacts
from bot.errors import NoChampion


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A live bot of two recipes, without a champion."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_MODE", "live")
    monkeypatch.setenv("BOT_SLOTS", "one=demo,two=standard")
    monkeypatch.setenv("BOT_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_without_a_champion_nothing_is_known(state, capsys):
    """A bot that has no champion has no diagnostics either."""
    with pytest.raises(NoChampion, match="'demo' has no champion"):
        diagnose_artifacts(None, account=None, force=False)

    assert capsys.readouterr().out == ""


def test_what_cannot_be_scored_is_named(state):
    """A champion whose store is gone, and a recipe without one, are named with the reason."""
    pointer = state / "artifacts" / "champions" / "demo.json"
    pointer.parent.mkdir(parents=True)
    pointer.write_text(json.dumps({"champion": "2026-a", "previous": []}))
    lines = diagnose_artifacts(None, account=None, force=False).lines

    assert lines[0].startswith("recipe 'standard' has no champion yet")
    assert lines[1:] == ("2026-a: the store that it was trained on is not here, so it cannot be scored",)
