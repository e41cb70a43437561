"""
Upload a finished but unsent submission after its round closed, where BOT_LATE_POLICY allows it.

Numerai queues a late file for the next round. There the bot's fresh submission replaces it; without one, the late file
counts. It carries the closed round's token, so that it is never taken for the next round's own submission.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import structlog

from bot.errors import NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.record.ledger import Entry
from bot.submission._delivery import ATTEMPTS, LONGEST_WAIT_S, Delivery
from bot.system.file_names import file_name
from bot.tournament.responses import ServerSubmission
from bot.tournament.retries import retry_context
from bot.tournament.slots import Slot

MARGIN = timedelta(minutes=2)
"""
Time before the next opening in which nothing is queued: the late file could arrive after the fresh one and replace it.
"""

PATIENCE_S = 60.0
"""Longest time for all attempts together, in seconds."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class LateQueue:
    """
    Uploads the finished predictions of the last round late, exactly once.

    Attributes:
        delivery: Client and ledger of the account, and the comparison with the server.
        rounds: Folder of the rounds.
    """

    delivery: Delivery
    rounds: Path

    def queue(self, slot: Slot, number: int | None = None) -> Entry | None:
        """
        Upload the unsent predictions of the closed round; return their entry, ``None`` where there are none.

        Args:
            slot: The slot.
            number: Number of the closed round; ``None`` takes the slot's newest.

        Raises:
            RoundNotOpen: The next round opens too soon, is open, or is not the one after.
            RefuseToSubmit: The slot already holds another submission for the next round.
            NumeraiUnavailable: The server failed throughout.
        """
        ledger = self.delivery.ledger
        entry = ledger.newest(slot.name)
        if entry is None or entry.state != "intended" or (number is not None and entry.round != number):
            return None
        path = self.rounds / str(entry.round) / file_name(slot.name) / "predictions.csv"
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != entry.csv_sha256 or ledger.queued(entry.round, slot.name):
            return None
        for attempt in retry_context(
            on=NumeraiUnavailable, attempts=ATTEMPTS, timeout=PATIENCE_S, wait_max=LONGEST_WAIT_S
        ):
            with attempt:
                if self._is_on_server(entry, slot):
                    return entry
                self._check_between_rounds(entry.round)
                self.delivery.limit_creates(entry, self.delivery.client.submissions(slot.model_id))
                identity = self.delivery.client.upload(
                    model_id=slot.model_id,
                    filename=f"{entry.token}.csv",
                    content=content,
                    check=lambda: self._check_between_rounds(entry.round),
                )
                self.delivery.record_created(entry, identity)
                if not self._is_on_server(entry, slot):
                    raise NumeraiUnavailable("the late upload was acknowledged, but the server does not list it")
        return entry

    def _is_on_server(self, entry: Entry, slot: Slot) -> bool:
        """Return whether the server holds the file, for its own round or for the next one, and record it in the ledger."""
        if self.delivery.reconcile(entry, slot, force=False):
            return True
        client = self.delivery.client
        held = [one for one in client.submissions(slot.model_id) if one.round == entry.round + 1 and one.error is None]
        for one in held:
            if one.filename.startswith(entry.token) and self._is_same_content(entry, one):
                self.delivery.ledger.queue(
                    entry.round, slot.name, submission_id=one.id, filename=one.filename, at=client.server_now()
                )
                log.warning("submission.queued", submission=one.id, file=one.filename, counts_for=one.round)
                return True
        if held:
            raise RefuseToSubmit(f"slot {slot.name} already holds {held[0].filename} for round {held[0].round}")
        return False

    def _is_same_content(self, entry: Entry, submission: ServerSubmission) -> bool:
        content = self.delivery.client.read_back(submission.id)
        return hashlib.sha256(content).hexdigest() == entry.csv_sha256

    def _check_between_rounds(self, number: int) -> None:
        """
        Check that round *number* is over and that the next one opens in more than :data:`MARGIN`.

        Raises:
            RoundNotOpen: One of the two does not hold.
        """
        client = self.delivery.client
        try:
            current = client.current_round()
        except RoundNotOpen:
            following = min(client.upcoming(), key=lambda one: one.opens_at, default=None)
        else:
            raise RoundNotOpen(f"round {current.number} is open; it gets fresh predictions")
        if following is None or following.number != number + 1:
            raise RoundNotOpen(f"round {number} is not the last one; its predictions are too old to be queued")
        if following.opens_at - client.server_now() < MARGIN:
            raise RoundNotOpen(
                f"round {following.number} opens at {following.opens_at:%H:%M:%S} UTC; it gets fresh ones"
            )
