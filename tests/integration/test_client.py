"""The client of the tournament API against the sandbox over HTTP."""

import logging
from datetime import timedelta

import pytest

from bot.errors import BadCredentials, NumeraiUnavailable, RefuseToSubmit, RetryLater
from bot.sandbox.faults import Fault
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT, Account
from bot.tournament.client import NumeraiClient
from bot.tournament.transport import Transport
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

pytestmark = pytest.mark.usefixtures("no_backoff")
MODEL = DEMO_ACCOUNT.models[SLOT]


def client_of(sandbox, *, secret=DEMO_ACCOUNT.secret_key, exchange_s=30.0, read_s=15.0):
    return NumeraiClient(
        api_url=sandbox.url,
        public_id=DEMO_ACCOUNT.public_id,
        secret_key=secret,
        transport=Transport(connect_s=2, read_s=read_s, exchange_s=exchange_s),
    )


@pytest.fixture
def client(sandbox):
    return client_of(sandbox)


@pytest.fixture
def answer(sandbox):
    """A submission that the open round accepts."""
    ids = sandbox.tournament.live_ids(FIRST_ROUND)
    rows = [f"{identity},{(index + 1) / (len(ids) + 1):.6f}" for index, identity in enumerate(ids)]
    return ("\n".join(["id,prediction", *rows]) + "\n").encode()


def test_open_round_carries_its_times_and_payouts(client):
    """The open round has its times and the scores that it pays for."""
    current = client.current_round()
    priced = client.round_with_pay(FIRST_ROUND)

    assert (current.number, current.opens_at, current.closes_at) == (FIRST_ROUND, OPENED, OPENED + timedelta(hours=1))
    assert (priced.closes_at, priced.factor) == (current.closes_at, 1.0)
    assert {payout.score: (payout.multiplier, payout.clip) for payout in priced.payouts} == {
        "corr60": (3.0, 1.0),
        "mmc60": (15.0, 1.0),
    }


def test_servers_clock_runs_on_between_responses(sandbox, client):
    """The client's time equals the server's within the resolution of the Date header."""
    assert abs(client.server_now() - sandbox.clock.now()) < timedelta(seconds=2)


def test_slots_are_the_accounts_models(client):
    """Slots are ids by name."""
    assert client.slots() == dict(DEMO_ACCOUNT.models)


def test_scopes_are_those_of_the_key(client):
    """The scopes are those of the API key."""
    assert client.scopes() == frozenset(DEMO_ACCOUNT.scopes)


@pytest.mark.parametrize("kind", ["status", "html", "empty", "reset", "graphql_error"])
def test_query_is_repeated_after_a_passing_failure(sandbox, client, kind):
    """A query that fails is sent again and then succeeds."""
    sandbox.faults.add(Fault(operation="account", kind=kind, status=503, times=2))

    assert client.slots() == dict(DEMO_ACCOUNT.models)


def test_a_dripping_answer_is_asked_for_again(sandbox, monkeypatch):
    """The first tries of a query are short, so that one answer that drips does not cost an attempt."""
    monkeypatch.setattr("bot.tournament.client.FIRST_S", {1: 0.5})
    sandbox.faults.add(Fault(operation="rounds", kind="slow_headers", seconds=600))

    assert client_of(sandbox, exchange_s=600, read_s=600).current_round().number == FIRST_ROUND


def test_retry_after_is_kept(sandbox, client):
    """The error of a response with status 429 holds the seconds of its Retry-After header."""
    sandbox.faults.add(
        Fault(operation="submissions", kind="status", status=429, headers={"Retry-After": "7"}, times=99)
    )
    with pytest.raises(NumeraiUnavailable) as caught:
        client.submissions(MODEL)

    assert caught.value.retry_after_s == 7


def test_slow_download_is_given_up(sandbox):
    """A download that arrives byte by byte ends at the deadline although no single read times out."""
    impatient = client_of(sandbox, exchange_s=0.3)
    sandbox.faults.add(Fault(operation="GET", kind="drip", seconds=5))
    impatient_download = impatient.download("v5.3/live.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bot.tournament._reply.TRANSFER_S", 0.3)
        with pytest.raises(NumeraiUnavailable, match="too slowly"), impatient_download as download:
            b"".join(download.chunks)


def test_wrong_key_names_the_variables(sandbox):
    """A key that the server does not know is an error that names the variables."""
    with pytest.raises(BadCredentials, match="NUMERAI_SECRET_KEY"):
        client_of(sandbox, secret="WRONG").slots()


def test_key_is_required_only_by_queries_of_the_account(sandbox):
    """Without a key the client returns the open round, but not the account's models."""
    keyless = NumeraiClient(api_url=sandbox.url, public_id=None, secret_key=None)

    assert keyless.current_round().number == FIRST_ROUND
    assert not keyless.has_key
    with pytest.raises(BadCredentials, match=r"no API key: .*; run `bot init`"):
        keyless.slots()


def test_missing_scope_is_named(world_folder):
    """The error of a key that may not upload names the missing scope."""
    reader = Account(
        username="reader", public_id="R", secret_key="S", models={"m": MODEL}, scopes=("read_submission_info",)
    )
    with Sandbox(world_folder, accounts=(reader,)) as other:
        limited = NumeraiClient(api_url=other.url, public_id="R", secret_key="S")
        with pytest.raises(BadCredentials, match="upload_submission"):
            limited.upload(model_id=MODEL, filename="p.csv", content=b"")


def test_upload_is_listed_and_read_back(client, answer):
    """An uploaded file is listed under its name and downloaded byte for byte."""
    identity = client.upload(model_id=MODEL, filename="token.csv", content=answer)
    (listed,) = client.submissions(MODEL)

    assert (listed.id, listed.round, listed.selected, listed.error) == (identity, FIRST_ROUND, True, None)
    assert listed.filename.startswith("token-")
    assert client.read_back(identity) == answer


def test_refused_content_is_not_retried(client, answer):
    """A file that Numerai's validation refuses raises RefuseToSubmit."""
    with pytest.raises(RefuseToSubmit):
        client.upload(model_id=MODEL, filename="p.csv", content=answer.replace(b"0.5", b"7.5"))


def test_errors_carry_no_signature_and_no_key(sandbox, client, caplog):
    """Neither the error nor the log of a failure contains the key."""
    caplog.set_level(logging.DEBUG)
    sandbox.faults.add(Fault(operation="account", kind="status", status=500, times=99))
    with pytest.raises(NumeraiUnavailable) as caught:
        client.slots()

    assert DEMO_ACCOUNT.secret_key not in f"{caught.value} {caplog.text}"


@pytest.mark.parametrize("answered", [[], [None], [{"number": "x"}]])
def test_unreadable_rounds_are_an_unavailable_server(sandbox, client, monkeypatch, answered):
    """A list of rounds that is empty, null or unreadable raises an error that is tried again later."""
    monkeypatch.setattr("bot.sandbox._queries.Queries._rounds", lambda *_: answered)
    with pytest.raises(RetryLater):
        client.current_round()
