"""
What the data say about themselves: read from the values, compared with last time, never changed silently.

Which target the moving alias ``target`` is, how far each horizon is resolved, which eras are ``test``, and which
features there are.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bot.columns import ALIAS, horizon
from bot.store import TARGETS, EraStore

_VERSION = re.compile(r"^v(\d+)\.(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """
    Facts of one state of the data.

    Attributes:
        version: Data version.
        alias: The target whose column equals ``target`` in every era; ``None`` if none does.
        resolved: Newest era with a known target, by horizon in market days.
        test: Eras whose ``data_type`` is ``test``.
        features: Number of features.
        features_sha256: Of their names in order.
        newest: Newest era.
    """

    version: str
    alias: str | None
    resolved: Mapping[str, str]
    test: int
    features: int
    features_sha256: str
    newest: str

    @classmethod
    def of(cls, store: EraStore) -> "Truth":
        """Read the facts from a store."""
        names = store.manifest.targets
        return cls(
            version=store.manifest.data_version,
            alias=_alias(store),
            resolved={
                str(days): _resolved(store, [name for name in names if name != ALIAS and horizon(name) == days])
                for days in sorted({horizon(name) for name in names if name != ALIAS})
            },
            test=store.kinds.count("test"),
            features=len(store.manifest.features),
            features_sha256=hashlib.sha256("\n".join(store.manifest.features).encode()).hexdigest(),
            newest=store.eras[-1],
        )


def compare(path: Path, now: Truth, offered: Iterable[str]) -> tuple[str, ...]:
    """
    Say what is odd about the data, and what has changed since *path* was written; then write it anew.

    Args:
        path: Where the last facts are kept.
        now: The facts.
        offered: Names of all files the server offers.
    """
    findings = []
    if now.alias is None:
        findings.append("the alias `target` equals no named target")
    tails = [now.resolved[days] for days in sorted(now.resolved, key=int)]
    if tails != sorted(tails, reverse=True):
        findings.append(f"longer horizons are resolved further than shorter ones: {dict(now.resolved)}")
    findings += _changes(_read(path), now)
    newer = sorted({name.partition("/")[0] for name in offered}, key=_order)
    if newer and _order(newer[-1]) > _order(now.version):
        findings.append(
            f"data version {newer[-1]} is offered; {now.version} stays pinned until BOT_DATA_VERSION and a retrain change it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    staging = path.with_suffix(".tmp")
    staging.write_text(json.dumps(asdict(now), indent=1), encoding="utf-8")
    staging.replace(path)
    return tuple(findings)


def _changes(before: Mapping[str, object] | None, now: Truth) -> list[str]:
    if before is None:
        return []
    found = []
    if before.get("alias") != now.alias:
        found.append(f"the alias `target` was {before.get('alias')} and is {now.alias}; the pinned target stays")
    if before.get("features_sha256") != now.features_sha256:
        found.append(f"the features changed: {before.get('features')} before, {now.features} now; retrain to use them")
    resolved = before.get("resolved")
    for days, era in now.resolved.items():
        earlier = resolved.get(days, "") if isinstance(resolved, dict) else ""
        if era < earlier:
            found.append(f"{days}D targets were known up to era {earlier} and now only up to {era}")
    if now.newest < str(before.get("newest", "")):
        found.append(f"the history ended with era {before.get('newest')} and now ends with {now.newest}")
    return found


def _alias(store: EraStore) -> str | None:
    """Return the one target whose values are the alias's in every row."""
    names = store.manifest.targets
    if ALIAS not in names:
        return None
    own, left = names.index(ALIAS), [index for index, name in enumerate(names) if name != ALIAS]
    for block in store.manifest.blocks:
        values = store.part(block, TARGETS)
        left = [index for index in left if np.array_equal(values[index], values[own], equal_nan=True)]
    return names[left[0]] if len(left) == 1 else None


def _resolved(store: EraStore, targets: list[str]) -> str:
    """Return the newest era in which one of the targets is known, empty if there is none."""
    columns = store.select((), targets)
    for position in reversed(range(len(store.eras))):
        if np.isfinite(columns.targets(position)).any():
            return store.eras[position]
    return ""


def _order(version: str) -> tuple[int, int]:
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _read(path: Path) -> Mapping[str, object] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
