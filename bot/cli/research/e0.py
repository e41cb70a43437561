"""`bot evaluate e0`: persistence of feature returns, and what their momentum adds to LightGBM."""

import math

from rich.table import Table

from bot.cli.answer import Answer
from bot.cli.console import console, print_table
from bot.cli.research._experiment import open_experiment
from bot.research import momentum_experiment
from bot.research.experiment import plain
from bot.research.factor_momentum import WEIGHTS
from bot.research.momentum_experiment import E0


def run_e0(recipe: str | None, *, eras: int | None, every: int, chunk: int) -> Answer:
    """Run the experiment; print and return its result."""
    with open_experiment(recipe, eras=eras, every=every, chunk=chunk) as experiment:
        result = momentum_experiment.e0(experiment)
    _show(result)
    return Answer(content={"experiment": plain(result)})


def _show(result: E0) -> None:
    """Print persistence, gains and the verdict."""
    out = console()
    persistence = Table(title="Cosine of feature returns that share no day", title_justify="left")
    for name in ("target", "lag", "mean cosine", "95 % interval", "eras"):
        persistence.add_column(name, justify="left" if name == "target" else "right")
    for one in result.persistence:
        low, high = one.cosine.low, one.cosine.high
        interval = f"[{low:+.4f}, {high:+.4f}]"
        lag = str(one.lag) if one.lag else "judged"
        persistence.add_row(one.target, lag, f"{one.cosine.estimate:+.4f}", interval, str(one.eras))
    print_table(out, persistence)
    gains = Table(title=f"Momentum of feature returns beside LightGBM ({result.target})", title_justify="left")
    for name in ("score", "alone", "beside", "gain", "t", "eras"):
        gains.add_column(name, justify="left" if name == "score" else "right")
    gains.add_row("LightGBM", f"{result.baseline:.4f}", "", "", "", str(result.gains[-1].eras))
    for gain in result.gains:
        alone = "" if math.isnan(gain.alone) else f"{gain.alone:.4f}"
        gains.add_row(gain.name, alone, f"{gain.beside:.4f}", f"{gain.gain:+.4f}", f"{gain.t:.1f}", str(gain.eras))
    print_table(out, gains)
    weights = ", ".join(f"{weight:g}" for weight in WEIGHTS)
    out.print(f"weights ({weights}) and half-lives are chosen on the folds before the one they are measured on")
    out.print(result.sentence, soft_wrap=True, style="bold")
    out.print(f"{result.path} ({result.seconds:.1f} s)", soft_wrap=True)
