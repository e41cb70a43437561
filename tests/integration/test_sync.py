"""`bot sync` as a command, and what a round makes of it."""

import numpy as np

from bot.history import HistoryState
from bot.history_file import history_path, read
from tests.integration.conftest import OPENED


def test_sync_says_what_there_is(installation):
    """The first sync fetches and stores everything, the second finds it current."""
    first, second = installation.bot("sync"), installation.bot("sync")

    assert (first.returncode, second.returncode) == (0, 0), first.stderr
    assert "train.parquet, validation.parquet" in first.stdout
    assert "140 eras, 0001 to 0140" in first.stdout
    assert "every file is current" in second.stdout


def test_sync_needs_no_key(installation):
    """Data are public."""
    result = installation.bot("sync", NUMERAI_PUBLIC_ID="", NUMERAI_SECRET_KEY="")

    assert result.returncode == 0, result.stderr


def test_damaged_download_is_fetched_again(installation):
    """A file with a flipped bit is removed by one sync and fetched by the next."""
    installation.bot("sync")
    path = installation.state / "data" / "v5.3" / "validation.parquet"
    sound = path.read_bytes()
    bad = bytearray(sound)
    bad[len(bad) // 2] ^= 16
    path.write_bytes(bad)
    refused, mended = installation.bot("sync"), installation.bot("sync")

    assert (refused.returncode, mended.returncode) == (75, 0)
    assert "damaged since its download" in refused.stderr
    assert path.read_bytes() == sound


def test_stale_history_is_masked_and_the_round_submitted(installation):
    """A history nobody refreshed is left out, with a warning, and the round is confirmed all the same."""
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
