"""
Read and keep the looks at hold-out eras in the ledger.

A record that is missing or cannot be read never stops a retrain: it begins anew, and the reason of the decision shows it.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from bot.errors import BotError
from bot.judging.champion_test import Comparison, Looks, account
from bot.judging.promotion import Decision
from bot.record.looks import Look, LookRecord

BEGINS = "the record of looks begins with this one"
UNREADABLE = (BotError, ValueError, TypeError, AttributeError)
"""Errors of a damaged ledger, and of a row that a person changed by hand."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """
    A decision that was made, to be recorded.

    Attributes:
        recipe: Name of the recipe.
        artifact: Id of the challenger.
        comparison: Scores of both.
        looks: Looks before this one.
        decision: The decision.
        lead: Challenger minus its anchor by era.
    """

    recipe: str
    artifact: str
    comparison: Comparison
    looks: Looks
    decision: Decision
    lead: Mapping[str, float]


def read_looks(
    ledger_path: Path | None, comparison: Comparison | None, *, is_same: Callable[[str], bool] = lambda _artifact: False
) -> Looks:
    """
    Return the earlier looks at the eras of a comparison, of all recipes.

    A challenger that predicts what the newest look's challenger predicted asks the same question again and gets the same
    answer: that look counts once. A retrain that was killed before its decision took effect comes to this.

    Args:
        ledger_path: Ledger, which may be missing; ``None`` keeps no record.
        comparison: Scores of challenger and champion; ``None`` where there is no champion to compare with.
        is_same: Whether the artifact of an id predicts exactly what the challenger predicts.
    """
    if ledger_path is None or comparison is None:
        return Looks()
    if not ledger_path.exists():
        return Looks(note=BEGINS)
    try:
        with closing(LookRecord(ledger_path, read_only=True)) as record:
            last = record.last()
            if last is None:
                return Looks(note=BEGINS)
            count, lead = record.count(comparison.eras[len(comparison.eras) // 2]), record.lead(comparison.champion)
            asked = (last.champion, last.first_era, last.last_era)
            if asked == (comparison.champion, comparison.eras[0], comparison.eras[-1]) and is_same(last.artifact):
                return Looks(count=count - 1, share=last.remaining + last.spent, lead=lead, repeats=True)
            new_eras = sum(era > last.last_era for era in comparison.eras)
            return Looks(count=count, share=account(last.remaining, new_eras), lead=lead)
    except UNREADABLE as error:
        log.warning("looks.unreadable", ledger=str(ledger_path), reason=str(error))
        return Looks(note="the record of looks cannot be read, so it begins anew")


def keep_look(ledger_path: Path | None, judged: Judged, *, at: datetime) -> None:
    """
    Record a decision; a ledger that cannot be written costs the record of this look only.

    Args:
        ledger_path: Ledger; ``None`` keeps no record.
        judged: The decision.
        at: Aware time, UTC.
    """
    if ledger_path is None:
        return
    comparison, decision = judged.comparison, judged.decision
    look = Look(
        at=at.isoformat(),
        recipe=judged.recipe,
        artifact=judged.artifact,
        champion=comparison.champion,
        renewal=comparison.renewal,
        first_era=comparison.eras[0],
        last_era=comparison.eras[-1],
        promoted=decision.promote,
        spent=decision.spent,
        remaining=judged.looks.share - decision.spent,
        lead=judged.lead if decision.promote else {},
    )
    try:
        with closing(LookRecord(ledger_path)) as record:
            record.keep(look, replaces_newest=judged.looks.repeats)
    except BotError as error:
        log.warning("looks.not_kept", ledger=str(ledger_path), artifact=judged.artifact, reason=str(error))
