"""Score raw rows with an artifact: members, then the ensemble. The same code replays the golden batch."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bot.errors import ArtifactInvalid, BadConfig
from bot.features.column_sums import ColumnSums
from bot.features.preprocess import Prepared, Preprocess
from bot.history.factor_history import HistoryState
from bot.members import registry
from bot.members.member import Member, units
from bot.members.registry import OpenNetwork, ScoresFromBefore, Source
from bot.members.rows import EraRows, RawRows
from bot.members.stored import from_manifest
from bot.scoring.neutralize import neutralize, neutralize_to
from bot.serving.artifacts import OF_THE_MACHINE, Artifact
from bot.serving.names import BENCHMARK, GOLDEN, HISTORY, PREPROCESS
from models.inference.ensemble import blend

GOLDEN_TOLERANCE = 1e-5
"""Largest difference of a replayed golden score: another processor sums float32 in another order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """
    Scores of one era.

    Attributes:
        predictions: The ensemble's predictions, uniform in (0, 1). Shape ``(rows,)``, float64.
        members: Raw score of each member. Shape ``(rows,)`` each.
        prepared: The preprocessed rows, the members' input.
        neutralizers: Raw features that exposures are measured against. Shape ``(rows, k)``, int8.
        columns: Fingerprints of all columns that members read.
    """

    predictions: np.ndarray
    members: dict[str, np.ndarray]
    prepared: Prepared
    neutralizers: np.ndarray
    columns: ColumnSums


class Members:
    """
    The models of one folder.

    Attributes:
        models: Loaded models by the name of their owner.
        manifest: Preprocessing of members without a feature set of their own.
        history: History that the models read where no other is given; it covers the needs of all.
        features: Features that at least one member reads, or that exposure is measured to.

    Args:
        folder: Folder of the files.
        members: Members to score, each with its target; the owner of a head's model must be among them.
        prefix: Prefix of the models' file names.
        threads: Threads for scoring.
        open_network: Function that opens a network's file; ``None`` uses onnxruntime.
        kept: Scores that are not computed again; ``None`` computes all.

    Raises:
        ValueError: A file does not load, or a model needs inputs that the preprocessing does not make.
        BadConfig: A kind is not installed.
    """

    def __init__(
        self,
        folder: Path,
        members: Sequence[Member],
        *,
        prefix: str = "",
        threads: int = 1,
        open_network: OpenNetwork | None = None,
        kept: ScoresFromBefore | None = None,
    ) -> None:
        self.manifest = _preprocess(folder, None)
        self._own = {one.feature_set: _preprocess(folder, one.feature_set) for one in members}
        sources = {
            unit.owner.name: Source(
                unit=unit,
                folder=folder,
                preprocess=self.preprocess_of(unit.owner),
                open_network=open_network or _with_onnxruntime(threads),
                prefix=prefix,
                threads=threads,
            )
            for unit in units(members)
        }
        self.models = {name: registry.find(one.unit.owner.kind).load(one) for name, one in sources.items()}
        self._kept = {} if kept is None else {name: kept.of(one) for name, one in sources.items()}
        read = (name for one in (self.manifest, *self._own.values()) for name in one.features)
        self.features = tuple(dict.fromkeys(read))
        state = folder / HISTORY
        self.history = HistoryState.from_bytes(state.read_bytes()) if state.is_file() else None

    def columns(self, rows: EraRows) -> ColumnSums:
        """Return the fingerprints of all columns that members read of some rows."""
        sums: dict[str, float] = {}
        for preprocess in {one.digest: one for one in (self.manifest, *self._own.values())}.values():
            prepared = rows.prepared(preprocess).features
            found = ColumnSums.of(preprocess.features, prepared, preprocess.missing)
            sums |= dict(zip(found.names, found.sums.tolist(), strict=True))
        return ColumnSums(names=tuple(sums), sums=np.array(list(sums.values())), missing=self.manifest.missing)

    def preprocess_of(self, member: Member) -> Preprocess:
        """Return the preprocessing of a member."""
        return self._own[member.feature_set]

    def score(self, rows: EraRows) -> dict[str, np.ndarray]:
        """
        Score the rows of one era.

        Returns:
            Raw score of each member, without members that cannot score this era. Shape ``(rows,)`` each.
        """
        scores: dict[str, np.ndarray] = {}
        for owner, model in self.models.items():
            kept = self._kept.get(owner)
            scores.update(model.score(rows) if kept is None else kept(model, rows))
        return scores


class Scorer:
    """
    An artifact ready to score; opening it replays the golden batch.

    Attributes:
        artifact: The artifact.
        weights: Share of each member in the ensemble; members without a share are left out.
        manifest: Preprocessing of the members.
        reads_files: Whether a member reads the round's files itself.

    Args:
        artifact: A verified artifact.
        threads: Threads for scoring.
        open_network: See :class:`Members`.

    Raises:
        ArtifactInvalid: A file does not load, or the golden batch does not replay on this machine.
    """

    def __init__(self, artifact: Artifact, *, threads: int = 1, open_network: OpenNetwork | None = None) -> None:
        self.artifact = artifact
        try:
            self.weights = weights_of(artifact.manifest)
            self._proportion = float(artifact.required("recipe", "neutralize"))
            self._to_benchmark = artifact.manifest["recipe"].get("neutralizers") == BENCHMARK and self._proportion > 0
            self._members = Members(
                artifact.folder, members_of(artifact.manifest), threads=threads, open_network=open_network
            )
            self.manifest = self._members.manifest
            needs = [registry.find(one.kind).needs(one) for one in members_of(artifact.manifest)]
            self._needs_benchmark = any(one.live_benchmark for one in needs)
            self.reads_files = any(one.files for one in needs)
            places = {name: index for index, name in enumerate(self.manifest.features)}
            self._neutralizers = [places[name] for name in artifact.required("neutralizers")]
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, BadConfig) as error:
            if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
                raise
            raise ArtifactInvalid(f"artifact {artifact.id} does not load: {error}") from None
        self._replay(artifact.path(GOLDEN))

    @property
    def history(self) -> HistoryState | None:
        """Return the history that the artifact was published with, ``None`` if its network has none."""
        return self._members.history

    @property
    def features(self) -> tuple[str, ...]:
        """Return the features that scoring reads."""
        return self._members.features

    @property
    def benchmark(self) -> str | None:
        """Return the column of the benchmark models that a round needs, ``None`` where it needs none."""
        column = self.artifact.manifest.get("benchmark")
        return str(column) if column and (self._to_benchmark or self._needs_benchmark) else None

    def score(self, rows: EraRows) -> Scored:
        """
        Score the rows of one era.

        Without the benchmark's predictions, an ensemble that is neutralized to them is not neutralized, and a member that
        predicts with them is left out.

        Raises:
            SchemaMismatch: A feature that the artifact was trained with is missing, or the features have a new coding.
            ArtifactInvalid: No member can score the rows.
        """
        prepared = rows.prepared(self.manifest)
        members = self._members.score(rows)
        neutralizers = prepared.features[:, self._neutralizers]
        against = rows.benchmark if self._to_benchmark else neutralizers
        weights = {name: weight for name, weight in self.weights.items() if name in members}
        if not any(weights.values()):
            raise ArtifactInvalid(f"artifact {self.artifact.id}: no member can score the rows")
        shown = {name: members[name] for name in weights}
        predictions = ensemble(shown, weights, against, proportion=self._proportion)
        return Scored(
            predictions=predictions,
            members=shown,
            prepared=prepared,
            neutralizers=neutralizers,
            columns=self._members.columns(rows),
        )

    def _replay(self, path: Path) -> None:
        try:
            differences = replay(self._members, path.read_bytes())
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
                raise
            raise ArtifactInvalid(f"artifact {self.artifact.id}: the golden batch does not load: {error}") from None
        for name, worst in differences.items():
            if not worst <= GOLDEN_TOLERANCE:
                raise ArtifactInvalid(
                    f"artifact {self.artifact.id}: member {name} replays the golden batch {worst:.2g} off"
                    f" (limit {GOLDEN_TOLERANCE:g}); retrain on a machine of this kind, or roll back"
                )


def replay(members: Members, golden: bytes) -> dict[str, float]:
    """
    Score a golden batch again and return the largest difference of each member.

    Raises:
        ValueError, KeyError, EOFError, BadZipFile: *golden* is no golden batch of these members.
    """
    content = np.load(io.BytesIO(golden), allow_pickle=False)
    names = tuple(content["names"].tolist()) if "names" in content else members.manifest.features
    again = members.score(RawRows(names=names, values=content["values"], history=members.history))
    return {name: float(np.abs(scores - content[name]).max()) for name, scores in again.items() if name in content}


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


def golden_batch(names: Sequence[str], values: np.ndarray, members: Mapping[str, np.ndarray]) -> bytes:
    """Pack raw rows, the names of their columns, and the scores that each member must reproduce."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"values": values, "names": np.array(names), **members}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def members_of(manifest: Mapping[str, Any]) -> tuple[Member, ...]:
    """
    Return the members that an artifact's ensemble needs: those with a share, and the owners of their models.

    Raises:
        ArtifactInvalid: The manifest lists them in an unknown form.
        BadConfig: A kind is not installed.
    """
    members, shares = from_manifest(manifest), weights_of(manifest)
    owners = {one.head_of for one in members if one.name in shares}
    return tuple(one for one in members if one.name in shares or one.name in owners)


def weights_of(manifest: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of each member of an artifact's ensemble, without members that have none."""
    weights = dict(manifest["weights"] if "weights" in manifest else manifest["recipe"]["weights"])
    return {str(name): float(weight) for name, weight in weights.items() if weight}


def preprocess_file(feature_set: str | None) -> str:
    """Return the name of the preprocessing of members with a feature set of their own, or of all others."""
    return PREPROCESS if feature_set is None else f"preprocess-{feature_set}.json"


def _preprocess(folder: Path, feature_set: str | None) -> Preprocess:
    return Preprocess.from_json((folder / preprocess_file(feature_set)).read_text(encoding="utf-8"))


def _with_onnxruntime(threads: int) -> OpenNetwork:
    from models.inference.runtime import OnnxNetwork  # noqa: PLC0415 - not installed on Numerai's machines

    return partial(OnnxNetwork, threads=threads)
