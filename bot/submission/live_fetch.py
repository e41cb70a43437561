"""
The live file of a round, and the proof that it is this round's: by its ids, and where those cannot tell, by its date.

Artifacts of several data versions may fill slots of one round, each from its own version's file; the ids are the same
in all of them.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from bot.data.download import fetch
from bot.data.live_file import LiveFile, prove_fresh, read_live
from bot.errors import DatasetIncomplete, NumeraiUnavailable, RetryLater
from bot.record.ledger import LiveFileRecord
from bot.submission._delivery import Delivery
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round

WAIT_S = 600.0
"""
Seconds before the guard until which a live file that is late is waited for, though an artifact of another data version
could score: it is the better one's file, and the daemon asks for it again and again.
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFiles:
    """
    The live files of a round as one attempt asks for them, each once.

    Attributes:
        delivery: Of the account.
        round_: The open round.
        folder: Of the round.
        versions: Data versions of all artifacts that may score it.
    """

    delivery: Delivery
    round_: Round
    folder: Path
    versions: Collection[str]
    _asked: dict[str, tuple[LiveFileRecord, LiveFile] | RetryLater] = field(default_factory=dict)

    def of(self, version: str) -> tuple[LiveFileRecord, LiveFile] | RetryLater:
        """
        Return the live file of a data version; or why it cannot be had, where an artifact of another one is to score.

        Raises:
            RetryLater: It cannot be had, and is worth waiting for, or all there is.
        """
        if version not in self._asked:
            self._asked[version] = self._fetch(version)
        return self._asked[version]

    def _fetch(self, version: str) -> tuple[LiveFileRecord, LiveFile] | RetryLater:
        try:
            return fetch_live(self.delivery, self.round_, live_path(self.folder, version), version=version)
        except (DatasetIncomplete, NumeraiUnavailable) as error:
            left = self.round_.seconds_left(self.delivery.client.server_now()) - self.round_.guard.total_seconds()
            others = set(self.versions) - self._asked.keys() - {version}
            if not others or (left > WAIT_S and self._offered(version)):
                raise
            return error

    def _offered(self, version: str) -> bool:
        """Say whether the server still has live files of a data version; while it does not answer, it may."""
        try:
            return f"{version}/live.parquet" in self.delivery.client.datasets()
        except NumeraiUnavailable:
            return True


def live_path(folder: Path, version: str) -> Path:
    """Return where the live file of a data version lies in a round's folder."""
    return folder / version / "live.parquet"


def fetch_live(delivery: Delivery, round_: Round, path: Path, *, version: str) -> tuple[LiveFileRecord, LiveFile]:
    """
    Download a round's live file of a data version, or take the one already proven for it.

    Args:
        delivery: Of the account; its ledger knows the files of earlier rounds, and is told of this one.
        round_: The open round.
        path: Where the file goes.
        version: Of the data, as the artifact that scores was trained on.

    Raises:
        DatasetIncomplete: What is served is damaged or belongs to an earlier round.
        NumeraiUnavailable: The server failed.
        RoundNotOpen: The tournament has moved on meanwhile.
    """
    client, ledger = delivery.client, delivery.ledger
    held = ledger.live_files(round_.number)
    known = next((record for record in held if record.version == version), None)
    if known is not None and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256:
        return known, read_live(path)
    fetched = fetch(client, f"{version}/live.parquet", path)
    live = read_live(path)
    earlier = ledger.earlier_live_files(round_.number)
    seen = any(record.round == round_.number - 1 for record in earlier)
    prove_fresh(
        live,
        previous_ids_sha256=frozenset(record.ids_sha256 for record in earlier),
        previous_rows=earlier[0].rows if earlier else None,
        modified=fetched.modified,
        not_before=None if seen or fetched.modified is None else _between(client, round_),
    )
    for other in held:
        if other.version != version and other.ids_sha256 != live.ids_sha256:
            ledger.forget(round_.number)
            raise DatasetIncomplete(
                f"the live files of {version} and {other.version or 'before'} differ in their ids: one of them is"
                " another round's; both are fetched again"
            )
    now = delivery.same_round(round_)
    record = LiveFileRecord(
        round=round_.number,
        version=version,
        sha256=fetched.sha256,
        ids_sha256=live.ids_sha256,
        rows=len(live.ids),
        fetched_at=now.isoformat(),
    )
    ledger.record_live_file(record)
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
