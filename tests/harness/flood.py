"""
A flood of the daemon's port: idle and dripping connections, garbage, foreign hosts, guesses, huge heads, readers that stop.

The daemon is a real ``bot run`` with a webhook. While each attack goes on, its health page must answer in time, its loop must
go on looking, and it must keep few descriptors; in the end its log must hold no traceback.
"""

import random
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import OPENED, Installation
from tests.harness.process import Running, running, until

ANSWER_S, LOOK_S = 20.0, 30.0
"""Longest time for an answer and between two looks of the loop, in seconds; many times what a quiet machine needs."""

DESCRIPTORS = 400
"""Most descriptors that the daemon may hold; 1,024 are what a process usually gets."""

TOKEN = "flood-flood-flood-flood"  # noqa: S105 - of this test
GET = "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
PATHS = (
    "/round/" + "9" * 23,
    "/round/%00",
    "/%",
    "/%ff%fe",
    "/report/..%2f..%2fledger.sqlite",
    "//",
    "/live/../",
    "*",
    "/%F0%9F",
)


@dataclass(kw_only=True)
class Flooded:
    """Result of a flood: attacks by name with their number of connections, the worst of what was measured, breaches."""

    sent: dict[str, int] = field(default_factory=dict)
    answer_s: float = 0.0
    look_s: float = 0.0
    descriptors: int = 0
    breaches: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        sent = ", ".join(f"{name} {count}" for name, count in self.sent.items())
        return (
            f"flood: {sent}; slowest answer {self.answer_s:.2f} s, longest between two looks {self.look_s:.1f} s, "
            f"most descriptors {self.descriptors}; {len(self.breaches)} breaches"
        )


@dataclass(kw_only=True)
class Flooder:
    """A client of the daemon's port."""

    bot: Running
    port: int
    result: Flooded
    seen: float = 0.0

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=ANSWER_S)

    def ask(self, content: bytes) -> bytes:
        """Send *content*; return the beginning of the answer, empty where the connection was closed without one."""
        try:
            with closing(self.connect()) as connection:
                connection.sendall(content)
                return connection.recv(65536)
        except ConnectionError:
            return b""

    def check(self, attack: str) -> None:
        """Measure what must hold during an attack."""
        began = time.monotonic()
        try:
            requests.get(f"http://127.0.0.1:{self.port}/healthz", timeout=ANSWER_S)
        except requests.RequestException as error:
            self.result.breaches.append(f"{attack}: the health page did not answer: {error}")
        self.result.answer_s = max(self.result.answer_s, time.monotonic() - began)
        try:
            beat = until(lambda: (at := self.bot.beat()) > self.seen and at, LOOK_S, "no look")
            self.result.look_s = max(self.result.look_s, time.monotonic() - max(self.seen, began))
            self.seen = beat
        except TimeoutError as error:
            self.result.breaches.append(f"{attack}: the loop does not go on: {error}")
        held = psutil.Process(self.bot.process.pid).num_fds()
        self.result.descriptors = max(self.result.descriptors, held)
        if held > DESCRIPTORS:
            self.result.breaches.append(f"{attack}: the daemon holds {held} descriptors")

    def expect(self, attack: str, content: bytes, *wanted: int) -> None:
        """Send a request that must be answered with one of the statuses *wanted*."""
        answer = self.ask(content)
        status = int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0
        if status not in wanted:
            self.result.breaches.append(f"{attack}: {status} for {content[:60]!r}")


def _held(flooder: Flooder, content: bytes, count: int) -> None:
    """Open *count* connections that send *content*, and hold them while the daemon is measured."""
    with ExitStack() as held:
        for number in range(count):
            connection = held.enter_context(closing(flooder.connect()))
            try:
                connection.sendall(content)
            except ConnectionError:
                continue  # it has been cut off already
            if number % 200 == 199:
                flooder.check("held connections")
        flooder.check("held connections")


def idle(flooder: Flooder, count: int) -> None:
    """Hold connections that send nothing."""
    _held(flooder, b"", count)


def half(flooder: Flooder, count: int) -> None:
    """Hold connections that send half a request."""
    _held(flooder, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-", count)


def unread(flooder: Flooder, count: int) -> None:
    """Hold connections that ask for a page and do not read it."""
    _held(flooder, GET.format(path="/", host="localhost").encode(), count)


def garbage(flooder: Flooder, count: int) -> None:
    """Send random bytes."""
    chance = random.Random(0)
    for _ in range(count):
        flooder.expect("garbage", chance.randbytes(chance.randrange(1, 400)) + b"\r\n\r\n", 400)


def hosts(flooder: Flooder, count: int) -> None:
    """Ask in the name of other hosts."""
    for number in range(count):
        content = GET.format(path=("/", "/live", "/metrics")[number % 3], host=f"rebound-{number}.example").encode()
        flooder.expect("foreign host", content, 400)


def guesses(flooder: Flooder, count: int) -> None:
    """Guess the webhook's token."""
    for number in range(count):
        content = GET.format(path=f"/hook/{number:020d}", host="localhost").replace("GET", "POST", 1).encode()
        flooder.expect("guess", content, 404, 429)


def heads(flooder: Flooder, count: int) -> None:
    """Send huge headers and paths."""
    for number in range(count):
        long = "x" * 60_000
        content = (
            GET.format(path="/", host=f"localhost\r\nX-Long: {long}")
            if number % 2
            else GET.format(path=f"/{long}", host="localhost")
        )
        flooder.expect("huge head", content.encode(), 400, 431)


def paths(flooder: Flooder, count: int) -> None:
    """Ask for odd paths."""
    for number in range(count):
        content = GET.format(path=PATHS[number % len(PATHS)], host="localhost").encode()
        flooder.expect("odd path", content, 400, 404)


ATTACKS: dict[str, Callable[[Flooder, int], None]] = {
    "idle": idle, "half a request": half, "unread": unread, "garbage": garbage, "foreign hosts": hosts, "guesses": guesses,
    "huge heads": heads, "odd paths": paths,
}  # fmt: skip


def play(world: Path, folder: Path, *, count: int) -> Flooded:
    """
    Flood a daemon's port.

    Args:
        world: Folder of a generated world.
        folder: Folder for all files.
        count: Connections of each attack.
    """
    result = Flooded()
    settings = {
        "BOT_TICK_S": "0.5", "BOT_RETRAIN": "off", "BOT_SYNC": "off", "BOT_BACKUP": "off", "BOT_SCORES": "off",
        "BOT_DIAGNOSTICS": "off", "BOT_HTTP_PORT": "0", "BOT_WEBHOOK_TOKEN": TOKEN, "BOT_LOG_FORMAT": "json",
    }  # fmt: skip
    with Sandbox(World.open(world), clock=SandboxClock(OPENED)) as sandbox:
        installation = Installation(sandbox=sandbox, root=folder, settings=settings)
        with running(installation) as bot, _many_descriptors():
            port = until(lambda: bot.events("web.started"), 600, "no pages")[0]["port"]
            flooder = Flooder(bot=bot, port=port, result=result)
            for name, attack in ATTACKS.items():
                flooder.seen = bot.beat()
                attack(flooder, count)
                flooder.check(name)
                result.sent[name] = count
            if bot.process.poll() is not None:
                result.breaches.append(f"the daemon ended with {bot.process.returncode}")
        if "Traceback" in bot.log.read_text(encoding="utf-8"):
            result.breaches.append("the log holds a traceback")
    return result


@contextmanager
def _many_descriptors() -> Iterator[None]:
    """Let this process open more connections than a process usually may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(8192, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
