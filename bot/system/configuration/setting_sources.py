"""
Read settings from the environment and ``bot.toml`` in one way for every command, without the settings model.

Names of variables may have any case, an empty variable is as one that is not set, and an unknown name is refused. ``bot
status`` and ``bot health`` use this module alone; :mod:`bot.settings` also checks the values.
"""

import os
import stat
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from bot.errors import BadConfig, suggestion_or_all

CONFIG_FILE = Path("bot.toml")

KEY_NAMES = ("numerai_public_id", "numerai_secret_key")
NAMES = (
    "mode", "api_url", "state_dir", "data_version", "feature_set", "target", "slots", "recipe", "accounts",
    "retrain", "sync", "backup", "scores", "diagnostics", "compare", "tick_s", "device", "tracker", "threads",
    "max_exposure", "min_rows", "min_benchmark_corr", "min_drift", "warn_feature_drift", "max_feature_drift",
    "late_policy", "fallback", "starter", "reuse_last_round", "alert_urls", "ping_url", "on_confirmed",
    "on_missed", "on_promoted", "http_host", "http_hosts", "http_port",
    "webhook_token", "control_token", "artifacts_url", "trusted_keys", "signing_key", "unpack", "log_format", "log_level",
)  # fmt: skip
"""Settings besides the key. :class:`bot.settings.Settings` describes them; it is too slow to load for a health check."""

STORAGE = "BOT_ARTIFACTS_URL"
"""Variable of the storage's URL, which may hold a password."""

SECRETS = (
    "NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY", "BOT_ALERT_URLS", "BOT_PING_URL", "BOT_WEBHOOK_TOKEN", "BOT_CONTROL_TOKEN", STORAGE,
)  # fmt: skip
"""Variables whose value may also come from a file: ``<NAME>_FILE``, or one of that name in the secret folder."""

_RUNS = "which program runs"
DECISIVE = {
    "api_url": "where the API key is sent",
    "trusted_keys": "whose models are taken",
    **dict.fromkeys(("on_confirmed", "on_missed", "on_promoted"), _RUNS),
}
"""Settings that a file which others may write must not decide, and what each decides."""

ROOT = 0
"""Id of the user who may write every file anyway."""

STATE_DIR = "state"
"""State directory where no setting names one."""


def variables() -> dict[str, str]:
    """
    Return the variables of the bot that are set and not empty, under names in upper case.

    Raises:
        BadConfig: A variable is set twice, with names that differ only in case, to different values.
    """
    found: dict[str, str] = {}
    for name, value in sorted(os.environ.items()):
        upper = name.upper()
        if not upper.startswith(("BOT_", "NUMERAI_")) or not value.strip():
            continue
        if found.setdefault(upper, value) != value:
            raise BadConfig(f"the environment variable {upper} is set twice, in different case and to different values")
    return found


def read_settings() -> dict[str, Any]:
    """
    Return the settings of ``bot.toml`` and of the environment, which wins; values are not checked.

    Raises:
        BadConfig: ``bot.toml`` cannot be read, or a name is unknown; the message contains the likely one.
    """
    outside, file = _of_environment(), file_settings()
    state_dir = outside.get("state_dir") or file.get("state_dir") or STATE_DIR
    decisive = [name for name in DECISIVE if name in file and name not in outside]
    if decisive and others_write(CONFIG_FILE, Path(str(state_dir))):
        # The trainer, which never holds the key, writes the state directory: such a file could send the key anywhere.
        name = decisive[0]
        raise BadConfig(
            f"{CONFIG_FILE.absolute()} can be written by others than the operator, so its {name} is not taken: it decides"
            f" {DECISIVE[name]}; set BOT_{name.upper()}, or keep the file outside the state directory, writable by you alone"
        )
    return {**file, **outside}


def read_text(path: Path, name: str) -> str:
    """
    Return the text of a small file of the operator; a byte order mark is dropped.

    Args:
        path: The file.
        name: What names it, for messages.

    Raises:
        BadConfig: The file cannot be read, or is no UTF-8 text.
    """
    try:
        content = path.read_bytes()
    except IsADirectoryError:
        raise BadConfig(f"{name} is a folder where a file is expected: {path}") from None
    except OSError as error:
        raise BadConfig(f"{name} cannot be read by uid {os.geteuid()}: {path}: {error.strerror}") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        kind = "UTF-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content else "another encoding"
        raise BadConfig(f"{name} is not UTF-8 text but {kind}: {path}; save it as UTF-8")
    return text


def _of_environment() -> dict[str, str]:
    """Return the settings that variables hold; a typo must not leave a default in place."""
    known = {f"BOT_{name.upper()}": name for name in NAMES} | {name.upper(): name for name in KEY_NAMES}
    files = {f"{name}_FILE" for name in SECRETS}
    for name in sorted(os.environ):
        if name.upper().startswith("BOT_") and name.upper() not in known.keys() | files:
            hint = suggestion_or_all(name.upper(), [one for one in known.keys() | files if one.startswith("BOT_")])
            raise BadConfig(f"the environment variable {name} is unknown{hint}")
    return {known[name]: value for name, value in variables().items() if name in known}


def file_settings() -> dict[str, Any]:
    """
    Return the settings of ``bot.toml``; values are not checked.

    Raises:
        BadConfig: It cannot be read, is not TOML, or has an unknown key.
    """
    if not os.path.lexists(CONFIG_FILE):
        return {}
    try:
        content = tomllib.loads(read_text(CONFIG_FILE, str(CONFIG_FILE)))
    except (ValueError, RecursionError) as error:  # numbers and nesting beyond Python's own limits raise them, too
        raise BadConfig(f"{CONFIG_FILE} is not valid TOML: {error}") from None
    known = (*NAMES, *KEY_NAMES)
    for key in content:
        if key not in known:
            raise BadConfig(
                f"{CONFIG_FILE} key {key!r} is unknown{suggestion_or_all(key.lower().removeprefix('bot_'), known)}"
            )
        if "\0" in str(content[key]):
            raise BadConfig(f"{CONFIG_FILE} key {key!r} holds a NUL character")
    return {key: value for key, value in content.items() if not isinstance(value, str) or value.strip()}


def others_write(path: Path, state_dir: Path) -> bool:
    """Return whether others than the operator may replace or change a file of settings."""
    folder = path.absolute().parent
    try:
        if os.statvfs(path).f_flag & os.ST_RDONLY:  # such as a read-only mount over the state directory
            return False
        modes = stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(folder.stat().st_mode)
    except OSError:
        return True
    shared_folder = modes[1] & stat.S_IWOTH and not modes[1] & stat.S_ISVTX
    if modes[0] & stat.S_IWOTH or shared_folder or _is_planted(path.absolute()) or _is_planted(folder):
        return True
    return path.resolve().is_relative_to(state_dir.resolve())


def _is_planted(path: Path) -> bool:
    """Return whether another user has put a file or folder into a folder that all may write, such as ``/tmp``."""
    try:
        return bool(path.parent.stat().st_mode & stat.S_IWOTH) and path.lstat().st_uid not in (os.geteuid(), ROOT)
    except OSError:
        return True


def choice(settings: Mapping[str, Any], name: str, allowed: Collection[str]) -> str | None:
    """
    Return a setting that has one of a few values, ``None`` where it is not set.

    Raises:
        BadConfig: It has another value.
    """
    value = settings.get(name)
    if value is not None and value not in allowed:
        raise BadConfig(f"settings are not usable: BOT_{name.upper()}: must be {' or '.join(allowed)}")
    return value
