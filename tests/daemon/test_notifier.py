"""R21: one alert and one recovery are delivered, also after an hour's outage of the service; no error ends the thread."""

import threading
from datetime import timedelta

import pytest
import time_machine

from bot.daemon import _loop as daemon
from bot.daemon._notifier import PAUSE_S, Notifier
from bot.errors import StateUnwritable
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from tests.daemon.fakes import OPENED, FakeTournament, make_loop, steps


@pytest.fixture
def tournament(tmp_path):
    return FakeTournament(Ledger(tmp_path / "ledger.sqlite"))


def test_a_missed_round_is_alerted_once_after_an_outage_of_the_service(tournament, tmp_path, monkeypatch):
    """While the service is down, the alert is retried at growing intervals; it arrives once, and the recovery after it once."""
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)
    loop, sent, tried = make_loop(tournament, tmp_path), [], []
    back = OPENED + timedelta(hours=2)

    def send(message):
        tried.append(tournament.now)
        if tournament.now >= back:
            sent.append((message.kind, tournament.now))
        return tournament.now >= back

    notifier = Notifier(ledger_path=tmp_path / "ledger.sqlite", send=send)
    tournament.outcome = 75
    with time_machine.travel(OPENED, tick=False) as clock:
        while tournament.now < OPENED + timedelta(hours=3):
            steps(loop, 1)
            notifier._deliver()
            tournament.now += timedelta(seconds=2 * PAUSE_S)
            clock.move_to(tournament.now)
        tournament.now, tournament.outcome = OPENED + timedelta(days=1), 0
        clock.move_to(tournament.now)
        steps(loop, 3)
        for _ in range(3):
            notifier._deliver()
    alerted = sent[0][1] - back

    assert [kind for kind, _ in sent] == ["alert", "recovery"]
    assert alerted <= timedelta(minutes=15)
    assert len(tried) < 20


def test_a_dead_mans_switch_that_is_down_delays_no_alert(tournament, tmp_path):
    """A ping that fails does not delay alerts."""
    sent = []
    Outbox(tmp_path / "ledger.sqlite").alert("round", "missed", "", at=OPENED)
    notifier = Notifier(
        ledger_path=tmp_path / "ledger.sqlite",
        ping_url="http://127.0.0.1:9/",
        send=lambda one: sent.append(one) or True,
    )
    notifier.ping()
    notifier.start()
    notifier.stop()

    assert [one.title for one in sent] == ["missed"]


def test_a_ledger_that_cannot_be_read_does_not_end_the_thread(tournament, tmp_path, monkeypatch):
    """After an error of the outbox, the next look delivers; this holds for the last look too."""
    sent, tried = [], threading.Event()
    Outbox(tmp_path / "ledger.sqlite").alert("round", "missed", "", at=OPENED)
    notifier = Notifier(ledger_path=tmp_path / "ledger.sqlite", send=lambda one: sent.append(one) or True)

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
    assert [one.title for one in sent] == ["missed"]
