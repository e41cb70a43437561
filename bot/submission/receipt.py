"""What came of one round for one slot, and how long it took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from bot.findings import Finding
from bot.tournament.rounds import Round

Outcome = Literal["confirmed", "already confirmed", "dry run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What came of a round for one slot; ``seconds_left`` counts down to the close in server time."""

    round: Round
    slot: str
    outcome: Outcome
    artifact: str
    rung: str
    data_version: str
    data_sha256: str
    csv_sha256: str
    submission_id: str | None = None
    findings: tuple[Finding, ...] = ()
    seconds_used: float
    seconds_left: float


class Stages:
    """How long each stage of one submission took, in seconds."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what happens inside."""
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)

    @property
    def total(self) -> float:
        """Return the seconds since the submission began."""
        return round(time.perf_counter() - self._began, 3)
