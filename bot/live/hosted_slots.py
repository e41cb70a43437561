"""Warn where a pickle that the bot uploaded fails on Numerai's machines, or does not submit to a round."""

from datetime import datetime

import structlog

from bot.errors import BotError
from bot.record.hosted import HostedPickle, HostedRecord
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.tournament.client import NumeraiClient
from bot.tournament.responses import Pickle

NEWEST = 5
"""Newest rounds of the ledger among which the one that a pickle should have submitted to is looked for."""

log = structlog.get_logger()


def warn_hosted(client: NumeraiClient, ledger: Ledger, account: str) -> tuple[str, ...]:
    """
    Look at each slot that runs a pickle of the bot; alert where it fails, and end the alerts that are over.

    Never raises an error of the bot: a look that fails is made again the next day.

    Args:
        client: Client with the account's key.
        ledger: Ledger with the rounds that the bot has seen, and the record of the pickles.
        account: Name of the account; empty for the only one.

    Returns:
        The warnings.
    """
    warnings = []
    record, outbox = HostedRecord(ledger.path), Outbox(ledger.path)
    try:
        ours = [one for one in record.all() if one.state == "assigned" and one.account == account]
        hosted = client.hosted_models() if ours else {}
        for one in ours:
            try:
                warnings.append(_look(client, ledger, record, outbox, one, hosted.get(one.slot)))
            except BotError as error:  # one slot hides no other
                log.warning("hosted.unknown", slot=one.slot, reason=str(error))
    except BotError as error:
        log.warning("hosted.unknown", slot="", reason=str(error))
    finally:
        outbox.close()
        record.close()
    return tuple(filter(None, warnings))


def _look(
    client: NumeraiClient, ledger: Ledger, record: HostedRecord, outbox: Outbox, one: HostedPickle, runs: Pickle | None
) -> str | None:
    """Look at a slot, record what was found, and open or close its alert; return the warning, ``None`` where all is well."""
    now = client.server_now()
    if runs is not None and runs.id != one.pickle:
        record.check(one, f"{one.slot} runs {runs.filename or runs.id} now, which the bot did not upload", at=now)
        outbox.resolve(f"hosted {one.slot}", f"{one.slot} runs another pickle", at=now)
        return None
    wrong = _problem(client, ledger, one, runs, now)
    record.check(one, wrong, at=now)
    if not wrong:
        outbox.resolve(f"hosted {one.slot}", f"{one.slot} submits with pickle {one.pickle}", at=now)
        return None
    log.warning("hosted.fails", slot=one.slot, pickle=one.pickle, reason=wrong)
    body = (
        f"pickle {one.pickle} ({one.filename}), artifact {one.artifact}; its log is on numer.ai/models;"
        f" `bot export numerai-model --upload --slot {one.slot}` replaces it"
    )
    outbox.alert(f"hosted {one.slot}", f"{one.slot}: {wrong}", body, at=now)
    return f"{one.slot}: {wrong}"


def _problem(client: NumeraiClient, ledger: Ledger, one: HostedPickle, runs: Pickle | None, now: datetime) -> str:
    """Return what is wrong with a slot, in one line; empty where nothing is known to be."""
    if runs is None:
        return "Numerai runs no pickle for it any more"
    if runs.is_refused or runs.has_failed:
        return f"Numerai reports that its pickle failed: {_reason(client, one, runs)}"
    due = _due(ledger, one, now)
    if due is None:
        return ""
    sent = [each for each in client.submissions(one.model_id) if each.round >= due]
    if any(each.error is None for each in sent):
        return ""
    refused = f": Numerai refused its file: {sent[0].error}" if sent else ""
    return f"its pickle did not submit to round {due}{refused}"


def _reason(client: NumeraiClient, one: HostedPickle, runs: Pickle) -> str:
    """Return Numerai's reason for a failure, else the name of the state."""
    state = runs.validation if runs.is_refused else runs.run
    try:
        found = next((each for each in client.pickles(one.model_id) if each.id == one.pickle), None)
    except BotError as error:
        log.warning("hosted.reason_unknown", reason=str(error))
        return state
    return found.reason or state if found is not None else state


def _due(ledger: Ledger, one: HostedPickle, now: datetime) -> int | None:
    """Return the newest round that opened after the slot got its pickle and is closed, ``None`` where there is none."""
    since = datetime.fromisoformat(one.assigned_at or one.at)
    for number in ledger.newest_rounds(limit=NEWEST):
        seen = ledger.seen(number)
        if seen is not None and since < seen.opens_at and seen.closes_at <= now:
            return number
    return None
