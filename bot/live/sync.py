"""Fetch live scores of slots and of models to compare with, and compare them with hold-out scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from bot.errors import BotError
from bot.live.live_scores import LiveRound, LiveScores
from bot.record.ledger import Ledger
from bot.scoring.bootstrap import TooFewEras, newey_west_error
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import ENSEMBLE
from bot.system.files import publish
from bot.tournament.client import NumeraiClient
from bot.tournament.slots import Slot

OVERLAP = 64
"""Number of rounds whose scoring days overlap with those of one round: scoring 60 market days takes 64 rounds."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """
    Expected and live CORR of an artifact.

    Attributes:
        artifact: Id of the artifact.
        expected: Mean CORR on its hold-out.
        live: Mean live CORR of its rounds.
        error: Newey-West standard error of *live*; NaN for too few rounds.
        rounds: Number of rounds.
    """

    artifact: str
    expected: float
    live: float
    error: float
    rounds: int


def sync_scores(client: NumeraiClient, record: LiveScores, slots: Sequence[Slot], others: Sequence[str] = ()) -> int:
    """
    Fetch scores of *slots* and of other models, payout terms and payouts; return the number of new or changed figures.

    Args:
        client: Client of the account that owns the slots.
        record: Table of the scores.
        slots: Slots of the account.
        others: Names of public models to compare with, such as Numerai's benchmarks; recorded under their names.
    """
    ids = {slot.name: slot.model_id for slot in slots} | {name: client.public_model_id(name) for name in others}
    news = sum(record.record(name, client.live_scores(identity)) for name, identity in ids.items())
    for number in record.rounds_without_terms():
        try:
            if (round_ := client.round_with_pay(number)) is not None:
                record.record_terms(round_)
        except BotError as error:
            log.warning("scores.unpriced", round=number, reason=str(error))
    try:
        paid = client.payouts()
        news += record.record_payouts(paid, {slot.name: _stakes(client, slot) for slot in slots if paid})
    except BotError as error:  # scores are complete without it, and a key need not have that scope
        log.warning("payouts.unknown", reason=str(error))
    log.info("scores.synced", models=len(ids), news=news)
    return news


def _stakes(client: NumeraiClient, slot: Slot) -> dict[int, float]:
    """Return the NMR at risk by round; none where Numerai does not return it."""
    try:
        return client.stakes(slot.model_id)
    except BotError as error:
        log.warning("stakes.unknown", slot=slot.name, reason=str(error))
        return {}


def calibrate(
    rounds: Sequence[LiveRound], ledger: Ledger, artifacts: ArtifactStore, *, score: str
) -> list[Calibration]:
    """
    Compare each artifact's live CORR with the CORR on its hold-out. A round that it fills in several slots counts once.

    Args:
        rounds: Rounds of the slots, oldest first.
        ledger: Ledger, which holds the artifact of each round.
        artifacts: Store of the artifacts; one that was pruned is left out.
        score: Name of CORR among the live scores.
    """
    by_artifact: dict[str, dict[int, list[float]]] = {}
    for one in rounds:
        entry = ledger.entry(one.round, one.slot)
        if entry is not None and score in one.scores:
            by_artifact.setdefault(entry.artifact, {}).setdefault(one.round, []).append(one.scores[score])
    found = []
    for identity, by_round in by_artifact.items():
        values = [float(np.mean(scores)) for scores in by_round.values()]
        try:
            expected = float(artifacts.open(identity).manifest["scores"][ENSEMBLE]["mean"])
        except (BotError, KeyError, TypeError):
            continue
        try:
            error = newey_west_error(np.array(values), lag=OVERLAP)
        except TooFewEras:
            error = float("nan")
        found.append(
            Calibration(
                artifact=identity, expected=expected, live=float(np.mean(values)), error=error, rounds=len(values)
            )
        )
    return found


def export(rounds: Sequence[LiveRound], path: Path) -> None:
    """Write live rounds as parquet: one row per round, slot and score."""
    import pyarrow as pa  # noqa: PLC0415 - a tenth of a second that only the export needs
    import pyarrow.parquet as pq  # noqa: PLC0415

    rows: list[Mapping[str, Any]] = [
        {
            "round": one.round, "slot": one.slot, "score": name, "value": value,
            "percentile": one.percentiles.get(name), "day": one.day, "resolved": one.resolved, "pay": one.pay,
            "at_risk": one.at_risk, "paid": one.paid, "settled": one.settled,
        }
        for one in rounds
        for name, value in one.scores.items()
    ]  # fmt: skip
    schema = pa.schema(
        {
            "round": pa.int32(), "slot": pa.string(), "score": pa.string(), "value": pa.float64(),
            "percentile": pa.float64(), "day": pa.int32(), "resolved": pa.bool_(), "pay": pa.float64(),
            "at_risk": pa.float64(), "paid": pa.float64(), "settled": pa.bool_(),
        }
    )  # fmt: skip
    publish(path, lambda file: pq.write_table(pa.Table.from_pylist(rows, schema=schema), file))
