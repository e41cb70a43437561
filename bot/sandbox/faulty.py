"""What a misbehaving storage sends instead of a file."""

import json
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from bot.sandbox.faults import Fault
from bot.sandbox.storage import ACCESS_DENIED, Content, Reply, answer
from bot.sandbox.tournament import Tournament

DROPPED = 3
"""Features that ``drop_features`` takes out of a file, from the end of the smallest feature set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A reply, how much of its body is sent before the line goes dead, and over how many seconds."""

    reply: Reply
    sent: int
    seconds: float = 0.0


def deliver(
    content: Content | None, *, wanted: str | None, condition: str | None, fault: Fault | None, tournament: Tournament
) -> Delivery:
    """
    Return what a GET is answered, with or without a fault.

    Args:
        content: The file, ``None`` if there is none.
        wanted: ``Range`` header.
        condition: ``If-Range`` header.
        fault: Which misbehaviour, if any.
        tournament: Knows the live file of the round before.
    """
    kind = None if fault is None else fault.kind
    if kind == "stale_live":
        content = _stale(content, tournament)
    elif kind == "drop_features":
        content = _narrow(content, tournament)
    elif kind == "ignore_range":
        wanted = None
    reply = answer(content, wanted=wanted, condition=condition)
    whole = len(reply.body)
    if kind == "xml":
        reply = Reply(status=200, body=memoryview(ACCESS_DENIED), headers={"Content-Type": "application/xml"})
        return Delivery(reply=reply, sent=len(ACCESS_DENIED))
    if kind == "short":
        reply = replace(reply, body=reply.body[: whole // 2])
        return Delivery(reply=reply, sent=len(reply.body))
    if kind == "truncate":
        return Delivery(reply=reply, sent=whole // 2)
    return Delivery(reply=reply, sent=whole, seconds=fault.seconds if fault is not None and kind == "drip" else 0.0)


def _stale(content: Content | None, tournament: Tournament) -> Content | None:
    """Return the file of the same name of the round before."""
    number = tournament.schedule.opened(tournament.clock.now())
    if content is None or content.path is None or number is None or number == tournament.schedule.first_round:
        return content
    before = tournament.live_era(number - 1)
    if before is None or not content.path.name.startswith("live"):
        return content
    return Content.map(before.folder / content.path.name)


def _narrow(content: Content | None, tournament: Tournament) -> Content | None:
    """Return a parquet file without some of its features."""
    if content is None or content.path is None or content.path.suffix != ".parquet":
        return content
    table = pq.read_table(content.path)
    about = max(tournament.directory.glob("*/features.json"))
    small = json.loads(about.read_text(encoding="utf-8"))["feature_sets"]["small"]
    sink = pa.BufferOutputStream()
    pq.write_table(table.drop_columns(small[-DROPPED:]), sink)
    return Content.of(sink.getvalue().to_pybytes())
