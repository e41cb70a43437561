"""The tournament's own rules, as far as the real one's are known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import requests
from numerai_tools.scoring import correlation_contribution, numerai_corr

from bot.sandbox import DEMO_ACCOUNT, Schedule
from bot.sandbox.graphql import Refused, execute, operations
from bot.sandbox.storage import Content, answer
from bot.sandbox.tournament import stored_name
from tests.integration.conftest import FIRST_ROUND, OPENED, SLOT

MODEL = DEMO_ACCOUNT.models[SLOT]
HOUR = timedelta(hours=1)


def predictions(ids, *, shift=0.0):
    rows = [f"{identity},{(index + 1) / (len(ids) + 1) + shift:.9f}" for index, identity in enumerate(ids)]
    return ("\n".join(["id,prediction", *rows]) + "\n").encode()


def submit(sandbox, content, filename="p.csv"):
    sandbox.tournament.uploaded[filename] = content
    return sandbox.tournament.create(DEMO_ACCOUNT, filename=filename, model_id=MODEL, trigger_id=None)


@pytest.fixture
def ids(sandbox):
    return sandbox.tournament.live_ids(FIRST_ROUND)


def post(sandbox, query, variables=None):
    return requests.post(sandbox.url, json={"query": query, "variables": variables}, timeout=10).json()


def test_answers_come_under_the_names_that_were_asked_for(sandbox):
    """Camel case, snake case and aliases are echoed as they were written."""
    data = post(sandbox, "query { rounds(tournament: 8 number: 0) { n: number openTime close_time } }")["data"]

    assert set(data["rounds"][0]) == {"n", "openTime", "close_time"}


def test_declared_types_are_not_checked(sandbox):
    """A String where the schema has an ID, and missing commas, are taken."""
    query = "query($x: ID! $y: Banana) { submissionScores(modelId: $x lastNRounds: $y) { value } }"

    assert post(sandbox, query, {"x": MODEL, "y": 1})["data"] == {"submissionScores": []}


def test_unknown_field_is_an_error_beside_the_others(sandbox):
    """An unknown query is an error with its path, the known one beside it is answered."""
    reply = post(sandbox, "query { nonsense rounds(number: 0) { number } }")

    assert reply["data"] == {"nonsense": None, "rounds": [{"number": FIRST_ROUND}]}
    assert reply["errors"][0]["path"] == ["nonsense"]


def test_broken_document_is_a_syntax_error(sandbox):
    """What is no GraphQL is answered with a syntax error, not a crash."""
    assert "Syntax Error" in post(sandbox, "query { rounds( }")["errors"][0]["message"]


def test_request_without_a_query_is_a_bad_request(sandbox):
    """A body that is no GraphQL request gets 400."""
    assert requests.post(sandbox.url, data=b"nonsense", timeout=10).status_code == 400


def test_operations_are_named_in_snake_case():
    """Faults name the operations of a document in snake case."""
    assert operations("mutation { createSubmission { id } create_x }") == ("create_submission", "create_x")


def test_fields_the_sandbox_does_not_know_are_null():
    """A selected field without a value is null."""
    assert execute("{ a { b c } }", {}, lambda *_: {"b": 1}) == {"data": {"a": {"b": 1, "c": None}}}


@pytest.mark.parametrize(
    ("after", "status"),
    [(timedelta(0), "OPEN"), (timedelta(hours=2), "RESOLVING"), (timedelta(days=90), "RESOLVED")],
)
def test_a_rounds_status_follows_the_clock(sandbox, after, status):
    """A round is open, resolving and resolved in turn."""
    sandbox.clock.set(OPENED + after)
    query = "query($s: RoundStatus $n: Int) { rounds(status: $s number: $n) { number } }"

    assert post(sandbox, query, {"s": status, "n": FIRST_ROUND})["data"]["rounds"] == [{"number": FIRST_ROUND}]


def test_a_week_has_five_rounds():
    """Rounds open Tuesday to Saturday at noon; the one on Saturday stays open until Sunday."""
    schedule = Schedule(first_round=1, first_open=datetime(2026, 11, 24, 12, tzinfo=UTC))
    windows = [schedule.round(number) for number in range(1, 7)]

    assert [f"{window.opens_at:%a}" for window in windows] == ["Tue", "Wed", "Thu", "Fri", "Sat", "Tue"]
    assert [window.closes_at - window.opens_at for window in windows] == [HOUR] * 4 + [26 * HOUR, HOUR]


def test_between_rounds_none_is_current(sandbox):
    """After the close the list of current rounds holds a null."""
    sandbox.clock.advance(5 * HOUR)

    assert post(sandbox, "{ rounds(number: 0) { number } }")["data"] == {"rounds": [None]}


def test_the_latest_submission_is_selected(sandbox, ids):
    """A second submission to the round takes the first one's place."""
    first = submit(sandbox, predictions(ids), "a.csv")
    second = submit(sandbox, predictions(ids, shift=1e-6), "b.csv")

    assert (first.selected, second.selected) == (False, True)


def test_a_late_submission_waits_for_the_next_round(sandbox, ids):
    """A file that comes after the close counts for the next round."""
    sandbox.clock.advance(2 * HOUR)
    late = submit(sandbox, predictions(ids))

    assert (late.round, late.late) == (FIRST_ROUND + 1, True)


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-5],
        lambda lines: [*lines, lines[-1]],
        lambda lines: ["id,wrong", *lines[1:]],
        lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ",1.5"],
        lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ","],
        lambda lines: [lines[0], *(line.split(",")[0] + ",0.5" for line in lines[1:])],
    ],
    ids=["missing ids", "repeated id", "wrong column", "out of range", "no value", "constant"],
)
def test_wrong_files_are_refused(sandbox, ids, change):
    """What Numerai's validation refuses is refused here, and not held."""
    lines = predictions(ids).decode().splitlines()
    with pytest.raises(Refused):
        submit(sandbox, ("\n".join(change(lines)) + "\n").encode())

    assert sandbox.tournament.submissions == []


def test_a_file_that_never_arrived_is_named(sandbox):
    """Creating a submission without its file fails as the real server's storage does."""
    with pytest.raises(Refused, match=r"FileNotFoundError gone\.csv"):
        sandbox.tournament.create(DEMO_ACCOUNT, filename="gone.csv", model_id=MODEL, trigger_id=None)


def test_ids_of_the_round_before_are_mapped_silently(sandbox, ids):
    """The real server's worst courtesy: yesterday's ids are taken for today's."""
    sandbox.clock.advance(timedelta(days=1))
    taken = submit(sandbox, predictions(ids))

    assert taken.round == FIRST_ROUND + 1
    assert taken.content.decode().splitlines()[1].split(",")[0] == sandbox.tournament.live_ids(FIRST_ROUND + 1)[0]


def test_foreign_models_are_not_found(sandbox, ids):
    """A model of another account cannot be submitted to."""
    with pytest.raises(Refused, match="Model not found"):
        sandbox.tournament.create(DEMO_ACCOUNT, filename="p.csv", model_id="another", trigger_id=None)


def test_uploads_get_a_name_of_their_own():
    """The server keeps the stem and ending of a file's name and adds twelve characters."""
    names = {stored_name("r1405-slot-0123.csv") for _ in range(20)}

    assert len(names) == 20
    assert all(name.startswith("r1405-slot-0123-") and name.endswith(".csv") for name in names)
    assert {len(name) for name in names} == {len("r1405-slot-0123.csv") + 13}


def test_scores_are_numerais(sandbox, ids):
    """A resolved round is scored by numerai-tools on the world's own truth."""
    held = submit(sandbox, predictions(ids))
    sandbox.clock.advance(timedelta(days=90))
    (recorded,) = requests.get(f"{sandbox.url}sandbox/record", timeout=30).json()["submissions"]
    era = sandbox.tournament.live_era(FIRST_ROUND)
    sent = pd.DataFrame({"prediction": np.arange(1, len(ids) + 1) / (len(ids) + 1)}, index=ids)
    truth = pd.Series(era.targets["target_ender_60"], index=ids, name="target")
    meta = pd.Series(era.meta_model, index=ids)

    assert recorded["id"] == held.id
    assert recorded["scores"]["corr60"] == pytest.approx(float(numerai_corr(sent, truth).iloc[0]), abs=1e-9)
    assert recorded["scores"]["mmc60"] == pytest.approx(
        float(correlation_contribution(sent, meta, truth).iloc[0]), abs=1e-9
    )


FILE = Content.of(bytes(range(100)))


def test_whole_file():
    """Without a range the whole file comes, with a name for its content."""
    reply = answer(FILE, wanted=None, condition=None)

    assert (reply.status, len(reply.body), reply.headers["ETag"]) == (200, 100, FILE.etag)


@pytest.mark.parametrize(
    ("wanted", "first", "size"), [("bytes=90-", 90, 10), ("bytes=10-19", 10, 10), ("bytes=-5", 95, 5)]
)
def test_part_of_a_file(wanted, first, size):
    """A range is answered with 206 and says which part it is."""
    reply = answer(FILE, wanted=wanted, condition=FILE.etag)

    assert (reply.status, reply.body[0], len(reply.body)) == (206, first, size)
    assert reply.headers["Content-Range"] == f"bytes {first}-{first + size - 1}/100"


def test_range_of_another_content():
    """With If-Range naming another content the whole file comes."""
    assert answer(FILE, wanted="bytes=90-", condition='"another"').status == 200


def test_range_beyond_the_end():
    """A range that begins after the end is not satisfiable."""
    assert answer(FILE, wanted="bytes=100-", condition=None).status == 416


def test_missing_file():
    """What is not there is forbidden, as the real storage has it."""
    assert answer(None, wanted=None, condition=None).status == 403


def test_unknown_tokens_open_nothing(sandbox):
    """A storage address that nobody was given is forbidden for reading and writing."""
    url = f"{sandbox.url}storage/{'0' * 32}/live.parquet"

    assert requests.get(url, timeout=10).status_code == 403
    assert requests.put(url, data=b"x", timeout=10).status_code == 403
