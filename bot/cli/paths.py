"""Where the bot keeps things, without reading every setting: a health check runs every half minute."""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.data.data_version import DEFAULT
from bot.errors import BadConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The state directory, the ledger of the mode in force, and the data version that a recipe begins with."""

    state_dir: Path
    ledger: Path
    data_version: str


def places() -> Places:
    """
    Return them as the environment and ``bot.toml`` name them; the settings proper are checked by every other command.

    Raises:
        BadConfig: ``bot.toml`` cannot be read.
    """
    file, held = Path("bot.toml"), dict[str, Any]()
    try:
        if file.is_file():
            held = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadConfig(f"bot.toml cannot be read: {error}") from None
    state_dir = Path(os.environ.get("BOT_STATE_DIR") or held.get("state_dir") or "state")
    live = (os.environ.get("BOT_MODE") or held.get("mode")) == "live"
    return Places(
        state_dir=state_dir,
        ledger=state_dir / ("ledger.sqlite" if live else "ledger-dry-run.sqlite"),
        data_version=os.environ.get("BOT_DATA_VERSION") or held.get("data_version") or DEFAULT,
    )
