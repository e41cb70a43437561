"""CatBoost: gradient-boosted symmetric trees with one value for each target in a leaf, scored by onnxruntime."""

from dataclasses import replace

from bot.members.graphs import GraphKind, Train
from bot.members.limits import Limit
from bot.members.member import Member
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


class CatBoost(GraphKind):
    """The kind ``catboost``."""

    options = CatBoostOptions
    version = 1
    limits = _LIMITS
    extra = "catboost"

    def train(self) -> Train:
        """Return the library's training."""
        return train_catboost

    def bytes_of(self, rows: int, columns: int) -> int:
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


KIND = CatBoost()
