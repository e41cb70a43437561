"""
Correlate a submission with Numerai's benchmark model once its round is confirmed, when nothing waits for the result.

The benchmark learns the same target from the same features. A submission that is uncorrelated with it, or opposed to it, is
most likely wrong in a way that no other gate finds, such as rows out of order.
"""

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog

from bot.data.download import fetch
from bot.data.parquet_columns import FETCHED_AGAIN, LIVE, open_columns
from bot.data.reference_predictions import benchmark_column
from bot.errors import BotError, DatasetIncomplete
from bot.findings import Absent
from bot.record.ledger import Entry, Ledger
from bot.serving.artifacts import ArtifactStore
from bot.submission.live_benchmark import FILE, benchmark_of
from bot.submission.submission_file import read_submission
from bot.system.file_names import file_name
from bot.system.files import publish
from bot.tournament.client import NumeraiClient
from bot.tournament.slots import Slot
from models.inference.ranks import rank_correlation

KEPT = "likeness.json"
"""Name of the file that keeps the result beside the round's predictions."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCorrelation:
    """
    Correlation of a confirmed submission with the benchmark model of its target.

    Attributes:
        round: Numerai's number of the round.
        slot: Model name.
        benchmark: Name of the benchmark model.
        correlation: Rank correlation over the rows that both cover.
        rows: Number of these rows.
        finding: Warning in words; empty where there is none.
        at: Time of the comparison, UTC.
    """

    round: int
    slot: str
    benchmark: str
    correlation: float
    rows: int
    finding: str
    at: str


def measure(
    client: NumeraiClient, ledger: Ledger, artifacts: ArtifactStore, slots: Sequence[Slot], *, least: float
) -> tuple[BenchmarkCorrelation, ...]:
    """
    Correlate the newest confirmed submission of each slot with the benchmark that the server has now, each once.

    The server keeps the benchmark of one round only. Another round's has other ids, and the comparison is skipped.

    Args:
        client: Client of the API; needs no key.
        ledger: Ledger of the mode in force.
        artifacts: Store of the artifacts that scored.
        slots: Slots to compare.
        least: Correlation under which to warn; an ensemble that is neutralized to the benchmark may have any.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for slot in slots:
            entry = ledger.newest(slot.name)
            if entry is None or entry.state != "confirmed":
                continue
            home = ledger.rounds / str(entry.round) / file_name(slot.name)
            if (home / KEPT).is_file():
                continue
            try:
                one = _correlate(client, artifacts, entry, home / "predictions.csv", Path(folder), least=least)
            except (BotError, OSError, ValueError, KeyError) as error:  # KeyError: manifest of an older bot
                log.info("benchmark.unknown", round=entry.round, slot=slot.name, reason=str(error))
                continue
            publish(home / KEPT, (json.dumps(asdict(one), indent=1) + "\n").encode())
            record = log.warning if one.finding else log.info
            record("benchmark.compared", **{key: value for key, value in asdict(one).items() if key != "at"})
            found.append(one)
    return tuple(found)


def _correlate(
    client: NumeraiClient, artifacts: ArtifactStore, entry: Entry, csv: Path, folder: Path, *, least: float
) -> BenchmarkCorrelation:
    about = artifacts.open(entry.artifact).manifest
    version, target = str(about["data_version"]), str(about["target"])
    path = folder / version / FILE
    if not path.is_file():
        path.parent.mkdir(exist_ok=True)
        fetch(client, f"{version}/{FILE}", path)
    with open_columns(path, LIVE, remedy=FETCHED_AGAIN) as file:
        column = benchmark_column(tuple(file.types), target)
    if column is None:
        raise DatasetIncomplete(f"{FILE} has no benchmark model of {target}")
    if hashlib.sha256(csv.read_bytes()).hexdigest() != entry.csv_sha256:
        raise DatasetIncomplete(f"{csv} is not the file that was sent")
    sent = read_submission(csv)
    benchmark = benchmark_of(path, sent.ids, column)
    if isinstance(benchmark, Absent):
        raise DatasetIncomplete(benchmark.reason)
    known = np.isfinite(benchmark)
    correlation = rank_correlation(sent.predictions[known], benchmark[known])
    unlike = not correlation >= least and not about.get("benchmark")
    return BenchmarkCorrelation(
        round=entry.round,
        slot=entry.slot,
        benchmark=column,
        correlation=correlation,
        rows=int(known.sum()),
        finding=f"unlike the benchmark, at least {least:g} is expected" if unlike else "",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
