"""The doctor reports every misconfiguration with its cause, its fix and its exit code."""

import json
import shutil
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.doctor import _local, _numerai
from bot.doctor import examination as doctor
from bot.doctor.checks import exit_code
from bot.members import registry
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT, Account
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT


class Patient:
    """A healthy installation in this process, and ways to break it."""

    def __init__(self, installation, patch):
        self.patch, self.installation, self.sandbox = patch, installation, installation.sandbox
        for name, value in installation.environment.items():
            if name.startswith(("BOT_", "NUMERAI_")):
                patch.setenv(name, value)
        patch.chdir(installation.root)
        patch.setattr(_numerai, "SKEW_S", 1e12)  # the sandbox's clock stands still at a day of its own
        patch.setattr(doctor, "PATIENCE_S", 20.0)  # a busy machine answers late
        self.state = installation.state

    def set(self, **variables):
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def unset(self, *names):
        for name in names:
            self.patch.delenv(name)

    def toml(self, text):
        (self.installation.root / "bot.toml").write_text(text)

    def account(self, **changes):
        about = {"username": "sandbox", "public_id": DEMO_ACCOUNT.public_id, "secret_key": DEMO_ACCOUNT.secret_key}
        given = Account(**{**about, "models": DEMO_ACCOUNT.models, "scopes": DEMO_ACCOUNT.scopes, **changes})
        self.sandbox.tournament.accounts = (given,)

    @property
    def artifact(self) -> Path:
        return next(path for path in (self.state / "artifacts").iterdir() if path.name[0] == "2")


@pytest.fixture
def patient(installation, monkeypatch):
    return Patient(installation, monkeypatch)


def spoil(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def newer_ledger(patient):
    patient.state.mkdir(exist_ok=True)
    with sqlite3.connect(patient.state / "ledger.sqlite") as database:
        database.execute("PRAGMA user_version = 99")


def free(patient, count):
    usage = type("Usage", (), {"free": count})
    patient.patch.setattr(shutil, "disk_usage", lambda _: usage)


def key_file(patient):
    path = patient.installation.root / "secret"
    path.write_text(DEMO_ACCOUNT.secret_key)
    path.chmod(0o644)
    patient.set(NUMERAI_SECRET_KEY_FILE=str(path))


def hosted(patient):
    patient.sandbox.tournament.hosted[DEMO_ACCOUNT.models[SLOT]] = {"filename": "model.pkl"}


def without_champion(patient):
    (patient.state / "artifacts" / "champions" / "demo.json").write_text("{")


def two_models(patient):
    patient.account(models={**DEMO_ACCOUNT.models, "another": "11111111-0000-0000-0000-000000000000"})


def other_payout(patient):
    patient.set(BOT_TARGET="target_ender_20")


def retired(patient):
    patient.sandbox.faults.add(Fault(operation="list_datasets", kind="version_removed", seconds=9e4))


FAULTS = {
    "unknown variable": (lambda p: p.set(BOT_FEATURESET="all"), "settings", "did you mean BOT_FEATURE_SET", 78),
    "half-written toml": (lambda p: p.toml("mode = "), "settings", "not valid TOML", 78),
    "unknown key": (lambda p: p.toml('feature_sets = "all"'), "settings", "did you mean feature_set", 78),
    "alias as target": (lambda p: p.set(BOT_TARGET="target"), "settings", "never the alias", 78),
    "unknown recipe": (lambda p: p.set(BOT_RECIPE="best"), "settings", "unknown", 78),
    "no schedule": (lambda p: p.set(BOT_RETRAIN="often"), "settings", "must be weekly", 78),
    "missing key": (lambda p: p.unset("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY"), "key", "not set", 78),
    "half a key": (lambda p: p.unset("NUMERAI_SECRET_KEY"), "key", "NUMERAI_SECRET_KEY not set", 78),
    "key file missing": (lambda p: p.set(NUMERAI_SECRET_KEY_FILE="/nowhere"), "settings", "cannot be read", 78),
    "key file open to all": (key_file, "key file", "can be read by others", 0),
    "alert address": (lambda p: p.set(BOT_ALERT_URLS="slakc://x json://127.0.0.1:9/"), "alerts", "address 1 of 2", 0),
    "wrong key": (lambda p: p.set(NUMERAI_SECRET_KEY="wrong"), "scopes", "refuses the API key", 78),
    "scope missing": (lambda p: p.account(scopes=("read_user_info",)), "scopes", "lacks download_submission", 78),
    "staking scope": (lambda p: p.account(scopes=(*DEMO_ACCOUNT.scopes, "stake")), "scopes", "may also stake", 0),
    "foreign slot": (lambda p: p.set(BOT_SLOTS="nobody=demo"), "slots", "not a model of this account", 78),
    "open choice": (two_models, "slots", "set BOT_SLOTS", 78),
    "hosted slot": (hosted, "slots", "blocks submissions by API", 78),
    "pay of another horizon": (other_payout, "pay", "60 days; target_ender_20 looks 20", 0),
    "data that is not offered": (lambda p: p.set(BOT_DATA_VERSION="v9.3"), "data", "v9.3 is not offered", 78),
    "retired data": (retired, "data", "v5.3 is not offered", 78),
    "no disk": (lambda p: free(p, 10_000), "disk", "not even a round fits", 78),
    "little disk": (lambda p: free(p, 5 << 30), "disk", "to build the history", 0),
    "little memory": (
        lambda p: p.patch.setattr(_local, "available_memory", lambda: 100 << 20), "memory", "a submission takes", 78
    ),
    "memory for submitting alone": (
        lambda p: p.patch.setattr(_local, "available_memory", lambda: 1 << 30), "memory", "training gbm (lightgbm)", 0
    ),
    "library missing": (
        lambda p: p.patch.setattr(registry, "_is_installed", lambda name: name != "lightgbm"), "training",
        "recipe demo: members.gbm needs lightgbm, not installed here", 0,
    ),
    "state is a file": (lambda p: p.set(BOT_STATE_DIR=__file__), "state", "is not a folder", 78),
    "newer ledger": (newer_ledger, "ledger", "written by a newer bot", 78),
    "no model": (lambda p: shutil.rmtree(p.state / "artifacts"), "champion demo", "no champion yet", 78),
    "pointer damaged": (without_champion, "champion demo", "is damaged", 65),
    "bit flipped": (lambda p: spoil(p.artifact / "tsmixer.onnx"), "champion demo", "differs from its recorded", 65),
    "trained on another set": (lambda p: p.set(BOT_FEATURE_SET="small"), "champion demo", "was trained with", 0),
    "no answer": (lambda p: p.set(BOT_API_URL="http://127.0.0.1:9/"), "numerai", "did not answer", 75),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_misconfiguration_is_reported_with_cause_and_fix(patient, fault):
    """The check of that subject has the cause and a fix, and the exit code is that of the bot's error."""
    seed, name, cause, code = FAULTS[fault]
    seed(patient)

    found = list(doctor.examine())
    (named,) = [check for check in found if check.name == name and cause in check.what]

    assert named.verdict == ("failure" if code else "warning")
    assert named.fix
    assert exit_code(found) == code


def test_a_healthy_installation_has_no_warning(patient):
    """No warning and no failure; the round, its pay and the champion are shown."""
    found = {check.name: check for check in doctor.examine()}

    assert {check.verdict for check in found.values()} <= {"ok", "note"}
    assert str(FIRST_ROUND) in found["round"].what
    assert "3 x corr60 + 15 x mmc60" in found["pay"].what.lower()
    assert "golden batch" in found["champion demo"].what


def test_memory_is_that_of_the_recipe(patient, tmp_path):
    """The estimate follows the recipe's feature set and the share of eras that it trains on."""
    findings = []
    patient.patch.chdir(tmp_path)
    for recipe in ('base = "demo"\nfeature_set = "all"', 'base = "demo"\nfeature_set = "all"\nevery = 4'):
        (tmp_path / "recipes").mkdir(exist_ok=True)
        (tmp_path / "recipes" / "mine.toml").write_text(recipe)
        patient.set(BOT_RECIPE="mine")
        findings += [check.what for check in doctor.examine() if check.name == "memory"]

    assert "recipe mine" in findings[0]
    assert "of all eras takes about" in findings[0]
    assert "of one era in 4 takes about" in findings[1]
    assert float(findings[0].split()[-1]) > float(findings[1].split()[-1])


def test_a_setting_behind_or_ahead_of_the_champion_is_a_note(patient):
    """Where champion and BOT_DATA_VERSION differ, a note explains which version is used for what."""
    patient.sandbox.tournament.added.add("v5.4")
    findings = {}
    for setting in ("v5.2", "v5.4"):
        patient.set(BOT_DATA_VERSION=setting)
        found = [check for check in doctor.examine() if check.name in ("champion demo", "data")]
        findings[setting] = [check.what for check in found]

        assert {check.verdict for check in found} == {"ok", "note"}
    assert "recipe demo: champion on v5.3; BOT_DATA_VERSION is v5.2" in findings["v5.2"]
    assert {"v5.3 offered", "newer: v5.4"} <= set(findings["v5.2"])
    assert "recipe demo: champion on v5.3; BOT_DATA_VERSION is v5.4, which `bot retrain` trains on" in findings["v5.4"]
    assert "v5.3 and v5.4 offered" in findings["v5.4"]


def test_a_clock_that_is_off_is_warned_of(world_folder, monkeypatch):
    """A difference of more than half a minute from the server's time is a warning."""
    clock = SandboxClock(datetime.now(UTC) + timedelta(hours=3))
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
        monkeypatch.setenv("BOT_API_URL", sandbox.url)
        monkeypatch.setattr(doctor, "PATIENCE_S", 20.0)  # a busy machine answers late
        found = [check for check in doctor.examine() if check.name == "clock"]

    assert [(check.verdict, "behind Numerai" in check.what) for check in found] == [("warning", True)]


def test_the_doctor_is_quick_when_nobody_answers(installation):
    """A server that accepts the connection and never answers costs seconds, and the other checks are reported."""
    installation.sandbox.faults.add(Fault(operation="list_datasets", kind="hang", seconds=30))
    began = time.monotonic()

    done = installation.bot("doctor", "--json")
    checks = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 75
    assert time.monotonic() - began < 60
    assert {"key", "disk", "champion demo", "numerai"} <= {check["name"] for check in checks}
    assert DEMO_ACCOUNT.secret_key not in done.stdout + done.stderr
