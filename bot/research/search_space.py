"""What `bot tune` may change of a recipe, and how far: sizes around those of the recipe it begins with."""

from dataclasses import dataclass, replace
from typing import Literal, cast, get_args

from optuna.trial import BaseTrial

from bot.tournament.columns import horizon
from bot.training.recipes import Recipe

Loss = Literal["cross_entropy", "mse", "pearson"]
LOSSES: tuple[Loss, ...] = get_args(Loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """
    Where to look.

    Attributes:
        base: The recipe in the middle; what is not named here stays as it is there.
        feature_sets: Of ``features.json``, to choose from.
        presets: Of trees, to choose from.
    """

    base: Recipe
    feature_sets: tuple[str, ...]
    presets: tuple[str, ...]

    def recipe(self, trial: BaseTrial) -> Recipe:
        """
        Return the recipe that *trial* chooses; a finished one's parameters choose the same again.

        The lookback goes no further than the base's, since what is published for live rounds does not either; 0 is an
        honest answer, too. Lags and embargo are no choice: they follow from the horizons.
        """
        network = self.base.network
        lookbacks = sorted({0, network.lookback // 4, network.lookback // 2, network.lookback})
        lookback = int(trial.suggest_categorical("lookback", lookbacks)) if network.lookback else 0
        history = {"all": network.history_targets} | {
            f"{days}D": chosen
            for days in (20, 60)
            if 0
            < len(chosen := tuple(name for name in network.history_targets if horizon(name) == days))
            < len(network.history_targets)
        }
        tried = replace(
            network,
            lookback=lookback,
            history_targets=history[str(trial.suggest_categorical("history_targets", list(history)))],
            hidden=int(trial.suggest_categorical("hidden", _around(network.hidden))),
            feed_forward=int(trial.suggest_categorical("feed_forward", _around(network.feed_forward))),
            blocks=trial.suggest_int("blocks", 1, 2 * network.blocks),
            dropout=trial.suggest_float("dropout", 0.0, 0.5),
            learning_rate=trial.suggest_float(
                "learning_rate", network.learning_rate / 10, network.learning_rate * 10, log=True
            ),
            weight_decay=trial.suggest_float("weight_decay", 1e-5, 1e-1, log=True),
            loss=cast("Loss", trial.suggest_categorical("loss", LOSSES)),
        )
        return replace(
            self.base,
            network=tried,
            gbm=str(trial.suggest_categorical("gbm", self.presets)),
            feature_set=str(trial.suggest_categorical("feature_set", self.feature_sets)),
            weights=self._weights(trial),
            weighting="fixed",
        )

    def _weights(self, trial: BaseTrial) -> tuple[tuple[str, float], ...]:
        """Return a share of every member; rounded, so that the recipe's file can be read."""
        names = [name for name, _ in self.base.weights]
        if len(names) == 1:
            return self.base.weights
        raw = [trial.suggest_float(f"weight_{name}", 0.0, 1.0) for name in names]
        total = sum(raw)
        return tuple((name, round(one / total, 4) if total else 1.0) for name, one in zip(names, raw, strict=True))


def _around(size: int) -> list[int]:
    return sorted({max(size // 2, 1), size, 2 * size})
