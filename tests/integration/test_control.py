"""Pauses and dry runs beside a running bot, against the sandbox."""

from datetime import timedelta

import pytest

from bot.errors import SlotPaused
from bot.record.ledger import Ledger
from bot.system.lock import state_lock
from bot.tournament.client import NumeraiClient
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT


def test_a_paused_slot_is_not_submitted(installation):
    """`bot submit` passes a paused slot over and says so; asked for it by name, it refuses; nothing is uploaded."""
    paused = installation.bot("pause")
    whole, named = installation.bot("submit"), installation.bot("submit", "--slot", SLOT)
    status = installation.bot("status").stdout

    assert paused.returncode == 0, paused.stderr
    assert (whole.returncode, named.returncode) == (0, 75)
    assert f"slot {SLOT} is paused until it is resumed; `bot resume` ends the pause; nothing is done" in whole.stderr
    assert "paused    every slot until `bot resume`" in status
    assert installation.sandbox.tournament.submissions == []


@pytest.mark.usefixtures("no_backoff", "validated_here")
def test_a_pause_that_begins_during_an_attempt_is_obeyed(installation, monkeypatch):
    """The pause is read again directly before the upload; afterwards the same predictions are sent."""
    asked = NumeraiClient.upload

    def upload(self, *, check, **about):
        ledger = Ledger(installation.state / "ledger.sqlite")
        ledger.pause(SLOT, until=OPENED + timedelta(hours=1), at=OPENED)
        ledger.close()
        return asked(self, check=check, **about)

    monkeypatch.setattr(NumeraiClient, "upload", upload)
    with pytest.raises(SlotPaused):
        installation.submit()
    monkeypatch.setattr(NumeraiClient, "upload", asked)
    ledger = Ledger(installation.state / "ledger.sqlite")
    before = list(installation.sandbox.tournament.submissions)
    ledger.resume(None, at=OPENED)
    receipt = installation.submit()
    ledger.close()

    assert before == []
    assert receipt.outcome == "confirmed"
    assert receipt.round.number == FIRST_ROUND


def test_a_dry_run_works_beside_a_bot_that_submits(installation):
    """The lock of a running bot holds back a second submission, and no dry run."""
    with state_lock(installation.state):
        rehearsed = installation.bot("submit", "--dry-run")
        refused = installation.bot("submit")

    assert rehearsed.returncode == 0, rehearsed.stderr
    assert "dry run" in rehearsed.stdout
    assert refused.returncode == 75
    assert "is held by process" in refused.stderr
