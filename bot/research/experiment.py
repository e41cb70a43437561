"""The stored history as an experiment reads it: no network, no artifact, nothing that serves is touched."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bot.data.era_store import EraStore
from bot.errors import OperatorNeeded
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.history import feature_returns
from bot.history.factor_history import FeatureReturns
from bot.system.files import publish
from bot.system.progress import ProgressCallback
from bot.training.network_options import Device
from bot.training.recipe_file import history_needs
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.splits import Split, walk_forward
from bot.training.training_set import TrainingSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """
    Where experiments run; values mirror the settings of the same names.

    Attributes:
        state_dir: Holds ``data``, ``store`` and, for what is found, ``experiments``.
        data_version: Data version.
        feature_set: Of ``features.json``.
        target: Whose CORR is measured.
        recipe: Whose models are tried.
        eras: Newest labelled eras to use; all of them where ``None``.
        every: Train on every *n*-th era; every era is validated on.
        chunk: Eras of a walk-forward fold.
        device: Where networks train.
        report_progress: Called with the progress.
    """

    state_dir: Path
    data_version: str
    feature_set: str
    target: str
    recipe: Recipe
    eras: int | None
    every: int
    chunk: int
    device: Device = "auto"
    report_progress: ProgressCallback = lambda _stage, _share, _note: None

    def resolve(self, recipe: Recipe) -> ResolvedRecipe:
        """Return a recipe with the data version, feature set and target of the experiment where it pins none."""
        return recipe.resolved(data_version=self.data_version, feature_set=self.feature_set, target=self.target)

    def store(self) -> EraStore:
        """
        Return the era store that was synced last.

        Raises:
            OperatorNeeded: There is none.
        """
        folder = EraStore.newest(self.state_dir / "store", self.data_version)
        if folder is None:
            raise OperatorNeeded(f"no era store of {self.data_version} in {self.state_dir}; run `bot sync` first")
        return EraStore.open(folder)

    def read(self, store: EraStore) -> TrainingSet:
        """
        Return the recipe's training set.

        Raises:
            SchemaMismatch: The data lack what the recipe names.
        """
        metadata = FeatureMetadata.read(self.state_dir / "data" / self.data_version / "features.json")
        features = metadata.members(self.feature_set)
        targets = tuple(dict.fromkeys((self.target, *self.recipe.targets)))
        history_targets = self.recipe.network.history_targets if self.recipe.network.lookback else ()
        manifest = Preprocess(
            features=features,
            groups=metadata.groups(features),
            missing=self.recipe.missing,
            normalize=self.recipe.normalize,
            engineered=self.recipe.engineered,
        )
        return TrainingSet.build(
            store.select(features, tuple(dict.fromkeys((*targets, *history_targets)))),
            manifest,
            targets=targets,
            history_targets=history_targets,
            lookback=self.recipe.network.lookback,
            returns=self.returns(store, features, history_targets) if history_targets else None,
        )

    def returns(self, store: EraStore, features: Sequence[str], targets: Sequence[str]) -> FeatureReturns:
        """Return what *features* earned with *targets* in every era, from the table that syncing keeps where it can."""
        synced = tuple(name for name in history_needs().targets if name in store.manifest.targets)
        names = synced if set(targets) <= set(synced) else tuple(targets)
        table = feature_returns.update(
            store,
            names,
            on_progress=lambda done, total: self.report_progress("returns", done / total, f"{done} of {total} eras"),
        )
        position = {name: index for index, name in enumerate(store.manifest.features)}
        return table.select([position[name] for name in features], targets)

    def folds(self, data: TrainingSet, *, least: int) -> tuple[Split, ...]:
        """
        Return walk-forward folds over the labelled eras, as positions in the store, none left out.

        Raises:
            OperatorNeeded: There are fewer than *least*.
        """
        labelled = data.store.labelled(self.target).copy()
        labelled[np.flatnonzero(labelled)[: -self.eras if self.eras else 0]] = False
        count = int(labelled.sum())
        folds: tuple[Split, ...] = ()
        if count > self.chunk:
            folds = walk_forward(data.store.eras, labelled=labelled, targets=data.targets, chunk=self.chunk)
        if len(folds) < least:
            raise OperatorNeeded(
                f"{count} labelled eras in chunks of {self.chunk} make {len(folds)} folds, {least} are needed;"
                " choose a smaller --chunk or more --eras"
            )
        return folds

    def thinned(self, positions: Sequence[int]) -> tuple[int, ...]:
        """Return every *n*-th of the eras at *positions*, the newest among them."""
        return tuple(positions[:: -self.every][::-1])

    def results(self, name: str, store: EraStore, **about: Any) -> "ExperimentResults":  # noqa: ANN401 - JSON
        """Return the results of an experiment on this data, recipe and these options."""
        content = {
            "blocks": [file.sha256 for file in store.files()],
            "feature_set": self.feature_set,
            "target": self.target,
            "recipe": self.recipe.digest,
            "eras": self.eras,
            "every": self.every,
            "chunk": self.chunk,
            **about,
        }
        return ExperimentResults.of(self.state_dir / "experiments", name, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentResults:
    """
    A folder of finished pieces.

    Attributes:
        folder: Made when the first piece is kept.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, name: str, about: Mapping[str, Any]) -> "ExperimentResults":
        """Return the results of an experiment called *name* on exactly what *about* says: its data and options."""
        digest = hashlib.sha256(json.dumps(plain(about), sort_keys=True).encode()).hexdigest()
        return cls(folder=root / f"{name}-{digest[:12]}")

    def text(self, name: str, make: Callable[[], str]) -> Path:
        """Return the file called *name*, written in one atomic step with what *make* returns where it is not there."""
        path = self.folder / name
        if not path.is_file():
            self._write(path, make())
        return path

    def piece(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON value of a finished piece, or make and keep it; what is not a number is ``None``."""
        path = self.text(f"{name}.json", lambda: _json(make()))
        return json.loads(path.read_text(encoding="utf-8"))

    @property
    def result(self) -> Path:
        """Return where the end of the experiment is written."""
        return self.folder / "result.json"

    def conclude(self, result: Any) -> None:  # noqa: ANN401 - any dataclass
        """Write the end of the experiment, in place of what was concluded before."""
        self._write(self.result, _json(result))

    def _write(self, path: Path, content: str) -> None:
        publish(path, content.encode())


def _json(value: Any) -> str:  # noqa: ANN401 - what plain() takes
    return json.dumps(plain(value), indent=1) + "\n"


def plain(value: Any) -> Any:  # noqa: ANN401 - any dataclass, array or container of them
    """Return dataclasses, arrays and containers of them as what JSON knows; NaN and infinities become ``None``."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value
