"""What a person tells a running bot through the ledger: pauses of slots, and attempts to make again at once."""

from dataclasses import dataclass
from datetime import datetime

from bot.errors import SlotPaused
from bot.record.database import Database
from bot.system.kill_points import kill_point

EVERY_SLOT = ""
"""Slot of a pause that concerns all slots."""

PAUSED, RESUMED, RETRY, ALERT_TEST = "control.paused", "control.resumed", "control.retry", "control.alert_test"
"""Events of the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """
    A pause of a slot: nothing is uploaded for it.

    Attributes:
        slot: Name of the slot; empty for all of them.
        since: ISO time of its begin, UTC.
        until: ISO time of its end, UTC; ``None`` lasts until `bot resume`.
    """

    slot: str
    since: str
    until: str | None


class Control(Database):
    """The pauses of a ledger, and what a person asked for."""

    def pause(self, slot: str, *, until: datetime | None, at: datetime) -> None:
        """Pause *slot*, or every slot for an empty name; a later pause of the same slot replaces an earlier one."""
        end = None if until is None else until.isoformat()
        with kill_point("ledger.pause"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO pause (slot, since, until) VALUES (?, ?, ?)", (slot, at.isoformat(), end)
            )
            self._event(PAUSED, at.isoformat(), None, slot or None, {"until": end or ""})

    def resume(self, slot: str | None, *, at: datetime) -> tuple[Pause, ...]:
        """End the pause of *slot*, or every pause for ``None``; return the pauses that it ended."""
        ended = tuple(one for one in self.pauses(at) if slot in (None, one.slot))
        with kill_point("ledger.resume"), self._transaction():
            for one in ended:
                self._db.execute("DELETE FROM pause WHERE slot = ?", (one.slot,))
                self._event(RESUMED, at.isoformat(), None, one.slot or None, {})
        return ended

    def pauses(self, now: datetime) -> tuple[Pause, ...]:
        """Return the pauses that last at *now*."""
        found = [Pause(**dict(row)) for row in self._select("SELECT slot, since, until FROM pause ORDER BY slot")]
        return tuple(one for one in found if one.until is None or datetime.fromisoformat(one.until) > now)

    def pause_of(self, slot: str, now: datetime) -> Pause | None:
        """Return the pause that holds *slot* back at *now*, or ``None``."""
        return next((one for one in self.pauses(now) if one.slot in (slot, EVERY_SLOT)), None)

    def check_unpaused(self, slot: str, now: datetime) -> None:
        """
        Check that no person holds *slot* back.

        Raises:
            SlotPaused: A pause lasts.
        """
        pause = self.pause_of(slot, now)
        if pause is not None:
            until = f"until {pause.until[:16].replace('T', ' ')} UTC" if pause.until else "until it is resumed"
            raise SlotPaused(
                f"slot {slot} is paused {until}; `bot resume{' ' * bool(pause.slot)}{pause.slot}` ends the pause"
            )

    def ask(self, event: str, *, at: datetime) -> None:
        """Record that a person asked for something: :data:`RETRY` or :data:`ALERT_TEST`."""
        with kill_point("ledger.ask"), self._transaction():
            self._event(event, at.isoformat(), None, None, {})

    def newest_order(self, *, after: int = 0) -> int:
        """Return the number of the newest pause, resumption or retry after event *after*; *after* where there is none."""
        query = "SELECT max(id) AS id FROM event WHERE id > ? AND name IN (?, ?, ?)"
        return int(self._select(query, after, PAUSED, RESUMED, RETRY)[0]["id"] or after)
