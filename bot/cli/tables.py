"""What an experiment found, as a person reads it on the terminal."""

import math

from rich.table import Table

from bot.cli.console import console
from bot.research.ablation_experiment import E1
from bot.research.factor_momentum import WEIGHTS
from bot.research.interpretation import Interpretation
from bot.research.momentum_experiment import E0


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


def show_e1(found: E1) -> None:
    """Print every rung's scores, and how each differs from the one below."""
    out = console()
    title = f"The ladder, {found.folds} folds, {found.seeds} seeds a network ({found.target})"
    scores = Table(title=title, title_justify="left")
    for name in ("model", "CORR mean", "Sharpe", "max drawdown", "BMC mean", "eras"):
        scores.add_column(name, justify="left" if name == "model" else "right")
    for one in found.rungs:
        contribution = "" if math.isnan(one.bmc) else f"{one.bmc:.4f}"
        scores.add_row(
            one.name, f"{one.corr:.4f}", f"{one.sharpe:.2f}", f"{one.max_drawdown:.3f}", contribution, str(one.eras)
        )
    out.print(scores)
    steps = Table(title="Paired differences by era", title_justify="left")
    for name in ("score", "model", "less", "mean", "error", "t", "detectable", "eras"):
        steps.add_column(name, justify="left" if name in ("score", "model", "less") else "right")
    for step in found.differences:
        figures = (f"{step.mean:+.4f}", f"{step.error:.4f}", f"{step.t:.1f}", f"{step.detectable:.4f}", str(step.eras))
        steps.add_row(step.score, step.late, step.early, *figures)
    out.print(steps)
    out.print("error: Newey-West; detectable: what these eras would have shown in four of five cases")
    out.print(f"{found.path} ({found.seconds:.1f} s)", soft_wrap=True)


def show_interpretation(found: Interpretation) -> None:
    """Print what CORR loses without each part, how the past is weighed, and the explained rows."""
    out = console()
    title = f"CORR lost when permuted within eras {found.eras[0]} to {found.eras[1]} ({found.target})"
    losses = Table(title=title, title_justify="left")
    for name in ("part", "loss", "95 % interval"):
        losses.add_column(name, justify="left" if name == "part" else "right")
    parts = (("group", found.groups), ("history of", found.history_targets), ("resolved eras", found.history_lags))
    for kind, weights in parts:
        for one in weights:
            interval = "too few eras" if math.isnan(one.low) else f"[{one.low:+.4f}, {one.high:+.4f}]"
            losses.add_row(f"{kind} {one.name}", f"{one.value:+.4f}", interval, end_section=one is weights[-1])
    out.print(losses)
    if found.seen:
        out.print("the network was trained on some of these eras: losses are those of what it remembers")
    for curve in found.curves:
        shown = " ".join(f"{weight:+.2f}" for weight in curve.weights[:8])
        out.print(f"network {curve.network}, {curve.target}: newest resolved eras weigh {shown}", soft_wrap=True)
    if found.rows:
        rows = Table(title="Rows explained: what was added to the expected CORR value", title_justify="left")
        for name in ("id", "score", "baseline", "largest parts"):
            rows.add_column(name, justify="right" if name in ("score", "baseline") else "left")
        for row in found.rows:
            history = {f"history {name}": value for name, value in row.history.items()}
            added = {**row.groups, "aggregates": row.engineered, **history}
            largest = sorted(added.items(), key=lambda part: -abs(part[1]))[:4]
            text = ", ".join(f"{name} {value:+.4f}" for name, value in largest)
            rows.add_row(row.id, f"{row.score:+.4f}", f"{row.baseline:+.4f}", text)
        out.print(rows)
    out.print(str(found.path), soft_wrap=True)
