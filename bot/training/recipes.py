"""Recipes: features, targets, members and weights of a submission. Artifacts record a recipe and its digest."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal

from bot.serving.names import NETWORK_MEMBER, TREE_MEMBER, is_trees, member_target

BENCHMARK, META_MODEL = "benchmark", "meta_model"
"""Neutralizers that are not feature sets. The meta model is refused: it is not published while a round is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecipe:
    """
    Size and training schedule of the TSMixer-Ext member.

    Attributes:
        mixing: ``row`` mixes the history of every row, ``era`` mixes each era once and conditions its rows, ``none`` is
            a perceptron with residual blocks, ``mlp`` a plain one: encoder and head, without blocks and history.
        head: Outputs of each target: ``classes`` predicts the probabilities of the five classes, ``score`` one number;
            cross-entropy needs the classes.
        lookback: Resolved eras on the historical axis; 0 switches history off.
        history_targets: Targets whose realised feature returns make the historical channels.
        encoder: Widths of the static encoder.
        hidden: Channels inside the mixer.
        feed_forward: Width inside feature mixing.
        blocks: Mixer blocks, exactly this many.
        dropout: Dropout rate inside the mixer.
        input_dropout: Dropout rate of the row's own features.
        history_dropout: Share of eras trained with history masked, so that a stale history can be masked live.
        z_dropout: Share of eras trained with stacked predictions masked.
        stacked: Out-of-fold predictions of every target, by trees of the recipe's preset, are further inputs. Off until
            an experiment shows a gain: it fits trees for every target and fold.
        stacked_chunk: Eras of a fold; eras before the first fold are trained without predictions.
        labels: ``target``, or ``benchmark_residual`` for MMC: the part of each target that Numerai's benchmark model of
            the main target does not explain, in the eras that it covers (from 0158). Training then stops on BMC, and
            the power 1.5 of CORR is left out.
        residual: Share of the benchmark's projection that ``benchmark_residual`` removes from the labels.
        loss: Training loss: ``cross_entropy`` of the five classes, ``mse`` of ranks within the era, or ``pearson``, the
            correlation within the era.
        pearson_weight: Weight of the per-era correlation loss that is added to the loss.
        benchmark_penalty: Weight of the squared correlation of prediction and benchmark, per era and target, that is
            added to the loss. Eras that the benchmark does not cover are trained without it.
        epochs: Maximum number of passes over the training eras; early stopping ends sooner.
        steps: Number of optimizer steps, instead of ``epochs``: no early stopping, the learning-rate schedule has this
            length, and the refit takes as many. 0 trains by epochs.
        stop_on: Validation score that chooses the best step: ``corr``, ``bmc``, or ``pay``, the recipe's
            ``corr_multiplier`` x CORR + ``mmc_multiplier`` x BMC. Eras that the benchmark does not cover are left out of
            ``bmc`` and ``pay``. ``auto`` is ``bmc`` with residual labels, else ``corr``.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Weight decay of AdamW.
        patience: Evaluations without a better validation score before training stops.
        evaluations_per_epoch: Measurements of the validation score in an epoch.
        eras_per_step: Eras whose mean gradient makes one optimizer step.
        era_stride: An epoch takes every *n*-th era, each epoch with the next offset.
        batch_rows: Rows on the device at once; the gradients of a larger era are accumulated in parts.
        precision: Precision of matrix products; ``auto`` is bfloat16 on CUDA.
        compiled: Compile the network with ``torch.compile``.
        ema: Decay of the exponential moving average of the weights; 0 switches it off. The averaged weights are
            evaluated and served. The decay starts lower, so that the initial weights are soon forgotten.
        seeds: Number of networks that are averaged; each is trained in full.
        seed: Seed of the first network's initial weights, era order and dropout; the others count up from it.
    """

    mixing: Literal["row", "era", "none", "mlp"] = "row"
    head: Literal["classes", "score"] = "classes"
    lookback: int = 52
    history_targets: tuple[str, ...] = (
        "target_ender_20",
        "target_ender_60",
        "target_jasper_60",
        "target_teager2b_60",
    )
    encoder: tuple[int, ...] = (512, 256)
    hidden: int = 64
    feed_forward: int = 128
    blocks: int = 4
    dropout: float = 0.1
    input_dropout: float = 0.2
    history_dropout: float = 0.2
    z_dropout: float = 0.2
    stacked: bool = False
    stacked_chunk: int = 156
    labels: Literal["target", "benchmark_residual"] = "target"
    residual: float = 1.0
    loss: Literal["cross_entropy", "mse", "pearson"] = "cross_entropy"
    pearson_weight: float = 0.0
    benchmark_penalty: float = 0.0
    epochs: int = 3
    steps: int = 0
    stop_on: Literal["auto", "corr", "bmc", "pay"] = "auto"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-3
    patience: int = 6
    evaluations_per_epoch: int = 4
    eras_per_step: int = 1
    era_stride: int = 1
    batch_rows: int = 8192
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compiled: bool = False
    ema: float = 0.0
    seeds: int = 1
    seed: int = 7

    @property
    def stops_on(self) -> Literal["corr", "bmc", "pay"]:
        """Return the validation score that chooses the best step."""
        if self.stop_on != "auto":
            return self.stop_on
        return "bmc" if self.residual_labels else "corr"

    @property
    def residual_labels(self) -> bool:
        """Return whether the labels are what the benchmark leaves of the targets."""
        return self.labels == "benchmark_residual"

    @property
    def needs_benchmark(self) -> bool:
        """Return whether training or early stopping reads the benchmark's predictions."""
        return self.residual_labels or self.benchmark_penalty > 0 or self.stops_on != "corr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Floors:
    """
    Limits of the hold-out that a challenger must satisfy; :mod:`bot.judging.promotion` applies them.

    Attributes:
        confidence: Level of every interval; at a higher level, larger differences count as noise.
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
        targets: Targets that the network predicts; the main target is added when absent.
        missing: ``median_bin`` fills with the middle bin, ``category`` keeps a missing value as a category of its own.
        normalize: Normalization of the network's features.
        engineered: Families of row aggregates per feature group.
        gbm: Preset of every tree member.
        weights: Share of each member in the ensemble: ``tsmixer`` and ``gbm`` for the main target; ``tsmixer_<name>``
            for the network's prediction of ``target_<name>``, one of its targets, and ``gbm_<name>`` for trees of it.
        weighting: ``fixed`` takes the weights as they are; the rules of :mod:`bot.scoring.ensemble_weights` take their names only, and
            find the shares on the validation eras.
        corr_multiplier: Weight of CORR in these rules: a round's payout factor (3 in 2026).
        mmc_multiplier: Weight of MMC in these rules: a round's payout factor (15 in 2026).
        neutralize: Proportion of the ensemble's linear feature part that is removed, 0 to 1.
        neutralizers: Feature set that it is neutralized to; or ``benchmark``, Numerai's benchmark model of the main
            target.
        validation_eras: Eras for early stopping and the weights of members, an embargo after the training eras.
        holdout_eras: Newest labelled eras, an embargo after the validation eras; used only to judge challenger and
            champion.
        every: Train on every *n*-th era (1 = all); neighbours share three quarters of a 20D target.
        refit: Serve members that were trained again on all resolved eras, hold-out included. The scores are those of
            the members that had not seen it.
        floors: Limits for a promotion.
        feature_set: Feature set; ``None`` takes that of the settings.
        target: Main target; ``None`` takes that of the settings.
    """

    name: str
    targets: tuple[str, ...]
    network: NetworkRecipe
    gbm: str
    missing: Literal["median_bin", "category"] = "median_bin"
    normalize: Literal["centre", "standard", "none"] = "centre"
    engineered: tuple[Literal["group_mean", "group_std", "group_extremes"], ...] = (
        "group_mean",
        "group_std",
        "group_extremes",
    )
    weights: tuple[tuple[str, float], ...] = ((NETWORK_MEMBER, 0.5), (TREE_MEMBER, 0.5))
    weighting: Literal["fixed", "equal", "inverse_variance", "constrained"] = "fixed"
    corr_multiplier: float = 3.0
    mmc_multiplier: float = 15.0
    neutralize: float = 0.0
    neutralizers: str = "small"
    validation_eras: int = 52
    holdout_eras: int = 104
    every: int = 1
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
        return "small" if self.to_benchmark else self.neutralizers

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
    def targets(self) -> tuple[str, ...]:
        """Return the targets of the network: the main target, then those of the recipe, each once."""
        return tuple(dict.fromkeys((self.target, *self.recipe.targets)))

    @property
    def trees(self) -> dict[str, str]:
        """Return the target of each tree member by the member's name."""
        return {name: member_target(name, self.target) for name, _ in self.recipe.weights if is_trees(name)}


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
    network=NetworkRecipe(),
    gbm="small",
)
"""TSMixer-Ext at its default size, with Numerai's small LightGBM."""

DEMO = Recipe(
    name="demo",
    targets=("target_ender_20", "target_ender_60", "target_jasper_60", "target_teager2b_60"),
    network=NetworkRecipe(
        lookback=16,
        history_targets=("target_ender_20", "target_ender_60"),
        encoder=(64,),
        hidden=32,
        feed_forward=64,
        blocks=2,
        epochs=2,
        learning_rate=3e-3,
    ),
    gbm="demo",
    validation_eras=16,
    holdout_eras=96,
)
"""The same members in a small size: trains in seconds on the sandbox's tiny world."""

RECIPES = {recipe.name: recipe for recipe in (STANDARD, DEMO)}
