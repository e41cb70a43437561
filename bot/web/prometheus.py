"""Metrics for Prometheus and the health page, read from ledger, round reports and heartbeat at each request."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from starlette.responses import PlainTextResponse, Response

from bot.record.diagnostics import DIAGNOSTICS
from bot.record.heartbeat import Heartbeat, problems
from bot.record.ledger import Entry, Ledger, rounds_folder
from bot.record.outbox import Outbox
from bot.system.file_names import file_name

PREFIX = "numerai_bot"


class Metrics:
    """
    Content of `/metrics` and `/healthz`. It holds no name of a slot or an account.

    Args:
        ledger_path: Database of rounds and messages.
        state_dir: Folder of the heartbeat.
        heartbeat: Heartbeat of the daemon in this process.
    """

    def __init__(self, ledger_path: Path, state_dir: Path, heartbeat: Heartbeat) -> None:
        self._ledger_path, self._state_dir, self._heartbeat = ledger_path, state_dir, heartbeat
        self._jobs_ok: dict[str, float] = {}

    def healthz(self, _name: str = "") -> Response:
        """
        Return the problems of the daemon, with status 503, or ``healthy``.

        The cause of an unfilled round, which begins with the slot's name, is on the pages alone.
        """
        found = [": ".join(one.split(": ")[:2]) if one.startswith("round: ") else one for one in self.problems()]
        return PlainTextResponse("\n".join(found or ("healthy",)) + "\n", status_code=503 if found else 200)

    def page(self, _name: str = "") -> Response:
        """Return the metrics in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    def problems(self) -> tuple[str, ...]:
        """Return the problems of the daemon; empty for a healthy one."""
        found = problems(self._state_dir)
        # On a full disk the heartbeat's file keeps what it held before; this process has the newer problems.
        held = (f"{name}: {reason}" for name, reason in sorted(self._heartbeat.problems.items()))
        return (*found, *(one for one in held if one not in found))

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, because the names are known only when metrics are collected."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its current value."""
        marked = self._heartbeat.problems
        yield _gauge("tick_age_seconds", "Seconds since the last completed look of the loop.", self._heartbeat.age_s)
        yield _gauge("healthy", "1 while the daemon has no problem.", float(not self.problems()))
        yield _labelled("trouble", "1 for each current problem.", "name", dict.fromkeys(marked, 1.0))
        ledger, outbox = Ledger(self._ledger_path, read_only=True), Outbox(self._ledger_path, read_only=True)
        try:
            entries, last_success = _newest_entries(ledger), ledger.last_success()
            yield _gauge("messages_waiting", "Messages not sent yet.", float(outbox.waiting()))
            jobs = ledger.jobs()
            differing = [name for name in outbox.open_alerts() if name.startswith(DIAGNOSTICS)]
            yield _gauge(
                "diagnostics_differ", "Champions with different scores in Numerai's diagnostics.", float(len(differing))
            )
        finally:
            ledger.close()
            outbox.close()
        # A job that runs again keeps its last outcome: a series with gaps would begin the wait of its alert anew.
        self._jobs_ok |= {str(one["name"]): float(one["outcome"] == "ok") for one in jobs if one["finished_at"]}
        yield _labelled("chore_ok", "1 if the last run of the job succeeded.", "chore", self._jobs_ok)
        if not entries:
            return
        states = Counter(entry.state for entry in entries)
        yield _gauge("round_number", "Newest round in the ledger.", float(entries[0].round))
        yield _labelled("round_slots", "Slots of the newest round by state.", "state", states)
        if last_success is not None:
            yield _gauge(
                "last_success_timestamp_seconds", "Time of the last confirmed submission.", last_success.timestamp()
            )
        yield InfoMetricFamily(
            f"{PREFIX}_artifact", "Artifact that scored the newest round.", value={"artifact": entries[0].artifact}
        )
        yield from self._reported(entries[0].round, entries[0].slot)

    def _reported(self, number: int, slot: str) -> Iterator[Metric]:
        """Yield gates, feature drift and durations from the report of a slot's round, if it is readable."""
        path = rounds_folder(self._ledger_path) / str(number) / file_name(slot) / "report.json"
        try:
            report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            gates = {str(gate["gate"]): float(gate["ok"]) for gate in report["gates"]}
            seconds = {str(stage): float(value) for stage, value in report["seconds"].items()}
            drift = report.get("feature_drift")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        yield _labelled("gate_ok", "1 if the newest submission passed the gate.", "gate", gates)
        if drift is not None:
            yield _gauge(
                "feature_drift",
                "Share of live features whose distribution differs from every training era.",
                float(drift),
            )
        yield _labelled(
            "stage_seconds", "Duration of each stage of the newest submission, in seconds.", "stage", seconds
        )


def _newest_entries(ledger: Ledger) -> list[Entry]:
    """Return the entries of the newest round, however many slots it has."""
    limit = 50
    while len(found := ledger.entries(limit=limit)) == limit and found[0].round == found[-1].round:
        limit *= 4
    return [one for one in found if one.round == found[0].round]


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", about, value=value)


def _labelled(name: str, about: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", about, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family
