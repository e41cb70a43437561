"""Checks of a loaded model of several outputs: its columns are those of the preprocessing, its outputs those of its members."""

from collections.abc import Sequence

from bot.features.preprocess import Preprocess
from bot.members.registry import Source


def check_inputs(inputs: Sequence[str], preprocess: Preprocess) -> None:
    """Raise ``ValueError`` if a model takes other columns than the preprocessing makes, or another order of them."""
    if tuple(inputs) != (*preprocess.features, *preprocess.engineered_names):
        raise ValueError(
            f"the model takes {len(inputs)} columns that are not those of the preprocessing in their order"
        )


def heads(source: Source, targets: Sequence[str]) -> dict[str, int]:
    """
    Return the output of each member by its position in *targets*.

    Raises:
        ValueError: The model does not predict a member's target.
    """
    try:
        return {one.name: tuple(targets).index(str(one.target)) for one in source.unit.members}
    except ValueError:
        wanted = ", ".join(source.unit.targets)
        raise ValueError(f"the model predicts {', '.join(targets)}, its members need {wanted}") from None
