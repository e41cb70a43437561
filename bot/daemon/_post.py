"""
Send one message or ping in a process of its own, which ends itself after a while.

No timeout of an HTTP library ends an exchange whose peer sends a byte now and then, and a thread that waits for such a
peer cannot be ended. A process can. The addresses are secrets: they come through standard input, where nobody sees them.
"""

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import structlog

from bot.errors import BadConfig, RetryLater
from bot.system import logs, redaction
from bot.system.child_environment import ISOLATED, child_environment
from bot.system.output import guard_output

LIMIT_S = 30
"""Longest run of the process in seconds."""

READ_S = 10.0
"""Longest wait of a ping for one read, in seconds."""

SENT, REFUSED, MALFORMED = 0, 1, 2
"""Exit statuses of the process; one that is refused prints the reason as its last line."""

REASON_BYTES = 300
"""Most bytes of the reason that are shown."""

log = structlog.get_logger()


class NotSent(RetryLater):
    """The service did not take the message."""


def post(order: Mapping[str, Any]) -> None:
    """
    Carry out an order in a process of its own.

    Args:
        order: ``do`` is ``check``, ``message`` or ``ping``; ``url`` the address; ``title``, ``body`` and ``kind`` those of
            a message; ``logging`` the arguments of :func:`bot.system.logs.configure`.

    Raises:
        NotSent: The service refused the message or did not take it in time, or no process could be started.
        BadConfig: The address is no apprise URL.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the bot's own program
            [*ISOLATED, "-m", "bot.daemon._post"],
            input=json.dumps(dict(order)).encode(),
            env=child_environment(),
            stdout=subprocess.PIPE,
            timeout=LIMIT_S,
            check=False,
            start_new_session=True,
        )
    except (subprocess.TimeoutExpired, OSError) as error:
        raise NotSent(f"not taken: {type(error).__name__}") from None
    if done.returncode == MALFORMED:
        raise BadConfig("no apprise URL: see https://github.com/caronc/apprise for the form of each service")
    if done.returncode != SENT:
        said = done.stdout[-REASON_BYTES:].decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise NotSent(f"not taken: {said or f'exit status {done.returncode}'}")


def main() -> int:
    """Carry out the order on standard input; return the exit status."""
    signal.alarm(LIMIT_S)  # also after the daemon has died
    guard_output()  # a message that was sent would count as lost where standard error cannot be flushed at the end
    order = json.load(sys.stdin)
    logs.configure(**{**order["logging"], "secrets": tuple(order["logging"]["secrets"])})
    try:
        return _ping(order["url"]) if order["do"] == "ping" else _notify(order)
    except Exception as error:  # noqa: BLE001 - a hundred services fail in their own ways; the daemon tries again
        log.warning("message.refused", kind=type(error).__name__)
        _explain(type(error).__name__)
        return REFUSED


def _ping(url: str) -> int:
    import requests  # noqa: PLC0415 - only a ping needs it
    from requests.utils import get_auth_from_url  # noqa: PLC0415

    login = get_auth_from_url(url)
    # Without an auth of our own, requests sends what ~/.netrc holds for the host.
    answer = requests.get(url, timeout=READ_S, stream=True, auth=login if any(login) else lambda request: request)
    if not answer.ok:
        _explain(f"HTTP {answer.status_code}")
    return SENT if answer.ok else REFUSED


def _notify(order: Mapping[str, Any]) -> int:
    import apprise  # noqa: PLC0415 - a fifth of a second that a ping does not need

    service = apprise.Apprise.instantiate(order["url"])
    if service is None:
        return MALFORMED
    if order["do"] == "check":
        return SENT
    kind = apprise.NotifyType.FAILURE if order["kind"] == "alert" else apprise.NotifyType.SUCCESS
    # Apprise refuses a message without a body.
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
        sent = service.notify(
            title=f"numerai-bot: {order['title']}", body=order["body"] or order["title"], notify_type=kind
        )
    if not sent:
        _explain(said.getvalue())
    return SENT if sent else REFUSED


def _explain(reason: str) -> None:
    """Give a reason to the process that ordered the message, in one line without secrets."""
    sys.stdout.write(f"\n{redaction.redact(' '.join(reason.split()))}\n")


if __name__ == "__main__":
    sys.exit(main())
