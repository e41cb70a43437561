"""
A server that answers every query of the client with changed answers: fields, JSON, HTTP and presigned URLs.

The full form is ``python -m tests.soak.answers``; the test plays a sample. Only errors of the bot may leave the client.
"""

import copy
import gzip
import json
import random
import socketserver
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import stamina

from bot.errors import BotError
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round
from bot.tournament.transport import Transport

NOW = datetime(2026, 11, 24, 12, 1, tzinfo=UTC)
DATE = "Tue, 24 Nov 2026 12:01:00 GMT"
STEP_S = 5.0
"""Limit of an exchange in seconds. Nothing here waits: an answer that reaches it is a breach."""

MODEL = "5a9db0c5-0000-4000-8000-000000000001"
ROUND = {"number": 1405, "openTime": "2026-11-24T12:00:00Z", "closeTime": "2026-11-25T12:00:00Z",
         "closeStakingTime": "2026-11-24T13:00:00Z"}  # fmt: skip
PAY = {"displayName": "corr60", "name": "corr", "isPayout": True, "defaultMultiplier": 3.0, "clipThreshold": 1.0}
PICKLE = {"id": "p1", "filename": "a.pkl", "validationStatus": "validated", "triggerStatus": "submission_failed",
          "diagnosticsStatusDescription": None,
          "triggers": [{"id": "t1", "status": "failed", "statuses": [{"status": "failed", "description": "no"}]}]}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Query:
    """
    A method of the client and the sound answers that it needs.

    Attributes:
        call: Calls the method.
        answers: Data of the answers by operation; bytes are the answer of a storage.
    """

    call: Callable[[NumeraiClient], object]
    answers: Mapping[str, Any]


def grants(url: str, operation: str) -> dict[str, Any]:
    return {operation: {"filename": "r1405-a.csv", "url": f"{url}file?X-Amz-Signature=s"}}


def downloaded(client: NumeraiClient) -> bytes:
    with client.download("v5.3/live.parquet") as download:
        return b"".join(download.chunks)


def queries(url: str) -> dict[str, Query]:
    """Return every public method of the client that reads an answer, with sound answers of a server at *url*."""
    rounds = {"rounds": {"rounds": [ROUND]}}
    priced = {"rounds": {"rounds": [ROUND | {"payoutFactor": "1.0", "roundScoreConfigs": [PAY, PAY]}]}}
    account = {"models": [{"id": MODEL, "name": "mixer", "tournament": 8, "computePickleUpload": PICKLE}],
               "apiTokens": [{"public_id": "A", "scopes": ["upload_submission"]}]}  # fmt: skip
    held = {"id": "s1", "filename": "r1405-mixer.csv", "selected": True, "errorInfo": None,
            "round": {"number": 1405, "tournament": 8}}  # fmt: skip
    era = {"era": "0575", "validationCorrV4": 0.1, "validationBmc": None, "validationMmc": 0.2}
    diagnosed = {"id": "d1", "filename": "a.csv", "status": "done", "message": None, "erasAcceptedCount": 3,
                 "perEraDiagnostics": [era, era]}  # fmt: skip
    paid = {"roundNumber": 1405, "modelName": "mixer", "payoutNmr": "0.5"}
    score = {"roundNumber": 1405, "displayName": "corr60", "value": 0.01, "percentile": 0.5, "day": 3,
             "date": "2026-11-24", "resolved": False}  # fmt: skip
    stake = {"roundNumber": 1405, "atRisk": "10.0"}
    content, upload = {"model_id": MODEL, "filename": "a.csv", "content": b"id,prediction\n"}, "submission_upload_auth"
    scored, staked = "submissionScores", "v2RoundModelPerformances"
    return {
        "server_now": Query(call=lambda client: client.server_now(), answers=rounds),
        "current_round": Query(call=lambda client: client.current_round(), answers=rounds),
        "round": Query(call=lambda client: client.round(1405), answers=rounds),
        "round_with_pay": Query(call=lambda client: client.round_with_pay(1405), answers=priced),
        "upcoming": Query(call=lambda client: client.upcoming(), answers=rounds),
        "slots": Query(call=lambda client: client.slots(), answers={"account": {"account": account}}),
        "scopes": Query(call=lambda client: client.scopes(), answers={"account": {"account": account}}),
        "hosted_models": Query(call=lambda client: client.hosted_models(), answers={"account": {"account": account}}),
        "pickles": Query(
            call=lambda client: [one.reason for one in client.pickles(MODEL)],
            answers={"computePickles": {"computePickles": [PICKLE, PICKLE]}},
        ),
        "pickle_log": Query(
            call=lambda client: client.pickle_log("t1"), answers={"triggerLogs": {"triggerLogs": [{"message": "no"}]}}
        ),
        "pickle_versions": Query(
            call=lambda client: client.pickle_versions(),
            answers={"computePickleDataVersions": {"computePickleDataVersions": [{"name": "v5.3", "id": "v"}]}},
        ),
        "pickle_images": Query(
            call=lambda client: client.pickle_images(),
            answers={"computePickleDockerImages": {"computePickleDockerImages": [{"name": "Python 3.12", "id": "i"}]}},
        ),
        "upload_pickle": Query(
            call=lambda client: client.upload_pickle(**content, data_version_id="v", image_id="i"),
            answers={
                "computePickleUploadAuth": grants(url, "computePickleUploadAuth"), "PUT": b"",
                "createComputePickleUpload": {"createComputePickleUpload": {"id": "p1"}},
            },
        ),
        "assign_pickle": Query(
            call=lambda client: client.assign_pickle(MODEL, "p1"),
            answers={"assignPickleToModel": {"assignPickleToModel": "true"}},
        ),
        "datasets": Query(
            call=lambda client: client.datasets(), answers={"listDatasets": {"listDatasets": ["v5.3/live.parquet"]}}
        ),
        "download": Query(
            call=downloaded,
            answers={"dataset": {"dataset": f"{url}live.parquet?X-Amz-Signature=s"}, "GET": b"PAR1" * 50},
        ),
        "address": Query(
            call=lambda client: client.address("v5.3/live.parquet"),
            answers={"dataset": {"dataset": f"{url}live.parquet?X-Amz-Signature=s"}},
        ),
        "submissions": Query(
            call=lambda client: client.submissions(MODEL), answers={"submissions": {"submissions": [held, held]}}
        ),
        "upload": Query(
            call=lambda client: client.upload(**content),
            answers={upload: grants(url, upload), "PUT": b"", "create_submission": {"create_submission": {"id": "s1"}}},
        ),
        "diagnose": Query(
            call=lambda client: client.diagnose(**content),
            answers={
                "diagnosticsUploadAuth": grants(url, "diagnosticsUploadAuth"), "PUT": b"",
                "createDiagnostics": {"createDiagnostics": {"id": "d1"}},
            },
        ),
        "diagnostics_ids": Query(
            call=lambda client: client.diagnostics_ids(MODEL), answers={"diagnostics": {"diagnostics": [diagnosed]}}
        ),
        "diagnostics": Query(
            call=lambda client: client.diagnostics(MODEL, "d1"), answers={"diagnostics": {"diagnostics": [diagnosed]}}
        ),
        "payouts": Query(
            call=lambda client: client.payouts(),
            answers={"pendingModelPayouts": {"pendingModelPayouts": {"actual": [paid], "pending": [paid]}}},
        ),
        "stakes": Query(call=lambda client: client.stakes(MODEL), answers={staked: {staked: [stake, stake]}}),
        "live_scores": Query(call=lambda client: client.live_scores(MODEL), answers={scored: {scored: [score, score]}}),
        "public_model_id": Query(
            call=lambda client: client.public_model_id("mixer"), answers={"v3UserProfile": {"v3UserProfile": {"id": "m"}}}
        ),
        "read_back": Query(
            call=lambda client: client.read_back("s1"),
            answers={
                "submissionDownloadAuth": grants(url, "submissionDownloadAuth"), "GET": b"id,prediction\n",
            },
        ),
    }  # fmt: skip


DEEP: Any = "deep"
for _ in range(300):
    DEEP = [DEEP]
ABSENT = object()
VALUES: dict[str, Any] = {
    "absent": ABSENT, "null": None, "true": True, "negative": -1, "23 digits": 10**22 + 7, "fraction": 0.5,
    "empty text": "", "long text": "x" * 20_000, "a digit that is none": "²", "surrogate": "\ud800", "NUL": "a\u0000b",
    "list": [], "list of null": [None], "object": {}, "object for a value": {"number": {}}, "deep": DEEP,
    "not a number": float("nan"), "infinity": float("-inf"), "overflow": "1e999",
    "year 9999": "9999-12-31T23:59:59-23:59", "year 1": "0001-01-01T00:00:00+14:00", "no time": "2026-13-45",
    "a file": "file:///etc/passwd", "half a URL": "http://[", "a URL with a bad port": "http://a:99999999/",
    "a path": "../../../etc/passwd", "a gopher": "gopher://127.0.0.1/", "a URL with spaces": "http://a b/\r\nX: y",
}  # fmt: skip


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value of JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inner:
        yield (*before, name)
        yield from paths(one, (*before, name))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return JSON with another value at *path*."""
    result = copy.deepcopy(value)
    holder = result
    for name in path[:-1]:
        holder = holder[name]
    if new is not ABSENT:
        holder[path[-1]] = new
    elif isinstance(holder, list):
        holder.pop(path[-1])
    else:
        holder[f"{path[-1]}2"] = holder.pop(path[-1])
    return result


def reply(body: bytes, *, status: str = "200 OK", drop: str = "", **headers: str) -> bytes:
    """Return the bytes of an HTTP response; underscores in names of headers are hyphens."""
    named = {"Date": DATE, "Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in named.items() if name != drop)]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


def wire(body: bytes) -> dict[str, bytes]:
    """Return responses with a sound body that HTTP itself spoils, by what is wrong."""
    statuses = ("100 Go", "204 No", "206 Part", "300 Many", "304 Same", "400 Bad", "401 Who", "403 No", "404 No", "407 Proxy",
                "418 Tea", "429 Slow", "451 Law", "500 Oops", "503 Wait", "511 Sign in", "599 ?", "999 ?", "42", "x",
                "200 \u00e9")  # fmt: skip
    places = ("", "http://[", "file:///etc/passwd", "//", "gopher://a/", "http://a:x/", "/", "\u00e9\udcff".encode(
        "utf-8", "surrogateescape").decode("latin-1"), "x" * 70_000, "http://%zz/", "?", "http://.../")  # fmt: skip
    dates = ("", "x", "Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
             "Tue, 24 Nov 2026 12:01:00 -0000", "Tue, 24 Nov 2026 99:99:99 GMT", "Tue, 24 Nov 2026 12:01:00 +99999999",
             "²² Nov 2026")  # fmt: skip
    waits = ("\u00b2", "-1", "1e9", "9" * 30, "Fri, 31 Dec 9999 23:59:59 GMT", "", "nan")
    lengths = ("\u00b2", "-5", "5, 6", "9" * 25, "1", str(len(body) + 50), "x", "")
    encodings = ("gzip", "deflate", "br", "zstd", "gzip, gzip", "\u00b2", "compress")
    return {
        **{f"status {one}": reply(body, status=one) for one in statuses},
        **{f"redirect {status} to {one[:20]}": reply(b"", status=status, Location=one)
           for one in places for status in ("302 Found", "307 Go")},
        **{f"date {one}": reply(body, Date=one) for one in dates},
        **{f"retry after {one[:20]}": reply(b"", status="503 Wait", Retry_After=one) for one in waits},
        **{f"length {one}": reply(body, Content_Length=one) for one in lengths},
        **{f"encoding {one}": reply(body, Content_Encoding=one) for one in encodings},
        "gzip": reply(gzip.compress(body), Content_Encoding="gzip"),
        "half a gzip": reply(gzip.compress(body)[:-5], Content_Encoding="gzip"),
        "a bomb": reply(gzip.compress(bytes(40 << 20)), Content_Encoding="gzip"),
        "no length": reply(body, drop="Content-Length"),
        "chunks that are none": reply(body, drop="Content-Length", Transfer_Encoding="chunked"),
        "a huge chunk": reply(b"FFFFFFFFFFFFFFFFFF\r\n" + body, drop="Content-Length", Transfer_Encoding="chunked"),
        "no answer": b"", "half a status": b"HTT", "no HTTP": b"SSH-2.0-x\r\n", "another version": b"HTTP/9.9 200 OK\r\n\r\n",
        "a long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
        "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n" + body,
        "a header that is none": b"HTTP/1.1 200 OK\r\n\xff\xfe: \x00\r\nx\r\n\r\n" + body,
    }  # fmt: skip


def texts(sound: bytes) -> dict[str, bytes]:
    """Return bodies in place of sound JSON, by what is wrong."""
    errors = ({"message": 'Cannot query field "name" on type "X".'}, {"message": None}, {"message": DEEP}, {}, None, 5,
              {"message": "You are not authorized"}, {"message": "round not open \ud800"}, {"detail": "x" * 100_000},
              {"message": 'Cannot query field "tournament" and "closeTime"'})  # fmt: skip
    return {
        **{f"error {index}": json.dumps({"errors": [one]}).encode() for index, one in enumerate(errors)},
        **{f"errors {one}": json.dumps({"errors": one, "data": None}).encode() for one in ("x", {"detail": 1}, 5, True)},
        **{f"data {one}": json.dumps({"data": one}).encode() for one in (None, [], "x", 5, {}, [{}])},
        **{f"cut at {share:.0%}": sound[: int(len(sound) * share)] for share in (0.0, 0.1, 0.5, 0.9, 0.99)},
        "deep": b"[" * 100_000 + b"]" * 100_000, "deep data": b'{"data":' * 50_000, "digits": b'{"data":' + b"9" * 5_000 + b"}",
        "not UTF-8": b'{"data": "\xff\xfe"}', "UTF-16": '{"data": {}}'.encode("utf-16"), "BOM": b"\xef\xbb\xbf" + sound,
        "HTML": b"<html>Sign in</html>", "a list": b"[" + sound + b"]", "twice": sound + sound, "NaN": b"NaN",
    }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """
    A changed answer to one operation of a query.

    Attributes:
        query: Name of the client's method.
        operation: Operation whose answer is changed.
        change: What is changed.
        answer: Bytes of the response.
    """

    query: str
    operation: str
    change: str
    answer: bytes


def mutants(url: str) -> list[Mutant]:
    """Return all changes of all answers of all queries."""
    made = []
    for name, query in queries(url).items():
        for operation, sound in query.answers.items():
            body = sound if isinstance(sound, bytes) else json.dumps({"data": sound}).encode()
            answers = wire(body)
            if not isinstance(sound, bytes):
                answers |= {f"body {what}": reply(text) for what, text in texts(body).items()}
                answers |= {
                    f"400 with {what}": reply(text, status="400 Bad") for what, text in list(texts(body).items())[:14]
                }
                for path in paths(sound):
                    at = ".".join(map(str, path))
                    for what, value in VALUES.items():
                        text = json.dumps({"data": changed(sound, path, value)}).encode()
                        answers[f"{at}: {what}"] = reply(text)
            made += [Mutant(query=name, operation=operation, change=what, answer=one) for what, one in answers.items()]
    return made


class Server(socketserver.ThreadingTCPServer):
    """
    Answers each request with the bytes that are set for its operation, and closes the connection.

    Attributes:
        answers: Bytes by operation, or a function that makes them of the query.
        requests: Method, headers by lower-case name, and body of each request.
    """

    allow_reuse_address = daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}/"
        self.answers: dict[str, bytes | Callable[[str], bytes]] = {}
        self.requests: list[tuple[str, dict[str, str], str]] = []

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: the client closes connections that it gives up."""


class _Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        method = self.rfile.readline().partition(b" ")[0].decode()
        if not method:  # a connection that sends nothing
            return
        headers = {}
        while (line := self.rfile.readline().strip()) and b":" in line:
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = self.rfile.read(int(headers.get("content-length", 0)))
        self.server.requests.append((method, headers, body.decode("utf-8", "replace")))
        operation, query = method, ""
        if method == "POST":
            query = json.loads(body)["query"]
            operation = next((one for one in self.server.answers if f"{one}(" in query or f"{one} {{" in query), "")
        answer = self.server.answers.get(operation, b"")
        self.wfile.write(answer(query) if callable(answer) else answer)


@dataclass(kw_only=True)
class Played:
    """
    Result of a run.

    Attributes:
        mutants: Number of changed answers.
        breaches: Answers after which anything but a value or an error of the bot left the client.
    """

    mutants: int = 0
    breaches: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"answers: {self.mutants:,} mutants, {len(self.breaches)} breaches"


def use(result: object, client: NumeraiClient) -> None:
    """Use a result as the bot does: a value that breaks here would break a round."""
    now = client.server_now()
    for one in result if isinstance(result, tuple) else (result,):
        repr(one).encode()
        if isinstance(one, Round):
            one.accepts_upload(now), f"{one.closes_at:%H:%M}", one.closes_at + timedelta(days=400)


@contextmanager
def serving(**answers: Any) -> Iterator[Server]:
    """A server that gives these answers by operation: bytes of a response, or data of a sound answer."""
    with Server() as server:
        server.answers = {
            name: one if isinstance(one, bytes) or callable(one) else reply(json.dumps({"data": {name: one}}).encode())
            for name, one in answers.items()
        }
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def play(*, most: int | None = None, seed: int = 7) -> Played:
    """Play all changes, or *most* of them that *seed* draws."""
    played = Played()
    with serving() as server, stamina.set_testing(True, attempts=1):
        chosen = mutants(server.url)
        if most is not None:
            chosen = random.Random(seed).sample(chosen, most)
        sound = {name: _sound(query) for name, query in queries(server.url).items()}
        for one in chosen:
            server.answers = {**sound[one.query], one.operation: one.answer}
            _play_one(one, server.url, played)
    return played


def _sound(query: Query) -> dict[str, bytes]:
    return {
        operation: reply(one if isinstance(one, bytes) else json.dumps({"data": one}).encode())
        for operation, one in query.answers.items()
    }


def _play_one(mutant: Mutant, url: str, played: Played) -> None:
    transport = Transport(connect_s=STEP_S, read_s=STEP_S, exchange_s=STEP_S)
    client = NumeraiClient(api_url=url, public_id="A", secret_key="B", transport=transport)
    played.mutants += 1
    try:
        use(queries(url)[mutant.query].call(client), client)
    except BotError as error:
        if "within" in str(error) or "\n" in str(error):
            played.breaches.append(f"{mutant.query} {mutant.operation} {mutant.change}: {error}")
    except Exception:  # noqa: BLE001 - whatever it is, it is a breach
        last = traceback.format_exc(limit=-3).replace("\n", " | ")
        played.breaches.append(f"{mutant.query} {mutant.operation} {mutant.change}: {last}")
