"""Pickles that the bot uploaded for slots which Numerai runs itself (Model Upload), and what became of them."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields, replace
from datetime import datetime

from bot.record.database import Database
from bot.system.kill_points import kill_point


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedPickle:
    """
    A pickle that was meant for a slot.

    Attributes:
        slot: Name of the model.
        sha256: Digest of the pickle's bytes.
        account: Name of the account in ``bot.toml``; empty for the only one.
        model_id: Numerai's id of the model.
        artifact: Id of the artifact in the pickle.
        filename: Name of the uploaded file; the server may add to it.
        pickle: Numerai's id of the upload; empty before it.
        stale_after: ISO time after which the pickle masks its history; ``None`` without a history.
        state: ``intended`` before the upload, ``uploaded`` until the slot runs it, ``refused`` by Numerai's validation,
            ``assigned`` while the slot runs it, ``replaced`` afterwards.
        detail: What Numerai said last, as a message; empty where all is well.
        at: ISO time of the last change of *state*, UTC.
        assigned_at: ISO time at which the slot began to run it, ``None`` before.
        checked_at: ISO time of the last daily look, ``None`` before the first.
    """

    slot: str
    sha256: str
    account: str
    model_id: str
    artifact: str
    filename: str
    pickle: str = ""
    stale_after: str | None = None
    state: str = "intended"
    detail: str = ""
    at: str = ""
    assigned_at: str | None = None
    checked_at: str | None = None

    @property
    def summary(self) -> str:
        """Return the state in words."""
        words = {
            "intended": "not uploaded yet",
            "uploaded": "uploaded, not assigned yet",
            "refused": "refused by Numerai",
            "assigned": "" if self.detail else "runs",
            "replaced": "replaced",
        }
        return ": ".join(filter(None, (words[self.state], self.detail)))


_COLUMNS = tuple(one.name for one in fields(HostedPickle))


class HostedRecord(Database):
    """The pickles that a ledger records."""

    def get(self, slot: str, sha256: str) -> HostedPickle | None:
        """Return a pickle that was meant for a slot, ``None`` where it is not recorded."""
        rows = self._select("SELECT * FROM hosted_pickle WHERE slot = ? AND sha256 = ?", slot, sha256)
        return HostedPickle(**dict(rows[0])) if rows else None

    def all(self) -> tuple[HostedPickle, ...]:
        """Return all pickles by slot, in the order of their last change."""
        return tuple(HostedPickle(**dict(row)) for row in self._select("SELECT * FROM hosted_pickle ORDER BY slot, at"))

    def keep(self, one: HostedPickle, *, at: datetime) -> HostedPickle:
        """Record a pickle in its new state and return it; of a slot's pickles at most one is ``assigned``."""
        kept = replace(one, at=at.isoformat())
        with kill_point("hosted.keep"), self._transaction():
            if kept.state == "assigned":
                self._db.execute(
                    "UPDATE hosted_pickle SET state = 'replaced', at = ? WHERE slot = ? AND sha256 != ?"
                    " AND state = 'assigned'",
                    (kept.at, kept.slot, kept.sha256),
                )
            self._write(kept)
        return kept

    def check(self, one: HostedPickle, detail: str, *, at: datetime) -> None:
        """Record the result of a daily look."""
        with kill_point("hosted.check"), self._transaction():
            self._write(replace(one, detail=detail, checked_at=at.isoformat()))

    def _write(self, one: HostedPickle) -> None:
        places = ", ".join("?" * len(_COLUMNS))
        self._db.execute(
            f"INSERT OR REPLACE INTO hosted_pickle ({', '.join(_COLUMNS)}) VALUES ({places})",  # noqa: S608 - own names
            astuple(one),
        )


def shown(pickles: Iterable[HostedPickle]) -> tuple[HostedPickle, ...]:
    """Return of each slot the pickle that it runs, and one that came after it and does not run."""
    found = []
    by_slot: dict[str, list[HostedPickle]] = {}
    for one in pickles:
        by_slot.setdefault(one.slot, []).append(one)
    for several in by_slot.values():
        runs = next((one for one in several if one.state == "assigned"), None)
        newer = [
            one for one in several if one.state not in ("assigned", "replaced") and (runs is None or one.at > runs.at)
        ]
        found += [one for one in (runs, newer[-1] if newer else None) if one is not None]
    return tuple(found)
