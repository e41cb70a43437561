"""A tournament in a box: what the bot runs against before anyone has keys."""

from bot.sandbox.clock import SandboxClock
from bot.sandbox.faults import Fault, Faults, Plan
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT, Account, Tournament

__all__ = ["DEMO_ACCOUNT", "Account", "Fault", "Faults", "Plan", "Sandbox", "SandboxClock", "Schedule", "Tournament"]
