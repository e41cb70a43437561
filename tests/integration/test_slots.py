"""One slot's trouble, whatever it is, leaves the other slots of the account filled."""

import shutil
from datetime import timedelta

import pytest

from bot.cli.everyday.submit import submit_round
from bot.errors import BadConfig, BotError, GateFailed, NumeraiUnavailable
from bot.sandbox._queries import Queries
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import Account
from bot.sandbox.world.generate import World
from bot.submission.submit import Submitter
from tests.harness.installation import FIRST_ROUND, OPENED, Installation

pytestmark = pytest.mark.usefixtures("no_backoff", "validated_here")
NAMES = ("first", "second", "third")
ACCOUNT = Account(
    username="three",
    public_id="THREE",
    secret_key="SECRET" * 8,
    models={name: f"5ea50000-0000-4000-8000-00000000000{index}" for index, name in enumerate(NAMES)},
)


@pytest.fixture
def sandbox(world_folder):
    """A tournament with an account of three models."""
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule, accounts=(ACCOUNT,)) as running:
        yield running


@pytest.fixture
def submit(sandbox, trained, tmp_path, monkeypatch):
    """A function that submits the open round for all three slots, and returns the error that it ends with."""
    shutil.copytree(trained / "artifacts", tmp_path / "state" / "artifacts")
    known = Installation(sandbox=sandbox, root=tmp_path).environment | {
        "NUMERAI_PUBLIC_ID": ACCOUNT.public_id, "NUMERAI_SECRET_KEY": ACCOUNT.secret_key,
        "BOT_SLOTS": ",".join(f"{name}=demo" for name in NAMES),
    }  # fmt: skip
    for name, value in known.items():
        if name.startswith(("BOT_", "NUMERAI_")):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def run():
        with pytest.raises(BotError) as caught:
            submit_round("latest", slot=None, account=None, dry_run=False, force=False)
        return caught.value

    return run


def filled(sandbox):
    return [one.slot for one in sandbox.tournament.submissions if one.accepted]


def test_a_model_that_cannot_be_read_leaves_the_others(submit, sandbox, monkeypatch):
    """A slot whose row of the account is odd is named, and the other slots are confirmed."""
    account = Queries._account

    def odd(self, arguments, holder):
        told = account(self, arguments, holder)
        told["models"][1]["id"] = None
        return told

    monkeypatch.setattr(Queries, "_account", odd)
    error = submit()

    assert isinstance(error, BadConfig)
    assert "second" in str(error)
    assert filled(sandbox) == ["first", "third"]


def failing(monkeypatch, **errors):
    """Let the submissions of the named slots fail."""
    sound = Submitter.submit

    def fail(self, round_, slot, **options):
        if slot.name in errors:
            raise errors[slot.name]
        return sound(self, round_, slot, **options)

    monkeypatch.setattr(Submitter, "submit", fail)


def test_a_crash_of_one_slot_leaves_the_others(submit, sandbox, monkeypatch, capsys):
    """An exception that nobody expected is logged with its traceback, and the other slots are confirmed."""
    failing(monkeypatch, first=KeyError("weights"))
    error = submit()

    assert error.exit_code == 1
    assert "slot first: KeyError" in str(error)
    assert "slot.crashed" in (told := capsys.readouterr().err)
    assert "KeyError" in told
    assert filled(sandbox) == ["second", "third"]


def test_failures_name_their_slots_in_their_order(submit, monkeypatch, capsys):
    """Two slots that the same gate refuses have errors with their names; the last one's error is the command's."""
    failing(monkeypatch, first=GateFailed("exposure: 0.5"), third=GateFailed("slot third: exposure: 0.5"))
    error = submit()

    assert "error: slot first: exposure: 0.5" in capsys.readouterr().err
    assert str(error) == "slot third: exposure: 0.5"


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ({"first": NumeraiUnavailable("a"), "third": GateFailed("b")}, 65),
        ({"first": GateFailed("a"), "second": BadConfig("b"), "third": NumeraiUnavailable("c")}, 78),
        ({"first": BadConfig("a"), "third": ValueError("b")}, 1),
    ],
)
def test_the_worst_failure_is_the_exit_code(submit, monkeypatch, capsys, errors, code):
    """Of several failures the worst sets the exit code; the others are printed."""
    failing(monkeypatch, **errors)
    error = submit()

    assert error.exit_code == code
    assert [line[:7] for line in capsys.readouterr().err.splitlines() if line[0] != "{"] == ["error: "] * (
        len(errors) - 1
    )
