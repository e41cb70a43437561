"""`bot sync` as a command, and the effect of its result on a round."""

import json

import numpy as np
import pytest

from bot.history.factor_history import HistoryState
from bot.history.published import history_path, read
from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import generate
from tests.harness.installation import OPENED, Installation

BRIEF = """
base = "demo"
targets = ["target_ender_60"]
[network]
encoder = [16]
hidden = 8
feed_forward = 16
blocks = 1
epochs = 1
"""
"""The demo recipe with a network that is trained in a few seconds."""


def test_sync_says_what_there_is(installation):
    """The first sync fetches and stores everything, the second finds it current."""
    first, second = installation.bot("sync"), installation.bot("sync")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "train.parquet, validation.parquet" in first.stdout
    assert "260 eras, 0001 to 0260" in first.stdout
    assert "every file is current" in second.stdout
    assert "truth: `target` is target_ender_60; 20D targets to era 0255, 60D targets to era 0247" in first.stdout
    assert "finding" not in first.stdout + second.stdout


def test_sync_needs_no_key(installation):
    """A sync needs no API key, since the data are public."""
    result = installation.bot("sync", NUMERAI_PUBLIC_ID="", NUMERAI_SECRET_KEY="")

    assert result.returncode == 0, result.stderr


def test_damaged_download_is_fetched_again(installation):
    """A file that was written to since its last check is read whole, and fetched again where a bit is flipped."""
    installation.bot("sync")
    path = installation.state / "data" / "v5.3" / "validation.parquet"
    sound = path.read_bytes()
    bad = bytearray(sound)
    bad[len(bad) // 2] ^= 16
    path.write_bytes(bad)
    repaired = installation.bot("sync")

    assert repaired.returncode == 0, repaired.stderr
    assert path.read_bytes() == sound


def test_stale_history_is_masked_and_the_round_submitted(installation):
    """A stale history is masked with a warning, and the round is confirmed."""
    installation.bot("sync")
    path = history_path(installation.state, "v5.3")
    state = read(path)
    stale = HistoryState(
        features=state.features,
        targets=state.targets,
        window=state.window,
        newest_era=state.newest_era,
        built_from_era="9999",
        stale_after=OPENED,
    )
    path.write_bytes(stale.to_bytes())
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 0, result.stderr
    assert "history.stale" in result.stderr


def test_published_history_covers_every_feature(installation):
    """The published window has all features of the data version, and no value that is not a number."""
    installation.bot("sync")
    state = read(history_path(installation.state, "v5.3"))

    assert state.window.shape[1] == len(state.features) == 120
    assert np.isfinite(state.window).all()


def test_stores_are_kept_while_an_artifact_needs_them(installation):
    """An old store that an artifact was trained on stays; other old stores are removed."""
    installation.bot("sync")
    (current,) = (installation.state / "store").iterdir()
    (artifact,) = (installation.state / "artifacts").glob("2*/manifest.json")
    needed, idle = current.parent / "v5.2-pinned", current.parent / "v5.1-idle"
    needed.mkdir()
    idle.mkdir()
    artifact.write_text(artifact.read_text().replace(current.name, needed.name))
    installation.bot("sync")

    assert {folder.name for folder in current.parent.iterdir()} == {current.name, needed.name}


@pytest.mark.slow
def test_larger_history_is_trained_on_and_evaluated_through_the_store(tmp_path):
    """Three hundred eras of the small world are synced, stored, trained on, judged, and evaluated with intervals."""
    world = generate(tmp_path / "world", size="small")
    with Sandbox(world, clock=SandboxClock(OPENED)) as sandbox:
        bot = Installation(sandbox=sandbox, root=tmp_path, settings={"BOT_RECIPE": "brief"})
        (tmp_path / "recipes").mkdir()
        (tmp_path / "recipes" / "brief.toml").write_text(BRIEF)
        result = bot.bot("retrain", BOT_FEATURE_SET="small")
        (page,) = (tmp_path / "state" / "reports").glob("*.html")
        page.unlink()
        evaluated = bot.bot("evaluate", "--artifact", page.stem, BOT_FEATURE_SET="small")
    figures = json.loads(page.with_suffix(".json").read_text())
    means = [by[score] for by in figures["members"].values() for score in ("corr", "fnc", "mmc", "bmc")]
    covered = figures["members"]["ensemble"]["mmc"]["eras"]

    assert result.returncode == 0, result.stderr
    assert f"Artifact {page.stem}" in result.stdout
    assert evaluated.returncode == 0, evaluated.stderr
    assert all(one["low"] < one["mean"] < one["high"] for one in means)
    assert 0 < covered < len(figures["eras"])  # the meta model begins later than the history
    assert page.stat().st_size < 1_000_000
    assert [folder.name[:5] for folder in (tmp_path / "state" / "store").iterdir()] == ["v5.3-"]
