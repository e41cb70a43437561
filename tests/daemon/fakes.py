"""A fake tournament and fake attempts, for a loop with a real ledger, heartbeat and outbox."""

from datetime import UTC, datetime, timedelta

from bot.daemon._accounts import AccountState
from bot.daemon._loop import Daemon
from bot.errors import RoundNotOpen
from bot.record.heartbeat import Heartbeat
from bot.record.ledger import Entry
from bot.record.outbox import Outbox
from bot.tournament.rounds import Round

OPENED = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SLOTS = ("first", "second")


class FakeTournament:
    """A tournament, its clock and the attempts at its rounds. `outcome` is the exit status of the next attempts."""

    def __init__(self, ledger):
        self.ledger, self.now, self.failing = ledger, OPENED, None
        self.rounds = [
            Round(
                number=1405 + day,
                opens_at=OPENED + timedelta(days=day),
                closes_at=OPENED + timedelta(days=day, hours=1),
            )
            for day in range(5)
        ]
        self.outcome, self.attempts = 0, []

    def current_round(self):
        if self.failing is not None:
            raise self.failing
        for one in self.rounds:
            if one.is_open(self.now):
                return one
        raise RoundNotOpen("no round is open")

    def server_now(self):
        return self.now

    def find_slots(self):
        return SLOTS

    def attempt(self, round_, limit_s, trigger):
        made = Attempt(self, round_, limit_s, trigger)
        self.attempts.append(made)
        return made


class Attempt:
    """Ends at once with the tournament's outcome; 0 confirms its slots in the ledger, None never ends."""

    seconds = 1.0

    def __init__(self, tournament, round_, limit_s, trigger):
        self.tournament, self.round, self.limit_s, self.trigger = tournament, round_, limit_s, trigger
        self.is_overdue, self.stopped = False, None

    def start(self):
        if self.tournament.outcome == 0:
            for slot in SLOTS:
                confirm(self.tournament.ledger, self.round.number, slot)

    def poll(self):
        return self.tournament.outcome

    def stop(self, *, grace_s):
        self.stopped = grace_s


def confirm(ledger, number, slot, filled_by="champion"):
    intend(ledger, number, slot, filled_by)
    ledger.confirm(number, slot, submission_id="s", filename="f", at=OPENED)


def intend(ledger, number, slot, filled_by="champion"):
    entry = Entry(
        round=number, slot=slot, state="intended", token="t", csv_sha256="c", data_sha256="d", artifact="a",
        submission_id=None, filename=None, intended_at=OPENED.isoformat(), confirmed_at=None, filled_by=filled_by,
    )  # fmt: skip
    ledger.intend(entry)


def make_loop(tournament, folder):
    """Return a loop over the fake tournament, with its state in *folder*."""
    return Daemon(
        open_tournament=lambda: tournament,
        accounts=[AccountState(find_slots=tournament.find_slots, attempt=tournament.attempt)],
        ledger=tournament.ledger,
        heartbeat=Heartbeat(folder=folder),
        outbox=Outbox(folder / "ledger.sqlite"),
        on_settled=lambda: tournament.attempts.append("ping"),
        tick_s=20,
        wait_s=60.0,
    )


def steps(loop, count=3):
    for _ in range(count):
        loop._look_at = 0.0
        loop.step()


def messages(loop):
    """Return kind and title of the messages that no earlier call returned."""
    sent = []
    loop.outbox.register(["test"])
    loop.outbox.deliver(lambda one: sent.append((one.kind, one.title)), service="test", now=datetime.now(UTC))
    return sent
