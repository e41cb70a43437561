"""The doctor reports every misconfiguration with its cause, its fix and its exit code."""

import errno
import json
import os
import shutil
import socket
import sqlite3
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.doctor import _local, _numerai, _setup
from bot.doctor import examination as doctor
from bot.doctor.checks import exit_code, ok, summary, warning, worst_first
from bot.doctor.repairs import repair
from bot.members import registry
from bot.packing.keys import make_key
from bot.record.failures import KINDS, Failure
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.record.running import WorkState, keep_progress
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT, Account
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore, digest_of
from bot.system.lock import state_lock
from bot.tournament.client import NO_KEY
from bot.training.planning.retrain_forecast import Forecast
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

    busy: socket.socket | None = None


@pytest.fixture
def patient(installation, monkeypatch):
    patient = Patient(installation, monkeypatch)
    free(patient, 100 << 30)  # the disk and memory of the machine are no subject
    memory(patient, 64 << 30)
    yield patient
    if patient.busy is not None:
        patient.busy.close()


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


def key_in_toml(patient):
    patient.unset("NUMERAI_SECRET_KEY")
    patient.toml(f'numerai_secret_key = "{DEMO_ACCOUNT.secret_key}"\n')
    (patient.installation.root / "bot.toml").chmod(0o644)


def hosted(patient):
    patient.sandbox.tournament.host(SLOT, "model.pkl")


def without_champion(patient):
    (patient.state / "artifacts" / "champions" / "demo.json").write_text("{")


def two_models(patient):
    patient.account(models={**DEMO_ACCOUNT.models, "another": "11111111-0000-0000-0000-000000000000"})


def other_payout(patient):
    patient.set(BOT_TARGET="target_ender_20")


def retired(patient):
    patient.sandbox.faults.add(Fault(operation="list_datasets", kind="version_removed", seconds=9e4))


def recipe(patient, text):
    """Use a recipe file of one's own."""
    folder = patient.installation.root / "recipes"
    folder.mkdir()
    (folder / "mine.toml").write_text(text)
    patient.set(BOT_RECIPE="mine")


def in_file(patient, line, *unset):
    """Write a line of bot.toml in place of variables."""
    if unset:
        patient.unset(*unset)
    patient.toml(f"{line}\n")


def accounts(patient, text="", slot=SLOT, **keys):
    """Describe the account in bot.toml, in place of variables."""
    patient.unset("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY")
    halves = {"id": DEMO_ACCOUNT.public_id, "secret": DEMO_ACCOUNT.secret_key, **keys}
    for name, half in halves.items():
        (patient.installation.root / name).write_text(half)
        (patient.installation.root / name).chmod(0o600)
    table = f'[accounts.main]\npublic_id_file = "id"\nsecret_key_file = "secret"\nslots = {{ {slot} = "demo" }}\n'
    patient.toml(text or table)


def taken_port(patient):
    patient.busy = socket.create_server(("127.0.0.1", 0))
    patient.toml(f"http_port = {patient.busy.getsockname()[1]}\n")


def signing_key(patient, mode):
    make_key(patient.installation.root / "signing.pem")
    (patient.installation.root / "signing.pem").chmod(mode)
    patient.toml('signing_key = "signing.pem"\n')


def keyless_round(patient):
    """A round failed for every slot because the key was missing, and the key is still missing."""
    patient.unset("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY")
    at = OPENED.isoformat()
    with closing(Ledger(patient.state / "ledger.sqlite")) as ledger:
        ledger.record_failure(
            Failure(round=FIRST_ROUND, slot="", kind=KINDS[78], message=NO_KEY, first_at=at, last_at=at)
        )


def swapped(patient):
    patient.set(NUMERAI_PUBLIC_ID=DEMO_ACCOUNT.secret_key, NUMERAI_SECRET_KEY=DEMO_ACCOUNT.public_id)


def no_gpu(patient):
    patient.patch.setattr(_setup, "DEVICES", ())
    patient.toml('device = "cuda"\n')


def memory(patient, count):
    patient.patch.setattr(_local, "available_memory", lambda: count)


SLOTS = f"[slots]\n{SLOT[:-2]} = 'demo'"
FOREIGN = f'[accounts.main]\npublic_id_file = "id"\nsecret_key_file = "secret"\nslots = {{ {SLOT} = "best" }}\n'
HALF = f'[accounts.main]\npublic_id_file = "id"\nslots = {{ {SLOT} = "demo" }}\n'
FAULTS = {
    # what is broken: how, check, cause, remedy, exit code; one line each, whatever follows from it
    "unknown variable": (lambda p: p.set(BOT_FEATURESET="all"), "settings", "did you mean BOT_FEATURE_SET", "unset", 78),
    "half-written toml": (lambda p: p.toml("mode = "), "settings", "not valid TOML", "edit /", 78),
    "unknown key": (lambda p: p.toml('feature_sets = "all"'), "settings", "did you mean feature_set", "bot.toml", 78),
    "alias as target": (lambda p: p.set(BOT_TARGET="target"), "settings", "never the alias", "unset BOT_TARGET", 78),
    "unknown recipe": (lambda p: p.set(BOT_RECIPE="best"), "settings", "make recipes/best.toml", "BOT_RECIPE", 78),
    "no schedule": (lambda p: p.set(BOT_RETRAIN="often"), "settings", "must be weekly", "unset BOT_RETRAIN", 78),
    "mode with a capital": (
        lambda p: in_file(p, 'mode = "Live"', "BOT_MODE"), "settings", "did you mean live?", "correct mode in /", 78
    ),
    "malformed version": (lambda p: in_file(p, 'data_version = "5.3"'), "settings", "such as v5.3", "data_version in /", 78),
    "malformed version, as variable": (
        lambda p: p.set(BOT_DATA_VERSION="5.3"), "settings", "such as v5.3", "unset BOT_DATA_VERSION", 78
    ),
    "a number for a text": (lambda p: in_file(p, "[slots]\na = 5"), "settings", "a: must be text in quotes", "[slots] in /", 78),
    "malformed public key": (lambda p: in_file(p, 'trusted_keys = "abc"'), "settings", "44 char", "trusted_keys in /", 78),
    "missing key": (
        lambda p: p.unset("NUMERAI_PUBLIC_ID", "NUMERAI_SECRET_KEY"), "key", "not set", "run `bot init`", 78
    ),
    "missing key in a round": (keyless_round, "key", "not set", "run `bot init`", 78),
    "half a key": (
        lambda p: p.unset("NUMERAI_SECRET_KEY"), "key", "NUMERAI_SECRET_KEY not set", "secrets/NUMERAI_SECRET_KEY", 78
    ),
    "key file missing": (
        lambda p: p.set(NUMERAI_SECRET_KEY_FILE="/nowhere"), "settings", "NUMERAI_SECRET_KEY_FILE cannot be read", "correct", 78
    ),
    "key file open to all": (key_file, "key file", "can be read by others", "chmod 600", 0),
    "key in a file that all may read": (key_in_toml, "key file", "bot.toml can be read by others", "chmod 600 bot.toml", 0),
    "swapped halves": (swapped, "key", "swapped", "NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY", 78),
    "the same half twice": (
        lambda p: p.set(NUMERAI_PUBLIC_ID=DEMO_ACCOUNT.secret_key), "key", "the same text", "exchange", 78
    ),
    "wrong key": (lambda p: p.set(NUMERAI_SECRET_KEY="wrong"), "scopes", "refuses the API key", "NUMERAI_SECRET_KEY has 5 characters instead of 64", 78),
    "another wrong key": (
        lambda p: p.set(NUMERAI_SECRET_KEY="A" * 64), "scopes", "refuses the API key",
        "write it into NUMERAI_PUBLIC_ID and NUMERAI_SECRET_KEY", 78
    ),
    "account without a file": (lambda p: accounts(p, HALF), "settings", "main.secret_key_file", "[accounts] in /", 78),
    "account's recipe unknown": (lambda p: accounts(p, FOREIGN), "settings", "unknown recipe 'best'", "[accounts] in /", 78),
    "account's key swapped": (
        lambda p: accounts(p, id=DEMO_ACCOUNT.secret_key, secret=DEMO_ACCOUNT.public_id), "key main", "swapped",
        "[accounts.main] in bot.toml", 78
    ),
    "account's slot foreign": (
        lambda p: accounts(p, slot="nobody"), "slots main", "not a model of this account", "[accounts.main.slots] in bot.toml", 78
    ),
    "alert address": (
        lambda p: p.set(BOT_ALERT_URLS="slakc://x json://127.0.0.1:9/"), "alerts", "address 1 of 2", "in BOT_ALERT_URLS", 0
    ),
    "alert address in the file": (
        lambda p: in_file(p, 'alert_urls = "slakc://x"'), "alerts", "no apprise URL", "in alert_urls in bot.toml", 0
    ),
    "alerts with a comma": (lambda p: p.set(BOT_ALERT_URLS="slakc://x,json://a"), "alerts", "separated by spaces", "BOT_ALERT", 0),
    "hook absent": (lambda p: in_file(p, 'on_missed = "/no/such/hook"'), "hooks", "/no/such/hook", "on_missed in /", 0),
    "hook not executable": (lambda p: p.set(BOT_ON_CONFIRMED="/etc/passwd 1"), "hooks", "cannot be run", "BOT_ON_CONFIRMED", 0),
    "ping is no address": (lambda p: in_file(p, 'ping_url = "hc-ping"'), "ping", "no address", "ping_url in /", 0),
    "scope missing": (
        lambda p: p.account(scopes=("read_user_info",)), "scopes", "lacks download_submission", "with these scopes", 78
    ),
    "staking scope": (lambda p: p.account(scopes=(*DEMO_ACCOUNT.scopes, "stake")), "scopes", "may also stake", "smaller key", 0),
    "foreign slot": (lambda p: p.set(BOT_SLOTS="nobody=demo"), "slots", "not a model", "change nobody in BOT_SLOTS", 78),
    "misspelt slot": (lambda p: in_file(p, SLOTS), "slots", f"did you mean {SLOT}?", "below [slots] in bot.toml", 78),
    "open choice": (two_models, "slots", "set BOT_SLOTS", "set BOT_SLOTS=", 78),
    "hosted slot": (hosted, "slots", "blocks submissions by API", "disable the upload", 78),
    "pay of another horizon": (other_payout, "pay", "60 days; target_ender_20 looks 20", "set BOT_TARGET", 0),
    "retired data": (retired, "data", "v5.3 is not offered", "run `bot retrain`", 78),
    "data that is not offered": (lambda p: in_file(p, 'data_version = "v9.3"'), "data", "v9.3", "data_version in bot.toml", 78),
    "unknown feature set": (
        lambda p: in_file(p, 'feature_set = "midium"'), "features", "did you mean medium?", "feature_set in bot.toml", 78
    ),
    "unknown feature set of a recipe": (
        lambda p: recipe(p, 'base = "demo"\n[data]\nfeature_set = "midium"'), "features", "did you mean medium?",
        "feature_set in recipes/mine.toml", 78
    ),
    "recipe with a typo": (lambda p: recipe(p, "nuetralize = 0.5"), "recipe mine", "did you mean neutralize", "mine.toml", 78),
    "recipe is no TOML": (lambda p: recipe(p, "neutralize ="), "recipe mine", "not valid TOML", "recipes/mine.toml", 78),
    "no disk": (lambda p: free(p, 10_000), "disk", "not even a round fits", "make room now", 78),
    "little disk": (lambda p: free(p, 1 << 30), "disk", "to build the history", "make room before", 0),
    "little memory": (lambda p: memory(p, 100 << 20), "memory", "a submission takes", "give the bot", 78),
    "memory for submitting alone": (lambda p: memory(p, 1 << 30), "memory", "refit tsmixer of recipe demo takes", "fewer eras", 0),
    "library missing": (
        lambda p: p.patch.setattr(registry, "_is_installed", lambda name: name != "lightgbm"), "training",
        "recipe demo: members.gbm needs lightgbm, not installed here", "install", 0,
    ),
    "no GPU": (no_gpu, "device", "no driver of a GPU", "set device in bot.toml to auto", 78),
    "state is a file": (lambda p: p.set(BOT_STATE_DIR=__file__), "state", "is not a folder", "set BOT_STATE_DIR to a folder", 78),
    "state below a file": (
        lambda p: in_file(p, f'state_dir = "{__file__}/x"', "BOT_STATE_DIR"), "state", "is a file", "state_dir in bot.toml", 78
    ),
    "port taken": (taken_port, "port", "used by another program", "http_port in bot.toml", 0),
    "address of another machine": (
        lambda p: in_file(p, 'http_host = "192.0.2.1"\nhttp_port = 8790'), "port", "no address of this machine", "0.0.0.0", 0
    ),
    "newer ledger": (newer_ledger, "ledger", "written by a newer bot", "upgrade the bot", 78),
    "no model": (lambda p: shutil.rmtree(p.state / "artifacts"), "champion demo", "no champion yet", "bot retrain", 78),
    "pointer damaged": (without_champion, "champion demo", "is damaged", "bot retrain", 65),
    "bit flipped": (lambda p: spoil(p.artifact / "tsmixer.onnx"), "champion demo", "differs from its recorded", "bot retrain", 65),
    "trained on another set": (
        lambda p: in_file(p, 'feature_set = "small"'), "champion demo", "was trained with", "feature_set in bot.toml to", 0
    ),
    "no answer": (lambda p: p.set(BOT_API_URL="http://127.0.0.1:9/"), "numerai", "did not answer", "port 9 of 127.0.0.1", 75),
    "lost port": (
        lambda p: in_file(p, 'api_url = "http://127.0.0.1"', "BOT_API_URL"), "numerai", "did not answer", "names no port", 75
    ),
    "lost digits of a port": (
        lambda p: p.set(BOT_API_URL="http://127.0.0.1:/"), "numerai", "port is missing", "https://HOST:PORT", 78
    ),
    "address without a scheme": (
        lambda p: in_file(p, 'api_url = "api.numer.ai"', "BOT_API_URL"), "numerai", "api_url in bot.toml is no", "https://HOST", 78
    ),
    "signing key missing": (
        lambda p: p.set(BOT_SIGNING_KEY="/nowhere.key"), "signing key", "there is no signing key", "BOT_SIGNING_KEY", 0
    ),
    "signing key open to all": (
        lambda p: signing_key(p, 0o644), "signing key", "has mode 644", "signing_key in bot.toml", 0
    ),
    "storage without keys": (
        lambda p: p.set(BOT_ARTIFACTS_URL="packs"), "storage", "neither signs", "BOT_TRUSTED_KEYS", 0
    ),
    "libraries of packs missing": (
        lambda p: (p.set(BOT_SIGNING_KEY="x"), p.patch.setitem(sys.modules, "bot.packing.keys", None)), "storage",
        "not installed", "numerai-bot[remote]", 0
    ),
    "unknown storage": (
        lambda p: (signing_key(p, 0o600), p.set(BOT_ARTIFACTS_URL="s4://bucket")), "storage", "s4", "BOT_ARTIFACTS_URL", 0
    ),
}  # fmt: skip
"""Set-ups that are broken in one place each."""

ALSO = {
    # Both lines name BOT_TARGET.
    "pay of another horizon": {"champion demo"},
}
"""Subjects of further lines that do not follow from the cause, by set-up."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_misconfiguration_is_one_line_with_cause_and_fix(patient, fault):
    """The check of that subject has the cause, and a fix that names the place; nothing that follows from it is listed."""
    seed, name, cause, fix, code = FAULTS[fault]
    seed(patient)

    found = worst_first(doctor.examine())
    bad = [check for check in found if check.verdict in ("failure", "warning")]
    named = next(check for check in bad if check.name == name)

    assert {check.name for check in bad} - ALSO.get(fault, set()) == {name}, bad
    assert cause in named.what
    assert fix in named.fix
    assert named.verdict == ("failure" if code else "warning")
    assert exit_code(found) == code


def test_two_wrong_settings_are_two_lines(patient):
    """Each wrong value is a line with its own remedy, and no secret is shown."""
    in_file(patient, 'mode = "Live"\nretrain = "often"', "BOT_MODE")
    patient.set(BOT_WEBHOOK_TOKEN="too short")

    found = list(doctor.examine())

    assert sorted(check.fix.split(" in /")[0] for check in found) == [
        "correct mode", "correct or unset BOT_WEBHOOK_TOKEN", "correct retrain",
    ]  # fmt: skip
    assert "too short" not in str(found)


def test_a_storage_that_is_right_is_shown_with_its_packs(patient, tmp_path):
    """A folder as storage and a signing key of the owner alone have no fault."""
    signing_key(patient, 0o600)
    patient.set(BOT_ARTIFACTS_URL=str(tmp_path / "packs"))

    found = {check.name: check for check in doctor.examine()}

    assert (found["storage"].verdict, found["signing key"].verdict) == ("ok", "ok")
    assert "0 packs" in found["storage"].what


def test_what_is_safe_is_repaired(patient):
    """Modes of key files and left-over files are repaired and named; young files and those of a running bot stay."""
    key_file(patient)
    old, young = patient.state / "rounds" / "7" / ".draft.csv.tmp", patient.state / ".x.tmp"
    old.parent.mkdir(parents=True)
    for path in (old, young):
        path.touch()
    os.utime(old, (1e9, 1e9))
    with state_lock(patient.state):
        busy = list(repair())
        assert old.exists()
    done = list(repair())

    assert [(check.verdict, check.name) for check in busy] == [("fixed", "key file")]
    assert [(check.verdict, str(old) in check.what) for check in done] == [("fixed", True)]
    assert (old.exists(), young.exists()) == (False, True)
    assert (patient.installation.root / "secret").stat().st_mode & 0o777 == 0o600
    assert not [check for check in doctor.examine() if check.name == "key file"]


def test_messages_that_wait_are_a_warning(patient):
    """A service that took no message is named by the command that finds out why."""
    with closing(Outbox(patient.state / "ledger.sqlite")) as outbox:
        outbox.register(["dead"])
        outbox.alert("round", "round 1405 was missed", "see the log", at=datetime.now(UTC))
    found = [one for one in doctor.examine() if one.name == "alerts" and one.verdict == "warning"]

    assert [(one.what, "bot alert test" in one.fix) for one in found] == [("1 message waits for an address", True)]


def test_the_summary_of_a_refused_round_promises_nothing():
    """Where the newest round is not filled, the last line says so."""
    refused = warning("round", "round 1405, a: refused: exposure", "")

    assert summary([refused, ok("key", "")]) == "1 warning in 2 results, no failure, but the newest round is not filled"
    assert summary([warning("port", "", "")]).endswith("no failure: rounds can be submitted")


def test_a_missing_state_directory_is_made(patient, tmp_path):
    """The folder is made, and named."""
    patient.set(BOT_STATE_DIR=str(tmp_path / "new" / "state"))

    (made,) = repair()

    assert (made.verdict, made.name) == ("fixed", "state")
    assert (tmp_path / "new" / "state").is_dir()


def test_failures_come_first_and_a_summary_last(installation):
    """The command prints the worst first, and how many there are in its last line."""
    done = installation.bot("doctor", BOT_HTTP_HOST="192.0.2.1", BOT_HTTP_PORT="8790", NUMERAI_SECRET_KEY="wrong")
    lines = [line for line in done.stdout.splitlines() if not line.startswith(" ")]

    assert done.returncode == 78
    assert [line.split()[:2] for line in lines[:2]] == [["failure", "scopes"], ["warning", "port"]]
    assert "warning" in lines[2] or lines[2].startswith(("note", "ok", "warning"))
    assert lines[-1].startswith("1 failure and ")


def test_a_healthy_installation_has_no_warning(patient):
    """No warning and no failure; the round, its pay and the champion are shown."""
    found = {check.name: check for check in doctor.examine()}

    assert {check.verdict for check in found.values()} <= {"ok", "note"}
    assert str(FIRST_ROUND) in found["round"].what
    assert "3 x corr60 + 15 x mmc60" in found["pay"].what.lower()
    assert "golden batch" in found["champion demo"].what


def test_a_missing_champion_is_no_failure_while_a_training_runs(patient):
    """The first training makes the champion, so there is nothing to do but to wait."""
    shutil.rmtree(patient.state / "artifacts")
    state = WorkState(stage="fit gbm", share=0.5, note="trees")
    with keep_progress(patient.state, "retrain", lambda: state):
        found = {check.name: check for check in doctor.examine()}

    assert (found["champion demo"].verdict, found["champion demo"].what) == ("note", "none yet; a training runs")


def test_a_rollback_is_named_where_there_is_an_earlier_champion(patient):
    """The remedy for a damaged champion begins with the one before it."""
    (only,) = ArtifactStore(patient.state / "artifacts").champions("demo")
    champion, copy = (patient.state / "artifacts" / name for name in (only, "2026-11-20T120000Z-aaaa"))
    shutil.copytree(champion, copy)
    pointer = patient.state / "artifacts" / "champions" / "demo.json"
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | {"previous": [copy.name]}))
    spoil(champion / "tsmixer.onnx")
    found = {check.name: check for check in doctor.examine()}

    assert found["champion demo"].fix == "run `bot rollback --recipe demo`, or `bot retrain`"


def test_only_an_artifact_that_nothing_names_is_to_be_removed(patient):
    """A damaged one that a pointer names is to be restored, and one of a newer bot waits for that bot; each has one line."""
    store = ArtifactStore(patient.state / "artifacts")
    (champion,) = store.champions("demo")
    earlier, unused, newer = (f"2026-11-20T12000{place}Z-aaaa" for place in range(3))
    for copy in (earlier, unused, newer):
        shutil.copytree(store.root / champion, store.root / copy)
    manifest = json.loads((store.root / newer / "manifest.json").read_text()) | {"id": newer, "format": 99}
    (store.root / newer / "manifest.json").write_text(json.dumps(manifest | {"digest": digest_of(manifest)}))
    pointer = json.dumps({"champion": earlier, "previous": [], "by": "gate"})
    (store.root / "champions" / "another.json").write_text(pointer)
    found = {check.what.split(":")[0].split()[1]: check.fix for check in doctor.examine() if check.name == "artifact"}

    assert {identity: fix.split()[0] for identity, fix in found.items()} == {
        earlier: "restore", unused: "remove", newer: "update",
    }  # fmt: skip


def test_a_history_that_cannot_be_read_is_one_line(patient):
    """What the system refuses while a retrain is planned is a warning, and the checks after it run."""

    def refuse(*_args, **_more):
        raise PermissionError(errno.EACCES, "Permission denied", str(patient.state / "store"))

    patient.patch.setattr(Forecast, "of", refuse)
    found = {check.name: check for check in doctor.examine()}

    assert (found["retrain demo"].verdict, found["champion demo"].verdict) == ("warning", "ok")
    assert str(patient.state / "store") in found["retrain demo"].what


def test_memory_and_disk_are_those_of_the_plan(patient, tmp_path):
    """The checks of memory and of the next retrain name the same size, and without a history the disk has room for it."""
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text('base = "demo"\nfeature_set = "all"\nevery = 4')
    patient.patch.chdir(tmp_path)
    patient.set(BOT_RECIPE="mine", BOT_STATE_DIR=str(tmp_path / "state"))
    found = {check.name: check.what for check in doctor.examine()}
    memory = found["memory"].rpartition(" ")[2]

    assert "refit tsmixer of recipe mine takes about" in found["memory"]
    assert f", {memory} GiB of memory, " in found["retrain mine"]
    assert found["disk"].endswith(" 2.0 needed")


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
    checks = json.loads(done.stdout)["checks"]

    assert done.returncode == 75
    assert time.monotonic() - began < 60
    assert {"key", "disk", "champion demo", "numerai"} <= {check["name"] for check in checks}
    assert DEMO_ACCOUNT.secret_key not in done.stdout + done.stderr
