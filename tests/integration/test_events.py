"""Events of the tournament at their planned times, and slots that no longer exist."""

from datetime import timedelta

import pytest

from bot import assembly
from bot.errors import BadConfig
from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault, Plan
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation

pytestmark = pytest.mark.usefixtures("no_backoff", "validated_here")


def cause(sandbox, kind, **details):
    sandbox.faults.add(Fault(operation="*", kind=kind, **details))


def test_an_event_waits_for_its_time(world_folder, tmp_path):
    """A planned close happens once, at its second of the sandbox's clock."""
    plan = Plan(faults=(Fault(operation="*", kind="close_early", at_s=600),))
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule, plan=plan) as sandbox:
        client = Installation(sandbox=sandbox, root=tmp_path)
        before = asked(client).closes_at
        clock.advance(timedelta(seconds=599))
        still = asked(client).closes_at
        clock.advance(timedelta(seconds=1))
        moved = client_of(client).round(FIRST_ROUND).closes_at

    assert (before, still) == (OPENED + timedelta(hours=1),) * 2
    assert moved == OPENED + timedelta(minutes=11)


def client_of(installation):
    return assembly.open_client(installation.settings_as())


def asked(installation):
    return client_of(installation).current_round()


@pytest.mark.parametrize("kind", ["model_renamed", "model_deleted"])
def test_a_missing_slot_is_reported_and_nothing_is_sent(installation, sandbox, kind):
    """A configured slot that the account no longer has needs the operator; once it is back, it is filled."""
    cause(sandbox, kind, message="other_name")
    models = sandbox.tournament.accounts
    with pytest.raises(BadConfig, match=f"slot '{SLOT}' is not a model of this account"):
        installation.submit(slots={SLOT: "demo"})
    nothing = list(sandbox.tournament.submissions)
    sandbox.tournament.accounts = models
    receipt = installation.submit(slots={SLOT: "demo"})

    assert nothing == []
    assert receipt.outcome == "confirmed"


def test_a_model_renamed_after_its_round_gets_no_second_content(installation, sandbox):
    """After a rename of the only model, this round's submission is known by its content, and the next round is filled."""
    installation.submit()
    cause(sandbox, "model_renamed", message="other_name")
    again = installation.submit()
    held = len(sandbox.tournament.submissions)
    sandbox.clock.advance(timedelta(days=1))
    receipt = installation.submit()

    assert (held, again.slot, again.outcome) == (1, "other_name", "confirmed")
    assert (receipt.slot, receipt.outcome) == ("other_name", "confirmed")
