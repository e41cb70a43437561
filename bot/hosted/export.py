"""
Export an artifact as the pickle that Numerai runs itself (Model Upload), and prove that it says there what it says here.

A pickle that was not checked never lies under its own name, unless somebody asked for that.
"""

import hashlib
import json
import tempfile
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.data.download import fetch
from bot.data.live_file import read_live
from bot.errors import BadConfig, GateFailed, RetryLater
from bot.history.factor_history import Window
from bot.history.published import choose, history_path, newest
from bot.hosted._environment import IMAGES, Ran, furnish, run, this_python
from bot.hosted._pickling import pack
from bot.serving.artifacts import Artifact
from bot.serving.scorer import Scorer
from bot.submission.live_benchmark import FILE, aligned
from bot.submission.live_fetch import live_path
from bot.system.files import publish, rename
from bot.tournament.client import NumeraiClient
from models.inference.ranks import rank_correlation

FURTHEST, LEAST_CORRELATION = 0.005, 0.99999
"""
Largest move of a prediction, all of which lie evenly between 0 and 1, and least rank correlation.

Trees and all that is done to scores agree to the last bit; a network's float32 sums are taken in another order, so that
rows whose scores differ by 1e-8 change places. Whatever is really otherwise, as a row's missing value, moves far more.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """
    How a packed artifact ranks the rows of a live file, beside the artifact itself.

    Attributes:
        rows: That were ranked.
        moved: Rows that have not the same place.
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
    A pickle under Numerai's limits.

    Attributes:
        agreement: With the artifact.
        seconds: From loading the first package to the last prediction.
        peak_bytes: Largest resident memory.
        remark: What was otherwise than live, in words; empty where nothing was.
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
        path: Of the pickle.
        sha256: Of its bytes.
        size: Their number.
        artifact: Its id.
        members: Share of each in the ensemble.
        python, data_version: What Numerai must be told at the upload.
        arguments: Of the function: 2 where the ensemble is neutralized to the benchmark models, else 1.
        stale_after: When live rows are no longer shown the history; ``None`` without one.
        packages: Of the fresh environment it was checked in; empty where there was none.
        checked: ``None`` where nobody wanted it.
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
    """A live file to check with, and the benchmark models' of the same rows where they are needed."""

    live: Path
    benchmarks: Path | None = None


def find_sample(client: NumeraiClient, rounds: Path, version: str, folder: Path, *, benchmarks: bool) -> Sample:
    """
    Return the newest round's files that are kept, or download what is served now.

    Args:
        client: Needs no key.
        rounds: Holds a folder for each.
        version: Of the data.
        folder: Where a download goes.
        benchmarks: Whether the benchmark models are needed.

    Raises:
        RetryLater: Nothing is kept, and nothing can be downloaded.
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
    Refuse a slot that a pickle must not be uploaded to; return the file of the Model Upload that it runs now, if any.

    Args:
        slot: Name of a model.
        filled: Slots that the settings name; where there are none, the bot fills the account's only model.
        client: With the key of the slot's account; not asked about a slot that the settings name.

    Raises:
        BadConfig: The bot fills it, or it is no model of the account.
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
    return client.hosted_models().get(slot)


def compare(ids: tuple[str, ...], expected: npt.NDArray[np.float64], ran: Ran) -> Agreement:
    """
    Compare what the artifact says of a live file's rows with what its pickle said.

    Args:
        ids: In file order.
        expected: The artifact's predictions. Shape ``(rows,)``.
        ran: The pickle's.

    Raises:
        GateFailed: A row moved further than :data:`FURTHEST` lets it, or other rows were scored.
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
            f"the model ranks otherwise than the artifact: {agreement.moved} of {agreement.rows} rows moved, up to"
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
) -> Export:
    """
    Pack an artifact, check the pickle on a live file, and only then put it in place; a receipt lies beside it.

    Args:
        artifact: Verified.
        output: Where the pickle goes.
        state_dir: Holds the published history.
        rounds: What they saw, from :func:`bot.record.ledger.rounds_folder`.
        now: Aware.
        client: Downloads a live file where none is kept; ``None`` checks nothing.
        python: An interpreter that has Numerai's packages; ``None`` makes a fresh environment for one.

    Raises:
        GateFailed: The pickle does not run under Numerai's limits, or ranks otherwise than the artifact; it is not kept.
        RetryLater: Numerai's packages or a live file cannot be had; the pickle is kept under another name.
        RefuseToSubmit: The artifact does not score the live file.
    """
    image, version = this_python(), str(artifact.manifest["data_version"])
    scorer, published = Scorer(artifact), history_path(state_dir, version)
    state = None if scorer.history is None else newest(scorer.history, published)
    content = pack(artifact, state, to_benchmark=scorer.benchmark is not None)
    unchecked = output.with_name(f"{output.name}.unchecked")
    publish(unchecked, content)
    checked = None
    if client is not None:
        try:
            with tempfile.TemporaryDirectory(prefix=".clean-room-", dir=output.parent) as folder:
                room = Path(folder)
                sample = find_sample(client, rounds, version, room, benchmarks=scorer.benchmark is not None)
                window = choose(scorer.history, published, now=now)
                checked = _check(unchecked, scorer, sample, window, python or furnish(room / "python", image), room)
        except RetryLater as error:
            raise RetryLater(f"{error}; the model lies unchecked in {unchecked}") from None
        except BaseException:
            unchecked.unlink()
            raise
    made = Export(
        path=str(output),
        sha256=hashlib.sha256(content).hexdigest(),
        size=len(content),
        artifact=artifact.id,
        members=scorer.weights,
        python=image,
        data_version=version,
        arguments=1 if scorer.benchmark is None else 2,
        stale_after=None if state is None or state.stale_after is None else state.stale_after.isoformat(),
        packages=IMAGES[image] if python is None and checked else {},
        checked=checked,
    )
    publish(output.with_suffix(".json"), (json.dumps(asdict(made), indent=1) + "\n").encode())
    rename(unchecked, output)
    return made


def _check(model: Path, scorer: Scorer, sample: Sample, window: Window, python: Path, room: Path) -> Checked:
    """Score a live file both ways and compare."""
    live = read_live(sample.live)
    opinion, remark = None, ""
    if scorer.benchmark is not None and sample.benchmarks is not None:
        opinion, remark = aligned(sample.benchmarks, live.ids, scorer.benchmark)
    expected = scorer.score(live.names, live.values, window=window, benchmark=opinion).predictions
    ran = run(python, model, sample.live, sample.benchmarks, room)
    return Checked(
        agreement=compare(live.ids, expected, ran),
        seconds=ran.seconds,
        peak_bytes=ran.peak_bytes,
        remark=f"not neutralized: {remark}" if remark else "",
    )
