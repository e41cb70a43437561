"""A scoring that ends with its process is noted for the next attempt, unless the bot was stopped."""

import os
import signal
from contextlib import closing
from datetime import UTC, datetime

import pytest

from bot.record.ledger import Ledger
from bot.submission._scoring_watch import ScoringWatch

NOW = datetime(2026, 11, 24, 12, 1, tzinfo=UTC)


@pytest.fixture
def watch(tmp_path):
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        yield ScoringWatch(ledger=ledger, round_number=1405, slot="mixer", clock=lambda: NOW, left_s=600.0, deaths={})


def deaths(watch):
    """Return the artifacts that ended their process, as the next attempt counts them."""
    watch.ledger.count_deaths(1405, at=NOW)
    return list(watch.ledger.deaths(1405))


def test_an_attempt_that_is_stopped_is_no_fault_of_its_artifact(watch):
    """SIGTERM in the middle of a scoring ends the attempt with 75; the artifact stays the first choice."""
    with pytest.raises(SystemExit) as ended, watch.scoring("a"):
        os.kill(os.getpid(), signal.SIGTERM)

    assert ended.value.code == 75
    assert deaths(watch) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_attempt_that_is_killed_counts(watch):
    """What only SIGKILL or a crash ends leaves its note."""
    pid = os.fork()
    if pid == 0:
        watch.ledger = Ledger(watch.ledger.path)
        with watch.scoring("a"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)

    assert deaths(watch) == ["a"]
