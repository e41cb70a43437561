"""A bot whose loop, retries and transport use the sandbox's clock, and whose attempts run in this process."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import tenacity.nap

import bot.submission.submit
from bot.daemon import _loop as daemon
from bot.daemon._accounts import AccountState
from bot.daemon._loop import Daemon
from bot.errors import BotError
from bot.record.heartbeat import Heartbeat
from bot.record.ledger import Ledger
from bot.record.outbox import Outbox
from bot.sandbox.clock import SandboxClock
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import Account
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from bot.submission.fallbacks import Fallbacks, LivePredictions
from bot.submission.gates import Limits
from bot.tournament import transport
from bot.tournament.client import NumeraiClient
from bot.tournament.slots import Slot
from bot.tournament.transport import Transport
from tests.harness.zygote import HereValidation

START_S, SCORING_S = 5.0, 55.0
"""Assumed seconds from the start of a process to its first request, and of scoring with gates."""

ACCOUNT = Account(
    username="season",
    public_id="SEASONPUBLICIDSEASONPUBLICID0000",
    secret_key="SEASONSECRETKEY" * 4,
    models={f"season_{number}": f"5ea50000-0000-4000-8000-00000000000{number}" for number in range(3)},
)


@dataclass(kw_only=True)
class Slow(Fallbacks):
    """Fallbacks that take ``SCORING_S`` seconds of virtual time."""

    sleep: Callable[[float], None]

    def predict(self, *about: object) -> LivePredictions:
        self.sleep(SCORING_S)
        return super().predict(*about)


class Here:
    """An attempt in this process, with the steps of the command but without a second interpreter."""

    seconds, is_overdue = SCORING_S, False

    def __init__(self, play: Callable[[], int]) -> None:
        self._play, self._status = play, None

    def start(self) -> None:
        self._status = self._play()

    def poll(self) -> int | None:
        return self._status

    def stop(self, *, grace_s: float) -> None:
        """Do nothing: the attempt has already ended."""


@contextmanager
def virtual_time(clock: SandboxClock) -> Iterator[Callable[[float], None]]:
    """Let loop, retries and transport use *clock*; yield the function that advances it."""

    def sleep(seconds: float) -> None:
        clock.advance(timedelta(seconds=seconds))

    began = clock.now()

    def passed() -> float:
        return (clock.now() - began).total_seconds()

    virtual = SimpleNamespace(monotonic=passed, sleep=sleep)
    patches = [mock.patch.object(one, "time", virtual) for one in (daemon, transport, tenacity, tenacity.nap)]
    patches.append(mock.patch.object(bot.submission.submit, "OfficialValidation", HereValidation))
    for one in patches:
        one.start()
    try:
        yield sleep
    finally:
        for one in patches:
            one.stop()


def make_bot(
    sandbox: Sandbox, artifacts: Path, state: Path, slots: Mapping[str, str], sleep: Callable[[float], None]
) -> tuple[Daemon, Ledger]:
    """Return a loop whose attempts run in this process, and its ledger."""
    ledger, store, scorers = Ledger(state / "ledger.sqlite"), ArtifactStore(artifacts), dict[str, Scorer]()

    def client() -> NumeraiClient:
        # The real seconds are those of a busy machine: no answer is late in virtual time.
        key = {"public_id": ACCOUNT.public_id, "secret_key": ACCOUNT.secret_key}
        return NumeraiClient(api_url=sandbox.url, transport=Transport(connect_s=20, read_s=60), **key)

    def submit() -> int:
        sleep(START_S)
        asked, failed = client(), 0
        fallbacks = Slow(
            sleep=sleep, client=asked, ledger=ledger, artifacts=store, state_dir=state, data_version="v5.3",
            scorers=scorers,
        )  # fmt: skip
        limits = Limits(max_exposure=1.0)  # a tiny world's features are few
        submitter = bot.submission.submit.Submitter(
            client=asked, ledger=ledger, fallbacks=fallbacks, live=True, limits=limits
        )
        try:
            current = asked.current_round()
        except BotError as error:
            return error.exit_code
        for slot, identity in slots.items():
            try:
                submitter.submit(current, Slot(name=slot, model_id=identity, recipe="demo"))
            except BotError as error:
                failed = failed or error.exit_code
        return failed

    outbox = Outbox(state / "ledger.sqlite")
    outbox.register(["operator"])
    loop = Daemon(
        open_tournament=client,
        accounts=[AccountState(find_slots=lambda: tuple(slots), attempt=lambda *_: Here(submit))],
        ledger=ledger,
        heartbeat=Heartbeat(folder=state),
        outbox=outbox,
        on_settled=lambda: None,
        tick_s=20.0,
        wait_s=120.0,  # real seconds: in virtual time every answer comes within the look
    )
    return loop, ledger
