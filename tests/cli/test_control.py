"""Orders of a person to a running bot: pauses and retries, through the real ledger."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from bot.cli.everyday import control
from bot.errors import BadConfig, OperatorNeeded, RoundNotOpen, SlotPaused
from bot.record.heartbeat import Heartbeat
from bot.record.ledger import Ledger
from bot.tournament.rounds import Round
from tests.daemon.fakes import OPENED


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state directory of a bot with two slots."""
    for name in [one for one in os.environ if one.startswith("BOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("BOT_SLOTS", "first=demo, second=demo")
    return tmp_path


def pauses(state):
    ledger = Ledger(state / "ledger-dry-run.sqlite")
    found = [(one.slot, one.until is not None) for one in ledger.pauses(datetime.now(UTC))]
    ledger.close()
    return found


def test_a_pause_lasts_until_it_is_resumed(state):
    """Each slot is paused by itself; resuming one leaves the other; both are printed."""
    control.pause("first", end=None)
    answer = control.pause("second", end="2d")
    during = pauses(state)
    resumed = control.resume("first")

    assert during == [("first", False), ("second", True)]
    assert [one["slot"] for one in answer.content["paused"]] == ["first", "second"]
    assert resumed.content["resumed"] == ["first"]
    assert pauses(state) == [("second", True)]
    assert control.resume(None).content["resumed"] == ["second"]
    assert control.resume(None).lines == ("nothing was paused",)


@pytest.mark.parametrize(
    ("slot", "end", "said"),
    [
        ("third", None, "slot 'third' is unknown; slots: first, second"),
        ("first", "2020-01-01", "is in the past"),
        ("first", "0h", "is in the past"),
        ("first", "soon", "'soon' is no time; write a date as"),
        ("first", "99999w", "is no time"),
        ("first", "2026-13-45", "is no time"),
        ("first", "0001-01-01", ""),
    ],
)
def test_a_wrong_pause_is_refused_and_changes_nothing(state, slot, end, said):
    """An unknown slot, and a time that is past or cannot be read, are errors of one line; no pause is recorded."""
    with pytest.raises(BadConfig, match=r"^.{10,200}$") as refused:
        control.pause(slot, end=end)

    assert said in str(refused.value)
    assert pauses(state) == []


def test_resuming_one_slot_of_a_common_pause_says_what_to_do(state):
    """A pause of every slot is not ended for one of them."""
    control.pause(None, end=None)

    with pytest.raises(BadConfig, match="every slot is paused, not first alone"):
        control.resume("first")
    assert pauses(state) == [("", False)]


def test_a_pause_that_has_ended_holds_nothing_back(state):
    """Its end needs no order; the message of a pause that lasts names slot, end and the way out."""
    ledger = Ledger(state / "ledger.sqlite")
    ledger.pause("first", until=OPENED + timedelta(hours=1), at=OPENED)
    ledger.check_unpaused("second", OPENED)
    ledger.check_unpaused("first", OPENED + timedelta(hours=1))

    with pytest.raises(SlotPaused, match="slot first is paused until 2026-11-24 13:00 UTC; `bot resume first` ends"):
        ledger.check_unpaused("first", OPENED)
    ledger.close()


def test_a_retry_needs_a_running_bot_and_an_open_round(state):
    """Without them the error says what to do instead; with both, the order is in the ledger."""
    with pytest.raises(OperatorNeeded, match=r"no bot runs with .*try once with `bot submit`"):
        control.retry()
    Heartbeat(folder=state).beat()
    with pytest.raises(RoundNotOpen, match="no round is open"):
        control.retry()
    now = datetime.now(UTC)
    ledger = Ledger(state / "ledger-dry-run.sqlite")
    ledger.record_round(Round(number=1405, opens_at=now, closes_at=now + timedelta(hours=1)))
    before = ledger.newest_order()
    answer = control.retry()

    assert answer.content["round"] == 1405
    assert ledger.newest_order(after=before) > before
    ledger.close()


def test_an_order_says_who_follows_it(state):
    """A bot of this state directory and mode obeys at once; otherwise the order counts from the next start, and names both."""
    nobody = f"no bot runs with {state} in mode dry-run"
    Heartbeat(folder=state, mode="live").beat()
    alone = (*control.pause("first", end=None).lines, *control.resume("first").lines)
    with pytest.raises(OperatorNeeded, match=nobody):
        control.retry()
    Heartbeat(folder=state, mode="dry-run").beat()
    beside = (*control.pause("first", end=None).lines, *control.resume("first").lines)

    counts = f"{nobody}: this counts for `bot submit`, and from the next start of `bot run` there"
    assert alone == (f"slot first is paused until `bot resume first`; {counts}", f"first is resumed; {counts}")
    assert all(line.endswith("; the running bot obeys within 20 seconds") for line in beside)


def test_an_answer_and_an_error_are_json_where_a_program_asks(state, capsys, monkeypatch):
    """`--json` prints one object on standard output: the answer, or kind, message and exit code of the error."""
    from bot.cli.main import main

    seen = []
    for arguments in (["pause", "first", "--json"], ["pause", "third", "--json"]):
        monkeypatch.setattr("sys.argv", ["bot", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        seen.append((ended.value.code, json.loads(printed.out), printed.err.count("\n")))

    assert [one[0] for one in seen] == [0, 78]
    assert seen[0][1]["paused"][0]["slot"] == "first"
    assert seen[1][1]["error"]["kind"] == "BadConfig"
    assert seen[1][2] == 1
