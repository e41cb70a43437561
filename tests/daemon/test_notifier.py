"""R21: one alert and one recovery reach a person, also when the way to them is down for an hour; nothing ends the thread."""

import threading
from datetime import timedelta

import pytest
import time_machine
from tests.daemon.paper import OPENED, Paper, make_loop, steps

from bot.daemon import _loop as daemon
from bot.daemon._notifier import PAUSE_S, Notifier
from bot.errors import StateUnwritable
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox

pytestmark = pytest.mark.slow


@pytest.fixture
def paper(tmp_path):
    return Paper(Ledger(tmp_path / "ledger.sqlite"))


def test_a_missed_round_is_told_once_though_nobody_can_be_reached_for_an_hour(paper, tmp_path, monkeypatch):
    """The alert is tried more and more rarely while the service is down, and arrives once; so does the recovery, after it."""
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)
    loop, told, tried = make_loop(paper, tmp_path), [], []
    back = OPENED + timedelta(hours=2)

    def send(message):
        tried.append(paper.now)
        if paper.now >= back:
            told.append((message.kind, paper.now))
        return paper.now >= back

    notifier = Notifier(ledger_path=tmp_path / "ledger.sqlite", send=send)
    paper.outcome = 75
    with time_machine.travel(OPENED, tick=False) as clock:
        while paper.now < OPENED + timedelta(hours=3):
            steps(loop, 1)
            notifier._deliver()
            paper.now += timedelta(seconds=2 * PAUSE_S)
            clock.move_to(paper.now)
        paper.now, paper.outcome = OPENED + timedelta(days=1), 0
        clock.move_to(paper.now)
        steps(loop, 3)
        for _ in range(3):
            notifier._deliver()
    alerted = told[0][1] - back

    assert [kind for kind, _ in told] == ["alert", "recovery"]
    assert alerted <= timedelta(minutes=15)
    assert len(tried) < 20


def test_a_dead_mans_switch_that_is_down_delays_no_alert(paper, tmp_path):
    """Pings and alerts go their own ways."""
    told = []
    Outbox(tmp_path / "ledger.sqlite").alert("round", "missed", "", at=OPENED)
    notifier = Notifier(
        ledger_path=tmp_path / "ledger.sqlite",
        ping_url="http://127.0.0.1:9/",
        send=lambda one: told.append(one) or True,
    )
    notifier.ping()
    notifier.start()
    notifier.stop()

    assert [one.title for one in told] == ["missed"]


def test_a_ledger_that_cannot_be_read_does_not_end_the_thread(paper, tmp_path, monkeypatch):
    """What is wrong with the outbox is tried again at the next look, the last one included."""
    told, tried = [], threading.Event()
    Outbox(tmp_path / "ledger.sqlite").alert("round", "missed", "", at=OPENED)
    notifier = Notifier(ledger_path=tmp_path / "ledger.sqlite", send=lambda one: told.append(one) or True)

    def outbox(path):
        if not tried.is_set():
            tried.set()
            notifier._stopped.set()  # as if the daemon ended while the first look was failing
            notifier._wake.set()
            raise StateUnwritable("the ledger is busy")
        return Outbox(path)

    monkeypatch.setattr("bot.daemon._notifier.Outbox", outbox)
    notifier.start()
    notifier.wake()
    notifier._thread.join(timeout=120)

    assert tried.is_set()
    assert [one.title for one in told] == ["missed"]
