"""
Estimate how long work in stages still takes, from its plan and its progress so far.

It reads no clock and no disk: a caller gives the time of each report. So a recorded run can be played again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

SURE_S, SURE_SHARE = 20.0, 0.2
"""Seconds, or share of a stage, after which its own pace counts and its plan no longer does."""

ASSUMED = "assumed"
"""Basis of a stage whose seconds are neither measured nor those of an earlier run."""

RESUMED = 0.1
"""Share of a stage that its first report has done at most, unless an earlier process has begun it."""

PRIOR_S = 10.0
"""Seconds of a plan that weigh as much as those measured, when the pace of later stages is corrected."""

SLOWEST, FASTEST = 6.0, 0.15
"""Largest corrections of a plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """
    One stage of a plan.

    Attributes:
        name: Name that reports of progress give.
        seconds: Expected duration.
        amount: Work, in *unit*.
        unit: ``rows``, ``files`` or ``bytes``.
        memory: Peak memory in bytes; 0 where it is small.
        disk: Bytes that it adds on disk.
        basis: Origin of the seconds, in words.
        alike: Stages of the same *alike* have the same pace: what the first takes corrects the later ones. Empty: none.
    """

    name: str
    seconds: float
    amount: float = 0.0
    unit: str = "rows"
    memory: int = 0
    disk: int = 0
    basis: str = ""
    alike: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """
    Estimate at one moment.

    Attributes:
        number: Number of the stage, from 1; 0 where the plan does not have it.
        count: Number of all stages.
        stage_s: Seconds to the end of the stage; ``None`` where nothing is known.
        all_s: Seconds to the end of the plan; ``None`` without a plan.
    """

    number: int
    count: int
    stage_s: float | None
    all_s: float | None


@dataclass(slots=True, kw_only=True)
class Estimate:
    """
    Progress of a plan.

    Attributes:
        plan: Stages in order; empty where only the present stage is estimated.
    """

    plan: Sequence[Stage] = ()
    _took: dict[str, float] = field(default_factory=dict)
    _stage: str = ""
    _begun: float = 0.0
    _share: float = 0.0
    _first: tuple[float, float] | None = None
    _shares: dict[str, float] = field(default_factory=dict)

    def observe(self, stage: str, share: float, at: float) -> Left:
        """
        Return the estimate after a report.

        Args:
            stage: Name of the stage.
            share: Share of it that is done, 0 to 1. A smaller share than before is ignored.
            at: Time of the report in seconds, of any clock that does not go back.
        """
        if stage != self._stage:
            self._finish(at)
            self._stage, self._begun, self._share, self._first = stage, at - self._took.pop(stage, 0.0), 0.0, None
        self._share = max(self._share, min(share, 1.0))
        if self._first is None and self._share > 0:
            self._first = at, self._share
            self._shares.setdefault(stage, self._share)
        return self.left(at)

    def left(self, at: float) -> Left:
        """Return the estimate at a time."""
        names = [one.name for one in self.plan]
        number = names.index(self._stage) + 1 if self._stage in names else 0
        stage_s = self._stage_left(at, self.plan[number - 1] if number else None)
        if not self.plan:
            return Left(number=0, count=0, stage_s=stage_s, all_s=None)
        later = [one for one in self.plan[number:] if one.name not in self._took]
        all_s = (stage_s or 0.0) + sum(one.seconds * self._pace(one, at, stage_s) for one in later)
        return Left(number=number, count=len(names), stage_s=stage_s, all_s=all_s)

    def took(self, at: float) -> dict[str, float]:
        """Return the seconds of each stage so far."""
        return {**self._took, **({self._stage: at - self._begun} if self._stage else {})}

    @property
    def resumed(self) -> frozenset[str]:
        """Return the stages that went on from an earlier process: their seconds are not those of the whole stage."""
        return frozenset(name for name, share in self._shares.items() if share > RESUMED)

    def end(self, at: float) -> None:
        """End the present stage; the next report begins another one."""
        self._finish(at)
        self._stage = ""

    def _finish(self, at: float) -> None:
        if self._stage:
            self._took[self._stage] = at - self._begun

    def _stage_left(self, at: float, planned: Stage | None) -> float | None:
        """Return the seconds left of the stage: by its plan at first, and more and more by its own pace."""
        elapsed, measured, trust = at - self._begun, None, 0.0
        if self._first is not None and self._share > self._first[1]:
            since, gained = at - self._first[0], self._share - self._first[1]
            measured = (1 - self._share) * since / gained
            trust = min(1.0, max(since / SURE_S, gained / SURE_SHARE))
        if planned is None:
            return measured
        expected = planned.seconds * self._pace(planned, at, None)
        by_plan = max(expected - elapsed, expected * (1 - self._share) / 2, 0.0)
        return by_plan if measured is None else trust * measured + (1 - trust) * by_plan

    def _pace(self, stage: Stage, at: float, stage_s: float | None) -> float:
        """
        Return by how much the seconds of a stage differ from its plan: as stages alike did, else as all stages did.

        Args:
            stage: A stage that is not finished.
            at: The time.
            stage_s: Seconds left of the present stage, which counts too; ``None`` leaves it out.
        """
        took = {one.name: self._took[one.name] for one in self.plan if one.name in self._took}
        if stage_s is not None:
            took[self._stage] = at - self._begun + stage_s
        known = {one.name: one for one in self.plan if one.name in took}
        alike = [name for name, one in known.items() if one.alike == stage.alike != "" and one.basis != ASSUMED]
        # A download tells nothing about the processor, and an assumed time nothing about a measured one.
        others = [name for name, one in known.items() if one.unit != "bytes" and one.basis != ASSUMED]
        chosen = alike or ([] if stage.unit == "bytes" else others)
        planned = sum(known[name].seconds for name in chosen)
        measured = sum(took[name] for name in chosen)
        return min(SLOWEST, max(FASTEST, (measured + PRIOR_S) / (planned + PRIOR_S)))
