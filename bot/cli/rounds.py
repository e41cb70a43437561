"""Commands about rounds: submit one, run them all, show them."""

from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.app import app
from bot.cli.paths import places
from bot.errors import BadConfig, BotError, RoundNotOpen

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.submission.submit import Submitter
    from bot.tournament.client import NumeraiClient
    from bot.tournament.rounds import Round
    from bot.tournament.slots import Slot


@app.command()
def submit(
    round_: Annotated[str, typer.Option("--round", help="`latest`, or the number of the open round.")] = "latest",
    slot: Annotated[
        str | None, typer.Option(help="One of the account's models; default: every configured slot.")
    ] = None,
    account: Annotated[str, typer.Option(help="One of several accounts in bot.toml.")] = "",
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Everything but the upload, whatever BOT_MODE says.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a confirmed or foreign submission.")] = False,
) -> None:
    """Bring the open round to a confirmed submission, or say why not."""
    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import show_receipt  # noqa: PLC0415
    from bot.record.ledger import Ledger, rounds_folder  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415
    from bot.system.lock import state_lock  # noqa: PLC0415

    settings = load_settings(mode="dry-run" if dry_run else None).of_account(account)
    logs.configure(**settings.logging, rounds=rounds_folder(settings.ledger_path))
    failed: list[BotError] = []
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
        current = _open_round(settings, client, submitter, slots, round_)
        if current is None:
            return
        if round_ not in ("latest", str(current.number)):
            raise RoundNotOpen(f"round {round_} is not open; the open round is {current.number}")
        for one in slots:
            try:
                show_receipt(submitter.submit(current, one, force=force))
            except BotError as error:
                failed.append(error)
    for other in failed[1:]:
        typer.echo(f"error: {other}", err=True)
    if failed:
        raise failed[0]


@app.command()
def run(
    *,
    trainer: Annotated[
        bool, typer.Option("--trainer", help="Sync and retrain alone, without a key, beside a daemon that submits.")
    ] = False,
) -> None:
    """Submit every round as it opens and do all chores on schedule, until stopped."""
    from bot.daemon import process, wiring  # noqa: PLC0415
    from bot.record.ledger import rounds_folder  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415
    from bot.system.lock import state_lock  # noqa: PLC0415

    settings = load_settings()
    logs.configure(**settings.logging, rounds=rounds_folder(settings.ledger_path))
    with state_lock(settings.state_dir, "trainer" if trainer else "bot"):
        if trainer:
            process.serve_jobs(*wiring.open_trainer(settings))
            return
        process.serve(*wiring.open_service(settings))


@app.command()
def health(
    *, trainer: Annotated[bool, typer.Option("--trainer", help="Of `bot run --trainer` instead.")] = False
) -> None:
    """Say whether the daemon of the state directory is well; exit code 0, or 75 with the reasons."""
    from bot.record.heartbeat import DAEMON, TRAINER, problems  # noqa: PLC0415

    found = problems(places().state_dir, TRAINER if trainer else DAEMON)
    for reason in found:
        typer.echo(reason, err=True)
    if found:
        raise typer.Exit(75)
    typer.echo("healthy")


@app.command()
def backup() -> None:
    """Back the ledger up, and remove files of rounds long gone; `bot run` does it daily."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from bot.record import backup  # noqa: PLC0415
    from bot.record.ledger import rounds_folder  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415

    settings = load_settings()
    if settings.ledger_path.is_file():
        made = backup.back_up(settings.ledger_path, settings.state_dir / "backups", at=datetime.now(UTC))
        typer.echo(f"ledger: backed up to {made}")
    freed = backup.prune(rounds_folder(settings.ledger_path))
    typer.echo(f"rounds: {freed / 1e6:.1f} MB freed")


@app.command()
def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per check.")] = False,
) -> None:
    """Look for everything that could keep a round from being submitted; each with its cause and its mend."""
    from bot.cli.console import show_checks  # noqa: PLC0415
    from bot.doctor.checks import exit_code  # noqa: PLC0415
    from bot.doctor.examination import examine  # noqa: PLC0415

    found = list(show_checks(examine(), as_json=as_json))
    raise typer.Exit(exit_code(found))


def _open_round(
    settings: "Settings", client: "NumeraiClient", submitter: "Submitter", slots: "tuple[Slot, ...]", wanted: str
) -> "Round | None":
    """Return the open round; where there is none but something was handed in late instead, ``None``."""
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
