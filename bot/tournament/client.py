"""
Client of Numerai's tournament API that is safe to run unattended.

This is the only module that imports numerapi. numerapi 3.1.1 has no timeout on GraphQL, turns every failure into
``KeyError: 'data'``, repeats mutations after a 5xx, ignores the status of an upload to the storage and resumes downloads
without verifying TLS. Therefore this module replaces ``raw_query``, through which all methods of numerapi send their
queries, and does not use its uploads and downloads.
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import structlog

from bot.errors import BadConfig, BadCredentials, BotError, NumeraiUnavailable, RoundNotOpen
from bot.system.kill_points import kill_point
from bot.tournament import _answers, _queries
from bot.tournament._answers import Name
from bot.tournament._lazy_pandas import load
from bot.tournament._network_settings import Unusable, web_address
from bot.tournament._reply import ANSWER_BYTES, Download
from bot.tournament.responses import (
    CLASSIC,
    ApiToken,
    Diagnostics,
    ListedDiagnostics,
    ListedRound,
    LiveScore,
    Model,
    NamedOption,
    Payment,
    Pickle,
    ServerSubmission,
    Stake,
    StoredFile,
)
from bot.tournament.retries import retry_context
from bot.tournament.rounds import Round
from bot.tournament.transport import COMMIT_SHARE, SHARE, Transport

ATTEMPTS = 12
"""Most attempts of a query."""

SPARE_ATTEMPTS = 3
"""Most attempts of a query whose answer the bot can do without."""

PAUSES = {"timeout": 30.0, "wait_initial": 0.2, "wait_max": 3.0}
"""Seconds after which no further attempt begins, seconds of the first pause, and seconds of the longest one."""

FIRST_S = {1: 8.0, 2: 16.0}
"""
Limits in seconds of the first tries of a query while no close of a round is known; later tries have the transport's own. An
answer takes a second, and one that drips for a minute would cost an attempt, or a whole round of a minute.
"""

WISH_S = 10.0
"""Most seconds for which a server's ``Retry-After`` is kept; less where the open round closes soon."""

NO_KEY = (
    "no API key: NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY are not set; run `bot init`, which asks for it, or set both"
)
"""Message about a missing key, with what to do."""

NumerAPI: Any = load("numerapi").NumerAPI
T = TypeVar("T")
log = structlog.get_logger()


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
                raise BadCredentials(NO_KEY)
            headers["Authorization"] = f"Token {self.token[0]}${self.token[1]}"
        is_mutation = query.lstrip().startswith("mutation")
        attempts, share = (1, COMMIT_SHARE) if is_mutation else (retries, SHARE)
        body = {"query": query, "variables": variables}
        for attempt in retry_context(on=self._again(time.monotonic()), attempts=attempts, **PAUSES):
            with attempt:
                first_s = None if is_mutation else FIRST_S.get(attempt.num)
                answer = self._transport.post(self._url, body, headers, share=share, first_s=first_s)
                found = _answers.read(answer, with_key=self.token is not None)
        return found

    def _again(self, began: float) -> Callable[[Exception], bool | float]:
        """Return the rule for whether a query that began at the monotonic time *began* is sent again after an error."""

        def rule(error: Exception) -> bool | float:
            if not isinstance(error, NumeraiUnavailable) or error.is_refusal:
                return False
            if error.retry_after_s is None:
                return True
            # stamina applies its limits only to pauses of its own: a server's wish of an hour would be slept in full.
            pause = min(max(error.retry_after_s, PAUSES["wait_initial"]), self._transport.limit_s(WISH_S))
            return pause if time.monotonic() - began + pause <= PAUSES["timeout"] else False

        return rule


def check_address(url: str) -> None:
    """
    Check that a setting is an address of a web server; nothing is sent.

    Raises:
        BadConfig: It is none; the message says why and does not repeat the address, which may hold a password.
    """
    try:
        web_address(url)
    except Unusable as problem:
        raise BadConfig(str(problem)) from None
    if urlsplit(url).netloc.endswith(":"):
        raise BadConfig("the port is missing after the colon")


@contextmanager
def _boundary() -> Iterator[None]:
    """
    Let only errors of the bot leave the enclosed code.

    Whatever an answer does to the libraries that read it, callers handle errors of the bot alone.
    """
    try:
        yield
    except BotError:
        raise
    except Exception as error:
        log.warning("answer.unreadable", exc_info=True)
        raise NumeraiUnavailable(f"an answer of Numerai cannot be read: {type(error).__name__}") from error


class NumeraiClient:
    """
    The queries and uploads of the bot, with values as results.

    Every method may raise :class:`~bot.errors.NumeraiUnavailable`. Methods that need the key may also raise
    :class:`~bot.errors.BadCredentials`. No method raises anything but errors of the bot, whatever the server answers.

    Args:
        api_url: Base URL of the tournament API.
        public_id: Public half of the key, or ``None``.
        secret_key: Secret half of the key, or ``None``.
        transport: HTTP session; ``None`` makes one with the production timeouts.
        trigger_id: Id of the webhook call that caused the submissions, ``None`` if there was none.

    Raises:
        BadConfig: *api_url* is no URL.
        BadCredentials: Only one half of the key is given, or it has characters that no key has.
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
        try:
            web_address(api_url)
        except Unusable as problem:
            raise BadConfig(
                f"BOT_API_URL is no address of an API: {problem}; unset it for Numerai's own, or set it to https://HOST"
            ) from None
        if bool(public_id) != bool(secret_key):
            missing = "NUMERAI_SECRET_KEY" if public_id else "NUMERAI_PUBLIC_ID"
            raise BadCredentials(f"{missing} is not set, though the other half of the API key is")
        # HTTP headers hold no other characters; the error of the HTTP library would show the key.
        if not re.fullmatch(r"[!-~]*", f"{public_id or ''}{secret_key or ''}"):
            raise BadCredentials("the API key has characters that no key has; copy NUMERAI_SECRET_KEY and its id again")
        self._transport = transport or Transport()
        key = (public_id, secret_key) if public_id and secret_key else None
        self._public_id, self._trigger_id = public_id, trigger_id
        self._api = _Api(api_url, key, self._transport)
        self._reduced: dict[str, str] = {}

    def server_now(self) -> datetime:
        """Return the server's time, aware UTC, from the ``Date`` header of its last response; send a query if there is none."""
        now = self._transport.server_now()
        if now is None:
            self._ask(_queries.CURRENT, {"tournament": CLASSIC}, lambda _: None)
            now = self._transport.server_now()
        return now if now is not None else datetime.now(UTC)

    @property
    def has_key(self) -> bool:
        """Return whether there is an API key, right or wrong."""
        return self._api.token is not None

    def current_round(self) -> Round:
        """
        Return the open round, without its payout; from then on, limits of time follow its close.

        Raises:
            RoundNotOpen: No round is open; the message names the next one if the API lists it.
        """
        current = self._ask(_queries.CURRENT, {"tournament": CLASSIC}, _first_round)
        now = self.server_now()
        if current is not None and current.is_open(now):
            self._transport.hurry(current.closes_at)
            return current
        later = [round_ for round_ in self.upcoming() if round_.opens_at > now]
        if later:
            next_one = min(later, key=lambda round_: round_.opens_at)
            raise RoundNotOpen(
                f"no round is open; round {next_one.number} opens {next_one.opens_at:%a %Y-%m-%d %H:%M:%S} UTC"
            )
        last = f"; the last was {current.number}" if current else ""
        raise RoundNotOpen(f"no round is open{last}, and the API does not list the next one")

    def round(self, number: int) -> Round | None:
        """Return the times of the round *number*, or ``None`` if the API lists no such round."""
        return self._ask(_queries.ONE_ROUND, {"tournament": CLASSIC, "number": number}, _first_round)

    def round_with_pay(self, number: int) -> Round | None:
        """Return the round *number* with its payout factors, or ``None`` if the API lists no such round."""
        return self._ask(_queries.PAY, {"tournament": CLASSIC, "number": number}, _first_round)

    def upcoming(self) -> tuple[Round, ...]:
        """Return the rounds that open next; an empty tuple if the API does not list them."""
        try:
            listed = self._ask(
                _queries.UPCOMING,
                {"tournament": CLASSIC},
                lambda answer: _answers.rows(answer, ("rounds",), ListedRound),
                attempts=SPARE_ATTEMPTS,
            )
            return tuple(one.round() for one in listed)
        except NumeraiUnavailable as error:
            log.warning("rounds.unknown", reason=str(error))
            return ()

    def slots(self) -> dict[str, str]:
        """Return the ids of the account's models in this tournament, by name."""
        models = self._ask(
            _queries.MODELS, None, lambda answer: _answers.rows(answer, ("account", "models"), Model), with_key=True
        )
        return {one.name: one.id for one in _classic(models) if one.id}

    def scopes(self) -> frozenset[str]:
        """Return the scopes of the API key."""
        tokens = self._ask(
            _queries.TOKEN,
            None,
            lambda answer: _answers.rows(answer, ("account", "apiTokens"), ApiToken),
            with_key=True,
        )
        return frozenset(scope for token in tokens if token.public_id == self._public_id for scope in token.scopes)

    def hosted_models(self) -> dict[str, Pickle]:
        """Return the pickle of each model that Numerai runs itself (a Model Upload), by the model's name; without runs."""
        models = self._ask(
            _queries.HOSTED, None, lambda answer: _answers.rows(answer, ("account", "models"), Model), with_key=True
        )
        return {
            one.name: one.pickle for one in _classic(models) if one.pickle and (one.pickle.id or one.pickle.filename)
        }

    def pickles(self, model_id: str) -> tuple[Pickle, ...]:
        """Return all pickles that were uploaded for a model, with their runs, in the server's order."""
        return self._ask(
            _queries.PICKLES,
            {"modelId": model_id},
            lambda answer: _answers.rows(answer, ("computePickles",), Pickle),
            with_key=True,
        )

    def pickle_log(self, run_id: str) -> tuple[str, ...]:
        """Return the log of a pickle's run, line by line; empty where the API returns none."""
        listed = self._ask(
            _queries.PICKLE_LOG,
            {"triggerId": run_id},
            lambda answer: _answers.rows(answer, ("triggerLogs",), dict[str, object]),
            with_key=True,
            attempts=SPARE_ATTEMPTS,
        )
        return tuple(str(line["message"]) for line in listed if line.get("message"))

    def pickle_versions(self) -> dict[str, str]:
        """Return the ids of the data versions that Numerai runs pickles on, by name."""
        return self._options(_queries.PICKLE_VERSIONS, "computePickleDataVersions")

    def pickle_images(self) -> dict[str, str]:
        """Return the ids of the images that Numerai runs pickles in, by name, such as ``Python 3.12``."""
        return self._options(_queries.PICKLE_IMAGES, "computePickleDockerImages")

    def upload_pickle(
        self, *, model_id: str, filename: str, content: bytes, data_version_id: str, image_id: str
    ) -> str:
        """
        Upload a pickle for a model once and return its id on the server; the model does not run it yet.

        Nothing is repeated here. After an error, the caller finds out with :meth:`pickles` whether the file arrived.

        Args:
            model_id: Numerai's id of the model.
            filename: Name of the file.
            content: The pickle.
            data_version_id: A value of :meth:`pickle_versions`.
            image_id: A value of :meth:`pickle_images`.
        """
        more = {"dataVersionId": data_version_id, "dockerImageId": image_id}
        return self._upload(_queries.HOST, model_id, filename, content, more=more, in_proportion=True)

    def assign_pickle(self, model_id: str, pickle_id: str) -> None:
        """
        Let a model run a pickle from now on, once.

        Raises:
            NumeraiUnavailable: The server refused or did not answer; :meth:`hosted_models` says what the model runs.
        """
        with kill_point("pickle.assign"):
            answered = self._ask(
                _queries.ASSIGN,
                {"modelId": model_id, "pickleId": pickle_id},
                lambda answer: _answers.one(answer, ("assignPickleToModel",), object),
                with_key=True,
            )
        if answered is False or str(answered).lower() == "false":
            raise NumeraiUnavailable("Numerai did not assign the pickle", said="it answered false")

    def _options(self, query: str, field: str) -> dict[str, str]:
        listed = self._ask(query, None, lambda answer: _answers.rows(answer, (field,), NamedOption), with_key=True)
        return {one.name: one.id for one in listed}

    def datasets(self) -> tuple[str, ...]:
        """Return the names of all dataset files."""
        return self._ask(
            _queries.DATASETS,
            {"tournament": CLASSIC},
            lambda answer: _answers.rows(answer, ("listDatasets",), Name),
        )

    @contextmanager
    def download(
        self,
        filename: str,
        headers: dict[str, str] | None = None,
        *,
        is_last: bool = False,
        url: str | None = None,
    ) -> Iterator[Download]:
        """
        Open the download of a dataset file; it is closed with the context.

        Args:
            filename: Name on the server.
            headers: Headers of the request.
            is_last: Whether no other try follows: then a slow download goes on.
            url: Presigned URL from :meth:`address`; ``None`` asks for a new one.
        """
        place = self.address(filename) if url is None else url
        with ExitStack() as opened:
            with _boundary():
                download = opened.enter_context(self._transport.download(place, headers, is_last=is_last))
            yield download

    def address(self, filename: str) -> str:
        """Return a new presigned URL of a dataset file; it can be read several times until it expires."""
        variables = {"filename": filename, "tournament": CLASSIC}
        return self._ask(_queries.DATASET, variables, lambda answer: _answers.one(answer, ("dataset",), str))

    def submissions(self, model_id: str) -> tuple[ServerSubmission, ...]:
        """Return all submissions of a model in this tournament that belong to a round, in the server's order."""
        listed = self._ask(
            _queries.SUBMISSIONS,
            {"modelId": model_id},
            lambda answer: _answers.rows(answer, ("submissions",), ServerSubmission, having="round"),
            with_key=True,
        )
        return tuple(one for one in listed if one.tournament == CLASSIC)

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
        listed = self._ask(
            _queries.DIAGNOSTICS_IDS,
            {"modelId": model_id},
            lambda answer: _answers.rows(answer, ("diagnostics",), StoredFile),
            with_key=True,
        )
        return {one.filename: one.id for one in listed}

    def diagnostics(self, model_id: str, identity: str) -> Diagnostics:
        """Return the state of a model's diagnostics, with the scores if they are done."""
        listed = self._ask(
            _queries.DIAGNOSTICS,
            {"modelId": model_id, "id": identity},
            lambda answer: _answers.rows(answer, ("diagnostics",), ListedDiagnostics),
            with_key=True,
        )
        if not listed:
            raise NumeraiUnavailable("the API lists no usable diagnostics of this id")
        return listed[0].diagnostics()

    def payouts(self) -> tuple[Payment, ...]:
        """Return the settled payouts of the account's rounds, and the pending ones as of now."""
        return self._ask(_queries.PAYOUTS, {"tournament": CLASSIC}, _payments, with_key=True)

    def stakes(self, model_id: str) -> dict[int, float]:
        """Return the NMR at risk of any model, by round number; no key is needed."""
        listed = self._ask(
            _queries.STAKES,
            {"modelId": model_id, "tournament": CLASSIC},
            lambda answer: _answers.rows(answer, ("v2RoundModelPerformances",), Stake, having="atRisk"),
        )
        return {one.round: one.nmr for one in listed}

    def live_scores(self, model_id: str, *, rounds: int = 150) -> tuple[LiveScore, ...]:
        """Return the newest value of each score of any model's last *rounds* rounds; no key is needed."""
        listed = self._ask(
            _queries.SCORES,
            {"modelId": model_id, "tournament": CLASSIC, "lastNRounds": rounds},
            lambda answer: _answers.rows(answer, ("submissionScores",), LiveScore, having="value"),
        )
        newest: dict[tuple[int, str], LiveScore] = {}
        for score in listed:
            before = newest.get((score.round, score.name))
            if before is None or (score.resolved, score.day) >= (before.resolved, before.day):
                newest[score.round, score.name] = score
        return tuple(newest.values())

    def public_model_id(self, name: str) -> str:
        """Return the id of any account's model called *name*."""
        variables = {"name": name, "tournament": CLASSIC}
        return self._ask(
            _queries.PROFILE, variables, lambda answer: _answers.one(answer, ("v3UserProfile", "id"), Name)
        )

    def read_back(self, submission_id: str) -> bytes:
        """Download a submission from the server."""
        url = self._ask(
            _queries.DOWNLOAD_AUTH,
            {"id": submission_id},
            lambda answer: _answers.one(answer, ("submissionDownloadAuth", "url"), str),
            with_key=True,
        )
        content = bytearray()
        with _boundary(), self._transport.download(url) as download:
            for chunk in download.chunks:
                content += chunk
                if len(content) > ANSWER_BYTES:
                    raise NumeraiUnavailable(f"submission {submission_id} is larger than {ANSWER_BYTES:,} bytes")
        if download.length is not None and not download.compressed and download.length != len(content):
            raise NumeraiUnavailable(f"the storage sent {len(content):,} of {download.length:,} bytes")
        return bytes(content)

    def _ask(
        self,
        query: str,
        variables: dict[str, Any] | None,
        read: Callable[[dict[str, Any]], T],
        *,
        with_key: bool = False,
        attempts: int = ATTEMPTS,
    ) -> T:
        """Send a query and return what *read* makes of its answer; leave out spare fields that the server has removed."""
        with _boundary():
            while True:
                sent = self._reduced.get(query, query)
                try:
                    return read(self._api.raw_query(sent, variables, with_key, retries=attempts))
                except NumeraiUnavailable as refused:
                    names = [name for name in _queries.SPARE.get(query, ()) if re.search(rf"\b{name}\b", str(refused))]
                    if not refused.is_refusal or not names or (fewer := _queries.without(sent, names[0])) == sent:
                        raise
                    log.warning("query.reduced", field=names[0], reason=str(refused))
                    self._reduced[query] = fewer

    def _upload(
        self,
        steps: Sequence[tuple[str, str]],
        model_id: str,
        filename: str,
        content: bytes,
        *,
        check: Callable[[], object] = lambda: None,
        more: dict[str, Any] | None = None,
        in_proportion: bool = False,
    ) -> str:
        """Get a presigned URL, upload the file to it, run *check*, and run the mutation for the file; return the new id."""
        (auth, auth_field), (create, create_field) = steps
        variables = {"filename": filename, "tournament": CLASSIC, "modelId": model_id}
        with kill_point("upload.grant"):
            url, stored = self._ask(
                auth,
                {name: value for name, value in variables.items() if f"${name}:" in auth},
                lambda answer: [_answers.one(answer, (auth_field, name), Name) for name in ("url", "filename")],
                with_key=True,
            )
        with kill_point("upload.put"), _boundary():
            self._transport.upload(url, content, in_proportion=in_proportion)
        check()
        variables = {**variables, "filename": stored, **(more or {})}
        with kill_point("upload.create"):
            return self._ask(
                create, variables, lambda answer: _answers.one(answer, (create_field, "id"), Name), with_key=True
            )


def _first_round(answer: dict[str, Any]) -> Round | None:
    """Return the first round of a list, ``None`` where the API lists none."""
    listed = _answers.one(answer, ("rounds",), list[object])
    return _answers.checked(listed[0], ListedRound, "round").round() if listed and listed[0] is not None else None


def _classic(models: Sequence[Model]) -> tuple[Model, ...]:
    """Return the models of this tournament; a model of another one may have the same name."""
    unknown = [one for one in models if one.tournament is None]
    return (*unknown, *(one for one in models if one.tournament == CLASSIC))


def _payments(answer: dict[str, Any]) -> tuple[Payment, ...]:
    """Return the payouts that the API lists, without those that have no amount yet."""
    place = "pendingModelPayouts"
    listed = _answers.one(answer, (place,), dict[str, object])
    return tuple(
        replace(one, settled=settled)
        for kind, settled in (("pending", False), ("actual", True))
        if listed.get(kind) is not None
        for one in _answers.rows(answer, (place, kind), Payment, having="payoutNmr")
    )
