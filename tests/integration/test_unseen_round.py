"""A round after an unknown one: its live file is proven by date and by the read-back."""

from datetime import timedelta

import pytest

from bot.sandbox.faults import Fault
from tests.harness.installation import FIRST_ROUND

STALE = Fault(operation="GET", kind="stale_live", times=99)


@pytest.fixture
def later(installation):
    """A new bot on the second day, which does not have the first round's ids."""
    installation.sandbox.clock.advance(timedelta(days=1))
    return installation


def test_a_stale_file_is_told_by_its_date(later):
    """The last round's file is refused by its date, and nothing is uploaded before the new file appears."""
    later.sandbox.faults.add(STALE)
    refused = later.bot("submit")
    before = list(later.sandbox.tournament.submissions)
    later.sandbox.faults.clear()
    done = later.bot("submit")

    assert refused.returncode == 75
    assert "it is the last round's" in refused.stderr
    assert before == []
    assert done.returncode == 0, done.stderr
    assert [one.round for one in later.sandbox.tournament.submissions] == [FIRST_ROUND + 1]


def test_a_fresh_file_after_an_unseen_round_is_taken(later):
    """A file published after the opening passes."""
    done = later.bot("submit")

    assert done.returncode == 0, done.stderr
    assert later.sandbox.tournament.submissions[0].accepted


def test_ids_that_the_server_changed_are_noticed_and_fixed(later):
    """Without a date, the read-back detects the old file; it is downloaded again and the upload replaced."""
    undated = (
        "import sys; from bot.cli import main; from bot.submission import live_fetch\n"
        "live_fetch._between_openings = lambda client, round_: None\n"
        "sys.argv = ['bot', 'submit']; main.main()\n"
    )
    later.sandbox.faults.add(STALE)
    first = later.python("-c", undated)
    later.sandbox.faults.clear()
    second = later.python("-c", undated)
    held = later.sandbox.tournament.submissions

    assert first.returncode == 75
    assert "on other ids than were sent" in first.stderr
    assert second.returncode == 0, second.stderr
    assert len({one.sha256 for one in held}) == 2
    assert [one.selected for one in held] == [False, True]
