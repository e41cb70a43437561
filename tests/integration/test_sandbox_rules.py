"""Rules of the sandbox's tournament, as far as Numerai's are known."""

import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
import requests
from numerai_tools.scoring import correlation_contribution, numerai_corr

from bot.sandbox._graphql import Refused, execute, operations
from bot.sandbox._queries import stored_name
from bot.sandbox._storage import Content, answer
from bot.sandbox.schedule import Schedule
from bot.sandbox.tournament import DEMO_ACCOUNT
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT

MODEL = DEMO_ACCOUNT.models[SLOT]
HOUR = timedelta(hours=1)


def predictions(ids):
    rows = [f"{identity},{rank / (len(ids) + 1):.9f}" for rank, identity in enumerate(ids, start=1)]
    return ("\n".join(["id,prediction", *rows]) + "\n").encode()


def submit(sandbox, content, filename="p.csv"):
    sandbox.tournament.uploaded[filename] = content
    return sandbox.tournament.create(DEMO_ACCOUNT, filename=filename, model_id=MODEL, trigger_id=None)


@pytest.fixture
def ids(sandbox):
    return sandbox.tournament.live_ids(FIRST_ROUND)


def post(sandbox, query, variables=None, account=None):
    key = {"Authorization": f"Token {account.public_id}${account.secret_key}"} if account else {}
    return requests.post(sandbox.url, json={"query": query, "variables": variables}, headers=key, timeout=60).json()


def numbers(sandbox, query, variables=None):
    return [one["number"] for one in post(sandbox, query, variables)["data"]["rounds"]]


def test_answers_have_the_names_of_the_query(sandbox):
    """Camel case, snake case and aliases are kept; an unknown query is an error beside the answer to a known one."""
    reply = post(sandbox, "{ nonsense r: rounds(tournament: 8 number: 0) { n: number openTime close_time } }")
    times = {"openTime": "2026-11-24T12:00:00Z", "close_time": "2026-11-24T13:00:00Z"}

    assert reply["data"] == {"nonsense": None, "r": [{"n": FIRST_ROUND, **times}]}
    assert [error["path"] for error in reply["errors"]] == [["nonsense"]]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ dataset }", 'Argument "filename" is required'),
        ("query($f: String!) { dataset(filename: $f) }", 'Argument "filename" is required'),
        ('{ rounds(limit: "many") { number } }', 'Argument "limit" has invalid value many'),
        ("{ status }", 'Cannot query field "status"'),
        ("{ _class__ }", 'Cannot query field "_class__"'),
        ("{ rounds( }", "Syntax Error"),
        ('mutation { createSubmission(filename: "gone.csv") { id } }', "FileNotFoundError gone.csv"),
    ],
)
def test_invalid_fields_are_refused(sandbox, query, message):
    """A field with a missing or unusable argument, or for an object that does not exist, is null with an error."""
    reply = post(sandbox, query, {}, DEMO_ACCOUNT)

    assert not any((reply["data"] or {}).values())
    assert message in reply["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "variables", "expected"),
    [
        ('{ rounds(number: "1405") { number } }', None, [FIRST_ROUND]),
        ("query($n: Banana $unused: ID!) { rounds(number: $n) { number } }", {"n": FIRST_ROUND}, [FIRST_ROUND]),
        ("query($n: Int = 0) { rounds(number: $n) { number } }", {}, [FIRST_ROUND]),
        ("query($n: Int) { rounds(number: $n) { number } }", {}, [FIRST_ROUND + 1, FIRST_ROUND]),
        ("query($n: Int) { rounds(limit: $n) { number { digits } } }", {"n": 1}, [FIRST_ROUND + 1]),
    ],
    ids=["number as string", "foreign type", "default", "absent variable", "fields of a number"],
)
def test_loose_queries_are_accepted(sandbox, query, variables, expected):
    """Loosely typed values and variables, defaults, absent variables and needless selections are accepted."""
    assert numbers(sandbox, query, variables) == expected


def test_request_without_a_query_is_a_bad_request(sandbox):
    """A body that is no GraphQL request gets 400."""
    assert requests.post(sandbox.url, data=b"nonsense", timeout=60).status_code == 400


def test_fields_are_named_in_snake_case():
    """Resolvers see snake case names of fields and arguments; an unknown selected field is null."""
    query = "mutation { createSubmission(lastNRounds: 1) { b { c } } create_x }"
    asked = []
    answered = execute(query, {}, lambda name, arguments: asked.append((name, arguments)) or {"b": {}})

    assert operations(query) == ("create_submission", "create_x")
    assert asked == [("create_submission", {"last_n_rounds": 1}), ("create_x", {})]
    assert answered["data"]["createSubmission"] == {"b": {"c": None}}


@pytest.mark.parametrize(
    ("after", "status"),
    [(-HOUR, "UPCOMING"), (0 * HOUR, "OPEN"), (HOUR, "RESOLVING"), (timedelta(days=89), "RESOLVED")],
)
def test_a_rounds_status_follows_the_clock(sandbox, after, status):
    """A round is upcoming, open, resolving and resolved in turn."""
    sandbox.clock.set(OPENED + after)
    query = f"{{ rounds(status: {status} number: {FIRST_ROUND}) {{ number }} }}"

    assert numbers(sandbox, query) == [FIRST_ROUND]


def test_a_week_has_five_rounds():
    """Rounds open Tuesday to Saturday at noon; the one on Saturday stays open until Sunday."""
    schedule = Schedule(first_round=1, first_open=datetime(2026, 11, 24, 12, tzinfo=UTC))
    windows = [schedule.round(number) for number in range(1, 7)]

    assert [f"{window.opens_at:%a}" for window in windows] == ["Tue", "Wed", "Thu", "Fri", "Sat", "Tue"]
    assert [window.closes_at - window.opens_at for window in windows] == [HOUR] * 4 + [26 * HOUR, HOUR]


def test_before_the_first_round():
    """No round has opened before the first; from then on one round follows another."""
    schedule = Schedule.every(HOUR, first_round=7, first_open=OPENED)

    assert [schedule.opened(OPENED + after) for after in (-HOUR, 0 * HOUR, 1.5 * HOUR)] == [None, 7, 8]


def test_a_late_submission_waits_for_the_next_round(sandbox, ids):
    """A file after the close counts for the next round, until that round has a file in time."""
    punctual = submit(sandbox, predictions(ids), "a.csv")
    sandbox.clock.advance(2 * HOUR)
    late = submit(sandbox, predictions(ids), "b.csv")
    waiting = (late.round, late.late, late.selected)
    sandbox.clock.advance(timedelta(days=1) - 2 * HOUR)
    submit(sandbox, predictions(sandbox.tournament.live_ids(FIRST_ROUND + 1)), "c.csv")

    assert waiting == (FIRST_ROUND + 1, True, True)
    assert (punctual.selected, late.selected) == (True, False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-5], "invalid_submission_ids: Not enough stocks submitted"),
        (lambda lines: [*lines, lines[-1]], "invalid_submission_ids: Duplicates detected in id for live period"),
        (lambda lines: ["id,wrong", *lines[1:]], "invalid_submission_headers: headers must be one of"),
        (lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ",1.5"], "values must be between 0 and 1 exclusive"),
        (lambda lines: [*lines[:-1], lines[-1].split(",")[0] + ","], "invalid_submission_values: .* NaNs"),
        (lambda lines: [lines[0], *(line.split(",")[0] + ",0.5" for line in lines[1:])], "non-zero standard deviation"),
    ],
    ids=["missing ids", "repeated id", "wrong column", "out of range", "no value", "constant"],
)
def test_wrong_files_are_refused(sandbox, ids, change, message):
    """A file that Numerai's validation refuses is refused with its message, and not kept."""
    lines = predictions(ids).decode().splitlines()
    with pytest.raises(Refused, match=message):
        submit(sandbox, ("\n".join(change(lines)) + "\n").encode())

    assert sandbox.tournament.submissions == []


def test_ids_of_the_round_before_are_mapped_silently(sandbox, ids):
    """Ids of the previous round are mapped onto this round's without an error, as on the real server."""
    sandbox.clock.advance(timedelta(days=1))
    taken = submit(sandbox, predictions(ids))

    assert taken.round == FIRST_ROUND + 1
    assert taken.content.decode().splitlines()[1].split(",")[0] == sandbox.tournament.live_ids(FIRST_ROUND + 1)[0]


@pytest.mark.parametrize(
    ("field", "scope"),
    [
        ('submissionUploadAuth(filename: "p.csv") { url }', "upload_submission"),
        ("submissions(modelId: null) { id }", "read_submission_info"),
        ("account { username }", "read_user_info"),
        ('releaseStake(amount: "1") { id }', "stake"),
    ],
)
def test_a_key_needs_its_scopes(sandbox, field, scope):
    """A field is refused to a key without its scope, and to requests without a key."""
    sandbox.tournament.accounts = (DEMO_ACCOUNT, narrow := replace(DEMO_ACCOUNT, public_id="NARROW", scopes=()))

    assert post(sandbox, f"{{ {field} }}", None, narrow)["errors"][0]["message"].endswith(scope)
    assert "session" in post(sandbox, f"{{ {field} }}")["errors"][0]["message"]


def test_uploads_get_a_name_of_their_own():
    """The server keeps the stem and ending of a file's name and adds twelve characters."""
    names = {stored_name("r1405-slot-0123.csv") for _ in range(20)}

    assert len(names) == 20
    assert all(re.fullmatch(r"r1405-slot-0123-[A-Za-z0-9]{12}\.csv", name) for name in names)


@pytest.mark.parametrize("after", [0 * HOUR, 2 * HOUR], ids=["on time", "late"])
def test_scores_equal_numerai_tools(sandbox, ids, after):
    """A resolved round is scored by numerai-tools on the world's targets; a late file's values count in their order."""
    sandbox.clock.advance(after)
    held = submit(sandbox, predictions(ids))
    sandbox.clock.advance(timedelta(days=92))
    (recorded,) = requests.get(f"{sandbox.url}sandbox/record", timeout=30).json()["submissions"]
    era = sandbox.tournament.live_era(held.round)
    sent = np.resize(np.arange(1, len(ids) + 1) / (len(ids) + 1), len(era.ids))
    frame = pd.DataFrame({"prediction": sent}, index=era.ids)
    truth = pd.Series(era.targets["target_ender_60"], index=era.ids, name="target")
    mmc = correlation_contribution(frame, pd.Series(era.meta_model, index=era.ids), truth)

    assert recorded["late"] == (after > 0 * HOUR)
    assert recorded["scores"]["corr60"] == pytest.approx(float(numerai_corr(frame, truth).iloc[0]), abs=1e-9)
    assert recorded["scores"]["mmc60"] == pytest.approx(float(mmc.iloc[0]), abs=1e-9)


def test_only_the_latest_file_is_scored(sandbox, ids):
    """The latest file is selected, and scored once its round resolves; replaced files are not."""
    first = submit(sandbox, predictions(ids), "a.csv")
    newest = submit(sandbox, predictions(ids), "b.csv")
    query = "query($m: String!) { submissionScores(modelId: $m displayName: corr60) { submissionId } }"
    before = post(sandbox, query, {"m": MODEL})
    sandbox.clock.advance(timedelta(days=90))

    assert (first.selected, newest.selected, before["data"]) == (False, True, {"submissionScores": []})
    assert post(sandbox, query, {"m": MODEL})["data"] == {"submissionScores": [{"submissionId": newest.id}]}


def test_diagnostics_equal_numerai_tools(sandbox, world_folder):
    """Diagnostics are pending once, then equal numerai-tools' scores, and belong to one model only."""
    rows = pd.read_parquet(world_folder / "v5.3/validation.parquet", columns=["era", "target_ender_60"]).dropna()
    sent = pd.read_parquet(world_folder / "v5.3/validation_example_preds.parquet").loc[rows.index]
    sandbox.tournament.uploaded["d.csv"] = sent.to_csv().encode()
    neighbour = replace(DEMO_ACCOUNT, public_id="NEIGHBOUR", models={"other": "another"})
    sandbox.tournament.accounts = (DEMO_ACCOUNT, neighbour)
    post(sandbox, 'mutation { createDiagnostics(filename: "d.csv") { id } }', None, DEMO_ACCOUNT)
    query = "{ diagnostics(modelId: null) { status validationCorrMean perEraDiagnostics { era validationCorr } } }"
    (pending,) = post(sandbox, query, None, DEMO_ACCOUNT)["data"]["diagnostics"]
    (done,) = post(sandbox, query, None, DEMO_ACCOUNT)["data"]["diagnostics"]
    expected = {
        label: float(numerai_corr(sent.loc[era.index], era["target_ender_60"].rename("target")).iloc[0])
        for label, era in rows.groupby("era")
    }

    assert (pending["status"], done["status"]) == ("pending", "done")
    assert {one["era"]: one["validationCorr"] for one in done["perEraDiagnostics"]} == pytest.approx(expected)
    assert done["validationCorrMean"] == pytest.approx(np.mean(list(expected.values())))
    assert post(sandbox, query, None, neighbour)["data"]["diagnostics"] == []


FILE = Content.of(bytes(range(100)))


@pytest.mark.parametrize(
    ("wanted", "condition", "status", "part"),
    [
        (None, None, 200, range(100)),
        ("bytes=90-", FILE.etag, 206, range(90, 100)),
        ("bytes=10-19", None, 206, range(10, 20)),
        ("bytes=-5", None, 206, range(95, 100)),
        ("bytes=90-900", None, 206, range(90, 100)),
        ("bytes=90-", '"another"', 200, range(100)),
        ("bytes=100-", None, 416, range(0)),
        *((unusable, None, 200, range(100)) for unusable in ("bytes=5-2", "bytes=-", "items=0-5", "bytes=0-1,3-4")),
    ],
)
def test_ranges(wanted, condition, status, part):
    """A range of the same version comes alone, an unusable one counts as none, one after the end is an error."""
    reply = answer(FILE, wanted=wanted, condition=condition)
    where = {200: None, 206: f"bytes {part.start}-{part.stop - 1}/100", 416: "bytes */100"}[status]

    assert (reply.status, bytes(reply.body), reply.headers.get("Content-Range")) == (status, bytes(part), where)
    assert status == 416 or reply.headers["ETag"] == FILE.etag


def test_a_download_is_resumed_while_the_round_lasts(sandbox):
    """The rest of a live file is served for its own ETag; once the next round's file replaces it, the whole file is."""
    query = '{ dataset(filename: "v5.3/live.parquet") }'
    whole = requests.get(url := post(sandbox, query)["data"]["dataset"], timeout=60)
    resume = {"Range": f"bytes={len(whole.content) - 7}-", "If-Range": whole.headers["ETag"]}
    rest = requests.get(url, headers=resume, timeout=60)
    sandbox.clock.advance(timedelta(days=1))
    newer = requests.get(post(sandbox, query)["data"]["dataset"], headers=resume, timeout=60)

    assert (whole.status_code, rest.status_code, newer.status_code) == (200, 206, 200)
    assert rest.content == whole.content[-7:]
    assert (newer.content[:4], newer.headers["ETag"] != whole.headers["ETag"]) == (b"PAR1", True)


def test_unknown_tokens_are_forbidden(sandbox):
    """A storage address with an unknown token is forbidden for reading and writing."""
    url = f"{sandbox.url}storage/v5.3/live.parquet?X-Amz-Signature={'0' * 32}"

    assert requests.get(url, timeout=60).status_code == 403
    assert requests.put(url, data=b"x", timeout=60).status_code == 403


def test_speed_of_the_server_can_be_limited(sandbox):
    """A file arrives whole, no faster than the limit allows, and its bytes are counted."""
    answer = post(sandbox, 'query { dataset(filename: "v5.3/live.parquet") }')
    size = sandbox.tournament.live_folder(FIRST_ROUND, "v5.3").joinpath("live.parquet").stat().st_size
    sandbox.bytes_per_s = size / 0.2

    began = time.monotonic()
    content = requests.get(answer["data"]["dataset"], timeout=60).content

    assert len(content) == size == sandbox.file_bytes
    assert time.monotonic() - began >= 0.19
