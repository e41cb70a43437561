"""
Facts of the data that may change between releases, read from the values and compared with those of the last sync.

They are: the target behind the moving alias ``target``, the newest resolved era of each horizon, the ``test`` eras, and
the features and targets.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from bot.data.era_store import TARGETS, EraStore
from bot.system.files import publish
from bot.tournament.columns import ALIAS, DAYS_PER_ERA, HISTORY_LAG, era_label, horizon

SMALL = 0.2
"""Share of the median number of rows under which an era is small; the smallest of v5.3 has .4 of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFacts:
    """
    Facts of one release of the data.

    Attributes:
        version: Data version.
        alias: The target whose column equals ``target`` in every row; ``None`` unless there is exactly one.
        resolved: Newest era with a known target, by horizon in market days.
        unresolved: Number of eras after that one, by horizon.
        apart: Newest known era of each target that ends earlier than others of its horizon.
        unnamed: Targets whose names have no horizon that the bot supports.
        labelled: Newest era that is not marked ``test``.
        test: Number of eras whose ``data_type`` is ``test``.
        features: Feature columns in file order.
        targets: Target columns in file order.
        newest: Newest era.
        gaps: First and last label of each run of eras that are not in the data.
        small: Eras of less than :data:`SMALL` of the median number of rows.
    """

    version: str
    alias: str | None
    resolved: Mapping[str, str]
    unresolved: Mapping[str, int]
    apart: Mapping[str, str]
    unnamed: tuple[str, ...]
    labelled: str
    test: int
    features: tuple[str, ...]
    targets: tuple[str, ...]
    newest: str
    gaps: tuple[tuple[str, str], ...] = ()
    small: tuple[str, ...] = ()

    @classmethod
    def of(cls, store: EraStore) -> "DataFacts":
        """Read the facts from a store: horizons from the names, resolved eras from the values."""
        names = tuple(name for name in store.manifest.targets if name != ALIAS)
        days = {name: _days(name) for name in names}
        known = {name: _resolved(store, name) for name in names}
        resolved = {
            str(wanted): max(known[name] for name in names if days[name] == wanted)
            for wanted in sorted(set(days.values()) - {0})
        }
        return cls(
            version=store.manifest.data_version,
            alias=_alias(store),
            resolved=resolved,
            unresolved={wanted: sum(era > newest for era in store.eras) for wanted, newest in resolved.items()},
            apart={name: era for name, era in known.items() if days[name] and era != resolved[str(days[name])]},
            unnamed=tuple(name for name in names if not days[name]),
            labelled=max((e for e, kind in zip(store.eras, store.kinds, strict=True) if kind != "test"), default=""),
            test=store.kinds.count("test"),
            features=store.manifest.features,
            targets=store.manifest.targets,
            newest=store.eras[-1],
            gaps=_gaps(store.eras),
            small=_small(store),
        )

    def __str__(self) -> str:
        """Return the facts in one line."""
        resolved = ", ".join(f"{days}D targets to era {era or 'none'}" for days, era in self.resolved.items())
        return f"`target` is {self.alias or 'no single named target'}; {resolved}; {self.test} eras are marked test"


def compare_facts(path: Path, now: DataFacts) -> tuple[str, ...]:
    """
    Return findings: contradictions in the data, and changes since the last sync. Then replace the recorded facts.

    Args:
        path: File with the facts of the last sync of this data version.
        now: Facts of the data now.
    """
    findings = (*_contradictions(now), *_changes(_read(path), now))
    publish(path, json.dumps(asdict(now), indent=1).encode())
    return findings


def shown(names: Sequence[str]) -> str:
    """Return the first five *names* and the number of the others."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _contradictions(now: DataFacts) -> list[str]:
    """Return findings where the values contradict the names of the targets."""
    found = []
    if now.alias is None:
        found.append("the alias `target` equals no single named target; targets are taken by their full names")
    tails = [now.resolved[days] for days in sorted(now.resolved, key=int)]
    if tails != sorted(tails, reverse=True):
        found.append(f"longer horizons are resolved further than shorter ones: {dict(now.resolved)}")
    for days, count in now.unresolved.items():
        if count * DAYS_PER_ERA < int(days):
            found.append(f"{days}D targets are unknown in the newest {count} eras only, sooner than {days} market days")
        if count >= HISTORY_LAG[int(days)]:
            assumed = HISTORY_LAG[int(days)] - 1
            found.append(f"{days}D targets are unknown in the newest {count} eras; the history assumes {assumed}")
    for name, era in now.apart.items():
        found.append(f"{name} is known up to era {era or 'none'}, others of its horizon up to another")
    if now.gaps:
        runs = [first if first == last else f"{first} to {last}" for first, last in now.gaps]
        found.append(f"eras are not in the data: {shown(runs)}; lags and embargoes count the eras that are")
    if now.small:
        found.append(f"eras of few rows: {shown(now.small)}; each counts as much as any other in a mean over eras")
    if now.unnamed:
        found.append(f"targets of a horizon that the bot does not know, never used: {shown(now.unnamed)}")
    return found


def _changes(before: Mapping[str, object] | None, now: DataFacts) -> list[str]:
    if before is None:
        return []
    found = []
    if before.get("alias") != now.alias:
        found.append(f"the alias `target` was {before.get('alias')} and is {now.alias}; the pinned target stays")
    found += _column_changes("features", before.get("features"), now.features)
    found += _column_changes("targets", before.get("targets"), now.targets)
    resolved = before.get("resolved")
    for days, era in now.resolved.items():
        earlier = resolved.get(days, "") if isinstance(resolved, dict) else ""
        if era < earlier:
            found.append(f"{days}D targets were known up to era {earlier} and now only up to {era}")
    if before.get("test") != now.test:
        found.append(
            f"the labelled boundary moved: {before.get('test')} eras were marked test, after era"
            f" {before.get('labelled')}; now {now.test} are, after era {now.labelled}"
        )
    if now.newest < str(before.get("newest", "")):
        found.append(f"the history ended with era {before.get('newest')} and now ends with {now.newest}")
    return found


def _column_changes(kind: str, before: object, now: Sequence[str]) -> list[str]:
    """Return findings about columns that came or went."""
    earlier = [str(name) for name in before] if isinstance(before, list) else []
    if earlier == list(now):
        return []
    gone, new = [one for one in earlier if one not in set(now)], [one for one in now if one not in set(earlier)]
    if not gone and not new:
        return [f"the {kind} are in another order"]
    came, went = (f"{len(names)} are {how} ({shown(names) or 'none'})" for names, how in ((new, "new"), (gone, "gone")))
    return [f"the {kind} changed: {went}, {came}; retrain to follow"]


def _days(target: str) -> int:
    """Return the horizon in a target's name, 0 where the bot supports none."""
    try:
        return horizon(target)
    except ValueError:
        return 0


def _gaps(eras: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return the first and last missing label between each pair of neighbours; none where labels are no numbers."""
    numbers = [int(era) for era in eras if era.isascii() and era.isdigit()]
    return tuple(
        (era_label(before + 1), era_label(after - 1)) for before, after in pairwise(numbers) if after > before + 1
    )


def _small(store: EraStore) -> tuple[str, ...]:
    rows = np.diff(store.offsets)
    return tuple(np.array(store.eras)[rows < SMALL * np.median(rows)].tolist())


def _alias(store: EraStore) -> str | None:
    """Return the target whose values equal the alias's in every row, ``None`` unless there is exactly one."""
    names = store.manifest.targets
    if ALIAS not in names:
        return None
    alias, candidates = names.index(ALIAS), [index for index, name in enumerate(names) if name != ALIAS]
    for block in store.manifest.blocks:
        values = store.part(block, TARGETS)
        candidates = [index for index in candidates if np.array_equal(values[index], values[alias], equal_nan=True)]
    return names[candidates[0]] if len(candidates) == 1 else None


def _resolved(store: EraStore, target: str) -> str:
    """Return the newest era in which a target is known, an empty text where there is none."""
    columns = store.select((), (target,))
    for position in reversed(range(len(store.eras))):
        if np.isfinite(columns.target(position, target)).any():
            return store.eras[position]
    return ""


def _read(path: Path) -> Mapping[str, object] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
