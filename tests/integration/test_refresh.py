"""`bot sync` on a history as small as it gets: newer versions, two at once, full disks, damaged files."""

import json
from datetime import timedelta

import pyarrow.parquet as pq
import pytest

from bot.errors import StateLocked
from bot.ledger import state_lock
from bot.numerai import NumeraiClient
from bot.refresh import refresh
from bot.sandbox import Sandbox, SandboxClock
from tests.integration.conftest import OPENED
from tests.store_files import NAMES, TARGETS, small_blocks, table, write_files

pytestmark = pytest.mark.usefixtures("no_backoff")


def serve(folder, names=NAMES, targets=TARGETS):
    """Write a data version as the server has it."""
    folder.mkdir(parents=True)
    write_files(folder)
    sets = {"all": list(names), "small": list(names[:4])}
    (folder / "features.json").write_text(json.dumps({"feature_sets": sets, "targets": list(targets)}))
    pq.write_table(table(12, 12), folder / "meta_model.parquet")
    pq.write_table(table(90, 90), folder / "live.parquet")


@pytest.fixture
def client(tmp_path):
    serve(tmp_path / "served" / "v5.3")
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    with Sandbox(tmp_path / "served", clock=clock) as sandbox:
        yield NumeraiClient(api_url=sandbox.url, public_id=None, secret_key=None)


@pytest.fixture
def sync(client, tmp_path, monkeypatch):
    """Return a function that refreshes the state directory."""
    small_blocks(monkeypatch)

    def refreshed():
        return refresh(
            client,
            tmp_path / "state",
            "v5.3",
            history_targets=("target_ender_60",),
            lookback=4,
            pinned=(),
            watch=lambda _stage, _share, _note: None,
        )

    return refreshed


def test_newer_version_is_compared_and_not_taken(sync, tmp_path):
    """A newer version is said with what both share and what a retrain would take; the pinned one stays."""
    serve(tmp_path / "served" / "v5.10", names=(*NAMES[2:], "feature_new"), targets=(*TARGETS[:2], "target_late_60"))
    fresh = sync()
    offered, shared, needs = fresh.findings[-3:]

    assert "v5.10 is offered; v5.3 stays pinned" in offered
    assert "7 of the 9 features and 2 of the 3 targets of v5.3, and 1 features more" in shared
    assert "not in it: feature_00, feature_01, target_ender_60" in shared
    assert "BOT_DATA_VERSION=v5.10 bot retrain) would download" in needs
    assert fresh.store.manifest.data_version == "v5.3"


def test_newer_version_that_is_not_complete_is_said(sync, tmp_path):
    """A version whose training files are not there yet is named with what it lacks, and breaks nothing."""
    serve(tmp_path / "served" / "v6.0")
    (tmp_path / "served" / "v6.0" / "validation.parquet").unlink()

    assert sync().findings[-1] == "v6.0 is not complete: the server offers no validation.parquet of it"


def test_newer_version_that_cannot_be_read_is_only_named(sync, tmp_path):
    """A features.json that makes no sense leaves the sync as it was."""
    serve(tmp_path / "served" / "v6.0")
    (tmp_path / "served" / "v6.0" / "features.json").write_text("{")

    assert "v6.0 is offered" in sync().findings[-1]


def test_second_sync_is_turned_away(sync, tmp_path):
    """Two syncs at once are one sync and a clear error."""
    with state_lock(tmp_path / "state", "sync"), pytest.raises(StateLocked, match="held by process"):
        sync()

    assert sync().changed
