"""
Kinds whose trees another library trains and onnxruntime scores: their rows and their files.

A model has one output for each target of its members, so that a head costs no second model.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bot.errors import OperatorNeeded
from bot.members.fitting import Facts, FitJob, TrainingEras, row_weights
from bot.members.limits import Limit, out_of_range
from bot.members.member import Member
from bot.members.outputs import MultiTargetModel
from bot.members.registry import FitSeconds, FitSize, Kind, Measured, Needs, Source, tree_seconds
from bot.system.progress import ProgressCallback
from models.inference.tree_graph import TreeGraph
from models.trees.decision_trees import FittedTrees, LibraryMissing
from models.trees.gbm_options import Chunks

FILE = ".onnx"
"""Suffix of the model's file."""


class Train(Protocol):
    """A library's training, such as :func:`models.trees.xgboost_trees.train_xgboost`."""

    def __call__(
        self,
        chunks: Chunks,
        labels: npt.NDArray[np.floating],
        options: Any,  # noqa: ANN401 - those of the kind
        columns: Sequence[str],
        *,
        weights: npt.NDArray[np.float32] | None,
        on_progress: Callable[[int, int], None],
        should_stop: Callable[[], bool],
    ) -> FittedTrees:
        """Train on rows with labels of shape ``(rows, targets)``."""
        ...


class GraphKind(Kind):
    """
    A kind of trees that its module describes; fit, file and scores are the same for each library.

    Attributes:
        limits: Range of each number of the options.
        extra: Extra of the bot that installs the library.
    """

    limits: Mapping[str, Limit]
    extra: str

    @abstractmethod
    def train(self) -> Train:
        """Return the library's training."""

    @abstractmethod
    def bytes_of(self, rows: int, columns: int) -> int:
        """Return the peak memory of a fit in bytes."""

    def distribution(self) -> str:
        """Return the library's name as a package to install."""
        return self.extra

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each option that cannot be used."""
        yield from out_of_range(member.options, self.limits)

    def needs(self, member: Member) -> Needs:
        """Return that a residual label needs the benchmark, and that Numerai's machines cannot score the model."""
        return Needs(
            benchmark=member.label == "residual",
            heads=True,
            in_memory=True,
            hosted="it is scored by onnxruntime, which they lack",
            packages=(self.distribution(), "onnx"),
            extra=self.extra,
        )

    def memory(self, member: Member, *, rows: int, columns: int) -> int:  # noqa: ARG002 - options change it little
        """Return the peak memory of a fit in bytes."""
        return self.bytes_of(rows, columns)

    def seconds(self, member: Member, size: FitSize, measured: Measured) -> FitSeconds | None:
        """Return the seconds of binning and of all trees."""
        targets = max(size.targets, 1)

        def times() -> Sequence[float]:
            # Imported here: it imports training libraries.
            from bot.members.pace import TREES, tree_times  # noqa: PLC0415

            few = replace(member.options, num_trees=TREES)

            def fit(chunks: Chunks, labels: npt.NDArray[np.float32], report: Callable[[int, int], None]) -> object:
                several, columns = np.tile(labels[:, None], targets), [f"c{index}" for index in range(len(chunks[0]))]
                return self.train()(
                    chunks, several, few, columns, weights=None, on_progress=report, should_stop=lambda: False
                )

            return tree_times(fit, size.columns)

        shape = [value for name, value in asdict(member.options).items() if name not in ("num_trees", "seed")]
        name = f"{self.extra} {size.columns} columns, {targets} targets, {shape}"
        return tree_seconds(name, times, member.options.num_trees, size, measured)

    def fit(self, job: FitJob) -> Facts:
        """
        Fit on the training eras, and again on the resolved ones where there are any.

        Each model is written as ONNX if onnxruntime scores rows as the library does.

        Raises:
            OperatorNeeded: The library is not installed, or the targets are known nowhere in these eras.
            TrainingStopped: The job was stopped.
        """
        # Imported here: a machine that only serves has no onnx.
        from models.inference.tree_export import export_trees  # noqa: PLC0415

        owner, targets = job.unit.owner, job.unit.targets
        features, engineered = job.data.manifest.features, job.data.manifest.engineered_names
        for folder, positions in job.blocks.items():
            reporting = job.reporting(folder)
            rows = labelled_rows(job.data, positions, targets, job, reporting)
            report = partial(_report, reporting, f"{', '.join(targets)}, {len(rows.labels):,} rows")
            report(0, 1)
            try:
                fitted = self.train()(
                    rows.chunks,
                    rows.labels,
                    owner.options,
                    (*features, *engineered),
                    weights=rows.weights,
                    on_progress=report,
                    should_stop=job.should_stop,
                )
            except LibraryMissing as error:
                raise OperatorNeeded(str(error)) from None
            reporting("trees", 1.0, "ONNX, with the parity gate")
            export_trees(
                fitted, folder / f"{owner.name}{FILE}", features=features, engineered=engineered, targets=targets
            )
        return {}

    def load(self, source: Source) -> MultiTargetModel:
        """Load the trees."""
        path = source.path(FILE)
        return MultiTargetModel(source, path, TreeGraph(path, threads=source.threads))


def _report(report_progress: ProgressCallback, note: str, done: int, total: int) -> None:
    report_progress("trees", done / total, f"{note}, {done:,} of {total:,} trees")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """
    Rows in which all targets are known.

    Attributes:
        chunks: Columns of each run of eras, features before engineered ones.
        labels: Labels. Shape ``(rows, targets)``, float32.
        weights: Weight of each row; ``None`` lets all count alike. Shape ``(rows,)``, float32.
    """

    chunks: Chunks
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32] | None


def labelled_rows(
    data: TrainingEras, positions: Sequence[int], targets: Sequence[str], job: FitJob, report_progress: ProgressCallback
) -> Rows:
    """
    Return the rows of some eras in which all targets are known.

    Raises:
        OperatorNeeded: There are none.
    """
    first, *others = targets
    known = [one for one in positions if all(np.isfinite(data.label(one, name)).any() for name in targets)]
    if not known:
        raise OperatorNeeded(f"no era of the training set has labels of {', '.join(targets)}")
    table = data.table(
        known,
        first,
        temporary=job.checkpoints,
        on_progress=lambda done, total: report_progress("trees", 0.0, f"rows of {done:,} of {total:,} eras"),
    )
    of_rows = [np.isfinite(data.label(one, first)) for one in known]
    further = [
        np.concatenate([data.label(one, name)[rows] for one, rows in zip(known, of_rows, strict=True)])
        for name in others
    ]
    labels = np.stack([table.labels, *further], axis=1)
    weights = row_weights(data, known, first, job.half_life)
    keep: npt.NDArray[np.bool_] = np.isfinite(labels).all(axis=1)
    if keep.all():
        return Rows(chunks=table.chunks, labels=labels, weights=weights)
    chunks, start = [], 0
    for chunk in table.chunks:
        part = keep[start : start + len(chunk[0])]
        chunks.append(list(chunk) if part.all() else [column[part] for column in chunk])
        start += len(part)
    return Rows(chunks=chunks, labels=labels[keep], weights=None if weights is None else weights[keep])
