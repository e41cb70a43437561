"""The port: whatever a client sends, it gets an answer or is cut off in time, and others are served meanwhile."""

import json
import logging
import resource
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack, closing, suppress

import pytest
import requests
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse, Response

from bot.errors import BadConfig, StateUnwritable
from bot.record.heartbeat import Heartbeat
from bot.record.ledger import Ledger
from bot.settings import load_settings
from bot.system import redaction
from bot.web import _connections, application, server
from bot.web.pages import Pages
from bot.web.prometheus import Metrics
from bot.web.server import Web

TOKEN = "knock-knock-knock"  # noqa: S105 - of this test


def broken(_name=""):
    raise ValueError("secret <detail>")


def unwritable(_name=""):
    raise StateUnwritable("the ledger is busy")


@pytest.fixture
def hooked():
    return []


@pytest.fixture
def serve():
    """Serve pages on a free port of the loopback until the test ends."""
    with ExitStack() as running:

        def start(**options):
            pages = {"/": lambda _name: PlainTextResponse("home"), "/broken": broken, "/busy": unwritable}
            web = running.enter_context(Web(**{"host": "127.0.0.1", "port": 0, "pages": pages, **options}))
            assert web.opened.wait(60)
            return web

        yield start


@pytest.fixture
def web(serve, hooked):
    return serve(hook=hooked.append, token=TOKEN, hosts=("bot.example.org",))


def address(web, path="/"):
    return f"http://127.0.0.1:{web.port}{path}"


def raw(web, content, timeout=60.0):
    """Send bytes and return all that comes back until the server closes the connection."""
    with closing(socket.create_connection(("127.0.0.1", web.port), timeout=timeout)) as connection:
        connection.sendall(content)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
        except ConnectionError:
            pass
        return found


@pytest.fixture
def lines():
    """Collect the log's lines."""
    with structlog.testing.capture_logs() as found:
        yield found


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:{port}", 200), ("localhost", 200), ("LOCALHOST.", 200), ("[::1]:80", 200), ("bot.example.org", 200),
        ("bot.example.org:443", 200), ("{own}:{port}", 200), ("evil.example", 400), ("127.0.0.1.evil.example", 400), ("localhost@evil.example", 400),
        ("10.1.2.3", 400), ("", 400), ("[::1", 400), ("a b", 400), ("bot.example.org, evil.example", 400),
    ],
)  # fmt: skip
def test_only_the_bots_own_names_are_served(web, host, status):
    """A page is served to the machine's own names, the configured host and those of BOT_HTTP_HOSTS."""
    found = requests.get(
        address(web), headers={"Host": host.format(port=web.port, own=socket.gethostname())}, timeout=60
    )

    assert found.status_code == status


@pytest.mark.parametrize(("method", "path", "status"), [
    ("HEAD", "/", 200), ("HEAD", "/none", 404), ("GET", "/none", 404), ("POST", "/", 405), ("PUT", "/", 405),
    ("DELETE", "/none", 404), ("OPTIONS", "/", 405), ("FOO", "/", 405), ("GET", f"/hook/{TOKEN}", 405), ("GET", "/broken", 500),
    ("HEAD", "/broken", 500), ("GET", "/busy", 503),
])  # fmt: skip
def test_every_answer_is_a_page_with_security_headers(web, lines, method, path, status):
    """HEAD is GET without its content; an error is a small page and one line of the log without the hook's token."""
    found = requests.request(method, address(web, path), timeout=60)

    assert found.status_code == status
    assert found.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'self'" in found.headers["Content-Security-Policy"]
    assert (found.text == "") == (method == "HEAD")
    refused = [one for one in lines if one["event"] == "web.refused"]
    assert [one["status"] for one in refused] == ([status] if status >= 400 else [])
    assert "detail" not in found.text
    assert TOKEN not in json.dumps(lines)


@pytest.mark.parametrize(
    "content",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"\x00" * 100 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\nConnection: close\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: \xff\r\nConnection: close\r\n\r\n",
    ],
)  # fmt: skip
def test_a_malformed_request_gets_a_page_and_one_line(web, lines, content):
    """Bytes that are no HTTP get a small page with status 400, and one line is logged."""
    found = raw(web, content)

    assert found.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 431 "))
    assert b"nosniff" in found
    assert [one["event"] for one in lines if one["log_level"] != "info"] == ["web.refused"]


@given(content=st.binary(max_size=400))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_bytes_end_the_server(web, content):
    """After any bytes the next request is answered, and nothing was logged as an error."""
    with structlog.testing.capture_logs() as lines:
        for head in (
            b"",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n",
            b"POST /hook/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n",
        ):
            with closing(socket.create_connection(("127.0.0.1", web.port), timeout=60)) as connection:
                connection.sendall(head + content)
        answered = requests.get(address(web), timeout=60)

    assert answered.text == "home"
    assert not [one for one in lines if one["log_level"] == "error"]


def test_idle_connections_do_not_take_every_descriptor(web):
    """While hundreds of clients connect and send nothing, or half a request, others are answered; few stay open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with ExitStack() as held:
            for number in range(600):
                one = held.enter_context(closing(socket.create_connection(("127.0.0.1", web.port), timeout=60)))
                if number % 2:
                    one.sendall(b"GET / HTTP/1.1\r\nX-")
            answered = requests.get(address(web), timeout=60)
            alive = len(web._server.server_state.connections)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert answered.text == "home"
    assert alive <= _connections.MOST + server.BACKLOG


@pytest.mark.parametrize("content", [b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET"])
def test_a_client_without_a_request_is_cut_off(web, monkeypatch, content):
    """A connection ends when its first or its next request does not come in time."""
    monkeypatch.setattr(_connections, "REQUEST_S", 0.2)
    found = raw(web, content)

    assert found.endswith(b"home") or not content.endswith(b"GET")


def test_a_client_that_does_not_read_is_cut_off(serve, monkeypatch):
    """A client that reads nothing of a large page loses its connection."""
    monkeypatch.setattr(_connections, "ANSWER_S", 0.3)
    web = serve(pages={"/": lambda _name: Response(b"x" * 50_000_000)})
    with closing(socket.create_connection(("127.0.0.1", web.port), timeout=60)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not web._server.server_state.total_requests:
            threading.Event().wait(0.01)
        while web._server.server_state.connections:
            threading.Event().wait(0.01)


def test_monitoring_is_answered_while_pages_are_slow(serve):
    """Pages that wait hold up neither `/healthz` nor `/metrics`, and other requests beyond the limit get 503."""
    release = threading.Event()
    pages = {"/": lambda _name: release.wait(60) and None, "/healthz": lambda _name: PlainTextResponse("healthy")}
    web = serve(pages=pages)
    with ExitStack() as held:
        for _ in range(application.BUSY + 1):
            one = held.enter_context(closing(socket.create_connection(("127.0.0.1", web.port), timeout=60)))
            one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while len(web._server.server_state.tasks) < application.BUSY:
            threading.Event().wait(0.01)
        healthy = requests.get(address(web, "/healthz"), timeout=60).status_code
        busy = requests.get(address(web), timeout=60).status_code
        release.set()

    assert (healthy, busy) == (200, 503)


def test_a_new_connection_is_served_while_every_other_waits_for_its_page(serve, monkeypatch):
    """With as many slow pages as there may be connections, a new request is answered, and the oldest one ends."""
    monkeypatch.setattr(_connections, "MOST", 2)
    release = threading.Event()
    pages = {"/": lambda _name: release.wait(60) and None, "/healthz": lambda _name: PlainTextResponse("healthy")}
    web = serve(pages=pages)
    with ExitStack() as held:
        slow = []
        for number in range(2):
            slow.append(held.enter_context(closing(socket.create_connection(("127.0.0.1", web.port), timeout=60))))
            slow[-1].sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while len(web._server.server_state.tasks) <= number:
                threading.Event().wait(0.01)
        healthy = requests.get(address(web, "/healthz"), timeout=60).status_code
        with suppress(ConnectionResetError):
            assert slow[0].recv(1) == b""
        release.set()

    assert healthy == 200


@pytest.mark.parametrize(
    ("body", "trigger"),
    [
        (b'{"triggerId": "t-1"}', "t-1"), (b"", None), (b"{}", None), (b"[1]", None), (b"x", None), (b"[" * 4000, None),
        (b'{"triggerId": "a\\u0000b"}', None), (b'{"triggerId": "a\\nb"}', None), (b'{"triggerId": 7}', None),
        (b'{"triggerId": "\\ud800"}', None), (b'{"triggerId": "' + b"a" * 65 + b'"}', None), (b"\xff\xfe", None),
    ],
)  # fmt: skip
def test_the_hook_passes_on_only_a_trigger_id(web, hooked, body, trigger):
    """A call with the token wakes the loop; what cannot be a trigger id is dropped."""
    answered = requests.post(address(web, f"/hook/{TOKEN}"), data=body, timeout=60)

    assert (answered.status_code, answered.json()) == (200, {})
    assert hooked == [trigger]


def test_a_hook_call_that_is_too_long_is_refused(web, hooked):
    """A body of more than 4 KiB is refused, also where its length is not announced."""
    announced = requests.post(address(web, f"/hook/{TOKEN}"), data=b" " * 5000, timeout=60)
    streamed = requests.post(address(web, f"/hook/{TOKEN}"), data=iter([b" " * 3000, b" " * 3000]), timeout=60)

    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert hooked == []


def test_a_hook_call_that_drips_is_refused(web, hooked, monkeypatch):
    """A body that does not come in time is refused."""
    monkeypatch.setattr(application, "BODY_S", 0.1)
    found = raw(web, f"POST /hook/{TOKEN} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode())

    assert found.startswith(b"HTTP/1.1 408 ")
    assert hooked == []


def test_wrong_tokens_are_slow_and_few(web, hooked, monkeypatch, lines):
    """Five wrong tokens a minute get 404 after a pause, further ones 429; the right one still works."""
    monkeypatch.setattr(application, "GUESS_S", 0.05)
    began = time.monotonic()
    guessed = [requests.post(address(web, f"/hook/guess-{n}-%C3%A9"), timeout=60).status_code for n in range(8)]
    seconds = time.monotonic() - began
    right = requests.post(address(web, f"/hook/{TOKEN}"), timeout=60).status_code

    assert guessed == [404] * 5 + [429] * 3
    assert seconds >= 5 * 0.05
    assert (right, hooked) == (200, [None])
    assert "guess" not in json.dumps(lines)


def test_a_flood_of_refusals_does_not_fill_the_log(web, lines):
    """Twenty refused requests a minute are logged one by one, then one line ends it."""
    for _ in range(40):
        requests.get(address(web, "/none"), timeout=60)

    assert len([one for one in lines if one["event"] == "web.refused"]) == 21


@pytest.mark.parametrize(
    "token", ["x", "short-token-15c", "slash/slash/slash/slash", "with space with space", "é" * 20]
)
def test_a_weak_token_is_refused_at_the_start(monkeypatch, token):
    """A token that can be guessed, or that is no part of a path, is a setting that is not usable."""
    monkeypatch.setenv("BOT_WEBHOOK_TOKEN", token)

    with pytest.raises(BadConfig, match="BOT_WEBHOOK_TOKEN: must be 16 to 200") as refused:
        load_settings()
    assert token not in str(refused.value)


@pytest.mark.parametrize("hosts", ["http://bot", "bot:8790", "a/b", "*"])
def test_an_odd_name_is_refused_at_the_start(monkeypatch, hosts):
    """BOT_HTTP_HOSTS holds names, no addresses of pages."""
    monkeypatch.setenv("BOT_HTTP_HOSTS", hosts)

    with pytest.raises(BadConfig, match=r"BOT_HTTP_HOSTS: .* is no host name"):
        load_settings()


@pytest.mark.parametrize("host", ["::1", "[::1]", "::", "localhost", "0.0.0.0"])
def test_addresses_of_both_kinds_and_names_are_served(serve, host):
    """The pages are served on an IPv4 or IPv6 address, on all addresses, and on a name."""
    if ":" in host and not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    web = serve(host=host)
    place = "[::1]" if "::1" in host else "127.0.0.1"

    assert requests.get(f"http://{place}:{web.port}/", timeout=60).text == "home"


def test_a_taken_port_is_reported_and_tried_again(serve, lines, monkeypatch):
    """While the port is taken the reason is reported; once it is free the pages are served."""
    monkeypatch.setattr(server, "AGAIN_S", 0.05)
    reports, told = [], threading.Event()

    def report(reason):
        reports.append(reason)
        if len(reports) > 2:
            told.set()

    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        web = Web(host="127.0.0.1", port=port, pages={"/": lambda _name: PlainTextResponse("home")}, report=report)
        web.__enter__()
        assert told.wait(60)
    assert web.opened.wait(60)
    answered = requests.get(address(web), timeout=60)
    web.__exit__()

    assert "in use" in reports[0]
    assert reports[-1] is None
    assert answered.text == "home"
    assert [one["event"] for one in lines] == ["web.failed", "web.started"]


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a" * 300, "a\0b", "é..", "10.255.255.254"])
def test_an_odd_host_is_reported(host):
    """A host that cannot be listened on is reported, whatever is wrong with it."""
    reported, told = [], threading.Event()

    def report(reason):
        reported.append(reason)
        told.set()

    with Web(host=host, port=0, pages={}, report=report):
        assert told.wait(60)

    assert reported[0].startswith("the pages cannot be served on")


def test_a_busy_or_damaged_ledger_is_a_page_with_its_reason(serve, tmp_path, lines, monkeypatch):
    """A locked ledger gives 503 with the reason and a log line, on every page that reads it."""
    monkeypatch.setattr("bot.record.database.READERS_WAIT_S", 0.01)
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    pages, metrics = Pages(tmp_path, path), Metrics(path, tmp_path, Heartbeat(folder=tmp_path))
    web = serve(pages={"/": pages.now, "/live": pages.live, "/round/": pages.round, "/metrics": metrics.page})
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        found = [requests.get(address(web, one), timeout=60) for one in ("/", "/live", "/round/1", "/metrics")]

    assert [one.status_code for one in found] == [503] * 4
    assert all("locked" in one.text for one in found)
    assert len([one for one in lines if one["event"] == "web.refused"]) == 4


def test_a_page_leaves_no_connection_to_the_ledger_open(serve, tmp_path):
    """Pages open the ledger to read only, and close it after each request."""
    path = tmp_path / "ledger.sqlite"
    Ledger(path).close()
    pages, metrics = Pages(tmp_path, path), Metrics(path, tmp_path, Heartbeat(folder=tmp_path))
    web = serve(pages={"/": pages.now, "/live": pages.live, "/models": pages.models, "/metrics": metrics.page})
    before = path.stat().st_mtime_ns
    found = [requests.get(address(web, one), timeout=60).status_code for one in ("/", "/live", "/models", "/metrics")]

    assert found == [200] * 4
    assert path.stat().st_mtime_ns == before
    assert not [one for one in open_files() if one.startswith(str(path))]


def open_files():
    from pathlib import Path

    for one in Path("/proc/self/fd").iterdir():
        try:
            yield str(one.readlink())
        except OSError:
            continue


def test_a_problem_that_no_file_can_hold_is_shown(serve, tmp_path):
    """On a full disk, where the heartbeat cannot be written, pages and `/healthz` show the problem of this process."""
    heartbeat = Heartbeat(folder=tmp_path)
    heartbeat.beat()
    heartbeat.mark("state", "the disk is full")
    Ledger(tmp_path / "ledger.sqlite").close()
    metrics = Metrics(tmp_path / "ledger.sqlite", tmp_path, heartbeat)
    pages = Pages(tmp_path, tmp_path / "ledger.sqlite", metrics.problems)
    web = serve(pages={"/": pages.now, "/healthz": metrics.healthz})
    health, page = (requests.get(address(web, one), timeout=60) for one in ("/healthz", "/"))

    assert (health.status_code, health.text) == (503, "state: the disk is full\n")
    assert "the disk is full" in page.text


def test_the_server_writes_no_lines_of_its_own(web, caplog):
    """No access log and no message of the library passes beside the bot's log."""
    with caplog.at_level(logging.INFO):
        requests.get(address(web), headers={"Connection": "Upgrade", "Upgrade": "websocket"}, timeout=60)
        raw(web, b"x\r\n\r\n")

    assert [one for one in caplog.records if one.name.startswith(("uvicorn", "asyncio"))] == []


def test_no_page_shows_a_secret(serve):
    """A secret that a file or row of the state directory holds is hidden in the page."""
    redaction.hide(["VERYSECRET"])
    web = serve(pages={"/": lambda _name: PlainTextResponse("row: VERYSECRET end")})
    answer = requests.get(address(web), timeout=60)

    assert (answer.text, answer.headers["content-length"]) == ("row: *** end", "12")
