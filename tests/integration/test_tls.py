"""A server with an unknown certificate is neither sent to nor read from, also in the middle of a download."""

import shutil
import ssl
import subprocess
import threading
from contextlib import contextmanager

import pytest

from bot.data.download import TRIES, fetch
from bot.errors import NumeraiUnavailable
from bot.sandbox.faults import Fault
from bot.sandbox.server import _Server
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.tournament.client import NumeraiClient
from bot.tournament.transport import Transport
from tests.harness.installation import FIRST_ROUND, SLOT

OPENSSL = shutil.which("openssl")
pytestmark = [
    pytest.mark.usefixtures("no_backoff"),
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed"),
]
LIVE = "v5.3/live.parquet"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    about = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2", "-nodes"]
    made = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    places = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([OPENSSL, "req", *made, *about, *places], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture
def secured(sandbox, certificate):
    """The port at which the same tournament is served by TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = _Server(("127.0.0.1", 0), sandbox)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.break_off()
    server.server_close()
    thread.join()


@pytest.fixture
def trusted(certificate, monkeypatch):
    """A context manager in which the certificate is trusted."""

    @contextmanager
    def trust():
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
        yield
        monkeypatch.delenv("REQUESTS_CA_BUNDLE")

    return trust


def client_of(url, port):
    transport = Transport()
    transport._session.headers["Host"] = f"127.0.0.1:{port}"  # so that presigned URLs lead there
    key = {"public_id": DEMO_ACCOUNT.public_id, "secret_key": DEMO_ACCOUNT.secret_key}
    return NumeraiClient(api_url=url, transport=transport, **key)


def test_an_api_without_a_known_certificate_is_refused(secured, trusted):
    """A query fails until the server's certificate is trusted."""
    client = client_of(f"https://127.0.0.1:{secured}/", secured)
    with pytest.raises(NumeraiUnavailable, match="SSLError"):
        client.slots()
    with trusted():
        slots = client.slots()

    assert slots == DEMO_ACCOUNT.models


def test_a_download_does_not_go_on_from_an_unknown_server(sandbox, secured, trusted, tmp_path):
    """An interrupted download is kept, and resumed only from a storage whose certificate is trusted."""
    client, path = client_of(sandbox.url, secured), tmp_path / "live.parquet"
    sandbox.faults.add(Fault(operation="dataset", kind="tls", times=99))
    sandbox.faults.add(Fault(operation="GET", kind="truncate", times=TRIES))
    with pytest.raises(NumeraiUnavailable, match="SSLError"):
        fetch(client, LIVE, path, resume=True)
    nothing = list(tmp_path.iterdir())
    with trusted(), pytest.raises(NumeraiUnavailable, match="broke off"):
        fetch(client, LIVE, path, resume=True)
    begun = (tmp_path / ".live.parquet.part").read_bytes()
    with pytest.raises(NumeraiUnavailable, match="SSLError"):
        fetch(client, LIVE, path, resume=True)
    kept = (tmp_path / ".live.parquet.part").read_bytes()
    with trusted():
        whole = fetch(client, LIVE, path, resume=True)

    assert nothing == []
    assert kept == begun != b""
    assert path.read_bytes()[: len(begun)] == begun
    assert whole.size == len(path.read_bytes()) > len(begun)


def test_predictions_are_not_handed_to_an_unknown_storage(sandbox, secured):
    """The upload ends before its first byte is sent."""
    sandbox.faults.add(Fault(operation="submission_upload_auth", kind="tls"))
    with pytest.raises(NumeraiUnavailable, match="SSLError"):
        client_of(sandbox.url, secured).upload(
            model_id=DEMO_ACCOUNT.models[SLOT], filename=f"r{FIRST_ROUND}.csv", content=b"id,prediction\n"
        )

    assert sandbox.tournament.uploaded == {}
