"""Ridge regression of codes and engineered columns: one pass over the eras, scored by numpy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bot.errors import OperatorNeeded
from bot.members.fitting import Facts, FitJob, era_weights
from bot.members.limits import Limit, out_of_range
from bot.members.member import Member
from bot.members.outputs import MultiTargetModel
from bot.members.registry import FitSeconds, FitSize, Kind, Measured, Needs, Source
from bot.members.search import Choices
from bot.system.progress import ProgressCallback
from models.linear.linear_model import LinearModel
from models.linear.ridge import LinearRows, fit_bytes, fit_ridge
from models.stopping import TrainingStopped

FILE = ".npz"
"""Suffix of the model's file."""

_LIMITS = {"alpha": Limit(low=0, high=1e6)}


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearOptions:
    """
    Options of a ridge regression.

    Attributes:
        alpha: Penalty on squared coefficients of standardized columns, added to the mean squared error; its meaning does
            not depend on the number of rows. See :mod:`models.linear.ridge`. At 1 every coefficient is half or less of
            its least-squares value.
    """

    alpha: float = 0.1


class Linear(Kind):
    """The kind ``linear``."""

    options = LinearOptions
    version = 1

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each option that cannot be used."""
        yield from out_of_range(member.options, _LIMITS)

    def needs(self, member: Member) -> Needs:
        """Return that a residual label needs the benchmark."""
        return Needs(benchmark=member.label == "residual", heads=True, packages=("scipy",), extra="train")

    def memory(self, member: Member, *, rows: int, columns: int) -> int:  # noqa: ARG002 - rows are read era by era
        """Return the peak memory of a fit in bytes."""
        return fit_bytes(columns)

    def seconds(self, member: Member, size: FitSize, measured: Measured) -> FitSeconds | None:  # noqa: ARG002 - options do not change it
        """Return the seconds of the sums over all rows and of their solution."""

        def times() -> Sequence[float]:
            # Imported here: it imports training libraries.
            from bot.members.pace import ridge_times  # noqa: PLC0415

            return ridge_times(size.columns, size.targets)

        name = f"linear {size.columns} columns, {size.targets} targets: s a row, s at the end"
        figures = measured(name, times)
        if figures is None:
            return None
        row_s, end_s = figures
        refit_s = size.resolved_rows * row_s + end_s if size.resolved_rows else 0.0
        return FitSeconds(judged=size.train_rows * row_s + end_s, refit=refit_s)

    def search(self, member: Member, choices: Choices) -> LinearOptions:
        """Return the options with another penalty."""
        options: LinearOptions = member.options
        return replace(options, alpha=choices.scaled("alpha", options.alpha, times=100, limit=_LIMITS["alpha"]))

    def fit(self, job: FitJob) -> Facts:
        """Fit on the training eras, and again on the resolved ones where there are any."""
        owner, manifest = job.unit.owner, job.data.manifest
        inputs = (*manifest.features, *manifest.engineered_names)
        for folder, positions in job.blocks.items():
            rows = _rows(job, positions, job.reporting(folder))
            try:
                model = fit_ridge(rows, inputs, job.unit.targets, alpha=owner.options.alpha)
            except ValueError as error:
                raise OperatorNeeded(f"{owner.name}: {error}") from None
            (folder / f"{owner.name}{FILE}").write_bytes(model.to_bytes())
        return {}

    def load(self, source: Source) -> MultiTargetModel:
        """Load the coefficients."""
        path = source.path(FILE)
        return MultiTargetModel(source, path, LinearModel.from_bytes(path.read_bytes()))


def _rows(job: FitJob, positions: Sequence[int], report_progress: ProgressCallback) -> Iterator[LinearRows]:
    """Yield the rows of each era; stop where the job is stopped."""
    targets, weights = job.unit.targets, era_weights(positions, job.half_life)
    for done, position in enumerate(positions):
        if job.should_stop():
            raise TrainingStopped(f"stopped after era {done} of {len(positions)}")
        report_progress("linear", done / len(positions), f"{', '.join(targets)}, era {done:,} of {len(positions):,}")
        prepared = job.data.prepared(position)
        labels = np.stack([job.data.label(position, name) for name in targets], axis=1)
        yield LinearRows(
            features=prepared.features,
            engineered=prepared.engineered,
            labels=labels,
            weight=weights[position],
        )


KIND = Linear()
