"""Where the bot keeps its files, read without the settings model: `bot health` runs every half minute."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.system.configuration.setting_sources import STATE_DIR, choice, read_settings
from bot.tournament.columns import DEFAULT_DATA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePaths:
    """
    The state directory as the settings name it.

    Attributes:
        state_dir: The state directory.
        mode: The mode.
        ledger: Its ledger.
        data_version: The data version of the settings.
        slots: Recipe of each slot of all accounts, as far as the settings name them in a readable way.
        slot_names: Names of all slots; empty where the settings do not name those of every account.
    """

    state_dir: Path
    mode: str
    ledger: Path
    data_version: str
    slots: Mapping[str, str]
    slot_names: frozenset[str]


def state_paths() -> StatePaths:
    """
    Read the paths from the environment and ``bot.toml``, by the rules of every command. Values of other settings are not checked.

    Raises:
        BadConfig: ``bot.toml`` cannot be read, or a setting is unknown.
    """
    settings = read_settings()
    state_dir = Path(str(settings.get("state_dir", STATE_DIR)))
    of_accounts = [_slots_of(table) for table in _slot_tables(settings)]
    mode = choice(settings, "mode", ("dry-run", "live")) or "dry-run"
    return StatePaths(
        state_dir=state_dir,
        mode=mode,
        ledger=state_dir / ("ledger.sqlite" if mode == "live" else "ledger-dry-run.sqlite"),
        data_version=str(settings.get("data_version", DEFAULT_DATA_VERSION)),
        slots={name: recipe for slots in of_accounts for name, recipe in slots.items()},
        slot_names=frozenset(name for slots in of_accounts for name in slots) if all(of_accounts) else frozenset(),
    )


def account_tables(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the tables of the accounts, from ``bot.toml`` or as JSON from a variable; empty for what the settings refuse."""
    accounts = settings.get("accounts")
    if isinstance(accounts, str):
        try:
            accounts = json.loads(accounts)
        except (ValueError, RecursionError):
            return {}
    return accounts if isinstance(accounts, Mapping) else {}


def _slot_tables(settings: Mapping[str, Any]) -> list[Any]:
    """Return what the settings say about the slots of each account, as a person wrote it."""
    accounts = account_tables(settings)
    if not accounts:
        return [settings.get("slots")]
    return [table.get("slots") if isinstance(table, Mapping) else None for table in accounts.values()]


def _slots_of(slots: object) -> dict[str, str]:
    """Return the recipe of each slot of an account; what the settings model would refuse is left out."""
    if isinstance(slots, str):
        pairs = (part.partition("=") for part in slots.split(","))
        slots = {name.strip(): recipe.strip() for name, _, recipe in pairs}
    if not isinstance(slots, Mapping):
        return {}
    return {str(name): recipe for name, recipe in slots.items() if name and isinstance(recipe, str)}


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
