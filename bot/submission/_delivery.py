"""
Steps 8 to 10 of a round: reconcile with the server, guard the clock, upload, read back, confirm.

The server can commit a submission although its answer is lost, so no upload is retried blindly: every attempt first lists
the submissions that the server holds. Two uploads for one round can then only carry byte-identical content, of which
Numerai selects the latest.
"""

import hashlib
import re
from dataclasses import dataclass, replace
from datetime import datetime

import stamina
import structlog

from bot.errors import DatasetIncomplete, NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.record.ledger import Entry, Ledger
from bot.tournament.client import NumeraiClient
from bot.tournament.responses import ServerSubmission
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot

ATTEMPTS = 6
"""Most uploads for one round, lost answers included."""

LONGEST_WAIT_S = 20
"""Longest pause between two attempts, in seconds."""

log = structlog.get_logger()


def token(round_number: int, slot: str, csv_sha256: str) -> str:
    """Return the file name stem that identifies a submission on the server: round, slot and content."""
    return f"r{round_number}-{slot}-{csv_sha256[:8]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """
    Uploads intended bytes and proves that the server holds them.

    Attributes:
        client: Client with the account's key.
        ledger: Ledger of the account.
    """

    client: NumeraiClient
    ledger: Ledger

    def deliver(self, round_: Round, slot: Slot, entry: Entry, content: bytes, *, force: bool) -> None:
        """
        Upload *content* until the server holds exactly these bytes; retry transient failures until the close.

        Raises:
            RoundNotOpen: The round closed or rolled over; nothing was uploaded after that.
            RefuseToSubmit: The slot holds a submission that the bot did not make, or the server refused the file.
            DatasetIncomplete: The server has put the predictions on other ids: they were for an earlier round's rows.
            NumeraiUnavailable: The server failed throughout.
        """
        seconds = round_.seconds_left(self.client.server_now()) - round_.guard.total_seconds()
        for attempt in stamina.retry_context(
            on=NumeraiUnavailable, attempts=ATTEMPTS, timeout=max(seconds, 1.0), wait_max=LONGEST_WAIT_S
        ):
            with attempt:
                if self.reconcile(entry, slot, force=force):
                    return
                self._on_time(round_, self.client.server_now())
                self.client.upload(
                    model_id=slot.model_id,
                    filename=f"{entry.token}.csv",
                    content=content,
                    # A slow upload may have reached the close, and the close may have been moved.
                    check=lambda: self._on_time(round_, self.same_round(round_)),
                )
                log.info("submission.uploaded", sha256=entry.csv_sha256[:12])
                if not self.reconcile(entry, slot, force=force):
                    self._prove_not_mapped(entry, slot, content)
                    raise NumeraiUnavailable("the upload was acknowledged, but the server does not list it")

    def reconcile(self, entry: Entry, slot: Slot, *, force: bool) -> bool:
        """
        Confirm the bot's submission if the server holds it for this round, compared byte for byte.

        Returns:
            Whether the round is confirmed now.

        Raises:
            RefuseToSubmit: The slot holds a submission for this round that the bot did not make, and not *force*.
        """
        held = [one for one in self.client.submissions(slot.model_id) if one.round == entry.round and one.error is None]
        for one in held:
            if one.filename.startswith(entry.token) and self._content_sha256(one) == entry.csv_sha256:
                self._confirm(entry, one)
                return True
        return not force and any(self._adopt(entry, one) for one in held)

    def _prove_not_mapped(self, entry: Entry, slot: Slot, content: bytes) -> None:
        """
        Check that the server holds the ids that were sent.

        Numerai silently maps ids of the previous round onto this round's. Other ids on the server are the last sign that
        the live file was not this round's.

        Raises:
            DatasetIncomplete: The server holds other ids.
        """
        sent = _ids(content)
        for one in self.client.submissions(slot.model_id):
            ours = one.round == entry.round and one.error is None and one.filename.startswith(entry.token)
            if ours and _ids(self.client.read_back(one.id)) != sent:
                raise DatasetIncomplete(
                    f"Numerai put the predictions for round {entry.round} on other ids than were sent: the live file"
                    " was an earlier round's; it is fetched again"
                )

    def same_round(self, round_: Round) -> datetime:
        """
        Check that *round_* is still the current one; return the server's time.

        Raises:
            RoundNotOpen: The tournament has moved on.
        """
        current = self.client.current_round()
        if current.number != round_.number:
            raise RoundNotOpen(f"round {round_.number} gave way to round {current.number}; nothing was uploaded for it")
        return self.client.server_now()

    def _on_time(self, round_: Round, now: datetime) -> None:
        """Refuse a late upload, which Numerai would queue for the next round instead of rejecting it."""
        if not round_.accepts_upload(now):
            raise RoundNotOpen(f"round {round_.number} closes at {round_.closes_at:%H:%M:%S} UTC: too late to upload")

    def _adopt(self, entry: Entry, one: ServerSubmission) -> bool:
        """
        Confirm a submission that this bot made for this round and that the ledger does not hold.

        A file that was queued from an earlier round is not adopted: fresh predictions replace it.

        Returns:
            Whether *one* was adopted.

        Raises:
            RefuseToSubmit: The bot did not make it.
        """
        ours = re.compile(rf"r(?P<round>\d+)-{re.escape(entry.slot)}-(?P<sha8>[0-9a-f]{{8}})")
        match = ours.match(one.filename)
        if match is None:
            raise RefuseToSubmit(
                f"slot {entry.slot} already holds {one.filename} for round {entry.round}, which this bot did not make;"
                " use --force to replace it"
            )
        if int(match["round"]) != entry.round:
            return False
        sha256 = self._content_sha256(one)
        if not sha256.startswith(match["sha8"]):
            return False
        # The state directory was lost, or the champion changed after the upload: the sent file stays.
        self.ledger.intend(replace(entry, token=match.group(), csv_sha256=sha256))
        self._confirm(entry, one)
        return True

    def _content_sha256(self, submission: ServerSubmission) -> str:
        return hashlib.sha256(self.client.read_back(submission.id)).hexdigest()

    def _confirm(self, entry: Entry, submission: ServerSubmission) -> None:
        self.ledger.confirm(
            entry.round,
            entry.slot,
            submission_id=submission.id,
            filename=submission.filename,
            at=self.client.server_now(),
        )
        log.info("submission.confirmed", submission=submission.id, file=submission.filename)


def _ids(content: bytes) -> set[bytes]:
    """Return the ids of a submission file."""
    return {line.partition(b",")[0] for line in content.splitlines()[1:]}
