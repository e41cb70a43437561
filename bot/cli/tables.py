"""What an experiment found, as a person reads it on the terminal."""

import math

from rich.table import Table

from bot.console import console
from bot.experiments import E0
from bot.factor_momentum import WEIGHTS


def show_e0(found: E0) -> None:
    """Print persistence, gains and the verdict."""
    out = console()
    lasting = Table(title="Cosine of feature returns that share no day", title_justify="left")
    for name in ("target", "lag", "mean cosine", "95 % interval", "eras"):
        lasting.add_column(name, justify="left" if name == "target" else "right")
    for one in found.persistence:
        low, high = one.cosine.low, one.cosine.high
        interval = f"[{low:+.4f}, {high:+.4f}]"
        lag = str(one.lag) if one.lag else "judged"
        lasting.add_row(one.target, lag, f"{one.cosine.estimate:+.4f}", interval, str(one.eras))
    out.print(lasting, markup=False)
    adding = Table(title=f"Momentum of feature returns beside LightGBM ({found.target})", title_justify="left")
    for name in ("score", "alone", "beside", "gain", "t", "eras"):
        adding.add_column(name, justify="left" if name == "score" else "right")
    adding.add_row("LightGBM", f"{found.baseline:.4f}", "", "", "", str(found.gains[-1].eras))
    for gain in found.gains:
        alone = "" if math.isnan(gain.alone) else f"{gain.alone:.4f}"
        adding.add_row(gain.name, alone, f"{gain.beside:.4f}", f"{gain.gain:+.4f}", f"{gain.t:.1f}", str(gain.eras))
    out.print(adding)
    weights = ", ".join(f"{weight:g}" for weight in WEIGHTS)
    out.print(f"weights ({weights}) and half-lives are chosen on the folds before the one they are measured on")
    out.print(found.sentence, soft_wrap=True, style="bold")
    out.print(f"{found.path} ({found.seconds:.1f} s)", soft_wrap=True)
