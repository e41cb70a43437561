"""Memory that the models of a recipe take to fit, and the memory that there is."""

from pathlib import Path

from bot.data.era_store import EraStore
from bot.errors import OperatorNeeded
from bot.features.feature_sets import FeatureMetadata
from bot.members import registry
from bot.members.registry import GIB
from bot.training.recipes import ResolvedRecipe
from bot.training.training_data import TrainingData

CGROUP = Path("/sys/fs/cgroup")
"""Folder of the container's limits."""

FULL_ROWS = 6_900_000
"""Rows of v5.3 at the end of 2026, train and validation."""

FEATURES = {"small": 42, "medium": 780, "all": 3_555}
"""Features of v5.3's sets, for an estimate before features.json is there."""


def largest_fit(plan: ResolvedRecipe, state_dir: Path) -> int:
    """
    Return the memory in bytes that the largest fit of a recipe takes, 0 where nothing is fitted.

    Args:
        plan: The recipe.
        state_dir: State directory. Rows and features are those of its newest store; without one those of v5.3.
    """
    folder, data = EraStore.newest(state_dir / "store", plan.data_version), state_dir / "data" / plan.data_version
    rows = FULL_ROWS if folder is None else int(EraStore.open(folder).offsets[-1])
    sizes = [0]
    for unit in plan.units:
        owner, kind = unit.owner, registry.find(unit.owner.kind)
        if kind.needs(owner).training:
            columns = feature_count(data, plan.feature_set_of(owner))
            sizes.append(kind.memory(owner, rows=rows // plan.recipe.every, columns=columns))
    return max(sizes)


def refuse_too_little(plan: ResolvedRecipe, data: TrainingData, positions: tuple[int, ...]) -> None:
    """
    Refuse to fit models that hold all their rows in memory where there is too little of it.

    Args:
        plan: The recipe.
        data: Its data.
        positions: Positions of the eras of the largest fit.

    Raises:
        OperatorNeeded: A model needs more memory than there is.
    """
    free = available_memory()
    for unit in plan.units:
        owner, kind = unit.owner, registry.find(unit.owner.kind)
        if not kind.needs(owner).in_memory:
            continue
        columns = data.models[owner.name]
        rows = sum(columns.rows(position) for position in positions)
        wanted = kind.memory(owner, rows=rows, columns=len(columns.manifest.features))
        if wanted > free:
            raise OperatorNeeded(
                f"member {owner.name} ({owner.kind}) takes about {wanted / GIB:.1f} GiB for {rows:,} rows, and there are"
                f" {free / GIB:.1f}; raise data.every, or give it a smaller feature_set"
            )


def feature_count(data: Path, feature_set: str) -> int:
    """Return the number of features of a set by the features.json in the folder *data*, or an estimate."""
    path = data / "features.json"
    if path.is_file():
        return len(FeatureMetadata.read(path).feature_sets.get(feature_set, ())) or FEATURES["all"]
    return FEATURES.get(feature_set, FEATURES["all"])


def available_memory() -> int:
    """Return the bytes that this process may take: those of the machine, or of its container where that is less."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(fields["MemAvailable"].split()[0]) << 10
    limit, used = CGROUP / "memory.max", CGROUP / "memory.current"
    if limit.is_file() and used.is_file() and (bound := limit.read_text(encoding="ascii").strip()).isdigit():
        free = min(free, int(bound) - int(used.read_text(encoding="ascii")) + _cached(CGROUP / "memory.stat"))
    return free


def _cached(stat: Path) -> int:
    """Return the bytes of files that the kernel keeps for the container, and frees when they are needed: the era store's."""
    if not stat.is_file():
        return 0
    fields = dict(line.split() for line in stat.read_text(encoding="ascii").splitlines())
    return int(fields.get("inactive_file", 0)) + int(fields.get("active_file", 0))
