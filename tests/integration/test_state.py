"""`from bot import open_state`, the interface for notebooks, on a bot that has confirmed one round."""

import inspect
import json
import shutil
from datetime import timedelta

import numpy as np
import pandas as pd
import polars as pl
import pytest

import bot
from bot.errors import BadConfig, NoChampion, OperatorNeeded, SchemaMismatch
from bot.live.live_scores import LiveScores
from bot.tournament.responses import LiveScore
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

NOW = OPENED + timedelta(minutes=1)
PUBLIC = {
    "artifacts", "champion", "columns", "comparisons", "data_version", "folder", "mode", "predict", "round", "rounds",
    "scores", "status", "store",
}  # fmt: skip


@pytest.fixture
def state(installation):
    """The state of a bot in live mode after one confirmed round."""
    installation.submit(max_exposure=1)
    return bot.open_state(installation.state, mode="live")


def sent(state):
    return pd.read_csv(next(state.folder.glob(f"rounds/{FIRST_ROUND}/*/predictions.csv")), index_col="id")["prediction"]


def test_the_interface_has_these_names():
    """A name that is added, renamed or lost is a decision: notebooks of other people use them."""
    assert {*bot.__all__} == {"State", "open_state", "__version__"}
    assert {name for name in dir(bot.State) if not name.startswith("_")} == PUBLIC
    assert all(inspect.getdoc(getattr(bot.State, name)) for name in PUBLIC - {"folder", "mode", "data_version"})
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bot.nothing  # noqa: B018 - the access is the test


def test_status_and_round_equal_the_commands(state, installation):
    """They hold what `bot status --json` prints, without its notes."""
    told = json.loads(installation.bot("status", "--json").stdout)

    assert {**json.loads(json.dumps(state.status())), "notes": told["notes"]} == told
    assert state.round(FIRST_ROUND)["slots"][SLOT]["state"] == "confirmed"
    with pytest.raises(BadConfig, match="round 7 is not in"):
        state.round(7)


def test_rounds_and_scores_are_values(state):
    """Submissions and live scores have named fields, oldest first."""
    record = LiveScores(state.folder / "ledger.sqlite")
    at = OPENED.isoformat()
    record.record(
        SLOT, [LiveScore(round=FIRST_ROUND, name="corr60", value=0.02, percentile=0.7, day=3, date=at, resolved=False)]
    )
    record.close()

    assert [(one.round, one.slot, one.state) for one in state.rounds()] == [(FIRST_ROUND, SLOT, "confirmed")]
    assert state.scores()[0].scores == {"corr60": 0.02}
    assert state.scores("another") == ()


def test_artifacts_and_champion(state):
    """The champion is marked, and has its scores on the hold-out."""
    (one,) = [one for one in state.artifacts() if one.champion]

    assert one.id == state.champion() == state.champion("demo")
    assert one.recipe == "demo"
    assert "mean" in one.scores["ensemble"]
    with pytest.raises(NoChampion):
        state.champion("nosuch")


@pytest.mark.parametrize("reads", [pd.read_parquet, pl.read_parquet], ids=["pandas", "polars"])
def test_predictions_are_those_of_the_round(state, reads):
    """Live rows in a frame of either library, and in another order, get the predictions that the round sent."""
    (path,) = (state.folder / "rounds" / str(FIRST_ROUND)).rglob("live.parquet")
    frame = reads(path)
    found, expected = state.predict(frame, at=NOW), sent(state)
    turned = state.predict(frame[::-1], recipe="demo", at=NOW)

    assert found.index.tolist() == expected.index.tolist()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(turned[::-1], found, atol=1e-6)


def test_eras_are_predicted_apart(state):
    """Rows of two eras in one frame get what each era gets alone; values that are missing may be NaN."""
    (path,) = (state.folder / "rounds" / str(FIRST_ROUND)).rglob("live.parquet")
    frame = pd.read_parquet(path)
    name = next(one for one in frame if one.startswith("feature_"))
    frame[name] = frame[name].astype("float32").where(frame.index != frame.index[0])
    half = len(frame) // 2
    both = frame.assign(era=["0001"] * half + ["0002"] * (len(frame) - half))
    found = state.predict(both, at=NOW)

    for part in (both[:half], both[half:]):
        np.testing.assert_allclose(state.predict(part, at=NOW), found[part.index])


def test_a_frame_without_features_is_refused(state):
    """A missing feature, or one that is text, is an error with its name."""
    (path,) = (state.folder / "rounds" / str(FIRST_ROUND)).rglob("live.parquet")
    frame = pd.read_parquet(path)
    name = next(one for one in frame if one.startswith("feature_"))

    with pytest.raises(SchemaMismatch, match=f"lacks 1 of .*{name}"):
        state.predict(frame.drop(columns=name))
    with pytest.raises(SchemaMismatch, match=f"{name} is .* and holds no codes"):
        state.predict(frame.assign(**{name: "text"}))


def test_the_store_is_read_by_feature_set(state, trained):
    """Columns of a set, of names, and the reason where there is no store."""
    with pytest.raises(OperatorNeeded, match=r"no era store of v5\.3"):
        state.columns("small")
    for name in ("data", "store"):
        shutil.copytree(trained / name, state.folder / name)

    assert state.columns("small").feature_names == state.columns(state.columns("small").feature_names).feature_names
    assert state.columns("medium", ["target_ender_60"]).target_names == ("target_ender_60",)
    assert state.comparisons() == []


def test_nothing_is_written(state):
    """Reading changes no file of the state directory."""

    def files():
        """Return the time of each file, without those that SQLite keeps beside a database while it is read."""
        found = (
            one for one in state.folder.rglob("*") if one.is_file() and one.suffix not in (".sqlite-shm", ".sqlite-wal")
        )
        return {one: one.stat().st_mtime_ns for one in found}

    before = files()
    state.status(), state.rounds(), state.scores(), state.artifacts(), state.round(FIRST_ROUND)

    assert files() == before


def test_settings_name_the_state(installation, monkeypatch):
    """Without a folder, the state and mode are those of the settings; a folder that is not there is refused."""
    monkeypatch.setenv("BOT_STATE_DIR", str(installation.state))
    monkeypatch.setenv("BOT_MODE", "live")

    assert bot.open_state() == bot.open_state(installation.state, mode="live")
    assert bot.open_state(installation.state, mode="dry-run").rounds() == ()
    with pytest.raises(BadConfig, match="there is no state directory"):
        bot.open_state(installation.root / "nosuch")
