"""Checks that need no network: key files, disk, memory, models, ledger and history."""

import importlib.util
import shutil
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from pathlib import Path

from bot.assembly import open_artifacts, pins, recipes_in_use, resolve_recipe, slot_recipes, versions
from bot.doctor.checks import Check, failure, guarded, named, note, ok, warning
from bot.errors import ArtifactInvalid, BadConfig, BadCredentials, BotError, NoChampion
from bot.features.feature_sets import FeatureMetadata
from bot.history.published import history_path, read
from bot.judging.adoption import is_adopted
from bot.members.registry import missing_packages
from bot.record.ledger import Ledger
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from bot.settings import Account, KeyFiles, Settings
from bot.system.secret_files import SECRET_FOLDER
from bot.system.setting_sources import variables
from bot.tournament.columns import version_order
from bot.training import recipe_file
from bot.training.recipes import STARTER
from bot.training.training_memory import available_memory, training_memory

GIB = 1 << 30

SCORING_BYTES = 600 << 20
"""Anonymous memory that a submission may take; `bench/live_path.py` holds it to this for 7,000 rows x 3,555 features."""

VERSION_BYTES = 36 * 10**9
"""v5.3 on disk at the end of 2026: 9.3 GB of parquet and an era store of 3,555 features and 40 targets a row."""


def examine(settings: Settings) -> Iterator[Check]:
    """Yield the checks of this machine and of the state directory; nothing is changed."""
    for account in settings.accounts_in_use:
        yield from guarded(
            named("key", account),
            partial(_key, account),
            "create a key with upload and read scopes, and name it by file",
        )
    yield from guarded("state", partial(_state, settings), "make BOT_STATE_DIR writable for the bot")
    yield from guarded("disk", partial(_disk, settings), "make room, or move BOT_STATE_DIR")
    yield from guarded("memory", partial(_memory, settings), "choose a smaller BOT_FEATURE_SET")
    yield from guarded("training", partial(_packages, settings), "install numerai-bot[train] where models are trained")
    for recipe in recipes_in_use(settings):
        yield from guarded(
            f"retrain {recipe}", partial(_next_retrain, settings, recipe), "see `bot retrain --plan` for its stages"
        )
    yield from guarded(
        "alerts", partial(_alerts, settings), "see https://github.com/caronc/apprise for each service's form"
    )
    yield from guarded("ledger", partial(_ledger, settings), "restore it from a backup, or upgrade the bot")
    yield from guarded("features", partial(_features, settings), "see features.json for the sets there are")
    for recipe in slot_recipes(settings):
        yield from guarded(
            f"champion {recipe}", partial(_champion, settings, recipe), "run `bot rollback`, or `bot retrain`"
        )
    yield from guarded("history", partial(_history, settings), "run `bot sync`")


def _key(account: Account) -> Iterator[Check]:
    if isinstance(account.key, KeyFiles):
        account.key.read()
        files = [account.key.public_id, account.key.secret_key]
    else:
        halves = {"NUMERAI_PUBLIC_ID": account.key.public_id, "NUMERAI_SECRET_KEY": account.key.secret_key}
        absent = [name for name, half in halves.items() if half is None]
        if absent:
            yield failure(
                named("key", account),
                BadCredentials(f"{' and '.join(absent)} not set: nothing can be submitted"),
                "set the variable, or its _FILE form, or mount the secret in /run/secrets",
            )
            return
        files = [Path(variables().get(f"{name}_FILE") or SECRET_FOLDER / name) for name in halves]
    yield ok(named("key", account), "both halves are there")
    for path in files:
        if path.is_file() and path.parent != SECRET_FOLDER and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield warning(named("key file", account), f"{path} can be read by others", f"chmod 600 {path}")


def _state(settings: Settings) -> Iterator[Check]:
    folder = settings.state_dir
    if folder.exists() and not folder.is_dir():
        yield failure("state", BadConfig(f"{folder} is not a folder"), "point BOT_STATE_DIR at a folder")
        return
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    with tempfile.TemporaryFile(dir=existing):
        yield ok("state", f"{folder} is {'there and' if folder.exists() else 'not there yet, its parent is'} writable")
    if (holder := _holder(folder / "bot.lock")) is not None:
        yield note("running", f"process {holder} holds {folder}: that is `bot run` or `bot submit` at work")


def _holder(lock: Path) -> str | None:
    """
    Return the id of the process that holds a lock.

    It is read from the kernel's list: taking the lock to try it could refuse another process.
    """
    try:
        inode, held = lock.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return None
    rows = [row.split() for row in held.splitlines()]
    return next((row[4] for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode)), None)


def _disk(settings: Settings) -> Iterator[Check]:
    existing = next(
        parent for parent in (settings.state_dir, *settings.state_dir.absolute().parents) if parent.exists()
    )
    free = shutil.disk_usage(existing).free
    stored = (settings.state_dir / "store").is_dir()
    needed = 2 * GIB if stored else VERSION_BYTES
    finding = f"{free / GIB:.1f} GiB free in {existing}, {needed / GIB:.1f} needed"
    if free < SCORING_BYTES:
        yield failure("disk", BadConfig(f"{finding}: not even a round fits"), "make room now")
    elif free < needed:
        purpose = "keep" if stored else "build"
        yield warning("disk", f"{finding} to {purpose} the history", "make room before `bot retrain`")
    else:
        yield ok("disk", finding)


def _memory(settings: Settings) -> Iterator[Check]:
    free = available_memory()
    if free < SCORING_BYTES:
        yield failure(
            "memory",
            BadConfig(f"{free / GIB:.2f} GiB of memory, a submission takes up to {SCORING_BYTES / GIB:.2f}"),
            "give the bot at least 1 GiB",
        )
        return
    newest = max(versions(pins(settings)), key=version_order)
    plans = [resolve_recipe(settings, recipe_file.find(name), data_version=newest) for name in recipes_in_use(settings)]
    models = [one for plan in plans for one in training_memory(plan, settings.state_dir / "data" / newest)]
    if not models:
        yield ok("memory", f"{free / GIB:.1f} GiB; no member is trained")
        return
    largest = max(models, key=attrgetter("bytes", "description"))
    finding = f"{free / GIB:.1f} GiB; {largest.description} takes about {largest.bytes / GIB:.1f}"
    if free < largest.bytes:
        yield warning("memory", finding, 'train on fewer eras (recipe key "every") or a smaller BOT_FEATURE_SET')
    else:
        yield ok("memory", finding)


def _next_retrain(settings: Settings, recipe: str) -> Iterator[Check]:
    """Yield time and memory of a recipe's next retrain; a machine that does not train has none."""
    name, found = f"retrain {recipe}", recipe_file.find(recipe)
    if _absent_packages() or is_adopted(found) or any(missing_packages(found.members)):
        return
    # Imported here: a machine that only submits has no libraries for it.
    from bot.training.planning.retrain_forecast import Forecast  # noqa: PLC0415

    (pin,) = pins(settings, [recipe])
    plan = resolve_recipe(settings, found, data_version=pin.to_train)
    try:
        forecast = Forecast.of(
            plan, settings.state_dir, open_artifacts(settings), None, device=settings.device, measures=False
        )
    except BotError as error:  # rounds are submitted without a retrain
        yield warning(name, str(error), "change the recipe before the next retrain")
    else:
        yield ok(name, forecast.line)


def _packages(settings: Settings) -> Iterator[Check]:
    absent = _absent_packages()
    if absent:
        yield note("training", f"{', '.join(absent)} not installed: this machine submits, it does not train")
        return
    missing = {name: next(missing_packages(recipe_file.find(name).members), None) for name in recipes_in_use(settings)}
    for recipe, one in missing.items():
        if one is not None:
            yield warning("training", f"recipe {recipe}: {one.reason}", one.fix or "install them with pip")
    if not any(missing.values()):
        yield ok("training", "everything that training needs is installed")


def _absent_packages() -> list[str]:
    return [name for name in ("torch", "onnx", "onnxscript", "polars") if importlib.util.find_spec(name) is None]


def _alerts(settings: Settings) -> Iterator[Check]:
    """Check the form of each alert address; messages name it by its place, because an address is a secret."""
    urls = settings.alert_urls.get_secret_value().split() if settings.alert_urls else []
    if not urls:
        yield note("alerts", "BOT_ALERT_URLS is not set: problems are only in the log, the pages and `bot status`")
        return
    from apprise import Apprise  # noqa: PLC0415 - a fifth of a second that only this check needs

    for place, url in enumerate(urls, start=1):
        if Apprise.instantiate(url) is None:
            fix = "see https://github.com/caronc/apprise for the form of each service"
            yield warning("alerts", f"address {place} of {len(urls)} in BOT_ALERT_URLS is no apprise URL", fix)
        else:
            yield ok("alerts", f"address {place} of {len(urls)} has the form of an apprise URL")


def _ledger(settings: Settings) -> Iterator[Check]:
    if not settings.ledger_path.is_file():
        yield note("ledger", f"{settings.ledger_path} does not exist yet: no round was played in this mode")
        return
    ledger = Ledger(settings.ledger_path)
    entries = ledger.entries(limit=1)
    ledger.close()
    newest = f"newest round {entries[0].round}, {entries[0].state}" if entries else "no round yet"
    yield ok("ledger", f"{settings.ledger_path.name}: {newest}")


def _features(settings: Settings) -> Iterator[Check]:
    for version in _in_use(settings):
        path = settings.state_dir / "data" / version / "features.json"
        if not path.is_file():
            yield note("features", f"no data of {version} yet", "`bot sync` or `bot retrain` fetches it")
            continue
        count = len(FeatureMetadata.read(path).members(settings.feature_set))
        yield ok("features", f"{version}, {settings.feature_set}: {count} features")


def _in_use(settings: Settings) -> tuple[str, ...]:
    """Return the data versions that rounds are scored with."""
    return tuple(dict.fromkeys(pin.in_use for pin in pins(settings)))


def _champion(settings: Settings, recipe: str) -> Iterator[Check]:
    name, store = f"champion {recipe}", ArtifactStore(settings.state_dir / "artifacts")
    try:
        identity = store.champions(recipe)[0]
    except NoChampion as error:
        refused, todo = store.kept_back().get(recipe), _how_to_make(recipe)
        fix = f"run `bot promote {refused.id}`, or {todo}" if refused else f"run {todo}"
        if settings.starter and store.has_champion(STARTER.name):
            starter = store.champions(STARTER.name)[0]
            Scorer(store.open(starter))
            yield warning(name, f"none yet; the starter's {starter} fills rounds until there is one", fix)
        else:
            yield failure(name, error, fix)
        return
    artifact = store.open(identity)
    Scorer(artifact)
    yield ok(name, f"{identity} is intact and replays its golden batch")
    (pin,) = pins(settings, [recipe])
    if pin.note:
        yield note(name, pin.note)
    own = recipe_file.find(recipe)
    plan = resolve_recipe(settings, own, data_version=pin.in_use)
    for key, wanted in (("feature_set", plan.feature_set), ("target", plan.target)):
        trained, pinned = artifact.manifest[key], getattr(own, key) is not None
        if trained != wanted:
            yield warning(
                name,
                f"{identity} was trained with {key} {trained}, the {'recipe' if pinned else 'setting'} says {wanted}",
                f"run `bot retrain`, or set {f'{key} in the recipe' if pinned else f'BOT_{key.upper()}'}={trained}",
            )
    for other in store.identities():
        try:
            store.open(other)
        except ArtifactInvalid as error:
            yield warning("artifact", str(error), f"remove the folder artifacts/{other}; it is never used")


def _how_to_make(recipe: str) -> str:
    """Return the command that makes a recipe's first champion."""
    try:
        return f"`bot adopt {recipe}`" if is_adopted(recipe_file.find(recipe)) else "`bot retrain`"
    except BadConfig:  # the check of the recipes reports it
        return "`bot retrain`"


def _history(settings: Settings) -> Iterator[Check]:
    for version in _in_use(settings):
        path = history_path(settings.state_dir, version)
        if not path.is_file():
            yield note("history", f"none of {version} published yet: the artifact's own is used", "run `bot sync`")
            continue
        state = read(path)
        if state is None:
            yield warning("history", f"{path} is damaged; the artifact's own is used", "run `bot sync`")
        elif state.stale_after is not None and state.stale_after < datetime.now(UTC):
            yield warning(
                "history",
                f"{version}: stale since {state.stale_after:%Y-%m-%d}, the network runs without it",
                "run `bot sync`",
            )
        else:
            newest = ", ".join(sorted(set(state.newest_era.values())))
            until = "" if state.stale_after is None else f", fresh until {state.stale_after:%Y-%m-%d}"
            yield ok("history", f"{version}: resolved to era {newest}{until}")
