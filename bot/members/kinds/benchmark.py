"""Numerai's benchmark model as a member: its predictions of the round, read from the round's own file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bot.members.fitting import Facts, FitJob
from bot.members.member import Member
from bot.members.registry import Kind, Needs, Source
from bot.members.rows import EraRows, Scores


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkOptions:
    """The benchmark model has no options: it is that of the recipe's main target."""


class BenchmarkModel:
    """
    Predictions of the benchmark model.

    Args:
        source: The member; it has no files.
    """

    def __init__(self, source: Source) -> None:
        self._name = source.unit.owner.name

    def score(self, rows: EraRows) -> Mapping[str, Scores]:
        """
        Return the benchmark's predictions, the median in rows that it does not cover.

        A round whose file is late or absent is scored without this member.
        """
        if rows.benchmark is None:
            return {}
        known = np.isfinite(rows.benchmark)
        return {self._name: np.where(known, rows.benchmark, np.median(rows.benchmark[known]))}


class Benchmark(Kind):
    """The kind ``benchmark``."""

    options = BenchmarkOptions

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each value that cannot be used."""
        for key, value in (("target", member.target), ("feature_set", member.feature_set)):
            if value is not None:
                yield f"{key} = {value!r}: the benchmark is that of the recipe's main target; remove the key"
        if member.label != "target":
            yield f"label = {member.label!r}: the benchmark learns nothing here; remove the key"

    def needs(self, member: Member) -> Needs:  # noqa: ARG002 - the same for every member
        """Return that the round's file of the benchmark models is needed."""
        return Needs(live_benchmark=True, training=False)

    def fit(self, job: FitJob) -> Facts:  # noqa: ARG002 - there is nothing to fit
        """Do nothing: the benchmark is Numerai's."""
        return {}

    def load(self, source: Source) -> BenchmarkModel:
        """Return the model."""
        return BenchmarkModel(source)


KIND = Benchmark()
