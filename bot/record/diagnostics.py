"""
What Numerai's diagnostics said about artifacts: kept in the ledger before, while and after they are asked.

In the ledger and not beside the artifact, which is written once: what was sent must be known before it is, survive a
crash and a prune, and be backed up with everything else that was done on the server.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.record.database import Database
from bot.record.outbox import Outbox
from bot.system.kill_points import kill_point

Scores = Mapping[str, Mapping[str, float]]
"""By score (``corr``, ``bmc``, ``mmc``) and era."""

DIAGNOSTICS = "diagnostics"
"""How the names of their troubles begin."""

CONCLUDED = ("agrees", "differs", "refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactDiagnostics:
    """
    An artifact and its diagnostics.

    Attributes:
        artifact: Id.
        recipe: It was trained for.
        model_id: Of the slot they were sent to.
        token: How the name of the file begins.
        state: ``intended`` and ``sent`` are on the way; ``agrees``, ``differs`` and ``refused`` are conclusions.
        diagnostics_id: Of the server, once they are sent.
        ours: What was measured here.
        theirs: What Numerai measured; nothing until then.
        verdict: The conclusion in words.
        at: When it came to this state, aware UTC.
    """

    artifact: str
    recipe: str
    model_id: str
    token: str
    state: str
    diagnostics_id: str | None
    ours: Scores
    theirs: Scores
    verdict: str | None
    at: str

    @property
    def is_concluded(self) -> bool:
        """Say whether there is nothing left to ask."""
        return self.state in CONCLUDED


class DiagnosticsRecord(Database):
    """The diagnostics of a ledger."""

    def get(self, artifact: str) -> ArtifactDiagnostics | None:
        """Return what is known of an artifact's diagnostics, ``None`` where none were ever intended."""
        return self.all().get(artifact)

    def all(self) -> dict[str, ArtifactDiagnostics]:
        """Return what is known, by artifact."""
        return {
            row["artifact"]: ArtifactDiagnostics(
                **{**row, "ours": json.loads(row["ours"]), "theirs": json.loads(row["theirs"] or "{}")}
            )
            for row in self._select("SELECT * FROM diagnosis ORDER BY artifact")
        }

    def keep(self, record: ArtifactDiagnostics) -> None:
        """Keep *record* in place of what is known of its artifact."""
        with kill_point("diagnosis.keep"), self._transaction():
            self._db.execute(
                "INSERT OR REPLACE INTO diagnosis (artifact, recipe, model_id, token, state, diagnostics_id, ours,"
                " theirs, verdict, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    record.artifact, record.recipe, record.model_id, record.token, record.state, record.diagnostics_id,
                    json.dumps(record.ours), json.dumps(record.theirs), record.verdict, record.at,
                ),
            )  # fmt: skip


def alert_name(recipe: str) -> str:
    """Return the name of the trouble that a recipe's champion differs in Numerai's diagnostics."""
    return f"{DIAGNOSTICS} {recipe}"


def update_alert(outbox: Outbox, record: ArtifactDiagnostics, *, now: datetime) -> None:
    """Open or close the trouble of the recipe whose champion *record* is about."""
    if record.state == "agrees":
        outbox.resolve(alert_name(record.recipe), f"{record.artifact}: {record.verdict}", at=now)
    elif record.is_concluded:
        title = f"Numerai's diagnostics of the champion of {record.recipe}: {record.state}"
        outbox.alert(alert_name(record.recipe), title, f"{record.artifact}: {record.verdict}", at=now)


def champions_to_diagnose(
    champions: Mapping[str, str], known: Mapping[str, ArtifactDiagnostics], troubles: Mapping[str, str]
) -> tuple[str, ...]:
    """
    Return the champions, by id, that have no conclusion yet, or one that a person was not told of.

    Args:
        champions: By recipe.
        known: What is known, by artifact.
        troubles: Open ones, by name.
    """
    return tuple(
        identity
        for recipe, identity in champions.items()
        if identity not in known
        or not known[identity].is_concluded
        or (alert_name(recipe) in troubles) == (known[identity].state == "agrees")
    )
