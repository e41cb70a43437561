"""
After the close: hand in what was finished in time and could not be sent, where the operator wants that.

Numerai queues a late file for the next round, where the bot's fresh submission replaces it; with nothing fresh, it counts
there. It carries the closed round's token, so that it is never taken for the next round's own.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import stamina
import structlog

from bot.errors import NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.record.ledger import Entry
from bot.submission._delivery import ATTEMPTS, LONGEST_WAIT_S, Delivery
from bot.tournament.responses import ServerSubmission
from bot.tournament.slots import Slot

MARGIN = timedelta(minutes=2)
"""Nothing is queued so shortly before the next opening: it could arrive after, and replace, what is fresh then."""

PATIENCE_S = 60.0
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """
    Queues the finished predictions of the last round, exactly once.

    Attributes:
        delivery: Of the round in time; asks the server, and knows the ledger.
        rounds: Folder of the rounds.
    """

    delivery: Delivery
    rounds: Path

    def queue(self, slot: Slot, number: int | None = None) -> Entry | None:
        """
        Bring what the closed round left unsent to the server; return its entry, ``None`` where nothing was left.

        Args:
            slot: Whose predictions.
            number: Of the round that closed; the newest of the slot when absent.

        Raises:
            RoundNotOpen: The next round opens too soon, is open, or is not the one after.
            RefuseToSubmit: The next round holds somebody else's submission already.
            NumeraiUnavailable: The server failed throughout.
        """
        ledger = self.delivery.ledger
        entry = ledger.newest(slot.name)
        if entry is None or entry.state != "intended" or (number is not None and entry.round != number):
            return None
        path = self.rounds / str(entry.round) / slot.name / "predictions.csv"
        content = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(content).hexdigest() != entry.csv_sha256 or ledger.queued(entry.round, slot.name):
            return None
        for attempt in stamina.retry_context(
            on=NumeraiUnavailable, attempts=ATTEMPTS, timeout=PATIENCE_S, wait_max=LONGEST_WAIT_S
        ):
            with attempt:
                if self._is_there(entry, slot):
                    return entry
                self._between(entry.round)
                self.delivery.client.upload(
                    model_id=slot.model_id,
                    filename=f"{entry.token}.csv",
                    content=content,
                    check=lambda: self._between(entry.round),
                )
                if not self._is_there(entry, slot):
                    raise NumeraiUnavailable("the late upload was acknowledged, but the server does not list it")
        return entry

    def _is_there(self, entry: Entry, slot: Slot) -> bool:
        """See whether the file counts for its own round after all, or waits for the next one, and write that down."""
        if self.delivery.reconcile(entry, slot, force=False):
            return True
        client = self.delivery.client
        held = [one for one in client.submissions(slot.model_id) if one.round == entry.round + 1 and one.error is None]
        for one in held:
            if one.filename.startswith(entry.token) and self._is(entry, one):
                self.delivery.ledger.queue(
                    entry.round, slot.name, submission_id=one.id, filename=one.filename, at=client.server_now()
                )
                log.warning("submission.queued", submission=one.id, file=one.filename, counts_for=one.round)
                return True
        if held:
            raise RefuseToSubmit(f"slot {slot.name} already holds {held[0].filename} for round {held[0].round}")
        return False

    def _is(self, entry: Entry, submission: ServerSubmission) -> bool:
        content = self.delivery.client.read_back(submission.id)
        return hashlib.sha256(content).hexdigest() == entry.csv_sha256

    def _between(self, number: int) -> None:
        """
        Make sure that round *number* is over and the next one far enough.

        Raises:
            RoundNotOpen: It is not so.
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
