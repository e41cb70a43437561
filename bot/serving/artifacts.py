"""
Store artifacts, the finished training runs: write each once, verify it before every use, point at each recipe's champion.

::

    artifacts/
      2026-11-24T1018Z-3f9c/     manifest.json and the files it lists with their sha256
      champions/standard.json    {"champion": id, "previous": [ids, newest first], "by": "gate", "operator" or "rollback"}
"""

import errno
import hashlib
import json
import re
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.errors import ArtifactInvalid, BadConfig, NoChampion, StateLocked
from bot.system.file_names import is_file_name, shown
from bot.system.files import publish, rename, sha256_of, sync
from bot.system.kill_points import kill_point

MANIFEST = "manifest.json"
ID_TIME = "%Y-%m-%dT%H%M%SZ"
"""Form of the time with which an id begins."""

FORMAT = 2
"""Number under the key ``format`` of the manifests that this bot writes. Manifests without the key are older."""

NEEDED = (("recipe", "name"), ("recipe", "neutralize"), ("target",), ("neutralizers",), ("scores",))
"""Keys of a manifest that serving needs, each with the keys of the tables around it."""

MEMBERS = (("members",), ("weights",))
"""Further keys since format 2. Older artifacts name their members in the recipe's weights."""

LOCK_S = 60
"""Longest wait for another process that changes a pointer, in seconds; it deletes old artifacts meanwhile."""

_ID = re.compile(r"[0-9][0-9A-Za-z-]{0,63}")
_MADE = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z-[0-9a-f]{4}")

LEFT_S = 86400.0
"""Seconds after which a folder that nobody has finished writing is one of a killed process."""

_NO_ID = "{!r} is not the id of an artifact; `bot verify` lists them"
OF_THE_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""Errors that no other artifact would be spared."""

KEPT = 5
"""Number of champions of a recipe on disk, the current one included, and of its newest challengers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """
    An artifact whose files all match their recorded sha256.

    Attributes:
        id: Id, which begins with the time of writing.
        folder: Folder of the files.
        manifest: Content of the manifest.
    """

    id: str
    folder: Path
    manifest: Mapping[str, Any]

    def path(self, name: str) -> Path:
        """Return the path of one of the artifact's files."""
        return self.folder / name

    def required(self, *keys: str) -> Any:  # noqa: ANN401 - a value of the manifest
        """
        Return the manifest's value under nested keys.

        Raises:
            ArtifactInvalid: The manifest has no such key.
        """
        value: Any = self.manifest
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                raise ArtifactInvalid(
                    f"artifact {self.id}: {MANIFEST} has no {'.'.join(keys)!r}, so another version of the bot made it;"
                    " train a new one with `bot retrain`, or go back with `bot rollback`"
                )
            value = value[key]
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptBack:
    """
    An artifact that its gates refused, of a recipe without a champion.

    Attributes:
        id: Id of the artifact.
        reason: Reason of the decision.
    """

    id: str
    reason: str

    @property
    def about(self) -> str:
        """Return which artifact was kept back, why, and how to use it anyway."""
        return f"{self.id} was kept back: {self.reason}; `bot promote {self.id}` makes it champion by hand"


class ArtifactStore:
    """The ``artifacts`` folder of a state directory."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, *, files: Mapping[str, bytes | Path], manifest: Mapping[str, Any], at: datetime) -> Artifact:
        """
        Publish a finished training run under a new id; a crash before the last step leaves nothing visible.

        Args:
            files: Content by name, or the path of a file to copy.
            manifest: Description of the run. Format, id, time, and the files with sha256 and size are added here.
            at: Aware UTC; the id begins with it, or with the next second after the newest id, so that ids sort by time.

        Raises:
            ArtifactInvalid: The manifest lacks a key that serving needs.
        """
        identity = f"{self._next_time(at):{ID_TIME}}-{secrets.token_hex(2)}"
        staging = self.root / f".{identity}"
        staging.mkdir(parents=True)
        try:
            listed = {}
            for name, content in sorted(files.items()):
                target = staging / name
                if isinstance(content, Path):
                    shutil.copyfile(content, target)
                else:
                    target.write_bytes(content)
                sync(target)
                listed[name] = {"sha256": sha256_of(target), "bytes": target.stat().st_size}
            full = {**manifest, "format": FORMAT, "id": identity, "created_at": at.isoformat(), "files": listed}
            full["digest"] = digest_of(full)
            (staging / MANIFEST).write_text(json.dumps(full, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            sync(staging / MANIFEST)
            sync(staging)
            rename(staging, self.root / identity)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        return self.open(identity)

    def open(self, identity: str) -> Artifact:
        """
        Verify every file of an artifact against its manifest and return it.

        Raises:
            ArtifactInvalid: The artifact is absent, a file is missing or differs by a single bit, the manifest lacks a
                key that serving needs, or its format is newer than :data:`FORMAT`.
        """
        folder = self.folder(identity)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            listed = manifest["files"]
            if manifest["id"] != identity or manifest["digest"] != digest_of(manifest):
                raise ArtifactInvalid(f"artifact {identity}: {MANIFEST} is damaged or belongs to another artifact")
        except FileNotFoundError:
            raise ArtifactInvalid(f"artifact {identity} is not in {self.root}") from None
        except OSError as error:
            raise _unreadable(identity, MANIFEST, error) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ArtifactInvalid(f"artifact {identity}: {MANIFEST} is damaged") from None
        artifact = Artifact(id=identity, folder=folder, manifest=manifest)
        _check_format(artifact)
        try:
            for name, expected in listed.items():
                _verify(artifact, name, expected["sha256"])
        except (AttributeError, KeyError, TypeError):
            raise ArtifactInvalid(f"artifact {identity}: {MANIFEST} lists its files in an unknown form") from None
        return artifact

    def _next_time(self, at: datetime) -> datetime:
        """Return *at*, or the second after the newest id: a clock that was ahead must not make later artifacts look old."""
        newest = next(reversed(self.identities()), "")
        try:
            last = datetime.strptime(newest.rpartition("-")[0], ID_TIME).replace(tzinfo=UTC)
        except ValueError:  # there is none yet, or a person named a folder
            return at
        return last + timedelta(seconds=1) if last > at else at

    def identities(self) -> tuple[str, ...]:
        """Return the ids of all artifacts, oldest first."""
        if not self.root.is_dir():
            return ()
        return tuple(sorted(folder.name for folder in self.root.iterdir() if folder.name[0].isdigit()))

    def pinned(self, key: str) -> set[str]:
        """Return the values of *key* in the artifacts' manifests; damaged ones are passed over."""
        return {str(manifest[key]) for manifest in map(self._peek, self.identities()) if key in manifest}

    def data_version(self, identity: str) -> str | None:
        """Return the data version an artifact was trained on, unverified; ``None`` where its manifest is damaged."""
        version = self._peek(identity).get("data_version")
        # It becomes the name of a folder.
        return str(version) if isinstance(version, str) and is_file_name(version) else None

    def trained_on(self, identity: str, stores: Path) -> bool:
        """Return whether *stores* holds the store that an artifact was trained on; ``False`` where its manifest is damaged."""
        store = self._peek(identity).get("store")
        return store is not None and (stores / str(store)).is_dir()

    def champions(self, recipe: str) -> tuple[str, ...]:
        """
        Return the recipe's champion and the ones before it, newest first.

        Raises:
            NoChampion: Nothing has been promoted yet.
        """
        try:
            pointer = json.loads(self._pointer(recipe).read_text(encoding="utf-8"))
            return tuple(_identity(one) for one in (pointer["champion"], *pointer["previous"]))
        except FileNotFoundError:
            refused = self.kept_back().get(recipe)
            later = "a retrain on newer data or with another recipe may pass"
            todo = "run `bot retrain` first" if refused is None else f"{refused.about}; {later}"
            raise NoChampion(f"recipe {recipe!r} has no champion yet; {todo}") from None
        except (ValueError, KeyError, TypeError):
            raise ArtifactInvalid(
                f"{self._pointer(recipe)} is damaged; point it at an artifact with `bot promote ID`"
            ) from None

    def all_champions(self) -> dict[str, str]:
        """Return the champion's id of each recipe that has one; damaged pointers are left out."""
        found = {}
        for pointer in sorted((self.root / "champions").glob("*.json")):
            with suppress(NoChampion, ArtifactInvalid, BadConfig):
                found[pointer.stem] = self.champions(pointer.stem)[0]
        return found

    def named(self) -> set[str] | None:
        """Return the ids that pointers name, as champions or as those before them; ``None`` while a pointer is damaged."""
        found: set[str] = set()
        for pointer in (self.root / "champions").glob("*.json"):
            try:
                found.update(self.champions(pointer.stem))
            except (ArtifactInvalid, BadConfig):
                return None
        return found

    def is_newer(self, identity: str) -> bool:
        """Return whether a newer bot made an artifact, by its manifest, unverified."""
        number = self._peek(identity).get("format", 0)
        return isinstance(number, int) and number > FORMAT

    def promoted_ns(self) -> int:
        """Return when a champion last changed, by a promotion or a rollback, in nanoseconds since 1970; 0 where none ever was."""
        try:
            return (self.root / "champions").stat().st_mtime_ns
        except OSError:
            return 0

    def has_champion(self, recipe: str) -> bool:
        """Return whether the recipe has a champion; a damaged pointer counts as one."""
        return self._pointer(recipe).exists()

    def kept_back(self) -> dict[str, KeptBack]:
        """Return the newest artifact of each recipe that has no champion, by recipe; its gates refused it."""
        found: dict[str, KeptBack] = {}
        for identity in reversed(self.identities()):
            manifest = self._peek(identity)
            recipe, decision = manifest.get("recipe"), manifest.get("decision") or {}
            name = str(recipe.get("name", "")) if isinstance(recipe, dict) else ""
            refused = isinstance(decision, dict) and decision.get("promote") is False
            if is_file_name(name) and refused and name not in found and not self._pointer(name).exists():
                found[name] = KeptBack(id=identity, reason=str(decision.get("reason", "")))
        return found

    def promote(self, recipe: str, identity: str, *, by: str = "gate") -> None:
        """
        Make an artifact the recipe's champion in one atomic step, and keep the last five.

        Args:
            recipe: Name of the recipe.
            identity: Id of the artifact; its gates may have refused it.
            by: Origin of the promotion, for the record: ``gate`` or ``operator``.

        Raises:
            ArtifactInvalid: The artifact does not verify.
            BadConfig: It was trained for another recipe.
        """
        with self._lock():
            trained_for = self.open(identity).manifest["recipe"]["name"]
            if trained_for != recipe:
                raise BadConfig(f"artifact {identity} was trained for recipe {trained_for!r}, not {recipe!r}")
            try:
                before = self.champions(recipe)
            except (NoChampion, ArtifactInvalid):
                before = ()
            self._point(recipe, [identity, *(one for one in before if one != identity)][:KEPT], by=by)
            self._prune()

    def rollback(self, recipe: str) -> str:
        """
        Make the champion before the current one the champion again; return its id.

        Raises:
            NoChampion: There is none before the current one.
        """
        with self._lock():
            before = self.champions(recipe)[1:]
            if not before:
                raise NoChampion(f"recipe {recipe!r} has no champion before the current one to go back to")
            self.open(before[0])
            self._point(recipe, before, by="rollback")
        return before[0]

    def retire(self, recipe: str) -> None:
        """Take the champion away from a recipe that is no longer used; :meth:`prune` removes its artifacts later."""
        with self._lock(), kill_point("artifacts.retire"):
            self._pointer(recipe).unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """
        Lock the pointers: of two processes that change them, or delete by them, the second sees the first one's result.

        Raises:
            StateLocked: Another process has held the lock for a minute.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415 - Numerai's machine need not have it

        folder = self.root / "champions"
        with kill_point("artifacts.lock"):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / ".lock", timeout=LOCK_S)
            try:
                lock.acquire()
            except Timeout:
                raise StateLocked(f"another process has held {folder} for {LOCK_S} s; stop it, or wait") from None
        try:
            yield
        finally:
            lock.release()

    def folder(self, identity: str) -> Path:
        """
        Return the folder of an artifact.

        Raises:
            ArtifactInvalid: The id is not the name of a folder, so it could lead out of the store.
        """
        if not _ID.fullmatch(identity):
            raise ArtifactInvalid(_NO_ID.format(shown(identity)))
        return self.root / identity

    def find(self, beginning: str) -> str:
        """
        Return the id of the artifact whose id is *beginning*, or begins with it.

        Raises:
            BadConfig: *beginning* is no part of an id, or no artifact or several begin with it.
        """
        if not _ID.fullmatch(beginning):
            raise BadConfig(_NO_ID.format(shown(beginning)))
        if self.folder(beginning).is_dir():
            return beginning
        found = [identity for identity in self.identities() if identity.startswith(beginning)]
        if len(found) > 1:
            raise BadConfig(f"{len(found)} artifacts begin with {beginning}: {', '.join(found)}; write more of the id")
        if not found:
            raise BadConfig(f"artifact {beginning} is not in {self.root}; `bot verify` lists them")
        return found[0]

    def _pointer(self, recipe: str) -> Path:
        if not is_file_name(recipe):
            raise BadConfig(f"recipe name {shown(recipe)!r} cannot be the name of a file; rename the recipe")
        return self.root / "champions" / f"{recipe}.json"

    def _point(self, recipe: str, order: Sequence[str], *, by: str) -> None:
        content = json.dumps({"champion": order[0], "previous": list(order[1:]), "by": by})
        publish(self._pointer(recipe), content.encode())

    def prune(self) -> None:
        """
        Remove artifacts that are older than every kept champion, and all but the newest challengers of each recipe.

        A run that is still being judged is the newest of all and stays. While a pointer is damaged, nothing is removed.
        """
        with self._lock():
            self._prune()

    def _prune(self) -> None:
        kept = self.named()
        if kept is None:
            return
        oldest, challengers = min(kept, default=""), Counter[str]()
        for identity in reversed(self.identities()):
            if identity in kept or not (self.root / identity / MANIFEST).is_file():  # what a person has put there stays
                continue
            table = self._peek(identity).get("recipe")
            recipe = str(table.get("name", "")) if isinstance(table, dict) else ""
            challengers[recipe] += 1
            if identity < oldest or challengers[recipe] > KEPT:
                # Hidden in one step, so that an artifact whose removal is interrupted is no artifact any more.
                hidden = self.root / f".{identity}"
                (self.root / identity).rename(hidden)
                shutil.rmtree(hidden)
        for left in self.root.glob(".[0-9]*"):  # by a process that was killed while it wrote or removed one
            with suppress(FileNotFoundError):  # finished meanwhile
                if _MADE.fullmatch(left.name[1:]) and left.stat().st_mtime < time.time() - LEFT_S:
                    shutil.rmtree(left, ignore_errors=True)

    def _peek(self, identity: str) -> Mapping[str, Any]:
        """Return an artifact's manifest, unverified; empty where it is damaged."""
        try:
            manifest = json.loads((self.folder(identity) / MANIFEST).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError, ArtifactInvalid):
            return {}
        return manifest if isinstance(manifest, dict) else {}


def _identity(value: object) -> str:
    """Return an id of a pointer. Raises ``TypeError`` for anything else."""
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _verify(artifact: Artifact, name: str, sha256: str) -> None:
    """
    Check a file of an artifact.

    Raises:
        ArtifactInvalid: It is missing, differs by a single bit, or cannot be read.
    """
    if Path(name).name != name:
        raise ArtifactInvalid(f"artifact {artifact.id}: {MANIFEST} lists {shown(name)!r}, which is not in its folder")
    path = artifact.path(name)
    try:
        if not path.is_file():
            raise ArtifactInvalid(f"artifact {artifact.id}: {name} is missing")
        if sha256_of(path) != sha256:
            raise ArtifactInvalid(f"artifact {artifact.id}: {name} differs from its recorded sha256")
    except OSError as error:
        raise _unreadable(artifact.id, name, error) from None


def _unreadable(identity: str, name: str, error: OSError) -> Exception:
    """Return what an unreadable file is: the fault of its artifact, or of the machine."""
    if error.errno in OF_THE_MACHINE:
        return error
    return ArtifactInvalid(f"artifact {identity}: {name} cannot be read: {error.strerror}")


def _check_format(artifact: Artifact) -> None:
    """
    Check that this bot can serve an artifact.

    Raises:
        ArtifactInvalid: A newer bot made it, or its manifest lacks a needed key.
    """
    number = artifact.manifest.get("format", 0)
    if not isinstance(number, int) or number > FORMAT:
        raise ArtifactInvalid(
            f"artifact {artifact.id} has format {number!r}, and this bot reads formats up to {FORMAT};"
            " update the bot, or go back with `bot rollback`"
        )
    for keys in (*NEEDED, *(MEMBERS if number >= FORMAT else (("recipe", "weights"),))):
        artifact.required(*keys)


def digest_of(manifest: Mapping[str, Any]) -> str:
    """Return the sha256 of the manifest's content without its own digest."""
    content = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
