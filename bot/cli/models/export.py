"""`bot export numerai-model`: a champion as a pickle that Numerai runs itself."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.table import Table

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import console, kept_bar, print_table
from bot.errors import BadConfig
from bot.hosted.export import Export, export, refuse_filled
from bot.hosted.upload import Hosting, Runtime, Uploader, find_runtime
from bot.record.hosted import HostedRecord
from bot.record.ledger import rounds_folder
from bot.serving.artifacts import Artifact
from bot.settings import Settings, load_settings
from bot.system import logs
from bot.system.lock import state_lock
from bot.tournament.client import NumeraiClient


def export_pickle(
    *,
    slot: str | None,
    artifact: str | None,
    recipe: str | None,
    output: Path | None,
    check: bool,
    python: Path | None,
    account: str | None,
    upload: bool,
    wait_s: float,
) -> Answer:
    """
    Write the pickle, check it, upload it where *upload* says so; print a receipt, and return it with the steps that are left.

    Args:
        slot: Model of the account that the pickle is meant for; refused where the bot submits to it.
        artifact: Id of the artifact; by default the champion of *recipe*.
        recipe: Name of the recipe; by default the first in use that has a champion.
        output: Path of the pickle; by default ``exports/<artifact>.pkl`` in the state directory.
        check: Run the pickle under Numerai's limits and compare its ranks with the bot's.
        python: Interpreter to check with; by default one in a fresh environment with Numerai's packages.
        account: One of several accounts; ``None`` for the only one.
        upload: Let *slot* run the pickle.
        wait_s: Longest wait for Numerai's validation in seconds.
    """
    settings = load_settings()
    logs.configure(log_format=settings.log_format, secrets=settings.secrets)
    if upload and settings.mode != "live":
        raise BadConfig("BOT_MODE is dry-run, which changes nothing at Numerai; set BOT_MODE=live to upload")
    filled, own = _filled(settings), settings.of_account(account)
    client = assembly.open_client(own)
    # An account without named slots has its only model filled.
    replaced = refuse_filled(slot, filled if own.slots or slot in filled else (), client) if slot else None
    found = _chosen(settings, artifact, recipe)
    runtime = find_runtime(client, data_version=str(found.required("data_version"))) if upload else None
    if check and python is None:
        known = ", unless this pickle was checked before" if upload else ""
        typer.echo(
            f"Numerai's packages are installed into a fresh environment; this takes a minute or more{known}", err=True
        )
    made = export(
        found,
        (output or settings.state_dir / "exports" / f"{found.id}.pkl").absolute(),
        state_dir=settings.state_dir,
        rounds=rounds_folder(settings.ledger_path),
        now=datetime.now(UTC),
        client=client if check else None,
        python=python and python.absolute(),
        reuse=upload,
    )
    hosting = None
    if slot and runtime:
        hosting = _upload(settings, client, runtime, made, slot, account=account or "", wait_s=wait_s)
    left = () if hosting else tuple(_next_steps(made, slot, replaced, () if slot else filled))
    _show_receipt(made)
    lines = tuple(_hosting_lines(hosting)) if hosting else left
    return Answer(lines=(made.path, *lines), content={"export": made, "hosting": hosting, "next": left})


def _chosen(settings: Settings, artifact: str | None, recipe: str | None) -> Artifact:
    store = assembly.open_artifacts(settings)
    if recipe and not artifact:
        return store.open(store.champions(recipe)[0])
    return store.open(assembly.find_artifact(settings, artifact))


def _upload(
    settings: Settings,
    client: NumeraiClient,
    runtime: Runtime,
    made: Export,
    slot: str,
    *,
    account: str,
    wait_s: float,
) -> Hosting:
    """Upload the pickle for a slot, with its progress on standard error."""
    with (
        state_lock(settings.state_dir, "hosted"),
        closing(HostedRecord(settings.ledger_path)) as record,
        kept_bar(settings.state_dir, "export") as report_progress,
    ):
        uploader = Uploader(
            client=client,
            record=record,
            account=account,
            runtime=runtime,
            wait_s=wait_s,
            report_progress=report_progress,
        )
        return uploader.upload(made, slot, client.slots()[slot])


def _hosting_lines(hosting: Hosting) -> Sequence[str]:
    lines = [*hosting.steps]
    if hosting.replaced:
        lines.append(f"it replaces {hosting.replaced}")
    return [*lines, "`bot run` looks every day whether it submits; `bot status` shows it"]


def _filled(settings: Settings) -> tuple[str, ...]:
    """Return the slots that the settings name, of all accounts."""
    return tuple(dict.fromkeys(name for account in settings.accounts_in_use for name in account.slots))


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
    print_table(console(), table)


def _next_steps(made: Export, slot: str | None, replaced: str | None, filled: tuple[str, ...]) -> Iterator[str]:
    where = f"model {slot}" if slot else "a model that nothing submits to by API"
    yield (
        f"Upload it on numer.ai/models to {where}, as Python {made.python} with data {made.data_version}, or let"
        " --upload --slot NAME do it."
    )
    if replaced:
        yield f"It replaces {replaced}, which {slot} runs now."
    if filled:
        yield f"Never to {', '.join(filled)}: a Model Upload blocks the bot's submissions there."
