"""Recipes around a base: the kinds of its members offer the options, and a trial of Optuna chooses among them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import BaseTrial

from bot.members import registry
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.limits import Limit
from bot.members.member import Member
from bot.members.search import Value
from bot.training.recipes import Recipe

Choose = Callable[[str, Any, BaseDistribution], Any]
"""Function from a parameter's name, the base's own value and the values to choose from to the chosen value."""

_DIGITS = 4
"""Decimals of a weight, so that the recipe file is easy to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpace:
    """
    Recipes that trials choose from.

    Attributes:
        base: Recipe at the centre of the ranges; options that are not searched keep its values.
        feature_sets: Feature sets of ``features.json`` to choose from; the base's own is the first.
        presets: Presets of LightGBM to choose from; empty searches the parameters around the member's own.
    """

    base: Recipe
    feature_sets: tuple[str, ...]
    presets: tuple[str, ...] = ()

    def recipe(self, trial: BaseTrial) -> Recipe:
        """
        Return the recipe that *trial* chooses; the parameters of a finished trial choose the same recipe again.

        Lags and embargo are not searched, because they follow from the horizons.
        """

        def choose(name: str, _own: object, among: BaseDistribution) -> Any:  # noqa: ANN401 - a value of any option
            if isinstance(among, CategoricalDistribution):
                return trial.suggest_categorical(name, among.choices)
            if isinstance(among, IntDistribution):
                return trial.suggest_int(name, among.low, among.high, log=among.log)
            if isinstance(among, FloatDistribution):
                return trial.suggest_float(name, among.low, among.high, log=among.log)
            raise TypeError(f"{among} is no range of a search space")

        return self._recipe(choose)

    @property
    def base_parameters(self) -> dict[str, Any]:
        """Return the parameters that choose the base itself."""
        found: dict[str, Any] = {}

        def keep(name: str, own: object, _among: BaseDistribution) -> object:
            found[name] = own
            return own

        self._recipe(keep)
        return found

    def _recipe(self, choose: Choose) -> Recipe:
        members = []
        most = max(1.0, *(one.weight for one in self.base.members))
        for one in self.base.members:
            choices, options, weight = _Choices(prefix=f"{one.name}.", choose=choose), one.options, one.weight
            if self.presets and isinstance(options, LightGBMOptions) and one.head_of is None:
                options = replace(options, preset=choices.one_of("preset", options.preset, self.presets))
            elif one.head_of is None:
                options = registry.find(one.kind).search(one, choices)
            if len(self.base.members) > 1 and _scores_past_eras(one):
                # Shares count relative to each other, so that the base's largest may be 1.
                weight = round(choices.between("weight", round(weight / most, _DIGITS), 0.0, 1.0), _DIGITS)
            members.append(replace(one, options=options, weight=weight))
        if not any(one.weight for one in members):
            members = [replace(one, weight=1.0) for one in members]
        sets = _Choices(prefix="", choose=choose).one_of("feature_set", self.feature_sets[0], self.feature_sets)
        return replace(self.base, members=tuple(members), feature_set=sets, weighting="fixed")


def _scores_past_eras(member: Member) -> bool:
    return not registry.find(member.kind).needs(member).files


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choices:
    """
    Choices of one member, see :class:`bot.members.search.Choices`.

    Attributes:
        prefix: Beginning of the parameters' names.
        choose: Chooses a value.
    """

    prefix: str
    choose: Choose = field(repr=False)

    def one_of(self, key: str, own: Value, choices: Sequence[Value]) -> Value:
        among: list[Any] = list(dict.fromkeys(choices if own in choices else (own, *choices)))
        chosen: Value = own if len(among) == 1 else self.choose(self.prefix + key, own, CategoricalDistribution(among))
        return chosen

    def between(self, key: str, own: float, low: float, high: float) -> float:
        return float(self.choose(self.prefix + key, own, FloatDistribution(min(low, own), max(high, own))))

    def scaled(self, key: str, own: float, *, times: float, limit: Limit) -> float:
        if own <= 0:
            return own
        low, high = max(own / times, limit.low), min(own * times, limit.high)
        among = FloatDistribution(min(low, own), max(high, own), log=True)
        return float(self.choose(self.prefix + key, own, among))

    def scaled_whole(self, key: str, own: int, *, times: float, limit: Limit) -> int:
        if own <= 0:
            return own
        low, high = max(int(own / times), int(limit.low), 1), min(int(own * times), int(limit.high))
        among = IntDistribution(min(low, own), max(high, own), log=True)
        return int(self.choose(self.prefix + key, own, among))
