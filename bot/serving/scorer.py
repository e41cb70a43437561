"""Score raw rows with an artifact: members, then the ensemble. The same code replays the golden batch."""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bot.errors import ArtifactInvalid, SchemaMismatch
from bot.features.preprocess import Prepared, Preprocess, prepare
from bot.history.factor_history import HistoryState, Window
from bot.scoring.neutralize import neutralize, neutralize_to
from bot.serving.artifacts import Artifact
from bot.serving.names import GOLDEN, HISTORY, NETWORK, PREPROCESS, STACKED, is_network, member_target, tree_file
from models.inference.ensemble import blend, expected_score
from models.inference.exported import ExportedNetwork
from models.inference.stack import Stack
from models.trees.trees import TreeModel

MAX_OUT_OF_RANGE = 0.01
"""Largest share of values outside 0 to 4 that are filled as missing. More of them mean a new coding of the features."""

GOLDEN_TOLERANCE = 1e-5
"""Largest difference of a replayed golden score: another processor sums float32 in another order."""

Opener = Callable[[Path], ExportedNetwork]
"""Function that opens a network's file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """
    Scores of one era.

    Attributes:
        predictions: The ensemble's predictions, uniform in (0, 1). Shape ``(rows,)``, float64.
        members: Raw score of each member. Shape ``(rows,)`` each.
        prepared: The preprocessed rows, the members' input.
        neutralizers: Raw features that exposures are measured against. Shape ``(rows, k)``, int8.
    """

    predictions: np.ndarray
    members: dict[str, np.ndarray]
    prepared: Prepared
    neutralizers: np.ndarray


class Members:
    """
    The models of one folder: a network in ONNX, tree models as text, and the history state they share.

    Attributes:
        manifest: Preprocessing of all members.
        history: History of the network where no other is given.

    Args:
        folder: Folder of the files.
        names: Names of the members.
        target: Target of the member ``tsmixer``; ``tsmixer_<name>`` predicts ``target_<name>``.
        prefix: Prefix of the models' file names.
        threads: Threads for scoring.
        open_network: Function that opens the network; ``None`` uses onnxruntime.

    Raises:
        ValueError: A file does not load, or a model needs inputs that the preprocessing does not make.
    """

    def __init__(
        self,
        folder: Path,
        names: Sequence[str],
        *,
        target: str,
        prefix: str = "",
        threads: int = 1,
        open_network: Opener | None = None,
    ) -> None:
        self.manifest = Preprocess.from_json((folder / PREPROCESS).read_text(encoding="utf-8"))
        self._known = (*self.manifest.features, *self.manifest.engineered_names)
        predicted = {name: member_target(name, target) for name in names if is_network(name)}
        opener = open_network or _with_onnxruntime(threads)
        self._network = opener(folder / f"{prefix}{NETWORK}") if predicted else None
        self._heads = (
            {name: self._network.targets.index(head) for name, head in predicted.items()} if self._network else {}
        )
        self._stack = None if self._network is None else open_stack(folder, self._network, prefix, threads=threads)
        self._trees = {
            name: TreeModel(folder / (prefix + tree_file(name)), threads=threads)
            for name in names
            if name not in predicted
        }
        state = folder / HISTORY
        self.history = HistoryState.from_bytes(state.read_bytes()) if state.is_file() else None

    def score(self, prepared: Prepared, *, window: Window = "stored") -> dict[str, np.ndarray]:
        """
        Score prepared rows of one era.

        Args:
            prepared: The rows.
            window: Realised feature returns that were resolved at the era, shape ``(L, F, T)``; or ``stored``, those of
                the artifact; or ``masked``, none.

        Returns:
            Raw score of each member. Shape ``(rows,)`` each.
        """
        scores = {}
        if self._network is not None:
            stacked = None if self._stack is None else self._stack.predict(prepared.features, prepared.engineered)
            logits = self._network.logits(prepared.features, prepared.engineered, self._history(window), stacked)
            expected = expected_score(logits, kind="corr")
            scores.update({name: expected[:, head] for name, head in self._heads.items()})
        for name, trees in self._trees.items():
            inputs = _tree_inputs(prepared, self._known, trees.feature_names)
            scores[name] = trees.predict(inputs.features, inputs.engineered)
        return scores

    def _history(self, window: Window) -> np.ndarray | None:
        """Return the feature returns that *window* stands for, ``None`` where they are masked."""
        if not isinstance(window, str):
            return window
        return None if self.history is None or window == "masked" else self.history.window


class Scorer:
    """
    An artifact ready to score; opening it replays the golden batch.

    Attributes:
        artifact: The artifact.
        weights: Share of each member in the ensemble; members without a share are left out.
        manifest: Preprocessing of the members.

    Args:
        artifact: A verified artifact.
        threads: Threads for scoring.
        open_network: See :class:`Members`.

    Raises:
        ArtifactInvalid: A file does not load, or the golden batch does not replay on this machine.
    """

    def __init__(self, artifact: Artifact, *, threads: int = 1, open_network: Opener | None = None) -> None:
        self.artifact = artifact
        try:
            weights = dict(artifact.manifest.get("weights", artifact.required("recipe", "weights")))
            self.weights = {str(name): float(weight) for name, weight in weights.items() if weight}
            self._proportion = float(artifact.required("recipe", "neutralize"))
            self._members = Members(
                artifact.folder,
                tuple(self.weights),
                target=str(artifact.required("target")),
                threads=threads,
                open_network=open_network,
            )
            self.manifest = self._members.manifest
            places = {name: index for index, name in enumerate(self.manifest.features)}
            self._neutralizers = [places[name] for name in artifact.required("neutralizers")]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ArtifactInvalid(f"artifact {artifact.id} does not load: {error}") from None
        self._replay(artifact.path(GOLDEN))

    @property
    def history(self) -> HistoryState | None:
        """Return the history that the artifact was published with, ``None`` if its network has none."""
        return self._members.history

    @property
    def benchmark(self) -> str | None:
        """Return the column of the benchmark models that the ensemble is neutralized to, ``None`` for features."""
        column = self.artifact.manifest.get("benchmark")
        return str(column) if column and self._proportion else None

    def score(
        self,
        names: Sequence[str],
        values: np.ndarray,
        *,
        window: Window = "stored",
        benchmark: np.ndarray | None = None,
    ) -> Scored:
        """
        Score the rows of one era.

        Args:
            names: Columns of *values*; features the artifact does not know are ignored.
            values: Raw codes. Shape ``(rows, columns)``, int8.
            window: History of the network; see :meth:`Members.score`.
            benchmark: Predictions of :attr:`benchmark`, NaN where there are none; without them the ensemble is not
                neutralized. Shape ``(rows,)``.

        Raises:
            SchemaMismatch: A feature that the artifact was trained with is missing, or the features have a new coding.
        """
        prepared = prepare(self.manifest, names, values)
        if prepared.out_of_range > MAX_OUT_OF_RANGE * prepared.features.size:
            raise SchemaMismatch(
                f"{prepared.out_of_range / prepared.features.size:.1%} of the feature values lie outside 0 to 4"
                f" (limit {MAX_OUT_OF_RANGE:.0%}): the features have a new coding; retrain on the current data"
            )
        members = self._members.score(prepared, window=window)
        neutralizers = prepared.features[:, self._neutralizers]
        against = neutralizers if self.benchmark is None else benchmark
        predictions = ensemble(members, self.weights, against, proportion=self._proportion)
        return Scored(predictions=predictions, members=members, prepared=prepared, neutralizers=neutralizers)

    def _replay(self, path: Path) -> None:
        try:
            differences = replay(self._members, path.read_bytes())
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ArtifactInvalid(f"artifact {self.artifact.id}: the golden batch does not load: {error}") from None
        for name, worst in differences.items():
            if not worst <= GOLDEN_TOLERANCE:
                raise ArtifactInvalid(
                    f"artifact {self.artifact.id}: member {name} replays the golden batch {worst:.2g} off"
                    f" (limit {GOLDEN_TOLERANCE:g}); retrain on a machine of this kind, or roll back"
                )


def open_stack(folder: Path, network: ExportedNetwork, prefix: str = "", *, threads: int = 1) -> Stack | None:
    """
    Return the tree models whose predictions a stacked network takes; ``None`` for another network.

    Args:
        folder: Folder of the network's files.
        network: The network.
        prefix: Prefix of the models' file names.
        threads: Threads for scoring.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is damaged.
    """
    if "predictions" not in network.inputs:
        return None
    return Stack([folder / (prefix + tree_file(STACKED + name)) for name in network.targets], threads=threads)


def replay(members: Members, golden: bytes) -> dict[str, float]:
    """
    Score a golden batch again and return the largest difference of each member.

    Raises:
        ValueError, KeyError, EOFError, BadZipFile: *golden* is no golden batch of these members.
    """
    content = np.load(io.BytesIO(golden), allow_pickle=False)
    again = members.score(prepare(members.manifest, members.manifest.features, content["values"]))
    return {name: float(np.abs(scores - content[name]).max()) for name, scores in again.items()}


def ensemble(
    members: Mapping[str, np.ndarray],
    weights: Mapping[str, float],
    neutralizers: np.ndarray | None,
    *,
    proportion: float,
) -> np.ndarray:
    """
    Blend the members of one era, and neutralize the blend where *proportion* is above 0.

    Args:
        members: Raw score of each member. Shape ``(rows,)`` each.
        weights: Share of each member.
        neutralizers: Codes of features, shape ``(rows, k)``; or another model's predictions, shape ``(rows,)``; or
            ``None``, which neutralizes to nothing.
        proportion: Share to remove, from 0 (none) to 1 (all).

    Returns:
        Predictions, uniform in (0, 1). Shape ``(rows,)``.
    """
    features = neutralizers is None or neutralizers.ndim > 1
    return blend(
        members,
        weights,
        neutralizers=neutralizers if proportion else None,
        proportion=proportion,
        neutralize=neutralize if features else neutralize_to,
    )


def golden_batch(values: np.ndarray, members: dict[str, np.ndarray]) -> bytes:
    """Pack raw rows and the scores that each member must reproduce. Shapes ``(rows, F)`` and ``(rows,)``."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"values": values, **members}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _with_onnxruntime(threads: int) -> Opener:
    from models.inference.runtime import OnnxNetwork  # noqa: PLC0415 - not installed on Numerai's machines

    return partial(OnnxNetwork, threads=threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class _TreeInputs:
    """
    Inputs of one tree model.

    Attributes:
        features: Codes. Shape ``(rows, F)``, int8.
        engineered: Row aggregates. Shape ``(rows, E)``, float32.
    """

    features: np.ndarray
    engineered: np.ndarray


def _tree_inputs(prepared: Prepared, known: Sequence[str], wanted: Sequence[str]) -> _TreeInputs:
    """Return a tree model's inputs: all columns where it was trained on all, else its columns by name."""
    if tuple(wanted) == tuple(known):
        return _TreeInputs(features=prepared.features, engineered=prepared.engineered)
    position = {name: index for index, name in enumerate(known)}
    features = len(prepared.features.T)
    try:
        chosen = [position[name] for name in wanted]
    except KeyError as error:
        raise ValueError(f"a tree model needs {error}, which the preprocessing does not make") from None
    plain = [index for index in chosen if index < features]
    made = [index - features for index in chosen if index >= features]
    if chosen != plain + [index + features for index in made]:
        raise ValueError("a tree model takes engineered columns before features, which nobody trains")
    return _TreeInputs(
        features=np.ascontiguousarray(prepared.features[:, plain]),
        engineered=np.ascontiguousarray(prepared.engineered[:, made]),
    )
