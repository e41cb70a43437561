"""Where the bot keeps its files, read without the settings model: `bot health` runs every half minute."""

from dataclasses import dataclass
from pathlib import Path

from bot.system.setting_sources import STATE_DIR, choice, read_settings
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
    Read the paths from the environment and ``bot.toml``, by the rules of every command. Values of other settings are not checked.

    Raises:
        BadConfig: ``bot.toml`` cannot be read, or a setting is unknown.
    """
    settings = read_settings()
    state_dir = Path(str(settings.get("state_dir", STATE_DIR)))
    live = choice(settings, "mode", ("dry-run", "live")) == "live"
    return StatePaths(
        state_dir=state_dir,
        ledger=state_dir / ("ledger.sqlite" if live else "ledger-dry-run.sqlite"),
        data_version=str(settings.get("data_version", DEFAULT_DATA_VERSION)),
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
