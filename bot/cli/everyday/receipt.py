"""The receipt of a submission: a table for a person, the same as JSON for a program."""

from typing import Any

from rich.markup import escape
from rich.table import Table

from bot.cli.console import console, gate_result, print_table
from bot.record.failures import gates_to_json
from bot.submission.submit import Receipt


def show_receipt(receipt: Receipt) -> None:
    """Print one submission: round, data, artifact, gates and outcome."""
    out = console()
    if receipt.outcome == "already confirmed":
        out.print(
            f"round {receipt.round.number}, slot {receipt.slot}: already confirmed, nothing to do"
            f" (submission {receipt.submission_id})",
            soft_wrap=True,
        )
        return
    table = Table(title=f"Round {receipt.round.number}, slot {receipt.slot}", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("opens", f"{receipt.round.opens_at:%a %Y-%m-%d %H:%M:%S} UTC")
    table.add_row("closes", f"{receipt.round.closes_at:%a %Y-%m-%d %H:%M:%S} UTC")
    table.add_row("data", f"{receipt.data_version}, sha256 {receipt.data_sha256[:12]}")
    table.add_row("artifact", receipt.artifact)
    if receipt.filled_by != "champion":
        table.add_row("filled by", f"[bold yellow]{receipt.filled_by}[/]: {escape(receipt.passed_over)}")
    for finding in receipt.findings:
        table.add_row(f"gate {finding.gate}", gate_result(finding))
    table.add_row("predictions", f"sha256 {receipt.csv_sha256[:12]}")
    table.add_row(
        "submission", receipt.submission_id or "none: a dry run uploads nothing; BOT_MODE=live without --dry-run does"
    )
    table.add_row("outcome", f"[bold green]{receipt.outcome}[/]" if receipt.submission_id else receipt.outcome)
    table.add_row("seconds", f"{receipt.seconds_used:.1f} used, {receipt.seconds_left:.0f} left until the close")
    if out.is_terminal:
        out.print()  # lines of the log stand above
    print_table(out, table)


def receipt_content(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt as plain JSON values."""
    return {
        "round": receipt.round.number,
        "opens_at": receipt.round.opens_at.isoformat(),
        "closes_at": receipt.round.closes_at.isoformat(),
        "slot": receipt.slot,
        "outcome": receipt.outcome,
        "artifact": receipt.artifact,
        "filled_by": receipt.filled_by,
        "passed_over": receipt.passed_over,
        "data_version": receipt.data_version,
        "data_sha256": receipt.data_sha256,
        "csv_sha256": receipt.csv_sha256,
        "submission": receipt.submission_id,
        "gates": gates_to_json(receipt.findings),
        "seconds_used": receipt.seconds_used,
        "seconds_left": receipt.seconds_left,
    }
