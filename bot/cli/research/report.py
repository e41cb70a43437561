"""`bot report`: the page about an artifact, from the evaluation that is kept or from a new one."""

import json
import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import typer

from bot import assembly
from bot.cli.extras import needs_training_packages
from bot.cli.paths import report_paths
from bot.reporting.report_page import SCHEMA, write
from bot.settings import load_settings
from bot.system import logs


def write_report(artifact: str | None, *, again: bool, as_json: bool = False) -> None:
    """
    Write the page about an artifact, by default the champion, and print its path; evaluate first where needed.

    Args:
        artifact: Id of the artifact, or its beginning.
        again: Evaluate also where an evaluation is kept.
        as_json: Print paths and figures as one JSON object.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    identity = assembly.find_artifact(settings, artifact)
    paths = report_paths(settings.state_dir, identity)
    content = None if again else _kept(paths.figures)
    if content is None:
        with needs_training_packages("evaluate"):
            from bot.cli.evaluation import evaluate_and_report  # loads torch; a kept evaluation needs none
        # Its table is for a person; a program that asked for JSON gets nothing else on standard output.
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            evaluate_and_report(settings, identity)
    else:
        write(content, paths.page)
    if as_json:
        figures = json.loads(paths.figures.read_text(encoding="utf-8"))
        answer = {"artifact": identity, "page": str(paths.page), "figures": figures}
        typer.echo(json.dumps(answer, indent=1))
    else:
        typer.echo(paths.page)


def _kept(path: Path) -> dict[str, Any] | None:
    """Return the evaluation kept in a file; ``None`` where there is none, or it has another schema."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if content["schema"] == SCHEMA else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
