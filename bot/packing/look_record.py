"""Record of the packs that were looked at, so that each file of the storage is looked at once."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bot.packing.storage import Stored
from bot.system.files import publish

FILE = "packs.json"
"""Name of the record in the state directory."""

MOST = 1000
"""Files in the record from which absent ones are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """
    A pack that was looked at.

    Attributes:
        version: Version of the file; another content is looked at again.
        outcome: ``begun``, ``taken``, ``refused``, ``passed over`` or ``published``.
        at: Time, ISO 8601.
        begun: Number of looks that began and did not end, such as one that a kill or a lack of memory ended.
    """

    version: str
    outcome: str
    at: str
    begun: int = 0


class LookRecord:
    """
    The record of a state directory. A damaged one begins anew: a second look costs time only.

    Args:
        path: File of the record.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked = _read(path)

    def is_new(self, stored: Stored, *, again: bool = False) -> bool:
        """Return whether a file was not looked at yet; with *again*, a refused one counts as new."""
        last = self._looked.get(stored.name)
        if last is None or last.version != stored.version or last.outcome == "begun":
            return True
        return again and last.outcome == "refused"

    def begin(self, stored: Stored, *, at: str) -> int:
        """Record that a look begins; return how many looks at this file began before and did not end."""
        last = self._looked.get(stored.name)
        same = last is not None and last.version == stored.version and last.outcome == "begun"
        before = last.begun if last is not None and same else 0
        self._looked[stored.name] = Looked(version=stored.version, outcome="begun", at=at, begun=before + 1)
        self._write()
        return before

    def keep(self, stored: Stored, outcome: str, *, at: str) -> None:
        """Record the end of a look, in one atomic step."""
        self._looked[stored.name] = Looked(version=stored.version, outcome=outcome, at=at)
        self._write()

    def forget(self, stored: Stored) -> None:
        """Forget a look that has to be made again."""
        self._looked.pop(stored.name, None)
        self._write()

    def was_refused(self, name: str) -> bool:
        """Return whether the last look at a file refused it."""
        return name in self._looked and self._looked[name].outcome == "refused"

    def forget_absent(self, present: Collection[str]) -> None:
        """
        Forget files that are not in the storage any more, once the record is long.

        A storage that is not mounted looks empty, so files are not forgotten as soon as they are absent.
        """
        absent = self._looked.keys() - set(present)
        if absent and len(self._looked) > MOST:
            for name in absent:
                del self._looked[name]
            self._write()

    def _write(self) -> None:
        content = {name: asdict(looked) for name, looked in self._looked.items()}
        publish(self._path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def _read(path: Path) -> dict[str, Looked]:
    try:
        content: Mapping[str, Mapping[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return {name: Looked(**looked) for name, looked in content.items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
