"""The live file of a round, and the proof that it is this round's: by its ids, and where those cannot tell, by its date."""

import hashlib
from datetime import datetime
from pathlib import Path

import structlog

from bot.datasets import LiveFile, fetch, prove_fresh, read_live
from bot.delivery import Delivery
from bot.ledger import LiveRecord
from bot.numerai import NumeraiClient
from bot.rounds import Round

log = structlog.get_logger()


def fetch_live(delivery: Delivery, round_: Round, path: Path, *, version: str) -> tuple[LiveRecord, LiveFile]:
    """
    Download a round's live file, or take the one already proven for it.

    Args:
        delivery: Of the account; its ledger knows the files of earlier rounds, and is told of this one.
        round_: The open round.
        path: Where the file goes.
        version: Of the data.

    Raises:
        DatasetIncomplete: What is served is damaged or belongs to an earlier round.
        NumeraiUnavailable: The server failed.
        RoundNotOpen: The tournament has moved on meanwhile.
    """
    client, ledger = delivery.client, delivery.ledger
    known = ledger.live(round_.number)
    if known is not None and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256:
        return known, read_live(path)
    fetched = fetch(client, f"{version}/live.parquet", path)
    live = read_live(path)
    earlier = ledger.earlier_live(round_.number)
    seen = any(record.round == round_.number - 1 for record in earlier)
    prove_fresh(
        live,
        previous_ids_sha256=frozenset(record.ids_sha256 for record in earlier),
        previous_rows=earlier[0].rows if earlier else None,
        modified=fetched.modified,
        not_before=None if seen or fetched.modified is None else _between(client, round_),
    )
    now = delivery.same_round(round_)
    record = LiveRecord(
        round=round_.number,
        sha256=fetched.sha256,
        ids_sha256=live.ids_sha256,
        rows=len(live.ids),
        fetched_at=now.isoformat(),
    )
    ledger.record_live(record)
    log.info("dataset.fetched", rows=record.rows, bytes=fetched.size, sha256=fetched.sha256[:12])
    return record, live


def _between(client: NumeraiClient, round_: Round) -> datetime | None:
    """
    Return a time between the publications of the last round's live file and of this one's.

    Only a round whose predecessor the bot never saw needs it: otherwise the ids tell. Files are published with the opening
    of their round, a little sooner or later, so half way between both openings none is.
    """
    before = client.round(round_.number - 1)
    return None if before is None else before.opens_at + (round_.opens_at - before.opens_at) / 2
