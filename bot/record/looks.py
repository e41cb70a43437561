"""
Record of the decisions between champion and challenger, so that the gate's confidence can be spent over them.

Each row is one look at a block of hold-out eras, of any recipe. Rows outlive the artifacts, which are pruned.
"""

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from bot.record.database import Database
from bot.system.kill_points import kill_point


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """
    One decision between champion and challenger.

    Attributes:
        at: ISO time, UTC.
        recipe: Recipe of both.
        artifact: Id of the challenger.
        champion: Id of the champion.
        renewal: Whether the challenger was the champion's recipe, trained again.
        first_era: Oldest era of the block.
        last_era: Newest era of the block.
        promoted: Whether the challenger was promoted.
        spent: Share of a year's confidence that the look cost.
        remaining: Share that was left after it.
        lead: Differences, by era, between a promoted renewal and the last champion that did not come by a renewal.
    """

    at: str
    recipe: str
    artifact: str
    champion: str
    renewal: bool
    first_era: str
    last_era: str
    promoted: bool
    spent: float
    remaining: float
    lead: Mapping[str, float]


class LookRecord(Database):
    """The looks that a ledger records."""

    def last(self) -> Look | None:
        """Return the newest look of any recipe; ``None`` where there is none."""
        rows = self._select("SELECT * FROM look ORDER BY id DESC LIMIT 1")
        return _look(rows[0]) if rows else None

    def count(self, era: str) -> int:
        """Return the number of looks whose block reaches to *era* or beyond."""
        return int(self._select("SELECT count(*) FROM look WHERE last_era >= ?", era)[0][0])

    def lead(self, artifact: str) -> Mapping[str, float]:
        """Return the lead that was recorded when an artifact was promoted; empty where none was."""
        query = "SELECT * FROM look WHERE artifact = ? AND promoted ORDER BY id DESC LIMIT 1"
        rows = self._select(query, artifact)
        return _look(rows[0]).lead if rows else {}

    def keep(self, look: Look, *, replaces_newest: bool = False) -> None:
        """Record a look, as a new one or in the place of the newest one."""
        with kill_point("look.keep"), self._transaction():
            if replaces_newest:
                self._db.execute("DELETE FROM look WHERE id = (SELECT max(id) FROM look)")
            self._db.execute(
                "INSERT INTO look (at, recipe, artifact, champion, renewal, first_era, last_era, promoted, spent, remaining,"
                " lead) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    look.at, look.recipe, look.artifact, look.champion, look.renewal, look.first_era, look.last_era,
                    look.promoted, look.spent, look.remaining, json.dumps(dict(look.lead)),
                ),
            )  # fmt: skip


def _look(row: sqlite3.Row) -> Look:
    """Return a row as a look."""
    return Look(
        at=row["at"],
        recipe=row["recipe"],
        artifact=row["artifact"],
        champion=row["champion"],
        renewal=bool(row["renewal"]),
        first_era=row["first_era"],
        last_era=row["last_era"],
        promoted=bool(row["promoted"]),
        spent=row["spent"],
        remaining=row["remaining"],
        lead={str(era): float(value) for era, value in json.loads(row["lead"]).items()},
    )
