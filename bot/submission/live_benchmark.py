"""
The benchmark model's predictions of an open round, for what is neutralized to them.

A round is never missed for them: where they are late, absent, another round's or speak about too few rows, the round is
sent without being neutralized, and everybody is told so.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from bot.data.download import fetch
from bot.data.live_file import LiveFile
from bot.errors import NumeraiUnavailable
from bot.scoring.coverage import COVERAGE, if_covered
from bot.system.kill_points import kill_point
from bot.system.progress import CountCallback
from bot.tournament.client import NumeraiClient
from bot.tournament.columns import ID
from bot.tournament.rounds import Round

FILE = "live_benchmark_models.parquet"

FETCH_S = 30.0
"""Longest the download may take: the file is small, and the round waits for it."""

LEAST_S = 240.0
"""Seconds before the guard under which nothing is fetched any more: two answers, the download, and scoring after it."""

Floats = npt.NDArray[np.float64]


def live_benchmark(
    client: NumeraiClient, round_: Round, folder: Path, live: LiveFile, *, version: str, column: str
) -> tuple[Floats | None, str]:
    """
    Return the benchmark's predictions in the order of the live rows, or none and why.

    The file is asked for once in a round, by the first attempt alone: one that was killed while it waited is not
    followed by another that waits.

    Args:
        client: Of the API.
        round_: The open round.
        folder: Of the round and the data version; the file is kept there.
        live: The rows.
        version: Of the data.
        column: The benchmark model.

    Returns:
        Predictions, NaN for rows that it says nothing about, shape ``(rows,)``, and an empty text; or ``None`` and the
        reason.
    """
    path, asked = folder / FILE, folder / f"{FILE}.asked"
    try:
        if not path.is_file():
            if asked.is_file():
                return None, f"{FILE} was asked for once in this round, in vain"
            left = round_.seconds_left(client.server_now()) - round_.guard.total_seconds()
            if left < LEAST_S:
                return None, f"{left:.0f} seconds are left, too few to wait for {FILE}"
            with kill_point("benchmark.asked"):
                asked.parent.mkdir(parents=True, exist_ok=True)
                asked.touch()
            fetch(client, f"{version}/{FILE}", path, on_progress=_give_up_after(time.monotonic() + FETCH_S))
        return aligned(path, live.ids, column)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with this file, the round counts more
        return None, f"{FILE}: {type(error).__name__}: {error}"


def aligned(path: Path, ids: Sequence[str], column: str) -> tuple[Floats | None, str]:
    """Return what a file says of the rows with these ids, NaN where it says nothing and empty text; or ``None`` and why."""
    file = pq.ParquetFile(path, pre_buffer=False)
    absent = [name for name in (ID, column) if name not in file.schema_arrow.names]
    if absent:
        return None, f"{FILE} has no column {absent[0]!r}"
    table = file.read(columns=[ID, column], use_threads=False)
    said = dict(zip(table.column(ID).to_pylist(), table.column(column).to_pylist(), strict=True))
    found = np.array([np.nan if (value := said.get(one)) is None else float(value) for one in ids])
    if if_covered(found) is None:
        share = np.isfinite(found).mean()
        return (
            None,
            f"{FILE} speaks about {share:.0%} of the live rows, not {COVERAGE:.0%}: it may be another round's",
        )
    return found, ""


def _give_up_after(deadline: float) -> CountCallback:
    def check_time(_done: int, _total: int) -> None:
        if time.monotonic() > deadline:
            raise NumeraiUnavailable(f"it took longer than {FETCH_S:.0f} seconds")

    return check_time
