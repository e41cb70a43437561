"""The sandbox's faults, as a plain client sees them, and the bot's error for each."""

import json
from datetime import timedelta

import pytest
import requests
import urllib3

from bot.errors import BadConfig, BadCredentials, NumeraiUnavailable, RetryLater, RoundNotOpen
from bot.sandbox._connection_faults import DRIPS
from bot.sandbox.demo import serve
from bot.sandbox.faults import ANSWERS, EVENTS, FILES, HOSTS, OPERATIONS, Fault, Faults, Plan
from bot.sandbox.mutations import MUTATIONS
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.tournament.client import NumeraiClient
from bot.tournament.transport import Transport
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

pytestmark = pytest.mark.usefixtures("no_backoff")
MODEL = DEMO_ACCOUNT.models[SLOT]
QUERY = {"query": "query { rounds(tournament: 8 number: 0) { number } }"}
LIVE = "v5.3/live.parquet"


def client_of(sandbox, **times):
    return NumeraiClient(
        api_url=sandbox.url,
        public_id=DEMO_ACCOUNT.public_id,
        secret_key=DEMO_ACCOUNT.secret_key,
        transport=Transport(**times),
    )


@pytest.fixture
def client(sandbox):
    return client_of(sandbox)


@pytest.fixture
def hasty(sandbox):
    return client_of(sandbox, connect_s=1, read_s=0.3, exchange_s=0.6)


def ask(sandbox, timeout_s=20.0):
    return requests.post(sandbox.url, json=QUERY, timeout=timeout_s)


def plain(status, *, body=None, **headers):
    """Return a check that the answer has a status, a body and headers."""

    def check(sandbox):
        reply = ask(sandbox)
        told = {name: reply.headers.get(name.replace("_", "-")) for name in headers}
        return (reply.status_code, told) == (status, headers) and (body is None or reply.text == body)

    return check


def breaks(error, **times):
    def check(sandbox):
        with pytest.raises(error):
            ask(sandbox, **times)
        return True

    return check


SEEN = {
    "status": plain(500, body="sandbox fault"),
    "bad_gateway": plain(502, Content_Type="text/html"),
    "unavailable": plain(503, Retry_After="1"),
    "throttled": plain(429, Retry_After="1"),
    "unauthorized": plain(401),
    "expired": plain(403, Content_Type="application/xml"),
    "graphql_error": lambda sandbox: ask(sandbox).json()["errors"][0]["message"] == "Internal server error",
    "html": plain(200, Content_Type="text/html"),
    "empty": plain(200, body=""),
    "wrong_type": plain(200, body="OK", Content_Type="text/plain"),
    "reset": breaks(requests.ConnectionError),
    "fin": breaks(requests.exceptions.ChunkedEncodingError),
    "hang": breaks(requests.ReadTimeout, timeout_s=0.5),
    "slow": lambda sandbox: ask(sandbox).json()["data"]["rounds"],
    "slow_headers": lambda sandbox: len(ask(sandbox).headers["X-Slow"]) == DRIPS,
    "trickle": lambda sandbox: ask(sandbox).elapsed < timedelta(seconds=2),
    "long": breaks(requests.ConnectionError, timeout_s=0.5),
    "short_length": lambda sandbox: len(ask(sandbox).content) < len(json.dumps({"data": {"rounds": [{"number": 1405}]}})),
    "gzip": breaks((requests.exceptions.ContentDecodingError, requests.ConnectionError, ValueError)),
}  # fmt: skip


def test_every_kind_of_answer_has_a_check():
    """Every kind in ``ANSWERS`` has a check below."""
    assert set(SEEN) == set(ANSWERS)


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("phase", ["before", "after"])
def test_kind_really_happens_on_the_wire(sandbox, kind, phase):
    """A plain client sees the fault exactly once."""
    if kind == "gzip":
        sandbox.faults.add(Fault(operation="rounds", kind=kind, phase=phase))
        reply = urllib3.PoolManager().request("POST", sandbox.url, json=QUERY, decode_content=False)
        assert reply.headers["Content-Encoding"] == "gzip"
        return
    sandbox.faults.add(Fault(operation="rounds", kind=kind, phase=phase, seconds=4.0 if kind == "trickle" else 2.0))
    if kind == "slow":
        sandbox.faults._pending[0].seconds = 0.05

    assert SEEN[kind](sandbox)
    assert ask(sandbox).json()["data"]["rounds"][0]["number"] == FIRST_ROUND


@pytest.mark.parametrize("kind", [kind for kind in ANSWERS if kind != "slow"])
def test_every_answer_is_a_typed_error_to_the_bot(sandbox, hasty, kind):
    """Every faulty answer raises a typed error, which decides between retry and operator."""
    sandbox.faults.add(Fault(operation="rounds", kind=kind, phase="after", seconds=2, times=99))

    with pytest.raises(BadCredentials if kind in ("unauthorized", "expired") else NumeraiUnavailable):
        hasty.current_round()


@pytest.mark.parametrize("kind", HOSTS)
def test_url_that_leads_nowhere_is_a_typed_error(sandbox, client, kind):
    """A storage host without an address, or without TLS, counts as an unavailable server."""
    sandbox.faults.add(Fault(operation="dataset", kind=kind))

    with pytest.raises(NumeraiUnavailable, match="did not answer"), client.download(LIVE):
        pass


def get(client):
    with client.download(LIVE) as download:
        return download.headers, b"".join(download.chunks)


@pytest.mark.parametrize("kind", FILES)
def test_file_fault_shows_in_the_download(sandbox, client, kind):
    """Each fault of a file in the storage shows in the downloaded content."""
    _, sound = get(client)
    sandbox.faults.add(Fault(operation="GET", kind=kind, message="one_dropped", seconds=0.1))
    if kind == "truncate":
        with pytest.raises(NumeraiUnavailable):
            get(client)
        return
    headers, content = get(client)
    same = kind in ("drip", "ignore_range", "stale_live")

    assert (content == sound) is same
    assert ("Content-Length" in headers) is (kind != "no_length")
    assert kind != "flip" or sum(a != b for a, b in zip(content, sound, strict=True)) == 1


def events(sandbox, *kinds, **details):
    for kind in kinds:
        sandbox.faults.add(Fault(operation="rounds", kind=kind, **details))
    return requests.post(sandbox.url, json=QUERY, timeout=5).json()["data"]["rounds"][0]


def test_rollover_and_close_move_the_clock(sandbox):
    """A rollover opens the next round; a close leaves none open."""
    assert events(sandbox, "rollover")["number"] == FIRST_ROUND + 1
    assert events(sandbox, "close") is None


def test_early_close_and_extension_move_the_round(sandbox, client):
    """A round that closes early is closed at once; an extended round closes later."""
    before = client.current_round().closes_at
    events(sandbox, "extend", seconds=600)
    extended = client.current_round().closes_at
    events(sandbox, "close_early")

    assert extended == before + timedelta(minutes=10)
    with pytest.raises(RoundNotOpen):
        client.current_round()


def test_round_that_opens_late_is_not_open_before(sandbox, client):
    """A delayed round is not open before its new time."""
    events(sandbox, "open_late", seconds=5400)
    sandbox.clock.set(OPENED + timedelta(days=1, minutes=89))
    with pytest.raises(RoundNotOpen, match="13:30:00"):
        client.current_round()
    sandbox.clock.advance(timedelta(minutes=2))

    assert client.current_round().number == FIRST_ROUND + 1


def test_late_and_stale_data_come_right(sandbox, client):
    """The live file is missing, then that of the previous round, then that of this round."""
    sandbox.clock.advance(timedelta(days=1))
    events(sandbox, "data_late", seconds=60)
    with pytest.raises(NumeraiUnavailable, match="403"):
        get(client)
    sandbox.clock.advance(timedelta(seconds=61))
    events(sandbox, "data_stale", seconds=60)
    _, stale = get(client)
    sandbox.clock.advance(timedelta(seconds=61))
    _, fresh = get(client)

    assert stale == (sandbox.tournament.live_era(FIRST_ROUND).folder / "live.parquet").read_bytes()
    assert fresh == (sandbox.tournament.live_era(FIRST_ROUND + 1).folder / "live.parquet").read_bytes()


def test_key_and_slot_are_refused_for_a_while(sandbox, client):
    """A revoked key and a slot with an active model upload are refused, each with its own message."""
    events(sandbox, "key_revoked", seconds=60)
    with pytest.raises(BadCredentials):
        client.submissions(MODEL)
    sandbox.clock.advance(timedelta(seconds=61))
    client.submissions(MODEL)
    events(sandbox, "slot_disabled", seconds=60)

    with pytest.raises(RetryLater, match="active model upload"):
        client.upload(model_id=MODEL, filename="a.csv", content=b"id,prediction\n")


def test_skewed_clock_foreign_hand_and_lost_model_show(sandbox, client):
    """The Date header is skewed, another client submits, the account loses its model, the data version is removed."""
    events(sandbox, "clock_skew", seconds=7200)
    client.slots()
    skewed = client.server_now() - sandbox.clock.now()
    events(sandbox, "foreign_submission", "model_deleted", "version_removed")

    assert abs(skewed - timedelta(hours=2)) < timedelta(seconds=30)
    assert [one.filename for one in sandbox.tournament.submissions] == ["by-hand.csv"]
    assert client.slots() == {}
    assert not [name for name in client.datasets() if name.endswith("train.parquet")]


def test_delayed_effect_comes_late_and_stale_read_lags(sandbox, client):
    """A delayed create appears after its delay; a stale list leaves out newer submissions."""
    rows = [
        f"{identity},{(row + 1) / 1e3:.6f}" for row, identity in enumerate(sandbox.tournament.live_ids(FIRST_ROUND))
    ]
    content = ("\n".join(["id,prediction", *rows]) + "\n").encode()
    sandbox.faults.add(Fault(operation="create_submission", kind="status", phase="delayed", seconds=40))
    with pytest.raises(NumeraiUnavailable, match="504"):
        client.upload(model_id=MODEL, filename="a.csv", content=content)
    early = client.submissions(MODEL)
    sandbox.clock.advance(timedelta(seconds=41))
    on_time = client.submissions(MODEL)
    sandbox.faults.add(Fault(operation="submissions", kind="status", phase="stale", seconds=60))

    assert (len(early), len(on_time), len(client.submissions(MODEL))) == (0, 1, 0)


def test_same_seed_same_faults():
    """Draws depend on seed, operation and count only; their share is the plan's."""

    def draws(seed):
        faults = Faults(Plan(seed=seed, share=0.5))
        return [
            (fault := faults.take("PUT", phase)) and fault.kind for _ in range(400) for phase in ("before", "after")
        ]

    assert draws(1) == draws(1) != draws(2)
    assert 0.2 < sum(kind is not None for kind in draws(3)) / 800 < 0.3


@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        ("[", "Expecting"),
        ("[]", "an object"),
        ('{"sed": 1}', "'sed' is no key of a plan"),
        ('{"kinds": ["boom"]}', "'boom' is no kind"),
        ('{"faults": [{"operation": "PUT", "kind": "reset", "phase": "during"}]}', "'during' is no phase"),
        ('{"faults": [{"operation": "put", "kind": "reset"}]}', "'put' is no operation"),
        ('{"faults": [{"kind": "reset"}]}', "operation"),
    ],
)
def test_plan_that_makes_no_sense_is_explained(tmp_path, plan, reason):
    """A mistake in a plan is one line with the known names."""
    (tmp_path / "plan.json").write_text(plan)
    with pytest.raises(BadConfig, match=reason):
        serve(
            datasets=None, world=tmp_path, size="tiny", port=0, every_s=60, window_s=50, host="127.0.0.1",
            faults=tmp_path / "plan.json", announce=print,
        )  # fmt: skip


def test_plan_is_read_and_recorded(world_folder, tmp_path):
    """The faults of a plan happen, and the history holds them."""
    about = {"seed": 3, "faults": [{"operation": "rounds", "kind": "reset", "skip": 1}]}
    (tmp_path / "plan.json").write_text(json.dumps(about))
    plan = Plan.load(tmp_path / "plan.json")
    with Sandbox(world_folder, plan=plan, journal=tmp_path / "history.jsonl") as sandbox:
        ask(sandbox)
        with pytest.raises(requests.ConnectionError):
            ask(sandbox)
    (line,) = (json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines())

    assert (line["event"], line["operation"], line["kind"]) == ("fault", "rounds", "reset")


def test_catalogue_is_as_large_as_promised():
    """The catalogue names every operation the bot uses, both ends of each effect, and at least 20 schema changes."""
    assert len(MUTATIONS) >= 20
    assert len(OPERATIONS) >= 11
    assert len(ANSWERS) + len(FILES) + len(HOSTS) >= 24
    assert len(EVENTS) >= 12
