"""An exported artifact on Numerai's machine: which rows use the packed history."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import time_machine

from bot import assembly
from bot.history.published import FRESH_FOR, history_path, newest
from bot.hosted._model import LIVE_HISTORY, Hosted
from bot.hosted._pickling import _served
from bot.hosted.export import find_sample
from bot.members.rows import RawRows
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from tests.harness.installation import OPENED


@pytest.fixture
def champion(installation):
    store = ArtifactStore(installation.state / "artifacts")
    return store.open(store.champions("demo")[0])


def unpacked(artifact, folder, history):
    """The artifact as loaded on Numerai's machine."""
    for name, content in _served(artifact, history).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    return Hosted(folder / "artifact")


@pytest.fixture
def frame(installation, tmp_path):
    client = assembly.open_client(installation.settings_as())
    return pd.read_parquet(find_sample(client, installation.state / "rounds", "v5.3", tmp_path, benchmarks=False).live)


def scored(artifact, frame, history):
    names = [name for name in frame.columns if name.startswith("feature_")]
    return Scorer(artifact).score(RawRows(names=names, values=frame[names].to_numpy(), history=history)).predictions


def test_history_is_masked_once_it_is_stale(champion, frame, tmp_path):
    """Live rows use the packed history until it is stale, and then none."""
    state = replace(Scorer(champion).history, stale_after=OPENED + timedelta(days=1))
    hosted = unpacked(champion, tmp_path, state)
    with time_machine.travel(OPENED, tick=False):
        fresh = hosted.predict(frame)
    with time_machine.travel(OPENED + timedelta(days=2), tick=False):
        stale = hosted.predict(frame)

    np.testing.assert_allclose(fresh["prediction"], scored(champion, frame, state), atol=0.005)
    np.testing.assert_allclose(stale["prediction"], scored(champion, frame, None), atol=0.005)
    assert np.abs(fresh - stale).to_numpy().max() > 0.05


def test_past_eras_do_not_see_what_has_resolved_since(champion, frame, tmp_path):
    """Past eras are ranked one by one, without the packed history."""
    past = pd.concat([frame.assign(era="1200"), frame.assign(era="1201")])
    hosted = unpacked(champion, tmp_path, Scorer(champion).history)
    predictions = hosted.predict(past)
    masked = scored(champion, frame, None)

    assert predictions.index.equals(past.index)
    np.testing.assert_allclose(predictions["prediction"], np.tile(masked, 2), atol=0.005)


def test_newest_history_travels_along(champion, tmp_path):
    """Live rows use the history synced after the training, as they do in the bot."""
    own = Scorer(champion).history
    path = history_path(tmp_path, "v5.3")
    path.parent.mkdir()
    later = replace(own, window=own.window + 0.01, built_from_era="9999", stale_after=OPENED + FRESH_FOR)
    path.write_bytes(later.to_bytes())
    hosted = unpacked(champion, tmp_path, newest(own, path))

    np.testing.assert_array_equal(hosted._history.window, later.window)
    assert hosted._history.stale_after == later.stale_after
    assert (tmp_path / "artifact" / LIVE_HISTORY).is_file()
