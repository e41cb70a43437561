"""What a retrain will take: its sizes before it begins, and its plan beside the time that it took."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bot.data.era_store import EraStore
from bot.data.next_version import absent_bytes
from bot.errors import BotError, DatasetIncomplete, NoChampion, RetryLater
from bot.features.feature_sets import FeatureMetadata
from bot.history.factor_history import FeatureReturns
from bot.history.feature_returns import kept_returns
from bot.members.fitting import Device, FitJob
from bot.members.registry import GIB
from bot.serving.artifacts import ArtifactStore
from bot.system.moments import in_words
from bot.tournament.client import NumeraiClient
from bot.training.benchmark_labels import with_benchmarks
from bot.training.fits import checkpoint_folder, fit_key, is_kept
from bot.training.planning.machine_times import MachineTimes
from bot.training.planning.retrain_plan import (
    FULL_BYTES,
    MEASURED,
    UNKNOWN,
    RetrainSize,
    assumed_size,
    counted_size,
    retrain_stages,
    stage_record,
)
from bot.training.planning.time_estimate import ASSUMED, Estimate, Stage
from bot.training.recipe_file import history_needs
from bot.training.recipes import ResolvedRecipe
from bot.training.splits import Split
from bot.training.training_data import (
    TrainingData,
    left_out_targets,
    resolved_eras,
    select_training_data,
    split_eras,
    without_targets,
)


@dataclass(kw_only=True)
class Forecast:
    """
    Plan of one retrain, and its progress.

    Attributes:
        plan: The recipe.
        times: Times of this machine.
        size: Sizes; counted anew once the data are read.
        estimate: Estimate of the time left; reports of progress go there.
        planned_s: Seconds of the plan before the retrain began.
    """

    plan: ResolvedRecipe
    times: MachineTimes
    size: RetrainSize
    estimate: Estimate = field(init=False)
    planned_s: float = field(init=False)

    def __post_init__(self) -> None:
        """Make the plan."""
        self.estimate = Estimate(plan=retrain_stages(self.plan, self.size, self.times))
        self.planned_s = sum(one.seconds for one in self.stages)

    @classmethod
    def of(
        cls,
        plan: ResolvedRecipe,
        state_dir: Path,
        artifacts: ArtifactStore,
        client: NumeraiClient | None,
        *,
        device: Device,
        measures: bool = True,
        on_measure: Callable[[str], None] = lambda _name: None,
    ) -> "Forecast":
        """
        Return the forecast of the next retrain by the data that are there; for other arguments and errors see :func:`preview`.

        *measures*: whether times that are not kept are measured. *on_measure* is called with the name of each measurement
        before it begins.
        """
        size = preview(plan, state_dir, artifacts, client, device=device)
        times = MachineTimes.open(state_dir)
        times.measures, times.on_measure = measures, on_measure
        return cls(plan=plan, times=times, size=size)

    @property
    def stages(self) -> Sequence[Stage]:
        """Return the stages."""
        return self.estimate.plan

    def count(self, size: RetrainSize) -> None:
        """
        Plan again by the sizes of the data that were read; download and storing are those that were planned.

        What was measured beside other processes is measured again: the minutes of the download may have ended them, and
        the hours of the fits follow from these seconds.
        """
        self.times.forget_busy()
        stored = size.rows if self.size.new_rows else 0
        self.size = replace(size, download=self.size.download, new_rows=stored)
        self.estimate.plan = retrain_stages(self.plan, self.size, self.times)

    @property
    def memory(self) -> int:
        """Return the peak memory of the largest stage in bytes."""
        return max(one.memory for one in self.stages)

    @property
    def line(self) -> str:
        """Return time, memory and disk in a line, and how they are known."""
        total = in_words(self.planned_s)
        if any(one.basis == UNKNOWN for one in self.stages):
            total = f"more than {total}"
        needs = [f"about {total}" if total[0].isdigit() else total]
        if self.memory:
            needs.append(f"{self.memory / GIB:.1f} GiB of memory")
        if disk := sum(one.disk for one in self.stages):
            needs.append(f"{f'{disk / 1e9:,.1f} GB' if disk >= 1e8 else f'{disk / 1e6:.0f} MB'} on disk")
        return f"{', '.join(needs)} ({self.basis})"

    @property
    def basis(self) -> str:
        """Return how the plan is known, in words: the origin of its seconds, and what is assumed."""
        stages: dict[str, list[str]] = {}
        for one in self.stages:
            if one.basis:
                stages.setdefault(one.basis, []).append(one.name)
        stated = sorted(stages, key=lambda basis: basis == ASSUMED)  # "the other times" come last
        known = [_origin(basis, stages[basis], busy=self.times.busy) for basis in stated]
        if UNKNOWN in stages and not self.times.measures:
            known.append("`bot retrain --plan` measures these times")
        return "; ".join((*known, *self.times.failed, *filter(None, [self.size.assumed])))

    def record(self) -> dict[str, Any]:
        """Return the entries of a manifest: the seconds that were planned, and those of each stage so far."""
        took = self.estimate.took(time.monotonic())
        return {"planned_s": round(self.planned_s, 1), "stages": {name: round(one, 1) for name, one in took.items()}}

    def finish(self) -> float:
        """Keep the times of the stages for the next plan; return the seconds of all of them."""
        took = self.estimate.took(time.monotonic())
        whole = [one for one in self.stages if not one.alike or one.name not in self.estimate.resumed]
        self.times.keep_retrain(self.plan.recipe.name, stage_record(self.plan, self.size, whole, took))
        return sum(took.values())


def _origin(basis: str, stages: Sequence[str], *, busy: bool) -> str:
    """Return the origin of the seconds of stages in words; *busy*: whether they were measured beside other processes."""
    names = ", ".join(stages)
    if basis == MEASURED:
        return "times measured here" + (" beside other busy processes" if busy else "")
    if basis == ASSUMED:
        return "the other times are assumed" if len(stages) > 2 else f"assumed: {names}"
    if basis == UNKNOWN:
        return f"not known yet: {names}"
    return f"{names}: {basis}"


def preview(
    plan: ResolvedRecipe, state_dir: Path, artifacts: ArtifactStore, client: NumeraiClient | None, *, device: Device
) -> RetrainSize:
    """
    Return the sizes of the next retrain by the data that are there; nothing is downloaded.

    Args:
        plan: The recipe.
        state_dir: State directory.
        artifacts: Artifacts and champions.
        client: Tells the size of a download; ``None`` assumes it.
        device: Device of networks.

    Raises:
        CannotSplit: The data have too few eras for the recipe's blocks.
        SchemaMismatch: They lack a feature or target of the recipe.
        OperatorNeeded: Numerai does not offer the data version.
    """
    folder, data = EraStore.newest(state_dir / "store", plan.data_version), state_dir / "data" / plan.data_version
    try:
        store, metadata = EraStore.open(folder or data), FeatureMetadata.read(data / "features.json")
    except (DatasetIncomplete, OSError, ValueError):
        download, known = _download(client, state_dir / "data", plan.data_version)
        return assumed_size(plan, data, download=download, device=device, reason=f"no data yet: {known}")
    plan = without_targets(plan, left_out_targets(plan, store.manifest.targets))
    read = select_training_data(store, _returns(store), plan, metadata)
    split, resolved = split_eras(read, plan), resolved_eras(read, plan)
    size = counted_size(plan, store, read.preprocesses, split, resolved, device=device)
    size = with_champion(size, plan, artifacts, split, np.diff(store.offsets).tolist())
    try:
        read = with_benchmarks(read, plan, data)
        keys = {job.unit.owner.name: fit_key(job) for job in fit_jobs(plan, read, split, resolved, state_dir)}
    except BotError:  # the retrain itself says what the data lack
        keys = {}
    return replace(size, kept=kept_fits(keys, state_dir / "fits"))


def with_champion(
    size: RetrainSize, plan: ResolvedRecipe, artifacts: ArtifactStore, split: Split, lengths: Sequence[int]
) -> RetrainSize:
    """Return sizes whose judged rows count the hold-out again where a champion is scored on it."""
    try:
        artifacts.champions(plan.recipe.name)
    except NoChampion:
        return size
    return replace(size, judged_rows=size.judged_rows + sum(lengths[one] for one in split.holdout))


def fit_jobs(
    plan: ResolvedRecipe, data: TrainingData, split: Split, resolved: Sequence[int], state_dir: Path
) -> Iterator[FitJob]:
    """Yield the fit of each model in their order, with folders that stand for those of a retrain."""
    recipe, scratch = plan.recipe, state_dir / "fits"
    for unit in plan.fit_order:
        yield FitJob(
            unit=unit,
            data=data.models[unit.owner.name],
            train=split.train,
            validation=split.validation,
            resolved=tuple(resolved) if recipe.refit else (),
            every=recipe.every,
            half_life=recipe.half_life,
            judged=scratch / "judged",
            served=scratch / "served",
            checkpoints=checkpoint_folder(state_dir, recipe.name),
            folds=state_dir / "training" / "folds",
            corr_multiplier=recipe.corr_multiplier,
            mmc_multiplier=recipe.mmc_multiplier,
        )


def kept_fits(keys: Mapping[str, str], kept: Path) -> frozenset[str]:
    """Return the owners of models whose files are kept from an earlier fit, by the keys of their fits."""
    return frozenset(name for name, key in keys.items() if is_kept(kept, key))


def _returns(store: EraStore) -> FeatureReturns:
    """Return the kept feature returns; zeros where there are none, since a plan needs only their shape."""
    targets = tuple(name for name in history_needs().targets if name in store.manifest.targets)
    kept = kept_returns(store, targets)
    if kept is not None:
        return kept
    shape = (len(store.eras), len(store.manifest.features), len(targets))
    return FeatureReturns(eras=store.eras, targets=targets, values=np.broadcast_to(np.float32(0), shape))


def _download(client: NumeraiClient | None, data: Path, version: str) -> tuple[int, str]:
    """Return the bytes to download, and how they are known."""
    if client is None:
        return FULL_BYTES, "v5.3's size is assumed"
    try:
        return absent_bytes(client, version, data), "sizes by the files that the server offers and the shape of v5.3"
    except RetryLater as error:
        return FULL_BYTES, f"v5.3's size is assumed ({error})"
