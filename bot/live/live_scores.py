"""
What came of the submissions: live scores round by round, frozen once they are resolved, and what the rounds paid for them.

Scores move daily until a round resolves; afterwards nothing here changes them any more, whatever is read. The pay is the
round's own: its multipliers, its clip and its factor, never constants of this code.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.record.database import Database
from bot.scoring.summaries import PayoutTerms, payout
from bot.tournament.responses import LiveScore, Payment
from bot.tournament.rounds import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRound:
    """
    A slot's round.

    Attributes:
        round: Numerai's number.
        slot: Model name.
        scores: By name.
        percentiles: By name, as far as they are told.
        day: Newest scoring day.
        resolved: Whether every score is final.
        pay: Of a stake of 1, by the round's own terms; ``None`` while a paid score or the terms are missing.
        at_risk: NMR that were staked on it, ``None`` where that is not known.
        paid: NMR that Numerai paid for it, or will as things stand; ``None`` where it says nothing.
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
    def unlike(self) -> float | None:
        """Return how much more Numerai pays than the round's terms say, in NMR; ``None`` where one of them is not known."""
        known = self.paid is not None and self.pay is not None and self.at_risk is not None
        return self.paid - self.pay * self.at_risk if known else None  # type: ignore[operator]


class LiveScores(Database):
    """The live scores of a ledger."""

    def record(self, slot: str, scores: Sequence[LiveScore]) -> int:
        """Keep the newest value of each score; return how many were new, changed or became final."""
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

    def price(self, round_: Round) -> None:
        """Keep what a round pays for; a round that does not say everything is left unpriced."""
        clips = {one.clip for one in round_.payouts}
        if not round_.payouts or round_.factor is None or len(clips) != 1 or None in clips:
            return
        terms = json.dumps({one.score: one.multiplier for one in round_.payouts}, sort_keys=True)
        with self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO round_pay (round, multipliers, clip, factor) VALUES (?, ?, ?, ?)",
                (round_.number, terms, clips.pop(), round_.factor),
            )

    def pay(self, paid: Sequence[Payment], stakes: Mapping[str, Mapping[int, float]]) -> int:
        """
        Keep what Numerai paid; what is settled stays as it is. Return how many figures were new or changed.

        Args:
            paid: Of the account.
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
        """Return what the newest priced round pays, ``None`` where no round is priced."""
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

    def unpriced(self) -> tuple[int, ...]:
        """Return the rounds with scores whose terms are not known."""
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
            was = paid.get((number, name))
            values, pay = {one.name: one.value for one in scores}, None
            term = terms.get(number)
            multipliers = {} if term is None else json.loads(term["multipliers"])
            if term is not None and set(multipliers) <= set(values):
                pay = float(payout(values, multipliers, clip=term["clip"], factor=term["factor"]))
            found.append(
                LiveRound(
                    round=number,
                    slot=name,
                    scores=values,
                    percentiles={one.name: one.percentile for one in scores if one.percentile is not None},
                    day=max(one.day for one in scores),
                    resolved=all(one.resolved for one in scores),
                    pay=pay,
                    at_risk=None if was is None else was["at_risk"],
                    paid=None if was is None else was["nmr"],
                    settled=was is not None and bool(was["settled"]),
                )
            )
        return tuple(found)
