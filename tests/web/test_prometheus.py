"""Alerts, dashboard and compose file name only metrics, services and pages that exist."""

import json
import re
import shutil
import subprocess
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from bot.record.heartbeat import Heartbeat
from bot.record.ledger import Entry, Ledger
from bot.system.file_names import file_name
from bot.web.prometheus import Metrics

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "monitoring" / "alerts.yml"
PROMTOOL = shutil.which("promtool")
DASHBOARD = ROOT / "monitoring" / "grafana" / "dashboards" / "numerai-bot.json"


def known():
    """Return the names of all metrics that the code can export."""
    source = (ROOT / "bot" / "web" / "prometheus.py").read_text(encoding="utf-8")
    return {f"numerai_bot_{name}" for name in re.findall(r"_(?:gauge|labelled)\(\s*\"([a-z_]+)\"", source)}


def test_every_alert_names_its_entry_in_the_runbook():
    """Every alert links to the heading of its name in the runbook; tests/docs checks that it exists."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]

    assert [rule["annotations"]["runbook"] for rule in rules] == [
        f"docs/runbook.md#{rule['alert'].lower()}" for rule in rules
    ]


def test_every_alert_has_a_case_in_which_it_fires():
    """Each rule is expected to fire in a case for promtool."""
    rules = {rule["alert"] for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]}
    cases = yaml.safe_load((ROOT / "tests" / "alerts.yaml").read_text())["tests"]

    assert {one["alertname"] for case in cases for one in case["alert_rule_test"] if one.get("exp_alerts")} == rules


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "arguments",
    [("test", "rules", "tests/alerts.yaml"), ("check", "config", "--syntax-only", "monitoring/prometheus.yml")],
    ids=["rules", "config"],
)
def test_every_alert_fires_on_its_problem_only(arguments):
    """Promtool accepts the files; every alert fires when its problem lasts, and none in five healthy days."""
    done = subprocess.run([PROMTOOL, *arguments], check=False, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_and_dashboard_name_metrics_that_exist():
    """Every metric of a rule or a panel is exported."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    named = set(re.findall(r"numerai_bot_[a-z_]+", ALERTS.read_text() + " ".join(asked)))

    assert named <= known()
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_metrics_are_readable_before_the_first_round(tmp_path):
    """A new bot exports the metrics that need no round."""
    Ledger(tmp_path / "ledger.sqlite").close()
    heartbeat = Heartbeat(folder=tmp_path)
    heartbeat.beat()
    page = Metrics(tmp_path / "ledger.sqlite", tmp_path, heartbeat).page()
    found = {family.name: family for family in text_string_to_metric_families(page.body.decode())}

    assert found["numerai_bot_healthy"].samples[0].value == 1
    assert "numerai_bot_round_number" not in found


def test_a_job_that_runs_again_keeps_its_last_outcome(tmp_path):
    """While a failed job is tried again its metric stays 0, so that the alert does not begin to wait anew."""
    ledger = Ledger(tmp_path / "ledger.sqlite")
    metrics = Metrics(tmp_path / "ledger.sqlite", tmp_path, Heartbeat(folder=tmp_path))

    def shown():
        families = text_string_to_metric_families(metrics.page().body.decode())
        return [one.value for family in families if family.name == "numerai_bot_chore_ok" for one in family.samples]

    ledger.start_job("sync", NOW)
    first = shown()
    ledger.finish_job("sync", NOW, "exit status 75")
    failed = shown()
    ledger.start_job("sync", NOW)
    again = shown()
    ledger.finish_job("sync", NOW, "ok")

    assert (first, failed, again, shown()) == ([], [0.0], [0.0], [1.0])


def entry(number, slot):
    return Entry(
        round=number, slot=slot, state="intended", token="t", csv_sha256="a", data_sha256="b", artifact="2026-11-24T1-a",
        submission_id=None, filename=None, intended_at=NOW.isoformat(), confirmed_at=None,
    )  # fmt: skip


def families(folder):
    page = Metrics(folder / "ledger.sqlite", folder, Heartbeat(folder=folder)).page().body.decode()
    return {family.name.removeprefix("numerai_bot_"): family.samples for family in text_string_to_metric_families(page)}


def test_the_report_of_any_slot_name_is_measured(tmp_path):
    """Gates, drift and durations are read from the folder of a name that is no plain file name, too."""
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        ledger.intend(entry(7, "My_Model"))
        report = ledger.rounds / "7" / file_name("My_Model") / "report.json"
    report.parent.mkdir(parents=True)
    report.write_text(
        json.dumps({"gates": [{"gate": "ids", "ok": True}], "seconds": {"fetch": 2}, "feature_drift": 0.4})
    )
    found = families(tmp_path)

    assert [one.value for name in ("gate_ok", "feature_drift", "stage_seconds") for one in found[name]] == [1, 0.4, 2]


def test_many_slots_and_an_old_success_are_counted(tmp_path):
    """The last success stays however many entries follow it, and every slot of the newest round counts."""
    with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
        ledger.intend(entry(6, "first"))
        ledger.confirm(6, "first", submission_id="1", filename="x", at=NOW)
        for place in range(53):
            ledger.intend(entry(7, f"m{place}"))
    found = families(tmp_path)

    assert [one.value for one in found["last_success_timestamp_seconds"]] == [NOW.timestamp()]
    assert [(one.labels, one.value) for one in found["round_slots"]] == [({"state": "intended"}, 53)]


@pytest.mark.parametrize(
    ("title", "cause"),
    [
        ("round 7 closed without a confirmed submission", ": my_model: exposure 0.41; other: refused"),
        ("7 minutes left", ""),
    ],
)
def test_health_names_no_slot(tmp_path, title, cause):
    """The page that anybody may read says that a round was missed, and leaves the cause to the pages."""
    heartbeat = Heartbeat(folder=tmp_path)
    heartbeat.mark("round", f"{title}{cause}")
    heartbeat.beat()
    metrics = Metrics(tmp_path / "ledger.sqlite", tmp_path, heartbeat)

    assert metrics.healthz().body.decode() == f"round: {title}\n"
    assert metrics.problems() == (f"round: {title}{cause}",)


def test_training_containers_get_no_key():
    """In the compose file only services that submit get a key, and every service drops all capabilities."""
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]

    keyed = {name for name, one in services.items() if "NUMERAI_SECRET_KEY" in one.get("environment", {})}
    assert keyed == {"bot", "bot-sandbox"}
    assert all(one["cap_drop"] == ["ALL"] and one["read_only"] and one["init"] for one in services.values())
