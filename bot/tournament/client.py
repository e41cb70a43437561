"""
Client of Numerai's tournament API that is safe to run unattended.

This is the only module that imports numerapi. numerapi 3.1.1 has no timeout on GraphQL, turns every failure into
``KeyError: 'data'``, repeats mutations after a 5xx, ignores the status of an upload to the storage and resumes downloads
without verifying TLS. Therefore this module replaces ``raw_query``, through which all methods of numerapi send their
queries, and does not use its uploads and downloads.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import stamina

from bot.errors import BadCredentials, NumeraiUnavailable, RoundNotOpen
from bot.system.kill_points import kill_point
from bot.tournament import _queries, responses
from bot.tournament._lazy_pandas import load
from bot.tournament.responses import Diagnostics, LiveScore, Payment, ServerSubmission, field, raise_errors, to_round
from bot.tournament.rounds import Round
from bot.tournament.transport import Download, Transport

CLASSIC = 8
"""Numerai's id of the Classic tournament."""

ATTEMPTS = 12
"""Most attempts of a query."""

PAUSES = {"timeout": 30.0, "wait_initial": 0.2, "wait_max": 3.0}
"""Seconds after which no further attempt begins, seconds of the first pause, and seconds of the longest one."""

NumerAPI: Any = load("numerapi").NumerAPI
T = TypeVar("T")


class _Api(NumerAPI):  # type: ignore[misc]  # numerapi has no types
    """numerapi with the bot's transport."""

    def __init__(self, url: str, key: tuple[str, str] | None, transport: Transport) -> None:
        # The constructor of numerapi configures the root logger and reads keys from the environment and .env files.
        self.logger = logging.getLogger("numerapi")
        self.token = key
        self.tournament_id = CLASSIC
        self.show_progress_bars = False
        self.global_data_dir = "."
        self._url = url
        self._transport = transport

    def raw_query(
        self,
        query: str,
        variables: dict[str, Any] | None = None,
        authorization: bool = False,  # noqa: FBT001, FBT002 - numerapi's signature
        *,
        retries: int = ATTEMPTS,
        delay: int = 0,  # noqa: ARG002 - numerapi's signature
        backoff: int = 0,  # noqa: ARG002 - numerapi's signature
    ) -> dict[str, Any]:
        """Send a query and repeat it after transient failures; send a mutation exactly once."""
        headers = {"Content-type": "application/json", "Accept": "application/json"}
        if authorization:
            if self.token is None:
                raise BadCredentials("no API key: set NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY, or their _FILE forms")
            headers["Authorization"] = f"Token {self.token[0]}${self.token[1]}"
        attempts = 1 if query.lstrip().startswith("mutation") else retries
        for attempt in stamina.retry_context(on=responses.should_retry, attempts=attempts, **PAUSES):
            with attempt:
                answer = self._transport.post(self._url, {"query": query, "variables": variables}, headers)
                raise_errors(answer)
        return answer


class NumeraiClient:
    """
    The queries and uploads of the bot, with values as results.

    Every method may raise :class:`~bot.errors.NumeraiUnavailable`. Methods that need the key may also raise
    :class:`~bot.errors.BadCredentials`.

    Args:
        api_url: Base URL of the tournament API.
        public_id: Public half of the key, or ``None``.
        secret_key: Secret half of the key, or ``None``.
        transport: HTTP session; ``None`` makes one with the production timeouts.
        trigger_id: Id of the webhook call that caused the submissions, ``None`` if there was none.

    Raises:
        BadCredentials: Only one half of the key is given.
    """

    def __init__(
        self,
        *,
        api_url: str,
        public_id: str | None,
        secret_key: str | None,
        transport: Transport | None = None,
        trigger_id: str | None = None,
    ) -> None:
        if bool(public_id) != bool(secret_key):
            missing = "NUMERAI_SECRET_KEY" if public_id else "NUMERAI_PUBLIC_ID"
            raise BadCredentials(f"{missing} is not set, though the other half of the API key is")
        self._transport = transport or Transport()
        key = (public_id, secret_key) if public_id and secret_key else None
        self._public_id, self._trigger_id = public_id, trigger_id
        self._api = _Api(api_url, key, self._transport)

    def server_now(self) -> datetime:
        """Return the server's time, aware UTC, from the ``Date`` header of its last response; send a query if there is none."""
        now = self._transport.server_now()
        if now is None:
            self._api.raw_query(_queries.CURRENT, {"tournament": CLASSIC})
            now = self._transport.server_now()
        return now if now is not None else datetime.now(UTC)

    def current_round(self) -> Round:
        """
        Return the open round.

        Raises:
            RoundNotOpen: No round is open; the message names the next one if the API lists it.
        """
        listed = field(self._api.raw_query(_queries.CURRENT, {"tournament": CLASSIC}), "rounds")
        current = to_round(listed[0]) if listed and listed[0] else None
        now = self.server_now()
        if current is not None and current.is_open(now):
            return current
        later = [round_ for round_ in self.upcoming() if round_.opens_at > now]
        if later:
            next_one = min(later, key=lambda round_: round_.opens_at)
            raise RoundNotOpen(
                f"no round is open; round {next_one.number} opens {next_one.opens_at:%a %Y-%m-%d %H:%M:%S} UTC"
            )
        last = f"; the last was {current.number}" if current else ""
        raise RoundNotOpen(f"no round is open{last}, and the API does not list the next one")

    def slots(self) -> dict[str, str]:
        """Return the ids of the account's models in this tournament, by name."""
        return {str(name): str(identity) for name, identity in self._call(self._api.get_models).items()}

    def scopes(self) -> frozenset[str]:
        """Return the scopes of the API key."""
        account = self._query(_queries.TOKEN, None, "account")
        tokens = [token for token in account["apiTokens"] if token["public_id"] == self._public_id]
        return frozenset(scope for token in tokens for scope in token["scopes"])

    def hosted_models(self) -> dict[str, str]:
        """Return the pickle of each model that Numerai runs itself (a Model Upload), by the model's name."""
        account = self._query(_queries.HOSTED, None, "account")
        return {
            str(model["name"]): str(model["computePickleUpload"]["filename"])
            for model in account["models"]
            if model.get("computePickleUpload")
        }

    def datasets(self) -> tuple[str, ...]:
        """Return the names of all dataset files."""
        return tuple(self._call(self._api.list_datasets))

    @contextmanager
    def download(self, filename: str, headers: dict[str, str] | None = None) -> Iterator[Download]:
        """Open the download of a dataset file at a new presigned URL; it is closed with the context."""
        query = """
            query ($filename: String! $tournament: Int) { dataset(filename: $filename tournament: $tournament) }
        """
        url = field(self._api.raw_query(query, {"filename": filename, "tournament": CLASSIC}), "dataset")
        with self._transport.download(str(url), headers) as download:
            yield download

    def submissions(self, model_id: str) -> tuple[ServerSubmission, ...]:
        """Return all submissions of a model, in the server's order."""
        return responses.to_submissions(self._query(_queries.SUBMISSIONS, {"modelId": model_id}, "submissions"))

    def upload(
        self, *, model_id: str, filename: str, content: bytes, check: Callable[[], object] = lambda: None
    ) -> str:
        """
        Upload a submission once and return its id on the server.

        Nothing is repeated here. After an error, the caller finds out with :meth:`submissions` whether the file arrived.

        Args:
            model_id: Numerai's id of the slot's model.
            filename: Name of the file; the server keeps its stem and adds to it.
            content: The CSV.
            check: Called after the file is stored and before it becomes a submission; an exception prevents the latter.

        Raises:
            RoundNotOpen: No round is open.
            RefuseToSubmit: The server refused the content.
        """
        more = {"triggerId": self._trigger_id, "dataDatestamp": None}
        return self._upload(_queries.SUBMIT, model_id, filename, content, check=check, more=more)

    def diagnose(self, *, model_id: str, filename: str, content: bytes) -> str:
        """
        Upload predictions of validation eras for Numerai's diagnostics once; return the id of the diagnostics.

        Raises:
            RefuseToSubmit: The server refused the content.
        """
        return self._upload(_queries.DIAGNOSE, model_id, filename, content)

    def diagnostics_ids(self, model_id: str) -> dict[str, str]:
        """Return the ids of all diagnostics of a model, by the name of the uploaded file."""
        listed = self._query(_queries.DIAGNOSTICS_IDS, {"modelId": model_id}, "diagnostics")
        return {str(one["filename"]): str(one["id"]) for one in listed}

    def diagnostics(self, model_id: str, identity: str) -> Diagnostics:
        """Return the state of a model's diagnostics, with the scores if they are done."""
        variables = {"modelId": model_id, "id": identity}
        return responses.to_diagnostics(self._query(_queries.DIAGNOSTICS, variables, "diagnostics"))

    def payouts(self) -> tuple[Payment, ...]:
        """Return the settled payouts of the account's rounds, and the pending ones as of now."""
        return responses.to_payments(self._query(_queries.PAYOUTS, {"tournament": CLASSIC}, "pendingModelPayouts"))

    def stakes(self, model_id: str) -> dict[int, float]:
        """Return the NMR at risk of any model, by round number; no key is needed."""
        variables = {"modelId": model_id, "tournament": CLASSIC}
        return responses.to_stakes(field(self._api.raw_query(_queries.STAKES, variables), "v2RoundModelPerformances"))

    def _query(self, query: str, variables: dict[str, Any] | None, name: str) -> Any:  # noqa: ANN401 - JSON
        """Send a query with the key; return one field of the response's data."""
        return field(self._api.raw_query(query, variables, authorization=True), name)

    def _upload(
        self,
        steps: Sequence[tuple[str, str]],
        model_id: str,
        filename: str,
        content: bytes,
        *,
        check: Callable[[], object] = lambda: None,
        more: dict[str, Any] | None = None,
    ) -> str:
        """Get a presigned URL, upload the file to it, run *check*, and run the mutation for the file; return the new id."""
        (auth, auth_field), (create, create_field) = steps
        variables = {"filename": filename, "tournament": CLASSIC, "modelId": model_id}
        with kill_point("upload.grant"):
            granted = self._query(auth, variables, auth_field)
        with kill_point("upload.put"):
            self._transport.upload(str(granted["url"]), content)
        check()
        variables = {**variables, "filename": granted["filename"], **(more or {})}
        with kill_point("upload.create"):
            created = self._query(create, variables, create_field)
        return str(created["id"])

    def live_scores(self, model_id: str, *, rounds: int = 150) -> tuple[LiveScore, ...]:
        """Return the newest value of each score of any model's last *rounds* rounds; no key is needed."""
        variables = {"modelId": model_id, "tournament": CLASSIC, "lastNRounds": rounds}
        newest: dict[tuple[int, str], LiveScore] = {}
        for score in responses.to_scores(field(self._api.raw_query(_queries.SCORES, variables), "submissionScores")):
            before = newest.get((score.round, score.name))
            if before is None or (score.resolved, score.day) >= (before.resolved, before.day):
                newest[score.round, score.name] = score
        return tuple(newest.values())

    def round(self, number: int) -> Round | None:
        """Return the round *number* with its payout factors, or ``None`` if the API lists no such round."""
        listed = self._call(lambda: self._api.list_rounds(number=number))
        return to_round(listed[0]) if listed else None

    def public_model_id(self, name: str) -> str:
        """Return the id of any account's model called *name*."""
        variables = {"name": name, "tournament": CLASSIC}
        return str(field(self._api.raw_query(_queries.PROFILE, variables), "v3UserProfile")["id"])

    def read_back(self, submission_id: str) -> bytes:
        """Download a submission from the server."""
        granted = self._query(_queries.DOWNLOAD_AUTH, {"id": submission_id}, "submissionDownloadAuth")
        with self._transport.download(str(granted["url"])) as download:
            content = b"".join(download.chunks)
            length = download.headers.get("Content-Length")
        if length is not None and int(length) != len(content):
            raise NumeraiUnavailable(f"{urlsplit(str(granted['url'])).hostname} sent {len(content)} of {length} bytes")
        return content

    def upcoming(self) -> tuple[Round, ...]:
        """Return the rounds that open next; an empty tuple if the API does not list them."""
        try:
            return tuple(to_round(one) for one in self._call(lambda: self._api.list_rounds(status="upcoming")))
        except NumeraiUnavailable:
            return ()

    @staticmethod
    def _call(method: Callable[[], T]) -> T:
        """Call a method of numerapi; raise NumeraiUnavailable if it does not understand the response."""
        try:
            return method()
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise NumeraiUnavailable(f"the API's answer lacks {error}") from None
