"""Completions for the shell: names from settings and state directory, without a network and without a large library."""

from collections.abc import Callable, Iterable
from contextlib import closing
from functools import wraps
from pathlib import Path

BUILT_IN = ("contribution", "demo", "standard", "starter")
"""Built-in recipes; reading them from :mod:`bot.training.recipes` would take half a second of every press of the key."""


def _quiet(find: Callable[[], Iterable[str]]) -> Callable[[str], list[str]]:
    """Return a completion that is empty where nothing can be read: an error has no place in a line that is being typed."""

    @wraps(find)
    def complete(incomplete: str) -> list[str]:
        try:
            return [name for name in find() if name.startswith(incomplete)]
        except Exception:  # noqa: BLE001 - see above
            return []

    # typer looks at the parameters, and `wraps` would show those of `find`.
    del complete.__wrapped__
    complete.__annotations__ = {"incomplete": str, "return": list}
    return complete


@_quiet
def slots() -> Iterable[str]:
    """Complete a slot: those of the settings, or else those of the ledger."""
    from bot.cli.paths import state_paths  # noqa: PLC0415 - a completion of another kind does not need it
    from bot.record.ledger import Ledger  # noqa: PLC0415

    paths = state_paths()
    if paths.slots:
        return sorted(paths.slots)
    with closing(Ledger(paths.ledger, read_only=True)) as ledger:
        return sorted({one.slot for one in ledger.entries(limit=200)})


@_quiet
def accounts() -> Iterable[str]:
    """Complete an account of ``bot.toml``, or of the variable in its place."""
    from bot.cli.paths import account_tables  # noqa: PLC0415
    from bot.system.configuration.setting_sources import read_settings  # noqa: PLC0415

    return sorted(account_tables(read_settings()))


@_quiet
def recipes() -> Iterable[str]:
    """Complete a recipe: the built-in ones and those of the folder ``recipes``."""
    return sorted({*BUILT_IN, *(path.stem for path in Path("recipes").glob("*.toml"))})


@_quiet
def artifacts() -> Iterable[str]:
    """Complete the id of an artifact, newest first."""
    from bot.cli.paths import state_paths  # noqa: PLC0415

    folder = state_paths().state_dir / "artifacts"
    return sorted((one.name for one in folder.iterdir() if one.name[0].isdigit()), reverse=True)


@_quiet
def rounds() -> Iterable[str]:
    """Complete a round: ``latest``, and the newest ones of the ledger."""
    from bot.cli.paths import state_paths  # noqa: PLC0415
    from bot.record.ledger import Ledger  # noqa: PLC0415

    with closing(Ledger(state_paths().ledger, read_only=True)) as ledger:
        return ["latest", *map(str, ledger.newest_rounds(limit=50))]
