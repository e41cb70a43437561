"""Answers that nobody expected: the short form of tests/soak/answers.py, and what becomes of single fields."""

import gc
import inspect
import json
import sys
from contextlib import contextmanager

import pytest
import stamina
import structlog

from bot.errors import BadConfig, BadCredentials, NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.tournament.client import PAUSES, NumeraiClient
from tests.harness import answers
from tests.harness.answers import MODEL, PAY, ROUND, reply, serving

pytestmark = pytest.mark.usefixtures("one_try")
HELD = {"id": "s1", "filename": "r1405-mixer.csv", "round": {"number": 1405, "tournament": 8}}


@pytest.fixture
def one_try():
    """Send each query once."""
    with structlog.testing.capture_logs(), stamina.set_testing(True, attempts=1, cap=True):
        yield


def client_of(server, secret=MODEL):
    return NumeraiClient(api_url=server.url, public_id="A", secret_key=secret)


def refusal(message, status="400 Bad Request"):
    return reply(json.dumps({"errors": [{"message": message}]}).encode(), status=status)


# urllib3 leaves the connection of a response whose Content-Length contradicts itself to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_only_errors_of_the_bot_leave_the_client():
    """Whatever field, JSON or HTTP is changed, the client returns a value or raises an error of the bot."""
    played = answers.play(most=300)
    gc.collect()
    sys.stdout.write(f"{played}\n")

    assert played.mutants == 300
    assert played.breaches == []


def test_every_query_is_played():
    """Each public method of the client has sound answers that are changed."""
    public = {name for name, _ in inspect.getmembers(NumeraiClient, inspect.isfunction) if not name.startswith("_")}

    assert set(answers.queries("http://127.0.0.1/")) == public


@pytest.mark.parametrize("odd", [{"id": None, "name": "b"}, {"id": "2", "name": ["b"]}, {"name": "b"}, 5, "\ud800"])
def test_an_odd_model_leaves_the_others(odd):
    """A model without a usable name or id is left out, and the other models of the account remain."""
    models = [{"id": "1", "name": "a", "tournament": 8}, odd, {"id": "3", "name": "c"}]
    with serving(account={"models": models}) as server:
        assert client_of(server).slots() == {"a": "1", "c": "3"}


@pytest.mark.parametrize("order", [1, -1])
def test_a_model_of_another_tournament_is_not_ours(order):
    """A Signals model of the same name is neither filled nor taken for a Model Upload."""
    signals = {"id": "9", "name": "a", "tournament": 11, "computePickleUpload": {"filename": "a.pkl"}}
    models = [{"id": "1", "name": "a", "tournament": 8, "computePickleUpload": None}, signals][::order]
    with serving(account={"models": models}) as server:
        assert client_of(server).slots() == {"a": "1"}
        assert client_of(server).hosted_models() == {}


def test_a_submission_of_another_tournament_is_not_ours():
    """Of two submissions for rounds of the same number, that of this tournament is listed."""
    other = HELD | {"id": "s2", "round": {"number": 1405, "tournament": 11}}
    with serving(submissions=[other, HELD]) as server:
        assert [one.id for one in client_of(server).submissions(MODEL)] == ["s1"]


@pytest.mark.parametrize(
    ("told", "selected", "error"),
    [
        ({}, True, None),
        ({"selected": False, "errorInfo": "invalid"}, False, "invalid"),
        ({"selected": None, "errorInfo": ""}, True, None),
        ({"selected": [], "errorInfo": {"code": 1}}, True, "an error of an unknown form"),
    ],
)
def test_a_submission_carries_its_selection_and_error(told, selected, error):
    """Both are values; absent or odd ones cost no submission, and an error of another form stays an error."""
    with serving(submissions=[HELD | told]) as server:
        (listed,) = client_of(server).submissions(MODEL)

    assert (listed.id, listed.selected, listed.error) == ("s1", selected, error)


@pytest.mark.parametrize("number", [None, "x", 10**22, -1, True, 0.5, [1], float("nan")])
def test_a_round_without_a_number_is_tried_again_later(number):
    """A round whose number cannot be one is an error that is tried again later, and names the field."""
    with serving(rounds=[ROUND | {"number": number}]) as server, pytest.raises(NumeraiUnavailable, match="number"):
        client_of(server).current_round()


@pytest.mark.parametrize(
    "close", [{"closeTime": "9999-12-31T23:59:59-23:59"}, {"closeTime": None}, {"closeStakingTime": 5}]
)
def test_one_of_two_closing_times_suffices(close):
    """A round closes at the closing time that can be read."""
    with serving(rounds=[ROUND | close]) as server:
        assert client_of(server).current_round().closes_at.isoformat() in (
            "2026-11-24T13:00:00+00:00",
            "2026-11-25T12:00:00+00:00",
        )


def test_upcoming_rounds_are_not_needed():
    """Between rounds, a list of the next rounds that cannot be read costs only the name of the next one."""
    closed = ROUND | {"closeStakingTime": "2026-11-24T12:00:30Z"}

    def rounds(query):
        return reply(json.dumps({"data": {"rounds": "x" if "UPCOMING" in query else [closed]}}).encode())

    with serving(rounds=rounds) as server, pytest.raises(RoundNotOpen, match="the last was 1405"):
        client_of(server).current_round()


def test_the_open_round_is_asked_for_without_its_pay():
    """The query of a submission selects the times alone; payout factors have a query of their own."""
    priced = ROUND | {"payoutFactor": "1.0", "roundScoreConfigs": [PAY]}
    with serving(rounds=[priced]) as server:
        current, known = client_of(server).current_round(), client_of(server).round_with_pay(1405)

    assert ["payoutFactor" in body for _, _, body in server.requests] == [False, True]
    assert current.number == known.number
    assert [(one.score, one.multiplier) for one in known.payouts] == [("corr60", 3.0)]


def test_half_a_formula_is_none():
    """A payout with one odd score is unknown: the others alone would be a wrong formula."""
    priced = ROUND | {"payoutFactor": "1.0", "roundScoreConfigs": [PAY, PAY | {"defaultMultiplier": "x"}]}
    with serving(rounds=[priced]) as server:
        assert client_of(server).round_with_pay(1405).payouts == ()


@pytest.mark.parametrize("status", ["400 Bad Request", "200 OK", "422 Odd"])
@pytest.mark.parametrize(
    ("message", "error", "words"),
    [
        ('Cannot query field "filename" on type "V2Submission".', NumeraiUnavailable, "filename"),
        ("You are not authorized", BadCredentials, "NUMERAI_SECRET_KEY"),
        ("Current round not open for submissions", RoundNotOpen, "round not open"),
        ("invalid_submission_ids: no", RefuseToSubmit, "invalid_submission_ids"),
        ("Internal server error \ud800", NumeraiUnavailable, "Internal server error"),
    ],
)
def test_errors_of_graphql_are_read_with_any_status(status, message, error, words):
    """A server gives the errors of a query with status 400, too; each keeps its class and its message."""
    with serving(submissions=refusal(message, status)) as server, pytest.raises(error, match=words):
        client_of(server).submissions(MODEL)


def test_a_failing_server_that_names_the_key_is_still_failing():
    """With status 503 the message of an error is shown, but the key is not blamed."""
    with (
        serving(submissions=refusal("not authorized to reach the cache", "503 Wait")) as server,
        pytest.raises(NumeraiUnavailable, match=r"503 Wait: .*the cache"),
    ):
        client_of(server).submissions(MODEL)


@pytest.mark.parametrize("gone", ["errorInfo", "selected"])
def test_a_removed_field_that_is_not_needed_costs_nothing(gone):
    """Where the server has removed a field, the query is sent without it, at once and from then on."""

    def submissions(query):
        sound = reply(json.dumps({"data": {"submissions": [HELD]}}).encode())
        return refusal(f'Cannot query field "{gone}" on type "V2Submission".') if gone in query else sound

    with serving(submissions=submissions) as server:
        client = client_of(server)
        listed = [client.submissions(MODEL), client.submissions(MODEL)]

    assert [[one.id for one in each] for each in listed] == [["s1"], ["s1"]]
    assert len(server.requests) == 3


@pytest.mark.parametrize("gone", ["triggers", "triggerStatus", "diagnosticsStatusDescription"])
def test_a_removed_field_goes_with_its_own_fields(gone):
    """A field of a pickle that the server has removed is left out with what was selected in it."""

    def pickles(query):
        sound = reply(
            json.dumps({"data": {"computePickles": [{"id": "p1", "validationStatus": "validated"}]}}).encode()
        )
        return refusal(f'Cannot query field "{gone}" on type "ComputePickleUpload".') if gone in query else sound

    with serving(computePickles=pickles) as server:
        (listed,) = client_of(server).pickles(MODEL)

    assert (listed.id, listed.is_validated, listed.reason) == ("p1", True, "")
    sent = json.loads(server.requests[-1][2])["query"]
    assert gone not in sent
    assert sent.count("{") == sent.count("}")


@pytest.mark.parametrize(
    ("state", "validated", "refused"),
    [
        ("validated", True, False),
        ("Success", True, False),
        ("validating", False, False),
        ("pending", False, False),
        ("", False, False),
        (None, False, False),
        ("a new word", False, False),
        ("failed", False, True),
        ("validation_failed", False, True),
        ("Error", False, True),
        ("invalid", False, True),
    ],
)
def test_states_of_a_validation_are_read_by_their_words(state, validated, refused):
    """An unknown state is neither accepted nor refused, so that the caller waits on."""
    with serving(computePickles=[{"id": "p1", "validationStatus": state}]) as server:
        (listed,) = client_of(server).pickles(MODEL)

    assert (listed.is_validated, listed.is_refused) == (validated, refused)


def test_the_reason_of_a_failed_pickle_is_that_of_its_last_failed_run():
    """Descriptions of steps that went well are no reason; without a description the remark is one."""
    good = {"id": "t1", "status": "succeeded", "statuses": [{"status": "succeeded", "description": "fine"}]}
    bad = {"id": "t2", "status": "failed", "statuses": [{"status": "failed", "description": "out of memory"}]}
    mute = {"id": "t3", "status": "failed", "statuses": None}
    listed = [
        {"id": "p1", "triggers": [bad, good]},
        {"id": "p2", "triggers": [good, mute], "diagnosticsStatusDescription": "see the log"},
    ]
    with serving(computePickles=listed) as server:
        one, two = client_of(server).pickles(MODEL)

    assert (one.reason, one.failed_run) == ("out of memory", "t2")
    assert (two.reason, two.failed_run) == ("see the log", "t3")


def test_data_beside_an_error_is_used():
    """Where one field failed on the server, the rest of the answer counts."""
    body = {"data": {"submissions": [HELD]}, "errors": [{"message": "errorInfo could not be resolved"}]}
    with serving(submissions=reply(json.dumps(body).encode())) as server:
        assert len(client_of(server).submissions(MODEL)) == 1


def test_a_refusal_by_a_firewall_does_not_blame_a_key():
    """To a client without a key, status 403 is a failure that may pass."""
    with serving(rounds=reply(b"<html>", status="403 Forbidden")) as server:
        keyless = NumeraiClient(api_url=server.url, public_id=None, secret_key=None)
        with pytest.raises(NumeraiUnavailable, match="403"):
            keyless.current_round()


@pytest.mark.parametrize("url", ["", "api-tournament.numer.ai", "http://[", "ftp://numer.ai", "https://", "http://a b"])
def test_an_address_that_is_none_is_the_operators_business(url):
    """BOT_API_URL without scheme or host is refused before the first request, and named."""
    with pytest.raises(BadConfig, match="BOT_API_URL"):
        NumeraiClient(api_url=url, public_id=None, secret_key=None)


@pytest.mark.parametrize("secret", ["B\n", "\u00e9", "B B", "\ufeffB"])
def test_a_key_with_odd_characters_is_named_not_shown(secret):
    """A key that cannot be sent in a header is refused with the name of the variable."""
    with serving() as server, pytest.raises(BadCredentials, match="NUMERAI_SECRET_KEY"):
        client_of(server, secret)


@contextmanager
def waiting():
    """A server that answers the first query with a wish to wait for an hour, and later ones."""
    wish = reply(b"maintenance", status="503 Wait", Retry_After="3600")
    answered = iter([wish])
    sound = reply(json.dumps({"data": {"listDatasets": ["v5.3/live.parquet"]}}).encode())
    with serving(listDatasets=lambda _: next(answered, sound)) as server, stamina.set_testing(False):
        yield server


def test_a_wish_to_wait_is_cut_to_what_a_round_allows(monkeypatch):
    """An hour is not slept: the query is sent again after the longest pause that a wish gets."""
    monkeypatch.setattr("bot.tournament.client.WISH_S", 0.05)
    with waiting() as server:
        assert client_of(server).datasets() == ("v5.3/live.parquet",)


def test_a_wish_beyond_the_last_attempt_ends_the_query(monkeypatch):
    """Where even the shortened pause would end after the last attempt, the error comes at once, with the wish."""
    monkeypatch.setitem(PAUSES, "timeout", 5.0)
    with waiting() as server, pytest.raises(NumeraiUnavailable, match="503") as caught:
        client_of(server).datasets()

    assert caught.value.retry_after_s == 3600
    assert len(server.requests) == 1


def test_the_close_of_the_open_round_shortens_later_exchanges():
    """Once the client has read the open round, its limits follow the close."""
    closing = ROUND | {"closeStakingTime": "2026-11-24T12:01:50Z"}
    with serving(rounds=[closing]) as server:
        client = client_of(server)
        before = client._transport.limit_s(60.0)
        client.current_round()

    assert before == 60.0
    assert client._transport.limit_s(60.0) == pytest.approx(5.0, abs=0.5)
