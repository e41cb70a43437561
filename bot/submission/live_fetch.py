"""
Fetch the live file of a round and prove that it is this round's: by its ids, and where those do not suffice, by its date.

Artifacts of several data versions may score one round. Each needs its own version's file; the ids are the same in all.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from bot.data.download import fetch
from bot.data.live_file import LiveFile, has_other_size, prove_fresh, read_live
from bot.errors import DatasetIncomplete, NumeraiUnavailable
from bot.findings import Absent
from bot.record.ledger import LiveFileRecord
from bot.submission._delivery import Delivery
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round

WAIT_S = 600.0
"""
Seconds before the guard until which the bot waits for a late live file although an artifact of another data version could
score: the late file belongs to the better artifact, and the daemon tries again and again.
"""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenLiveFile:
    """
    A live file that is proven to be its round's.

    Attributes:
        path: Path of the file.
        record: Digests and row count, as the ledger holds them.
        rows: Ids and features.
    """

    path: Path
    record: LiveFileRecord
    rows: LiveFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFiles:
    """
    The live files that one attempt needs, each fetched at most once.

    Attributes:
        delivery: Client and ledger of the account.
        round_: The open round.
        folder: Folder of the round.
        versions: Data versions of all artifacts that may score it.
    """

    delivery: Delivery
    round_: Round
    folder: Path
    versions: Collection[str]
    _asked: dict[str, ProvenLiveFile | Absent] = field(default_factory=dict)

    def get(self, version: str) -> ProvenLiveFile | Absent:
        """
        Return the live file of a data version, or the reason to score with an artifact of another version instead.

        Raises:
            RetryLater: The file is not available now, and either worth waiting for or the only one left.
        """
        if version not in self._asked:
            self._asked[version] = self._fetch(version)
        return self._asked[version]

    def _fetch(self, version: str) -> ProvenLiveFile | Absent:
        try:
            return fetch_live(self.delivery, self.round_, live_path(self.folder, version), version=version)
        except (DatasetIncomplete, NumeraiUnavailable) as error:
            left = self.round_.seconds_left(self.delivery.client.server_now()) - self.round_.guard.total_seconds()
            others = set(self.versions) - self._asked.keys() - {version}
            if not others or (left > WAIT_S and self._is_offered(version)):
                raise
            return Absent(str(error))

    def _is_offered(self, version: str) -> bool:
        """Return whether the server may still have live files of a data version."""
        try:
            return f"{version}/live.parquet" in self.delivery.client.datasets()
        except NumeraiUnavailable:
            return True  # no answer proves nothing


def live_path(folder: Path, version: str) -> Path:
    """Return the path of the live file of a data version in a round's folder."""
    return folder / version / "live.parquet"


def fetch_live(delivery: Delivery, round_: Round, path: Path, *, version: str) -> ProvenLiveFile:
    """
    Download a round's live file of a data version and prove it, or return the one that is proven already.

    Args:
        delivery: Client and ledger of the account. The ledger holds the files of earlier rounds and records this one.
        round_: The open round.
        path: Path of the file.
        version: Data version that the artifact was trained on.

    Raises:
        DatasetIncomplete: The served file is damaged or belongs to an earlier round.
        NumeraiUnavailable: The server failed.
        RoundNotOpen: The tournament has moved on meanwhile.
    """
    client, ledger = delivery.client, delivery.ledger
    held = ledger.live_files(round_.number)
    known = next((record for record in held if record.version == version), None)
    if known is not None and path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == known.sha256:
        return ProvenLiveFile(path=path, record=known, rows=read_live(path))
    fetched = fetch(client, f"{version}/live.parquet", path)
    live = read_live(path)
    earlier = ledger.earlier_live_files(round_.number)
    previous_rows = earlier[0].rows if earlier else None
    # An old file can be recognised by its date alone where the previous round's ids are not known. Where the number of rows
    # is another one, the date proves that the file is this round's.
    other_size = has_other_size(live, previous_rows)
    by_date = other_size or not any(record.round == round_.number - 1 for record in earlier)
    prove_fresh(
        live,
        previous_ids_sha256=frozenset(record.ids_sha256 for record in earlier),
        previous_rows=previous_rows,
        modified=fetched.modified,
        not_before=_between_openings(client, round_) if by_date and fetched.modified is not None else None,
    )
    if other_size:
        log.warning("live.other_size", rows=len(live.ids), last_round=previous_rows)
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
    return ProvenLiveFile(path=path, record=record, rows=live)


def _between_openings(client: NumeraiClient, round_: Round) -> datetime | None:
    """
    Return the time half-way between the openings of the previous round and of this one; ``None`` for the first round.

    Numerai publishes a live file a little before or after its round opens, so none is published half-way between.
    """
    before = client.round(round_.number - 1)
    return None if before is None else before.opens_at + (round_.opens_at - before.opens_at) / 2
