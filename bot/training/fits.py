"""Fit a model, or take the files of an equal fit that was kept."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import structlog

from bot.members import registry
from bot.members.fitting import Facts, FitJob
from bot.system.files import publish, rename, sha256_of, sync
from models.memory import release_memory

KEPT_S = 90 * 86400.0
"""Seconds after which a fit that was not used is removed."""

LEFT_S = 2 * 86400.0
"""Seconds after which an unfinished fit is one of a killed process."""

KEPT_BYTES = 8 << 30
"""Bytes that fits may take; those that were not used for longest are removed first."""

FACTS = "facts.json"
log = structlog.get_logger()


def checkpoint_folder(state_dir: Path, recipe: str) -> Path:
    """Return the folder of the checkpoints from which an interrupted training of *recipe* continues."""
    return state_dir / "training" / recipe


def fit_model(job: FitJob, kept: Path, *, key: str | None = None) -> Facts:
    """
    Fit a model and write its files to the folders of *job*, or copy those of an equal fit.

    A fit is equal where the kind, its version, the options, targets and labels of the members, and the data are the same.
    Names and weights of members do not count.

    Args:
        job: The fit.
        kept: Folder of finished fits.
        key: Result of :func:`fit_key` where the caller has it already.

    Raises:
        TrainingStopped: The job was stopped; finished work is kept.
        OperatorNeeded: The model cannot be fitted on this machine or these data.
    """
    owner, folder = job.unit.owner.name, kept / (key or fit_key(job))
    known: Facts | None = _read(folder)
    kept_before = known is not None
    if known is None:
        known = _fit(job, folder)
    else:
        log.info("member.kept_fit", member=owner, fit=folder.name[:12])
        with suppress(FileNotFoundError):  # another worker removes it
            os.utime(folder)
    for block, target in (("judged", job.judged), ("served", job.served)):
        # Without a refit the judged model serves.
        source = folder / (block if job.resolved else "judged")
        for path in sorted(source.iterdir()):
            shutil.copyfile(path, target / f"{owner}{path.name}")
    _remove_unused(kept, folder)
    return {**known, "fit": folder.name, "kept": kept_before}


def is_kept(kept: Path, key: str) -> bool:
    """Return whether the folder *kept* has a fit of this key; :func:`fit_model` verifies its files."""
    return (kept / key / FACTS).is_file()


def fit_key(job: FitJob) -> str:
    """Return the digest of everything that a fit depends on; equal keys mean equal models."""
    unit, kind = job.unit, registry.find(job.unit.owner.kind)
    owner = asdict(unit.owner)
    data = job.data
    positions = sorted({*job.train, *job.validation, *job.resolved})
    content = {
        "kind": [unit.owner.kind, kind.version],
        "packages": {name: version(name) for name in kind.needs(unit.owner).packages},
        "member": {key: value for key, value in owner.items() if key not in ("name", "weight", "feature_set")},
        "heads": [one.target for one in unit.heads],
        "targets": data.targets,
        "eras": [[data.era_names[one] for one in block] for block in (job.train, job.validation, job.resolved)],
        "outside": kind.outside(unit.owner),
        "rows": [data.digest(positions, name) for name in data.targets],
        "labels": _labels_digest(job, positions),
        "history": _history_digest(job),
        "every": job.every,
        "half_life": job.half_life,
        "pay": [job.corr_multiplier, job.mmc_multiplier],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:32]


def _labels_digest(job: FitJob, positions: list[int]) -> str:
    digest = hashlib.sha256()
    for position in positions:
        for name in job.data.targets:
            digest.update(job.data.label(position, name).tobytes())
        benchmark = None if job.data.benchmark is None else job.data.benchmark.get(position)
        digest.update(b"-" if benchmark is None else benchmark.tobytes())
    return digest.hexdigest()


def _history_digest(job: FitJob) -> str | None:
    returns = job.data.returns
    if returns is None:
        return None
    return hashlib.sha256(json.dumps(returns.targets).encode() + returns.values.tobytes()).hexdigest()


def _fit(job: FitJob, folder: Path) -> Facts:
    """Fit into folders beside *folder*, and publish them in one step."""
    owner = job.unit.owner.name
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(".*"):  # by a process that was killed; workers of a study fit at the same time
        with suppress(FileNotFoundError):  # finished meanwhile
            if left.stat().st_mtime < time.time() - LEFT_S:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as name:
        scratch = Path(name)
        finished = scratch / "finished"
        for block in ("judged", "served"):
            (scratch / block).mkdir()
            (finished / block).mkdir(parents=True)
        kind = registry.find(job.unit.owner.kind)
        began = time.monotonic()
        facts = dict(kind.fit(replace(job, judged=scratch / "judged", served=scratch / "served")))
        facts["seconds"] = round(time.monotonic() - began, 1)
        release_memory()
        for block in ("judged", "served"):
            for path in (scratch / block).iterdir():
                kept = finished / block / path.name.removeprefix(owner)
                path.rename(kept)
                sync(kept)
        files = {f"{path.parent.name}/{path.name}": sha256_of(path) for path in finished.glob("*/*")}
        publish(finished / FACTS, json.dumps({"facts": facts, "files": files}).encode())
        rename(finished, folder)
    return facts


def _read(folder: Path) -> dict[str, Any] | None:
    """Return the facts of a kept fit, ``None`` where there is none or a file of it differs."""
    try:
        about = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        if all(sha256_of(folder / name) == digest for name, digest in about["files"].items()):
            return dict(about["facts"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _remove_unused(kept: Path, used: Path) -> None:
    """Remove fits that are too old, and the least recently used ones beyond the bytes that fits may take."""
    fits, total = [], 0
    for folder in kept.glob("[!.]*"):
        with suppress(FileNotFoundError):  # another worker removes it
            if folder.is_dir():
                size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
                fits.append((folder.stat().st_mtime, size, folder))
    for last_used, size, folder in sorted(fits, reverse=True):
        total += size
        old = last_used < time.time() - KEPT_S
        if folder != used and (old or total > KEPT_BYTES):
            shutil.rmtree(folder, ignore_errors=True)
            log.info("member.fit_removed", fit=folder.name[:12])
