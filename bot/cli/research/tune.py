"""`bot tune`: search for a better recipe, on as many machines as share the study."""

from dataclasses import dataclass
from pathlib import Path

import optuna
import typer

from bot.cli.console import training_bar
from bot.cli.research._experiment import find_plan, make_experiment
from bot.errors import BadConfig
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.research.trial_worker import Worker, open_study
from bot.research.tune import SearchSpace, Tuning
from bot.settings import load_settings
from bot.system import logs
from bot.system.files import publish
from bot.system.signals import stop_on_signal
from bot.training import recipe_file
from bot.training.recipes import RECIPES, Recipe, ResolvedRecipe
from models.trees.gbm_options import PRESETS


@dataclass(frozen=True, slots=True, kw_only=True)
class _RecipeFile:
    """
    The recipe file that a study writes for its winner.

    Attributes:
        name: Name of the recipe.
        study: Name of the study; the file's first line begins with it.
    """

    name: str
    study: str

    @property
    def path(self) -> Path:
        return recipe_file.FOLDER / f"{self.name}.toml"

    @property
    def _mark(self) -> str:
        return f"# {self.study}, "

    def refuse_foreign(self) -> None:
        """Refuse a name that a built-in recipe has, or a file that this study did not write."""
        if self.name in RECIPES or (
            self.path.is_file() and not self.path.read_text(encoding="utf-8").startswith(self._mark)
        ):
            raise BadConfig(f"recipe {self.name!r} is there already, and not by this study; choose another --name")

    def write(self, recipe: Recipe, result: str) -> None:
        """Write the winner, with its *result* in the first line."""
        publish(self.path, f"{self._mark}{result}\n{recipe_file.to_toml(recipe)}".encode())


def tune_recipe(
    *,
    trials: int,
    study: str | None,
    recipe: str | None,
    name: str,
    feature_sets: str | None,
    presets: str | None,
    eras: int | None,
    every: int,
    chunk: int,
    penalty: float,
) -> None:
    """
    Work on a study until it has *trials* trials, then write its winner as a recipe file and print its path.

    Args:
        trials: Trials of the study, all machines together.
        study: Journal file or database URL; by default a journal in the state directory.
        recipe: Name of the recipe to start from.
        name: Name of the recipe file to write.
        feature_sets: Feature sets to choose from, separated by commas; by default the recipe's own.
        presets: Presets of trees to choose from, separated by commas; by default the recipe's own.
        eras: Newest eras before the hold-out to use; by default all.
        every: Train on every n-th era.
        chunk: Eras of a walk-forward fold.
        penalty: Standard deviations between folds to subtract from the mean.

    Raises:
        BadConfig: A preset is unknown, or the recipe file exists and this study did not write it.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    plan = find_plan(settings, recipe)
    with stop_on_signal() as should_stop, training_bar() as report_progress:
        experiment = make_experiment(
            settings, plan, eras=eras, every=every, chunk=chunk, report_progress=report_progress
        )
        space = _search_space(plan, feature_sets, presets)
        tuning = Tuning(experiment=experiment, space=space, penalty=penalty, should_stop=should_stop)
        file = _RecipeFile(name=name, study=tuning.name)
        file.refuse_foreign()
        shared = open_study(study or str(settings.state_dir / "tuning" / "study.journal"), tuning.name)
        finished = Worker(study=shared, trials=trials, should_stop=should_stop).work(tuning.objective)
    typer.echo(f"{shared.study_name}: {finished} trials done here, of {trials} in all")
    if should_stop():
        typer.echo("stopped; run `bot tune` again, it goes on from there")
    else:
        _write_winner(file, tuning, shared)


def _search_space(plan: ResolvedRecipe, feature_sets: str | None, presets: str | None) -> SearchSpace:
    """Return the space around a recipe, with the feature sets and presets that are listed, or else its own."""
    own = dict.fromkeys(one.options.preset for one in plan.recipe.members if isinstance(one.options, LightGBMOptions))
    chosen = tuple(presets.split(",")) if presets else tuple(own)
    if unknown := sorted(set(chosen) - set(PRESETS)):
        raise BadConfig(f"no preset {', '.join(unknown)}; presets: {', '.join(PRESETS)}")
    return SearchSpace(
        base=plan.recipe,
        feature_sets=tuple(feature_sets.split(",")) if feature_sets else (plan.feature_set,),
        presets=chosen,
    )


def _write_winner(file: _RecipeFile, tuning: Tuning, study: optuna.Study) -> None:
    result = f"trial {study.best_trial.number}, worth {study.best_value:.5f} an era"
    file.write(tuning.winner(study, file.name), result)
    scores = "CORR and BMC" if tuning.benchmark else "CORR alone, for some era lacks the benchmark's predictions"
    typer.echo(f"best: {result} by {scores}")
    typer.echo(f"wrote {file.path}; train it with `bot retrain --recipe {file.name}`")
