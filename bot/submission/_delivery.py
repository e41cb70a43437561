"""
Steps 8 to 10 of a round: reconcile with the server, guard the clock, upload, read back, confirm.

The server can commit a submission although its answer is lost, so no upload is retried blindly: every attempt first lists
the submissions that the server holds. Two uploads for one round can then only carry byte-identical content, of which
Numerai selects the latest.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from bot.errors import DatasetIncomplete, NumeraiUnavailable, RefuseToSubmit, RoundNotOpen
from bot.record.failures import NEXT_ROUND
from bot.record.ledger import Entry, Ledger
from bot.system.file_names import file_name
from bot.tournament.client import NumeraiClient
from bot.tournament.responses import ServerSubmission
from bot.tournament.retries import retry_context
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot

CREATES = 3
"""Most submissions of one content in a round that the server acknowledged or lists, over all runs of the bot."""

ATTEMPTS = 6
"""Most uploads for one round, lost answers included."""

LONGEST_WAIT_S = 20
"""Longest pause between two attempts, in seconds."""

UNKNOWN, EARLIER = "unknown", "earlier upload"
"""Artifact of an adopted submission of other content, and the name of what filled the slot."""

log = structlog.get_logger()


def token(round_number: int, slot: str, csv_sha256: str) -> str:
    """Return the file name stem that identifies a submission on the server: round, slot and content."""
    return f"r{round_number}-{file_name(slot)}-{csv_sha256[:8]}"


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
        for attempt in retry_context(
            on=NumeraiUnavailable, attempts=ATTEMPTS, timeout=max(seconds, 1.0), wait_max=LONGEST_WAIT_S
        ):
            with attempt:
                held = self._held(entry, slot)
                if self._is_held(entry, held, content, force=force):
                    return
                self.limit_creates(entry, held)
                self._on_time(round_, slot, self.client.server_now())
                identity = self.client.upload(
                    model_id=slot.model_id,
                    filename=f"{entry.token}.csv",
                    content=content,
                    # A slow upload may have reached the close, and the close may have been moved.
                    check=lambda: self._on_time(round_, slot, self.same_round(round_)),
                )
                self.record_created(entry, identity)
                log.info("submission.uploaded", sha256=entry.csv_sha256[:12])
                held = self._held(entry, slot)
                if not self._is_held(entry, held, content, force=force, sent=identity):
                    self._prove_not_mapped(entry, held, content)
                    raise NumeraiUnavailable(
                        "the upload was acknowledged, but the server does not list it as it was sent"
                    )

    def reconcile(self, entry: Entry, slot: Slot, *, force: bool, content: bytes | None = None) -> bool:
        """
        Confirm the bot's submission if the server holds it for this round: byte for byte, or with equal ids and values.

        Args:
            entry: The intended submission.
            slot: The slot.
            force: Whether submissions that the bot did not make are passed over.
            content: The file that was sent, where it still exists.

        Returns:
            Whether the round is confirmed now.

        Raises:
            RefuseToSubmit: The slot holds a submission for this round that the bot did not make, and not *force*.
        """
        return self._is_held(entry, self._held(entry, slot), content, force=force)

    def limit_creates(self, entry: Entry, held: Sequence[ServerSubmission]) -> None:
        """
        Check that the content may be submitted once more.

        Args:
            entry: The intended submission.
            held: Submissions of the model that the server holds.

        Raises:
            RefuseToSubmit: The server holds three submissions of it, with an error or with other content.
            NumeraiUnavailable: The server acknowledged three submissions of it and lists none; a later look may find them.
        """
        ours = [one for one in held if self._is_ours(entry, one)]
        count = len(self._created(entry) | {one.id for one in ours})
        if count < CREATES:
            return
        log.error("submission.repeated", count=count, errors=[one.error for one in ours if one.error])
        stop = f"round {entry.round}, slot {entry.slot}: nothing more is sent after {count} submissions of one content"
        for one in ours:
            if one.error is not None:
                raise RefuseToSubmit(f"{stop}; Numerai's validation refuses it: {one.error}")
        if ours:
            raise RefuseToSubmit(
                f"{stop}; Numerai returns other predictions than were sent; compare {ours[-1].filename}"
            )
        raise NumeraiUnavailable(f"{stop}; Numerai acknowledged them but does not list them; they are looked for again")

    def record_created(self, entry: Entry, identity: str) -> None:
        """Record in the ledger that the server acknowledged a submission."""
        now = self.client.server_now()
        self.ledger.record_created(entry.round, entry.slot, csv_sha256=entry.csv_sha256, submission_id=identity, at=now)

    def _held(self, entry: Entry, slot: Slot) -> list[ServerSubmission]:
        """Return the slot's submissions for the round, those with an error included."""
        return [one for one in self.client.submissions(slot.model_id) if one.round == entry.round]

    def _is_held(
        self, entry: Entry, held: Sequence[ServerSubmission], content: bytes | None, *, force: bool, sent: str = ""
    ) -> bool:
        """
        Confirm the round if one of *held* is the bot's submission; see :meth:`reconcile`.

        By force, a file that was sent before another one does not count, because Numerai counts the newest: it is sent again,
        and *sent* is the id of that upload.
        """
        accepted = [
            one for one in held if one.error is None and (not force or one.id == sent or not _is_superseded(one, held))
        ]
        accepted.sort(key=lambda one: not one.selected)
        for one in accepted:
            if self._is_ours(entry, one) and self._is_as_sent(entry, one, content):
                self._confirm(entry, one)
                return True
        return not force and any(self._adopt(entry, one) for one in accepted)

    def _is_ours(self, entry: Entry, one: ServerSubmission) -> bool:
        """Return whether a submission has the content's name, or the id that the server gave to one of them."""
        return one.filename.startswith(entry.token) or one.id in self._created(entry)

    def _created(self, entry: Entry) -> frozenset[str]:
        return self.ledger.created(entry.round, entry.slot, csv_sha256=entry.csv_sha256)

    def _is_as_sent(self, entry: Entry, one: ServerSubmission, content: bytes | None) -> bool:
        """Return whether the server holds what was sent; a server may rewrite line ends and the format of numbers."""
        returned = self.client.read_back(one.id)
        if hashlib.sha256(returned).hexdigest() == entry.csv_sha256:
            return True
        same = _sha256(_plain(returned)) == entry.csv_sha256
        if not same and content is not None:
            rows = _values(returned)
            same = rows is not None and rows == _values(content)
        if same:
            log.warning(
                "submission.rewritten", submission=one.id, reason="its bytes differ; all ids and values are equal"
            )
        return same

    def _prove_not_mapped(self, entry: Entry, held: Sequence[ServerSubmission], content: bytes) -> None:
        """
        Check that the server holds the ids that were sent.

        Numerai silently maps ids of the previous round onto this round's. Other ids on the server are the last sign that
        the live file was not this round's.

        Raises:
            DatasetIncomplete: The server holds other ids.
        """
        sent = _ids(content)
        for one in held:
            if self._is_ours(entry, one) and one.error is None and _ids(self.client.read_back(one.id)) != sent:
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

    def _on_time(self, round_: Round, slot: Slot, now: datetime) -> None:
        """Refuse a late upload, which Numerai would queue for the next round, and one of a slot that was paused meanwhile."""
        self.ledger.check_unpaused(slot.name, now)
        if not round_.accepts_upload(now):
            least = f"an upload begins at least {round_.guard.total_seconds():.0f} s before"
            raise RoundNotOpen(
                f"round {round_.number} closes at {round_.closes_at:%H:%M:%S} UTC: too late to upload, {least}; {NEXT_ROUND}"
            )

    def _adopt(self, entry: Entry, one: ServerSubmission) -> bool:
        """
        Confirm a submission that this bot made for this round and that the ledger does not hold.

        A file that was queued from an earlier round is not adopted: fresh predictions replace it.

        Returns:
            Whether *one* was adopted.

        Raises:
            RefuseToSubmit: The bot did not make it.
        """
        own = re.match(rf"r(?P<round>\d+)-{re.escape(file_name(entry.slot))}-(?P<sha8>[0-9a-f]{{8}})", one.filename)
        if own is None and self._is_ours(entry, one):
            return False
        # The model may have had another name when the file was sent; then the bytes alone prove whose it is.
        match = own or re.match(r"r(?P<round>\d+)-.+?-(?P<sha8>[0-9a-f]{8})", one.filename)
        is_of_round = match is not None and int(match["round"]) == entry.round
        sha256 = self._sent(one, match["sha8"]) if match is not None and is_of_round else None
        if sha256 is None or match is None:
            if own is not None:
                return False
            raise RefuseToSubmit(
                f"slot {entry.slot} already holds {one.filename} for round {entry.round}, which this bot did not make;"
                " use --force to replace it"
            )
        # The state directory was lost, the champion changed after the upload, or another machine's bot fills the slot too: the
        # sent file stays, and this run's artifact is not named as its author.
        if sha256 != entry.csv_sha256:
            log.warning("submission.adopted", file=one.filename, reason="an earlier run sent other predictions")
            not_sent = f"Numerai holds {one.filename}, which another run sent; {entry.artifact} was not sent"
            entry = replace(entry, artifact=UNKNOWN, filled_by=EARLIER, passed_over=not_sent)
        self.ledger.intend(replace(entry, token=match.group(), csv_sha256=sha256))
        self._confirm(entry, one)
        return True

    def _sent(self, one: ServerSubmission, sha8: str) -> str | None:
        """Return the digest of a submission's bytes as they were sent, ``None`` where it does not begin with *sha8*."""
        returned = self.client.read_back(one.id)
        return next((sha for sha in map(_sha256, (returned, _plain(returned))) if sha.startswith(sha8)), None)

    def _confirm(self, entry: Entry, submission: ServerSubmission) -> None:
        self.ledger.confirm(
            entry.round,
            entry.slot,
            submission_id=submission.id,
            filename=submission.filename,
            at=self.client.server_now(),
        )
        log.info("submission.confirmed", submission=submission.id, file=submission.filename)


def _is_superseded(one: ServerSubmission, held: Sequence[ServerSubmission]) -> bool:
    """Return whether Numerai counts another submission of the round, which was accepted."""
    return not one.selected and any(other.selected and other.error is None for other in held)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plain(content: bytes) -> bytes:
    """Return a file without byte-order mark, with the line ends that the bot writes."""
    lines = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    return b"\n".join(line for line in lines if line.strip()) + b"\n"


def _values(content: bytes) -> dict[bytes, float] | None:
    """Return the predictions of a submission file by id; ``None`` if it is none."""
    header, *lines = [line.replace(b'"', b"").split(b",") for line in _plain(content).splitlines()] or [[]]
    try:
        found = {identity: float(value) for identity, value in lines}
    except ValueError:
        return None
    return found if header == [b"id", b"prediction"] and len(found) == len(lines) else None


def _ids(content: bytes) -> set[bytes]:
    """Return the ids of a submission file."""
    return {line.partition(b",")[0] for line in content.splitlines()[1:]}
