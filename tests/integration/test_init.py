"""`bot init` on a terminal, against the sandbox: answers are checked at once, and the file it writes is sound."""

import http.server
import json
import os
import shutil
import stat
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from bot.doctor import _numerai
from bot.doctor import examination as doctor
from bot.doctor.checks import exit_code
from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT, Account
from bot.sandbox.world.generate import World
from bot.settings import load_settings
from tests.harness.installation import OPENED, SLOT, Installation
from tests.harness.terminal import converse

ROOT = Path(__file__).resolve().parents[2]
PUBLIC, SECRET = DEMO_ACCOUNT.public_id, DEMO_ACCOUNT.secret_key
KEY = [("Public id:", PUBLIC), ("Secret key:", SECRET)]


@pytest.fixture
def inbox():
    """A service that takes alerts; yields its address and what it got."""
    received = []

    class Service(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            """Stay silent."""

    server = http.server.HTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"json://127.0.0.1:{server.server_port}/", received
    server.shutdown()
    thread.join()
    server.server_close()


OTHER = Account(
    username="other",
    public_id="OTHERPUBLICIDOTHERPUBLICIDOTHER0",
    secret_key="OTHERSECRETKEY00" * 4,
    models={"other_mixer": "5a9db0c5-0000-4000-8000-000000000002", "third": "5a9db0c5-0000-4000-8000-000000000003"},
)


@pytest.fixture(scope="module")
def figures(tmp_path_factory, world_folder):
    """What a plan of the recipe `demo` measures before there are data, in the file that keeps it."""
    with Sandbox(World.open(world_folder), clock=SandboxClock(OPENED)) as sandbox:
        bot = Installation(sandbox=sandbox, root=tmp_path_factory.mktemp("figures"))
        bot.state.mkdir()
        planned = bot.bot("retrain", "--plan")
    assert planned.returncode == 0, planned.stderr
    return bot.state / "speed.json"


@pytest.fixture
def measured(installation, figures):
    """An installation whose machine was measured before."""
    shutil.copy(figures, installation.state)
    return installation


@pytest.fixture
def two_accounts(measured):
    """A tournament that knows a second account."""
    measured.sandbox.tournament.accounts += (OTHER,)
    return measured


def init(installation, answers, **variables):
    """Hold the conversation of `bot init` in the installation's folder, without any setting but address and state."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_", "NUMERAI_"))}
    return converse(
        [sys.executable, "-P", "-m", "bot", "init"],
        answers,
        environment={
            **outside,
            "PYTHONPATH": str(ROOT),
            "BOT_API_URL": installation.sandbox.url,
            "BOT_STATE_DIR": str(installation.state),
            "COLUMNS": "200",
            **variables,
        },
        folder=installation.root,
    )


def examined(installation, monkeypatch):
    """Return what the doctor finds in the installation's folder."""
    monkeypatch.chdir(installation.root)
    monkeypatch.setenv("BOT_API_URL", installation.sandbox.url)
    monkeypatch.setenv("BOT_STATE_DIR", str(installation.state))
    monkeypatch.setattr(_numerai, "SKEW_S", 1e12)  # the sandbox's clock stands still at a day of its own
    monkeypatch.setattr(doctor, "PATIENCE_S", 20.0)  # a busy machine answers late
    return list(doctor.examine())


def test_the_happy_path_leaves_a_set_up_that_the_doctor_passes(installation, inbox, monkeypatch):
    """Key, model, recipe, alerts: each is tested, secrets are shown nowhere and kept for the owner alone."""
    address, received = inbox

    done = init(
        installation,
        [
            *KEY,
            ("names [1]:", "1"),
            (f"Recipe of {SLOT} [standard]:", "demo"),
            ("Another account? [y/N]:", ""),
            ("Feature set [medium]:", ""),
            ("Addresses of alerts:", address),
            ("Upload for real? [y/N]:", "y"),
        ],
    )
    checks = examined(installation, monkeypatch)

    assert done.code == 0, done.shown
    assert "The key is right." in done.shown
    assert "retrain of demo: " in done.shown
    assert "Next: bot retrain" in done.shown.splitlines()[-1]
    assert not [secret for secret in (PUBLIC, SECRET, address) if secret in done.shown]
    assert [message["title"] for message in received] == ["numerai-bot: test"]
    assert tomllib.loads((installation.root / "bot.toml").read_text()) == {
        "mode": "live", "feature_set": "medium", "slots": {SLOT: "demo"},
    }  # fmt: skip
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (installation.root / "secrets").iterdir()} == {
        "NUMERAI_PUBLIC_ID": 0o600, "NUMERAI_SECRET_KEY": 0o600, "BOT_ALERT_URLS": 0o600,
    }  # fmt: skip
    assert exit_code(checks) == 0
    of_the_set_up = [check for check in checks if check.name not in ("disk", "memory")]  # the others are the machine's
    assert [check.what for check in of_the_set_up if check.verdict not in ("ok", "note")] == []


def test_each_wrong_answer_is_refused_at_once_and_asked_again(measured):
    """Ten wrong answers each get one line with the reason; the right ones after them count."""
    done = init(
        measured,
        [
            ("Public id:", "two words"),
            ("Public id:", SECRET),
            ("Secret key:", PUBLIC),
            ("Public id:", PUBLIC),
            ("Secret key:", "X" * 64),
            ("Public id:", PUBLIC),
            ("Secret key:", ""),
            ("Secret key:", SECRET),
            ("names [1]:", "7"),
            ("names [1]:", f"{SLOT[:-2]}r"),
            ("names [1]:", SLOT),
            (f"Recipe of {SLOT} [standard]:", "dmo"),
            (f"Recipe of {SLOT} [standard]:", "demo"),
            ("Another account? [y/N]:", ""),
            ("Feature set [medium]:", "midium"),
            ("Feature set [medium]:", "1"),
            ("Addresses of alerts:", "slakc://x"),
            ("Addresses of alerts:", "json://127.0.0.1:9/"),
            ("Keep it? [y/N]:", "n"),
            ("Addresses of alerts:", ""),
            ("Upload for real? [y/N]:", "maybe"),
            ("Upload for real? [y/N]:", ""),
        ],
    )
    reasons = (
        "one line of letters and digits", "are swapped", "refuses the API key", "has two halves", "7 is not in the list",
        f"did you mean {SLOT}?", "did you mean demo?", "did you mean medium?", "is no apprise URL", "answer y or n",
    )  # fmt: skip

    assert done.code == 0, done.shown
    assert [reason for reason in reasons if done.shown.count(reason) != 1] == []
    assert tomllib.loads((measured.root / "bot.toml").read_text()) == {
        "mode": "dry-run", "feature_set": "small", "slots": {SLOT: "demo"},
    }  # fmt: skip


def test_without_a_network_it_says_what_it_could_not_check(measured, monkeypatch):
    """The key is kept untested, models are named by hand, and the file is the same."""
    done = init(
        measured,
        [
            *KEY,
            ("only model):", SLOT),
            (f"Recipe of {SLOT} [standard]:", "demo"),
            ("Another account? [y/N]:", ""),
            ("Feature set [medium]:", ""),
            ("Addresses of alerts:", ""),
            ("Upload for real? [y/N]:", ""),
        ],
        BOT_API_URL="http://127.0.0.1:9/",
    )
    checks = examined(measured, monkeypatch)

    assert done.code == 0, done.shown
    assert "not checked: the API key, its scopes and the models" in done.shown
    assert f"not checked: whether the account has {SLOT}" in done.shown
    assert load_settings().slots == {SLOT: "demo"}
    assert exit_code(checks) == 0


def by_options(installation, *options, **variables):
    """Run `bot init` with options in the installation's folder, with no setting but address, state and these."""
    for name in ("BOT_MODE", "BOT_RECIPE", "BOT_STARTER"):
        installation.settings.pop(name, None)
    return installation.bot("init", *options, "--feature-set", "medium", "--live", **variables)


def test_options_are_checked_as_answers_are(installation):
    """A model that the account lacks and an unknown feature set are refused in one line, and nothing is written."""
    typo = by_options(installation, "--slots", f"{SLOT[:-2]}r=demo")
    wrong = installation.bot("init", "--slots", f"{SLOT}=demo", "--feature-set", "midium", "--live")

    assert (typo.returncode, wrong.returncode) == (78, 78)
    assert f"is not a model of this account; did you mean {SLOT}?" in typo.stderr
    assert "did you mean medium?" in wrong.stderr
    assert not (installation.root / "bot.toml").exists()


def test_options_without_a_key_say_what_was_not_checked(installation):
    """The file is written, and the lack of a key and the untested models are named."""
    done = by_options(installation, "--slots", "whatever=demo", "--json", NUMERAI_PUBLIC_ID="", NUMERAI_SECRET_KEY="")
    unchecked = json.loads(done.stdout)["not_checked"]

    assert done.returncode == 0, done.stderr
    assert unchecked[0].startswith("there is no API key yet")
    assert unchecked[1] == "whether the account has whatever"


def test_an_input_that_ends_is_one_line(installation):
    """Without a terminal and without answers, the line names the question and the options that answer it."""
    done = installation.bot("init")

    assert done.returncode == 78
    assert done.stderr.splitlines()[-1].startswith("error: the input ended at the question ")
    assert "GetPassWarning" not in done.stderr
    assert not (installation.root / "bot.toml").exists()


def test_the_end_of_the_input_leaves_nothing(installation):
    """A conversation that ends early writes no file and no secret."""
    before = {path.name for path in installation.root.iterdir()}

    done = init(installation, [*KEY, ("names [1]:", "\x04")])

    assert done.code == 1
    assert {path.name for path in installation.root.iterdir()} == before


def test_several_accounts_get_a_table_each_with_key_files(two_accounts, monkeypatch):
    """Each account has its key, tested and kept in files of its own, and its models; wrong answers are asked again."""
    done = init(
        two_accounts,
        [
            *KEY,
            ("names [1]:", ""),
            (f"Recipe of {SLOT} [standard]:", "demo"),
            ("Another account? [y/N]:", "perhaps"),
            ("Another account? [y/N]:", "y"),
            ("Name of the account above [first]:", "my account"),
            ("Name of the account above [first]:", ""),
            ("Name of the other account [second]:", "first"),
            ("Name of the other account [second]:", "family"),
            ("Public id:", PUBLIC),
            ("Public id:", OTHER.public_id),
            ("Secret key:", "X" * 64),
            ("Public id:", OTHER.public_id),
            ("Secret key:", OTHER.secret_key),
            ("names [1]:", SLOT),
            ("names [1]:", "other_mixer third"),
            ("Recipe of other_mixer [standard]:", "demo"),
            ("Recipe of third [standard]:", "demo"),
            ("Another account? [y/N]:", ""),
            ("Feature set [medium]:", ""),
            ("Addresses of alerts:", ""),
            ("Upload for real? [y/N]:", ""),
        ],
    )
    checks = examined(two_accounts, monkeypatch)
    reasons = (
        "is no name of an account", "is the name of an account above", "this is the key of account first",
        "refuses the API key", f"{SLOT} is not in the list",
    )  # fmt: skip

    assert done.code == 0, done.shown
    assert [reason for reason in reasons if done.shown.count(reason) != 1] == []
    assert not [half for half in (PUBLIC, SECRET, OTHER.public_id, OTHER.secret_key) if half in done.shown]
    assert {one.name: dict(one.slots) for one in load_settings().accounts} == {
        "first": {SLOT: "demo"}, "family": {"other_mixer": "demo", "third": "demo"},
    }  # fmt: skip
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in (two_accounts.root / "secrets").iterdir()} == {
        "first_public_id": 0o600, "first_secret_key": 0o600, "family_public_id": 0o600, "family_secret_key": 0o600,
    }  # fmt: skip
    assert exit_code(checks) == 0


def test_an_account_that_is_left_out_leaves_the_only_one(two_accounts):
    """No key for the other account: the first one is written as the only account is."""
    done = init(
        two_accounts,
        [
            *KEY,
            ("names [1]:", ""),
            (f"Recipe of {SLOT} [standard]:", "demo"),
            ("Another account? [y/N]:", "y"),
            ("Name of the account above [first]:", ""),
            ("Name of the other account [second]:", ""),
            ("Public id:", ""),
            ("Feature set [medium]:", ""),
            ("Addresses of alerts:", ""),
            ("Upload for real? [y/N]:", ""),
        ],
    )

    assert done.code == 0, done.shown
    assert tomllib.loads((two_accounts.root / "bot.toml").read_text())["slots"] == {SLOT: "demo"}
    assert (two_accounts.root / "secrets" / "NUMERAI_SECRET_KEY").is_file()


def test_models_of_accounts_that_could_not_be_asked_are_typed(measured):
    """Without a network a further account needs names, none of them an earlier account's."""
    done = init(
        measured,
        [
            *KEY,
            ("only model):", ""),
            ("Recipe of the model [standard]:", "demo"),
            ("Another account? [y/N]:", "y"),
            ("Name of the account above [first]:", ""),
            ("Name of the other account [second]:", ""),
            ("Public id:", OTHER.public_id),
            ("Secret key:", OTHER.secret_key),
            ("by name:", ""),
            ("by name:", "third"),
            ("Recipe of third [standard]:", "demo"),
            ("Another account? [y/N]:", "n"),
            ("Feature set [medium]:", ""),
            ("Addresses of alerts:", ""),
            ("Upload for real? [y/N]:", ""),
        ],
        BOT_API_URL="http://127.0.0.1:9/",
    )
    written = tomllib.loads((measured.root / "bot.toml").read_text())

    assert done.code == 0, done.shown
    assert "name at least one model" in done.shown
    assert written["recipe"] == "demo"
    assert {name: table["slots"] for name, table in written["accounts"].items()} == {
        "first": {},
        "second": {"third": "demo"},
    }
