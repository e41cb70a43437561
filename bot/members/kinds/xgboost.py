"""XGBoost: gradient-boosted trees with one value for each target in a leaf, scored by onnxruntime."""

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version

from bot.members.graphs import GraphKind, Train
from bot.members.limits import Limit
from bot.members.member import Member
from bot.members.search import Choices
from models.trees.xgboost_trees import XgboostOptions, train_xgboost, xgboost_bytes

_SHARE = Limit(low=0, high=1, open_low=True)
_LIMITS = {
    "num_trees": Limit(low=1, high=100_000),
    "learning_rate": _SHARE,
    "max_depth": Limit(low=1, high=16),
    "colsample_bytree": _SHARE,
    "subsample": _SHARE,
    "min_child_weight": Limit(low=0, high=1e9),
    "reg_lambda": Limit(low=0, high=1e9),
    "max_bin": Limit(low=2, high=256),
    "seed": Limit(low=0, high=2**31 - 1),
    "threads": Limit(low=0, high=1_024),
}


class XGBoost(GraphKind):
    """The kind ``xgboost``."""

    options = XgboostOptions
    version = 1
    limits = _LIMITS
    extra = "xgboost"

    def train(self) -> Train:
        """Return the library's training."""
        return train_xgboost

    def bytes_of(self, rows: int, columns: int) -> int:
        """Return the peak memory of a fit in bytes."""
        return xgboost_bytes(rows, columns)

    def distribution(self) -> str:
        """Return the package that is installed: ``xgboost`` with CUDA, or the smaller one of the extra."""
        try:
            version("xgboost")
        except PackageNotFoundError:
            return "xgboost-cpu"
        return "xgboost"

    def search(self, member: Member, choices: Choices) -> XgboostOptions:
        """Return the options with another number, depth and share of trees."""
        options: XgboostOptions = member.options
        return replace(
            options,
            num_trees=choices.scaled_whole("num_trees", options.num_trees, times=3, limit=_LIMITS["num_trees"]),
            learning_rate=choices.scaled("learning_rate", options.learning_rate, times=3, limit=_SHARE),
            max_depth=choices.scaled_whole("max_depth", options.max_depth, times=2, limit=_LIMITS["max_depth"]),
            colsample_bytree=choices.scaled("colsample_bytree", options.colsample_bytree, times=3, limit=_SHARE),
        )


KIND = XGBoost()
