"""What every experiment needs: the synced history, the lock, and a bar."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from bot import assembly
from bot.cli.console import kept_bar
from bot.judging.adoption import refuse_elsewhere
from bot.research.experiment import Experiment
from bot.settings import Settings, load_settings
from bot.system import logs
from bot.system.lock import state_lock
from bot.system.progress import ProgressCallback
from bot.training import recipe_file
from bot.training.recipes import Recipe, ResolvedRecipe


@contextmanager
def open_experiment(
    recipe: str | None, *, eras: int | None, every: int, chunk: int, others: Sequence[Recipe] = ()
) -> Iterator[Experiment]:
    """
    Open the synced history for an experiment, with a bar while it runs; one experiment runs at a time.

    Args:
        recipe: Recipe of the experiment; see :func:`find_plan`.
        eras: See :class:`Experiment`.
        every: See there.
        chunk: See there.
        others: Recipes that it is compared with; the longest hold-out of all of them is left out.
    """
    settings = load_settings()
    logs.configure(**settings.logging)
    plan = find_plan(settings, recipe)
    with state_lock(settings.state_dir, "experiment"), kept_bar(settings.state_dir, "experiment") as report_progress:
        experiment = make_experiment(
            settings, plan, eras=eras, every=every, chunk=chunk, report_progress=report_progress
        )
        longest = max([experiment.holdout_eras, *(one.holdout_eras for one in others)])
        yield replace(experiment, holdout_eras=longest)


def find_plan(settings: Settings, recipe: str | None) -> ResolvedRecipe:
    """
    Return a recipe with its own pins and the settings for the rest; ``None`` takes the first slot's recipe.

    Raises:
        BadConfig: The recipe is unknown, or a member may have learned from the eras of the experiment.
    """
    chosen = recipe_file.find(recipe or assembly.recipes_in_use(settings)[0])
    refuse_elsewhere(chosen)
    in_use = assembly.pins(settings, [chosen.name])[0].in_use
    return assembly.resolve_recipe(settings, chosen, data_version=in_use)


def make_experiment(
    settings: Settings,
    plan: ResolvedRecipe,
    *,
    eras: int | None,
    every: int,
    chunk: int,
    report_progress: ProgressCallback,
) -> Experiment:
    """Return the experiment of a recipe on the data version, feature set and target that it resolves to."""
    return Experiment(
        state_dir=settings.state_dir,
        data_version=plan.data_version,
        feature_set=plan.feature_set,
        target=plan.target,
        recipe=plan.recipe,
        eras=eras,
        every=every,
        chunk=chunk,
        holdout_eras=plan.recipe.holdout_eras,
        device=settings.device,
        report_progress=report_progress,
    )
