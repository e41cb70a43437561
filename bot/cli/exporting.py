"""Commands that hand a model to somebody else's machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.app import app
from bot.errors import OperatorNeeded

if TYPE_CHECKING:
    from bot.hosted.export import Export
    from bot.settings import Settings

export = typer.Typer(help="Hand a model to a machine that is not the bot's; uploads nothing.", no_args_is_help=True)
app.add_typer(export, name="export")


@export.callback()
def _group() -> None:
    """Keep the one command there is a command of a group."""


@export.command()
def numerai_model(
    *,
    slot: Annotated[str, typer.Option(help="Model of your account that the pickle is meant for.")] = "",
    artifact: Annotated[str | None, typer.Option(help="Id of an artifact; default: the recipe's champion.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Whose champion; default: that of the settings.")] = None,
    output: Annotated[Path | None, typer.Option(help="The pickle; default: exports/<artifact>.pkl.")] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Run it under Numerai's limits and compare the ranks.")
    ] = True,
    python: Annotated[
        Path | None, typer.Option(help="Check with this interpreter's packages, not in a fresh environment.")
    ] = None,
    account: Annotated[str, typer.Option(help="Of several accounts in bot.toml, the slot's.")] = "",
) -> None:
    """Pack a champion as the pickle that Numerai runs itself (Model Upload), for when the bot cannot run anywhere."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from bot import assembly  # noqa: PLC0415
    from bot.record.ledger import rounds_folder  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415

    settings = load_settings()
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
    try:
        from bot.hosted.export import export as make  # noqa: PLC0415 - packs with what only training installs
        from bot.hosted.export import refuse_filled  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to export a model") from None
    filled = _filled(settings)
    client = assembly.open_client(settings.of_account(account))
    replaced = refuse_filled(slot, filled, client) if slot else None
    store = assembly.open_artifacts(settings)
    found = store.open(artifact or store.champions(recipe or assembly.recipes_in_use(settings)[0])[0])
    if check and python is None:
        typer.echo("Numerai's packages are installed into a fresh environment; this takes a minute or more", err=True)
    made = make(
        found,
        (output or settings.state_dir / "exports" / f"{found.id}.pkl").absolute(),
        state_dir=settings.state_dir,
        rounds=rounds_folder(settings.ledger_path),
        now=datetime.now(UTC),
        client=client if check else None,
        python=python,
    )
    _show(made, slot, replaced, () if slot else filled)


def _filled(settings: "Settings") -> tuple[str, ...]:
    """Return the slots that the settings name, of all accounts."""
    named = (settings.slots, *(account.slots for account in settings.accounts.values()))
    return tuple(dict.fromkeys(name for slots in named for name in slots))


def _show(made: "Export", slot: str, replaced: str | None, filled: tuple[str, ...]) -> None:
    """Print a receipt, and what is left for a person to do."""
    from rich.table import Table  # noqa: PLC0415

    from bot.cli.console import console  # noqa: PLC0415

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
    where = f"model {slot}" if slot else "a model that nothing submits to by API"
    typer.echo(
        f"Upload it on numer.ai/models to {where}, as Python {made.python} with data {made.data_version}; the bot uploads"
        " no models."
    )
    if replaced:
        typer.echo(f"It takes the place of {replaced}, which {slot} runs now.")
    if filled:
        typer.echo(f"Never to {', '.join(filled)}: a Model Upload shuts out what the bot submits there.")
