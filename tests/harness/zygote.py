"""
A process that has loaded all libraries of a submission, and forks one bot after another.

Each line on standard input starts one attempt: ``{"url", "state", "kill"}``. The child submits the open round, as
``bot submit`` does, and sends itself SIGKILL at its *kill*-th kill point. The answer is its exit status (-9 if killed) and
the kill points that it passed. With *deadly* its artifacts die while they score. With *fail* the child's *fail*-th write,
sync or rename below the state directory fails with *errno* (see ``failing.c``).
"""

import ctypes
import gc
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import stamina

import bot.submission.submit
from bot.errors import BotError
from bot.record.ledger import Ledger
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from bot.submission import _scoring_watch
from bot.submission.fallbacks import Fallbacks
from bot.submission.gates import Limits
from bot.submission.submission_file import _validate
from bot.submission.submit import Submitter
from bot.system.kill_points import listening
from bot.system.lock import state_lock
from bot.tournament._network_settings import trusted_certificates
from bot.tournament.client import NumeraiClient
from bot.tournament.slots import Slot
from bot.tournament.transport import Transport
from tests.harness.deadly import arm


class HereValidation:
    """Numerai's own validation in this process, because a second interpreter for every attempt would take seconds."""

    def __init__(self, live: Path, csv: Path) -> None:
        self._paths = str(live), str(csv)

    def verdict(self) -> str | None:
        """Return the error of the validation; ``None`` if it accepts the file."""
        try:
            _validate(*self._paths)
        except (AssertionError, ValueError) as error:
            return str(error)
        return None


class Impatience:
    """Limits of scorings in this process: they do not pass with the time, but at once when a scoring hangs."""

    ITIMER_REAL, SIGTERM = signal.ITIMER_REAL, signal.SIGTERM
    signal = staticmethod(signal.signal)

    def __init__(self, passed: int) -> None:
        self._passed, self._hung, self._alarm_s = passed, threading.Event(), 0.0
        _scoring_watch.threading = _scoring_watch.signal = self

    def report(self, identity: str, way: str) -> None:
        """Write which artifact dies, and let its limit pass if it hangs."""
        os.write(self._passed, f"died:{identity}\n".encode())
        if way == "hang with the lock" and self._alarm_s:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
        elif way.startswith("hang"):
            self._hung.set()

    def setitimer(self, _which: int, seconds: float) -> None:
        """Stand in for the kernel's timer."""
        self._alarm_s = seconds

    def Timer(self, _seconds: float, function: Callable[..., None], about: tuple[object, ...]) -> threading.Thread:  # noqa: N802
        """Stand in for the timer of a scoring; as with a real one, a cancelled timer does not run."""
        cancelled = threading.Event()
        timer = threading.Thread(
            target=lambda: self._hung.wait() and not cancelled.is_set() and function(*about), daemon=True
        )
        timer.cancel = cancelled.set
        return timer


def attempt(asked: dict, scorers: dict[str, Scorer], passed: int) -> int:
    """Submit once; return the exit status."""
    count = 0

    def reach_kill_point(name: str) -> None:
        nonlocal count
        count += 1
        os.write(passed, f"{name}\n".encode())
        if count == asked.get("kill"):
            os.kill(os.getpid(), signal.SIGKILL)

    state = Path(asked["state"])
    if "deadly" in asked:
        arm(asked["deadly"], report=Impatience(passed).report)
    try:
        with listening(reach_kill_point), state_lock(state):
            ledger = Ledger(state / "ledger.sqlite")
            client = NumeraiClient(
                api_url=asked["url"],
                public_id=DEMO_ACCOUNT.public_id,
                secret_key=DEMO_ACCOUNT.secret_key,
                transport=Transport(connect_s=5, read_s=asked.get("read_s", 20.0)),
            )
            submitter = Submitter(
                client=client,
                ledger=ledger,
                fallbacks=Fallbacks(
                    client=client,
                    ledger=ledger,
                    artifacts=ArtifactStore(Path(asked["artifacts"])),
                    state_dir=state,
                    data_version="v5.3",
                    scorers={} if "deadly" in asked else dict(scorers),
                ),
                live=True,
                # A tiny world's few features are more exposed in some eras than the gate allows.
                limits=Limits(max_exposure=1.0),
            )
            round_ = client.current_round()
            for name, identity in DEMO_ACCOUNT.models.items():
                submitter.submit(round_, Slot(name=name, model_id=identity, recipe="demo"))
    except BotError as error:
        os.write(passed, f"error:{type(error).__name__}: {error}\n".encode())
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a crash of the bot is a result
        os.write(passed, f"error:{type(error).__name__}: {error}\n".encode())
        return 1
    return 0


def main() -> None:
    """Answer requests until standard input ends."""
    bot.submission.submit.OfficialValidation = HereValidation
    stamina.set_testing(testing=True, attempts=4, cap=True)
    store = ArtifactStore(Path(sys.argv[1]))
    scorers = {identity: Scorer(store.open(identity)) for identity in store.identities()}
    import numerai_tools.submissions  # noqa: F401 - loaded once, for every child
    import pandas as pd  # noqa: F401

    trusted_certificates()  # read once, for every child
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            # The bot's log must not mix with the answers.
            os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
            shim = ctypes.CDLL(os.environ["LD_PRELOAD"]) if "fail" in asked else None
            if shim:
                shim.arm(asked["fail"], asked["errno"], asked["state"].encode())
            status = attempt(asked, scorers, writing)
            if shim and shim.armed_left() <= 0:
                os.write(writing, b"hit\n")
            os._exit(status)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            passed = pipe.read().splitlines()
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "passed": passed}), flush=True)


if __name__ == "__main__":
    main()
