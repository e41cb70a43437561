"""Answers of the storage to a GET, with or without a fault."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime

from bot.sandbox._connection_faults import DRIPS, Wire
from bot.sandbox._storage import ACCESS_DENIED, Content, Reply, answer
from bot.sandbox.faults import Fault
from bot.sandbox.mutations import mutate
from bot.sandbox.tournament import Tournament
from bot.sandbox.world.generate import World

PIECE = 1 << 20
SLICE_S = 0.05
"""Seconds of the transfer that are sent at a time where the speed is limited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    A reply and how it is sent.

    Attributes:
        reply: Status, headers and the whole body.
        sent: Bytes of the body that are sent before the connection closes.
        seconds: Duration of the transfer; 0 for full speed.
        length: Whether the reply has a ``Content-Length``.
    """

    reply: Reply
    sent: int
    seconds: float = 0.0
    length: bool = True


def deliver(
    content: Content | None, *, wanted: str | None, condition: str | None, fault: Fault | None, tournament: Tournament
) -> Delivery:
    """
    Return the answer to a GET.

    Args:
        content: The file; ``None`` if it does not exist.
        wanted: ``Range`` header.
        condition: ``If-Range`` header.
        fault: Fault of this request, if any.
        tournament: Source of conditions and of the previous round's live file.
    """
    kind = None if fault is None else fault.kind
    content = _changed_live(content, fault, tournament)
    if kind == "flip" and content is not None:
        flipped = bytearray(content.view)
        flipped[len(flipped) // 2] ^= 1
        content = Content.of(bytes(flipped))
    elif kind == "ignore_range":
        wanted = None
    reply = answer(content, wanted=wanted, condition=condition)
    if (published := _published(content, tournament)) is not None:
        reply.headers["Last-Modified"] = format_datetime(published, usegmt=True)
    whole = len(reply.body)
    if kind == "xml":
        reply = Reply(status=200, body=memoryview(ACCESS_DENIED), headers={"Content-Type": "application/xml"})
        return Delivery(reply=reply, sent=len(ACCESS_DENIED))
    if kind == "short":
        reply = replace(reply, body=reply.body[: whole // 2])
        return Delivery(reply=reply, sent=len(reply.body))
    if kind == "no_length":
        return Delivery(reply=reply, sent=whole // 2, length=False)
    if kind == "truncate":
        return Delivery(reply=reply, sent=whole // 2)
    return Delivery(reply=reply, sent=whole, seconds=fault.seconds if fault is not None and kind == "drip" else 0.0)


def _changed_live(content: Content | None, fault: Fault | None, tournament: Tournament) -> Content | None:
    """Return the content of a live file under a fault: missing, of the previous round, or of another schema."""
    if content is None or content.path is None or content.path.name != "live.parquet":
        return content
    kind, message = ("", "") if fault is None else (fault.kind, fault.message)
    if tournament.condition("data_late") is not None:
        return None
    if kind == "stale_live" or tournament.condition("data_stale") is not None:
        return _stale(content, tournament)
    schema = "last_dropped" if kind == "drop_features" else message if kind == "schema" else None
    schema = schema or tournament.condition("schema_change")
    return content if schema is None else Content.of(mutate(content.path, schema, features=_small(tournament)))


def send(
    wire: Wire,
    delivery: Delivery,
    closing: threading.Event,
    bytes_per_s: float | None = None,
    *,
    on_bytes: Callable[[int], None] = lambda _count: None,
) -> None:
    """
    Send a delivery; close the connection if a part of it is left out.

    Args:
        wire: Connection of the request.
        delivery: The delivery.
        closing: Event that ends every wait.
        bytes_per_s: Most bytes a second; ``None`` for full speed.
        on_bytes: Called with the number of the next bytes before they are sent.
    """
    body = delivery.reply.body
    wire.head(delivery.reply.status, len(body) if delivery.length else None, delivery.reply.headers)
    step, pause_s = (max(len(body) // DRIPS, 1), delivery.seconds / DRIPS) if delivery.seconds else (PIECE, 0.0)
    if bytes_per_s is not None:
        step = max(int(bytes_per_s * SLICE_S), 1)
        pause_s += min(step, delivery.sent) / bytes_per_s
    for start in range(0, delivery.sent, step):
        if pause_s and closing.wait(pause_s):
            break
        piece = bytes(body[start : min(start + step, delivery.sent)])
        on_bytes(len(piece))
        wire.body(piece)
    if delivery.sent < len(body):
        wire.close_connection = True


def _stale(content: Content | None, tournament: Tournament) -> Content | None:
    """Return the file of the same name of the previous round, if there is one."""
    number = tournament.schedule.opened(tournament.clock.now())
    if content is None or content.path is None or number is None or number == tournament.schedule.first_round:
        return content
    if tournament.live_era(number - 1) is None or not content.path.name.startswith("live"):
        return content
    version = next((one for one in tournament.added if one == content.path.parent.name), World.data_version)
    return Content.map(tournament.live_folder(number - 1, version) / content.path.name)


def _published(content: Content | None, tournament: Tournament) -> datetime | None:
    """Return when a live file was published, which is the opening of its round."""
    newest = tournament.schedule.opened(tournament.clock.now())
    if content is None or content.path is None or newest is None:
        return None
    for number in range(newest, max(newest - 2, tournament.schedule.first_round - 1), -1):
        era = tournament.live_era(number)
        if era is not None and era.folder in content.path.parents:
            return tournament.schedule.round(number).opens_at
    return None


def _small(tournament: Tournament) -> list[str]:
    """Return the small feature set, whose features every artifact uses."""
    about = max(tournament.directory.glob("*/features.json"))
    small: list[str] = json.loads(about.read_text(encoding="utf-8"))["feature_sets"]["small"]
    return small
