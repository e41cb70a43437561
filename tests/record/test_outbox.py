"""A problem is reported once and its end once, in order, and no message is lost while none can be sent."""

import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import NumeraiUnavailable
from bot.record.database import _MIGRATIONS
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.system import redaction

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "ledger.sqlite")
    outbox.register(["first", "second"])
    return outbox


def sent(outbox, service="first", now=NOW):
    """Deliver to *service*; return kind and title of the messages."""
    sent = []
    outbox.deliver(lambda message: sent.append((message.kind, message.title)), service=service, now=now)
    return sent


def refuse(_message):
    raise NumeraiUnavailable("down")


def test_one_alert_and_one_recovery_however_often_it_shows(outbox):
    """A problem reported a thousand times is one message, and its end is one message."""
    news = [outbox.alert("round", f"round 1405, sighting {number}", "", at=NOW) for number in range(1000)]
    over = [outbox.resolve("round", "round 1406 is confirmed", at=NOW) for _ in range(10)]

    assert (sum(news), sum(over)) == (1, 1)
    assert sent(outbox) == [("alert", "round 1405, sighting 0"), ("recovery", "over: round 1405, sighting 0")]
    assert sent(outbox) == []


def test_a_dead_service_holds_up_no_other(outbox):
    """The sound service gets each message once, in order; the dead one keeps its place and gets them later."""
    for hour in range(3):
        outbox.alert("numerai", f"no answer {hour}", "", at=NOW)
        outbox.resolve("numerai", "answers again", at=NOW)
        with pytest.raises(NumeraiUnavailable):
            outbox.deliver(refuse, service="second", now=NOW)
        expected = [("alert", f"no answer {hour}"), ("recovery", f"over: no answer {hour}")]
        assert sent(outbox, "first") == expected
    waiting = outbox.waiting()
    outbox.register(["first"])

    assert waiting == 6
    assert outbox.waiting() == 0


def test_a_backlog_is_one_message(outbox):
    """A year without delivery is one message: the open problems, then the newest news; later news comes one by one."""
    for week in range(52):
        outbox.alert("round", f"round {week} was missed", "see the log", at=NOW + timedelta(weeks=week))
        outbox.resolve("round", "confirmed", at=NOW + timedelta(weeks=week))
    outbox.alert("state", "the disk is full", "make room", at=NOW)
    messages = []
    outbox.deliver(messages.append, service="first", now=NOW)
    outbox.resolve("state", "room", at=NOW)
    lines = messages[0].body.splitlines()

    assert [message.title for message in messages] == ["105 messages that were not sent before"]
    assert (messages[0].kind, lines[0]) == ("alert", "open now: the disk is full")
    assert "the disk is full: make room" in lines[1]
    assert "over: round 51 was missed" in lines[2]
    assert lines[-1] == "and 85 older ones"
    assert sent(outbox) == [("recovery", "over: the disk is full")]


def test_without_a_service_nothing_waits(tmp_path):
    """Where no service is configured, messages wait for nobody."""
    outbox = Outbox(tmp_path / "ledger.sqlite")
    outbox.alert("round", "missed", "", at=NOW)
    never = outbox.waiting()
    outbox.register(["first"])
    configured = outbox.waiting()
    outbox.register(())

    assert (never, configured, outbox.waiting()) == (0, 1, 0)


def test_a_new_service_gets_no_old_news(outbox):
    """A service that is added begins after the last message that another service took."""
    outbox.alert("round", "missed", "", at=NOW)
    sent(outbox, "first")
    outbox.register(["first", "third"])
    outbox.alert("state", "full", "", at=NOW)

    assert sent(outbox, "third") == [("alert", "full")]


def test_a_first_service_gets_only_problems_that_last(tmp_path):
    """Where no service was configured before, an alert that is over is not sent, nor its recovery."""
    outbox = Outbox(tmp_path / "ledger.sqlite")
    outbox.alert("round 7", "missed", "", at=NOW)
    outbox.resolve("round 7", "confirmed", at=NOW)
    outbox.alert("state", "full", "", at=NOW)
    outbox.register(["first"])
    outbox.resolve("state", "there is room", at=NOW)

    assert sent(outbox, "first") == [("alert", "full"), ("recovery", "over: full")]


@pytest.mark.parametrize(
    "step", [timedelta(hours=2), timedelta(hours=-2), timedelta(days=30), timedelta(days=-30)], ids=str
)
def test_a_wrong_clock_delays_no_message(outbox, step):
    """A message that was queued while the clock was ahead or behind is sent at once, and so are those after it."""
    outbox.alert("state", "queued by a wrong clock", "", at=NOW + step)
    with pytest.raises(NumeraiUnavailable):
        outbox.deliver(refuse, service="first", now=NOW + step)
    outbox.alert("round", "queued by the right one", "", at=NOW)

    assert sent(outbox) == [("alert", "queued by a wrong clock"), ("alert", "queued by the right one")]


def test_a_crash_between_sending_and_noting_it_repeats_the_message(outbox, tmp_path):
    """A message whose sending could not be recorded is sent again."""

    def dies(_message):
        raise KeyboardInterrupt

    outbox.alert("round", "missed", "", at=NOW)
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver(dies, service="first", now=NOW)

    assert sent(Outbox(tmp_path / "ledger.sqlite")) == [("alert", "missed")]


@settings(deadline=None, max_examples=40)
@given(steps=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=30), up=st.data())
def test_alerts_and_recoveries_alternate(tmp_path_factory, steps, up):
    """Alerts and recoveries of each problem alternate for each service, even when services fail at times."""
    outbox = Outbox(tmp_path_factory.mktemp("outbox") / "ledger.sqlite")
    taken = {"first": [], "second": []}
    outbox.register(taken)

    def deliver(service, works):
        def send(message):
            if not works:
                raise NumeraiUnavailable("down")
            taken[service].append((message.alert, message.kind))

        with suppress(NumeraiUnavailable):
            outbox.deliver(send, service=service, now=NOW)

    for name, begins in steps:
        outbox.alert(name, name, "", at=NOW) if begins else outbox.resolve(name, "", at=NOW)
        for service in taken:
            deliver(service, up.draw(st.booleans()))
    for service in taken:
        deliver(service, True)

    for sent in taken.values():
        for name in ("a", "b"):
            kinds = [kind for alert, kind in sent if alert == name]
            summed = any(alert == "backlog" for alert, _ in sent)
            assert summed or kinds == ["alert", "recovery"] * (len(kinds) // 2) + ["alert"] * (len(kinds) % 2)
    assert outbox.waiting() == 0
    outbox.close()


def test_messages_of_an_earlier_bot_are_sent(tmp_path):
    """A ledger of the bot with one queue opens; what it had not sent goes to every service, and nothing else."""
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path)) as database:
        for script in _MIGRATIONS[:7]:
            database.executescript(script)
        database.executemany(
            "INSERT INTO message (trouble, kind, title, body, queued_at, next_at, attempts, sent_at) VALUES"
            " ('round', 'alert', ?, '', '2026-11-24', '2099-01-01', 9, ?)",
            [("sent", "2026-11-24"), ("not sent", None)],
        )
        database.execute("INSERT INTO trouble (name, since, title) VALUES ('round', '2026-11-24', 'not sent')")
        database.execute("PRAGMA user_version = 7")
        database.commit()
    outbox = Outbox(path)
    outbox.register(["first"])

    assert sent(outbox) == [("alert", "not sent")]


def test_two_processes_may_open_a_new_ledger_at_once(tmp_path):
    """The second process waits until the first has migrated the file."""
    path = tmp_path / "ledger.sqlite"
    first, second = Ledger(path), Outbox(path)
    second.alert("round", "missed", "", at=NOW)

    assert first.entries() == ()
    assert second.open_alerts() == {"round": "missed"}


def test_a_message_holds_no_secret(outbox):
    """Title and body of an alert and of its end are stored without secrets."""
    redaction.hide(["VERYSECRET"])
    outbox.alert("numerai", "refused VERYSECRET", "key VERYSECRET", at=NOW)
    outbox.resolve("numerai", "VERYSECRET again", at=NOW)
    found = []
    outbox.deliver(lambda message: found.append(message.title + message.body), service="first", now=NOW)

    assert len(found) == 2
    assert "VERYSECRET" not in "".join(found)
    assert outbox.open_alerts() == {}
