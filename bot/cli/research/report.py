"""`bot report`: the page about an artifact, from the evaluation that is kept or from a new one."""

import json
from pathlib import Path
from typing import Any

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.extras import needs_training_packages
from bot.cli.paths import report_paths
from bot.reporting.report_page import SCHEMA, write
from bot.settings import load_settings
from bot.system import logs


def write_report(artifact: str | None, *, again: bool) -> Answer:
    """
    Write the page about an artifact, by default the champion, and return its path and figures; evaluate first where needed.

    Args:
        artifact: Id of the artifact, or its beginning.
        again: Evaluate also where an evaluation is kept.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    identity = assembly.find_artifact(settings, artifact)
    paths = report_paths(settings.state_dir, identity)
    content = None if again else _kept(paths.figures)
    if content is None:
        with needs_training_packages("evaluate"):
            from bot.cli.evaluation import evaluate_and_report  # loads torch; a kept evaluation needs none
        content = evaluate_and_report(settings, identity).content
    else:
        write(content, paths.page)
    return Answer(lines=(str(paths.page),), content={"artifact": identity, "page": paths.page, "figures": content})


def _kept(path: Path) -> dict[str, Any] | None:
    """Return the evaluation kept in a file; ``None`` where there is none, or it has another schema."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if content["schema"] == SCHEMA else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
