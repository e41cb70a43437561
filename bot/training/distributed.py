"""
Fit a recipe's network in this process, or in all processes that ``torchrun`` started.

One process leads: it syncs, fits trees, judges and writes. The others wait for requests and take part in every fit of a
network. They read the same store, and the predictions that the leading process's trees have written to disk.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from bot.errors import BadConfig
from bot.serving.names import STACKED
from bot.system.progress import ProgressCallback, RecordMetrics
from bot.training.network_fit import FittedNetwork, NetworkFitter
from bot.training.network_options import Device
from bot.training.recipes import Recipe, ResolvedRecipe
from bot.training.splits import Split
from bot.training.stacking import Stacker
from bot.training.training_set import TrainingSet
from models.training.distributed import Team


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """
    One fit, as the leading process sends it to the others; data are sent as the name of their store.

    Attributes:
        data: Training set, without stacked predictions.
        split: Training, validation and hold-out eras.
        resolved: Eras of the refit.
        plan: Recipe and main target.
    """

    data: TrainingSet
    split: Split
    resolved: tuple[int, ...]
    plan: ResolvedRecipe


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTeam:
    """
    One process of the team that fits networks; all processes share the state directory, under the same path.

    Attributes:
        state_dir: State directory, with the store and, under ``training``, checkpoints of interrupted fits.
        device: Device of this process.
        report_progress: Called with the progress.
        should_stop: Checked after every step; one process that stops ends all.
        record_metrics: Called with the metrics of every evaluation.
    """

    state_dir: Path
    device: Device
    report_progress: ProgressCallback = lambda _stage, _share, _note: None
    should_stop: Callable[[], bool] = lambda: False
    record_metrics: RecordMetrics = lambda _run, _step, _measured: None

    def fit(self, request: FitRequest, judged: Path, served: Path) -> FittedNetwork:
        """
        Fit together with the following processes; trees that the network is stacked on go to the folders.

        Raises:
            TrainingStopped: A process was stopped; everything is saved.
            ProcessLost: Another process has ended.
        """
        fitter = self._fitter(request, judged, served)
        Team.current().tell(request)
        return fitter.fit(request.split, request.resolved)

    def follow(self) -> None:
        """
        Take part in every fit until the leading process has none left.

        Raises:
            DatasetIncomplete: This process cannot read the store.
            TrainingStopped: A process was stopped.
            ProcessLost: Another process has ended.
        """
        none: FitRequest | None = None
        while (request := Team.current().tell(none)) is not None:
            with tempfile.TemporaryDirectory() as scratch:
                self._fitter(request, Path(scratch), Path(scratch)).fit(request.split, request.resolved)

    def _fitter(self, request: FitRequest, judged: Path, served: Path) -> NetworkFitter:
        """Return the fitter of the network, stacked on trees where the recipe is; the trees are fitted once."""
        data, refit_data, recipe = request.data, None, request.plan.recipe
        if recipe.network.stacked:
            stacker = Stacker(
                recipe=recipe,
                folds=self.state_dir / "training" / "folds",
                checkpoints=checkpoint_folder(self.state_dir, recipe),
                report_progress=self.report_progress,
                should_stop=self.should_stop,
            )
            data = stacker.stack(request.data, request.split.train, judged)
            if recipe.refit:
                refit_data = stacker.stack(request.data, request.resolved, served)
            elif served != judged:
                for path in judged.glob(f"{STACKED}*"):
                    shutil.copyfile(path, served / path.name)
        return NetworkFitter(
            data=data,
            refit_data=refit_data,
            recipe=recipe,
            target=request.plan.target,
            device=self.device,
            checkpoints=checkpoint_folder(self.state_dir, recipe),
            report_progress=self.report_progress,
            should_stop=self.should_stop,
            record_metrics=self.record_metrics,
        )


def checkpoint_folder(state_dir: Path, recipe: Recipe) -> Path:
    """Return the folder of the checkpoints from which an interrupted training of *recipe* continues."""
    return state_dir / "training" / recipe.name


def check_team_size(recipes: Iterable[Recipe], team: Team) -> None:
    """
    Refuse recipes that the team cannot train, before hours are spent on the data.

    Raises:
        BadConfig: The eras of a step cannot be divided among the processes of *team*.
    """
    for recipe in recipes:
        eras = recipe.network.eras_per_step
        if eras % team.size:
            raise BadConfig(
                f"recipe {recipe.name}: {team.size} processes cannot share a step of {eras} eras; set eras_per_step to a"
                f" multiple of {team.size}, or start as many processes as divide it"
            )
