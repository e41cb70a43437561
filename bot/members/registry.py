"""
Kinds of members: the base class of a kind, and where kinds are found.

A package adds a kind by an entry point of the group ``numerai_bot.members``, whose name is the kind's and whose object is
a :class:`Kind`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from pathlib import Path
from typing import Any, Protocol

from bot.errors import BadConfig, OperatorNeeded, suggestion
from bot.features.preprocess import Preprocess
from bot.members.fitting import Device, Facts, FitJob
from bot.members.member import Member, Unit
from bot.members.rows import EraRows, Scores
from bot.members.search import Choices
from models.inference.exported import ExportedNetwork

GROUP = "numerai_bot.members"
"""Group of entry points that add kinds."""

BUILT_IN: Mapping[str, str] = {
    "tsmixer": "bot.members.kinds.tsmixer",
    "mlp": "bot.members.kinds.mlp",
    "lightgbm": "bot.members.kinds.lightgbm",
    "benchmark": "bot.members.kinds.benchmark",
    "command": "bot.members.kinds.command",
    "linear": "bot.members.kinds.linear",
    "xgboost": "bot.members.kinds.xgboost",
    "catboost": "bot.members.kinds.catboost",
    "onnx": "bot.members.kinds.onnx",
}
"""Module of each built-in kind; a kind is the module's ``KIND``."""

GIB = 1 << 30

TREE_SCORE_S = 2e-8
"""Seconds in which a tree of 31 leaves scores a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSize:
    """
    Size of the fits of a model.

    Attributes:
        features: Features.
        engineered: Engineered columns.
        groups: Groups of features.
        targets: Targets that the model learns.
        train_rows: Rows that the judged model learns from.
        train_eras: Their eras.
        validation_rows: Rows of early stopping.
        resolved_rows: Rows that the served model learns from; 0 without a refit.
        device: Device of networks.
    """

    features: int
    engineered: int
    groups: int
    targets: int
    train_rows: int
    train_eras: int
    validation_rows: int
    resolved_rows: int
    device: Device

    @property
    def columns(self) -> int:
        """Return the number of all columns."""
        return self.features + self.engineered


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSeconds:
    """
    Expected seconds of the fits of a model.

    Attributes:
        judged: Of the judged model.
        refit: Of the served one; 0 without a refit.
        export: To export all of its files, reported as the stage ``export``; 0 where that is part of the fits.
        score_row: To score a row.
    """

    judged: float
    refit: float
    export: float = 0.0
    score_row: float = 0.0


Measured = Callable[[str, Callable[[], Sequence[float]]], tuple[float, ...] | None]
"""Function that returns figures by their name: kept ones, or those of a measurement of a second; ``None`` if it failed."""

OpenNetwork = Callable[[Path], ExportedNetwork]
"""Function that opens a network's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """
    Everything that a member needs beside the columns of its features.

    Attributes:
        history: Targets of the factor history that it reads.
        lookback: Resolved eras of the history.
        benchmark: Whether it learns from Numerai's benchmark model.
        live_benchmark: Whether it predicts with the round's file of the benchmark models.
        auxiliary: Whether it learns the recipe's auxiliary targets too.
        heads: Whether its model may predict the targets of further members.
        stops: Whether it stops early, on eras that it does not learn from.
        training: Whether it must be fitted before it predicts.
        hosted: Why a member cannot run on Numerai's machines; empty where it can.
        elsewhere: Whether it was trained elsewhere, on unknown eras.
        files: Whether it reads the round's files itself.
        in_memory: Whether a fit holds all rows in memory, so that too little of it is refused before the fit begins.
        packages: Packages that a fit imports.
        extra: Extra of the bot that installs them; empty where none does.
    """

    history: tuple[str, ...] = ()
    lookback: int = 0
    benchmark: bool = False
    live_benchmark: bool = False
    auxiliary: bool = False
    heads: bool = False
    stops: bool = False
    training: bool = True
    hosted: str = ""
    elsewhere: bool = False
    files: bool = False
    in_memory: bool = False
    packages: tuple[str, ...] = ()
    extra: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    Files of a model.

    Attributes:
        unit: The model's members.
        folder: Folder of the files.
        prefix: Prefix of the files' names.
        preprocess: Preprocessing of the model.
        threads: Threads for scoring.
        open_network: Function that opens a network's file.
    """

    unit: Unit
    folder: Path
    preprocess: Preprocess
    open_network: OpenNetwork
    prefix: str = ""
    threads: int = 1

    def path(self, suffix: str) -> Path:
        """Return the path of a file whose name is that of the owner with a suffix."""
        return self.folder / f"{self.prefix}{self.unit.owner.name}{suffix}"


class Model(Protocol):
    """A loaded model."""

    def score(self, rows: EraRows) -> Mapping[str, Scores]:
        """
        Return the raw score of each of its members. Shape ``(rows,)`` each.

        Raises:
            ValueError: The rows do not fit the model.
            RefuseToSubmit: The model cannot score these rows.
        """
        ...


ScoreModel = Callable[[Model, EraRows], Mapping[str, Scores]]
"""Function that returns a model's scores of an era's rows, as :meth:`Model.score` does."""


class ScoresFromBefore(Protocol):
    """Scores that need not be computed again; see :class:`bot.members.kept_scores.KeptScores`."""

    def of(self, source: Source) -> ScoreModel | None:
        """Return the function that scores a model, and computes less; ``None`` where the model has to compute all."""
        ...


class Kind(ABC):
    """
    A kind of members; one object serves all of them.

    Attributes:
        options: Frozen dataclass of the options; its fields are keys of a member's table in a recipe.
        version: Raised when equal options would fit another model; finished fits of other versions are not used again.
    """

    options: type[Any]
    version: int = 1

    def problems(self, member: Member) -> Iterator[str]:  # noqa: ARG002 - for kinds with limits
        """Yield a line for each option that cannot be used: key, value, and the allowed values."""
        yield from ()

    def needs(self, member: Member) -> Needs:
        """Return everything that a member needs beside the columns of its features."""
        return Needs(benchmark=member.label == "residual")

    def memory(self, member: Member, *, rows: int, columns: int) -> int:  # noqa: ARG002 - for kinds that hold rows in memory
        """Return the bytes that a fit on so many rows and columns takes at its peak, beside those of any Python process."""
        return GIB

    def seconds(self, member: Member, size: FitSize, measured: Measured) -> FitSeconds | None:  # noqa: ARG002 - for kinds that know
        """
        Return the expected seconds of the fits of a member; ``None`` where the kind cannot tell.

        Args:
            member: Owner of the model.
            size: Rows, columns and targets.
            measured: Keeps short measurements of this machine; see :class:`bot.training.planning.machine_times.MachineTimes`.
        """
        return None

    def without_targets(self, options: Any, absent: AbstractSet[str]) -> Any:  # noqa: ANN401, ARG002 - options of this kind
        """Return the options for data that lack some targets."""
        return options

    def outside(self, member: Member) -> str:  # noqa: ARG002 - for kinds with files of their own
        """Return a digest of the files outside of the history that a fit reads; empty where it reads none."""
        return ""

    def with_seed(self, options: Any, by: int) -> Any:  # noqa: ANN401 - options of this kind
        """
        Return the options with their ``seed`` raised by a number, below 2 ** 31.

        Options without a seed stay the same. A kind that keeps its seed elsewhere overrides this method.
        """
        if "seed" not in {one.name for one in fields(options)}:
            return options
        return replace(options, seed=(options.seed + by) % 2**31)

    def search(self, member: Member, choices: Choices) -> Any:  # noqa: ANN401, ARG002 - for kinds with options to search
        """Return the options of a member as *choices* chooses them; a kind without a search space returns its own."""
        return member.options

    @abstractmethod
    def fit(self, job: FitJob) -> Facts:
        """
        Fit a model and write its files to the folders of the job; return facts for the manifest.

        Names of files begin with the owner's name. Called again after an interruption, it continues.

        Raises:
            TrainingStopped: The job was stopped; finished work is kept.
            OperatorNeeded: The model cannot be fitted on this machine or these data.
        """

    @abstractmethod
    def load(self, source: Source) -> Model:
        """
        Load a model.

        Raises:
            OSError, ValueError: A file is missing or damaged.
        """


def tree_seconds(
    name: str, times: Callable[[], Sequence[float]], trees: int, size: FitSize, measured: Measured
) -> FitSeconds | None:
    """
    Return the seconds of tree models by the figures of :func:`bot.members.pace.tree_times`.

    Args:
        name: Name of the measurement: library, columns, and the options that matter.
        times: The measurement.
        trees: Number of trees.
        size: Rows and columns.
        measured: Keeps measurements.
    """
    figures = measured(f"{name}: s a value, s a tree, s a tree and row", times)
    if figures is None:
        return None
    value_s, tree_s, row_s = figures

    def fit_s(rows: int) -> float:
        return rows * size.columns * value_s + trees * (tree_s + rows * row_s) if rows else 0.0

    return FitSeconds(judged=fit_s(size.train_rows), refit=fit_s(size.resolved_rows), score_row=trees * TREE_SCORE_S)


@cache
def find(name: str) -> Kind:
    """
    Return a kind by its name.

    Raises:
        BadConfig: There is no such kind, or its package cannot be imported.
    """
    if name in BUILT_IN:
        found: Kind = import_module(BUILT_IN[name]).KIND
        return found
    installed = _installed()
    if name not in installed:
        known = names()
        raise BadConfig(f"kind {name!r} is unknown{suggestion(name, known)}; kinds: {', '.join(known)}")
    try:
        kind: Kind = installed[name].load()
    except Exception as error:  # noqa: BLE001 - the code of another package may raise anything
        raise BadConfig(f"kind {name!r} of {installed[name].value} cannot be imported: {error}") from None
    return kind


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingPackages:
    """
    Packages that a fit of a member needs and that are not installed.

    Attributes:
        reason: Member and packages, in words.
        fix: How to install them; empty where no extra of the bot does.
    """

    reason: str
    fix: str


def needs_training(members: Iterable[Member]) -> bool:
    """Return whether a member has to be trained; a recipe without one is adopted."""
    return any(find(one.kind).needs(one).training for one in members)


def missing_packages(members: Iterable[Member]) -> Iterator[MissingPackages]:
    """Yield the packages that are missing, for each member that cannot be fitted on this machine."""
    for member in members:
        needs = find(member.kind).needs(member)
        absent = [name for name in needs.packages if not _is_installed(name)]
        if absent:
            fix = f"install numerai-bot[{needs.extra}]" if needs.extra else ""
            yield MissingPackages(
                reason=f"members.{member.name} needs {', '.join(absent)}, not installed here", fix=fix
            )


def refuse_missing_packages(members: Iterable[Member]) -> None:
    """
    Refuse to fit members whose libraries are not installed.

    Raises:
        OperatorNeeded: A package is missing; the message names it, the member, and the extra that installs it.
    """
    for one in missing_packages(members):
        raise OperatorNeeded("; ".join(filter(None, (one.reason, one.fix))))


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def names() -> tuple[str, ...]:
    """Return the names of all kinds: built-in ones, then those of installed packages."""
    return (*BUILT_IN, *(one for one in sorted(_installed()) if one not in BUILT_IN))


def _installed() -> dict[str, EntryPoint]:
    return {one.name: one for one in entry_points(group=GROUP)}
