"""`bot submit`: submit the open round for every slot, or hand in late where the settings allow it."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime

import structlog
import typer

from bot import assembly
from bot.cli.answer import Answer, show
from bot.cli.everyday.receipt import receipt_content, show_receipt
from bot.errors import BadConfig, BadCredentials, BotError, NumeraiUnavailable, RoundNotOpen, SlotPaused, StateLocked
from bot.live.selection import warn_unselected
from bot.record.failures import Failure
from bot.record.ledger import Entry, Ledger, rounds_folder
from bot.record.outbox import CLOSED_BY_SUCCESS, Outbox
from bot.settings import Settings, load_settings
from bot.submission.submit import Receipt, Submitter
from bot.system import logs
from bot.system.child_process import parent_process
from bot.system.lock import state_lock
from bot.tournament.client import NO_KEY, NumeraiClient
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot

log = structlog.get_logger()


def submit_round(
    wanted: str, *, slot: str | None, account: str | None, dry_run: bool, force: bool, as_json: bool = False
) -> None:
    """
    Submit the open round and print a receipt for each slot.

    Args:
        wanted: Number of the round, or ``latest``.
        slot: Only this model; ``None`` for every configured one.
        account: One of several accounts; ``None`` for the only one.
        dry_run: Do everything but the upload, whatever the mode is.
        force: Replace a confirmed submission, or one that the bot did not make.
        as_json: Print one JSON object of all slots in the end, in place of the receipts.

    Raises:
        BadConfig: The slot is not configured.
        BotError: A slot failed. The others are submitted first, and the worst failure is raised.
        RoundNotOpen: No round is open, or another one than *wanted*.
    """
    settings = load_settings(mode="dry-run" if dry_run else None).of_account(account)
    logs.configure(**settings.logging, rounds=rounds_folder(settings.ledger_path))
    failed: list[BotError] = []
    made: list[Receipt] = []
    late: Sequence[Entry] = ()
    with _lock(settings):
        ledger = assembly.open_ledger(settings)
        client = assembly.open_client(settings)
        submitter = assembly.open_submitter(settings, client, ledger)
        # First of all: while the close is not known, one request that drips may take the whole of a short round.
        current = _open_round(client)
        slots = _slots(settings, client, slot, failed, ledger, current)
        slots = _unpaused(slots, ledger, client.server_now(), wanted=slot)
        if isinstance(current, RoundNotOpen):
            if settings.late_policy == "queue":
                late = _hand_in_late(submitter, slots, wanted, failed, current)
            if not late and not failed:
                raise current
        else:
            if wanted not in ("latest", str(current.number)):
                raise RoundNotOpen(f"round {wanted} is not open; the open round is {current.number}")
            for one in submitter.in_turn(current, slots):
                with _isolated(one, failed, ledger, current, among=len(slots)):
                    made.append(submitter.submit(current, one, force=force))
                    if not as_json:
                        show_receipt(made[-1])
            if made:
                _end_troubles(settings, ledger, current)
            for warning in warn_unselected(client, ledger, slots):
                typer.echo(f"warning: {warning}", err=True)
    lines = (
        f"round {one.round}, slot {one.slot}: handed in late; counts for the next round until replaced" for one in late
    )
    content = {
        "receipts": [receipt_content(one) for one in made],
        "handed_in_late": [{"round": one.round, "slot": one.slot} for one in late],
    }
    show(Answer(lines=tuple(lines), content=content, errors=failed), as_json=as_json)


def _slots(
    settings: Settings,
    client: NumeraiClient,
    wanted: str | None,
    failed: list[BotError],
    ledger: Ledger,
    current: Round | RoundNotOpen,
) -> tuple[Slot, ...]:
    """Return the slots to fill; note in *failed* and in the ledger those that are no model of the account."""
    if isinstance(current, Round):
        ledger.record_round(current)
    try:
        matched = assembly.match_slots(settings, client)
    except BotError as error:
        _record(ledger, current, error)
        raise
    if wanted is not None and wanted not in matched:
        raise BadConfig(f"slot {wanted!r} is not configured; configured slots: {', '.join(matched)}")
    chosen = {name: one for name, one in matched.items() if wanted in (None, name)}
    for name, one in chosen.items():
        if isinstance(one, BadConfig):
            _record(ledger, current, one, slot=name)
            failed.append(one)
    return tuple(one for one in chosen.values() if isinstance(one, Slot))


def _unpaused(slots: Sequence[Slot], ledger: Ledger, now: datetime, *, wanted: str | None) -> tuple[Slot, ...]:
    """
    Return the slots that no person has paused; say which are.

    Raises:
        SlotPaused: The slot that the command names is paused.
    """
    left = []
    for one in slots:
        try:
            ledger.check_unpaused(one.name, now)
        except SlotPaused as paused:
            if wanted is not None:
                raise
            typer.echo(f"{paused}; nothing is done for it", err=True)
        else:
            left.append(one)
    return tuple(left)


def _record(ledger: Ledger, current: Round | RoundNotOpen, error: Exception, *, slot: str = "") -> None:
    """Record why a slot, or every slot, could not be filled in the open round."""
    if isinstance(current, Round):
        failure = Failure.of(error, round_number=current.number, slot=slot, at=datetime.now(UTC))
        with suppress(BotError):  # a full disk is often the cause; the error is raised in any case
            ledger.record_failure(failure)


def _end_troubles(settings: Settings, ledger: Ledger, current: Round) -> None:
    """
    End the failure of the round that concerned every slot, such as a refused key; another account may still have it.

    Where every slot is filled and no daemon runs, end the alerts that the last daemon opened.
    """
    others = [slot for one in settings.accounts for slot in one.slots if slot not in settings.slots]
    known = all(one.slots for one in settings.accounts)
    if not known or not all(ledger.settled(current.number, slot) for slot in others):
        return
    with suppress(BotError):  # the slots are filled all the same
        ledger.end_common_failure(current.number)
        if all(ledger.settled(current.number, slot) for slot in settings.slots) and parent_process() is None:
            with closing(Outbox(settings.ledger_path)) as outbox:
                for name in CLOSED_BY_SUCCESS:
                    outbox.resolve(name, f"`bot submit` filled round {current.number}", at=datetime.now(UTC))


@contextmanager
def _isolated(
    slot: Slot, failed: list[BotError], ledger: Ledger, current: Round | RoundNotOpen, *, among: int
) -> Iterator[None]:
    """
    Note the failure of one slot in *failed*, whatever it is: the other slots of the account are filled all the same.

    Among several slots, the message names its slot.
    """
    try:
        yield
    except BotError as error:  # the submitter has recorded it
        if among > 1 and f"slot {slot.name}" not in str(error):
            error.args = (f"slot {slot.name}: {error}", *error.args[1:])
        failed.append(error)
    except Exception as error:
        log.exception("slot.crashed", slot=slot.name)
        _record(ledger, current, error, slot=slot.name)
        failed.append(BotError(f"slot {slot.name}: {type(error).__name__}: {error}; the log has the traceback"))


def _lock(settings: Settings) -> ExitStack:
    """Lock the state directory; a dry run has its own lock, ledger and folder of rounds, and works beside a bot that submits."""
    held = ExitStack()
    try:
        held.enter_context(state_lock(settings.state_dir, "bot" if settings.mode == "live" else "dry-run"))
    except StateLocked as error:
        raise StateLocked(f"{error}; if it is `bot run`, `bot retry` lets it try the open round now") from None
    return held


def _open_round(client: NumeraiClient) -> Round | RoundNotOpen:
    """Return the open round, or why there is none; a missing key is named before a Numerai that does not answer."""
    try:
        return client.current_round()
    except RoundNotOpen as closed:
        return closed
    except NumeraiUnavailable:
        if not client.has_key:
            raise BadCredentials(NO_KEY) from None
        raise


def _hand_in_late(
    submitter: Submitter, slots: Sequence[Slot], wanted: str, failed: list[BotError], current: RoundNotOpen
) -> Sequence[Entry]:
    """Hand in what a closed round left unsent; return the entries."""
    number = int(wanted) if re.fullmatch(r"[0-9]{1,9}", wanted) else None
    late: list[Entry] = []
    for slot in slots:
        with _isolated(slot, failed, submitter.ledger, current, among=len(slots)):
            late += submitter.queue((slot,), number)
    return late
