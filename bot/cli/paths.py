"""Where the bot keeps its files, read without the settings model: `bot health` runs every half minute."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.errors import BadConfig
from bot.tournament.columns import DEFAULT_DATA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePaths:
    """
    The state directory as the settings name it.

    Attributes:
        state_dir: The state directory.
        ledger: The ledger of the mode.
        data_version: The data version of the settings.
    """

    state_dir: Path
    ledger: Path
    data_version: str


def state_paths() -> StatePaths:
    """
    Read the paths from the environment and ``bot.toml``. Nothing else is checked; every other command checks settings.

    Raises:
        BadConfig: ``bot.toml`` cannot be read.
    """
    file, table = Path("bot.toml"), dict[str, Any]()
    try:
        if file.is_file():
            table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"bot.toml cannot be read: {error}") from None
    state_dir = Path(os.environ.get("BOT_STATE_DIR") or table.get("state_dir") or "state")
    live = (os.environ.get("BOT_MODE") or table.get("mode")) == "live"
    return StatePaths(
        state_dir=state_dir,
        ledger=state_dir / ("ledger.sqlite" if live else "ledger-dry-run.sqlite"),
        data_version=os.environ.get("BOT_DATA_VERSION") or table.get("data_version") or DEFAULT_DATA_VERSION,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportPaths:
    """
    Files of an artifact's evaluation.

    Attributes:
        figures: The figures as JSON.
        page: The page about the artifact.
    """

    figures: Path
    page: Path


def report_paths(state_dir: Path, artifact: str) -> ReportPaths:
    """Return where the evaluation of an artifact is kept."""
    folder = state_dir / "reports"
    return ReportPaths(figures=folder / f"{artifact}.json", page=folder / f"{artifact}.html")
