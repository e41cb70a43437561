"""Checks of what a person wrote: keys, recipes, feature sets, alerts, addresses, the storage of packs. No network."""

import errno
import os
import shlex
import socket
import stat
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bot.assembly import pins, recipes_in_use
from bot.doctor.checks import Check, failure, guarded, named, note, ok, warning
from bot.doctor.keys import mixed_up
from bot.errors import BadConfig, BadCredentials, OperatorNeeded, suggestion
from bot.features.feature_sets import FeatureMetadata, known_sets, why_unknown
from bot.settings import Account, KeyFiles, Settings
from bot.system.configuration.secret_files import OWN_FOLDER, SECRET_FOLDER, secret_path
from bot.system.configuration.setting_places import place
from bot.system.configuration.setting_sources import CONFIG_FILE, KEY_NAMES, file_settings, variables
from bot.tournament.client import check_address
from bot.training import recipe_file

DEVICES = tuple(map(Path, ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")))
"""Devices of drivers that torch reaches as CUDA: NVIDIA's, its form in WSL, and AMD's."""


def keys(settings: Settings) -> Iterator[Check]:
    """Yield the checks of each account's key and of the modes of its files."""
    for account in settings.accounts_in_use:
        fix = "create a key with upload and read scopes, and name it by file"
        yield from guarded(named("key", account), partial(_key, account), fix)
    if settings.accounts and settings.slots:
        yield warning(
            "accounts",
            f"{place('slots')} is ignored, because each account has slots of its own",
            "move them to [accounts.NAME.slots] in bot.toml",
        )


def key_files(account: Account) -> tuple[Path, ...]:
    """Return the files of an account's key that are there; those that a container mounts are left out."""
    if isinstance(account.key, KeyFiles):
        files: tuple[Path | None, ...] = (account.key.public_id, account.key.secret_key)
    else:
        files = tuple(map(_file_of, KEY_NAMES))
    there = (path for path in files if path is not None and path.is_file() and path.parent != SECRET_FOLDER)
    return tuple(dict.fromkeys(there))


def key_places(account: Account) -> tuple[str, str]:
    """Return where the public and the secret half of an account's key are set, in the words of a message."""
    if isinstance(account.key, KeyFiles):
        table = f"[accounts.{account.name}] in bot.toml"
        return f"public_id_file of {table}", f"secret_key_file of {table}"
    public, secret = (str(place(half)) for half in KEY_NAMES)
    return public, secret


def _file_of(half: str) -> Path | None:
    """Return the file that holds half of the only account's key, which may be ``bot.toml`` itself."""
    in_toml = half.upper() not in variables() and half in file_settings()
    return secret_path(half.upper()) or (CONFIG_FILE if in_toml else None)


def is_open_to_others(path: Path) -> bool:
    """Return whether others may read or change a file, and this process could change that."""
    try:
        read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        return bool(stat.S_IMODE(path.stat().st_mode) & 0o077) and not read_only
    except OSError:
        return False


def _key(account: Account) -> Iterator[Check]:
    name = named("key", account)
    key = account.key.read() if isinstance(account.key, KeyFiles) else account.key
    halves = {"NUMERAI_PUBLIC_ID": key.public_id, "NUMERAI_SECRET_KEY": key.secret_key}
    if absent := [half for half, value in halves.items() if value is None]:
        # `bot init` asks for a whole key, and only where it may write bot.toml.
        asks = len(absent) == len(halves) and not file_settings()
        by_hand = f"write it into {' and '.join(str(OWN_FOLDER / half) for half in absent)}, or set the variable"
        yield failure(
            name,
            BadCredentials(f"{' and '.join(absent)} not set: nothing can be submitted"),
            "run `bot init`, which asks for the key" if asks else by_hand,
        )
        return
    if problem := mixed_up(key):
        yield failure(name, BadCredentials(problem), f"exchange them: {' and '.join(key_places(account))}")
        return
    yield ok(name, "both halves are there")
    for path in filter(is_open_to_others, key_files(account)):
        yield warning(
            named("key file", account), f"{path} can be read by others", f"chmod 600 {path}, or `bot doctor --fix`"
        )


def recipes(settings: Settings) -> Iterator[Check]:
    """Yield a failure for each recipe in use whose file cannot be read; see :func:`sound_recipes`."""
    for name in recipes_in_use(settings):
        try:
            recipe_file.find(name)
        except BadConfig as error:
            yield failure(f"recipe {name}", error, f"correct {(recipe_file.FOLDER / name).absolute()}.toml")


def sound_recipes(settings: Settings) -> tuple[str, ...]:
    """Return the recipes in use whose files can be read."""
    found = []
    for name in recipes_in_use(settings):
        try:
            recipe_file.find(name)
        except BadConfig:
            continue
        found.append(name)
    return tuple(found)


def feature_sets(settings: Settings, names: tuple[str, ...]) -> Iterator[Check]:
    """
    Yield the checks of the feature sets of recipes, each where it is written; one that no data has is a failure.

    Args:
        settings: The settings.
        names: Recipes whose files can be read.
    """
    yield from dict.fromkeys(check for name in names for check in _sets_of(settings, name))


def without_features(settings: Settings, names: tuple[str, ...]) -> Iterator[str]:
    """Yield those of *names* whose feature set does not exist."""
    for name in names:
        if any(check.verdict == "failure" for check in _sets_of(settings, name)):
            yield name


def _sets_of(settings: Settings, name: str) -> Iterator[Check]:
    recipe = recipe_file.find(name)
    own = dict.fromkeys(filter(None, (recipe.feature_set, *(member.feature_set for member in recipe.members))))
    written = dict.fromkeys(own, f"feature_set in {recipe_file.FOLDER}/{name}.toml")
    if recipe.feature_set is None:
        written.setdefault(settings.feature_set, str(place("feature_set")))
    # Without a state directory there is no champion that could pin another version.
    version_ = pins(settings, [name])[0].in_use if settings.state_dir.is_dir() else settings.data_version
    for wanted, where in written.items():
        yield from guarded("features", partial(_feature_set, settings, version_, wanted, where), f"correct {where}")


def _feature_set(settings: Settings, version_: str, wanted: str, where: str) -> Iterator[Check]:
    path = settings.state_dir / "data" / version_ / "features.json"
    reason = why_unknown(wanted, path)
    if not reason and path.is_file():
        yield ok("features", f"{version_}, {wanted}: {len(FeatureMetadata.read(path).members(wanted))} features")
    elif not reason:
        yield note("features", f"no data of {version_} yet", "`bot sync` or `bot retrain` fetches it")
    elif path.is_file() or suggestion(wanted, known_sets()):
        yield failure("features", BadConfig(f"{where}: {reason}"), f"correct {where}")
    else:  # a later version may have such a group
        yield warning("features", f"{where}: {reason}", f"use one of {', '.join(known_sets())}")


def alerts(settings: Settings) -> Iterator[Check]:
    """Check the form of each address of alerts and of the ping; messages name it by its place, because it is a secret."""
    where = place("alert_urls")
    urls = settings.alert_urls.get_secret_value().split() if settings.alert_urls else []
    if not urls:
        yield note("alerts", f"{where} is not set: problems are only in the log, the pages and `bot status`")
    else:
        from apprise import Apprise  # noqa: PLC0415 - a fifth of a second that only this check needs

        for number, url in enumerate(urls, start=1):
            if Apprise.instantiate(url) is None:
                end = "; addresses are separated by spaces" if "," in url or ";" in url else ""
                fix = f"correct it in {where}: https://github.com/caronc/apprise shows the form of each service"
                yield warning("alerts", f"address {number} of {len(urls)} in {where} is no apprise URL{end}", fix)
            else:
                yield ok("alerts", f"address {number} of {len(urls)} has the form of an apprise URL")
    if settings.ping_url is not None:
        try:
            check_address(settings.ping_url.get_secret_value())
        except BadConfig as error:
            yield warning(
                "ping", f"{place('ping_url')} is no address of a web server: {error}", place("ping_url").correction
            )


def hooks(settings: Settings) -> Iterator[Check]:
    """Yield a warning for each hook whose program is not there or cannot be run."""
    for name in ("on_confirmed", "on_missed", "on_promoted"):
        program = next(iter(shlex.split(getattr(settings, name))), "")
        if program and not os.access(program, os.X_OK):
            reason = "cannot be run" if Path(program).exists() else "does not exist"
            yield warning("hooks", f"{program} of {place(name)} {reason}", place(name).correction)


def address(settings: Settings) -> Iterator[Check]:
    """Yield a failure where the address of the API cannot be one."""
    try:
        check_address(settings.api_url)
    except BadConfig as error:
        wrong = BadConfig(f"{place('api_url')} is no address of an API: {error}")
        yield failure("numerai", wrong, "write https://HOST or https://HOST:PORT, or remove it for Numerai's own")


def device(settings: Settings) -> Iterator[Check]:
    """Yield a failure where the settings demand a GPU that torch cannot reach; machines without torch train nothing."""
    if settings.device != "cuda":
        return
    try:
        build = version("torch")
    except PackageNotFoundError:
        return
    where = place("device")
    cause = ""
    if not any(path.exists() for path in DEVICES):
        cause = "this machine has no driver of a GPU"
    elif build.endswith("+cpu"):
        cause = f"torch {build} is a build for the CPU"
    elif os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in ("", "-1"):
        cause = "CUDA_VISIBLE_DEVICES hides every GPU"
    if cause:
        wrong = OperatorNeeded(f"{where} is cuda, and {cause}: no network can be trained")
        yield failure("device", wrong, f"set {where} to auto, or give the machine what is missing")
    else:
        yield ok("device", "a GPU's driver is there")


def port(settings: Settings, holder: str | None) -> Iterator[Check]:
    """
    Check that the daemon's pages can be served.

    Args:
        settings: The settings.
        holder: Process that holds the state directory, ``None`` where none does; a running bot uses the port itself.
    """
    if not settings.http_port:
        return
    host, where = settings.http_host, place("http_port")
    try:
        (family, _, _, _, target), *_ = socket.getaddrinfo(
            host.strip("[]"), settings.http_port, type=socket.SOCK_STREAM
        )
        with closing(socket.create_server(target, family=family)):
            yield ok("port", f"{settings.http_port} of {host} is free")
    except (socket.gaierror, UnicodeError):
        yield warning(
            "port", f"{place('http_host')}: {host!r} is no address of this machine", place("http_host").correction
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE and holder is not None:
            yield ok("port", f"{settings.http_port} is in use, and the bot runs as process {holder}")
        elif error.errno == errno.EADDRINUSE:
            what = f"port {settings.http_port} is used by another program, so there are no pages"
            yield warning("port", what, f"set {where} to a free port, or stop that program")
        elif error.errno == errno.EADDRNOTAVAIL:
            what = f"{place('http_host')}: {host} is no address of this machine"
            yield warning("port", what, f"set {place('http_host')} to 127.0.0.1, or to 0.0.0.0 for all")
        else:
            what = f"port {settings.http_port} cannot be opened: {error.strerror}"
            yield warning("port", what, f"set {where} to a port above 1023")
