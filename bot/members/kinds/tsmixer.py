"""TSMixer-Ext: a network over the row's features, the factor history and the descriptors of its targets."""

import json
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any, Literal, cast

from bot.members.fitting import Facts, FitJob
from bot.members.limits import out_of_range
from bot.members.member import Label, Member
from bot.members.network.options import LIMITS, NetworkOptions, stacked_path
from bot.members.registry import FitSeconds, FitSize, Kind, Measured, Needs, Source
from bot.members.rows import EraRows, HistoryInput, Scores
from bot.members.search import Choices
from bot.tournament.columns import HORIZONS, horizon
from models.inference.ensemble import expected_score
from models.inference.stack import Stack
from models.trees.gbm_options import PRESETS

FILE = ".onnx"
"""Suffix of the network's file."""

FORWARD = 3.0
"""Rows that a network scores in the time in which it trains one."""

EXPORT_S = 2.0
"""Seconds to export a network as ONNX and compare its scores."""

LIBRARIES_BYTES = 900 << 20
"""Bytes of a process with torch, its exporter and the products that it keeps compiled, before it has rows."""

LARGEST_ERA = 7_200
"""Rows of the largest eras of v5.3."""

REFIT_SHARE = 0.85
"""Expected share of the judged network's steps that a refit takes: those of the best evaluation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TSMixerOptions:
    """
    Options of a TSMixer-Ext.

    Attributes:
        network: Size, inputs and training schedule.
    """

    network: NetworkOptions = field(default_factory=NetworkOptions)


class TSMixerModel:
    """
    A network in ONNX, with the trees that it is stacked on.

    Attributes:
        owner: Name of the member that owns it.
        path: File of the network.
        network: The network.
        stack: Trees whose predictions it takes; ``None`` where it takes none.

    Args:
        source: Files of the network.

    Raises:
        ValueError: A file does not load, or the network does not predict a member's target.
    """

    def __init__(self, source: Source) -> None:
        options: NetworkOptions = source.unit.owner.options.network
        self._preprocess = source.preprocess
        self.owner, self.path = source.unit.owner.name, source.path(FILE)
        self.network = source.open_network(self.path)
        self.stack = open_stack(source, self.network.targets) if "predictions" in self.network.inputs else None
        self._heads = {one.name: self.network.targets.index(str(one.target)) for one in source.unit.members}
        self._history = (
            HistoryInput(
                features=source.preprocess.features, targets=options.history_targets, lookback=options.lookback
            )
            if "window" in self.network.inputs
            else None
        )

    def score(self, rows: EraRows) -> Mapping[str, Scores]:
        """Return the expected score of each member's target. Shape ``(rows,)`` each."""
        prepared = rows.prepared(self._preprocess)
        stacked = None if self.stack is None else self.stack.predict(prepared.features, prepared.engineered)
        window = None if self._history is None else rows.window(self._history)
        expected = expected_score(self.network.logits(prepared.features, prepared.engineered, window, stacked))
        return {name: expected[:, head] for name, head in self._heads.items()}


def open_stack(source: Source, targets: tuple[str, ...]) -> Stack:
    """
    Return the trees whose predictions a stacked network takes.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is damaged.
    """
    paths = [stacked_path(source.folder, source.unit.owner.name, name, source.prefix) for name in targets]
    if not all(path.is_file() for path in paths):
        # Artifacts of format 1 had one network, whose trees were named for their kind.
        paths = [source.folder / f"{source.prefix}gbm_z_{name}.txt" for name in targets]
    return Stack(paths, threads=source.threads)


class TSMixer(Kind):
    """The kind ``tsmixer``."""

    options: type[Any] = TSMixerOptions
    version = 3

    def problems(self, member: Member) -> Iterator[str]:
        """Yield a line for each option that cannot be used."""
        network: NetworkOptions = member.options.network
        yield from out_of_range(network, LIMITS, "network.")
        if not network.encoder:
            yield "network.encoder = [] must name at least one width"
        if network.mixing == "era" and not (network.lookback and network.history_targets):
            yield "network.mixing = 'era' needs a history: lookback at least 1, and history_targets"
        if network.head == "score" and network.loss == "cross_entropy":
            yield "network.head = 'score' has no classes for loss = 'cross_entropy'; take loss = 'pearson' or 'mse'"
        if network.stacked_preset not in PRESETS:
            yield f"network.stacked_preset = {network.stacked_preset!r} is no preset; presets: {', '.join(PRESETS)}"

    def needs(self, member: Member) -> Needs:
        """Return the history that the network reads."""
        network: NetworkOptions = member.options.network
        return Needs(
            history=network.history_targets if network.lookback else (),
            lookback=network.lookback if network.history_targets else 0,
            benchmark=network.needs_benchmark(member.label),
            auxiliary=True,
            heads=True,
            stops=not network.steps,
            packages=("torch", "onnx"),
            extra="train",
        )

    def memory(self, member: Member, *, rows: int, columns: int) -> int:  # noqa: ARG002 - a step holds one era of them
        """
        Return the bytes of a fit: those of the process with its libraries, and those of the rows of a step.

        Measured with four targets and ``precision = "auto"``, which took bfloat16: from 2,048 to 6,000 rows, a row mixer
        took 94 KB more a row at 42 features and 107 KB at 780. In float32 the whole took a sixth more. The others take a tenth.
        """
        network: NetworkOptions = member.options.network
        mixed = 4 * (network.hidden + network.feed_forward) * (14 * network.blocks + 50)
        row = (mixed if network.mixing == "row" else mixed // 10) + 20 * columns
        return LIBRARIES_BYTES + min(network.batch_rows, LARGEST_ERA) * row

    def seconds(self, member: Member, size: FitSize, measured: Measured) -> FitSeconds | None:
        """
        Return the seconds of all steps of all seeds, evaluations included; early stopping may end sooner.

        Trees that the network is stacked on are not counted.
        """
        network: NetworkOptions = member.options.network

        def rows_per_s() -> Sequence[float]:
            # Imported here: a machine that only serves has no torch.
            from bot.members.pace import NetworkShape, network_rows  # noqa: PLC0415

            shape = NetworkShape(
                features=size.features, engineered=size.engineered, groups=size.groups, targets=size.targets
            )
            return network_rows(shape, network, size.device)

        about = [asdict(network), size.features, size.engineered, size.groups, size.targets, size.device]
        pace = measured(f"network {sha256(json.dumps(about).encode()).hexdigest()[:12]} rows/s", rows_per_s)
        if pace is None:
            return None
        era_rows = size.train_rows / size.train_eras
        epoch = size.train_eras / network.era_stride
        steps = network.steps * network.eras_per_step if network.steps else network.epochs * epoch
        evaluations = network.evaluations_per_epoch * steps / epoch
        # An evaluation goes forward only. The refit takes as many steps as the best of the judged networks did.
        scored_s = evaluations * size.validation_rows / (FORWARD * pace[0])
        trained_s = network.seeds * steps * era_rows / pace[0]
        return FitSeconds(
            judged=trained_s + network.seeds * scored_s,
            refit=trained_s * REFIT_SHARE if size.resolved_rows else 0.0,
            export=EXPORT_S * (2 if size.resolved_rows else 1),
            score_row=network.seeds / (FORWARD * pace[0]),
        )

    def without_targets(self, options: TSMixerOptions, absent: AbstractSet[str]) -> TSMixerOptions:
        """Return the options without the history of some targets."""
        network = options.network
        history = tuple(name for name in network.history_targets if name not in absent)
        lookback = network.lookback if history else 0
        return replace(options, network=replace(network, history_targets=history, lookback=lookback))

    def with_seed(self, options: Any, by: int) -> Any:  # noqa: ANN401 - options of this kind or of one derived from it
        """Return the options with another seed of the first network."""
        return replace(options, network=replace(options.network, seed=options.network.seed + by))

    def search(self, member: Member, choices: Choices) -> Any:  # noqa: ANN401 - options of this kind or of one derived from it
        """Return the options with another network."""
        network: NetworkOptions = member.options.network
        searched = searched_training(network, member.label, choices)
        return replace(member.options, network=searched_history(searched, choices))

    def fit(self, job: FitJob) -> Facts:
        """Fit with all processes of the team, and write both networks as ONNX."""
        # Imported here: a machine that only serves has no torch.
        from bot.members.network.team import fit_together  # noqa: PLC0415
        from models.inference.export import export  # noqa: PLC0415

        owner = job.unit.owner
        fitted = fit_together(job, owner.options.network)
        networks = {job.judged: fitted.judged, job.served: fitted.served}
        for done, folder in enumerate(job.blocks):
            report = partial(job.report_progress, "export", done / len(job.blocks))
            export(networks[folder], folder / f"{owner.name}{FILE}", on_step=report)
        return {"best_steps": list(fitted.best_steps), "best_score": list(fitted.best_score)}

    def load(self, source: Source) -> TSMixerModel:
        """Load the network."""
        return TSMixerModel(source)


def searched_training(network: NetworkOptions, label: Label, choices: Choices) -> NetworkOptions:
    """Return a network's options with another loss and schedule, as *choices* chooses them."""
    losses = ("mse", "pearson") if network.head == "score" else ("cross_entropy", "mse", "pearson")
    return replace(
        network,
        dropout=choices.between("dropout", network.dropout, 0.0, 0.5),
        learning_rate=choices.scaled("learning_rate", network.learning_rate, times=10, limit=LIMITS["learning_rate"]),
        weight_decay=choices.scaled("weight_decay", network.weight_decay, times=100, limit=LIMITS["weight_decay"]),
        loss=cast("Literal['cross_entropy', 'mse', 'pearson']", choices.one_of("loss", network.loss, losses)),
        # A recipe that reads no benchmark may stand where there are no files of it.
        benchmark_penalty=choices.between("benchmark_penalty", network.benchmark_penalty, 0.0, 1.0)
        if network.needs_benchmark(label)
        else network.benchmark_penalty,
        steps=choices.scaled_whole("steps", network.steps, times=3, limit=LIMITS["steps"]),
    )


def searched_history(network: NetworkOptions, choices: Choices) -> NetworkOptions:
    """Return a network's options with another history and another body, as *choices* chooses them."""
    # The history published for live rounds has no more eras than the recipe's lookback. 0 switches history off.
    lookbacks = {0, network.lookback // 4, network.lookback // 2, network.lookback}
    if network.mixing == "era":
        lookbacks.discard(0)  # an era has nothing else to mix
    history = {"all": network.history_targets} | {
        f"{days}D": chosen
        for days in HORIZONS
        if 0
        < len(chosen := tuple(name for name in network.history_targets if horizon(name) == days))
        < len(network.history_targets)
    }
    return replace(
        network,
        lookback=choices.one_of("lookback", network.lookback, sorted(lookbacks)),
        history_targets=history[choices.one_of("history_targets", "all", list(history))],
        hidden=choices.one_of("hidden", network.hidden, _around(network.hidden)),
        feed_forward=choices.one_of("feed_forward", network.feed_forward, _around(network.feed_forward)),
        blocks=choices.scaled_whole("blocks", network.blocks, times=2, limit=LIMITS["blocks"]),
    )


def _around(size: int) -> list[int]:
    """Return half the size, the size and twice the size."""
    return sorted({max(size // 2, 1), size, 2 * size})


KIND = TSMixer()
