"""`bot tune`: search for a better recipe, on as many machines as share the study."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import typer
from rich.markup import escape
from rich.table import Table

from bot.cli.answer import Answer
from bot.cli.console import console, kept_bar, print_table
from bot.cli.research._experiment import find_plan, make_experiment
from bot.errors import BadConfig
from bot.reporting.chart_axes import format_number
from bot.research.search_space import SearchSpace
from bot.research.trial_worker import BASE, Worker, open_study
from bot.research.tune import Tuning
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
        """Refuse a name that a built-in recipe or a folder of the bot has, or a file that this study did not write."""
        if self.name == recipe_file.RESERVED:
            raise BadConfig(f"no recipe can be called {self.name!r}, a folder of the bot; choose another --name")
        if self.name in RECIPES or (
            self.path.is_file() and not self.path.read_text(encoding="utf-8").startswith(self._mark)
        ):
            raise BadConfig(f"recipe {self.name!r} is there already, and not by this study; choose another --name")

    @staticmethod
    def check_folder() -> None:
        """Check that the winner can be written, before hours of trials."""
        try:
            recipe_file.FOLDER.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=recipe_file.FOLDER):
                pass
        except OSError as error:
            raise BadConfig(
                f"{recipe_file.FOLDER.absolute()} cannot be written: {error.strerror}; make it a folder that is writable by"
                f" uid {os.geteuid()}, for `bot tune` puts its recipe there"
            ) from None

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
) -> Answer:
    """
    Work on a study until it has *trials* trials, then write its winner as a recipe file; print and return the result.

    Args:
        trials: Trials of the study, all machines together.
        study: URL of a database; by default one of SQLite in the state directory.
        recipe: Name of the recipe to start from.
        name: Name of the recipe file to write.
        feature_sets: Feature sets to choose from beside the recipe's own, separated by commas.
        presets: Presets of LightGBM to choose from, separated by commas; by default its parameters are searched.
        eras: Newest eras before the hold-out to use; by default all.
        every: Train on every n-th era.
        chunk: Eras of a walk-forward fold.
        penalty: Standard deviations between folds to subtract from the mean.

    Raises:
        BadConfig: A preset is unknown, the recipe file exists and this study did not write it, or it or the database cannot be
            used.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    _RecipeFile.check_folder()
    plan = find_plan(settings, recipe)
    with stop_on_signal() as should_stop, kept_bar(settings.state_dir, "tune") as report_progress:
        experiment = make_experiment(
            settings, plan, eras=eras, every=every, chunk=chunk, report_progress=report_progress
        )
        space = _search_space(plan, feature_sets, presets)
        tuning = Tuning(experiment=experiment, space=space, penalty=penalty, should_stop=should_stop)
        file = _RecipeFile(name=name, study=tuning.name)
        file.refuse_foreign()
        shared = open_study(study or _default_study(settings.state_dir), tuning.name)
        worker = Worker(study=shared, trials=trials, base=space.base_parameters, should_stop=should_stop)
        finished = worker.work(tuning.objective)
    typer.echo(f"{shared.study_name}: {finished} trials done here, of {trials} in all")
    about = {"study": shared.study_name, "trials_wanted": trials, "trials_done_here": finished}
    if should_stop():
        typer.echo("stopped; run `bot tune` again, it goes on from there")
        return Answer(content={**about, "stopped": True, "trials": tuning.table(shared), "winner": None})
    winner = _write_winner(file, tuning, shared)
    return Answer(content={**about, "stopped": False, "trials": tuning.table(shared), "winner": winner})


def _default_study(state_dir: Path) -> str:
    """Return the URL of the database in the state directory."""
    folder = state_dir.resolve() / "tuning"
    journal = folder / "study.journal"
    if journal.is_file():
        raise BadConfig(
            f"{journal} is a study of an earlier version, which searched other options and cannot continue;"
            " delete it or move it away, then `bot tune` begins anew"
        )
    return f"sqlite:///{folder / 'study.sqlite'}"


def _search_space(plan: ResolvedRecipe, feature_sets: str | None, presets: str | None) -> SearchSpace:
    """Return the space around a recipe, with the feature sets and presets that are listed."""
    chosen = tuple(presets.split(",")) if presets else ()
    if unknown := sorted(set(chosen) - set(PRESETS)):
        raise BadConfig(f"no preset {', '.join(unknown)}; presets: {', '.join(PRESETS)}")
    sets = dict.fromkeys((plan.feature_set, *(feature_sets.split(",") if feature_sets else ())))
    return SearchSpace(base=plan.recipe, feature_sets=tuple(sets), presets=chosen)


def _write_winner(file: _RecipeFile, tuning: Tuning, study: optuna.Study) -> dict[str, Any]:
    """Write the recipe of the best trial; print and return it with the verdict."""
    winner = tuning.winner(study, file.name)
    _show(tuning, study)
    result = f"trial {study.best_trial.number}, worth {study.best_value:.5f} an era"
    file.write(winner, result)
    typer.echo(f"best: {result} by {tuning.references}")
    typer.echo(f"{tuning.verdict(study)}; pay is the plain mean, a trial's worth takes the spread of its folds off")
    if BASE in study.best_trial.user_attrs:
        typer.echo(f"there is nothing to retrain: {file.path} has the values of that recipe")
    else:
        typer.echo(f"wrote {file.path}; `bot retrain --recipe {file.name}` trains it, and the gate decides")
    return {
        "recipe": file.name,
        "file": file.path,
        "trial": study.best_trial.number,
        "value": study.best_value,
        "verdict": tuning.verdict(study),
    }


def _show(tuning: Tuning, study: optuna.Study) -> None:
    """Print the table of trials."""
    table = Table(title=f"Trials of {study.study_name}", title_justify="left")
    for name in ("trial", "state", "value", "CORR", "MMC or BMC", "different from the base"):
        table.add_column(name, justify="left" if name in ("state", "different from the base") else "right")
    for row in tuning.table(study):
        figures = (format_number(row.value, 5), format_number(row.corr, 4), format_number(row.contribution, 4))
        table.add_row(str(row.number), row.state, *figures, escape(row.about))
    print_table(console(), table)
