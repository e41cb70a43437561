"""
What an artifact's network lives on: feature groups, targets and age of its history, and why single rows scored as they did.

Groups are permuted through the code that serves; what lies inside the network is read from the same ONNX file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bot.errors import ArtifactInvalid, OperatorNeeded
from bot.features.preprocess import Preprocess, prepare
from bot.reporting.importance import Weight, permutation_weights
from bot.research.experiment import Experiment, ExperimentResults
from bot.scoring.metrics import corr
from bot.serving.artifacts import Artifact
from bot.serving.names import NETWORK, PREPROCESS
from bot.tournament.columns import overlap_eras
from bot.training.training_set import TrainingSet
from models.inference.ensemble import expected_score
from models.inference.onnx_weights import restore
from models.inference.permutation import permutation_losses
from models.inference.runtime import OnnxNetwork
from models.network.interpret import Attribution, Curve, Rows, history_losses, integrated_gradients, temporal_weights
from models.network.network_config import NetworkConfig
from models.network.seeds import SeedAverage

SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """
    Why one row scored as it did, summed to what a person can read.

    Attributes:
        era: Of the row.
        id: Of the row.
        score: Expected CORR value.
        baseline: That of a row in the middle of everything.
        missed: What integration left unexplained.
        groups: What the row's own features added, by group; a feature in two groups counts half in each.
        engineered: What its aggregates added.
        history: What its history added, by target.
        lags: The same by resolved era, newest first.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpretation:
    """
    What a network lives on.

    Attributes:
        artifact: Its id.
        target: Whose CORR is lost.
        eras: First and last era that was measured.
        seen: The network was trained on at least one of them; losses then are those of what it remembers.
        groups: Loss of CORR with a feature group permuted within eras, features and aggregates together.
        history_targets: The same for the history of one target.
        history_lags: The same for runs of resolved eras, the newest first.
        curves: How each network weighs resolved eras.
        rows: Single rows explained: those that scored highest and lowest in the newest measured era.
        path: Where this lies as JSON.
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
    Look into the network of an artifact on the newest labelled eras, those of ``experiment.eras``.

    Args:
        experiment: Where data are; features, target and preprocessing are those of the artifact.
        artifact: Verified.
        rows: Rows to explain from either end of the newest era.

    Raises:
        ArtifactInvalid: Its network cannot be looked into.
        OperatorNeeded: Nothing was synced, or no era has the target.
        SchemaMismatch: The data lack what the artifact was trained on.
    """
    probe = _Probe.open(experiment, artifact)
    known = np.flatnonzero(probe.data.store.labelled(probe.target))[-(experiment.eras or 0) :]
    if not len(known):
        raise OperatorNeeded(f"{probe.target} is not known in any era; run `bot sync`")
    names = probe.data.store.eras
    groups, by_target, by_lag = [], [], []
    for done, position in enumerate(known.tolist()):
        experiment.report_progress("permute", done / len(known), names[position])
        groups.append(probe.group_losses(position))
        if probe.row_history:
            by_target.append(probe.history_losses(position, probe.target_blocks()))
            by_lag.append(probe.history_losses(position, probe.lag_blocks()))
    block = overlap_eras(probe.target)
    learned_until = artifact.manifest["eras"]["newest" if artifact.manifest["recipe"]["refit"] else "train"]
    results = ExperimentResults.of(
        experiment.state_dir / "experiments", "importance", {"artifact": artifact.id, "eras": known, "rows": rows}
    )
    lags = {name: number for number, name in enumerate(probe.lag_blocks())}
    found = Interpretation(
        artifact=artifact.id,
        target=probe.target,
        eras=(names[known[0]], names[known[-1]]),
        seen=names[known[0]] <= (learned_until if isinstance(learned_until, str) else learned_until[1]),
        groups=permutation_weights(groups, block=block),
        history_targets=permutation_weights(by_target, block=block),
        history_lags=tuple(sorted(permutation_weights(by_lag, block=block), key=lambda one: lags[one.name])),
        curves=temporal_weights(probe.network),
        rows=probe.explained(int(known[-1]), rows),
        path=results.result,
    )
    results.conclude(found)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Probe:
    """A network, once as it serves and once in torch, and the data it was made for."""

    data: TrainingSet
    target: str
    served: OnnxNetwork
    network: SeedAverage

    @classmethod
    def open(cls, experiment: Experiment, artifact: Artifact) -> "_Probe":
        """Open an artifact's network and the store as the artifact sees it."""
        try:
            served, network = OnnxNetwork(artifact.path(NETWORK)), restore(artifact.path(NETWORK))
        except (OSError, ValueError) as error:
            raise ArtifactInvalid(f"artifact {artifact.id} has no network to look into: {error}") from None
        manifest = Preprocess.from_json(artifact.path(PREPROCESS).read_text(encoding="utf-8"))
        target, store = str(artifact.manifest["target"]), experiment.store()
        about = artifact.manifest["history"]
        past = tuple(about["targets"]) if network.config.has_history else ()
        data = TrainingSet.build(
            store.select(manifest.features, (target,)),
            manifest,
            targets=(target,),
            history_targets=past,
            lookback=int(about["lookback"]) if past else 0,
            returns=experiment.returns(store, manifest.features, past) if past else None,
        )
        return cls(data=data, target=target, served=served, network=network)

    @property
    def config(self) -> NetworkConfig:
        """Return the network's config."""
        return self.network.config

    @property
    def row_history(self) -> bool:
        """Say whether every row has a history of its own."""
        return self.config.has_history and self.config.mixing == "row"

    def group_losses(self, position: int) -> dict[str, float]:
        """Return what CORR of one era loses for each feature group."""
        names, window, truth = self.data.store.feature_names, self.data.window(position), self._truth(position)
        column = self.config.targets.index(self.target)

        def score(codes: np.ndarray) -> dict[str, float]:
            rows = prepare(self.data.manifest, names, codes)
            logits = self.served.logits(rows.features, rows.engineered, window)
            return {"network": corr(expected_score(logits)[:, column], truth)}

        codes, groups = self.data.store.features(position), self.data.manifest.groups
        return permutation_losses(score, codes, groups, seed=SEED + position)["network"]

    def history_losses(self, position: int, blocks: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Return what CORR of one era loses for each block of its history."""
        truth = self._truth(position)
        return history_losses(
            self.network,
            self._rows(position),
            lambda said: corr(said, truth),
            blocks,
            target=self.target,
            seed=SEED + position,
        )

    def target_blocks(self) -> dict[str, np.ndarray]:
        """Return the part of the history that each target makes; channels are groups before targets."""
        names = () if self.data.returns is None else self.data.returns.targets
        channel = np.arange(self.config.history_channels) % max(len(names), 1)
        whole = np.ones((self.config.lookback, 1), dtype=bool)
        return {name: whole & (channel == index) for index, name in enumerate(names)}

    def lag_blocks(self) -> dict[str, np.ndarray]:
        """Return runs of resolved eras, each twice as long as the one before, as an average over the past sees them."""
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
        """Explain the rows that scored highest and lowest in one era."""
        if self.config.mixing == "era" or not count:
            return ()
        rows = self._rows(position)
        logits = self.served.logits(rows.features, rows.engineered, rows.window)
        order = np.argsort(expected_score(logits)[:, self.config.targets.index(self.target)])
        chosen = [*order[::-1][:count].tolist(), *order[:count][::-1].tolist()]
        ids = self.data.store.store.ids(position)
        return tuple(
            self._summed(
                self.data.store.eras[position],
                ids[row].decode(),
                integrated_gradients(self.network, rows, row, target=self.target),
            )
            for row in dict.fromkeys(chosen)
        )

    def _summed(self, era: str, identity: str, found: Attribution) -> Explained:
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
        )

    def _rows(self, position: int) -> Rows:
        rows = self.data.prepared(position)
        return Rows(features=rows.features, engineered=rows.engineered, window=self.data.window(position))

    def _truth(self, position: int) -> np.ndarray:
        return self.data.target(position, self.target).astype(np.float64)
