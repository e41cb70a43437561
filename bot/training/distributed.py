"""
Fit a recipe's network, in this process alone or in all that ``torchrun`` started.

One process leads: it syncs, grows trees, judges and writes. The others follow: they wait, and take part in every fit of
a network, from the same store and from the predictions that the leading process's trees have left on disk.
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
    This process's part in fitting networks; all have the same state directory, under the same path.

    Attributes:
        state_dir: Holds the store, and under ``training`` what an interrupted fit goes on from.
        device: Where.
        report_progress: Called with the progress.
        should_stop: Asked after every step; one process that is told to stop stops all.
        record_metrics: Called with the metrics of every evaluation.
    """

    state_dir: Path
    device: Device
    report_progress: ProgressCallback = lambda _stage, _share, _note: None
    should_stop: Callable[[], bool] = lambda: False
    record_metrics: RecordMetrics = lambda _run, _step, _measured: None

    def fit(self, request: FitRequest, judged: Path, served: Path) -> FittedNetwork:
        """
        Fit together with those that follow; trees that the network is stacked on go to the folders.

        Raises:
            TrainingStopped: A process was told to stop; everything is saved.
            ProcessLost: Another process has gone.
        """
        fitter = self._fitter(request, judged, served)
        Team.current().tell(request)
        return fitter.fit(request.split, request.resolved)

    def follow(self) -> None:
        """
        Take part in every fit until the process that leads has none left.

        Raises:
            DatasetIncomplete: The store cannot be seen from here.
            TrainingStopped: A process was told to stop.
            ProcessLost: Another process has gone.
        """
        none: FitRequest | None = None
        while (request := Team.current().tell(none)) is not None:
            with tempfile.TemporaryDirectory() as scratch:
                self._fitter(request, Path(scratch), Path(scratch)).fit(request.split, request.resolved)

    def _fitter(self, request: FitRequest, judged: Path, served: Path) -> NetworkFitter:
        """Return what fits the network, stacked on trees where the recipe says so; they are grown once."""
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
    """Return the folder for what an interrupted training of *recipe* goes on from."""
    return state_dir / "training" / recipe.name


def check_team_size(recipes: Iterable[Recipe], team: Team) -> None:
    """
    Look at the recipes before hours are spent on what cannot end well.

    Raises:
        BadConfig: The eras of a step cannot be shared among the processes of *team*.
    """
    for recipe in recipes:
        eras = recipe.network.eras_per_step
        if eras % team.size:
            raise BadConfig(
                f"recipe {recipe.name}: {team.size} processes cannot share a step of {eras} eras; set eras_per_step to a"
                f" multiple of {team.size}, or start as many processes as divide it"
            )
