"""`bot sync` on a minimal history: newer versions, two syncs at once, full disks, damaged files."""

import errno
import json
import os
import shutil
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from bot.data.era_store import EraStore
from bot.data.next_version import check_trainable
from bot.errors import NumeraiUnavailable, OperatorNeeded, RetryLater, StateLocked
from bot.history.sync import sync_history
from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.system.lock import state_lock
from bot.tournament.client import NumeraiClient
from tests.data.store_files import NAMES, TARGETS, content, small_blocks, table, write_files
from tests.harness.installation import OPENED

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


def raises(error):
    """Return a function that raises an error."""

    def fail(*_given, **_named):
        raise error

    return fail


@pytest.fixture
def sync(client, tmp_path, monkeypatch):
    """Return a function that syncs the state directory."""
    small_blocks(monkeypatch)

    def synced():
        return sync_history(
            client,
            tmp_path / "state",
            "v5.3",
            history_targets=("target_ender_60",),
            lookback=4,
            pinned=(),
            report_progress=lambda _stage, _share, _note: None,
        )

    return synced


def test_newer_version_is_compared_and_not_taken(sync, tmp_path):
    """Findings contain a newer version, the shared columns and the needed space; the pinned version stays."""
    serve(tmp_path / "served" / "v5.10", names=(*NAMES[2:], "feature_new"), targets=(*TARGETS[:2], "target_late_60"))
    fresh = sync()
    offered, shared, needs = fresh.findings[-3:]

    assert "v5.10 is offered; v5.3 stays pinned until `bot retrain --data-version v5.10`" in offered
    assert "7 of the 9 features and 2 of the 3 targets of v5.3, and 1 features more" in shared
    assert "not in it: feature_00, feature_01, target_ender_60" in shared
    assert "`bot retrain --data-version v5.10` would download" in needs
    assert fresh.store.manifest.data_version == "v5.3"


def test_a_change_of_the_data_is_reported_although_the_survey_fails(sync, tmp_path, monkeypatch):
    """Where the question about newer versions fails, the sync is repeated, and the changes are findings of that one."""
    sync()
    facts = tmp_path / "state" / "data" / "v5.3" / "truth.json"
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"newest": "9999"}))
    with monkeypatch.context() as failing:
        failing.setattr("bot.history.sync.survey", raises(NumeraiUnavailable("no answer")))
        with pytest.raises(NumeraiUnavailable):
            sync()

    assert any("the history ended with era 9999" in one for one in sync().findings)


def test_newer_version_that_is_not_complete_is_a_finding(sync, tmp_path):
    """A finding contains a newer version and its missing training files, and the sync succeeds."""
    serve(tmp_path / "served" / "v6.0")
    (tmp_path / "served" / "v6.0" / "validation.parquet").unlink()

    assert sync().findings[-1] == "v6.0 is not complete: the server offers no validation.parquet of it; try later"


def test_newer_version_that_cannot_be_read_is_only_named(sync, tmp_path):
    """A features.json that cannot be parsed does not fail the sync."""
    serve(tmp_path / "served" / "v6.0")
    (tmp_path / "served" / "v6.0" / "features.json").write_text("{")

    assert "v6.0 is offered" in sync().findings[-1]


@pytest.fixture
def ready(client, tmp_path):
    """Return a function that prepares a training on a version."""
    return lambda version, champion=None: check_trainable(client, tmp_path / "state", version, champion=champion)


def test_training_on_another_version_says_what_both_share(sync, ready, tmp_path):
    """There is a message only for a champion of another version whose store is present."""
    sync()
    serve(tmp_path / "served" / "v5.4", names=(*NAMES[2:], "feature_new"))
    (message,) = ready("v5.4", "v5.3")

    assert "v5.4 has 7 of the 9 features and 3 of the 3 targets of v5.3, and 1 features more" in message
    assert ready("v5.4") == ready("v5.3", "v5.3") == ready("v5.4", "v5.2") == ()


@pytest.mark.parametrize(
    ("version", "absent", "error", "message"),
    [
        ("v9.9", "", OperatorNeeded, "v9.9 is not offered; there are v5.3, v5.4: name one of them"),
        (
            "v5.4",
            "train.parquet",
            RetryLater,
            "v5.4 is not complete: the server offers no train.parquet of it; try later",
        ),
    ],
)
def test_a_version_that_cannot_be_trained_on_costs_nothing(sync, ready, tmp_path, version, absent, error, message):
    """A version that is not offered raises OperatorNeeded, an incomplete one RetryLater; the state is unchanged."""
    held = content(sync().store)
    serve(tmp_path / "served" / "v5.4")
    (tmp_path / "served" / "v5.4" / absent).unlink() if absent else None
    with pytest.raises(error, match=message):
        ready(version, "v5.3")

    assert [path.name for path in (tmp_path / "state" / "data").iterdir()] == ["v5.3"]
    assert content(sync().store) == held


def test_no_room_for_a_version_is_an_error_before_any_download(sync, ready, tmp_path, monkeypatch):
    """The sizes of download and store are compared with the free space; a stored version needs none."""
    sync()
    serve(tmp_path / "served" / "v5.4")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=9_000))
    with pytest.raises(OperatorNeeded, match=r"v5\.4 needs about .* 9,000 are free; make room; nothing was fetched"):
        ready("v5.4")

    assert ready("v5.3") == ()
    assert not (tmp_path / "state" / "data" / "v5.4").exists()


def test_what_nobody_needs_of_older_versions_goes(client, sync, tmp_path):
    """Data of versions that are pinned, in use or newer stay; older data are removed; other folders stay."""
    sync()
    state = tmp_path / "state"
    for name in ("v5.1", "v5.2", "v6.0", "mine"):
        (state / "data" / name).mkdir()
        (state / "store" / f"{name}-0123").mkdir()
    sync_history(
        client, state, "v5.3", history_targets=(), lookback=4, pinned=("v5.2", "mine-0123"), report_progress=lambda *_: None
    )  # fmt: skip
    (current,) = (path.name for path in (state / "store").glob("v5.3-*"))

    assert {path.name for path in (state / "data").iterdir()} == {"v5.2", "v5.3", "v6.0", "mine"}
    assert {path.name for path in (state / "store").iterdir()} == {current, "v5.2-0123", "v6.0-0123", "mine-0123"}


def test_second_sync_is_turned_away(sync, tmp_path):
    """A second sync at the same time raises StateLocked."""
    with state_lock(tmp_path / "state", "sync"), pytest.raises(StateLocked, match="held by process"):
        sync()

    assert sync().changed


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), Killed()], ids=["full", "killed"])
def test_sync_that_ends_at_any_write_is_completed_by_the_next(sync, client, tmp_path, monkeypatch, error):
    """A disk that fills, or a process that dies, at whichever write: what was published is sound, the next sync ends well."""
    served, state = tmp_path / "served" / "v5.3", tmp_path / "state"
    expected = [content(sync().store)]
    pq.write_table(table(6, 16, unresolved=0), served / "validation.parquet", row_group_size=50)
    expected.append(content(sync().store))
    ended = 0
    for first in range(1, 200, 13):
        shutil.rmtree(state)
        write_files(served)
        left = [first]
        with monkeypatch.context() as patch:
            for name in ("pwrite", "fsync", "replace", "sendfile"):
                patch.setattr(os, name, failing(getattr(os, name), left, error))
            try:
                sync()
                pq.write_table(table(6, 16, unresolved=0), served / "validation.parquet", row_group_size=50)
                sync()
            except (OSError, OperatorNeeded, Killed):
                ended += 1
        for folder in (state / "store").glob("*"):
            if (folder / "manifest.json").exists():
                store = EraStore.open(folder)
                store.verify()
                assert any(content(store) == whole[: len(store.eras)] for whole in expected)
        pq.write_table(table(6, 16, unresolved=0), served / "validation.parquet", row_group_size=50)

        assert content(sync().store) == expected[1]
        if left[0] > 0:
            break

    assert ended > 3


def failing(call, left, error):
    """Return *call*, which raises once all patched calls together were made often enough."""

    def made(*arguments, **options):
        left[0] -= 1
        if left[0] <= 0:
            raise error
        return call(*arguments, **options)

    return made


def test_no_flipped_bit_of_what_a_sync_left_is_used(sync, tmp_path):
    """Whatever bit of the state flips, the next sync or the one after it ends with what there was before."""
    first = sync()
    sound, window, facts = content(first.store), first.history.window, first.facts
    random = np.random.default_rng(7)
    for number in range(40):
        paths = sorted(path for path in (tmp_path / "state").rglob("*") if path.is_file() and path.stat().st_size > 99)
        path = paths[number % len(paths)]
        bad = bytearray(path.read_bytes())
        bad[random.integers(len(bad))] ^= 1 << int(random.integers(8))
        path.write_bytes(bad)
        try:
            fresh = sync()
            fresh.store.verify()
        except RetryLater:
            fresh = sync()
            fresh.store.verify()

        assert content(fresh.store) == sound
        assert fresh.facts == facts
        np.testing.assert_array_equal(fresh.history.window, window)
