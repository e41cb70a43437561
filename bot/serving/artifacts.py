"""
Artifacts: finished training runs, written once, verified before every use, and one champion pointer per recipe.

::

    artifacts/
      2026-11-24T1018Z-3f9c/     manifest.json and the files it lists with their sha256
      champions/standard.json    {"champion": id, "previous": [ids, newest first], "by": "gate", "operator" or "rollback"}
"""

import hashlib
import json
import secrets
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bot.errors import ArtifactInvalid, BadConfig, NoChampion
from bot.system.files import publish, rename, sha256_of, sync

MANIFEST = "manifest.json"
KEPT = 5
"""Champions that stay on disk for a rollback, the current one included; and, of each recipe, newest challengers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """An artifact whose files all match their recorded sha256."""

    id: str
    folder: Path
    manifest: Mapping[str, Any]

    def path(self, name: str) -> Path:
        """Return the path of one of the artifact's files."""
        return self.folder / name


class ArtifactStore:
    """The ``artifacts`` folder of a state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, *, files: Mapping[str, bytes | Path], manifest: Mapping[str, Any], at: datetime) -> Artifact:
        """
        Publish a finished training run under a new id; a crash before the last step leaves nothing visible.

        Args:
            files: Content, or a file to take over, by name.
            manifest: What the run was; ``files`` with sha256 and size is added here.
            at: Aware UTC; the id begins with it, so that ids sort by time.
        """
        identity = f"{at:%Y-%m-%dT%H%M%SZ}-{secrets.token_hex(2)}"
        staging = self.root / f".{identity}"
        staging.mkdir(parents=True)
        listed = {}
        for name, content in sorted(files.items()):
            target = staging / name
            if isinstance(content, Path):
                shutil.copyfile(content, target)
            else:
                target.write_bytes(content)
            sync(target)
            listed[name] = {"sha256": sha256_of(target), "bytes": target.stat().st_size}
        full = {**manifest, "id": identity, "created_at": at.isoformat(), "files": listed}
        full["digest"] = _digest(full)
        (staging / MANIFEST).write_text(json.dumps(full, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        sync(staging / MANIFEST)
        sync(staging)
        rename(staging, self.root / identity)
        return self.open(identity)

    def open(self, identity: str) -> Artifact:
        """
        Verify every file of an artifact against its manifest and return it.

        Raises:
            ArtifactInvalid: The artifact is absent, or a file is missing or differs by a single bit.
        """
        folder = self.root / identity
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            listed = manifest["files"]
            if manifest["id"] != identity or manifest["digest"] != _digest(manifest):
                raise ArtifactInvalid(f"artifact {identity}: {MANIFEST} is damaged or belongs to another artifact")
        except FileNotFoundError:
            raise ArtifactInvalid(f"artifact {identity} is not in {self.root}") from None
        except (ValueError, KeyError, TypeError):
            raise ArtifactInvalid(f"artifact {identity}: {MANIFEST} is damaged") from None
        for name, expected in listed.items():
            path = folder / name
            if not path.is_file():
                raise ArtifactInvalid(f"artifact {identity}: {name} is missing")
            if sha256_of(path) != expected["sha256"]:
                raise ArtifactInvalid(f"artifact {identity}: {name} differs from its recorded sha256")
        return Artifact(id=identity, folder=folder, manifest=manifest)

    def identities(self) -> tuple[str, ...]:
        """Return the ids of all artifacts, oldest first."""
        if not self.root.is_dir():
            return ()
        return tuple(sorted(folder.name for folder in self.root.iterdir() if folder.name[0].isdigit()))

    def pinned(self, key: str) -> set[str]:
        """Return what the artifacts' manifests say under *key*; a damaged artifact says nothing."""
        return {str(about[key]) for about in map(self._peek, self.identities()) if key in about}

    def data_version(self, identity: str) -> str | None:
        """Return the data version an artifact was trained on, unverified; ``None`` where its manifest is damaged."""
        said = self._peek(identity).get("data_version")
        return None if said is None else str(said)

    def trained_on(self, identity: str, stores: Path) -> bool:
        """Say whether one of *stores* is what an artifact was trained on; unverified, a damaged manifest names none."""
        named = self._peek(identity).get("store")
        return named is not None and (stores / str(named)).is_dir()

    def champions(self, recipe: str) -> tuple[str, ...]:
        """
        Return the recipe's champion and the ones before it, newest first.

        Raises:
            NoChampion: Nothing has been promoted yet.
        """
        try:
            pointer = json.loads(self._pointer(recipe).read_text(encoding="utf-8"))
            return (pointer["champion"], *pointer["previous"])
        except FileNotFoundError:
            raise NoChampion(f"recipe {recipe!r} has no champion yet; run `bot retrain` first") from None
        except (ValueError, KeyError, TypeError):
            raise ArtifactInvalid(
                f"{self._pointer(recipe)} is damaged; point it at an artifact with `bot promote ID`"
            ) from None

    def promote(self, recipe: str, identity: str, *, by: str = "gate") -> None:
        """
        Make an artifact the recipe's champion in one atomic step, and keep the last five.

        Args:
            recipe: Whose champion.
            identity: Of the artifact; its gate may have kept it back.
            by: Who wanted it, for the record.

        Raises:
            ArtifactInvalid: The artifact does not verify.
            BadConfig: It was trained for another recipe.
        """
        artifact = self.open(identity)
        trained_for = artifact.manifest["recipe"]["name"]
        if trained_for != recipe:
            raise BadConfig(f"artifact {identity} was trained for recipe {trained_for!r}, not {recipe!r}")
        try:
            before = self.champions(recipe)
        except (NoChampion, ArtifactInvalid):
            before = ()
        self._point(recipe, [identity, *(one for one in before if one != identity)][:KEPT], by=by)
        self.prune()

    def rollback(self, recipe: str) -> str:
        """
        Make the champion before the current one the champion again; return its id.

        Raises:
            NoChampion: There is none before the current one.
        """
        before = self.champions(recipe)[1:]
        if not before:
            raise NoChampion(f"recipe {recipe!r} has no champion before the current one to go back to")
        self.open(before[0])
        self._point(recipe, before, by="rollback")
        return before[0]

    def _pointer(self, recipe: str) -> Path:
        return self.root / "champions" / f"{recipe}.json"

    def _point(self, recipe: str, order: Sequence[str], *, by: str) -> None:
        pointer = self._pointer(recipe)
        publish(pointer, json.dumps({"champion": order[0], "previous": list(order[1:]), "by": by}).encode())

    def prune(self) -> None:
        """
        Remove what nobody goes back to: artifacts older than every kept champion, and all but the newest challengers.

        A run still being judged is the newest there is. While a pointer is damaged, nothing is removed.
        """
        kept: set[str] = set()
        for pointer in (self.root / "champions").glob("*.json"):
            try:
                kept.update(self.champions(pointer.stem))
            except ArtifactInvalid:
                return
        oldest, challengers = min(kept, default=""), Counter[str]()
        for identity in reversed(self.identities()):
            if identity in kept:
                continue
            about = self._peek(identity).get("recipe")
            recipe = str(about.get("name", "")) if isinstance(about, dict) else ""
            challengers[recipe] += 1
            if identity < oldest or challengers[recipe] > KEPT:
                # Out of sight in one step: killed half-way, it is no artifact any more.
                gone = self.root / f".{identity}"
                (self.root / identity).rename(gone)
                shutil.rmtree(gone)

    def _peek(self, identity: str) -> Mapping[str, Any]:
        """Return an artifact's manifest, unverified; a damaged one says nothing."""
        try:
            about = json.loads((self.root / identity / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return about if isinstance(about, dict) else {}


def _digest(manifest: Mapping[str, Any]) -> str:
    """Return the sha256 of the manifest's content without its own digest."""
    content = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
