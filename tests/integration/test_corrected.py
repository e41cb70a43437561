"""A mistake in key or slots that a person corrects while the round is open leaves no open trouble."""

import json
from contextlib import closing
from datetime import UTC, datetime

from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.web.pages import Pages
from tests.harness.installation import FIRST_ROUND, SLOT

TYPO = "my_secnd"
RIGHT = {"BOT_SLOTS": f"{SLOT}=demo"}
MISTYPED = {"BOT_SLOTS": f"{SLOT}=demo,{TYPO}=demo"}


def round_warnings(installation):
    checks = json.loads(installation.bot("doctor", "--json", **RIGHT).stdout)["checks"]
    return [one["what"] for one in checks if one["name"] == "round" and one["verdict"] == "warning"]


def test_corrected_mistakes_are_closed_by_the_next_attempt(installation):
    """A refused key and a slot that is no model are open until `bot submit` works; then doctor, status and page are clear."""
    first = installation.bot("submit", **RIGHT)
    mistyped = installation.bot("submit", **MISTYPED)
    locked_out = installation.bot("submit", **RIGHT, NUMERAI_SECRET_KEY="wrong")
    before = round_warnings(installation)
    corrected = installation.bot("submit", **RIGHT)
    path = installation.state / "ledger.sqlite"
    page = Pages(installation.state, path, slots=lambda: {SLOT}).now().body.decode()
    with closing(Ledger(path, read_only=True)) as ledger:
        kept = [one.slot for one in ledger.failures(FIRST_ROUND)]

    assert [one.returncode for one in (first, mistyped, locked_out, corrected)] == [0, 78, 78, 0]
    assert len(before) == 1
    assert before[0].startswith(f"round {FIRST_ROUND}, every slot: needs the operator: Numerai refuses")
    assert round_warnings(installation) == []
    assert TYPO not in installation.bot("status", **RIGHT).stdout
    assert TYPO not in page
    assert SLOT in page
    assert kept == [TYPO]
    assert TYPO in installation.bot("status", str(FIRST_ROUND), **RIGHT).stdout


def test_alerts_of_a_stopped_daemon_end_when_bot_submit_fills_the_round(installation):
    """Without a daemon, `bot submit` ends the alert of a round as soon as every slot is filled; others stay open."""
    with closing(Outbox(installation.state / "ledger.sqlite")) as outbox:
        for name in ("round", "chore sync"):
            outbox.alert(name, f"{name} failed", "why", at=datetime.now(UTC))
        failed = installation.bot("submit", **MISTYPED)
        still_open = set(outbox.open_alerts())
        filled = installation.bot("submit", **RIGHT)

        assert (failed.returncode, filled.returncode) == (78, 0)
        assert still_open == {"round", "chore sync"}
        assert set(outbox.open_alerts()) == {"chore sync"}
