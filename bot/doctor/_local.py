"""What can be known without asking anybody: key files, room, memory, models, ledger and history."""

import importlib.util
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bot.assembly import pins, recipes_in_use, resolve_recipe, versions
from bot.doctor.checks import Check, failure, guarded, note, ok, warning
from bot.errors import ArtifactInvalid, BadConfig, BadCredentials, NoChampion
from bot.features.feature_sets import FeatureMetadata
from bot.history.published import history_path, read
from bot.record.ledger import Ledger
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from bot.settings import Settings
from bot.system.secret_files import SECRET_FOLDER
from bot.tournament.columns import version_order
from bot.training import recipe_file
from bot.training.recipes import Recipe, ResolvedRecipe

GIB = 1 << 30

SCORING_BYTES = 600 << 20
"""Anonymous memory that a submission may take; `bench/live_path.py` holds it to this for 7,000 rows x 3,555 features."""

FULL_ROWS = 6_900_000
"""Rows of v5.3 at the end of 2026, train and validation."""

VERSION_BYTES = 36 * 10**9
"""v5.3 on disk at the end of 2026: 9.3 GB of parquet and an era store of 3,555 features and 40 targets a row."""

TREES_BYTES, BINS_BYTES, OTHER_BYTES = 1, 240_000, 2 << 30
"""
Of a training at its peak: bytes a value of the trees' Dataset, bytes a feature for finding its bins, and all the rest.

`bot retrain` on every fourth of 1,231 eras x 3,555 features took 6.5 GiB; by these, its 1,195,988 rows take 6.8.
"""

FEATURES = {"small": 42, "medium": 780, "all": 3_555}
"""Sizes of v5.3's sets, for an estimate before features.json is there."""


def examine(settings: Settings) -> Iterator[Check]:
    """Look at this machine and the state directory; nothing is changed and nobody is asked."""
    yield from guarded("key", lambda: _key(settings), "create a key with upload and read scopes, and name it by file")
    yield from guarded("state", lambda: _state(settings), "make BOT_STATE_DIR writable for the bot")
    yield from guarded("disk", lambda: _disk(settings), "make room, or move BOT_STATE_DIR")
    yield from guarded("memory", lambda: _memory(settings), "choose a smaller BOT_FEATURE_SET")
    yield from guarded("training", _packages, "install numerai-bot[train] where models are trained")
    yield from guarded("ledger", lambda: _ledger(settings), "restore it from a backup, or upgrade the bot")
    yield from guarded("features", lambda: _features(settings), "see features.json for the sets there are")
    for recipe in dict.fromkeys(settings.slots.values()) or (settings.recipe,):
        yield from guarded(
            f"champion {recipe}",
            lambda recipe=recipe: _champion(settings, recipe),  # type: ignore[misc]  # bound now, not at the call
            "run `bot rollback`, or `bot retrain`",
        )
    yield from guarded("history", lambda: _history(settings), "run `bot sync`")


def _key(settings: Settings) -> Iterator[Check]:
    public, secret = settings.numerai_public_id, settings.numerai_secret_key
    if public is None or secret is None:
        absent = [
            name for name, half in (("NUMERAI_PUBLIC_ID", public), ("NUMERAI_SECRET_KEY", secret)) if half is None
        ]
        yield failure(
            "key",
            BadCredentials(f"{' and '.join(absent)} not set: nothing can be submitted"),
            "set the variable, or its _FILE form, or mount the secret in /run/secrets",
        )
        return
    yield ok("key", "both halves are there")
    for name in ("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY"):
        path = Path(os.environ.get(f"{name}_FILE") or SECRET_FOLDER / name)
        if path.is_file() and path.parent != SECRET_FOLDER and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield warning("key file", f"{path} can be read by others", f"chmod 600 {path}")


def _state(settings: Settings) -> Iterator[Check]:
    folder = settings.state_dir
    if folder.exists() and not folder.is_dir():
        yield failure("state", BadConfig(f"{folder} is not a folder"), "point BOT_STATE_DIR at a folder")
        return
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    with tempfile.TemporaryFile(dir=there):
        yield ok("state", f"{folder} is {'there and' if folder.exists() else 'not there yet, its parent is'} writable")
    if (holder := _holder(folder / "bot.lock")) is not None:
        yield note("running", f"process {holder} holds {folder}: that is `bot run` or `bot submit` at work")


def _holder(lock: Path) -> str | None:
    """Return the process that holds a lock, from the kernel's list: trying to take it could turn somebody away."""
    try:
        inode, held = lock.stat().st_ino, Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return None
    rows = [row.split() for row in held.splitlines()]
    return next((row[4] for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode)), None)


def _disk(settings: Settings) -> Iterator[Check]:
    there = next(parent for parent in (settings.state_dir, *settings.state_dir.absolute().parents) if parent.exists())
    free = shutil.disk_usage(there).free
    stored = (settings.state_dir / "store").is_dir()
    needed = 2 * GIB if stored else VERSION_BYTES
    said = f"{free / GIB:.1f} GiB free in {there}, {needed / GIB:.1f} needed"
    if free < SCORING_BYTES:
        yield failure("disk", BadConfig(f"{said}: not even a round fits"), "make room now")
    elif free < needed:
        yield warning(
            "disk", f"{said} to {'keep' if stored else 'build'} the history", "make room before `bot retrain`"
        )
    else:
        yield ok("disk", said)


def _memory(settings: Settings) -> Iterator[Check]:
    free = available_memory()
    if free < SCORING_BYTES:
        yield failure(
            "memory",
            BadConfig(f"{free / GIB:.2f} GiB of memory, a submission takes up to {SCORING_BYTES / GIB:.2f}"),
            "give the bot at least 1 GiB",
        )
        return
    needed, said = max(_training(settings, recipe_file.find(name)) for name in recipes_in_use(settings))
    said = f"{free / GIB:.1f} GiB; {said} takes about {needed / GIB:.1f}"
    if free < needed:
        yield warning("memory", said, 'train on fewer eras (recipe key "every") or a smaller BOT_FEATURE_SET')
    else:
        yield ok("memory", said)


def _training(settings: Settings, recipe: Recipe) -> tuple[int, str]:
    """Return the bytes that training a recipe on the whole history takes, and what it is."""
    newest = max(versions(pins(settings)), key=version_order)
    features = _count(settings, resolve_recipe(settings, recipe, data_version=newest))
    rows = FULL_ROWS // recipe.every
    eras = "all eras" if recipe.every == 1 else f"one era in {recipe.every}"
    needed = features * (rows * TREES_BYTES + BINS_BYTES) + OTHER_BYTES
    return needed, f"training trees of recipe {recipe.name} on {features} features of {eras}"


def available_memory() -> int:
    """Return the bytes this process may take: of the machine, or of its container where that is less."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(fields["MemAvailable"].split()[0]) << 10
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (bound := limit.read_text(encoding="ascii").strip()).isdigit():
        free = min(free, int(bound) - int(used.read_text(encoding="ascii")))
    return free


def _count(settings: Settings, plan: ResolvedRecipe) -> int:
    path = settings.state_dir / "data" / plan.data_version / "features.json"
    if path.is_file():
        return len(FeatureMetadata.read(path).feature_sets.get(plan.feature_set, ())) or FEATURES["all"]
    return FEATURES.get(plan.feature_set, FEATURES["all"])


def _packages() -> Iterator[Check]:
    absent = [name for name in ("torch", "onnx", "onnxscript", "polars") if importlib.util.find_spec(name) is None]
    if absent:
        yield note("training", f"{', '.join(absent)} not installed: this machine submits, it does not train")
    else:
        yield ok("training", "everything that training needs is installed")


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
        yield failure(name, error, "run `bot retrain`")
        return
    artifact = store.open(identity)
    Scorer(artifact)
    yield ok(name, f"{identity} is intact and replays its golden batch")
    if said := pins(settings, [recipe])[0].note:
        yield note(name, said)
    pinned = {key: artifact.manifest[key] for key in ("feature_set", "target")}
    for key, value in pinned.items():
        if value != getattr(settings, key):
            yield warning(
                name,
                f"{identity} was trained with {key} {value}, the setting says {getattr(settings, key)}",
                f"run `bot retrain`, or set BOT_{key.upper()}={value}",
            )
    for other in store.identities():
        try:
            store.open(other)
        except ArtifactInvalid as error:
            yield warning("artifact", str(error), f"remove the folder artifacts/{other}; it is never used")


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
