"""
Numerai's diagnostics of artifacts, recorded in the ledger before, during and after the upload.

They are in the ledger, not beside the artifact, which is written once: an upload must be recorded before it begins,
survive a crash and the removal of the artifact, and be backed up with all other effects on the server.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bot.record.database import Database
from bot.record.outbox import Outbox
from bot.system.kill_points import kill_point

Scores = Mapping[str, Mapping[str, float]]
"""Values by score (``corr``, ``bmc``, ``mmc``) and era."""

DIAGNOSTICS = "diagnostics"
"""Prefix of the names of their alerts."""

CONCLUDED = ("agrees", "differs", "refused")
"""States in which the diagnostics are complete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactDiagnostics:
    """
    Numerai's diagnostics of one artifact.

    Attributes:
        artifact: Id of the artifact.
        recipe: Recipe of the artifact.
        model_id: Model of the slot that the predictions were uploaded to.
        token: Beginning of the uploaded file's name.
        state: ``intended`` or ``sent`` while incomplete; ``agrees``, ``differs`` or ``refused`` when complete.
        diagnostics_id: Id on the server, once sent.
        ours: The bot's scores.
        theirs: Numerai's scores; empty until they arrive.
        verdict: The conclusion as a message.
        at: ISO time of the last change of *state*, UTC.
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
        """Return whether the diagnostics are complete."""
        return self.state in CONCLUDED


class DiagnosticsRecord(Database):
    """The diagnostics that a ledger records."""

    def get(self, artifact: str) -> ArtifactDiagnostics | None:
        """Return the diagnostics of an artifact, ``None`` where none were intended."""
        return self.all().get(artifact)

    def all(self) -> dict[str, ArtifactDiagnostics]:
        """Return all diagnostics by artifact."""
        return {
            row["artifact"]: ArtifactDiagnostics(
                **{**row, "ours": json.loads(row["ours"]), "theirs": json.loads(row["theirs"] or "{}")}
            )
            for row in self._select("SELECT * FROM diagnosis ORDER BY artifact")
        }

    def keep(self, record: ArtifactDiagnostics) -> None:
        """Record the diagnostics of an artifact, in place of earlier ones."""
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
    """Return the name of the alert about the diagnostics of a recipe's champion."""
    return f"{DIAGNOSTICS} {recipe}"


def update_alert(outbox: Outbox, record: ArtifactDiagnostics, *, now: datetime) -> None:
    """Open or close the alert of the recipe whose champion *record* is about."""
    if record.state == "agrees":
        outbox.resolve(alert_name(record.recipe), f"{record.artifact}: {record.verdict}", at=now)
    elif record.is_concluded:
        title = f"Numerai's diagnostics of the champion of {record.recipe}: {record.state}"
        outbox.alert(alert_name(record.recipe), title, f"{record.artifact}: {record.verdict}", at=now)


def champions_to_diagnose(
    champions: Mapping[str, str], known: Mapping[str, ArtifactDiagnostics], alerts: Mapping[str, str]
) -> tuple[str, ...]:
    """
    Return the ids of champions whose diagnostics are incomplete, or whose alert does not match them.

    Args:
        champions: Id of the champion by recipe.
        known: Diagnostics by artifact.
        alerts: Titles of the open alerts by name.
    """
    return tuple(
        identity
        for recipe, identity in champions.items()
        if identity not in known
        or not known[identity].is_concluded
        or (alert_name(recipe) in alerts) == (known[identity].state == "agrees")
    )
