"""`bot evaluate e1`: scores of the network with one input more in each step, beside LightGBM."""

from bot.cli.answer import Answer
from bot.cli.research._experiment import open_experiment
from bot.cli.research.compare import show, write_page
from bot.research.ablation import STEPS, ladder
from bot.research.recipe_comparison import compare


def run_e1(recipe: str | None, *, eras: int | None, every: int, chunk: int) -> Answer:
    """Run the experiment; print and return its result."""
    with open_experiment(recipe, eras=eras, every=every, chunk=chunk) as experiment:
        result = compare(experiment, ladder(experiment), pairs=STEPS)
    show(result)
    return write_page(result)
