"""
A state directory and an exported pickle of the first, flat layout of ``bot/`` still work.

``earlier_state/`` was made by commit 9ae5221 on a tiny world: two artifacts of the demo recipe, one round that was
confirmed with the first of them, and the export of the second.
"""

import os
import sys
import tarfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bot.data.live_file import read_live
from bot.history.published import choose, history_path
from bot.members.rows import RawRows
from bot.record.ledger import Ledger
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from bot.submission.submission_file import render
from models.inference.ranks import rank_correlation
from tests.harness.installation import OPENED, SLOT, Installation

EARLIER = Path(__file__).with_name("earlier_state")
FIRST, SECOND = "2026-11-28T161322Z-76f7", "2026-11-28T161401Z-7334"
CONFIRMED, CONFIRMED_AT = 1406, datetime(2026, 11, 28, 17, tzinfo=UTC)
PREDICT = """
import sys, cloudpickle, pandas
sys.path = [one for one in sys.path if one not in ("", sys.argv[1])]
sys.meta_path = [one for one in sys.meta_path if "editable" not in str(one)]
with open(sys.argv[2], "rb") as file:
    predict = cloudpickle.load(file)
predict(pandas.read_parquet(sys.argv[3])).to_csv(sys.argv[4])
import bot
assert not bot.__file__.startswith(sys.argv[1]), bot.__file__
"""


@pytest.fixture
def earlier(world_folder, tmp_path):
    """The earlier state directory, at a tournament whose open round is a later one."""
    with tarfile.open(EARLIER / "state.tar.xz") as archive:
        archive.extractall(tmp_path / "state", filter="data")
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=CONFIRMED + 10, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
        yield Installation(sandbox=sandbox, root=tmp_path)


def test_earlier_state_submits_without_a_step_by_hand(earlier):
    """The next round is confirmed with the earlier champion, and the earlier round stays in the record."""
    done = earlier.bot("submit", "--round", "latest")

    ledger = Ledger(earlier.state / "ledger.sqlite")
    try:
        entries = [ledger.entry(number, SLOT) for number in (CONFIRMED, CONFIRMED + 10)]
    finally:
        ledger.close()
    assert done.returncode == 0, done.stderr
    assert [(entry.state, entry.artifact) for entry in entries] == [("confirmed", FIRST), ("confirmed", SECOND)]


def test_earlier_artifacts_are_verified_shown_and_rolled_back(earlier):
    """`bot verify`, `bot status` and `bot rollback` read earlier artifacts, champions and rounds."""
    done = [earlier.bot(*words) for words in (("verify",), ("status",), ("rollback",), ("status", str(CONFIRMED)))]

    verified, status, rolled_back, one_round = (each.stdout for each in done)
    assert [each.returncode for each in done] == [0, 0, 0, 0], [each.stderr for each in done]
    assert f"{FIRST}: intact" in verified
    assert f"{SECOND}: intact" in verified
    assert SECOND in status
    assert FIRST in rolled_back
    assert FIRST in one_round


@pytest.mark.parametrize("identity", [FIRST, SECOND])
def test_earlier_artifacts_score_the_earlier_round_as_it_was_sent(earlier, identity):
    """Today's code writes the file of the confirmed round again, byte for byte."""
    scorer = Scorer(ArtifactStore(earlier.state / "artifacts").open(identity))
    sent = earlier.state / "rounds" / str(CONFIRMED)
    live = read_live(sent / "v5.3" / "live.parquet")
    history = choose(scorer.history, history_path(earlier.state, "v5.3"), now=CONFIRMED_AT)

    scored = scorer.score(RawRows(names=live.names, values=live.values, history=history))

    assert history is not None
    assert render(live.ids, scored.predictions) == (sent / SLOT / "predictions.csv").read_bytes()


def test_report_of_an_earlier_artifact_is_drawn_again(earlier):
    """`bot report` makes the page from the figures that were kept."""
    done = earlier.bot("report", SECOND)

    assert done.returncode == 0, done.stderr
    assert SECOND in (earlier.state / "reports" / f"{SECOND}.html").read_text(encoding="utf-8")


def test_earlier_pickle_predicts_as_its_artifact_does(earlier):
    """An exported pickle brings its own code, and ranks a live file as today's scorer does."""
    earlier.bot("submit", "--round", "latest")
    (live,) = (earlier.state / "rounds").glob(f"{CONFIRMED + 10}/*/live.parquet")
    repository, out = Path(__file__).resolve().parents[2], earlier.root / "predictions.csv"
    arguments = ["-c", PREDICT, str(repository), str(EARLIER / "model.pkl"), str(live), str(out)]

    done = earlier.python(*arguments, PYTHONPATH=os.pathsep.join(one for one in sys.path if "site-packages" in one))

    assert done.returncode == 0, done.stderr
    sent = pd.read_csv(live.parents[1] / SLOT / "predictions.csv", index_col="id")["prediction"]
    hosted = pd.read_csv(out, index_col=0).iloc[:, 0].reindex(sent.index)
    assert np.isclose(rank_correlation(hosted.to_numpy(), sent.to_numpy()), 1.0, atol=1e-6)
