"""R21: every service gets each message once; one that refuses, drips or is malformed holds up neither others nor a ping."""

import json
import resource
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
import structlog

from bot.daemon import _loop as daemon
from bot.daemon import _notifier, _post
from bot.daemon._notifier import DEAD, LONGEST_PAUSE_S, PAUSE_S, Notifier
from bot.daemon._post import NotSent, post
from bot.daemon.alert_test import send_test
from bot.errors import BadConfig, StateUnwritable
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from tests.daemon.fakes import OPENED, FakeTournament, make_loop, steps

LIMIT_S = 300.0
"""Seconds to wait for a message; many times what it takes."""


@pytest.fixture
def tournament(tmp_path):
    return FakeTournament(Ledger(tmp_path / "ledger.sqlite"))


@pytest.fixture
def path(tmp_path):
    Ledger(tmp_path / "ledger.sqlite").close()
    return tmp_path / "ledger.sqlite"


class Services:
    """Loopback services: `/ok` answers, `/bad` refuses, and `/drip` sends one byte now and then until the test ends."""

    def __init__(self):
        self.taken, self.arrived, self.ended = [], threading.Condition(), threading.Event()
        self.logins = []
        services = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                services.take(self.path, body["title"].removeprefix("numerai-bot: "))
                self._answer()

            def do_GET(self):
                services.logins.append(self.headers["Authorization"])
                services.take(self.path, "ping")
                self._answer()

            def _answer(self):
                if "drip" in self.path:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not services.ended.wait(0.05):
                        self.wfile.write(b"x")
                    return
                self.send_response(401 if "bad" in self.path else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except OSError:  # the bot gave the exchange up
                    self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def take(self, place, title):
        with self.arrived:
            self.taken.append((place, title))
            self.arrived.notify_all()

    def wait(self, place, count=1):
        """Wait until a place got *count* requests; return them."""
        with self.arrived:
            self.arrived.wait_for(lambda: len(self.at(place)) >= count, timeout=LIMIT_S)
        return self.at(place)

    def at(self, place):
        return [title for path, title in self.taken if path == place]


@pytest.fixture
def services():
    running = Services()
    yield running
    running.ended.set()
    running.server.shutdown()
    running.server.server_close()


@contextmanager
def notifying(path, *urls, **about):
    notifier = Notifier(ledger_path=path, urls=urls, **about)
    notifier.start()
    try:
        yield notifier
    finally:
        for worker in notifier._workers:
            worker.stop()


@pytest.mark.parametrize("place", ["bad", "drip"])
def test_a_dead_service_holds_up_no_other(path, services, place):
    """Beside a service that refuses or drips, the sound one gets every message once and in order."""
    outbox = Outbox(path)
    outbox.alert("round", "first", "", at=OPENED)
    with notifying(path, f"json://{services.address}/{place}", f"json://{services.address}/ok") as notifier:
        services.wait("/ok")
        services.wait(f"/{place}")
        outbox.alert("numerai", "second", "", at=OPENED)
        notifier.wake()
        taken = services.wait("/ok", 2)

    assert taken == ["first", "second"]
    assert services.at(f"/{place}") == ["first"]
    assert outbox.waiting() == 2


def test_a_ping_that_drips_delays_no_alert(path, services):
    """While a dead man's switch sends its answer byte by byte, alerts arrive."""
    with notifying(path, f"json://{services.address}/ok", ping_url=f"http://{services.address}/drip") as notifier:
        notifier.ping()
        services.wait("/drip")
        Outbox(path).alert("round", "missed", "", at=OPENED)
        notifier.wake()
        taken = services.wait("/ok")

    assert taken == ["missed"]


@pytest.mark.parametrize("order", [{"do": "ping"}, {"do": "message", "title": "t", "body": "b", "kind": "alert"}])
def test_a_peer_that_drips_is_given_up(services, monkeypatch, order):
    """The process that waits for a dripping peer is ended as a whole."""
    monkeypatch.setattr(_post, "LIMIT_S", 3)
    scheme = "http" if order["do"] == "ping" else "json"
    address = {"url": f"{scheme}://{services.address}/drip", "logging": {"secrets": []}}
    with pytest.raises(NotSent, match="TimeoutExpired"):
        post({**order, **address})


@pytest.mark.parametrize("order", [{"do": "ping"}, {"do": "message", "title": "t", "body": "b", "kind": "alert"}])
def test_a_service_that_is_not_there_leaves_no_traceback(order, capfd):
    """A refused connection is a line of the log."""
    scheme = "http" if order["do"] == "ping" else "json"
    about = {"url": f"{scheme}://127.0.0.1:9/", "logging": {"log_format": "json", "secrets": []}}
    with pytest.raises(NotSent, match=r"[Cc]onnection ?[Ee]rror"):
        post({**order, **about})
    lines = capfd.readouterr().err.splitlines()

    assert lines
    assert all(json.loads(line) for line in lines)


@pytest.mark.parametrize(("login", "sent"), [("", None), ("me:word@", "Basic bWU6d29yZA==")])
def test_a_ping_sends_the_login_of_its_address_and_none_of_a_netrc(path, services, tmp_path, monkeypatch, login, sent):
    """A confirmed round is one ping, and a `~/.netrc` adds nothing to it."""
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login anonymous password stranger\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with notifying(path, ping_url=f"http://{login}{services.address}/ok") as notifier:
        notifier.ping()
        pings = services.wait("/ok")

    assert pings == ["ping"]
    assert services.logins == [sent]


def test_a_malformed_address_is_one_line_and_stops_no_other(path, services):
    """An address that is no apprise URL is logged once, by its place; the other service gets the alert of it."""
    addresses = ("slakc://secret-token", f"json://{services.address}/ok")
    with structlog.testing.capture_logs() as lines, notifying(path, *addresses):
        taken = services.wait("/ok")
    (line,) = [line for line in lines if line["event"] == "alerts.malformed"]

    assert taken == ["address 1 of BOT_ALERT_URLS cannot be used"]
    assert (line["place"], line["setting"]) == (1, "BOT_ALERT_URLS")
    assert "secret-token" not in str(lines)
    with pytest.raises(BadConfig, match="no apprise URL"):
        post({"do": "check", "url": "slakc://secret-token", "logging": {"secrets": []}})


class Desk:
    """Takes the orders of a notifier in place of processes; the addresses in `down` refuse, `malformed` are no URLs."""

    def __init__(self, *down):
        self.down, self.malformed, self.taken, self.tried = set(down), set(), [], []

    def post(self, order):
        if order["url"] in self.malformed:
            raise BadConfig("no apprise URL")
        if order["do"] == "check":
            return
        self.tried.append(order["url"])
        if order["url"] in self.down:
            raise NotSent("down")
        self.taken.append((order["url"], order["kind"], order["title"]))


def test_a_missed_round_is_alerted_once_after_an_outage_of_the_service(tournament, tmp_path, monkeypatch):
    """While the service is down, messages are retried at growing intervals; each arrives once, in order, the recovery last."""
    monkeypatch.setattr(daemon, "AGAIN_S", 0.0)
    passed = SimpleNamespace(now=0.0)
    monkeypatch.setattr(_notifier, "time", SimpleNamespace(monotonic=lambda: passed.now))
    desk, loop = Desk("service"), make_loop(tournament, tmp_path)
    notifier = Notifier(ledger_path=tmp_path / "ledger.sqlite", urls=["service"], post=desk.post)
    (worker,) = notifier._workers
    arrived, tournament.outcome = [], 75
    while tournament.now < OPENED + timedelta(hours=3):
        if tournament.now >= OPENED + timedelta(hours=2):
            desk.down.clear()
        steps(loop, 1)
        if passed.now >= worker._hold_until:
            worker._take_turn()
        arrived += [passed.now] * (len(desk.taken) - len(arrived))
        passed.now += 2 * PAUSE_S
        tournament.now += timedelta(seconds=2 * PAUSE_S)
    tournament.now, tournament.outcome = OPENED + timedelta(days=1), 0
    steps(loop, 3)
    worker._take_turn()

    assert [title for _, _, title in desk.taken] == [
        "round 1405 is not confirmed, 20 minutes left", "round 1405 was missed", "over: round 1405 was missed",
    ]  # fmt: skip
    assert arrived[0] - 2 * 3600 <= LONGEST_PAUSE_S
    assert len(desk.tried) < 20


def test_the_others_are_told_of_a_dead_service(path):
    """After some failures in a row the sound service gets one alert of the dead one, and a recovery when it works again."""
    desk = Desk("dead")
    notifier = Notifier(ledger_path=path, urls=["dead", "sound"], post=desk.post)
    dead, sound = notifier.services
    Outbox(path).alert("round", "missed", "", at=OPENED)
    for _ in range(2 * DEAD):
        with pytest.raises(NotSent):
            dead.turn()
        sound.turn()
    desk.down.clear()
    dead.turn()
    sound.turn()
    told = [title for url, _, title in desk.taken if url == "sound"]

    assert told == ["missed", "alert service 1 takes no messages", "over: alert service 1 takes no messages"]
    assert Outbox(path).open_alerts() == {"round": "missed"}


@contextmanager
def full_disk(path):
    """Let the write-ahead log of an open ledger not grow, as on a disk without room."""
    size = path.with_name(f"{path.name}-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_a_full_disk_cannot_note_is_sent_once(path):
    """On a full disk each message that waits is sent exactly once; it is noted as sent when there is room again."""
    desk, outbox = Desk(), Outbox(path)
    (service,) = Notifier(ledger_path=path, urls=["service"], post=desk.post).services
    service.turn()
    outbox.alert("round", "missed", "", at=OPENED)
    outbox.alert("numerai", "no usable answer", "", at=OPENED)
    with full_disk(path):
        for _ in range(DEAD):
            with pytest.raises(StateUnwritable):
                service.turn()
    sent, waiting = [title for *_, title in desk.taken], outbox.waiting()
    service.turn()

    assert (sent, waiting) == (["missed", "no usable answer"], 2)
    assert (len(desk.taken), outbox.waiting()) == (2, 0)


def test_a_full_disk_is_no_failure_of_a_service(path):
    """What the ledger cannot note does not count as refused: the next refusal makes no alert about the service."""
    desk, outbox = Desk(), Outbox(path)
    service, _ = Notifier(ledger_path=path, urls=["service", "other"], post=desk.post).services
    service.turn()
    outbox.alert("round", "missed", "", at=OPENED)
    with full_disk(path):
        for _ in range(DEAD):
            with pytest.raises(StateUnwritable):
                service.turn()
    outbox.alert("numerai", "no usable answer", "", at=OPENED)
    desk.down.add("service")
    with pytest.raises(NotSent):
        service.turn()

    assert outbox.open_alerts().keys() == {"round", "numerai"}


def test_a_service_works_again_although_a_full_disk_hides_it(path):
    """The alert about a dead service ends when there is room again, where the message that it took could not be noted."""
    desk, outbox = Desk("service"), Outbox(path)
    service, _ = Notifier(ledger_path=path, urls=["service", "other"], post=desk.post).services
    outbox.register([service.name])
    outbox.alert("round", "missed", "", at=OPENED)
    for _ in range(DEAD):
        with pytest.raises(NotSent):
            service.turn()
    known = outbox.open_alerts()
    desk.down.clear()
    with full_disk(path), pytest.raises(StateUnwritable):
        service.turn()
    service.turn()

    assert known.keys() == {"round", "service 1"}
    assert outbox.open_alerts().keys() == {"round"}


def test_without_services_nothing_waits(path):
    """Messages wait for nobody where no address is configured, also if one was before."""
    outbox = Outbox(path)
    outbox.register(["earlier"])
    outbox.alert("round", "missed", "", at=OPENED)
    before = outbox.waiting()
    with notifying(path):
        end = time.monotonic() + LIMIT_S
        while outbox.waiting() and time.monotonic() < end:
            time.sleep(0.01)

    assert (before, outbox.waiting()) == (1, 0)


def test_what_ends_before_the_address_is_checked_is_reported(path):
    """A problem that begins and ends while the first address is still being checked makes both its messages."""
    desk, at_work, may_go_on = Desk(), threading.Event(), threading.Event()

    def post(order):
        if order["do"] == "check":
            at_work.set()
            may_go_on.wait(LIMIT_S)
        desk.post(order)

    notifier = Notifier(ledger_path=path, urls=["service"], post=post)
    notifier.start()
    at_work.wait(LIMIT_S)
    outbox = Outbox(path)
    outbox.alert("ladder", "filled by its previous champion", "", at=OPENED)
    outbox.resolve("ladder", "filled by champions", at=OPENED)
    may_go_on.set()
    notifier.stop()

    assert [title for *_, title in desk.taken] == [
        "filled by its previous champion", "over: filled by its previous champion",
    ]  # fmt: skip


def busy(_path):
    raise StateUnwritable("the ledger is busy")


def test_what_ends_during_the_check_is_reported_after_a_busy_start(path, monkeypatch):
    """A ledger that was busy as the notifier started costs no message of the time in which the address is checked."""
    desk, outbox = Desk(), Outbox(path)

    def post(order):
        if order["do"] == "check":
            outbox.alert("numerai", "no usable answer", "", at=OPENED)
            outbox.resolve("numerai", "answers again", at=OPENED)
        desk.post(order)

    notifier = Notifier(ledger_path=path, urls=["service"], post=post)
    with monkeypatch.context() as patched:
        patched.setattr(_notifier, "Outbox", busy)
        patched.setattr(_notifier._Worker, "start", lambda _: None)
        notifier.start()
    notifier.services[0].turn()

    assert [title for *_, title in desk.taken] == ["no usable answer", "over: no usable answer"]


def test_nothing_waits_for_a_malformed_address(path):
    """The place of an address that turns out to be malformed goes with the check."""
    desk, outbox = Desk(), Outbox(path)
    desk.malformed.add("bad")
    (bad,) = Notifier(ledger_path=path, urls=["bad"], post=desk.post).services
    bad.turn()
    outbox.alert("round", "missed", "", at=OPENED)

    assert outbox.waiting() == 0


def test_a_malformed_address_is_alerted_after_a_full_disk(path):
    """Where the ledger has no room for the alert about an address, the next turn makes it."""
    desk, outbox = Desk(), Outbox(path)
    desk.malformed.add("bad")
    notifier = Notifier(ledger_path=path, urls=["bad", "other"], post=desk.post)
    outbox.register(notifier.names())
    bad, _ = notifier.services
    with full_disk(path), pytest.raises(StateUnwritable):
        bad.turn()
    bad.turn()

    assert outbox.open_alerts().keys() == {"address 1"}


def test_alerts_about_a_removed_address_end(path):
    """A start without the address ends the alerts about its place and about its service; those of other places stay."""
    desk, outbox = Desk("dead"), Outbox(path)
    for name in ("service 1", "address 2", "service 3", "numerai"):
        outbox.alert(name, name, "", at=OPENED)
    outbox.register(["earlier"])
    with notifying(path, post=desk.post):
        none_left = outbox.open_alerts()
    for name in ("service 1", "address 2", "service 3"):
        outbox.alert(name, name, "", at=OPENED)
    with notifying(path, "dead", post=desk.post):
        one_left = outbox.open_alerts()

    assert none_left.keys() == {"numerai"}
    assert one_left.keys() == {"numerai", "service 1"}


def test_another_malformed_address_in_the_same_place_is_alerted(path):
    """Each malformed address makes one message, however often the bot starts with it."""
    desk = Desk()
    desk.malformed |= {"bad", "worse"}
    for url in ("bad", "bad", "worse"):
        for service in Notifier(ledger_path=path, urls=["sound", url], post=desk.post).services:
            service.turn()
    Notifier(ledger_path=path, urls=["sound"], post=desk.post).services[0].turn()

    assert [title for *_, title in desk.taken] == ["address 2 of BOT_ALERT_URLS cannot be used"] * 2


def test_old_news_is_not_sent_where_alerts_are_new(path):
    """A problem that was over before the first address was configured makes no message."""
    desk, outbox = Desk(), Outbox(path)
    outbox.alert("ladder", "filled by its previous champion", "", at=OPENED)
    outbox.resolve("ladder", "filled by champions", at=OPENED)
    outbox.alert("round", "missed", "", at=OPENED)
    notifier = Notifier(ledger_path=path, urls=["service"], post=desk.post)
    notifier.start()
    notifier.stop()

    assert [title for *_, title in desk.taken] == ["missed"]


def test_a_ledger_that_cannot_be_read_does_not_end_the_thread(path, monkeypatch):
    """After an error of the outbox, the next look delivers; this holds for the last look too."""
    desk, tried = Desk(), threading.Event()
    monkeypatch.setattr(_notifier, "FIRST_PAUSE_S", 0.0)
    Outbox(path).alert("round", "missed", "", at=OPENED)
    notifier = Notifier(ledger_path=path, urls=["service"], post=desk.post)
    (worker,) = notifier._workers

    def outbox(path):
        if threading.current_thread() is worker._thread and not tried.is_set():
            tried.set()
            worker.stop()  # as if the daemon ended while the first look was failing
            raise StateUnwritable("the ledger is busy")
        return Outbox(path)

    monkeypatch.setattr("bot.daemon._notifier.Outbox", outbox)
    notifier.start()
    notifier.wake()
    worker._thread.join(timeout=LIMIT_S)

    assert tried.is_set()
    assert [title for *_, title in desk.taken] == ["missed"]


def test_a_test_message_says_which_address_takes_it(services):
    """Each address gets the message in turn; one that refuses and one that is malformed are named by their place."""
    taken = send_test([f"json://{services.address}/ok", f"json://{services.address}/bad", "nothing"], logging={})

    assert [(one.place, one.ok) for one in taken] == [(1, True), (2, False), (3, False)]
    assert "error=401" in str(taken[1].error)
    assert isinstance(taken[2].error, BadConfig)
    assert services.taken[0] == ("/ok", "a test message")


def test_a_test_without_an_address_is_one_line():
    """Without an address nobody would ever be alerted; the error names the setting."""
    with pytest.raises(BadConfig, match="BOT_ALERT_URLS is not set"):
        send_test([], logging={})
