"""
Export an artifact as the pickle that Numerai runs itself (Model Upload), and prove that both predict the same.

A pickle appears under its own name only after it was checked, unless the check was switched off.
"""

import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.data.download import fetch
from bot.data.live_file import read_live
from bot.errors import BadConfig, GateFailed, RetryLater
from bot.findings import Absent
from bot.history.factor_history import HistoryState
from bot.history.published import choose, history_path, newest
from bot.hosted._environment import IMAGES, HostedRun, make_environment, run, this_python
from bot.hosted._pickling import pack
from bot.members.rows import RawRows
from bot.serving.artifacts import Artifact
from bot.serving.scorer import Scorer
from bot.submission.live_benchmark import FILE, benchmark_of
from bot.submission.live_fetch import live_path
from bot.system.files import publish, rename
from bot.tournament.client import NumeraiClient
from models.inference.ranks import rank_correlation

FURTHEST, LEAST_CORRELATION = 0.005, 0.99999
"""
Largest move of a prediction, where predictions are spread evenly over (0, 1), and least rank correlation.

Trees, and all steps after them, agree to the last bit. A network's float32 sums are taken in another order, so that rows
whose scores differ by 1e-8 change places. A real difference, such as a missing value of one row, moves far more.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """
    Comparison of a packed artifact's ranks of a live file with the artifact's own.

    Attributes:
        rows: Number of ranked rows.
        moved: Number of rows in another place.
        furthest: Largest number of places that a row moved.
        correlation: Rank correlation.
    """

    rows: int
    moved: int
    furthest: float
    correlation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """
    A pickle's run under Numerai's limits.

    Attributes:
        agreement: Comparison with the artifact.
        seconds: Seconds from loading the first package to the last prediction.
        peak_bytes: Largest resident memory.
        remark: Difference from a live round, in words; empty where there is none.
    """

    agreement: Agreement
    seconds: float
    peak_bytes: int
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """
    A packed artifact on disk.

    Attributes:
        path: Path of the pickle.
        sha256: Digest of its bytes.
        size: Number of its bytes.
        artifact: Id of the artifact.
        members: Share of each member in the ensemble.
        python, data_version: Python and data version to select at the upload.
        arguments: Arguments of the function: 2 where the ensemble is neutralized to the benchmark models, else 1.
        stale_after: Time after which the history is masked for live rows; ``None`` without a history.
        packages: Versions in the fresh environment of the check; empty where there was none.
        checked: Result of the check; ``None`` where it was switched off.
    """

    path: str
    sha256: str
    size: int
    artifact: str
    members: Mapping[str, float]
    python: str
    data_version: str
    arguments: int
    stale_after: str | None
    packages: Mapping[str, str]
    checked: Checked | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """
    Files to check a pickle with.

    Attributes:
        live: A live file.
        benchmarks: File of the benchmark models for the same rows, where they are needed.
    """

    live: Path
    benchmarks: Path | None = None


def find_sample(client: NumeraiClient, rounds: Path, version: str, folder: Path, *, benchmarks: bool) -> Sample:
    """
    Return the files of the newest round that are kept, or download those that are served now.

    Args:
        client: Client of the API; needs no key.
        rounds: Folder with one folder for each round.
        version: Data version.
        folder: Folder for a download.
        benchmarks: Whether the benchmark models are needed.

    Raises:
        RetryLater: No file is kept, and none can be downloaded.
    """
    kept = [one for one in rounds.glob("[0-9]*") if live_path(one, version).is_file()]
    for one in sorted(kept, key=lambda path: int(path.name), reverse=True):
        live = live_path(one, version)
        if not benchmarks or live.with_name(FILE).is_file():
            return Sample(live=live, benchmarks=live.with_name(FILE) if benchmarks else None)
    names = ("live.parquet", FILE) if benchmarks else ("live.parquet",)
    live, *others = [fetch(client, f"{version}/{name}", folder / name).path for name in names]
    return Sample(live=live, benchmarks=others[0] if others else None)


def refuse_filled(slot: str, filled: Collection[str], client: NumeraiClient) -> str | None:
    """
    Refuse a slot that a pickle must not be uploaded to; return the file name of its present Model Upload, if any.

    Args:
        slot: Model name.
        filled: Slots in the settings; where there are none, the bot fills the account's only model.
        client: Client with the key of the slot's account; not called for a slot in the settings.

    Raises:
        BadConfig: The bot fills the slot, or it is no model of the account.
    """
    models = {} if slot in filled else client.slots()
    if slot in filled or (not filled and list(models) == [slot]):
        raise BadConfig(
            f"slot {slot} submits by API, which a Model Upload would shut out;"
            " name another model, or let BOT_SLOTS name others first"
        )
    if slot not in models:
        raise BadConfig(
            f"slot {slot!r} is not a model of this account; its models: {', '.join(sorted(models)) or 'none'}"
        )
    runs = client.hosted_models().get(slot)
    return None if runs is None else runs.filename


def check_agreement(ids: tuple[str, ...], expected: npt.NDArray[np.float64], ran: HostedRun) -> Agreement:
    """
    Compare the artifact's predictions of a live file with its pickle's.

    Args:
        ids: Ids in file order.
        expected: The artifact's predictions. Shape ``(rows,)``.
        ran: The pickle's predictions.

    Raises:
        GateFailed: A row moved further than :data:`FURTHEST` allows, or other rows were scored.
    """
    if ran.ids != ids:
        raise GateFailed(f"the model scored {len(ran.ids)} rows, not the {len(ids)} of the live file in their order")
    places = np.abs(expected - ran.predictions) * (len(ids) + 1)
    agreement = Agreement(
        rows=len(ids),
        moved=int((places > 0.25).sum()),
        furthest=round(2 * float(places.max())) / 2,
        correlation=rank_correlation(expected, ran.predictions),
    )
    if not (places.max() <= FURTHEST * (len(ids) + 1) and agreement.correlation >= LEAST_CORRELATION):
        raise GateFailed(
            f"the model ranks differently from the artifact: {agreement.moved} of {agreement.rows} rows moved, up to"
            f" {agreement.furthest:g} places (limit {FURTHEST:.1%} of them), rank correlation {agreement.correlation:.6f}"
            f" (limit {LEAST_CORRELATION:g}); it was not kept"
        )
    return agreement


def export(
    artifact: Artifact,
    output: Path,
    *,
    state_dir: Path,
    rounds: Path,
    now: datetime,
    client: NumeraiClient | None,
    python: Path | None = None,
    reuse: bool = False,
) -> Export:
    """
    Pack an artifact, check the pickle on a live file, and only then put it in place, with a receipt beside it.

    Args:
        artifact: A verified artifact.
        output: Path of the pickle.
        state_dir: State directory, which holds the published history.
        rounds: Folder of the rounds, from :func:`bot.record.ledger.rounds_folder`.
        now: Aware time.
        client: Client that downloads a live file where none is kept; ``None`` skips the check.
        python: Interpreter with Numerai's packages; ``None`` makes a fresh environment.
        reuse: Return the receipt of an earlier export that made and checked the same bytes, if there is one.

    Raises:
        GateFailed: The pickle does not run under Numerai's limits, or ranks differently from the artifact; it is not
            kept.
        RetryLater: Numerai's packages or a live file are not available now; the pickle is kept under another name.
        RefuseToSubmit: The artifact cannot score the live file.
    """
    image, version = this_python(), str(artifact.required("data_version"))
    scorer, published = Scorer(artifact), history_path(state_dir, version)
    state = None if scorer.history is None else newest(scorer.history, published)
    content = pack(artifact, state, to_benchmark=scorer.benchmark is not None)
    if reuse and (before := _checked_before(output, content)) is not None:
        return before
    unchecked = output.with_name(f"{output.name}.unchecked")
    publish(unchecked, content)
    checked = None
    if client is not None:
        try:
            with tempfile.TemporaryDirectory(prefix=".clean-room-", dir=output.parent) as folder:
                room = Path(folder)
                sample = find_sample(client, rounds, version, room, benchmarks=scorer.benchmark is not None)
                live_history = choose(scorer.history, published, now=now)
                environment = python or make_environment(room / "python", image)
                checked = _check(unchecked, scorer, sample, live_history, environment, room)
        except RetryLater as error:
            raise RetryLater(f"{error}; the model lies unchecked in {unchecked}") from None
        except BaseException:
            unchecked.unlink()
            raise
    packages = IMAGES[image] if python is None and checked else {}
    made = _receipt(output, content, scorer, state, image=image, packages=packages, checked=checked)
    publish(output.with_suffix(".json"), (json.dumps(asdict(made), indent=1) + "\n").encode())
    rename(unchecked, output)
    return made


def _checked_before(output: Path, content: bytes) -> Export | None:
    """Return the receipt of a pickle with this content that lies there and was checked, ``None`` where there is none."""
    try:
        kept: dict[str, Any] = json.loads(output.with_suffix(".json").read_text(encoding="utf-8"))
        checked = kept.pop("checked")
        agreement = Agreement(**checked.pop("agreement"))
        found = Export(**{**kept, "path": str(output)}, checked=Checked(**checked, agreement=agreement))
        unchanged = output.read_bytes() == content and found.sha256 == hashlib.sha256(content).hexdigest()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or of an older bot
        return None
    return found if unchanged else None


def _check(
    model: Path, scorer: Scorer, sample: Sample, history: HistoryState | None, python: Path, room: Path
) -> Checked:
    """Score a live file with the artifact and with the pickle, and compare."""
    live = read_live(sample.live)
    benchmark: npt.NDArray[np.float64] | Absent | None = None
    if scorer.benchmark is not None and sample.benchmarks is not None:
        benchmark = benchmark_of(sample.benchmarks, live.ids, scorer.benchmark)
    known = None if isinstance(benchmark, Absent) else benchmark
    rows = RawRows(names=live.names, values=live.values, history=history, benchmark=known)
    expected = scorer.score(rows).predictions
    ran = run(python, model, sample.live, sample.benchmarks, room)
    return Checked(
        agreement=check_agreement(live.ids, expected, ran),
        seconds=ran.seconds,
        peak_bytes=ran.peak_bytes,
        remark=f"not neutralized: {benchmark.reason}" if isinstance(benchmark, Absent) else "",
    )


def _receipt(
    output: Path,
    content: bytes,
    scorer: Scorer,
    state: HistoryState | None,
    *,
    image: str,
    packages: Mapping[str, str],
    checked: Checked | None,
) -> Export:
    return Export(
        path=str(output),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        artifact=scorer.artifact.id,
        members=scorer.weights,
        python=image,
        data_version=str(scorer.artifact.required("data_version")),
        arguments=1 if scorer.benchmark is None else 2,
        stale_after=None if state is None or state.stale_after is None else state.stale_after.isoformat(),
        packages=packages,
        checked=checked,
    )
