"""State directories that the daemon's pages are drawn from: rounds, live scores, artifacts with a hold-out, jobs and problems."""

import json
import random
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.findings import Finding
from bot.live.live_scores import LiveScores
from bot.record.diagnostics import ArtifactDiagnostics, DiagnosticsRecord
from bot.record.failures import Failure
from bot.record.heartbeat import Heartbeat, boot
from bot.record.ledger import Entry, Ledger, LiveFileRecord
from bot.record.outbox import Outbox
from bot.tournament.responses import LiveScore, Payment
from bot.tournament.rounds import Payout, Round

NEWEST = 1405
SLOTS = {"mixer": "standard", "trees": "trees"}
BENCHMARK = "v53_example"
PAYS = tuple(Payout(score=name, multiplier=by, clip=0.05) for name, by in (("corr60", 3.0), ("mmc60", 15.0)))
HOLDOUT = 150
GATES = (
    Finding(
        gate="ids", value="6123 rows", limit="the live ids, at least 1000", ok=True, message="", setting="BOT_MIN_ROWS"
    ),
    Finding(gate="finite", value=1.0, limit="at least 1", ok=True, message=""),
    Finding(gate="std", value=0.2886, limit="at least 0.1", ok=True, message=""),
)
EXPOSED = Finding(
    gate="exposure", value=0.4123, limit="at most 0.2", ok=False, setting="BOT_MAX_EXPOSURE",
    message="exposure: 0.412 to one feature is over 0.2; neutralize more or raise BOT_MAX_EXPOSURE",
    remedy="neutralize more or raise BOT_MAX_EXPOSURE",
)  # fmt: skip


def made_state(folder: Path, *, rounds: int, now: datetime | None = None) -> Path:
    """
    Make a healthy state: two slots, two recipes, four artifacts, and *rounds* confirmed rounds with live scores, the newest closed.

    Returns:
        Path of the ledger.
    """
    now = now or datetime.now(UTC)
    path = folder / "ledger.sqlite"
    made = [artifact(folder, number, now=now) for number in range(4)]
    champions = dict(zip(("standard", "trees"), (made[2], made[1]), strict=True))
    for recipe, identity in champions.items():
        pointer = folder / "artifacts" / "champions" / f"{recipe}.json"
        pointer.parent.mkdir(exist_ok=True)
        pointer.write_text(json.dumps({"champion": identity, "previous": []}))
    chance = random.Random(7)
    with closing(Ledger(path)) as ledger, closing(LiveScores(path)) as record:
        for number in range(NEWEST - rounds + 1, NEWEST + 1):
            opens = now - timedelta(hours=3, days=NEWEST - number)
            seen_round(ledger, record, number, opens)
            common = chance.gauss(0.012, 0.03)
            for slot, recipe in SLOTS.items():
                confirm(ledger, number, slot, champions[recipe], opens)
                scores(record, number, slot, corr=common + chance.gauss(0.004, 0.012), mmc=chance.gauss(0.002, 0.008))
            scores(record, number, BENCHMARK, corr=common + chance.gauss(0.002, 0.005), mmc=chance.gauss(0.0, 0.003))
        paid = [
            Payment(round=one, slot="mixer", nmr=0.04, settled=True) for one in range(NEWEST - rounds + 1, NEWEST - 20)
        ]
        record.record_payouts(paid, {"mixer": {one.round: 10.0 for one in paid}})
        for name, outcome in (("backup", "ok"), ("retrain", "ok"), ("scores", "exit status 75"), ("sync", "ok")):
            ledger.start_job(name, now - timedelta(hours=5))
            ledger.finish_job(name, now - timedelta(hours=4), outcome)
    heartbeat(folder)
    return path


def artifact(folder: Path, number: int, *, now: datetime, name: str = "", evaluated: bool = True) -> str:
    """Write the files of the *number*-th artifact that pages read, and return its id."""
    made = now - timedelta(days=40 - 10 * number)
    identity = f"{made:%Y-%m-%dT%H%M%SZ}-{number:04x}"
    chance = random.Random(number)
    corr = [round(chance.gauss(0.028 + 0.002 * number, 0.03), 6) for _ in range(HOLDOUT)]
    scores = {
        "corr": {"ensemble": corr},
        "bmc": {"ensemble": [round(value / 4, 6) for value in corr]},
        "mmc": {"ensemble": [None if at < 40 else round(value / 5, 6) for at, value in enumerate(corr)]},
    }
    mean = sum(corr) / len(corr)
    promoted = number in (1, 2)
    reason = (
        f"CORR {mean:.4f} on the hold-out is more than chance, floors hold, pay beats the champion's"
        if promoted
        else "pay is 0.0021 below the champion's on the same eras, error 0.0018; it keeps its place"
    )
    manifest = {
        "id": identity, "recipe": {"name": name or ("trees" if number == 1 else "standard"), "corr_multiplier": 3.0, "mmc_multiplier": 15.0},
        "created_at": made.isoformat(), "data_version": "v5.3", "target": "target_ender_60",
        "scores": {"ensemble": {"mean": mean, "sharpe": 1.02, "max_drawdown": 0.12, "eras": HOLDOUT}},
        "decision": {"promote": promoted, "reason": reason, "champion": None},
    }  # fmt: skip
    place = folder / "artifacts" / identity
    place.mkdir(parents=True)
    (place / "manifest.json").write_text(json.dumps(manifest))
    if evaluated:
        holdout = {"eras": [f"{900 + at:04d}" for at in range(HOLDOUT)], "rows": [], "exposure": [], "scores": scores}
        (place / "evaluation.json").write_text(json.dumps({"target": "target_ender_60", "holdout": holdout}))
    (folder / "reports").mkdir(exist_ok=True)
    (folder / "reports" / f"{identity}.html").write_text('<link rel="icon" href="data:,"><h1>the report</h1>')
    return identity


def seen_round(ledger: Ledger, record: LiveScores, number: int, opens: datetime, *, hours: float = 1.0) -> None:
    """Record a round's times and payout terms."""
    round_ = Round(number=number, opens_at=opens, closes_at=opens + timedelta(hours=hours), payouts=PAYS, factor=0.5)
    ledger.record_round(round_)
    record.record_terms(round_)


def confirm(ledger: Ledger, number: int, slot: str, identity: str, at: datetime) -> None:
    """Record a confirmed submission with the files that a round leaves."""
    report = {
        "artifact": identity, "gates": [gate_json(one) for one in GATES],
        "seconds": {"deliver": 2.712, "fetch": 1.686, "gates": 2.409, "score": 0.38},
    }  # fmt: skip
    entry = Entry(
        round=number, slot=slot, state="intended", token=f"r{number}-{slot}", csv_sha256="ef" * 32, data_sha256="ab" * 32,
        artifact=identity, submission_id=None, filename=None, intended_at=at.isoformat(), confirmed_at=None,
    )  # fmt: skip
    ledger.record_live_file(
        LiveFileRecord(
            round=number, version="v5.3", sha256="ab" * 32, ids_sha256="cd" * 32, rows=6123, fetched_at=at.isoformat()
        )
    )
    ledger.intend(entry)
    ledger.confirm(number, slot, submission_id="s", filename=f"r{number}-{slot}-efef.csv", at=at + timedelta(seconds=9))
    folder = ledger.rounds / str(number) / slot
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(report))
    chance = random.Random(f"{slot}{number // 10}")
    base = random.Random(number)
    rows = [
        f"n{row:05d},{min(max(0.6 * base.random() + 0.4 * chance.random(), 1e-6), 1 - 1e-6):.9f}" for row in range(400)
    ]
    (folder / "predictions.csv").write_text("\n".join(["id,prediction", *rows]) + "\n")
    log(ledger, number, slot, at, "submission.uploaded", sha256="efefefefefef")
    log(ledger, number, slot, at + timedelta(seconds=8), "round.finished", artifact=identity, rows=6123)


def log(ledger: Ledger, number: int, slot: str, at: datetime, event: str, level: str = "info", **about: object) -> None:
    """Add a line to a round's log."""
    path = ledger.rounds / str(number) / "log.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {**about, "event": event, "round": number, "slot": slot, "level": level, "timestamp": at.isoformat()}
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")


def gate_json(one: Finding) -> dict[str, object]:
    """Return a gate as a round's report has it."""
    return {name: getattr(one, name) for name in ("gate", "limit", "message", "ok", "remedy", "setting", "value")}


def scores(record: LiveScores, number: int, slot: str, *, corr: float, mmc: float) -> None:
    """Record live scores of a round; those of the newest twenty are not final."""
    resolved = number <= NEWEST - 20
    record.record(
        slot,
        [
            LiveScore(
                round=number, name=name, value=value, percentile=min(max(0.5 + 6 * value, 0.0), 1.0),
                day=60 if resolved else NEWEST - number + 1, date="2026-11-24", resolved=resolved,
            )
            for name, value in (("corr60", corr), ("mmc60", mmc))
        ],
    )  # fmt: skip


def heartbeat(folder: Path) -> None:
    """Let this process be the daemon of the state."""
    Heartbeat(folder=folder).beat()


def open_round(folder: Path, *, now: datetime | None = None, minutes: float = 42) -> Ledger:
    """Add a round that is open, with no submission yet; return the ledger, which the caller closes."""
    now = now or datetime.now(UTC)
    path = folder / "ledger.sqlite"
    ledger = Ledger(path)
    with closing(LiveScores(path)) as record:
        seen_round(ledger, record, NEWEST + 1, now - timedelta(minutes=60 - minutes))
    return ledger


def refuse(ledger: Ledger, slot: str, identity: str, at: datetime) -> None:
    """Record that the open round was refused for a slot, with the report of its gates."""
    failure = Failure(
        round=NEWEST + 1, slot=slot, kind="refused", message=EXPOSED.message, gates=(EXPOSED,), first_at=at.isoformat(),
        last_at=at.isoformat(),
    )  # fmt: skip
    ledger.record_failure(failure)
    folder = ledger.rounds / str(NEWEST + 1) / slot
    folder.mkdir(parents=True)
    report = {
        "artifact": identity,
        "gates": [gate_json(one) for one in (*GATES, EXPOSED)],
        "seconds": {"score": 0.4, "fetch": 1.7},
    }
    (folder / "report.json").write_text(json.dumps(report))
    log(ledger, NEWEST + 1, slot, at, "submission.failed", level="error", kind="refused", reason=EXPOSED.message)


def working(folder: Path, name: str = "retrain", **about: object) -> None:
    """Let work go on: write its progress as the process that does it would."""
    values = {
        "stage": "fit gbm", "share": 0.42, "note": "trees, 840 of 2,000 trees", "number": 3, "count": 8, "stage_s": 1080.0,
        "all_s": 6000.0, "name": name, "began_at": datetime.now(UTC).isoformat(), "boot": boot(), "beat": time.monotonic(),
    }  # fmt: skip
    (folder / "progress").mkdir(exist_ok=True)
    (folder / "progress" / f"{name}.json").write_text(json.dumps({**values, **about}))


def kill(folder: Path) -> None:
    """Let the daemon of the state be gone, with an open alert."""
    path = folder / "pulse.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "pid": 2**22 + 1}))
    with closing(Outbox(folder / "ledger.sqlite")) as outbox:
        body = "no usable answer since 12:10; the next try is in a minute\nwhat to do: see `bot doctor`"
        outbox.alert("numerai", "Numerai does not answer", body, at=datetime.now(UTC))


def diagnosed(folder: Path, identity: str, verdict: str, state: str = "differs") -> None:
    """Record Numerai's diagnostics of an artifact."""
    told = {"corr": {"0900": 0.01}}
    with closing(DiagnosticsRecord(folder / "ledger.sqlite")) as record:
        record.keep(
            ArtifactDiagnostics(
                artifact=identity, recipe="standard", model_id="m", token="t", state=state, diagnostics_id="d", ours=told,
                theirs=told, verdict=verdict, at=datetime.now(UTC).isoformat(),
            )
        )  # fmt: skip
