"""What every experiment needs: the synced history, the lock, and a bar."""

from collections.abc import Iterator
from contextlib import contextmanager

from bot import assembly
from bot.cli.console import training_bar
from bot.research.experiment import Experiment
from bot.settings import load_settings
from bot.system import logs
from bot.system.lock import state_lock
from bot.training import recipe_file


@contextmanager
def open_experiment(recipe: str | None, *, eras: int | None, every: int, chunk: int) -> Iterator[Experiment]:
    """Open the synced history for an experiment, with a bar while it runs; one experiment runs at a time."""
    settings = load_settings()
    logs.configure(**settings.logging)
    chosen = recipe_file.find(recipe or settings.recipe)
    with state_lock(settings.state_dir, "experiment"), training_bar() as report_progress:
        yield Experiment(
            state_dir=settings.state_dir,
            data_version=assembly.pins(settings, [chosen.name])[0].in_use,
            feature_set=settings.feature_set,
            target=settings.target,
            recipe=chosen,
            eras=eras,
            every=every,
            chunk=chunk,
            device=settings.device,
            report_progress=report_progress,
        )
