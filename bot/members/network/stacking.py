"""
Out-of-fold predictions of every target by trees: the network's future-known covariates.

A training era is predicted by trees that were fitted on earlier eras only, with an embargo of the target's horizon. Eras
before the first fold have no such trees: their predictions are zeros. Later eras, held out or live, are predicted by
trees that were fitted on all training eras; their files are stored with the network.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.members.fitting import Fold, TrainingEras
from bot.members.network.options import stacked_path
from bot.members.tree_fit import fit_trees, tree_key
from bot.system.files import publish
from bot.system.progress import ProgressCallback
from models.inference.ensemble import gaussianize
from models.inference.stack import Stack
from models.trees.gbm_options import GbmOptions
from models.trees.trees import TreeModel

KEPT_S = 60 * 86400.0
"""Seconds after which unused predictions are removed."""

LEFT_S = 2 * 86400.0
"""Seconds after which a folder is one of a killed process."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stacker:
    """
    Makes the predictions that a network is stacked on; after an interruption, the same calls continue.

    Attributes:
        owner: Name of the network's member, with which the files of its trees begin.
        trees: Options of the trees.
        chunk: Eras of a fold.
        every: Distance of the training eras.
        folds: Folder for predictions; every later training on the same eras reads them from there.
        checkpoints: See :func:`bot.members.tree_fit.fit_trees`.
        report_progress: Told about progress.
        should_stop: Checked after every tree.
    """

    owner: str
    trees: GbmOptions
    chunk: int
    every: int
    folds: Path
    checkpoints: Path
    report_progress: ProgressCallback = lambda _stage, _share, _note: None
    should_stop: Callable[[], bool] = lambda: False

    def stack(self, data: TrainingEras, learned: Sequence[int], folder: Path) -> TrainingEras:
        """
        Return *data* with predictions, for a network that is trained on the eras at the positions *learned*.

        Args:
            data: History of the network.
            learned: Positions of the training eras in ascending order.
            folder: Folder for the trees that are fitted on all training eras, one file per target.

        Raises:
            CannotSplit: There are too few eras for a fold.
            TrainingStopped: *should_stop* returned true; finished work is kept.
        """
        by_target = [self._out_of_fold(data, learned, target) for target in data.targets]
        for target in data.targets:
            stacked_path(folder, self.owner, target).write_text(self._fit(data, learned, target), encoding="utf-8")
        self._remove_unused()
        later = Stack([stacked_path(folder, self.owner, target) for target in data.targets])
        known: dict[int, Floats] = {}

        def predictions(position: int) -> Floats | None:
            if position > learned[-1]:
                if position not in known:
                    rows = data.prepared(position)
                    known[position] = later.predict(rows.features, rows.engineered)
                return known[position]
            columns = [one.get(position) for one in by_target]
            if all(column is None for column in columns):
                return None
            missing = np.zeros(data.rows(position), dtype=np.float32)
            return np.stack([missing if one is None else one for one in columns], axis=1)

        return data.with_predictions(predictions)

    def _out_of_fold(self, data: TrainingEras, learned: Sequence[int], target: str) -> dict[int, Floats]:
        """Return the predictions of one target by position of the era, without eras before the first fold."""
        labelled, found = data.labelled(target), {}
        # Folds are made of all eras, labelled or not: their bounds do not move when labels arrive, so trees stay valid.
        for fold in data.folds(target, chunk=self.chunk, every=self.every):
            training = tuple(position for position in fold.train if labelled[position])
            if training and fold.validation[0] <= learned[-1]:
                found.update(self._predicted(data, Fold(train=training, validation=fold.validation), target))
        return found

    def _predicted(self, data: TrainingEras, fold: Fold, target: str) -> dict[int, Floats]:
        """Return the predictions of a fold's eras; make them where they are not on disk yet."""
        content = [tree_key(data, fold.train, self.trees, target), data.digest(fold.validation, target)]
        path = self.folds / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]}.npy"
        if path.is_file():
            path.touch()
        else:
            self._predict(data, fold, target, path)
        values = np.load(path, mmap_mode="r")
        starts = np.cumsum([0, *(data.rows(position) for position in fold.validation)])
        return {
            position: values[start:stop]
            for position, start, stop in zip(fold.validation, starts[:-1], starts[1:], strict=True)
        }

    def _predict(self, data: TrainingEras, fold: Fold, target: str, path: Path) -> None:
        self.folds.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folds) as scratch:
            text = Path(scratch) / "trees.txt"
            text.write_text(self._fit(data, fold.train, target), encoding="utf-8")
            trees, pieces = TreeModel(text), []
            for done, position in enumerate(fold.validation):
                self.report_progress(
                    "trees", done / len(fold.validation), f"{target}, predictions of {len(fold.validation)} eras"
                )
                rows = data.prepared(position)
                pieces.append(gaussianize(trees.predict(rows.features, rows.engineered)).astype(np.float32))
            publish(path, lambda file: np.save(file, np.concatenate(pieces)))

    def _fit(self, data: TrainingEras, positions: Sequence[int], target: str) -> str:
        return fit_trees(
            data,
            positions,
            self.trees,
            target,
            self.report_progress,
            checkpoints=self.checkpoints,
            should_stop=self.should_stop,
        )

    def _remove_unused(self) -> None:
        """Remove predictions that were not used for :data:`KEPT_S`, and folders of killed processes."""
        for path in self.folds.iterdir() if self.folds.is_dir() else ():
            with suppress(FileNotFoundError):  # another worker has removed it
                if path.is_dir():
                    # A younger one may be that of another worker, whose trees grow there.
                    if path.stat().st_mtime < time.time() - LEFT_S:
                        shutil.rmtree(path, ignore_errors=True)
                elif path.stat().st_mtime < time.time() - KEPT_S:
                    path.unlink()
