"""Recipes: features, targets, members and weights of a submission. Artifacts record a recipe and its digest."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Literal

from bot.members import registry
from bot.members.kinds.benchmark import BenchmarkOptions
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.kinds.mlp import DEFAULTS as MLP_DEFAULTS
from bot.members.kinds.mlp import MlpOptions
from bot.members.kinds.tsmixer import TSMixerOptions
from bot.members.member import Member, Unit, resolved, units
from bot.members.network.options import NetworkOptions
from bot.serving import names
from bot.serving.names import BENCHMARK

RISKIEST = "riskiest"
"""Neutralizer of the features whose correlation with the target is least stable, followed by a colon and their number."""

META_MODEL = "meta_model"
"""Neutralizer that is refused: the meta model is not published while a round is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """
    Limits of the hold-out that a challenger must satisfy; :mod:`bot.judging.promotion` applies them.

    Attributes:
        objective: Difference from the champion that decides: ``pay``, of CORR and MMC (BMC without the meta model) by the
            recipe's multipliers, or ``corr``. Every model is paid for both, so ``pay`` is the default; with ``corr``, BMC
            and MMC must be no worse beyond noise besides.
        confidence: Level of every interval; at a higher level, larger differences count as noise. ``1 - confidence`` is
            also the chance of a false promotion of another recipe in a year.
        min_skill: Minimum distance of mean CORR from that of shuffled rows, in standard deviations; 0.023 % of models
            without skill are over 3.5.
        min_corr: The lower bound of CORR must be over it.
        min_contribution: The upper bounds of BMC and MMC must reach it, where they can be computed.
        max_drawdown: Largest fall of cumulative CORR.
        max_exposure: Largest absolute correlation with a neutralizer, mean over eras; the default is that of the gate
            that every submission passes.
        min_champion_correlation: Minimum rank correlation with the champion, mean over eras.
        max_latency_s: Seconds to score 7,200 rows, the size of the largest live era so far.
        suspicious_corr: Mean CORR on the hold-out over which to warn of a leak; no honest model reaches .15 on Numerai's
            data. Never refuses: leaks by purge, lag or a feature are refused by their own checks.
    """

    objective: Literal["pay", "corr"] = "pay"
    confidence: float = 0.95
    min_skill: float = 3.5
    min_corr: float = 0.0
    min_contribution: float = 0.0
    max_drawdown: float = 1.0
    max_exposure: float = 0.45
    min_champion_correlation: float = 0.2
    max_latency_s: float = 60.0
    suspicious_corr: float = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """
    Definition of a model: its data, members, training and promotion.

    Attributes:
        name: Name in settings and in the champion pointer.
        members: Models and their shares in the ensemble.
        targets: Auxiliary targets that every network learns beside those of its members.
        missing: ``median_bin`` fills with the middle bin, ``category`` keeps a missing value as a category of its own.
        normalize: Normalization of the network's features.
        engineered: Families of row aggregates per feature group.
        weighting: ``fixed`` takes the shares as they are; the rules of :mod:`bot.scoring.ensemble_weights` find the shares of all
            members on the validation eras.
        corr_multiplier: Weight of CORR in these rules and in the promotion: a round's payout factor (3 in 2026).
        mmc_multiplier: Weight of MMC likewise: a round's payout factor (15 in 2026).
        neutralize: Proportion of the ensemble's linear feature part that is removed, 0 to 1.
        neutralizers: Feature set that it is neutralized to; or ``riskiest:50``, the 50 features whose mean correlation with
            the main target changed most between the halves of the training eras; or ``benchmark``, Numerai's benchmark
            model of the main target.
        validation_eras: Eras for early stopping and the weights of members, an embargo after the training eras.
        holdout_eras: Newest labelled eras, an embargo after the validation eras; used only to judge challenger and
            champion.
        every: Train on every *n*-th era (1 = all); neighbours share three quarters of a 20D target.
        first_era: Oldest era to train on, such as ``0158``; ``None`` takes the oldest there is.
        half_life: Eras after which an era counts half as much as the newest one; 0 lets all count alike.
        newest: Number of the newest eras to train on, counted from the newest training era; 0 takes all.
        refit: Serve members that were trained again on all resolved eras, hold-out included. The scores are those of
            the members that had not seen it.
        floors: Limits for a promotion.
        feature_set: Feature set; ``None`` takes that of the settings.
        target: Main target; ``None`` takes that of the settings.
    """

    name: str
    members: tuple[Member, ...]
    targets: tuple[str, ...] = ()
    missing: Literal["median_bin", "category"] = "median_bin"
    normalize: Literal["centre", "standard", "none"] = "centre"
    engineered: tuple[Literal["group_mean", "group_std", "group_extremes"], ...] = (
        "group_mean",
        "group_std",
        "group_extremes",
    )
    weighting: Literal["fixed", "equal", "inverse_variance", "constrained"] = "fixed"
    corr_multiplier: float = 3.0
    mmc_multiplier: float = 15.0
    neutralize: float = 0.0
    neutralizers: str = "small"
    validation_eras: int = 52
    holdout_eras: int = 104
    every: int = 1
    first_era: str | None = None
    newest: int = 0
    half_life: int = 0
    refit: bool = True
    floors: Floors = Floors()
    feature_set: str | None = None
    target: str | None = None

    def resolved(self, *, data_version: str, feature_set: str, target: str) -> "ResolvedRecipe":
        """
        Return the recipe with its pins, and with the given values where it pins nothing.

        Args:
            data_version: Data version to train on; no recipe pins one.
            feature_set: Feature set of the settings.
            target: Main target of the settings.
        """
        return ResolvedRecipe(
            recipe=self,
            data_version=data_version,
            feature_set=self.feature_set or feature_set,
            target=self.target or target,
        )

    @property
    def to_benchmark(self) -> bool:
        """Return whether the ensemble is neutralized to the benchmark model instead of features."""
        return self.neutralizers == BENCHMARK

    @property
    def exposed(self) -> str:
        """Return the feature set that exposure is measured to: the neutralizers, or the smallest feature set."""
        return "small" if self.to_benchmark or self.riskiest else self.neutralizers

    @property
    def riskiest(self) -> int:
        """Return the number of the riskiest features that the ensemble is neutralized to; 0 for another neutralizer."""
        name, _, count = self.neutralizers.partition(":")
        return int(count) if name == RISKIEST and count.isdecimal() else 0

    @property
    def digest(self) -> str:
        """Return the sha256 of the recipe in canonical JSON; equal recipes have equal digests."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedRecipe:
    """
    A recipe with the data version, feature set and target that it is trained with.

    Attributes:
        recipe: The recipe as it was written; artifacts keep it and its digest.
        data_version: Data version to train on.
        feature_set: Name in ``features.json``.
        target: Main target.
    """

    recipe: Recipe
    data_version: str
    feature_set: str
    target: str

    @property
    def members(self) -> tuple[Member, ...]:
        """Return the members; each names its target."""
        return resolved(self.recipe.members, target=self.target)

    @property
    def units(self) -> tuple[Unit, ...]:
        """Return the models of the members."""
        return units(self.members)

    @property
    def fit_order(self) -> tuple[Unit, ...]:
        """
        Return the models in the order of their fits: those of torch last.

        A process that has trained a network keeps half a gigabyte, and trees hold all rows.
        """
        return tuple(
            sorted(self.units, key=lambda unit: "torch" in registry.find(unit.owner.kind).needs(unit.owner).packages)
        )

    @property
    def weights(self) -> dict[str, float]:
        """Return the share of each member."""
        return {one.name: one.weight for one in self.recipe.members}

    @property
    def targets(self) -> tuple[str, ...]:
        """Return all targets that a model learns: the main target first, each once."""
        return tuple(dict.fromkeys((self.target, *(name for unit in self.units for name in self.learned(unit)))))

    def learned(self, unit: Unit) -> tuple[str, ...]:
        """Return the targets that a model learns: those of its members, and the auxiliary ones where it takes them."""
        auxiliary = self.recipe.targets if registry.find(unit.owner.kind).needs(unit.owner).auxiliary else ()
        return tuple(dict.fromkeys((str(unit.owner.target), *auxiliary, *unit.targets)))

    def feature_set_of(self, member: Member) -> str:
        """Return the feature set of a member: its own, or that of the recipe."""
        return member.feature_set or self.feature_set


STANDARD = Recipe(
    name="standard",
    targets=(
        "target_ender_20",
        "target_ender_60",
        "target_jasper_20",
        "target_jasper_60",
        "target_teager2b_20",
        "target_teager2b_60",
        "target_cyrusd_20",
        "target_xerxes_20",
        "target_victor_20",
        "target_waldo_20",
    ),
    members=(
        Member(
            name="tsmixer", kind="tsmixer", weight=0.5, options=TSMixerOptions(network=NetworkOptions(mixing="era"))
        ),
        Member(name="gbm", kind="lightgbm", weight=0.5, options=LightGBMOptions()),
    ),
)
"""
TSMixer-Ext at its default size, with Numerai's small LightGBM.

The network mixes the history of whole eras: it trains in a quarter of the time of the row-wise mixer, and in the mean of five
generated worlds the ensemble is not worse with it in CORR, BMC, MMC and pay (`bench/README.md`, `bench/mixers.py --whole`).
"""

DEMO = Recipe(
    name="demo",
    targets=("target_ender_20", "target_ender_60", "target_jasper_60", "target_teager2b_60"),
    members=(
        Member(
            name="tsmixer",
            kind="tsmixer",
            weight=0.5,
            options=TSMixerOptions(
                network=NetworkOptions(
                    lookback=16,
                    history_targets=("target_ender_20", "target_ender_60"),
                    encoder=(64,),
                    hidden=32,
                    feed_forward=64,
                    blocks=2,
                    epochs=2,
                    learning_rate=3e-3,
                    stacked_preset="demo",
                )
            ),
        ),
        Member(name="gbm", kind="lightgbm", weight=0.5, options=LightGBMOptions(preset="demo")),
    ),
    validation_eras=16,
    holdout_eras=96,
)
"""The same members in a small size: trains in seconds on the sandbox's tiny world."""

CONTRIBUTION = replace(
    STANDARD,
    name="contribution",
    members=(
        Member(
            name="mlp",
            kind="mlp",
            weight=0.35,
            options=MlpOptions(
                network=replace(
                    MLP_DEFAULTS,
                    # Per-era Pearson (the kind's default) and this penalty raised BMC from .0030, with squared error, to
                    # .0081, and the pay proxy from .174 to .183: study "nn_arch" of October 2026, 50 runs, v5.3 medium,
                    # every fourth era. On 613 eras never looked at, BMC was .0085.
                    benchmark_penalty=0.3,
                    # Six epochs over every fourth of 574 eras. The same study: the main knob is the number of steps; six
                    # epochs over twice the rows halved BMC.
                    steps=860,
                    # A single seed scatters by .0006 in BMC.
                    seeds=3,
                )
            ),
        ),
        # Nothing is published about TSMixer-Ext on Numerai. It has the choices that helped the perceptron, a history of its own,
        # and early stopping on pay, because its best number of steps is not known.
        Member(
            name="tsmixer",
            kind="tsmixer",
            weight=0.25,
            options=TSMixerOptions(
                network=NetworkOptions(
                    loss="pearson", benchmark_penalty=0.3, stop_on="pay", learning_rate=2e-3, seeds=3
                )
            ),
        ),
        # 400 trees on the whole residual: BMC .0056 in the last 200 eras, correlation .215 with the benchmark. 2,000 trees of
        # depth 6 spend the uniqueness (.0037, .327), and so does three quarters of the residual (.0025).
        Member(
            name="residual",
            kind="lightgbm",
            label="residual",
            weight=0.15,
            options=LightGBMOptions(preset="small", params={"num_trees": 400}),
        ),
        # A quarter of the benchmark raised the pay proxy of the penalised network from .183 to .200; half of it gave .194.
        Member(name="benchmark", kind="benchmark", weight=0.25, options=BenchmarkOptions()),
    ),
    # The study trained on every fourth era; neighbours share three quarters of a 20D target.
    every=4,
)
"""
The method that the published evidence of 2026 says pays, 3 x CORR + 15 x MMC, with a TSMixer-Ext among its members.

The figures are hypotheses for `bot evaluate compare`, no promise: third parties measured them, some with BMC in the place of
MMC.
"""

STARTER = Recipe(
    name=names.STARTER,
    members=(
        Member(
            name="gbm",
            kind="lightgbm",
            options=LightGBMOptions(preset="small", params={"num_trees": 300, "learning_rate": 0.03}),
        ),
    ),
    # Nothing is chosen on them: one member, a fixed number of trees.
    validation_eras=16,
    # 110 of the newest 440 eras, and 166 for the judgement: validation.parquet of v5.3 has them, train.parquet stays away.
    every=4,
    newest=110,
    feature_set="small",
)
"""
The recipe that fills rounds until a slot's own recipe has a champion; it is trained in minutes on a part of the data.

Measured on the sandbox's world `small` (300 eras x 1,000 rows, one thread, hold-out of 104 eras): CORR .0127, Sharpe .45, 6 CPU
seconds, 17 of 80 MB downloaded. Other candidates there: these trees on the medium set .0111, 12 CPU seconds; a ridge
regression on the small set .0118, on the medium set .0046; ridge and trees of the small set .0149, with an exposure of .35
instead of .25 (the limit is .45). Their errors are about .006, so the cheapest with a low exposure was chosen. On v5.3, third
parties report CORR .013 for trees on the small set and .025 on the medium one, which takes 18 times the bytes.
At v5.3's size (660,000 rows, 94 columns) a fit takes about 25 CPU seconds and .7 GiB.
"""

RECIPES = {recipe.name: recipe for recipe in (STANDARD, CONTRIBUTION, DEMO, STARTER)}

PURPOSES = {
    STANDARD.name: "the default: TSMixer-Ext and LightGBM trees, half each",
    CONTRIBUTION.name: "for pay: models that differ from Numerai's benchmark",
    DEMO.name: "for the sandbox: small models that train within seconds",
    STARTER.name: "small trees that fill rounds until the slot's own recipe has a champion",
}
"""What each built-in recipe is for, in a line."""
