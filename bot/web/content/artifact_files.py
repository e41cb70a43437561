"""Manifest and evaluation of artifacts, read for a page: small JSON files, of which a damaged one is left out."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.serving.artifacts import MANIFEST
from bot.serving.names import ENSEMBLE

EVALUATION = "evaluation.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactFiles:
    """
    What a page needs to know of an artifact.

    Attributes:
        id: Id of the artifact.
        manifest: Content of its manifest.
        holdout: Eras and scores of the hold-out, as ``evaluation.json`` has them; empty where there are none.
    """

    id: str
    manifest: Mapping[str, Any]
    holdout: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> "ArtifactFiles | None":
        """Return the artifact of a folder; ``None`` where its manifest is absent or damaged."""
        manifest = _json(folder / MANIFEST)
        if not manifest:
            return None
        holdout = _json(folder / EVALUATION).get("holdout")
        return cls(id=folder.name, manifest=manifest, holdout=holdout if isinstance(holdout, dict) else {})

    @property
    def recipe(self) -> str:
        """Return the name of its recipe; empty where the manifest has none."""
        recipe = self.manifest.get("recipe")
        return str(recipe.get("name", "")) if isinstance(recipe, dict) else ""

    @property
    def target(self) -> str:
        """Return its main target; empty where the manifest has none."""
        return str(self.manifest.get("target") or "")

    @property
    def made_at(self) -> datetime | None:
        """Return when it was written, aware; ``None`` where that is not known."""
        try:
            found = datetime.fromisoformat(str(self.manifest["created_at"]))
        except (KeyError, ValueError):
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    @property
    def day(self) -> str:
        """Return the day of its writing as a person reads it, by its id where the manifest has none."""
        made = self.made_at
        return self.id[:10] if made is None else f"{made.day} {made:%b %Y}"

    def age(self, now: datetime) -> int | None:
        """Return its age in days; ``None`` where the manifest has no time."""
        made = self.made_at
        return None if made is None else max((now - made).days, 0)

    def summary(self, figure: str) -> float | None:
        """Return a figure of the ensemble's CORR, such as ``mean``; ``None`` for an adopted artifact, which has no scores."""
        scores = self.manifest.get("scores")
        ensemble = scores.get(ENSEMBLE) if isinstance(scores, dict) else None
        found = ensemble.get(figure) if isinstance(ensemble, dict) else None
        return float(found) if isinstance(found, int | float) else None

    @property
    def eras(self) -> list[str]:
        """Return the eras of its hold-out."""
        eras = self.holdout.get("eras")
        return [str(era) for era in eras] if isinstance(eras, list) else []

    def series(self, score: str) -> list[float | None]:
        """Return the ensemble's score of each era of the hold-out: ``corr``, ``bmc`` or ``mmc``; empty where there is none."""
        try:
            values = self.holdout["scores"][score][ENSEMBLE]
            found = [None if value is None else float(value) for value in values]
        except (KeyError, TypeError, ValueError):
            return []
        return found if len(found) == len(self.eras) else []


def all_artifacts(state_dir: Path) -> Iterator[ArtifactFiles]:
    """Yield the artifacts of a state directory, newest first."""
    for path in sorted((state_dir / "artifacts").glob(f"[0-9]*/{MANIFEST}"), reverse=True):
        found = ArtifactFiles.read(path.parent)
        if found is not None:
            yield found


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
