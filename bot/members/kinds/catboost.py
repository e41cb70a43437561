"""CatBoost: gradient-boosted symmetric trees with one value for each target in a leaf, scored by onnxruntime."""

from collections.abc import Iterator

from bot.members.fitting import Facts, FitJob
from bot.members.graphs import GraphModel, fit_graphs
from bot.members.limits import Limit, out_of_range
from bot.members.member import Member
from bot.members.registry import Kind, Needs, Source
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

    def fit(self, job: FitJob) -> Facts:
        """Fit on the training eras, and again on the resolved ones where there are any."""
        fit_graphs(job, train_catboost)
        return {}

    def load(self, source: Source) -> GraphModel:
        """Load the trees."""
        return GraphModel(source)


KIND = CatBoost()
