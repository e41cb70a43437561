"""Model Uploads: pickles, Numerai's validation of them, and their daily submissions. No pickle is ever loaded."""

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.sandbox._graphql import Refused

VERSIONS = {"v5.3": "b3ad5b94-0000-4000-8000-000000000053"}
IMAGES = {f"Python 3.{minor}": f"0d0c4e12-0000-4000-8000-{minor:012}" for minor in range(10, 14)}
"""Ids of the data versions and of the images that pickles run on, by name."""

STEPS = ("pending", "validating", "validated")
"""States of a validation: each query for pickles moves it on by one, so that a client that does not poll never sees its end."""


@dataclass(slots=True, kw_only=True)
class HostedPickle:
    """
    A pickle that was uploaded for a model.

    Attributes:
        id: Id of the upload.
        filename: Name of the stored file.
        model_id: Model that it was uploaded for.
        inserted_at: Time of the upload.
        validation: State of the validation.
        runs: Runs, oldest first: id, state and description.
    """

    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    filename: str
    model_id: str
    inserted_at: datetime
    validation: str = STEPS[0]
    runs: list[tuple[str, str, str]] = field(default_factory=list)

    def look(self, *, hangs: bool, fails_with: str | None) -> None:
        """Move the validation on by one step, unless it *hangs* or *fails_with* a reason."""
        if hangs or self.validation not in STEPS[:-1]:
            return
        if fails_with is None:
            self.validation = STEPS[STEPS.index(self.validation) + 1]
        else:
            self.validation = "failed"
            self.run("failed", fails_with)

    def run(self, state: str, description: str = "") -> None:
        """Record a run of the pickle that ended in *state*."""
        self.runs.append((str(uuid.uuid4()), state, description))


def pickle_json(one: HostedPickle, model_ids: list[str]) -> dict[str, Any]:
    """Return a pickle in the form of the API; *model_ids* are the models that run it."""
    runs = [
        {"id": identity, "status": state, "statuses": [{"status": state, "description": description or None}]}
        for identity, state, description in one.runs
    ]
    submitted = [state for _, state, _ in one.runs if state.startswith("submission_")]
    return {
        "id": one.id, "filename": one.filename, "model_id": one.model_id, "assigned_model_slots": model_ids,
        "validation_status": one.validation, "trigger_status": submitted[-1] if submitted else None,
        "diagnostics_status": None, "diagnostics_status_description": None, "triggers": runs,
        "inserted_at": f"{one.inserted_at:%Y-%m-%dT%H:%M:%SZ}", "updated_at": f"{one.inserted_at:%Y-%m-%dT%H:%M:%SZ}",
    }  # fmt: skip


def known_option(options: dict[str, str], wanted: str | None, what: str) -> None:
    """Refuse an id that is none of the *options*; ``None`` is the default."""
    if wanted is not None and wanted not in options.values():
        raise Refused(f"{what} not found")
