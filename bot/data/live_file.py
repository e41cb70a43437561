"""
Read the live file without pandas, and prove that it belongs to the open round.

Numerai does not refuse an upload for the wrong round: it silently maps ids of the previous round onto the current one. So
a file is accepted only if its ids are new, its era is the live era, and its number of rows is plausible.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.data._arrow_values import NoNumbers, may_hold_numbers
from bot.data._feature_values import write_codes
from bot.data.parquet_columns import FETCHED_AGAIN, LIVE, ParquetColumns, explained, open_columns
from bot.errors import DatasetIncomplete, SchemaMismatch
from bot.tournament.columns import DATA_TYPE, ERA, FEATURE_PREFIX, ID, LIVE_ERA

BLOCK = 512
"""Feature columns that are decoded at a time: as fast as all at once, with a third of the memory."""

MAX_ROW_CHANGE = 0.2
"""Largest accepted change of the row count between rounds; consecutive eras differ by at most 7.3 %."""


LONGEST_TEXT = 64
"""Most characters of an id or an era; Numerai's have 16 and 1."""

_ID = re.compile(r"[\w.:+-]+")
"""Ids that a CSV file holds without quotes; Numerai's are ``n`` and 15 hex digits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveFile:
    """
    The rows of a live file.

    Attributes:
        ids: Ids in file order.
        era: Era label of all rows.
        names: Feature columns in file order.
        values: Feature codes, -1 for a value that is missing and -2 for one that is not a code. Shape ``(rows, columns)``, int8.
        missing: Number of values that were null or NaN.
        strange: Number of values that were not a whole number of one byte.
        unreadable: Type of each feature column that holds no numbers, by name; no artifact can use it.
    """

    ids: tuple[str, ...]
    era: str
    names: tuple[str, ...]
    values: npt.NDArray[np.int8]
    missing: int
    strange: int
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @property
    def ids_sha256(self) -> str:
        """Return the sha256 of the sorted ids."""
        return hashlib.sha256("\n".join(sorted(self.ids)).encode()).hexdigest()

    def refuse_unreadable(self, features: Iterable[str]) -> None:
        """
        Refuse to score with an artifact that needs one of the columns without numbers.

        Raises:
            SchemaMismatch: *features* names one.
        """
        odd = [name for name in features if name in self.unreadable]
        if odd:
            raise SchemaMismatch(
                f"the live file's {odd[0]} is {self.unreadable[odd[0]]} and holds no codes ({len(odd)} such features);"
                " retrain on this data version"
            )


def read_live(path: Path) -> LiveFile:
    """
    Read ids and features of a live file, however its writer stored them.

    Raises:
        DatasetIncomplete: The file is damaged or too large, has no rows or several eras, lacks the column of ids or eras, or
            has two columns of one name.
    """
    with open_columns(path, LIVE, remedy=FETCHED_AGAIN) as file:
        absent = [name for name in (ID, ERA) if name not in file.types]
        if absent:
            raise DatasetIncomplete(f"{path.name} has no column {absent[0]!r}; it is not a live file")
        features = [name for name in file.types if name.startswith(FEATURE_PREFIX)]
        file.refuse_repeated([ID, ERA, *features])
        ids, era = _ids(file), _era(file)
        decoded = _decode(file, [name for name in features if may_hold_numbers(file.types[name])])
        unreadable = {name: file.type_of(name) for name in set(features).difference(decoded.names)}
    return LiveFile(
        ids=ids,
        era=era,
        names=decoded.names,
        values=decoded.codes,
        missing=decoded.missing,
        strange=decoded.strange,
        unreadable=unreadable,
    )


def prove_fresh(
    live: LiveFile,
    *,
    previous_ids_sha256: AbstractSet[str],
    previous_rows: int | None,
    modified: datetime | None = None,
    not_before: datetime | None = None,
) -> None:
    """
    Refuse a live file that does not belong to the open round.

    Args:
        live: The live file.
        previous_ids_sha256: Digests of the ids of earlier rounds' live files.
        previous_rows: Number of rows of the last round's live file.
        modified: Publication time according to the server.
        not_before: Time before which this round's file cannot have been published. ``None`` where it is unknown, or not
            needed because the last round's ids are known. A file that was published later may have any number of rows.

    Raises:
        DatasetIncomplete: The file belongs to an earlier round, has rows of other eras, repeats ids, or has an implausible
            number of rows.
    """
    if live.era != LIVE_ERA:
        raise DatasetIncomplete(f"the live file holds era {live.era!r}, not {LIVE_ERA!r}; it is fetched again")
    if len(set(live.ids)) != len(live.ids) or not all(live.ids):
        raise DatasetIncomplete("the live file repeats ids; it is fetched again")
    if live.ids_sha256 in previous_ids_sha256:
        raise DatasetIncomplete("the live file is still an earlier round's (same ids); it is fetched again")
    if modified is not None and not_before is not None and modified < not_before:
        raise DatasetIncomplete(
            f"the live file was published {modified:%a %Y-%m-%d %H:%M} UTC: it is the last round's; it is fetched again"
        )
    dated = modified is not None and not_before is not None
    if not dated and has_other_size(live, previous_rows):
        raise DatasetIncomplete(
            f"the live file has {len(live.ids)} rows, the last round's had {previous_rows}; it is fetched again"
        )
    if DATA_TYPE in live.names:
        raise DatasetIncomplete("the live file's data_type is among its features")


def has_other_size(live: LiveFile, previous_rows: int | None) -> bool:
    """Return whether the number of rows differs from the last round's by more than :data:`MAX_ROW_CHANGE`."""
    return previous_rows is not None and abs(len(live.ids) - previous_rows) > MAX_ROW_CHANGE * previous_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decoded:
    """
    Decoded feature columns.

    Attributes:
        names: The columns that hold numbers.
        codes: Feature codes. Shape ``(rows, columns)``, int8.
        missing: Number of values that were null or NaN.
        strange: Number of values that were not a whole number of one byte.
    """

    names: tuple[str, ...]
    codes: npt.NDArray[np.int8]
    missing: int
    strange: int


def _ids(file: ParquetColumns) -> tuple[str, ...]:
    """Return the ids in file order."""
    ids = [one or "" for one in file.texts(ID, LONGEST_TEXT)]
    odd = [one for one in ids if not _ID.fullmatch(one)]
    if odd:
        raise DatasetIncomplete(f"{file.path.name} has {len(odd)} ids that are no ids, {odd[0]!r} first; {file.remedy}")
    return tuple(ids)


def _era(file: ParquetColumns) -> str:
    """Return the one era of all rows."""
    eras = set(file.texts(ERA, LONGEST_TEXT))
    if len(eras) != 1:
        raise DatasetIncomplete(f"{file.path.name} has {file.rows} rows of {len(eras)} eras; a live file has one era")
    return eras.pop() or ""


def _decode(file: ParquetColumns, names: Sequence[str]) -> _Decoded:
    codes = np.empty((file.rows, len(names)), dtype=np.int8)
    failed = set()
    missing = strange = 0
    for start in range(0, len(names), BLOCK):
        block = file.read(names[start : start + BLOCK])
        lines = np.zeros((len(block), file.rows), dtype=np.int8)  # writing columns into rows one by one is slower
        with explained(file.path, file.remedy):
            for (name, column), line in zip(block.items(), lines, strict=True):
                try:
                    counted = write_codes(column, line)
                except NoNumbers:
                    failed.add(name)
                    continue
                missing, strange = missing + counted.missing, strange + counted.strange
        codes[:, start : start + BLOCK] = lines.T
    if failed:
        codes = codes[:, [name not in failed for name in names]]
    kept = tuple(name for name in names if name not in failed)
    return _Decoded(names=kept, codes=codes, missing=missing, strange=strange)
