"""Evaluate an artifact and write figures and page; `bot evaluate`, `bot report` and `bot retrain` do so."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import typer

from bot import assembly
from bot.cli.console import kept_bar
from bot.cli.paths import report_paths
from bot.errors import BadConfig
from bot.live.live_scores import LiveScores
from bot.reporting.evaluate import Evaluator, save
from bot.reporting.report_page import write
from bot.scoring.summaries import PayoutTerms
from bot.settings import Settings
from bot.training.planning.time_estimate import Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """
    An evaluation on disk.

    Attributes:
        content: The figures.
        figures: Path of the figures as JSON.
        page: Path of the page.
    """

    content: dict[str, Any]
    figures: Path
    page: Path


def evaluate_and_report(
    settings: Settings, artifact: str, pay: str | None = None, *, estimate: Estimate | None = None
) -> Evaluation:
    """
    Evaluate an artifact, and write figures and page.

    Args:
        settings: The settings.
        artifact: Id of the artifact.
        pay: Payout of a round, as in ``corr=3,mmc=15,clip=1``; by default that of the newest round with a price.
        estimate: Plan whose last stage this is.

    Raises:
        BadConfig: *pay* cannot be read.
    """
    terms = _terms(settings, pay)
    with kept_bar(settings.state_dir, "evaluate", estimate) as report_progress:
        evaluator = Evaluator(
            artifacts=assembly.open_artifacts(settings),
            state_dir=settings.state_dir,
            terms=terms,
            report_progress=report_progress,
        )
        content = evaluator.evaluate(artifact)
    paths = report_paths(settings.state_dir, artifact)
    save(content, paths.figures)
    write(content, paths.page)
    return Evaluation(content=content, figures=paths.figures, page=paths.page)


def report_new_artifact(settings: Settings, artifact: str, estimate: Estimate | None = None) -> Path | None:
    """
    Write the page about a new artifact, print its path and return it; ``None`` where it could not be written.

    An error is logged only: the artifact is judged already.

    Args:
        settings: The settings.
        artifact: Id of the artifact.
        estimate: Plan whose last stage this is; ``None`` where there was none.
    """
    try:
        evaluation = evaluate_and_report(settings, artifact, estimate=estimate)
    except Exception as error:  # noqa: BLE001 - the artifact is published and judged; its page must not change that
        structlog.get_logger().warning("report.failed", artifact=artifact, error=f"{type(error).__name__}: {error}")
        return None
    typer.echo(f"report: {evaluation.page}")
    return evaluation.page


def _terms(settings: Settings, pay: str | None) -> PayoutTerms | None:
    """Return the payout given as *pay*, else that of the newest round with a price; ``None`` where neither is known."""
    if pay is not None:
        try:
            return PayoutTerms.parse(pay)
        except ValueError as error:
            raise BadConfig(f"--pay: {error}") from None
    if not settings.ledger_path.is_file():
        return None
    record = LiveScores(settings.ledger_path)
    try:
        return record.newest_terms()
    finally:
        record.close()
