"""Checks of this machine and of the state directory: disk, memory, models, ledger and history."""

import importlib.util
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bot.assembly import open_artifacts, pins, resolve_recipe, slot_recipes
from bot.doctor.checks import ROUND, Check, failure, guarded, note, ok, warning
from bot.errors import ArtifactInvalid, BadConfig, BotError, NoChampion, OperatorNeeded
from bot.history.published import history_path, read
from bot.members.registry import missing_packages, needs_training
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.record.running import running_work
from bot.serving.artifacts import Artifact, ArtifactStore
from bot.serving.scorer import Scorer
from bot.serving.version_pin import Pin
from bot.settings import Settings
from bot.system.configuration.setting_places import place
from bot.system.files import state_error
from bot.tournament.client import NumeraiClient
from bot.training import recipe_file
from bot.training.recipes import STARTER
from bot.training.training_memory import available_memory

if TYPE_CHECKING:
    from bot.training.planning.retrain_forecast import Forecast

    Plans = Mapping[str, Forecast | BotError]

GIB = 1 << 30

SCORING_BYTES = 600 << 20
"""Anonymous memory that a submission may take; `bench/live_path.py` holds it to this for 7,000 rows x 3,555 features."""

KEPT_BYTES = 2 * GIB
"""Free disk space for rounds, artifacts and logs beside the history."""


def examine(
    settings: Settings,
    sound: tuple[str, ...],
    broken: frozenset[str],
    client: NumeraiClient | None,
    *,
    is_locked_out: bool = False,
) -> Iterator[Check]:
    """
    Yield the checks of this machine and of the state directory; nothing is changed.

    What depends on a failed check is left out, so that one cause has one line.

    Args:
        settings: The settings.
        sound: Recipes in use whose files can be read.
        broken: Those of them whose feature set does not exist.
        client: Client that knows the sizes of files; ``None`` assumes them.
        is_locked_out: Whether the key of an account failed its check.
    """
    folder = f"{settings.state_dir} ({place('state_dir').origin})"
    state = list(guarded("state", partial(_state, settings), f"make {folder} writable"))
    yield from state
    if any(check.verdict == "failure" for check in state):
        yield note("not checked", "disk, memory, ledger, champions and history: they need the state directory")
        return
    plans = _plans(settings, tuple(name for name in sound if name not in broken), client)
    yield from guarded("disk", partial(_disk, settings, plans), f"make room, or move {folder}")
    yield from guarded("memory", partial(_memory, plans), f"set {place('feature_set')} to a smaller set")
    yield from guarded("training", partial(_packages, sound), "install numerai-bot[train] where models are trained")
    for recipe, plan in plans.items():
        if isinstance(plan, BotError):  # rounds are submitted without a retrain
            yield warning(f"retrain {recipe}", str(plan), "change the recipe before the next retrain")
        else:
            yield ok(f"retrain {recipe}", plan.line)
    yield from guarded(
        "ledger", partial(_ledger, settings, is_locked_out), "restore it from a backup, or upgrade the bot"
    )
    filled = [recipe for recipe in slot_recipes(settings) if recipe in sound]
    for recipe in filled:
        yield from guarded(
            f"champion {recipe}",
            partial(_champion, settings, recipe, whole=recipe not in broken),
            _how_to_replace(settings, recipe),
        )
    yield from guarded("artifact", partial(_other_artifacts, settings, filled), f"make {folder} readable")
    yield from guarded("history", partial(_history, settings, sound), "run `bot sync`")


def _state(settings: Settings) -> Iterator[Check]:
    folder = settings.state_dir
    if folder.exists() and not folder.is_dir():
        yield failure("state", BadConfig(f"{folder} is not a folder"), f"set {place('state_dir')} to a folder")
        return
    existing = _existing(folder)
    if not existing.is_dir():
        wrong = BadConfig(f"{folder} cannot be made: {existing} is a file")
        yield failure("state", wrong, f"set {place('state_dir')} to a folder")
        return
    with tempfile.TemporaryFile(dir=existing):
        yield ok("state", f"{folder} is {'there and' if folder.exists() else 'not there yet, its parent is'} writable")
    if (holder := holder_of(folder / "bot.lock")) is not None:
        yield note("running", f"process {holder} holds {folder}: that is `bot run` or `bot submit` at work")


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(one for one in (folder, *folder.absolute().parents) if one.exists())


def holder_of(lock: Path) -> str | None:
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


def _plans(settings: Settings, names: tuple[str, ...], client: NumeraiClient | None) -> "Plans":
    """Return the plan of each recipe's next retrain, or why there is none; empty on a machine that does not train."""
    if _absent_packages():
        return {}
    # Imported here: a machine that only submits has no libraries for it.
    from bot.training.planning.retrain_forecast import Forecast  # noqa: PLC0415

    artifacts, plans = open_artifacts(settings), dict[str, Forecast | BotError]()
    for name in names:
        try:
            recipe = recipe_file.find(name)
            if not needs_training(recipe.members) or any(missing_packages(recipe.members)):
                continue
            (pin,) = pins(settings, [name])
            plan = resolve_recipe(settings, recipe, data_version=pin.to_train)
            make = partial(Forecast.of, plan, settings.state_dir, artifacts, device=settings.device, measures=False)
            try:
                plans[name] = make(client=client)
            except OperatorNeeded:  # a data version that is not offered has a check of its own
                plans[name] = make(client=None)
        except BotError as error:
            plans[name] = error
        except OSError as error:
            plans[name] = state_error(settings.state_dir, error)
    return plans


def _disk(settings: Settings, plans: "Plans") -> Iterator[Check]:
    existing = _existing(settings.state_dir)
    free = shutil.disk_usage(existing).free
    added = max(
        (sum(one.disk for one in plan.stages) for plan in plans.values() if not isinstance(plan, BotError)), default=0
    )
    needed = added + KEPT_BYTES
    finding = f"{free / GIB:.1f} GiB free in {existing}, {needed / GIB:.1f} needed"
    if free < SCORING_BYTES:
        yield failure("disk", BadConfig(f"{finding}: not even a round fits"), "make room now")
    elif free < needed:
        purpose = "build" if added else "keep"
        yield warning("disk", f"{finding} to {purpose} the history", "make room before `bot retrain`")
    else:
        yield ok("disk", finding)


def _memory(plans: "Plans") -> Iterator[Check]:
    free = available_memory()
    if free < SCORING_BYTES:
        yield failure(
            "memory",
            BadConfig(f"{free / GIB:.2f} GiB of memory, a submission takes up to {SCORING_BYTES / GIB:.2f}"),
            "give the bot at least 1 GiB",
        )
        return
    stages = [
        (stage.memory, f"{stage.name} of recipe {name}")
        for name, plan in plans.items()
        if not isinstance(plan, BotError)
        for stage in plan.stages
    ]
    needed, stage = max(stages, default=(0, ""))
    if not needed:
        yield ok("memory", f"{free / GIB:.1f} GiB; no member is trained here")
        return
    finding = f"{free / GIB:.1f} GiB; {stage} takes about {needed / GIB:.1f}"
    if free < needed:
        fix = f'train on fewer eras (recipe key "every"), or set {place("feature_set")} to a smaller set'
        yield warning("memory", finding, fix)
    else:
        yield ok("memory", finding)


def _packages(names: tuple[str, ...]) -> Iterator[Check]:
    absent = _absent_packages()
    if absent:
        yield note("training", f"{', '.join(absent)} not installed: this machine submits, it does not train")
        return
    missing = {name: next(missing_packages(recipe_file.find(name).members), None) for name in names}
    for recipe, one in missing.items():
        if one is not None:
            yield warning("training", f"recipe {recipe}: {one.reason}", one.fix or "install them with pip")
    if not any(missing.values()):
        yield ok("training", "everything that training needs is installed")


def _absent_packages() -> list[str]:
    return [name for name in ("torch", "onnx", "polars") if importlib.util.find_spec(name) is None]


def _ledger(settings: Settings, is_locked_out: bool) -> Iterator[Check]:  # noqa: FBT001 - as an argument of partial
    if not settings.ledger_path.is_file():
        yield note("ledger", f"{settings.ledger_path} does not exist yet: no round was played in this mode")
        return
    ledger = Ledger(settings.ledger_path)
    entries, failures = ledger.entries(limit=1), ledger.unresolved_failures(settings.slot_names)
    seen = ledger.seen(failures[0].round) if failures else None
    ledger.close()
    with closing(Outbox(settings.ledger_path, read_only=True)) as outbox:
        waiting = outbox.waiting()
    is_open = seen is None or datetime.now(UTC) < seen.closes_at
    newest = f"newest round {entries[0].round}, {entries[0].state}" if entries else "no round yet"
    yield ok("ledger", f"{settings.ledger_path.name}: {newest}")
    if waiting:
        yield warning(
            "alerts",
            f"{waiting} message{'s wait' if waiting > 1 else ' waits'} for an address",
            "`bot alert test` says which one, and why",
        )
    # A failure of every slot is that of the account, which follows from its key.
    for one in (one for one in failures if one.slot or not is_locked_out):
        what = f"round {one.round}, {one.slot or 'every slot'}: {one.kind}: {one.headline}"
        named = f"; setting: {', '.join(one.settings)}" if one.settings else ""
        yield warning(
            ROUND, what, f"{one.remedy_of(is_open=is_open) or f'`bot status {one.round}` has the log'}{named}"
        )


def _champion(settings: Settings, recipe: str, *, whole: bool) -> Iterator[Check]:
    name, store = f"champion {recipe}", ArtifactStore(settings.state_dir / "artifacts")
    try:
        identity = store.champions(recipe)[0]
    except NoChampion as error:
        if not whole:  # the recipe has to be corrected first
            return
        if any(work["name"] == "retrain" for work in running_work(settings.state_dir)):
            yield note(name, "none yet; a training runs", "wait for it: `bot status` shows its progress")
            return
        refused, todo = store.kept_back().get(recipe), _how_to_make(recipe)
        again = f"{todo} once the data or the recipe have changed"
        fix = f"run `bot promote {refused.id}`, or {again}" if refused else f"run {todo}"
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
    if whole:
        yield from _wishes(settings, recipe, artifact, pin)


def _other_artifacts(settings: Settings, checked: Collection[str]) -> Iterator[Check]:
    """Yield a warning for each artifact that cannot be used, besides the champions of the recipes that were *checked*."""
    store = open_artifacts(settings)
    champions, named = store.all_champions(), store.named()
    known = {champions[recipe] for recipe in checked if recipe in champions}
    for other in store.identities():
        if other in known:
            continue
        try:
            store.open(other)
        except ArtifactInvalid as error:
            if store.is_newer(other):
                fix = "update the bot; keep the folder, for the newer bot reads it"
            elif named is None or other in named:
                fix = f"restore the folder artifacts/{other} from a backup; a fallback or `bot rollback` may need it"
            else:
                fix = f"remove the folder artifacts/{other}; it is never used"
            yield warning("artifact", str(error), fix)


def _how_to_replace(settings: Settings, recipe: str) -> str:
    """Return how to replace a champion that cannot be used: a rollback needs an earlier one."""
    with suppress(BotError, OSError):  # the check itself reports it
        if len(open_artifacts(settings).champions(recipe)) > 1:
            return f"run `bot rollback --recipe {recipe}`, or {_how_to_make(recipe)}"
    return f"run {_how_to_make(recipe)}"


def _wishes(settings: Settings, recipe: str, artifact: Artifact, pin: Pin) -> Iterator[Check]:
    """Yield a warning where the champion was trained with another feature set or target than its recipe wants now."""
    own = recipe_file.find(recipe)
    plan = resolve_recipe(settings, own, data_version=pin.in_use)
    for key, wanted in (("feature_set", plan.feature_set), ("target", plan.target)):
        trained, pinned = artifact.manifest[key], getattr(own, key) is not None
        if trained != wanted:
            yield warning(
                f"champion {recipe}",
                f"{artifact.id} was trained with {key} {trained}, the {'recipe' if pinned else 'setting'} says {wanted}",
                f"run `bot retrain`, or set {f'{key} in the recipe' if pinned else place(key)} to {trained}",
            )


def _how_to_make(recipe: str) -> str:
    """Return the command that makes a recipe's first champion."""
    return f"`bot adopt {recipe}`" if not needs_training(recipe_file.find(recipe).members) else "`bot retrain`"


def _history(settings: Settings, names: tuple[str, ...]) -> Iterator[Check]:
    for version in dict.fromkeys(pin.in_use for pin in pins(settings, names)) if names else ():
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
