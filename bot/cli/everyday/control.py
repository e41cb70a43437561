"""`bot pause`, `bot resume` and `bot retry`: orders to a running bot, written into the ledger of the mode."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from bot.cli.answer import Answer
from bot.cli.paths import StatePaths, state_paths
from bot.errors import BadConfig, OperatorNeeded, RoundNotOpen
from bot.record.control import EVERY_SLOT, RETRY
from bot.record.heartbeat import is_running
from bot.record.ledger import Ledger
from bot.system.moments import parse_end, until

TICK = "within 20 seconds"
"""When the daemon follows an order: its next look, which BOT_TICK_S can only bring forward."""


def pause(slot: str | None, *, end: str | None) -> Answer:
    """
    Pause a slot, or every slot for ``None``; return what was done.

    Raises:
        BadConfig: The slot is unknown, or *end* is no time in the future.
    """
    paths, now = state_paths(), datetime.now(UTC)
    moment = None if end is None else parse_end(end, now)
    with closing(Ledger(paths.ledger)) as ledger:
        _check_slot(slot, paths, ledger)
        ledger.pause(slot or EVERY_SLOT, until=moment, at=now)
        content = {"paused": [asdict(one) for one in ledger.pauses(now)]}
    named = f"slot {slot}" if slot else "every slot"
    how_long = f"until {until(moment, now)}" if moment else f"until `bot resume{f' {slot}' if slot else ''}`"
    return Answer(lines=(f"{named} is paused {how_long}; a running bot obeys {TICK}",), content=content)


def resume(slot: str | None) -> Answer:
    """
    End the pause of a slot, or every pause for ``None``; return what was done.

    Raises:
        BadConfig: The slot is unknown, or only a pause of every slot holds it back.
    """
    paths, now = state_paths(), datetime.now(UTC)
    with closing(Ledger(paths.ledger)) as ledger:
        _check_slot(slot, paths, ledger)
        ended = ledger.resume(slot, at=now)
        left = ledger.pauses(now)
    if slot and not ended and any(one.slot == EVERY_SLOT for one in left):
        raise BadConfig(f"every slot is paused, not {slot} alone; `bot resume` ends that pause")
    lines = [f"{one.slot or 'every slot'} is resumed; a running bot obeys {TICK}" for one in ended]
    content = {"resumed": [one.slot for one in ended], "paused": [asdict(one) for one in left]}
    return Answer(lines=tuple(lines) or ("nothing was paused",), content=content)


def retry() -> Answer:
    """
    Ask the running bot for an attempt at the open round now; return what will happen.

    Raises:
        RoundNotOpen: No round is open.
        OperatorNeeded: No bot runs.
    """
    paths, now = state_paths(), datetime.now(UTC)
    if not is_running(paths.state_dir):
        raise OperatorNeeded(f"no bot runs with {paths.state_dir}; try once with `bot submit`, or start `bot run`")
    with closing(Ledger(paths.ledger)) as ledger:
        seen = ledger.last_round()
        if seen is None or datetime.fromisoformat(seen["closes_at"]) <= now:
            raise RoundNotOpen("no round is open; the bot tries the next one by itself when it opens")
        ledger.ask(RETRY, at=now)
    number = seen["number"]
    line = f"round {number}: the bot tries every slot that is not confirmed again {TICK}"
    return Answer(lines=(line,), content={"round": number, "asked_at": now.isoformat()})


def _check_slot(slot: str | None, paths: StatePaths, ledger: Ledger) -> None:
    """Check that *slot* is configured, or, where the settings name none, that the ledger knows it."""
    known: Mapping[str, Any] = paths.slots or dict.fromkeys(one.slot for one in ledger.entries(limit=200))
    if slot is None or slot in known:
        return
    if not known:
        raise BadConfig(f"slot {slot!r} is unknown, for BOT_SLOTS names none; leave the name out to mean every slot")
    raise BadConfig(f"slot {slot!r} is unknown; slots: {', '.join(sorted(known))}")
