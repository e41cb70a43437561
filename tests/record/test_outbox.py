"""A problem is reported once and its end once, in order, and no message is lost while none can be sent."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.record.ledger import Ledger
from bot.record.outbox import LONGEST_PAUSE_S, Outbox
from bot.system import redaction

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.fixture
def outbox(tmp_path):
    return Outbox(tmp_path / "ledger.sqlite")


def sent(outbox, now=NOW):
    sent = []
    outbox.deliver(lambda message: sent.append((message.kind, message.title)) or True, now=now)
    return sent


def test_one_alert_and_one_recovery_however_often_it_shows(outbox):
    """A problem reported a thousand times is one message, and its end is one message."""
    news = [outbox.alert("round", f"round 1405, sighting {number}", "", at=NOW) for number in range(1000)]
    over = [outbox.resolve("round", "round 1406 is confirmed", at=NOW) for _ in range(10)]

    assert (sum(news), sum(over)) == (1, 1)
    assert sent(outbox) == [("alert", "round 1405, sighting 0"), ("recovery", "over: round 1405, sighting 0")]
    assert sent(outbox) == []


def test_a_messenger_that_is_down_delays_and_loses_nothing(outbox):
    """Attempts become rarer, down to four an hour; later, alert and recovery arrive once, in their order."""
    outbox.alert("numerai", "no answer", "", at=NOW)
    outbox.resolve("numerai", "answers again", at=NOW)
    tries, now = [], NOW
    for _ in range(3 * 60):
        outbox.deliver(lambda message: tries.append(message.kind) and False, now=now)
        now += timedelta(minutes=1)

    assert set(tries) == {"alert"}
    assert 5 <= len(tries) <= 18
    assert [kind for kind, _ in sent(outbox, now + timedelta(seconds=LONGEST_PAUSE_S))] == ["alert", "recovery"]


def test_a_crash_between_sending_and_noting_it_repeats_the_message(outbox, tmp_path):
    """A message whose sending could not be recorded is sent again."""

    def dies(_message):
        raise KeyboardInterrupt

    outbox.alert("round", "missed", "", at=NOW)
    with pytest.raises(KeyboardInterrupt):
        outbox.deliver(dies, now=NOW)

    assert sent(Outbox(tmp_path / "ledger.sqlite")) == [("alert", "missed")]


@settings(deadline=None, max_examples=40)
@given(steps=st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans()), max_size=30), up=st.data())
def test_alerts_and_recoveries_alternate(tmp_path_factory, steps, up):
    """Alerts and recoveries of each problem alternate, even when the notification service fails at times."""
    outbox = Outbox(tmp_path_factory.mktemp("outbox") / "ledger.sqlite")
    sent, now = [], NOW
    for name, begins in steps:
        outbox.alert(name, name, "", at=now) if begins else outbox.resolve(name, "", at=now)
        works = up.draw(st.booleans())
        outbox.deliver(
            lambda message, works=works: works and (sent.append((message.alert, message.kind)) or True), now=now
        )
        now += timedelta(hours=2)
    outbox.deliver(lambda message: sent.append((message.alert, message.kind)) or True, now=now)

    for name in ("a", "b"):
        kinds = [kind for alert, kind in sent if alert == name]
        assert kinds == ["alert", "recovery"] * (len(kinds) // 2) + ["alert"] * (len(kinds) % 2)
    assert outbox.waiting() == 0
    outbox.close()


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
    outbox.deliver(lambda message: found.append(message.title + message.body) or True, now=NOW)

    assert len(found) == 2
    assert "VERYSECRET" not in "".join(found)
    assert outbox.open_alerts() == {}
