"""
Commands of the bot, each in a process that is forked from one which has loaded the libraries.

A new interpreter takes up to eight CPU seconds to import torch, LightGBM and pandas, more than most commands do. A forked
command runs ``bot/__main__.py`` from its first line, with its own environment, folder and output; what it shares with the
others is only what importing made. The variables that libraries read when they load have to be those of the loaded process:
:meth:`Forks.run` says so where they are not.
"""

import array
import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import TextIO

from bot.system.cores import limit_threads
from tests.harness.measurements import shorten_measurements

ROOT = Path(__file__).resolve().parents[2]
AT_START = dict(os.environ)
"""Variables before any test has changed one."""

LOADED = (
    # First, because it has onnxruntime start no thread of its own.
    "models",
    "lightgbm", "numerai_tools.scoring", "numerai_tools.submissions", "onnx", "onnxruntime", "onnxscript", "pandas", "plotly",
    "polars", "scipy.stats", "sklearn", "torch", "torch._dynamo",
    "bot.cli.main", "bot.assembly", "bot.reporting.evaluate", "bot.judging.challenger",
)  # fmt: skip
"""Modules that commands would load; those that this machine has not are left to the commands."""

LARGEST = 1 << 18
"""Bytes of the largest request: words, environment and folder of a command."""

IDLE = {"jemalloc_bg_thd", "polars-ooc-clea"}
"""Threads that libraries start when they are imported, and that a forked process does well without: they free memory."""

OWN = ("BOT_", "NUMERAI_", "PYTEST_")
"""Beginnings of variables that commands read when they run, and libraries never."""

EARLY = (
    "PYTHON",
    "LD_",
    "LC_",
    "LANG",
    "TZ",
    "OMP_",
    "GOMP_",
    "KMP_BLOCKTIME",
    "OPENBLAS_",
    "MKL_",
    "NUMEXPR_",
    "POLARS_",
)
"""Beginnings of variables that interpreter and libraries read when they load. Others that are new are read by commands later."""


class Forks:
    """The loaded process; several threads may run commands at the same time."""

    def __init__(self, environment: Mapping[str, str], loaded: Sequence[str] = LOADED) -> None:
        """Start the process; it imports the modules *loaded*, which see *environment*."""
        self._outside = outside({**environment, "PYTHONPATH": str(ROOT)})
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.harness.forks", str(theirs.fileno()), *loaded],
                env=self._outside,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self.process = self._process.pid
        atexit.register(self.close)

    def close(self) -> None:
        """End the process."""
        self._requests.close()
        self._process.wait()

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Return whether a command with *environment* would load libraries as this process did."""
        wanted = outside(environment)
        early = {name for name in wanted if name.startswith(EARLY)}
        return all(wanted.get(name) == self._outside.get(name) for name in early | self._outside.keys())

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], folder: Path, limit_s: float
    ) -> subprocess.CompletedProcess[str]:
        """
        Run ``bot`` with *words* in *folder*, and return its status and output, as :func:`subprocess.run` does.

        Raises:
            TimeoutExpired: It took longer than *limit_s*; it is killed.
            OSError: The process that forks has ended.
        """
        if not self.serves(environment):
            raise ValueError("the libraries of a command with these variables have to be loaded for it")
        command = [sys.executable, "-m", "bot", *words]
        about = json.dumps({"words": [*words], "environment": dict(environment), "folder": str(folder)}).encode()
        answers, theirs = socket.socketpair()
        new_file = partial(tempfile.TemporaryFile, "w+", encoding="utf-8")
        with answers, theirs, new_file() as out, new_file() as err:
            handed = array.array("i", [out.fileno(), err.fileno(), theirs.fileno()])
            self._requests.sendmsg([about], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handed)])
            theirs.close()
            answers.settimeout(limit_s)
            with answers.makefile("r") as lines:
                process = _number(lines)
                try:
                    status = _number(lines)
                except TimeoutError:
                    os.kill(process, signal.SIGKILL)
                    raise subprocess.TimeoutExpired(command, limit_s) from None
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, status, out.read(), err.read())


def _number(lines: TextIO) -> int:
    line = lines.readline()
    if not line:
        raise OSError("the process that forks commands has ended")
    return int(line)


@cache
def forks() -> Forks:
    """Return the process of this test process, and start it the first time."""
    return Forks(AT_START)


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that libraries may read when they load, with those that every command sets first."""
    found = {name: value for name, value in environment.items() if not name.startswith(OWN)}
    found |= {"PYTHONSAFEPATH": "1", "ORT_DISABLE_TELEMETRY": "1"}
    limit_threads(found)
    return found


def main(requests: socket.socket, loaded: Sequence[str]) -> None:
    """Answer requests until the test process ends."""
    for name in loaded:
        with suppress(ImportError):
            import_module(name)
    if "lightgbm" in sys.modules and "torch" in sys.modules:
        shorten_measurements()
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    if len(working := [name for name in threads if name not in IDLE]) > 1:
        raise RuntimeError(f"importing has started threads, which a forked process does not have: {working}")
    gc.collect()
    gc.freeze()
    while True:
        about, handed, _, _ = socket.recv_fds(requests, LARGEST, 3)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if not about:
            return
        if os.fork() == 0:
            requests.close()
            _attend(json.loads(about), *handed)
        for one in handed:
            os.close(one)


def _attend(asked: dict, out: int, err: int, answer: int) -> None:
    """Fork the command and wait for it; tell its id and its status."""
    process = os.fork()
    if process == 0:
        os.close(answer)
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        _become(asked)
    try:
        os.write(answer, f"{process}\n".encode())
        _, status = os.waitpid(process, 0)
        os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    finally:  # a test that no longer waits has killed the command
        os._exit(0)


def _become(asked: dict) -> None:
    """Run the command as a new interpreter would, and end as it would."""
    status = 1
    try:
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["folder"])
        sys.argv[1:] = asked["words"]
        status = _ended()
        # What an interpreter does when it ends, without the seconds of tearing down each library.
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _ended() -> int:
    """Return the exit status of the command."""
    try:
        runpy.run_module("bot", run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code is None or isinstance(ended.code, int):
            return ended.code or 0
        print(ended.code, file=sys.stderr)
        return 1
    except Exception:  # noqa: BLE001 - a crash of the command is a result
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
