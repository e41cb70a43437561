"""Fit tree models on some eras of the history; finished models and snapshots are kept on disk."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import structlog

from bot.errors import OperatorNeeded
from bot.members.fitting import TrainingEras, row_weights
from bot.system.files import publish
from bot.system.progress import ProgressCallback
from models.trees.gbm import DatasetCache, Snapshots, train_gbm
from models.trees.gbm_options import GbmOptions

DATASETS = 2
"""LightGBM Datasets that are kept: that of the judged models and that of the served ones."""

ROWS, TREES = "rows of {:,} of {:,} eras", "{:,} of {:,} trees"
"""Notes of a report: rows that are read, and trees that are grown."""

log = structlog.get_logger()


def fit_trees(
    data: TrainingEras,
    positions: Sequence[int],
    options: GbmOptions,
    target: str,
    report_progress: ProgressCallback,
    *,
    half_life: int = 0,
    checkpoints: Path | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> str:
    """
    Train a tree model on the labelled rows of the eras at *positions*.

    Args:
        data: History with the columns of the model.
        positions: Positions of the eras.
        options: Options of the trees.
        target: Target to learn.
        report_progress: Called with the progress.
        half_life: Eras after which an era counts half as much; 0 lets all count alike.
        checkpoints: Folder for Datasets, snapshots, finished models and copied columns. Called again with equal arguments,
            what was finished is read from there and what was interrupted goes on; the caller removes it in the end.
        should_stop: Checked after every tree.

    Returns:
        The model as LightGBM's text.

    Raises:
        OperatorNeeded: The target is known nowhere in these eras.
        TrainingStopped: *should_stop* returned true; a snapshot is kept.
    """
    report = partial(_report, report_progress, target)
    report_progress("trees", 0.0, f"{target}, digests of {len(positions):,} eras")
    weights = row_weights(data, positions, target, half_life)
    key = tree_key(data, positions, options, target, half_life=half_life)
    finished = None if checkpoints is None else checkpoints / "models" / f"{key}.txt"
    if finished is not None and finished.is_file():
        return finished.read_text(encoding="utf-8")
    rows = data.table(positions, target, temporary=checkpoints, on_progress=partial(report, ROWS))
    if not len(rows.labels):
        raise OperatorNeeded(f"target {target} is known in none of {len(positions):,} training eras; choose another")
    snapshots = None if checkpoints is None else Snapshots(folder=checkpoints / "snapshots" / key)
    report_progress("trees", 0.0, f"{target}, {options.num_trees:,} trees, {len(rows.labels):,} rows")
    text = train_gbm(
        rows.chunks,
        rows.labels,
        options,
        (*data.manifest.features, *data.manifest.engineered_names),
        on_progress=partial(report, TREES),
        weights=weights,
        rows_digest=data.digest(positions, target),
        cache=None if checkpoints is None else DatasetCache(folder=checkpoints / "datasets", keep=DATASETS),
        snapshots=snapshots,
        on_finding=lambda finding: log.warning("trees.finding", finding=finding),
        should_stop=should_stop,
    )
    log.info("trees.trained", target=target, trees=options.num_trees, rows=len(rows.labels), eras=len(positions))
    if finished is not None and snapshots is not None:
        publish(finished, text.encode())
        snapshots.clear()
    return text


def _report(report_progress: ProgressCallback, target: str, note: str, done: int, total: int) -> None:
    """Report trees by their share; the rows before them are none of it."""
    report_progress("trees", done / total if note == TREES else 0.0, f"{target}, {note.format(done, total)}")


def tree_key(
    data: TrainingEras, positions: Sequence[int], options: GbmOptions, target: str, *, half_life: int = 0
) -> str:
    """Return the key of the model that :func:`fit_trees` makes of these arguments; equal keys mean equal models."""
    labels = hashlib.sha256()
    for position in positions:
        labels.update(np.ascontiguousarray(data.label(position, target)).tobytes())
    content = {
        "rows": data.digest(positions, target),
        "labels": labels.hexdigest(),
        "options": asdict(options),
        "lightgbm": version("lightgbm"),
        "half_life": half_life,
    }
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]
