"""Late files: finished predictions that missed the close are uploaded once and never replace the next round's."""

from datetime import timedelta

import pytest

from bot.errors import RefuseToSubmit, RoundNotOpen
from bot.record.ledger import Ledger
from bot.sandbox.faults import Fault
from bot.system.kill_points import listening
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

pytestmark = pytest.mark.usefixtures("no_backoff", "validated_here")


@pytest.fixture
def missed(installation, sandbox):
    """A round that closed while its finished predictions were being sent."""

    def close(name):
        if name == "upload.put:after":
            sandbox.clock.set(OPENED + timedelta(hours=2))

    with listening(close), pytest.raises(RoundNotOpen):
        installation.submit()
    return installation


def held(sandbox):
    return [(one.round, one.late) for one in sandbox.tournament.submissions]


def test_late_predictions_are_queued_once_and_fresh_ones_replace_them(missed, sandbox):
    """Repeated runs queue one late file, and the next round's own file is still uploaded."""
    first, again = missed.queue(), missed.queue()
    (waiting,) = sandbox.tournament.submissions
    sandbox.clock.set(OPENED + timedelta(days=1, minutes=1))
    receipt = missed.submit()
    fresh = sandbox.tournament.submissions[-1]

    assert ([one.round for one in first], again) == ([FIRST_ROUND], ())
    assert (waiting.round, waiting.late, waiting.filename[:6]) == (FIRST_ROUND + 1, True, f"r{FIRST_ROUND}-")
    assert (receipt.round.number, receipt.submission_id) == (FIRST_ROUND + 1, fresh.id)
    assert (fresh.selected, waiting.selected, fresh.filename[:6]) == (True, False, f"r{FIRST_ROUND + 1}-")
    assert held(sandbox) == [(FIRST_ROUND + 1, True), (FIRST_ROUND + 1, False)]


@pytest.mark.parametrize("phase", ["before", "after"])
def test_a_lost_answer_is_found_before_anything_is_sent_again(missed, sandbox, phase):
    """Each attempt checks the server first, so a failed request leaves exactly one late file."""
    sandbox.faults.add(Fault(operation="create_submission", kind="status", phase=phase, status=502))
    queued = missed.queue()

    assert len(queued) == 1
    assert held(sandbox) == [(FIRST_ROUND + 1, True)]


def test_a_forgotten_late_file_is_found_on_the_server(missed, sandbox):
    """A crash between upload and ledger entry does not queue a second file."""

    def die(name):
        if name == "ledger.queue:before":
            raise KeyboardInterrupt

    with listening(die), pytest.raises(KeyboardInterrupt):
        missed.queue()
    again = missed.queue()

    assert len(again) == 1
    assert held(sandbox) == [(FIRST_ROUND + 1, True)]


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (timedelta(days=1, minutes=1), "is open"),
        (timedelta(days=1, minutes=-1), "it gets fresh ones"),
        (timedelta(days=1, hours=2), "too old to be queued"),
    ],
)
def test_nothing_is_queued_once_the_next_round_is_near(missed, sandbox, now, reason):
    """A late file is sent only between the close and the next opening."""
    sandbox.clock.set(OPENED + now)
    with pytest.raises(RoundNotOpen, match=reason):
        missed.queue()

    assert held(sandbox) == []


def test_a_round_that_opens_during_the_late_upload_gets_nothing_of_it(missed, sandbox):
    """The clock is checked again before the file is stored."""

    def open_next(name):
        if name == "upload.put:after":
            sandbox.clock.set(OPENED + timedelta(days=1, seconds=5))

    with listening(open_next), pytest.raises(RoundNotOpen, match="is open"):
        missed.queue()

    assert held(sandbox) == []


def test_somebody_elses_submission_for_the_next_round_stays(missed, sandbox):
    """A late file that the operator uploaded is not replaced."""
    foreign = sandbox.tournament._add(
        FIRST_ROUND + 1, SLOT, missed.settings_as() and next(iter(sandbox.tournament.accounts)).models[SLOT], "by-hand.csv",
        b"", late=True, trigger_id=None,
    )  # fmt: skip
    with pytest.raises(RefuseToSubmit, match=r"already holds by-hand\.csv"):
        missed.queue()

    assert sandbox.tournament.submissions == [foreign]


def test_a_confirmed_round_has_nothing_to_hand_in(installation, sandbox):
    """A file that arrived in time is not sent again."""
    installation.submit()
    sandbox.clock.advance(timedelta(hours=2))

    assert installation.queue() == ()
    assert Ledger(installation.settings_as().ledger_path).unsent() is None
    assert held(sandbox) == [(FIRST_ROUND, False)]


@pytest.mark.parametrize(("policy", "status", "uploads"), [("skip", 75, 0), ("queue", 0, 1)])
def test_the_policy_decides_what_the_command_does_after_the_close(missed, sandbox, policy, status, uploads):
    """By default no late file is uploaded."""
    result = missed.bot("submit", "--round", str(FIRST_ROUND), BOT_LATE_POLICY=policy)

    assert result.returncode == status, result.stderr
    assert len(held(sandbox)) == uploads
