"""Warn where Numerai holds the bot's confirmed submission but counts another one for the round."""

from collections.abc import Sequence
from datetime import datetime

import structlog

from bot.errors import BotError
from bot.record.ledger import Entry, Ledger
from bot.record.outbox import Outbox
from bot.tournament.client import NumeraiClient
from bot.tournament.responses import ServerSubmission
from bot.tournament.slots import Slot

log = structlog.get_logger()


def warn_unselected(client: NumeraiClient, ledger: Ledger, slots: Sequence[Slot]) -> tuple[str, ...]:
    """
    Alert for each slot whose newest confirmed submission does not count for its round; end the alerts that are over.

    Never raises an error of the bot: the rounds are confirmed, whatever the server answers now.

    Returns:
        The warnings.
    """
    warnings = []
    outbox = Outbox(ledger.path)
    try:
        for slot in slots:
            entry = ledger.newest(slot.name)
            if entry is not None and entry.state == "confirmed":
                held = client.submissions(slot.model_id)
                warnings.append(_compare(outbox, entry, held, at=client.server_now()))
    except BotError as error:
        log.warning("selected.unknown", reason=str(error))
    finally:
        outbox.close()
    return tuple(filter(None, warnings))


def _compare(outbox: Outbox, entry: Entry, held: Sequence[ServerSubmission], *, at: datetime) -> str | None:
    """Open or close the alert of one slot; return the warning, or ``None`` where nothing is known to be wrong."""
    mine = next((one for one in held if one.id == entry.submission_id), None)
    other = next((one for one in held if one.round == entry.round and one.selected and one is not mine), None)
    name = f"selected {entry.slot}"
    if mine is not None and mine.selected:
        outbox.resolve(name, f"{mine.filename} counts for round {entry.round}", at=at)
    if mine is None or mine.selected or other is None:  # without a selected submission the server has not chosen yet
        return None
    warning = (
        f"round {entry.round}, slot {entry.slot}: the confirmed submission is not selected;"
        f" {other.filename or other.id} counts"
    )
    log.warning("submission.not_selected", round=entry.round, slot=entry.slot, selected=other.filename)
    body = "select it on numer.ai, or replace the other one with `bot submit --force` while the round is open"
    outbox.alert(name, warning, body, at=at)
    return warning
