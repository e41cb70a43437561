"""
Plan of a retrain: its stages with their seconds, memory and disk on this machine.

Seconds come from the newest retrain of the same recipe where there is one, else from short measurements.
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from bot.data.era_store import EraStore
from bot.features.preprocess import Preprocess, prepare
from bot.members import registry
from bot.members.fitting import Device
from bot.members.member import Unit
from bot.members.registry import FitSeconds, FitSize
from bot.training.planning.machine_times import MachineTimes, contention
from bot.training.planning.time_estimate import ASSUMED, Stage
from bot.training.recipes import ResolvedRecipe
from bot.training.splits import Split, embargo
from bot.training.training_memory import FEATURES, FULL_ROWS, feature_count

FULL_ERAS, FULL_TARGETS, FULL_GROUPS = 1_231, 40, 8
"""Eras and targets of v5.3 at the end of 2026, and its groups of features."""

FULL_BYTES = 9_300_000_000
"""Bytes of its training files."""

DOWNLOAD_BYTES_S = 20e6
"""Bytes a second of a download, before there was one."""

STORE, RETURNS, ROWS, JUDGE, REPORT = 5.0, 9.0, 6.0, 20.0, 10.0
"""
Seconds of each stage in those of preprocessing the same values, scores of the members left out.

Measured on the sandbox's world ``small`` (600 features, 300 eras of 1,000 rows): storing all rows, the returns of all
eras, reading the training rows, judging an era, and the report.
"""

PERMUTED_ERAS, PERMUTED_FEATURES = 12, 20
"""Eras that the report scores again, for each group of features and for so many features."""

MEASURED, UNKNOWN = "measured", "not known yet"
"""Basis of a stage that was measured in seconds, and of one that neither a measurement nor an earlier retrain covers."""

START_S = {"sync": 1.0, "store": 0.5, "returns": 0.5, "rows": 1.5, "judge": 0.5, "write": 1.5, "report": 4.0}
"""Seconds of a stage whatever its size."""


PREPROCESSING = "preprocessing s a value"

ASSUMED_VALUE_S = 4e-9
"""Seconds to preprocess a value where it cannot be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainSize:
    """
    Sizes of a retrain.

    Attributes:
        features: Features of the data version, all of them stored.
        targets: Its targets.
        columns: Features of the recipe.
        rows: Rows of the history.
        new_rows: Rows that are not stored yet.
        download: Bytes to download.
        fits: Size of each model's fits, by the name of its owner.
        kept: Owners whose files are taken from an earlier fit.
        judged_rows: Rows of the validation and hold-out eras, those that a champion is scored on again included.
        report_rows: Rows that the report scores: those of the hold-out, and those of permuted features.
        assumed: What of it is assumed, in words; empty where everything was counted.
    """

    features: int
    targets: int
    columns: int
    rows: int
    new_rows: int
    download: int
    fits: Mapping[str, FitSize]
    judged_rows: int
    report_rows: int
    kept: frozenset[str] = frozenset()
    assumed: str = ""


def assumed_size(plan: ResolvedRecipe, data: Path, *, download: int, device: Device, reason: str) -> RetrainSize:
    """
    Return the sizes of a retrain before there are data, by the shape of v5.3.

    Args:
        plan: The recipe.
        data: Folder of the data version; its features.json is read where it is there.
        download: Bytes to download.
        device: Device of networks.
        reason: Why sizes are assumed, in words.
    """
    present = sum(path.stat().st_size for path in data.glob("*.parquet"))
    all_rows = int(FULL_ROWS * (download + present) / FULL_BYTES * FEATURES["all"] / feature_count(data, "all"))
    recipe, era_rows = plan.recipe, max(all_rows // FULL_ERAS, 1)
    gap = embargo(plan.targets)
    held_out = recipe.validation_eras + recipe.holdout_eras
    train = max((FULL_ERAS - held_out - 3 * gap) // recipe.every, 1)
    resolved = max((FULL_ERAS - gap) // recipe.every, 1)
    if recipe.newest:
        train, resolved = min(train, recipe.newest), min(resolved, recipe.newest)
    fits = {}
    for unit in plan.units:
        features = feature_count(data, plan.feature_set_of(unit.owner))
        fits[unit.owner.name] = FitSize(
            features=features,
            engineered=len(recipe.engineered) * FULL_GROUPS,
            groups=FULL_GROUPS,
            targets=len(plan.learned(unit)),
            train_rows=train * era_rows,
            train_eras=train,
            validation_rows=recipe.validation_eras * era_rows,
            resolved_rows=resolved * era_rows if recipe.refit else 0,
            device=device,
        )
    return RetrainSize(
        features=feature_count(data, "all"),
        targets=FULL_TARGETS,
        columns=feature_count(data, plan.feature_set),
        rows=all_rows,
        new_rows=all_rows,
        download=download,
        fits=fits,
        judged_rows=held_out * era_rows,
        report_rows=(recipe.holdout_eras + PERMUTED_ERAS * (FULL_GROUPS + PERMUTED_FEATURES)) * era_rows,
        assumed=reason,
    )


def counted_size(
    plan: ResolvedRecipe,
    store: EraStore,
    manifests: Mapping[str | None, Preprocess],
    split: Split,
    resolved: Sequence[int],
    *,
    device: Device,
) -> RetrainSize:
    """
    Return the sizes of a retrain on the eras of a store, with nothing to download and no champion.

    Args:
        plan: The recipe.
        store: The history.
        manifests: Preprocessing by feature set; ``None`` is the recipe's own.
        split: Training, validation and hold-out eras.
        resolved: Eras of a refit.
        device: Device of networks.
    """
    lengths = np.diff(store.offsets)

    def rows(positions: Sequence[int]) -> int:
        return int(lengths[list(positions)].sum())

    fits = {}
    for unit in plan.units:
        manifest = manifests[unit.owner.feature_set]
        fits[unit.owner.name] = FitSize(
            features=len(manifest.features),
            engineered=len(manifest.engineered_names),
            groups=len(manifest.groups),
            targets=len(plan.learned(unit)),
            train_rows=rows(split.train),
            train_eras=len(split.train),
            validation_rows=rows(split.validation),
            resolved_rows=rows(resolved) if plan.recipe.refit else 0,
            device=device,
        )
    return RetrainSize(
        features=len(store.manifest.features),
        targets=len(store.manifest.targets),
        columns=len(manifests[None].features),
        rows=int(lengths.sum()),
        new_rows=0,
        download=0,
        fits=fits,
        judged_rows=rows(split.validation) + rows(split.holdout),
        report_rows=rows(split.holdout)
        + PERMUTED_ERAS * (len(manifests[None].groups) + PERMUTED_FEATURES) * rows(split.holdout[-1:]),
    )


def retrain_stages(plan: ResolvedRecipe, size: RetrainSize, times: MachineTimes) -> tuple[Stage, ...]:
    """Return the stages of a retrain in their order, its report included."""
    figures = times.measured(PREPROCESSING, _preprocessing_times)
    values_s, known = (ASSUMED_VALUE_S, ASSUMED) if figures is None else (figures[0], MEASURED)

    seconds_of = {
        unit.owner.name: registry.find(unit.owner.kind).seconds(unit.owner, size.fits[unit.owner.name], times.measured)
        for unit in plan.units
        if registry.find(unit.owner.kind).needs(unit.owner).training
    }
    busy = contention()
    score_s = sum(one.score_row for one in seconds_of.values() if one is not None)

    def values(name: str, rows: int, columns: int, factor: float, *, disk: int = 0, scored: bool = False) -> Stage:
        seconds = START_S[name] * busy + rows * (columns * values_s * factor + score_s * scored)
        return Stage(name=name, seconds=seconds, amount=rows, basis=known, disk=disk)

    stages = [
        Stage(
            name="sync",
            seconds=START_S["sync"] + size.download / DOWNLOAD_BYTES_S,
            amount=size.download,
            unit="bytes",
            disk=size.download,
            basis=f"{DOWNLOAD_BYTES_S / 1e6:.0f} MB/s assumed" if size.download else "",
        ),
        values("store", size.new_rows, size.features, STORE, disk=size.new_rows * (size.features + 4 * size.targets)),
        values("returns", size.new_rows, size.features, RETURNS),
        values("rows", size.rows, size.columns, ROWS),
        *(one for unit in plan.fit_order for one in _fits(unit, size, seconds_of.get(unit.owner.name), busy)),
        values("judge", size.judged_rows, size.columns, JUDGE, scored=True),
        Stage(name="write", seconds=START_S["write"] * busy, basis=known),
        values("report", size.report_rows, size.columns, REPORT, scored=True),
    ]
    return tuple(_by_earlier(one, plan, size, times) for one in stages)


def stage_record(
    plan: ResolvedRecipe, size: RetrainSize, stages: Sequence[Stage], took: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Return the amount and seconds of finished stages, for :meth:`MachineTimes.keep_retrain`; kept fits are left out."""
    return {
        one.name: {"seconds": round(took[one.name], 2), "amount": one.amount, "about": _about(one, plan, size)}
        for one in stages
        if one.name in took and one.amount and one.alike not in size.kept
    }


def _fits(unit: Unit, size: RetrainSize, seconds: FitSeconds | None, busy: float) -> Iterator[Stage]:
    """Yield the stages of a model: its judged fit, its refit where there is one, and its export; *busy* is that of now."""
    owner, kind, fit = unit.owner, registry.find(unit.owner.kind), size.fits[unit.owner.name]
    kept = owner.name in size.kept
    needed = kind.needs(owner).training and not kept
    for name, rows in (("fit", fit.train_rows), ("refit", fit.resolved_rows)):
        if not rows:
            continue
        expected = 0.0 if seconds is None or kept else seconds.judged if name == "fit" else seconds.refit
        basis = "kept from an earlier fit" if kept else MEASURED if seconds is not None else UNKNOWN if needed else ""
        yield Stage(
            name=f"{name} {owner.name}",
            seconds=expected,
            amount=rows,
            memory=kind.memory(owner, rows=rows, columns=fit.features) if needed else 0,
            basis=basis,
            alike=owner.name,
        )
    if seconds is not None and seconds.export and not kept:
        files = 2 if fit.resolved_rows else 1
        yield Stage(
            name=f"export {owner.name}",
            seconds=seconds.export * busy,
            amount=files,
            unit="files",
            basis=ASSUMED,
            alike=owner.name,
        )


def _by_earlier(stage: Stage, plan: ResolvedRecipe, size: RetrainSize, times: MachineTimes) -> Stage:
    """Return a stage with the seconds of the newest retrain, in proportion to its amount, where there are some."""
    if stage.alike in size.kept or not stage.amount:
        return stage
    about = _about(stage, plan, size)
    first = times.retrains.get(plan.recipe.name, {})
    # Data are the same for all recipes.
    for known in (first, *times.retrains.values()) if stage.name in ("sync", "store", "returns") else (first,):
        earlier = known.get(stage.name)
        if earlier is not None and earlier.get("about") == about and earlier["amount"] > 0:
            start = START_S.get(stage.name, 0.0)
            a_unit = max(earlier["seconds"] - start, 0.0) / earlier["amount"]
            seconds = min(start, earlier["seconds"]) + a_unit * stage.amount
            return replace(stage, seconds=seconds, basis="as in the last retrain")
    return stage


def _about(stage: Stage, plan: ResolvedRecipe, size: RetrainSize) -> str:
    """Return the digest of everything but the amount that a stage's seconds depend on."""
    content: list[object] = [size.features if stage.name in ("store", "returns") else size.columns]
    if stage.alike:
        unit = next(one for one in plan.units if one.owner.name == stage.alike)
        fit = size.fits[stage.alike]
        content = [unit.owner.kind, asdict(unit.owner.options), fit.columns, fit.targets, fit.device]
    elif stage.name in ("judge", "report"):
        content.append([[one.kind, asdict(one.options)] for one in plan.members])
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:12]


def _preprocessing_times() -> tuple[float]:
    """Return the seconds that preprocessing takes for one value."""
    names = tuple(f"f{index}" for index in range(400))
    groups = {f"g{one}": tuple(range(one * 50, one * 50 + 50)) for one in range(8)}
    manifest = Preprocess(features=names, groups=groups, engineered=("group_mean", "group_std", "group_extremes"))
    codes = np.asfortranarray(np.random.default_rng(1).integers(0, 5, (2_000, 400), dtype=np.int8))
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        prepare(manifest, names, codes)
        seconds.append(time.perf_counter() - began)
    return (min(seconds) / codes.size,)
