"""
Inputs that an artifact's network depends on: feature groups, targets and age of its history, and parts of single rows.

Feature groups are permuted through the code that serves. The network's inner weights are read from the same ONNX file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bot.errors import ArtifactInvalid, OperatorNeeded
from bot.features.preprocess import Prepared, prepare
from bot.members import registry
from bot.members.kinds.tsmixer import TSMixerModel
from bot.reporting.importance import Weight, permutation_weights
from bot.research.experiment import Experiment, ExperimentResults
from bot.scoring.metrics import corr
from bot.serving.artifacts import Artifact
from bot.serving.scorer import Members, members_of
from bot.tournament.columns import overlap_eras
from bot.training.training_set import TrainingSet
from models.inference.ensemble import expected_score
from models.inference.exported import ExportedNetwork
from models.inference.onnx_weights import restore
from models.inference.permutation import permutation_losses
from models.inference.stack import Stack
from models.network.interpret import Attribution, Curve, Rows, history_losses, integrated_gradients, temporal_weights
from models.network.network_config import NetworkConfig
from models.network.seeds import SeedAverage

SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """
    The score of one row, as a sum of parts.

    Attributes:
        era: Era of the row.
        id: Id of the row.
        score: Expected CORR value of the row.
        baseline: Score of a row in the middle of all inputs.
        missed: Part that the integration leaves unexplained.
        groups: Parts of the row's features by group; a feature in two groups counts half in each.
        engineered: Part of the row's aggregates.
        history: Parts of the row's history by target.
        lags: Parts of the row's history by resolved era, newest first.
        stacked: Parts of the trees' predictions that a stacked network takes, by target.
    """

    era: str
    id: str
    score: float
    baseline: float
    missed: float
    groups: Mapping[str, float]
    engineered: float
    history: Mapping[str, float]
    lags: tuple[float, ...]
    stacked: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpretation:
    """
    Inputs that a network's CORR depends on.

    Attributes:
        artifact: Id of the artifact.
        target: Target of CORR.
        eras: First and last measured era.
        seen: Whether the network was trained on one of them; then the losses are those of memorized eras.
        groups: Loss of CORR with a feature group permuted within eras, features and aggregates together.
        history_targets: Loss of CORR with the history of one target permuted.
        history_lags: Loss of CORR with a run of resolved eras permuted, newest first.
        curves: Weights of the resolved eras in each network.
        rows: The rows with the highest and the lowest scores in the newest measured era, explained.
        path: Path of this result as JSON.
    """

    artifact: str
    target: str
    eras: tuple[str, str]
    seen: bool
    groups: tuple[Weight, ...]
    history_targets: tuple[Weight, ...]
    history_lags: tuple[Weight, ...]
    curves: tuple[Curve, ...]
    rows: tuple[Explained, ...]
    path: Path


def interpret(experiment: Experiment, artifact: Artifact, *, rows: int) -> Interpretation:
    """
    Measure the inputs that an artifact's network depends on, in the newest ``experiment.eras`` labelled eras.

    Args:
        experiment: State directory, eras and progress; features, target and preprocessing are those of the artifact.
        artifact: A verified artifact.
        rows: Number of rows to explain from either end of the newest era.

    Raises:
        ArtifactInvalid: The artifact's network cannot be read.
        OperatorNeeded: Nothing was synced, or no era has the target.
        SchemaMismatch: The data lack columns that the artifact was trained on.
    """
    network = _Network.open(experiment, artifact)
    known = np.flatnonzero(network.data.store.labelled(network.target))[-(experiment.eras or 0) :]
    if not len(known):
        raise OperatorNeeded(f"{network.target} is not known in any era; run `bot sync`")
    eras = network.data.store.eras
    groups, by_target, by_lag = [], [], []
    for done, position in enumerate(known.tolist()):
        experiment.report_progress("permute", done / len(known), eras[position])
        groups.append(network.group_losses(position))
        if network.row_history:
            by_target.append(network.history_losses(position, network.target_blocks()))
            by_lag.append(network.history_losses(position, network.lag_blocks()))
    block = overlap_eras(network.target)
    trained = artifact.manifest["eras"]["newest" if artifact.manifest["recipe"]["refit"] else "train"]
    results = ExperimentResults.of(
        experiment.state_dir / "experiments", "importance", {"artifact": artifact.id, "eras": known, "rows": rows}
    )
    lags = {name: number for number, name in enumerate(network.lag_blocks())}
    result = Interpretation(
        artifact=artifact.id,
        target=network.target,
        eras=(eras[known[0]], eras[known[-1]]),
        seen=eras[known[0]] <= (trained if isinstance(trained, str) else trained[1]),
        groups=permutation_weights(groups, block=block),
        history_targets=permutation_weights(by_target, block=block),
        history_lags=tuple(sorted(permutation_weights(by_lag, block=block), key=lambda one: lags[one.name])),
        curves=temporal_weights(network.torch),
        rows=network.explained(int(known[-1]), rows),
        path=results.path,
    )
    results.write(result)
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    """
    The network of an artifact with the data that it takes.

    Attributes:
        data: Rows of the store as the artifact preprocesses them.
        target: Main target of the artifact.
        served: The network as it serves.
        torch: The same network in torch.
        stack: Trees whose predictions it takes; ``None`` where it takes none.
    """

    data: TrainingSet
    target: str
    served: ExportedNetwork
    torch: SeedAverage
    stack: Stack | None

    @classmethod
    def open(cls, experiment: Experiment, artifact: Artifact) -> "_Network":
        """Open an artifact's network, and the store with the artifact's columns."""
        known = members_of(artifact.manifest)
        try:
            members = Members(artifact.folder, known)
            model = next((one for one in members.models.values() if isinstance(one, TSMixerModel)), None)
            if model is None:
                raise ArtifactInvalid(f"artifact {artifact.id} has no network to look into")
            owner = next(one for one in known if one.name == model.owner)
            network = restore(model.path)
        except (OSError, ValueError) as error:
            raise ArtifactInvalid(f"artifact {artifact.id} has no network to look into: {error}") from None
        manifest, needs = members.preprocess_of(owner), registry.find(owner.kind).needs(owner)
        target, store = str(owner.target), experiment.store()
        past = needs.history if network.config.has_history else ()
        data = TrainingSet.build(
            store.select(manifest.features, (target,)),
            manifest,
            targets=(target,),
            history_targets=past,
            lookback=needs.lookback if past else 0,
            returns=experiment.returns(store, manifest.features, past) if past else None,
        )
        return cls(data=data, target=target, served=model.network, torch=network, stack=model.stack)

    @property
    def config(self) -> NetworkConfig:
        """Return the network's config."""
        return self.torch.config

    @property
    def row_history(self) -> bool:
        """Return whether every row has its own history."""
        return self.config.has_history and self.config.mixing == "row"

    def group_losses(self, position: int) -> dict[str, float]:
        """Return the loss of CORR in one era for each feature group."""
        names, window, targets = self.data.store.feature_names, self.data.window(position), self._targets(position)
        column = self.config.targets.index(self.target)

        def score(codes: np.ndarray) -> dict[str, float]:
            rows = prepare(self.data.manifest, names, codes)
            logits = self.served.logits(rows.features, rows.engineered, window, self._stacked(rows))
            return {"network": corr(expected_score(logits)[:, column], targets)}

        codes, groups = self.data.store.features(position), self.data.manifest.groups
        return permutation_losses(score, codes, groups, seed=SEED + position)["network"]

    def history_losses(self, position: int, blocks: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return the loss of CORR in one era for each block of the history. Blocks have the shape ``(lookback, channels)``."""
        targets = self._targets(position)
        return history_losses(
            self.torch,
            self._rows(position),
            lambda scores: corr(scores, targets),
            blocks,
            target=self.target,
            seed=SEED + position,
        )

    def target_blocks(self) -> dict[str, np.ndarray]:
        """Return the channels of each target as masks of the history. Shape ``(lookback, channels)`` each."""
        names = () if self.data.returns is None else self.data.returns.targets
        # A group has one channel for each target, one group after the other.
        channel = np.arange(self.config.history_channels) % max(len(names), 1)
        whole = np.ones((self.config.lookback, 1), dtype=bool)
        return {name: whole & (channel == index) for index, name in enumerate(names)}

    def lag_blocks(self) -> dict[str, np.ndarray]:
        """Return runs of resolved eras as masks of the history, each run twice as long as the one before it."""
        steps = np.arange(self.config.lookback)[:, None]
        channels = np.ones((1, self.config.history_channels), dtype=bool)
        blocks, first = {}, 0
        while first < self.config.lookback:
            last = min(2 * first + 1, self.config.lookback)
            blocks[f"{first + 1}" if last == first + 1 else f"{first + 1} to {last}"] = (
                (steps >= first) & (steps < last) & channels
            )
            first = last
        return blocks

    def explained(self, position: int, count: int) -> tuple[Explained, ...]:
        """Explain the rows with the *count* highest and the *count* lowest scores in one era."""
        if self.config.mixing == "era" or not count:
            return ()
        rows = self._rows(position)
        logits = self.served.logits(rows.features, rows.engineered, rows.window, rows.predictions)
        order = np.argsort(expected_score(logits)[:, self.config.targets.index(self.target)])
        chosen = [*order[::-1][:count].tolist(), *order[:count][::-1].tolist()]
        ids = self.data.store.store.ids(position)
        return tuple(
            self._summed(
                self.data.store.eras[position],
                ids[row].decode(),
                integrated_gradients(self.torch, rows, row, target=self.target),
            )
            for row in dict.fromkeys(chosen)
        )

    def _summed(self, era: str, identity: str, found: Attribution) -> Explained:
        """Sum the attributions of a row by group, target and resolved era."""
        groups, share = self.data.manifest.groups, np.zeros(len(found.features))
        for positions in groups.values():
            share[list(positions)] += 1
        each = found.features / np.maximum(share, 1)
        summed = {group: float(each[list(positions)].sum()) for group, positions in groups.items()}
        return Explained(
            era=era,
            id=identity,
            score=found.score,
            baseline=found.baseline,
            missed=found.missed,
            groups=summed | {"no group": float(each[share == 0].sum())},
            engineered=float(found.engineered.sum()),
            history={name: float(found.history[mask].sum()) for name, mask in self.target_blocks().items()},
            lags=tuple(found.history.sum(axis=1).tolist()) if found.history.ndim > 1 else (),
            stacked=dict(zip(self.config.targets, found.predictions.tolist(), strict=False)),
        )

    def _rows(self, position: int) -> Rows:
        rows = self.data.prepared(position)
        return Rows(
            features=rows.features,
            engineered=rows.engineered,
            window=self.data.window(position),
            predictions=self._stacked(rows),
        )

    def _stacked(self, rows: Prepared) -> np.ndarray | None:
        """Return the trees' predictions that the network takes for prepared rows. Shape ``(rows, T)``."""
        return None if self.stack is None else self.stack.predict(rows.features, rows.engineered)

    def _targets(self, position: int) -> np.ndarray:
        return self.data.target(position, self.target).astype(np.float64)
