"""
Live scores and payouts, round by round.

Scores change daily until a round resolves; a resolved score is never changed again. Payouts use the multipliers, the clip
and the factor of each round, never constants of this code.
"""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.record.database import Database
from bot.scoring.summaries import PayoutTerms, payout
from bot.tournament.responses import LiveScore, Payment
from bot.tournament.rounds import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRound:
    """
    Scores and payout of one round of one slot.

    Attributes:
        round: Numerai's number of the round.
        slot: Model name.
        scores: Scores by name.
        percentiles: Percentiles by name of the score, where Numerai gives them.
        day: Newest scoring day.
        resolved: Whether every score is final.
        pay: Payout per NMR staked, by the round's payout terms; ``None`` while a paid score or the terms are missing.
        at_risk: Staked NMR; ``None`` where it is not known.
        paid: NMR that Numerai has paid, or would pay by today's scores; ``None`` where it is not known.
        settled: Whether it has been paid.
    """

    round: int
    slot: str
    scores: Mapping[str, float]
    percentiles: Mapping[str, float]
    day: int
    resolved: bool
    pay: float | None
    at_risk: float | None = None
    paid: float | None = None
    settled: bool = False

    @property
    def over_terms(self) -> float | None:
        """Return the NMR that Numerai pays above the round's terms; ``None`` where one of the figures is not known."""
        known = self.paid is not None and self.pay is not None and self.at_risk is not None
        return self.paid - self.pay * self.at_risk if known else None  # type: ignore[operator]


class LiveScores(Database):
    """Table of live scores, payouts and payout terms in a ledger."""

    def record(self, slot: str, scores: Sequence[LiveScore]) -> int:
        """Record the newest value of each score; return the number of scores that were new, changed or became final."""
        with self._transaction():
            before = self._db.total_changes
            self._db.executemany(
                "INSERT INTO live_score (round, slot, name, value, percentile, day, date, resolved)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET value = excluded.value, percentile = excluded.percentile, day = excluded.day,"
                " date = excluded.date, resolved = excluded.resolved"
                " WHERE resolved = 0 AND (excluded.resolved, excluded.day) >= (resolved, day)"
                " AND (excluded.value, excluded.day, excluded.resolved) <> (value, day, resolved)",
                [
                    (one.round, slot, one.name, one.value, one.percentile, one.day, one.date, int(one.resolved))
                    for one in scores
                ],
            )
            return self._db.total_changes - before

    def record_terms(self, round_: Round) -> None:
        """Record the payout terms of a round; nothing where they are incomplete."""
        clips = {one.clip for one in round_.payouts}
        if not round_.payouts or round_.factor is None or len(clips) != 1 or None in clips:
            return
        terms = json.dumps({one.score: one.multiplier for one in round_.payouts}, sort_keys=True)
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO round_pay (round, multipliers, clip, factor) VALUES (?, ?, ?, ?)",
                (round_.number, terms, clips.pop(), round_.factor),
            )

    def record_payouts(self, paid: Sequence[Payment], stakes: Mapping[str, Mapping[int, float]]) -> int:
        """
        Record payouts; a settled one is never changed. Return the number of figures that were new or changed.

        Args:
            paid: Payouts of the account.
            stakes: NMR at risk, by slot and round.
        """
        with self._transaction():
            before = self._db.total_changes
            self._db.executemany(
                "INSERT INTO round_paid (round, slot, nmr, at_risk, settled) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET nmr = excluded.nmr, at_risk = coalesce(excluded.at_risk, at_risk),"
                " settled = excluded.settled WHERE settled = 0"
                " AND (excluded.nmr, excluded.settled, excluded.at_risk) IS NOT (nmr, settled, at_risk)",
                [
                    (one.round, one.slot, one.nmr, stakes.get(one.slot, {}).get(one.round), int(one.settled))
                    for one in paid
                ],
            )
            return self._db.total_changes - before

    def newest_terms(self) -> PayoutTerms | None:
        """Return the payout terms of the newest round that has any, or ``None``."""
        rows = self._select("SELECT * FROM round_pay ORDER BY round DESC LIMIT 1")
        if not rows:
            return None
        row = rows[0]
        return PayoutTerms(
            multipliers=json.loads(row["multipliers"]),
            clip=row["clip"],
            factor=row["factor"],
            source=f"round {row['round']}",
        )

    def rounds_without_terms(self) -> tuple[int, ...]:
        """Return the rounds with scores whose payout terms are not known."""
        rows = self._select(
            "SELECT DISTINCT round FROM live_score WHERE round NOT IN (SELECT round FROM round_pay) ORDER BY round"
        )
        return tuple(int(row["round"]) for row in rows)

    def rounds(self, slot: str | None = None) -> tuple[LiveRound, ...]:
        """Return every round of a slot, or of all, oldest first."""
        terms = {row["round"]: row for row in self._select("SELECT * FROM round_pay")}
        held: dict[tuple[int, str], list[LiveScore]] = {}
        for row in self._select("SELECT * FROM live_score ORDER BY round, slot, name"):
            if slot in (None, row["slot"]):
                values = {name: row[name] for name in LiveScore.__dataclass_fields__}
                held.setdefault((row["round"], row["slot"]), []).append(
                    LiveScore(**{**values, "resolved": bool(values["resolved"])})
                )
        paid = {(row["round"], row["slot"]): row for row in self._select("SELECT * FROM round_paid")}
        found = []
        for (number, name), scores in held.items():
            payment = paid.get((number, name))
            values = {one.name: one.value for one in scores}
            found.append(
                LiveRound(
                    round=number,
                    slot=name,
                    scores=values,
                    percentiles={one.name: one.percentile for one in scores if one.percentile is not None},
                    day=max(one.day for one in scores),
                    resolved=all(one.resolved for one in scores),
                    pay=_pay(values, terms.get(number)),
                    at_risk=None if payment is None else payment["at_risk"],
                    paid=None if payment is None else payment["nmr"],
                    settled=payment is not None and bool(payment["settled"]),
                )
            )
        return tuple(found)


def _pay(scores: Mapping[str, float], terms: sqlite3.Row | None) -> float | None:
    """Return the payout per NMR staked; ``None`` while a paid score or the terms are missing."""
    multipliers = {} if terms is None else json.loads(terms["multipliers"])
    if terms is None or not set(multipliers) <= set(scores):
        return None
    return float(payout(scores, multipliers, clip=terms["clip"], factor=terms["factor"]))
