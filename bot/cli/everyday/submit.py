"""`bot submit`: submit the open round for every slot, or hand in late where the settings allow it."""

import structlog
import typer
from rich.markup import escape
from rich.table import Table

from bot import assembly
from bot.cli.console import console, gate_result
from bot.errors import BadConfig, BotError, RetryLater, RoundNotOpen
from bot.live.selection import warn_unselected
from bot.record.ledger import Ledger, rounds_folder
from bot.settings import Settings, load_settings
from bot.submission.submit import Receipt, Submitter
from bot.system import logs
from bot.system.lock import state_lock
from bot.tournament.client import NumeraiClient
from bot.tournament.rounds import Round
from bot.tournament.slots import Slot

log = structlog.get_logger()


def submit_round(wanted: str, *, slot: str | None, account: str | None, dry_run: bool, force: bool) -> None:
    """
    Submit the open round and print a receipt for each slot.

    Args:
        wanted: Number of the round, or ``latest``.
        slot: Only this model; ``None`` for every configured one.
        account: One of several accounts; ``None`` for the only one.
        dry_run: Do everything but the upload, whatever the mode is.
        force: Replace a confirmed submission, or one that the bot did not make.

    Raises:
        BadConfig: The slot is not configured.
        BotError: A slot failed. The others are submitted first, and the first failure is raised.
        RoundNotOpen: No round is open, or another one than *wanted*.
    """
    settings = load_settings(mode="dry-run" if dry_run else None).of_account(account)
    logs.configure(**settings.logging, rounds=rounds_folder(settings.ledger_path))
    with state_lock(settings.state_dir):
        ledger = Ledger(settings.ledger_path)
        client = assembly.open_client(settings)
        submitter = assembly.open_submitter(settings, client, ledger)
        slots = assembly.find_slots(settings, client)
        if slot is not None:
            known = ", ".join(one.name for one in slots)
            slots = tuple(one for one in slots if one.name == slot)
            if not slots:
                raise BadConfig(f"slot {slot!r} is not configured; configured slots: {known}")
        current = _open_round(settings, client, submitter, slots, wanted)
        if current is None:
            return
        if wanted not in ("latest", str(current.number)):
            raise RoundNotOpen(f"round {wanted} is not open; the open round is {current.number}")
        failed = _submit_each(submitter, current, submitter.in_turn(current, slots), force=force)
        for warning in warn_unselected(client, ledger, slots):
            typer.echo(f"warning: {warning}", err=True)
    for other in failed[1:]:
        typer.echo(f"error: {other}", err=True)
    if failed:
        raise failed[0]


def _submit_each(submitter: Submitter, current: Round, slots: tuple[Slot, ...], *, force: bool) -> list[BotError]:
    """Submit the slots one after another and print their receipts; return the failures."""
    failed: list[BotError] = []
    for one in slots:
        try:
            show_receipt(submitter.submit(current, one, force=force))
        except BotError as error:
            failed.append(error)
        except Exception as error:  # whatever is wrong with one slot, the others have their round
            log.exception("slot.crashed", slot=one.name)
            failed.append(RetryLater(f"slot {one.name}: {type(error).__name__}: {error}"))
    return failed


def _open_round(
    settings: Settings, client: NumeraiClient, submitter: Submitter, slots: tuple[Slot, ...], wanted: str
) -> Round | None:
    """Return the open round, or ``None`` where no round is open and files were handed in late instead."""
    try:
        return client.current_round()
    except RoundNotOpen:
        number = int(wanted) if wanted.isdigit() else None
        late = submitter.queue(slots, number) if settings.late_policy == "queue" else ()
        for one in late:
            typer.echo(f"round {one.round}, slot {one.slot}: handed in late; counts for the next round until replaced")
        if late:
            return None
        raise


def show_receipt(receipt: Receipt) -> None:
    """Print one submission: round, data, artifact, gates and outcome."""
    out = console()
    if receipt.outcome == "already confirmed":
        out.print(
            f"round {receipt.round.number}, slot {receipt.slot}: already confirmed, nothing to do"
            f" (submission {receipt.submission_id})",
            soft_wrap=True,
        )
        return
    table = Table(title=f"Round {receipt.round.number}, slot {receipt.slot}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("opens", f"{receipt.round.opens_at:%a %Y-%m-%d %H:%M:%S} UTC")
    table.add_row("closes", f"{receipt.round.closes_at:%a %Y-%m-%d %H:%M:%S} UTC")
    table.add_row("data", f"{receipt.data_version}, sha256 {receipt.data_sha256[:12]}")
    table.add_row("artifact", receipt.artifact)
    if receipt.filled_by != "champion":
        table.add_row("filled by", f"[bold yellow]{receipt.filled_by}[/]: {escape(receipt.passed_over)}")
    for finding in receipt.findings:
        table.add_row(f"gate {finding.gate}", gate_result(finding))
    table.add_row("predictions", f"sha256 {receipt.csv_sha256[:12]}")
    table.add_row("submission", receipt.submission_id or "none: dry run, set BOT_MODE=live to upload")
    table.add_row("outcome", f"[bold green]{receipt.outcome}[/]" if receipt.submission_id else receipt.outcome)
    table.add_row("seconds", f"{receipt.seconds_used:.1f} used, {receipt.seconds_left:.0f} left until the close")
    out.print(table)
