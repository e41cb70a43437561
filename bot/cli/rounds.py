"""Commands about rounds: submit one, run them all, show them."""

from typing import Annotated

import typer

from bot.cli.app import app
from bot.errors import BadConfig, RoundNotOpen


@app.command()
def submit(
    round_: Annotated[str, typer.Option("--round", help="`latest`, or the number of the open round.")] = "latest",
    slot: Annotated[
        str | None, typer.Option(help="One of the account's models; default: every configured slot.")
    ] = None,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Everything but the upload, whatever BOT_MODE says.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a confirmed or foreign submission.")] = False,
) -> None:
    """Bring the open round to a confirmed submission, or say why not."""
    from bot import assembly, config, logs  # noqa: PLC0415
    from bot.console import show_receipt  # noqa: PLC0415
    from bot.ledger import Ledger, state_lock  # noqa: PLC0415

    settings = config.load(mode="dry-run" if dry_run else None)
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
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
        current = client.current_round()
        if round_ not in ("latest", str(current.number)):
            raise RoundNotOpen(f"round {round_} is not open; the open round is {current.number}")
        for one in slots:
            show_receipt(submitter.submit(current, one, force=force))


@app.command()
def run() -> None:
    """Submit every round as it opens and retrain on schedule, until stopped."""
    from bot import assembly, config, daemon, logs  # noqa: PLC0415
    from bot.ledger import Ledger, state_lock  # noqa: PLC0415

    settings = config.load()
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
    with state_lock(settings.state_dir):
        ledger = Ledger(settings.ledger_path)
        client = assembly.open_client(settings)
        loop = daemon.Daemon(
            submitter=assembly.open_submitter(settings, client, ledger),
            find_slots=lambda: assembly.find_slots(settings, client),
            tick_s=settings.tick_s,
        )
        daemon.run(loop, assembly.chores(settings))


@app.command()
def status() -> None:
    """Show the last rounds from the ledger; asks nobody."""
    from bot import config  # noqa: PLC0415
    from bot.ledger import Ledger  # noqa: PLC0415

    settings = config.load()
    if not settings.ledger_path.is_file():
        typer.echo(f"{settings.mode}: no round yet ({settings.ledger_path} does not exist)")
        return
    ledger = Ledger(settings.ledger_path)
    for entry in ledger.entries():
        typer.echo(f"round {entry.round}  {entry.slot}  {entry.state}  {entry.artifact}  {entry.submission_id or '-'}")


@app.command()
def doctor(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per check.")] = False,
) -> None:
    """Look for everything that could keep a round from being submitted; each with its cause and its mend."""
    from bot.console import show_checks  # noqa: PLC0415
    from bot.doctor import examine, exit_code  # noqa: PLC0415

    found = list(show_checks(examine(), as_json=as_json))
    raise typer.Exit(exit_code(found))
