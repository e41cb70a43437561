"""The decision about an artifact as `bot retrain` and `bot unpack` print it."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from bot.cli.console import console, gate_result, print_table
from bot.judging.evaluation_file import CorrSummary
from bot.judging.promotion import Decision
from bot.record.failures import gates_to_json
from bot.serving.artifacts import Artifact


def show_decision(artifact: Artifact, scores: Mapping[str, CorrSummary], decision: Decision, *, note: str = "") -> None:
    """
    Print an artifact's scores on the hold-out, the findings of its judgement, and the decision.

    Args:
        artifact: The artifact.
        scores: CORR by member.
        decision: The decision.
        note: End of the last line.
    """
    recipe = artifact.manifest["recipe"]["name"]
    table = Table(title=f"Artifact {artifact.id} of recipe {recipe}", title_justify="left")
    for name in ("member", "CORR mean", "Sharpe", "max drawdown", "eras"):
        table.add_column(name, justify="left" if name == "member" else "right")
    for member, score in scores.items():
        table.add_row(member, f"{score.mean:.4f}", f"{score.sharpe:.2f}", f"{score.max_drawdown:.3f}", str(score.eras))
    findings = Table(title="Against the floors and the champion", title_justify="left", show_header=False)
    for finding in decision.findings:
        findings.add_row(finding.gate, gate_result(finding))
    out = console()
    print_table(out, table)
    print_table(out, findings)
    out.print(f"{_verdict(artifact, decision)}: {decision.reason}{note}", soft_wrap=True)


def _verdict(artifact: Artifact, decision: Decision) -> str:
    """Return whether the artifact was promoted, and for a refused one whether a champion stays."""
    if decision.promote:
        return "promoted"
    if artifact.manifest["decision"]["champion"]:
        return "not promoted, the champion stays"
    recipe = artifact.manifest["recipe"]["name"]
    return f"not promoted, so that {recipe} has no champion yet (`bot promote {artifact.id}` makes it one all the same)"


def decision_content(artifact: Artifact, scores: Mapping[str, CorrSummary], decision: Decision) -> dict[str, Any]:
    """Return the same for a program."""
    return {
        "recipe": artifact.manifest["recipe"]["name"],
        "artifact": artifact.id,
        "data_version": artifact.manifest["data_version"],
        "promoted": decision.promote,
        "reason": decision.reason,
        "scores": dict(scores),
        "findings": gates_to_json(decision.findings),
    }
