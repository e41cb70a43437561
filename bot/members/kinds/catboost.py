"""CatBoost: gradient-boosted symmetric trees with one value for each target in a leaf, scored by onnxruntime."""

from collections.abc import Iterator
from dataclasses import replace

from bot.members.fitting import Facts, FitJob
from bot.members.graphs import GraphModel, fit_graphs
from bot.members.limits import Limit, out_of_range
from bot.members.member import Member
from bot.members.registry import Kind, Needs, Source
from bot.members.search import Choices
from models.trees.catboost_trees import CatBoostOptions, catboost_bytes, train_catboost

_SHARE = Limit(low=0, high=1, open_low=True)
_LIMITS = {
    "num_trees": Limit(low=1, high=100_000),
    "learning_rate": _SHARE,
    "depth": Limit(low=1, high=10),
    "colsample_bylevel": _SHARE,
    "l2_leaf_reg": Limit(low=0, high=1e9),
    "random_strength": Limit(low=0, high=1e3),
    "border_count": Limit(low=1, high=254),
    "seed": Limit(low=0, high=2**31 - 1),
    "threads": Limit(low=0, high=1_024),
}


class CatBoost(Kind):
    """The kind ``catboost``."""

    options = CatBoostOptions
    version = 1

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each option that cannot be used."""
        yield from out_of_range(member.options, _LIMITS)

    def needs(self, member: Member) -> Needs:
        """Return that a residual label needs the benchmark."""
        return Needs(
            benchmark=member.label == "residual",
            heads=True,
            in_memory=True,
            hosted="it is scored by onnxruntime, which they lack",
            packages=("catboost", "onnx"),
            extra="catboost",
        )

    def memory(self, member: Member, *, rows: int, columns: int) -> int:  # noqa: ARG002 - options change it little
        """Return the peak memory of a fit in bytes."""
        return catboost_bytes(rows, columns)

    def search(self, member: Member, choices: Choices) -> CatBoostOptions:
        """Return the options with another number, depth and share of trees."""
        options: CatBoostOptions = member.options
        return replace(
            options,
            num_trees=choices.scaled_whole("num_trees", options.num_trees, times=3, limit=_LIMITS["num_trees"]),
            learning_rate=choices.scaled("learning_rate", options.learning_rate, times=3, limit=_SHARE),
            depth=choices.scaled_whole("depth", options.depth, times=2, limit=_LIMITS["depth"]),
            colsample_bylevel=choices.scaled("colsample_bylevel", options.colsample_bylevel, times=3, limit=_SHARE),
        )

    def fit(self, job: FitJob) -> Facts:
        """Fit on the training eras, and again on the resolved ones where there are any."""
        fit_graphs(job, train_catboost)
        return {}

    def load(self, source: Source) -> GraphModel:
        """Load the trees."""
        return GraphModel(source)


KIND = CatBoost()
