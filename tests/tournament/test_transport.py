"""Exchanges with peers that keep the bot waiting, lie about their answers, or lie between the bot and Numerai."""

import gc
import gzip
import os
import socket
import threading
import time
import zlib
from contextlib import contextmanager, suppress

import pytest

from bot.errors import BadConfig, NumeraiUnavailable, RefuseToSubmit
from bot.tournament import transport
from bot.tournament._network_settings import BUNDLES
from bot.tournament.transport import Transport
from tests.harness.answers import reply, serving

pytestmark = pytest.mark.usefixtures("plain_network")
LIMIT_S = 0.4
"""Limit of the exchanges in seconds. Peers go on until the test ends, many times longer than ``ENOUGH_S``."""

ENOUGH_S = 20.0
"""Seconds after which an exchange counts as unbounded; far more than a busy machine adds to the limit."""

KEY = {"Authorization": "Token A$B"}
DRIP = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def plain_network(monkeypatch):
    """Neither proxies nor certificates of the machine that runs the tests."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", *BUNDLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def peer(play):
    """A server that plays ``play(connection, wait)`` with each client; ``wait()`` is true once the test has ended."""
    over, listener = threading.Event(), socket.create_server(("127.0.0.1", 0), backlog=8)
    threads = []

    def serve(connection):
        with connection, suppress(OSError):
            play(connection, lambda: over.wait(0.02))

    def accept():
        with suppress(OSError):
            while not over.is_set():
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    yield listener.getsockname()[1]
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in (accepting, *threads):
        thread.join()


def silent(connection, wait):
    """Read nothing and send nothing."""
    while not wait():
        pass


def dripping(*first, drip=b"x"):
    """Send *first*, then *drip* again and again."""

    def play(connection, wait):
        connection.recv(65536)
        connection.sendall(b"".join(first))
        while not wait():
            connection.sendall(drip)

    return play


PEERS = {
    "nothing": silent,
    "headers": dripping(DRIP, b"X: "),
    "more headers": dripping(DRIP, drip=b"X: y\r\n"),
    "more interim answers": dripping(drip=b"HTTP/1.1 100 Continue\r\n\r\n"),
    "a body": dripping(DRIP, b"Content-Length: 1000000\r\n\r\n"),
    "a body without a length": dripping(DRIP, b"Connection: close\r\n\r\n"),
    "the size of a chunk": dripping(DRIP, b"Transfer-Encoding: chunked\r\n\r\n5;"),
    "an error": dripping(b"HTTP/1.1 503 Wait\r\nContent-Length: 1000000\r\n\r\n"),
}


@contextmanager
def in_time():
    """Check that the enclosed exchange fails within the time that counts as bounded."""
    began = time.monotonic()
    with pytest.raises(NumeraiUnavailable):
        yield
    assert time.monotonic() - began < ENOUGH_S


def impatient():
    """A transport whose reads may take long: only the limit of the exchange ends them."""
    return Transport(connect_s=600, read_s=600, exchange_s=LIMIT_S)


@pytest.mark.parametrize("what", PEERS)
def test_an_exchange_ends_at_its_limit(what):
    """Whatever a peer drips, a query is given up at the limit of its exchange."""
    with peer(PEERS[what]) as port, in_time():
        impatient().post(f"http://127.0.0.1:{port}/", {}, {})


def test_a_first_try_is_short_while_no_close_is_known():
    """A query whose answer drips is given up soon, although the close that shortens limits is not known yet."""
    patient = Transport(connect_s=600, read_s=600, exchange_s=600)
    with peer(PEERS["more headers"]) as port, in_time():
        patient.post(f"http://127.0.0.1:{port}/", {}, {}, first_s=LIMIT_S)


# urllib3 leaves the socket of a handshake that never ended to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("play", [silent, dripping(b"\x16\x03\x03\x40\x00", drip=b"\x02")], ids=["silent", "dripping"])
def test_a_tls_handshake_ends_at_the_limit(play):
    """A peer that never completes the handshake is given up."""
    with peer(play) as port, in_time():
        impatient().post(f"https://127.0.0.1:{port}/", {}, {})
    gc.collect()


@pytest.mark.parametrize("play", [silent, dripping(b"HTTP/1.1 200 OK\r\nX: ")], ids=["silent", "dripping"])
def test_a_proxy_ends_at_the_limit(monkeypatch, play):
    """A proxy that never opens the tunnel is given up."""
    with peer(play) as port, in_time():
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        impatient().post("https://numerai.invalid/", {}, {})


def test_an_upload_that_is_not_read_ends_at_the_limit(monkeypatch):
    """A storage that accepts the connection and reads nothing of a large file is given up."""
    monkeypatch.setattr(transport, "UPLOAD_S", LIMIT_S)
    with peer(silent) as port, in_time():
        impatient().upload(f"http://127.0.0.1:{port}/", bytes(64 << 20))


def test_a_large_upload_has_longer(monkeypatch):
    """A pickle of 64 MiB may take eight minutes more than a submission of any size."""
    limits = []
    monkeypatch.setattr(Transport, "limit_s", lambda _self, longest: limits.append(longest) or longest)
    with serving(PUT=reply(b"")) as server:
        for in_proportion in (False, True):
            Transport().upload(server.url, bytes(64 << 20), in_proportion=in_proportion)

    assert limits == [120.0, 120.0 + 512]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        ("413 Payload Too Large", b"", RefuseToSubmit),
        ("400 Bad Request", b"<Error><Code>EntityTooLarge</Code></Error>", RefuseToSubmit),
        ("400 Bad Request", b"<Error><Code>RequestTimeout</Code></Error>", NumeraiUnavailable),
        ("503 Slow Down", b"", NumeraiUnavailable),
    ],
)
def test_a_file_that_is_too_large_is_refused_for_good(status, body, error):
    """A storage that takes no file of this size is not one that fails: the same upload is refused again."""
    with serving(PUT=reply(body, status=status)) as server, pytest.raises(error):
        Transport().upload(server.url, b"pickle")


def test_a_connection_that_is_not_accepted_ends_at_the_limit():
    """A host that does not complete the connection is given up."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(4):  # fill the queue, which nobody accepts from
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        with in_time():
            impatient().post(f"http://127.0.0.1:{listener.getsockname()[1]}/", {}, {})
        for one in waiting:
            one.close()


def test_a_name_server_ends_at_the_limit_and_nothing_is_sent_late(monkeypatch):
    """A name that is found only after the limit is no longer connected to: a late upload would count for another round."""
    found, look_up = threading.Event(), socket.getaddrinfo

    def slow(*about, **options):
        found.wait()
        return look_up(*about, **options)

    with serving() as server:
        monkeypatch.setattr("urllib3.util.connection.socket.getaddrinfo", slow)
        with in_time():
            impatient().post(server.url, {}, {})
        found.set()
        for thread in [one for one in threading.enumerate() if one.name == "connect"]:
            thread.join()

    assert server.requests == []


def test_a_download_that_stalls_ends_at_its_limit(monkeypatch):
    """A storage that stops in the middle of a file is given up after two spans of the measured speed."""
    monkeypatch.setattr(transport, "PACE_S", LIMIT_S / 2)

    def stop(connection, wait):
        connection.recv(65536)
        connection.sendall(DRIP + b"Content-Length: 1000000\r\n\r\n" + bytes(1000))
        silent(connection, wait)

    patient = Transport(connect_s=600, read_s=600, exchange_s=600)
    with peer(stop) as port, in_time(), patient.download(f"http://127.0.0.1:{port}/") as download:
        b"".join(download.chunks)


def test_a_download_below_the_least_speed_is_given_up(monkeypatch):
    """A file that drips is given up after the span of the measured speed, though no read takes long."""
    monkeypatch.setattr(transport, "PACE_S", LIMIT_S)
    play = dripping(DRIP, b"Content-Length: 100000000\r\n\r\n")
    with peer(play) as port, in_time(), Transport().download(f"http://127.0.0.1:{port}/") as download:
        b"".join(download.chunks)


def test_a_caller_may_take_its_time():
    """Time that the caller spends on the pieces of a download is not the storage's."""
    with (
        pytest.MonkeyPatch.context() as patch,
        serving(GET=reply(bytes(3 << 20))) as server,
        Transport().download(server.url) as download,
    ):
        patch.setattr(transport, "PACE_S", 0.05)
        pieces = []
        for piece in download.chunks:
            pieces.append(piece)
            if len(pieces) < 3:
                threading.Event().wait(0.3)

    assert len(b"".join(pieces)) == 3 << 20


def test_a_failed_exchange_leaves_its_connection():
    """After an answer that broke off, the next request does not use the same connection."""
    ports = []

    def play(connection, wait):
        connection.recv(65536)
        ports.append(connection.getpeername()[1])
        if len(ports) == 1:  # a connection that stays open, with an answer that cannot be read
            connection.sendall(reply(bytes(3), Content_Encoding="compress", Connection="keep-alive"))
            silent(connection, wait)
        connection.sendall(reply(b"{}"))

    with peer(play) as port:
        ours = Transport()
        with pytest.raises(NumeraiUnavailable, match="encoding 'compress'"):
            ours.post(f"http://127.0.0.1:{port}/", {}, {})
        answer = ours.post(f"http://127.0.0.1:{port}/", {}, {})

    assert answer.content == b"{}"
    assert len(set(ports)) == 2


RAW = zlib.compressobj(wbits=-15)
BODY = b'{"data": 1}' * 100


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(BODY)),
        ("X-GZip", gzip.compress(BODY)),
        ("deflate", zlib.compress(BODY)),
        ("deflate", RAW.compress(BODY) + RAW.flush()),
        ("identity", BODY),
        ("aws-chunked", BODY),
    ],
    ids=["gzip", "gzip in mixed case", "zlib", "raw deflate", "identity", "aws-chunked"],  # gzip bytes hold the time
)
def test_compressed_answers_are_read(encoding, body):
    """A proxy may compress what was requested as it is; answers and downloads are decompressed."""
    with serving(
        GET=reply(body, Content_Encoding=encoding), POST=b"", **{"": reply(body, Content_Encoding=encoding)}
    ) as server:
        answer = Transport().post(server.url, {"query": ""}, {})
        with Transport().download(server.url) as download:
            content = b"".join(download.chunks)

    assert answer.content == content == BODY


def downloaded(ours, url):
    with ours.download(url) as download:
        return b"".join(download.chunks)


READ = {"answer": lambda ours, url: ours.post(url, {"query": ""}, {}), "download": downloaded}


@pytest.mark.parametrize("kind", READ)
def test_a_bomb_is_not_unpacked(kind):
    """An answer that grows beyond all measure is given up, without taking the memory that it wants."""
    bomb = reply(gzip.compress(bytes(64 << 20)), Content_Encoding="gzip")
    with serving(GET=bomb, **{"": bomb}) as server, pytest.raises(NumeraiUnavailable, match="more than"):
        READ[kind](Transport(), server.url)


def test_a_cut_compressed_file_is_incomplete():
    """A compressed file without its end is incomplete, even where its length is the announced one."""
    cut = reply(gzip.compress(os.urandom(1000))[:-1], Content_Encoding="gzip")
    with (
        serving(GET=cut) as server,
        Transport().download(server.url) as download,
        pytest.raises(NumeraiUnavailable, match="incomplete"),
    ):
        b"".join(download.chunks)


def test_netrc_is_not_read(tmp_path, monkeypatch):
    """An entry of .netrc replaces no key, and adds none to presigned URLs, which a storage would refuse."""
    (tmp_path / ".netrc").write_text("default login somebody password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with serving(GET=reply(b""), PUT=reply(b""), **{"": reply(b"{}")}) as server:
        ours = Transport()
        ours.post(server.url, {"query": ""}, KEY)
        ours.upload(server.url, b"id")
        with ours.download(server.url):
            pass

    assert [headers.get("authorization") for _, headers, _ in server.requests] == [KEY["Authorization"], None, None]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Go", "308 Go"])
def test_the_key_follows_no_redirect_to_another_address(status):
    """A query with the key is not sent to the target of a redirect; the message names the host."""
    with (
        serving(**{"": reply(b"{}")}) as other,
        serving(**{"": reply(b"", status=status, Location=other.url)}) as server,
        pytest.raises(NumeraiUnavailable, match="redirect"),
    ):
        Transport().post(server.url, {"query": ""}, KEY)

    assert other.requests == []


def test_a_redirect_on_the_same_host_is_followed_whole():
    """Redirects that keep the request are followed: method, body and key stay."""
    with serving(**{"": reply(b"{}")}) as server:
        moved = iter((reply(b"", status="308 Go", Location="/v2"), reply(b'{"data": 1}')))
        server.answers[""] = lambda _: next(moved)
        answer = Transport().post(server.url, {"query": "x"}, KEY)

    assert answer.content == b'{"data": 1}'
    assert [(method, headers["authorization"], body) for method, headers, body in server.requests] == [
        ("POST", KEY["Authorization"], '{"query": "x"}')
    ] * 2


def test_redirects_end():
    """A redirect to itself is followed a few times."""
    again = reply(b"", status="302 Found", Location="/again")
    with serving(GET=again) as server, pytest.raises(NumeraiUnavailable, match="more than"):
        downloaded(Transport(), server.url)

    assert len(server.requests) == transport.REDIRECTS + 1


@pytest.mark.parametrize(
    "url", [None, 5, "", "file:///etc/passwd", "ftp://a/b", "http://[", "http://", "//a/b", "http://a b"]
)
def test_a_presigned_url_that_is_none_is_a_failing_server(url):
    """Only addresses of web servers are read from and sent to."""
    with pytest.raises(NumeraiUnavailable, match="URL"), Transport().download(url):
        pass
    with pytest.raises(NumeraiUnavailable, match="URL"):
        Transport().upload(url, b"")


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_certificates_that_cannot_be_read_are_named(tmp_path, monkeypatch, name, content):
    """A missing or unusable file of certificates is one line that names the variable."""
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv(name, str(path))
    with serving() as server, pytest.raises(BadConfig, match=f"{name} names .*bundle.pem"):
        Transport().post(server.url, {}, {})


@pytest.mark.parametrize("value", ["http://[", "socks5://127.0.0.1:9", "http://", "http://user:hunter2@:x"])
def test_a_proxy_that_is_none_is_named_not_shown(monkeypatch, value):
    """A proxy variable that holds no address is one line that names the variable, and shows no password."""
    monkeypatch.setenv("HTTP_PROXY", value)
    with pytest.raises(BadConfig, match="HTTP_PROXY") as caught:
        Transport().post("http://numerai.invalid/", {}, {})

    assert "hunter2" not in str(caught.value)


def test_a_proxy_is_used(monkeypatch):
    """A proxy of the environment gets the requests."""
    with serving(**{"": reply(b"{}")}) as server:
        monkeypatch.setenv("HTTP_PROXY", server.url)
        answer = Transport().post("http://numerai.invalid/", {"query": ""}, {})

    assert answer.content == b"{}"
    assert server.requests[0][1]["host"] == "numerai.invalid"


@pytest.mark.parametrize(
    "date",
    ["x", "", "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "Tue, 24 Nov 2026 12:00:00 +99999999"],
)
def test_a_clock_that_is_none_is_not_followed(date):
    """A Date header that cannot be a time of today's leaves the server's clock as it was."""
    with serving(**{"": reply(b"{}")}) as server:
        ours = Transport()
        ours.post(server.url, {"query": ""}, {})
        before = ours.server_now()
        server.answers[""] = reply(b"{}", Date=date)
        ours.post(server.url, {"query": ""}, {})

    assert 0 <= (ours.server_now() - before).total_seconds() < ENOUGH_S


def test_limits_follow_the_window():
    """While a round is open an exchange takes a tenth of its rest, but never less than three seconds."""
    with serving(**{"": reply(b"{}", Date="Tue, 24 Nov 2026 12:00:00 GMT")}) as server:
        ours = Transport()
        ours.post(server.url, {"query": ""}, {})
        limits = [ours.limit_s(60.0)]
        for seconds in (3600, 200, 5, -5):
            ours.hurry(ours.server_now() + transport.timedelta(seconds=seconds))
            limits.append(round(ours.limit_s(60.0)))

    assert limits == [60, 60, 20, 3, 60]
