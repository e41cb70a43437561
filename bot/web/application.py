"""
The pages as an ASGI application: routes, the checks that every request passes, and errors as pages.

A request is refused unless its ``Host`` is one of the bot's own names: otherwise a page of a stranger, whose name is
pointed at this address (DNS rebinding), could read scores and pay through its visitor's browser.
"""

import hmac
import ipaddress
import json
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from http import HTTPStatus

import anyio
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.errors import BotError, StateUnwritable
from bot.system.redaction import redact
from bot.web._control import ORDERS, Order, form_fields, is_right, is_same_origin

LARGEST_HOOK = 4096
"""Longest accepted body of a webhook call or an order in bytes."""

LARGEST_HEAD = 16 * 1024
"""Longest head of a request in bytes."""

BODY_S = 10.0
"""Longest time in seconds for a client to send that body."""

PAGE_S = 20.0
"""Longest time in seconds to make a page."""

BUSY = 32
"""Requests that are answered at once, besides those of monitoring; one more gets 503."""

THREADS, MONITORING_THREADS = 4, 2
"""Threads that make pages, and threads that only make the pages of monitoring, which no flood of others delays."""

MONITORING = ("/healthz", "/metrics")
GUESSES = 5
"""Wrong tokens a minute that are answered, each after ``GUESS_S``; further ones get 429."""

GUESS_S = 1.0
"""Seconds before a wrong token is answered."""

LOGGED = 20
"""Refused requests a minute that are logged one by one, so that a flood does not push other lines out of the log."""

SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' data:; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer."""

_TRIGGER = re.compile(r"[!-~]{1,64}")
_HOST = re.compile(r"(\[[0-9a-f:.%]+\]|[^\[\]:@/\s]+)(:[0-9]{1,5})?", re.IGNORECASE)

Page = Callable[[str], Response | None]
"""Makes a page from the last part of the path; ``None`` means that there is none."""

Hook = Callable[[str | None], None]
"""Receives Numerai's trigger id of a webhook call, or ``None``."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Allowance:
    """
    A number of events that a minute allows.

    Attributes:
        limit: The number.
    """

    limit: int
    _began: float = field(default_factory=time.monotonic)
    _taken: int = 0

    def take(self) -> bool:
        """Count an event; return whether this minute allowed it."""
        now = time.monotonic()
        if now - self._began >= 60.0:
            self._began, self._taken = now, 0
        self._taken += 1
        return self._taken <= self.limit

    @property
    def is_first_beyond(self) -> bool:
        """Return whether the event counted last is the first that was not allowed."""
        return self._taken == self.limit + 1


class RefusalLog:
    """Log of refused requests, one line for each until a minute has too many."""

    def __init__(self) -> None:
        self._allowance = Allowance(limit=LOGGED)

    def add(self, status: int, **about: object) -> None:
        """Log that a request was answered with *status*."""
        if self._allowance.take():
            log.warning("web.refused", status=status, **about)
        elif self._allowance.is_first_beyond:
            log.warning("web.refused", reason=f"more than {LOGGED} a minute; the next ones are not logged")


def error_page(status: int, reason: str = "") -> Response:
    """Return a small page that names an error."""
    return message_page(f"{status} {HTTPStatus(status).phrase}", [reason] if reason else [], status=status)


def message_page(title: str, lines: Sequence[str], *, status: int = 200) -> Response:
    """Return a small page of some lines with a way back; it needs no ledger."""
    text = "".join(f"<p>{escape(redact(line))}</p>" for line in lines)
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,"><style>body { font: 1rem/1.6 system-ui,'
        " sans-serif; margin: 3rem auto; max-width: 40rem; overflow-wrap: anywhere; padding: 0 1rem } a { color: inherit }"
        f" :focus-visible {{ outline: 2px solid; outline-offset: 2px }}</style><title>{escape(title)}</title></head><body><main>"
        f'<h1>{escape(title)}</h1>{text}<p><a href="/">Back to the page Now</a></p></main></body></html>\n',
        status_code=status,
        headers=SECURITY,
    )


def application(
    *,
    pages: Mapping[str, Page],
    hosts: Iterable[str] = (),
    hook: Hook | None = None,
    token: str | None = None,
    order: Order | None = None,
    control_token: str | None = None,
    refusals: RefusalLog | None = None,
) -> ASGIApp:
    """
    Return the application.

    Args:
        pages: Pages by path. A path that ends in ``/`` is followed by a name, which the page receives; one with several
            names in braces receives them with ``/`` between them.
        hosts: Names in the ``Host`` header that are accepted beside those of the own machine.
        hook: Receives the calls of ``/hook/<token>``.
        token: Secret in the hook's path; without one there is no hook.
        order: Carries out the orders of ``/control/<order>``.
        control_token: Secret in the body of an order; without one there are no orders.
        refusals: Log of refused requests.
    """
    common, monitoring = anyio.CapacityLimiter(THREADS), anyio.CapacityLimiter(MONITORING_THREADS)
    routes = [
        Route(
            f"{path}{{name}}" if path.endswith("/") and path != "/" else path,
            _endpoint(page, monitoring if path in MONITORING else common),
            methods=["GET"],  # starlette adds HEAD
        )
        for path, page in pages.items()
    ]
    if hook is not None and token:
        routes.append(Route("/hook/{token}", _hook_endpoint(hook, token), methods=["POST"]))
    if order is not None and control_token:
        answer = _order_endpoint(order, control_token)
        routes += [Route(f"/control/{name}", answer, methods=["POST"]) for name in ORDERS]
    checks = Middleware(_Checks, hosts=hosts, refusals=refusals or RefusalLog())
    made = Starlette(routes=routes, middleware=[checks], exception_handlers={HTTPException: _refused})
    made.router.redirect_slashes = False
    return made


def _redacted(page: Page, name: str) -> Response | None:
    """Make a page and hide secrets in it, whatever file or row they came from."""
    made = page(name)
    # A file that is sent in parts is a report; the bot made it from figures alone.
    if made is None or isinstance(made, FileResponse):
        return made
    if (made.media_type or "").startswith(("text/", "application/json")):
        made.body = redact(bytes(made.body).decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        made.headers["content-length"] = str(len(made.body))
    return made


def _endpoint(page: Page, limiter: anyio.CapacityLimiter) -> Callable[[Request], object]:
    async def answer(request: Request) -> Response:
        name = "/".join(request.path_params.values())
        with anyio.fail_after(PAGE_S):
            made = await anyio.to_thread.run_sync(_redacted, page, name, limiter=limiter, abandon_on_cancel=True)
        return made or error_page(404, "There is no such page.")

    return answer


def _hook_endpoint(hook: Hook, token: str) -> Callable[[Request], object]:
    guesses = Allowance(limit=GUESSES)

    async def answer(request: Request) -> Response:
        if not hmac.compare_digest(request.path_params["token"].encode(errors="replace"), token.encode()):
            if not guesses.take():
                raise HTTPException(429, "too many wrong tokens", headers={"Retry-After": "60"})
            await anyio.sleep(GUESS_S)
            return error_page(404, "There is no such page.")
        hook(_trigger(await _body(request)))
        return JSONResponse({})

    return answer


def _order_endpoint(order: Order, token: str) -> Callable[[Request], object]:
    guesses = Allowance(limit=GUESSES)

    async def answer(request: Request) -> Response:
        if not is_same_origin(request.headers):
            raise HTTPException(403, "an order comes from the page Now of this bot alone")
        try:
            fields = form_fields(request.headers.get("content-type", ""), await _body(request))
            if not is_right(token, fields.pop("token", "")):
                if not guesses.take():
                    raise HTTPException(429, "too many wrong tokens", headers={"Retry-After": "60"})
                await anyio.sleep(GUESS_S)
                raise HTTPException(403, "the token is wrong; BOT_CONTROL_TOKEN has the right one")
            name = request.url.path.rpartition("/")[2]
            lines = await anyio.to_thread.run_sync(order, name, fields)
        except StateUnwritable:
            raise  # a busy ledger or a full disk, as for every page
        except BotError as error:
            raise HTTPException(400, str(error)) from None
        return message_page("Done", lines)

    return answer


async def _body(request: Request) -> bytes:
    """Return the body of a webhook call or an order; refuse one that is too long or comes too slowly."""
    body = b""
    try:
        with anyio.fail_after(BODY_S):
            async for part in request.stream():
                body += part
                if len(body) > LARGEST_HOOK:
                    raise HTTPException(413, f"more than {LARGEST_HOOK} bytes", headers={"Connection": "close"})
    except TimeoutError:
        raise HTTPException(408, "the body came too slowly", headers={"Connection": "close"}) from None
    return body


def _trigger(body: bytes) -> str | None:
    """Return Numerai's trigger id; ``None`` where it is missing or no id, since it becomes a variable of a child."""
    try:
        call = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None
    found = call.get("triggerId") if isinstance(call, dict) else None
    return found if isinstance(found, str) and _TRIGGER.fullmatch(found) else None


async def _refused(_request: Request, error: Exception) -> Response:
    """Return the page of an error that starlette or an endpoint raised."""
    status, detail, headers = 500, "", None
    if isinstance(error, HTTPException):
        status, detail, headers = error.status_code, error.detail, error.headers
    answer = error_page(status, "" if detail == HTTPStatus(status).phrase else detail)
    answer.headers.update(headers or {})
    return answer


class _Checks:
    """Check a request before its page is made; turn every error into a page and a log line; add the headers."""

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], refusals: RefusalLog) -> None:
        self._app, self._refusals = app, refusals
        # The machine's name is also that of its container, by which Prometheus of the compose file asks.
        self._hosts = {_plain(host) for host in ("localhost", "127.0.0.1", "::1", socket.gethostname(), *hosts)}
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, reason = 0, ""

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._log(scope, status, reason)
                known = {name.lower() for name, _ in message["headers"]}
                extra = [(name.lower().encode(), value.encode()) for name, value in SECURITY.items()]
                message["headers"] = [*message["headers"], *(one for one in extra if one[0] not in known)]
            await send(message)

        counted = scope["path"] not in MONITORING
        self._running += counted
        try:
            if counted and self._running > BUSY:
                await error_page(503, "The server is busy.")(scope, receive, send_on)
            elif _head_size(scope) > LARGEST_HEAD:
                await error_page(431)(scope, receive, send_on)
            elif not self._is_own(scope):
                reason = "the Host header is not a name of this bot; see BOT_HTTP_HOSTS"
                await error_page(400, f"{reason[0].upper()}{reason[1:]}.")(scope, receive, send_on)
            else:
                await self._app(scope, receive, send_on)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            if status:  # the answer has begun, so its client sees it end too early
                self._log(scope, 500, reason)
                raise
            answer = _unavailable(error) if isinstance(error, BotError | TimeoutError) else error_page(500)
            await answer(scope, receive, send_on)
        finally:
            self._running -= counted

    def _log(self, scope: Scope, status: int, reason: str) -> None:
        if status < 400 or scope["path"] == "/healthz":  # an unhealthy daemon is no refused request
            return
        path = "/hook/***" if scope["path"].startswith("/hook/") else ascii(scope["path"])[1:-1][:80]
        about = {"reason": reason} if reason else {}
        self._refusals.add(status, method=scope["method"][:16], path=path, **about)

    def _is_own(self, scope: Scope) -> bool:
        """Return whether the Host header names this bot: a known name, or the address that the client connected to."""
        values = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        found = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if found is None:
            return False
        name = _plain(found[1])
        # A browser sends an address only where its user typed it, so no other site's name hides behind it.
        return name in self._hosts or name == _plain(str((scope.get("server") or ("",))[0]))


def _head_size(scope: Scope) -> int:
    """Return the bytes of a request's path and headers; h11 bounds only a head that comes in several parts."""
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return len(scope["raw_path"]) + len(scope["query_string"]) + headers


def _unavailable(error: Exception) -> Response:
    """Return the page of an error that may pass: a busy ledger, a full disk, a slow one."""
    answer = error_page(503, str(error) if isinstance(error, BotError) else "The page took too long.")
    answer.headers["Retry-After"] = "10"
    return answer


def _plain(host: str) -> str:
    """Return a name in lower case without its final dot, or an address in its shortest form."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
