"""Where a person sets a setting, in the words of a message: a variable, a file of a secret, or a key of ``bot.toml``."""

from dataclasses import dataclass
from typing import Literal

from bot.errors import BadConfig
from bot.system.configuration.secret_files import secret_path
from bot.system.configuration.setting_sources import CONFIG_FILE, KEY_NAMES, SECRETS, file_settings, variables

TABLES = ("slots", "accounts")
"""Settings that are tables of ``bot.toml``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where a setting is set.

    Attributes:
        kind: ``variable`` of the environment, ``secret`` file, or ``file`` for ``bot.toml``.
        name: The place as a person writes it: ``BOT_MODE``, ``mode in bot.toml`` or ``[slots] in bot.toml``.
        is_set: Whether it is set there; without that, the setting has its default, and this is where to change it.
    """

    kind: Literal["variable", "secret", "file"]
    name: str
    is_set: bool = True

    def __str__(self) -> str:
        """Return the name."""
        return self.name

    @property
    def origin(self) -> str:
        """Return where the value comes from, in words."""
        return f"set by {self.name}" if self.is_set else f"the default, which {self.name} changes"

    @property
    def correction(self) -> str:
        """Return the step that corrects a wrong value."""
        if not self.is_set:
            return f"set {self.name}"
        if self.kind == "variable":
            return f"correct or unset {self.name}"
        if self.kind == "secret":
            return f"correct the file {self.name}"
        return f"correct {self.name.replace(str(CONFIG_FILE), str(CONFIG_FILE.absolute()))}"


def place(setting: str) -> Place:
    """
    Return where the value of a setting comes from, by the precedence of the settings.

    A setting that has its default belongs into ``bot.toml`` where that file sets anything, else into a variable.

    Args:
        setting: Name of the field, such as ``feature_set``.
    """
    variable = setting.upper() if setting in KEY_NAMES else f"BOT_{setting.upper()}"
    try:
        outside, file = variables(), file_settings()
    except BadConfig:  # the message of its own is better
        return Place(kind="variable", name=variable)
    if variable in SECRETS and (path := secret_path(variable)) is not None:
        named = outside.get(f"{variable}_FILE")
        return Place(kind="secret", name=f"{path}{f' of {variable}_FILE' if named else ''}")
    if variable in outside or not file:
        return Place(kind="variable", name=variable, is_set=variable in outside)
    key = f"[{setting}]" if setting in TABLES else setting
    return Place(kind="file", name=f"{key} in {CONFIG_FILE}", is_set=setting in file)
