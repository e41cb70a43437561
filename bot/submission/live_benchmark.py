"""
Read the benchmark model's predictions of an open round, for ensembles that are neutralized to them.

A round is never missed for them. Where they are late, absent, another round's, or cover too few rows, the round is sent
without being neutralized, and log, report and receipt say so.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.data.download import fetch
from bot.data.live_file import LONGEST_TEXT, LiveFile
from bot.data.parquet_columns import LIVE, open_columns
from bot.errors import DatasetIncomplete, NumeraiUnavailable
from bot.findings import Absent
from bot.scoring.coverage import COVERAGE, if_covered
from bot.system.kill_points import kill_point
from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import ID
from bot.tournament.rounds import Round

FILE = "live_benchmark_models.parquet"

FETCH_S = 30.0
"""Longest time for the download in seconds: the file is small, and the round waits for it."""

LEAST_S = 240.0
"""Least seconds before the guard for a download: two requests, the download itself, and scoring after it."""

Floats = npt.NDArray[np.float64]


def live_benchmark(
    client: NumeraiClient, round_: Round, folder: Path, live: LiveFile, *, version: str, column: str
) -> Floats | Absent:
    """
    Return the benchmark's predictions in the order of the live rows, or why there are none.

    Args:
        client: Client of the API.
        round_: The open round.
        folder: Folder of the round and the data version; the file is kept there.
        live: The live rows.
        version: Data version.
        column: Name of the benchmark model.

    Returns:
        Predictions, NaN for rows that the file does not hold. Shape ``(rows,)``.
    """
    try:
        path = live_benchmark_file(client, round_, folder, version=version)
        return path if isinstance(path, Absent) else benchmark_of(path, live.ids, column)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with this file, the round counts more
        return Absent(f"{FILE}: {type(error).__name__}: {error}")


def live_benchmark_file(client: NumeraiClient, round_: Round, folder: Path, *, version: str) -> Path | Absent:
    """
    Return the round's file of the benchmark models, or why there is none.

    The file is requested once in a round, by the first attempt alone: an attempt that was killed while it waited is not
    followed by another that waits.
    """
    path, asked = folder / FILE, folder / f"{FILE}.asked"
    try:
        if path.is_file():
            return path
        if asked.is_file():
            return Absent(f"{FILE} was asked for once in this round, in vain")
        left = round_.seconds_left(client.server_now()) - round_.guard.total_seconds()
        if left < LEAST_S:
            return Absent(f"{left:.0f} seconds are left, too few to wait for {FILE}")
        with kill_point("benchmark.asked"):
            asked.parent.mkdir(parents=True, exist_ok=True)
            asked.touch()
        fetch(client, f"{version}/{FILE}", path, on_progress=_give_up_after(time.monotonic() + FETCH_S), tries=1)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with this file, the round counts more
        return Absent(f"{FILE}: {type(error).__name__}: {error}")
    return path


def benchmark_of(path: Path, ids: Sequence[str], column: str) -> Floats | Absent:
    """
    Read the predictions of the rows with these ids from a file of the benchmark models.

    Returns:
        Predictions, NaN for rows that the file does not hold, shape ``(rows,)``; or why they cannot be used.
    """
    try:
        with open_columns(path, LIVE, remedy="nothing is neutralized to it") as file:
            missing = [name for name in (ID, column) if name not in file.types]
            if missing:
                return Absent(f"{FILE} has no column {missing[0]!r}")
            file.refuse_repeated([ID, column])
            by_id = dict(zip(file.texts(ID, LONGEST_TEXT), file.numbers(column).tolist(), strict=True))
    except DatasetIncomplete as error:
        return Absent(str(error))
    found = np.array([by_id.get(one, np.nan) for one in ids])
    found[~np.isfinite(found)] = np.nan
    if if_covered(found) is None:
        share = np.isfinite(found).mean()
        return Absent(f"{FILE} covers {share:.0%} of the live rows, not {COVERAGE:.0%}: it may be another round's")
    return found


def _give_up_after(deadline: float) -> CountCallback:
    def check_time(_done: int, _total: int) -> None:
        if time.monotonic() > deadline:
            raise NumeraiUnavailable(f"it took longer than {FETCH_S:.0f} seconds")

    return check_time
