"""Orders of a person to a running bot, written into its ledger: `bot pause`, `bot resume`, `bot retry`, and the pages' buttons."""

from collections.abc import Collection, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.errors import BadConfig, OperatorNeeded, RoundNotOpen
from bot.record.control import EVERY_SLOT, RETRY
from bot.record.heartbeat import is_running
from bot.record.ledger import Ledger
from bot.system.moments import parse_end, until

TICK = "within 20 seconds"
"""When the daemon follows an order: its next look, which BOT_TICK_S can only bring forward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """
    What an order has done.

    Attributes:
        lines: The same in words.
        content: The same as plain JSON values.
    """

    lines: tuple[str, ...]
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """
    Orders to the bot of a state directory.

    Attributes:
        state_dir: The state directory.
        ledger_path: Ledger of the mode.
        mode: The mode in force.
        slots: Names of the configured slots; empty where the settings name none, and the ledger's slots count.
    """

    state_dir: Path
    ledger_path: Path
    mode: str
    slots: Collection[str]

    def pause(self, slot: str | None, *, end: str | None) -> Done:
        """
        Pause a slot, or every slot for ``None``.

        Raises:
            BadConfig: The slot is unknown, or *end* is no time in the future.
        """
        now = datetime.now(UTC)
        moment = None if end is None else parse_end(end, now)
        with closing(Ledger(self.ledger_path)) as ledger:
            self._check_slot(slot, ledger)
            ledger.pause(slot or EVERY_SLOT, until=moment, at=now)
            content = {"paused": [asdict(one) for one in ledger.pauses(now)]}
        named = f"slot {slot}" if slot else "every slot"
        how_long = f"until {until(moment, now)}" if moment else f"until `bot resume{f' {slot}' if slot else ''}`"
        return Done(lines=(f"{named} is paused {how_long}; {self._obeyed}",), content=content)

    def resume(self, slot: str | None) -> Done:
        """
        End the pause of a slot, or every pause for ``None``.

        Raises:
            BadConfig: The slot is unknown, or only a pause of every slot holds it back.
        """
        now = datetime.now(UTC)
        with closing(Ledger(self.ledger_path)) as ledger:
            self._check_slot(slot, ledger)
            ended = ledger.resume(slot, at=now)
            left = ledger.pauses(now)
        if slot and not ended and any(one.slot == EVERY_SLOT for one in left):
            raise BadConfig(f"every slot is paused, not {slot} alone; `bot resume` ends that pause")
        lines = [f"{one.slot or 'every slot'} is resumed; {self._obeyed}" for one in ended]
        content = {"resumed": [one.slot for one in ended], "paused": [asdict(one) for one in left]}
        return Done(lines=tuple(lines) or ("nothing was paused",), content=content)

    def retry(self) -> Done:
        """
        Ask the running bot for an attempt at the open round now.

        Raises:
            RoundNotOpen: No round is open.
            OperatorNeeded: No bot runs.
        """
        now = datetime.now(UTC)
        if not self._runs:
            raise OperatorNeeded(f"{self._nobody}; try once with `bot submit`, or start `bot run`")
        with closing(Ledger(self.ledger_path)) as ledger:
            seen = ledger.newest_round()
            if seen is None or seen.closes_at <= now:
                raise RoundNotOpen("no round is open; the bot tries the next one by itself when it opens")
            ledger.ask(RETRY, at=now)
        number = seen.number
        line = f"round {number}: the bot tries every slot that is not confirmed again {TICK}"
        return Done(lines=(line,), content={"round": number, "asked_at": now.isoformat()})

    @property
    def _runs(self) -> bool:
        return is_running(self.state_dir, mode=self.mode)

    @property
    def _nobody(self) -> str:
        return f"no bot runs with {self.state_dir.absolute()} in mode {self.mode}"

    @property
    def _obeyed(self) -> str:
        """Return who obeys: a bot with another state directory or mode never reads this ledger."""
        if self._runs:
            return f"the running bot obeys {TICK}"
        return f"{self._nobody}: this counts for `bot submit`, and from the next start of `bot run` there"

    def _check_slot(self, slot: str | None, ledger: Ledger) -> None:
        """Check that *slot* is configured, or, where the settings name none, that the ledger knows it."""
        known = set(self.slots) or {one.slot for one in ledger.entries(limit=200)}
        if slot is None or slot in known:
            return
        if not known:
            raise BadConfig(
                f"slot {slot!r} is unknown, for BOT_SLOTS names none; leave the name out to mean every slot"
            )
        raise BadConfig(f"slot {slot!r} is unknown; slots: {', '.join(sorted(known))}")
