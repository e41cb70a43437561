"""Pages about artifacts: written after every retrain, and again whenever somebody asks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bot.cli.app import app
from bot.errors import BadConfig, OperatorNeeded

if TYPE_CHECKING:
    from bot.scoring.summaries import Terms
    from bot.settings import Settings

CORR_SHOWN = "corr60"
"""Numerai's name of the CORR that is paid since round 1343."""


@app.command()
def report(
    artifact: Annotated[str | None, typer.Argument(help="Id of an artifact; default: the champion.")] = None,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Evaluate anew, on the eras that have resolved since.")
    ] = False,
) -> None:
    """Write the page about an artifact from its evaluation, which is made where there is none; print where it is."""
    from bot import assembly  # noqa: PLC0415
    from bot.reporting.report_page import write  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415

    settings = load_settings()
    logs.configure(**settings.logging)
    identity = assembly.find_artifact(settings, artifact)
    content = None if again else _known(figures_path(settings, identity))
    if content is None:
        _, (_, page) = evaluated(settings, identity)
    else:
        page = page_path(settings, identity)
        write(content, page)
    typer.echo(page)


def evaluated(
    settings: "Settings", artifact: str | None, pay: str | None = None
) -> tuple[dict[str, Any], tuple[Path, Path]]:
    """
    Evaluate an artifact, the champion by default, and write figures and page.

    Returns:
        The figures, and the paths of their JSON and of the page.
    """
    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import training_bar  # noqa: PLC0415
    from bot.reporting.report_page import write  # noqa: PLC0415

    try:
        from bot.reporting.evaluate import Evaluator, save  # noqa: PLC0415 - torch is loaded by what trains and measures alone
    except ModuleNotFoundError as error:
        raise OperatorNeeded(f"{error.name} is not installed; install numerai-bot[train] to evaluate") from None
    identity, terms = assembly.find_artifact(settings, artifact), _terms(settings, pay)
    with training_bar() as watch:
        evaluator = Evaluator(
            artifacts=assembly.open_artifacts(settings), state_dir=settings.state_dir, terms=terms, watch=watch
        )
        content = evaluator.evaluate(identity)
    paths = figures_path(settings, identity), page_path(settings, identity)
    save(content, paths[0])
    write(content, paths[1])
    return content, paths


def report_after_retrain(settings: "Settings", identity: str) -> None:
    """Write the page about a new artifact; whatever goes wrong here is said, and the retrain stands as it is."""
    import structlog  # noqa: PLC0415

    try:
        _, (_, page) = evaluated(settings, identity)
    except Exception as error:  # noqa: BLE001 - the artifact is published and judged; no page about it may change that
        structlog.get_logger().warning("report.failed", artifact=identity, error=f"{type(error).__name__}: {error}")
    else:
        typer.echo(f"report: {page}")


def _terms(settings: "Settings", pay: str | None) -> "Terms | None":
    """Return what a round pays, as said or as the newest priced round has it; ``None`` where neither is known."""
    from bot.live.live_scores import LiveRecord  # noqa: PLC0415
    from bot.scoring.summaries import Terms  # noqa: PLC0415

    if pay is not None:
        try:
            return Terms.parse(pay)
        except ValueError as error:
            raise BadConfig(f"--pay: {error}") from None
    if not settings.ledger_path.is_file():
        return None
    record = LiveRecord(settings.ledger_path)
    try:
        return record.newest_terms()
    finally:
        record.close()


def figures_path(settings: "Settings", identity: str) -> Path:
    """Return where an artifact's evaluation is kept."""
    return settings.state_dir / "reports" / f"{identity}.json"


def page_path(settings: "Settings", identity: str) -> Path:
    """Return where the page about an artifact is written."""
    return settings.state_dir / "reports" / f"{identity}.html"


def _known(path: Path) -> dict[str, Any] | None:
    """Return an evaluation that was kept by this version, ``None`` where there is none."""
    from bot.reporting.report_page import SCHEMA  # noqa: PLC0415

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if content["schema"] == SCHEMA else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@app.command()
def diagnose(
    artifact: Annotated[
        str | None, typer.Option(help="Id of an artifact; default: champions not asked about yet.")
    ] = None,
    account: Annotated[str, typer.Option(help="One of several accounts in bot.toml.")] = "",
    *,
    force: Annotated[bool, typer.Option("--force", help="Upload again what has been diagnosed already.")] = False,
) -> None:
    """Let Numerai's diagnostics score what an artifact was judged by, and compare: a difference is a flaw in scores or data."""
    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import training_bar  # noqa: PLC0415
    from bot.judging.numerai_diagnostics import Diagnoser  # noqa: PLC0415
    from bot.record.diagnostics import DiagnosticsRecord  # noqa: PLC0415
    from bot.record.outbox import Outbox  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415
    from bot.system.lock import state_lock  # noqa: PLC0415

    settings = load_settings().of_account(account)
    logs.configure(**settings.logging)
    if settings.mode != "live":
        typer.echo("dry run: nothing is uploaded to Numerai's diagnostics; BOT_MODE=live does")
        return
    recipes = assembly.recipes_in_use(settings)
    wanted = (artifact,) if artifact else assembly.undiagnosed(settings, recipes)
    if force and not artifact:
        wanted = (assembly.find_artifact(settings, None),)
    if not wanted:
        typer.echo("Numerai's diagnostics of every champion are known, see `bot status`; --force asks again")
        return
    artifacts, client = assembly.open_artifacts(settings), assembly.open_client(settings)
    slots = assembly.find_slots(settings, client)
    with state_lock(settings.state_dir, "diagnose"), training_bar() as watch:
        diagnoser = Diagnoser(
            client=client,
            record=DiagnosticsRecord(settings.ledger_path),
            outbox=Outbox(settings.ledger_path),
            artifacts=artifacts,
            state_dir=settings.state_dir,
            watch=watch,
        )
        for identity in wanted:
            recipe = artifacts.open(identity).manifest["recipe"]["name"]
            slot = next((one for one in slots if one.recipe == recipe), slots[0])
            found = diagnoser.diagnose(identity, slot, force=force)
            typer.echo(f"{identity}: {found.state}: {found.verdict}")


@app.command()
def scores(
    account: Annotated[str, typer.Option(help="One of several accounts in bot.toml.")] = "",
    *,
    offline: Annotated[bool, typer.Option("--offline", help="Show what is kept, ask nobody.")] = False,
) -> None:
    """Read what came of the submissions, show it beside what was promised and the benchmark, and export it as parquet."""
    from bot import assembly  # noqa: PLC0415
    from bot.cli.console import show_live  # noqa: PLC0415
    from bot.live.benchmark_check import measure  # noqa: PLC0415
    from bot.live.live_scores import LiveRecord  # noqa: PLC0415
    from bot.live.sync import calibrate, export, sync_scores  # noqa: PLC0415
    from bot.record.ledger import Ledger  # noqa: PLC0415
    from bot.settings import load_settings  # noqa: PLC0415
    from bot.system import logs  # noqa: PLC0415

    settings = load_settings().of_account(account)
    logs.configure(**settings.logging)
    ledger, record = Ledger(settings.ledger_path), LiveRecord(settings.ledger_path)
    if not offline:
        client = assembly.open_client(settings)
        slots, artifacts = assembly.find_slots(settings, client), assembly.open_artifacts(settings)
        sync_scores(client, record, slots, settings.compare.split())
        for one in measure(client, ledger, artifacts, slots, least=settings.min_benchmark_corr):
            typer.echo(
                f"round {one.round}, {one.slot}: rank correlation {one.correlation:.3f} with {one.benchmark}"
                f" over {one.rows} rows{f'; {one.finding}' if one.finding else ''}"
            )
    rounds = record.rounds()
    show_live(rounds, calibrate(rounds, ledger, assembly.open_artifacts(settings), score=CORR_SHOWN))
    if rounds:
        path = settings.state_dir / "live_record.parquet"
        export(rounds, path)
        typer.echo(f"exported to {path}")
