"""LightGBM: gradient-boosted trees, trained from the era store in place and scored without LightGBM's library."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.errors import suggestion_or_all
from bot.features.preprocess import Prepared, Preprocess
from bot.members.fitting import Facts, FitJob
from bot.members.limits import Limit
from bot.members.member import Member
from bot.members.registry import GIB, FitSeconds, FitSize, Kind, Measured, Needs, Source, tree_seconds
from bot.members.rows import EraRows, Scores
from bot.members.search import Choices
from models.trees.gbm_options import PRESETS, GbmOptions
from models.trees.trees import TreeModel

FILE = ".txt"
"""Suffix of the model's file, LightGBM's text."""

_SHARE = Limit(low=0, high=1, open_low=True)
_TREES, _LEAVES = Limit(low=1, high=100_000), Limit(low=2, high=131_072)
"""Ranges of the search; LightGBM refuses fewer or more leaves."""


_IN_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
"""Types of parameters, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LightGBMOptions:
    """
    Options of LightGBM.

    Attributes:
        preset: Preset that *params* changes: ``small``, ``standard``, ``large`` and ``deep`` are Numerai's published
            parameters, ``dart`` is small with dropped trees, ``demo`` is for the demo.
        params: Parameters that differ from the preset, by LightGBM's names; see
            :class:`models.trees.gbm_options.GbmOptions`.
    """

    preset: str = "small"
    params: Mapping[str, int | float | bool | str] = field(default_factory=dict)

    @property
    def gbm(self) -> GbmOptions:
        """Return all parameters."""
        changed: Mapping[str, Any] = self.params
        return replace(PRESETS[self.preset], **changed)


class TreeMember:
    """
    A loaded tree model.

    Attributes:
        path: File of the model.

    Args:
        source: File of the model.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is damaged, or needs a column that the preprocessing does not make.
    """

    def __init__(self, source: Source) -> None:
        self._name, self._preprocess = source.unit.owner.name, source.preprocess
        self.path = source.path(FILE)
        self._trees = TreeModel(self.path, threads=source.threads)
        self._columns = _Columns.of(source.preprocess, self._trees.feature_names)

    def score(self, rows: EraRows) -> Mapping[str, Scores]:
        """Return the score of each row."""
        prepared = rows.prepared(self._preprocess)
        return {self._name: self._trees.predict(self._columns.features(prepared), self._columns.engineered(prepared))}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """
    Columns of a tree model; ``None`` takes all of them.

    Attributes:
        plain: Positions of the features.
        made: Positions of the engineered columns.
    """

    plain: Sequence[int] | None
    made: Sequence[int] | None

    @classmethod
    def of(cls, preprocess: Preprocess, wanted: Sequence[str]) -> "_Columns":
        """Return all columns where the model was trained on all, else its columns by name."""
        known = (*preprocess.features, *preprocess.engineered_names)
        if tuple(wanted) == known:
            return cls(plain=None, made=None)
        position = {name: index for index, name in enumerate(known)}
        features = len(preprocess.features)
        try:
            chosen = [position[name] for name in wanted]
        except KeyError as error:
            raise ValueError(f"a tree model needs {error}, which the preprocessing does not make") from None
        plain = [index for index in chosen if index < features]
        made = [index - features for index in chosen if index >= features]
        if chosen != plain + [index + features for index in made]:
            raise ValueError("a tree model takes engineered columns before features, which nobody trains")
        return cls(plain=plain, made=made)

    def features(self, prepared: Prepared) -> npt.NDArray[np.int8]:
        return prepared.features if self.plain is None else np.ascontiguousarray(prepared.features[:, self.plain])

    def engineered(self, prepared: Prepared) -> npt.NDArray[np.float32]:
        return prepared.engineered if self.made is None else np.ascontiguousarray(prepared.engineered[:, self.made])


class LightGBM(Kind):
    """The kind ``lightgbm``."""

    options = LightGBMOptions
    version = 1

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each option that cannot be used."""
        options: LightGBMOptions = member.options
        if options.preset not in PRESETS:
            yield f"preset = {options.preset!r} is no preset; presets: {', '.join(PRESETS)}"
            return
        known = [one.name for one in fields(GbmOptions)]
        for name, value in options.params.items():
            if name not in known:
                yield f"params.{name} is unknown{suggestion_or_all(name, known)}"
                continue
            default = getattr(PRESETS[options.preset], name)
            whole = isinstance(default, int) and not isinstance(default, bool)
            fits = isinstance(value, bool) if isinstance(default, bool) else isinstance(value, type(default))
            if (not fits and not (isinstance(default, float) and isinstance(value, int))) or (whole and value is True):
                yield f"params.{name} = {value!r} must be {_IN_WORDS[type(default)]}, such as {default!r}"

    def needs(self, member: Member) -> Needs:
        """Return that a residual label needs the benchmark."""
        return Needs(benchmark=member.label == "residual", packages=("lightgbm", "polars"), extra="train")

    def memory(self, member: Member, *, rows: int, columns: int) -> int:  # noqa: ARG002 - options do not change it
        """
        Return the bytes of a fit: half of one for each value in the Dataset, those of each column and row, and the process.

        Measured beside the process, anonymous memory until the fourth tree: 1,600,000 rows x 200 columns took 296 MiB, by these
        299; 400,000 x 800 took 244, by these 254. The process is that of `bot retrain` before it trains a network
        (:attr:`bot.training.recipes.ResolvedRecipe.fit_order`), which holds 0.5 to 0.6 GiB: libraries, what measuring the
        machine's speed left, and feature returns. A second recipe of the same command finds half a gigabyte more, which the
        network of the first left.
        """
        return columns * (rows // 2 + 90_000) + 85 * rows + 7 * GIB // 10

    def seconds(self, member: Member, size: FitSize, measured: Measured) -> FitSeconds | None:
        """Return the seconds of binning and of all trees."""
        options: GbmOptions = member.options.gbm

        def times() -> Sequence[float]:
            # Imported here: a machine that only serves has no LightGBM.
            from bot.members.pace import lightgbm_times  # noqa: PLC0415

            return lightgbm_times(options, size.columns)

        shape = (options.num_leaves, options.max_depth, options.colsample_bytree, options.boosting, options.threads)
        return tree_seconds(f"lightgbm {size.columns} columns, {shape}", times, options.num_trees, size, measured)

    def with_seed(self, options: LightGBMOptions, by: int) -> LightGBMOptions:
        """Return the options with another seed of the choice of columns."""
        return replace(options, params={**options.params, "seed": options.gbm.seed + by})

    def search(self, member: Member, choices: Choices) -> LightGBMOptions:
        """Return the options with another number, size and share of trees."""
        options: LightGBMOptions = member.options
        own = options.gbm
        searched: dict[str, int | float] = {
            "num_trees": choices.scaled_whole("num_trees", own.num_trees, times=3, limit=_TREES),
            "learning_rate": choices.scaled("learning_rate", own.learning_rate, times=3, limit=_SHARE),
            "num_leaves": choices.scaled_whole("num_leaves", own.num_leaves, times=2, limit=_LEAVES),
            "colsample_bytree": choices.scaled("colsample_bytree", own.colsample_bytree, times=3, limit=_SHARE),
        }
        # A value of the preset itself stays out of the parameters, so that equal options stay equal.
        changed = {name: value for name, value in searched.items() if value != getattr(own, name)}
        return replace(options, params={**options.params, **changed})

    def fit(self, job: FitJob) -> Facts:
        """Fit on the training eras, and again on the resolved ones where there are any."""
        # Imported here: a machine that only serves has no polars.
        from bot.members.tree_fit import fit_trees  # noqa: PLC0415

        owner = job.unit.owner
        for folder, positions in job.blocks.items():
            text = fit_trees(
                job.data,
                positions,
                owner.options.gbm,
                str(owner.target),
                job.reporting(folder),
                half_life=job.half_life,
                checkpoints=job.checkpoints,
                should_stop=job.should_stop,
            )
            (folder / f"{owner.name}{FILE}").write_text(text, encoding="utf-8")
        return {}

    def load(self, source: Source) -> TreeMember:
        """Load the trees."""
        return TreeMember(source)


KIND = LightGBM()
