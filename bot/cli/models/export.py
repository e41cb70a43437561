"""`bot export numerai-model`: a champion as a pickle that Numerai runs itself."""

from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.table import Table

from bot import assembly
from bot.cli.console import console
from bot.hosted.export import Export, export, refuse_filled
from bot.record.ledger import rounds_folder
from bot.settings import Settings, load_settings
from bot.system import logs


def export_pickle(
    *,
    slot: str | None,
    artifact: str | None,
    recipe: str | None,
    output: Path | None,
    check: bool,
    python: Path | None,
    account: str | None,
) -> None:
    """
    Write the pickle, check it, and print a receipt and the steps that are left to the operator.

    Args:
        slot: Model of the account that the pickle is meant for; refused where the bot submits to it.
        artifact: Id of the artifact; by default the champion of *recipe*.
        recipe: Name of the recipe; by default the first in use.
        output: Path of the pickle; by default ``exports/<artifact>.pkl`` in the state directory.
        check: Run the pickle under Numerai's limits and compare its ranks with the bot's.
        python: Interpreter to check with; by default one in a fresh environment with Numerai's packages.
        account: One of several accounts; ``None`` for the only one.
    """
    settings = load_settings()
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
    filled = _filled(settings)
    client = assembly.open_client(settings.of_account(account))
    replaced = refuse_filled(slot, filled, client) if slot else None
    store = assembly.open_artifacts(settings)
    found = store.open(
        store.find(artifact) if artifact else store.champions(recipe or assembly.recipes_in_use(settings)[0])[0]
    )
    if check and python is None:
        typer.echo("Numerai's packages are installed into a fresh environment; this takes a minute or more", err=True)
    made = export(
        found,
        (output or settings.state_dir / "exports" / f"{found.id}.pkl").absolute(),
        state_dir=settings.state_dir,
        rounds=rounds_folder(settings.ledger_path),
        now=datetime.now(UTC),
        client=client if check else None,
        python=python,
    )
    _show_receipt(made)
    _show_next_steps(made, slot, replaced, () if slot else filled)


def _filled(settings: Settings) -> tuple[str, ...]:
    """Return the slots that the settings name, of all accounts."""
    named = (settings.slots, *(account.slots for account in settings.accounts_in_use))
    return tuple(dict.fromkeys(name for slots in named for name in slots))


def _show_receipt(made: Export) -> None:
    table = Table(title=f"Artifact {made.artifact} as a model of Numerai's", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("members", ", ".join(f"{name} {weight:.3g}" for name, weight in made.members.items()))
    table.add_row(
        "function", f"takes {'live features' if made.arguments == 1 else 'live features and benchmark models'}"
    )
    if made.stale_after:
        table.add_row("history", f"travels along and is masked after {made.stale_after[:10]}: export again before")
    table.add_row("pickle", f"{made.size / 1e6:.1f} MB, sha256 {made.sha256[:12]}")
    if made.checked is None:
        table.add_row("check", "[bold yellow]not checked[/], as you wished")
    else:
        checked, ranks = made.checked, made.checked.agreement
        same = (
            f"equal but for float32 noise: {ranks.rows - ranks.moved:,} of {ranks.rows:,} rows in their place, the others"
            f" at most {ranks.furthest:g} off"
            if ranks.moved
            else f"equal: each of {ranks.rows:,} rows in its place"
        )
        shown = ", ".join(f"{name} {made.packages[name]}" for name in ("numpy", "pandas", "onnx") if made.packages)
        table.add_row("environment", f"Python {made.python}, {shown or 'packages of another interpreter'}")
        table.add_row(
            "limits", f"{checked.seconds:.1f} s of 600 on one core, {checked.peak_bytes / 1e6:,.0f} MB of 4,000"
        )
        table.add_row("ranks", f"{same}; rank correlation {ranks.correlation:.9f}")
        if checked.remark:
            table.add_row("remark", checked.remark)
    console().print(table)
    typer.echo(made.path)


def _show_next_steps(made: Export, slot: str | None, replaced: str | None, filled: tuple[str, ...]) -> None:
    where = f"model {slot}" if slot else "a model that nothing submits to by API"
    typer.echo(
        f"Upload it on numer.ai/models to {where}, as Python {made.python} with data {made.data_version}; the bot uploads"
        " no models."
    )
    if replaced:
        typer.echo(f"It replaces {replaced}, which {slot} runs now.")
    if filled:
        typer.echo(f"Never to {', '.join(filled)}: a Model Upload blocks the bot's submissions there.")
