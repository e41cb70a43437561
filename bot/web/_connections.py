"""
Connections with limits, for uvicorn.

uvicorn's own limit refuses requests but keeps every connection, and none of its time limits covers a connection that has
not sent its whole request. Descriptors are the process's: the loop needs them to start attempts.
"""

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from bot.web.application import RefusalLog, error_page

MOST = 64
"""
Open connections. One more closes the one that has been without a request for longest; if all have one, the one whose request
is oldest, so that slow pages never shut out a health check.
"""

REQUEST_S = 5.0
"""Longest time in seconds for a client to send the head of its request, the first or the next one."""

ANSWER_S = 30.0
"""Longest time in seconds from a request's head to the last byte of its answer, however slowly the client reads."""


class Connection(H11Protocol):
    """A connection that is closed in time, and that makes room for others."""

    refusals: RefusalLog
    """Log of refused requests; the server's."""

    since: float
    """When its present time limit began, by the event loop's clock."""

    cut: bool
    """Whether it has been cut off."""

    _deadline: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin with the time limit of a request; make room if there are too many connections."""
        super().connection_made(transport)
        self.since, self.cut = self.loop.time(), False
        self._deadline = self.loop.call_later(REQUEST_S, self.cut_off)
        others = [one for one in self.connections if isinstance(one, Connection) and one is not self and not one.cut]
        if len(others) >= MOST:
            waiting = [one for one in others if one.cycle is None or one.cycle.response_complete]
            min(waiting or others, key=lambda one: one.since).cut_off()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time limit."""
        self._deadline.cancel()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        """Begin the time limit of an answer with each request."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before and not self.cycle.response_complete:
            self._restart(ANSWER_S)

    def on_response_complete(self) -> None:
        """Begin the time limit of the next request, unless much of the answer is still to be sent."""
        if not self.flow.write_paused:
            self._restart(REQUEST_S)
        super().on_response_complete()

    def resume_writing(self) -> None:
        """Begin the time limit of the next request when a large answer has been sent."""
        super().resume_writing()
        if self.cycle is not None and self.cycle.response_complete:
            self._restart(REQUEST_S)

    def send_400_response(self, msg: str) -> None:
        """Answer a request that is no HTTP with a page, or close the connection if an answer has begun."""
        self.refusals.add(400, reason=msg)
        if self.cycle is not None:
            # The page that is being made has nobody left to be sent to.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        answer = error_page(400, "This is not an HTTP request.")
        try:
            head = h11.Response(status_code=400, headers=[*answer.raw_headers, (b"connection", b"close")])
            parts = [head, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()]
            self.transport.write(b"".join(self.conn.send(part) or b"" for part in parts))
        except h11.LocalProtocolError:
            self.cut_off()
        else:
            self.transport.close()

    def cut_off(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        self.cut = True
        self.transport.abort()

    def _restart(self, seconds: float) -> None:
        self._deadline.cancel()
        self.since = self.loop.time()
        self._deadline = self.loop.call_later(seconds, self.cut_off)
