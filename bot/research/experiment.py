"""
Data, folds and stored results of an experiment.

An experiment reads the synced history and its own results. It changes nothing that serves.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.data.era_store import EraStore
from bot.errors import OperatorNeeded
from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess
from bot.history import feature_returns
from bot.history.factor_history import FeatureReturns
from bot.members.fitting import Device
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.network.options import NetworkOptions
from bot.system.files import publish
from bot.system.progress import ProgressCallback
from bot.training.recipe_file import history_needs
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.splits import Split, before_holdout, holdout, stopping_eras, walk_forward
from bot.training.training_set import TrainingSet
from models.trees.gbm_options import GbmOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """
    Data, recipe and folds of an experiment; most attributes have the values of the settings with the same names.

    Attributes:
        state_dir: State directory, with ``data`` and ``store``; results go to ``experiments``.
        data_version: Data version.
        feature_set: Feature set of ``features.json``.
        target: Target of CORR.
        recipe: Recipe whose models are trained.
        eras: Number of the newest labelled eras to use; ``None`` for all.
        every: Train on every *n*-th era; validation uses every era.
        chunk: Number of eras in the validation of a walk-forward fold.
        holdout_eras: Newest labelled eras that the gate judges by. No fold has an era of them, or of the embargo before
            them, so that nothing is chosen on them. 0 leaves out none.
        device: Device that networks train on.
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
    holdout_eras: int
    device: Device = "auto"
    report_progress: ProgressCallback = lambda _stage, _share, _note: None

    def resolve(self, recipe: Recipe) -> ResolvedRecipe:
        """Return a recipe with the data version, feature set and target of the experiment where it pins none."""
        return recipe.resolved(data_version=self.data_version, feature_set=self.feature_set, target=self.target)

    def metadata(self) -> FeatureMetadata:
        """Return the feature sets and groups of the data version."""
        return FeatureMetadata.read(self.data_folder / "features.json")

    @property
    def data_folder(self) -> Path:
        """Return the folder of the synced files."""
        return self.state_dir / "data" / self.data_version

    @property
    def network(self) -> NetworkOptions | None:
        """Return the options of the recipe's first network; ``None`` where it has none."""
        found = (getattr(one.options, "network", None) for one in self.recipe.members if one.head_of is None)
        return next((one for one in found if isinstance(one, NetworkOptions)), None)

    @property
    def trees(self) -> GbmOptions:
        """Return the options of the recipe's first LightGBM, or Numerai's small preset."""
        found = (one.options for one in self.recipe.members if isinstance(one.options, LightGBMOptions))
        return next(found, LightGBMOptions()).gbm

    def store(self) -> EraStore:
        """
        Return the newest era store.

        Raises:
            OperatorNeeded: There is no era store of the data version.
        """
        folder = EraStore.newest(self.state_dir / "store", self.data_version)
        if folder is None:
            raise OperatorNeeded(f"no era store of {self.data_version} in {self.state_dir}; run `bot sync` first")
        return EraStore.open(folder)

    def read(self, store: EraStore) -> TrainingSet:
        """
        Return the recipe's training set.

        Raises:
            SchemaMismatch: The data lack columns that the recipe names.
        """
        metadata = self.metadata()
        features = metadata.members(self.feature_set)
        targets = tuple(dict.fromkeys((self.target, *self.recipe.targets)))
        network = self.network
        history_targets = network.history_targets if network and network.lookback else ()
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
            lookback=network.lookback if network else 0,
            returns=self.returns(store, features, history_targets) if history_targets else None,
        )

    def returns(self, store: EraStore, features: Sequence[str], targets: Sequence[str]) -> FeatureReturns:
        """Return the feature returns of every era, from the table of `bot sync` if it has the targets."""
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
        Return walk-forward folds over the labelled eras before the hold-out, as positions in the store.

        *every* does not thin them.

        Raises:
            CannotSplit: No labelled era is left before the hold-out.
            OperatorNeeded: There are fewer than *least* folds.
        """
        return self._folds(data.store.eras, data.store.labelled(self.target), data.targets, least)

    def folds_of(self, store: EraStore, targets: Sequence[str], *, least: int) -> tuple[Split, ...]:
        """Return walk-forward folds with an embargo of the longest horizon of *targets*; see :meth:`folds`."""
        return self._folds(store.eras, store.select((), (self.target,)).labelled(self.target), targets, least)

    def _folds(
        self, eras: Sequence[str], known: npt.NDArray[np.bool_], targets: Sequence[str], least: int
    ) -> tuple[Split, ...]:
        labelled = before_holdout(eras, labelled=known, targets=targets, holdout_eras=self.holdout_eras)
        labelled[np.flatnonzero(labelled)[: -self.eras if self.eras else 0]] = False
        count = int(labelled.sum())
        folds: tuple[Split, ...] = ()
        if count > self.chunk:
            folds = walk_forward(eras, labelled=labelled, targets=targets, chunk=self.chunk)
        if len(folds) < least:
            before = f" before a hold-out of {self.holdout_eras}" if self.holdout_eras else ""
            raise OperatorNeeded(
                f"{count} labelled eras{before} in chunks of {self.chunk} make {len(folds)} folds, {least} are needed;"
                " choose a smaller --chunk or more --eras"
            )
        return folds

    def thinned(self, positions: Sequence[int]) -> tuple[int, ...]:
        """Return every *n*-th of *positions*, the newest among them."""
        return tuple(positions[:: -self.every][::-1])

    def stopping_split(self, eras: Sequence[str], fold: Split, targets: Sequence[str]) -> Split:
        """
        Split the training eras of a fold into eras to train on and newer ones for early stopping.

        Args:
            eras: All eras of the store.
            fold: The fold.
            targets: Targets that are trained on.

        Raises:
            CannotSplit: The fold has too few training eras.
        """
        labelled = np.zeros(len(eras), dtype=bool)
        labelled[list(fold.train)] = True
        return holdout(
            eras,
            labelled=labelled,
            targets=targets,
            validation_eras=stopping_eras(len(fold.train)),
            every=self.every,
            remedy="choose a larger --chunk or more --eras",
        )

    def results(self, name: str, store: EraStore, **about: Any) -> "ExperimentResults":  # noqa: ANN401 - JSON
        """
        Return the stored results of the experiment *name*.

        Args:
            name: Name of the experiment.
            store: Era store; results on other data go to another folder.
            about: Further options that the results depend on, as JSON.
        """
        content = {
            "blocks": [file.sha256 for file in store.files()],
            "feature_set": self.feature_set,
            "target": self.target,
            "recipe": self.recipe.digest,
            "eras": self.eras,
            "every": self.every,
            "chunk": self.chunk,
            "holdout_eras": self.holdout_eras,
            **about,
        }
        return ExperimentResults.of(self.state_dir / "experiments", name, content)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentResults:
    """
    Finished parts of an experiment, so that an interrupted one continues with the first unfinished part.

    Attributes:
        folder: Folder of the parts, made with the first one.
    """

    folder: Path

    @classmethod
    def of(cls, root: Path, name: str, about: Mapping[str, Any]) -> "ExperimentResults":
        """Return the results in *root* of the experiment *name* with exactly the data and options *about*."""
        digest = hashlib.sha256(json.dumps(plain(about), sort_keys=True).encode()).hexdigest()
        return cls(folder=root / f"{name}-{digest[:12]}")

    def text_part(self, name: str, make: Callable[[], str]) -> Path:
        """Return the path of the finished part *name*; if it is missing, write the text that *make* returns."""
        path = self.folder / name
        if not path.is_file():
            publish(path, make().encode())
        return path

    def part(self, name: str, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - JSON
        """Return the finished part *name* as JSON, made by *make* if it is missing; NaN and infinities are ``None``."""
        path = self.text_part(f"{name}.json", lambda: _json(make()))
        return json.loads(path.read_text(encoding="utf-8"))

    @property
    def path(self) -> Path:
        """Return the path of the experiment's result."""
        return self.folder / "result.json"

    def write(self, result: Any) -> None:  # noqa: ANN401 - any dataclass
        """Write the experiment's result; a result of an earlier run is replaced."""
        publish(self.path, _json(result).encode())


def plain(value: Any) -> Any:  # noqa: ANN401 - any dataclass, array or container of them
    """Return dataclasses, arrays and containers of them as JSON values; NaN and infinities become ``None``."""
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


def _json(value: Any) -> str:  # noqa: ANN401 - the argument of plain()
    return json.dumps(plain(value), indent=1) + "\n"
