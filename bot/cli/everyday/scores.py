"""`bot scores`: live scores of the submissions, beside the scores that their artifacts had on the hold-out."""

import math
from collections.abc import Sequence

import typer
from rich.table import Table

from bot import assembly
from bot.cli.answer import Answer
from bot.cli.console import console, print_table
from bot.live.benchmark_check import measure
from bot.live.hosted_slots import warn_hosted
from bot.live.live_scores import LiveRound, LiveScores
from bot.live.selection import warn_unselected
from bot.live.sync import Calibration, calibrate, export, sync_scores
from bot.record.ledger import Ledger
from bot.settings import load_settings
from bot.system import logs

CORR = "corr60"
"""Numerai's name of the CORR that is paid since round 1343."""

ROUNDS = 30
"""Newest rounds in the table; the export has all of them."""


def show_scores(account: str | None, *, offline: bool) -> Answer:
    """Fetch scores unless *offline*; print and return them, and export them to ``live_record.parquet``."""
    settings = load_settings().of_account(account)
    logs.configure(**settings.logging)
    ledger, record = Ledger(settings.ledger_path), LiveScores(settings.ledger_path)
    notes: list[str] = []
    if not offline:
        client = assembly.open_client(settings)
        slots, artifacts = assembly.find_slots(settings, client), assembly.open_artifacts(settings)
        sync_scores(client, record, slots, settings.compare.split())
        wrong = (*warn_unselected(client, ledger, slots), *warn_hosted(client, ledger, account or ""))
        notes += [f"warning: {warning}" for warning in wrong]
        notes += [
            f"round {one.round}, {one.slot}: rank correlation {one.correlation:.3f} with {one.benchmark}"
            f" over {one.rows} rows{f'; {one.finding}' if one.finding else ''}"
            for one in measure(client, ledger, artifacts, slots, least=settings.min_benchmark_corr)
        ]
    rounds, path = record.rounds(), settings.state_dir / "live_record.parquet"
    calibrated = calibrate(rounds, ledger, assembly.open_artifacts(settings), score=CORR)
    if rounds:
        export(rounds, path)
    for note in notes:
        typer.echo(note)
    show_live(rounds, calibrated)
    exported_to = path if rounds else None
    return Answer(
        lines=(f"exported to {path}",) if rounds else (),
        content={"rounds": rounds, "artifacts": calibrated, "notes": notes, "exported_to": exported_to},
    )


def show_live(rounds: Sequence[LiveRound], calibrated: Sequence[Calibration]) -> None:
    """Print the newest live rounds, and the CORR of artifacts on the hold-out beside their live CORR."""
    out = console()
    if not rounds:
        out.print("no live score yet: a round is scored some days after it closes")
        return
    names = sorted({name for one in rounds for name in one.scores})
    table = Table(title="Live scores", title_justify="left")
    money = ("staked", "paid NMR", "over terms") if any(one.paid is not None for one in rounds) else ()
    for name in ("round", "model", *names, "pay of 1", *money, "day", ""):
        table.add_column(name, justify="left" if name in ("model", "") else "right")
    for one in rounds[-ROUNDS:]:
        cells = [f"{one.scores[name]:+.4f}" if name in one.scores else "" for name in names]
        pay = "" if one.pay is None else f"{one.pay:+.4f}"
        figures = [one.at_risk, one.paid, one.over_terms] if money else []
        cells += [pay, *("" if value is None else f"{value:.4f}" for value in figures)]
        table.add_row(str(one.round), one.slot, *cells, str(one.day), "resolved" if one.resolved else "")
    print_table(out, table)
    for found in calibrated:
        error = "" if math.isnan(found.error) else f" ± {found.error:.4f}"
        expected = f"expected CORR {found.expected:.4f}"
        out.print(
            f"{found.artifact}: {expected}, live {found.live:.4f}{error} over {found.rounds} rounds", soft_wrap=True
        )
