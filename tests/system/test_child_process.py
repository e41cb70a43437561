"""A child process gets no secret that it does not need, can be stopped with all it started, and dies with the daemon."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.errors import StateLocked
from bot.system import child_process
from bot.system.child_process import PARENT_VARIABLE, ChildProcess
from bot.system.lock import state_lock


@pytest.fixture
def python(monkeypatch, tmp_path):
    """Return a function that makes a child process which runs a script instead of the bot."""

    def make(script, **about):
        path = tmp_path / "script.py"
        path.write_text(script)
        monkeypatch.setattr(child_process, "PROGRAM", (sys.executable, str(path)))
        return ChildProcess(command=("one", "two"), **{"limit_s": 60.0, **about})

    return make


def wait(look, seconds=120):
    """Call *look* until it returns something true; return its last result."""
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def gone(pid):
    """Return whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_child_without_the_key_does_not_get_it(python, tmp_path, monkeypatch):
    """Only a child with the key gets it; no child gets the addresses of alerts."""
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "secret")
    monkeypatch.setenv("BOT_ALERT_URLS", "json://secret")
    script = f"import os; open({str(tmp_path / 'env')!r}, 'w').write(' '.join(os.environ))"
    environments = []
    for with_key in (False, True):
        child = python(script, with_key=with_key)
        child.start()
        assert wait(lambda child=child: child.poll() is not None)
        environments.append((tmp_path / "env").read_text().split())

    assert not {"NUMERAI_SECRET_KEY", "BOT_ALERT_URLS"} & set(environments[0])
    assert {"NUMERAI_SECRET_KEY", PARENT_VARIABLE} <= set(environments[1])
    assert "BOT_ALERT_URLS" not in environments[1]


def test_a_child_that_ignores_sigterm_is_killed_with_all_it_started(python, tmp_path):
    """A process that ignores SIGTERM, and its own child, are gone after the grace period."""
    script = (
        "import signal, subprocess, sys, time, pathlib\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(inner.pid))\n"
        "time.sleep(60)\n"
    )
    child = python(script, limit_s=0.0)
    child.start()
    inner = int(wait(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text()))
    overdue = child.is_overdue
    child.stop(grace_s=0.2)

    assert overdue
    assert child.poll() == -signal.SIGKILL
    assert wait(lambda: gone(inner))


def test_an_ended_child_is_never_signalled_again(python, monkeypatch):
    """Once its exit status has been read, its id may be a stranger's: stopping it sends no signal."""
    child = python("")
    child.start()
    assert wait(lambda: child.poll() is not None)
    sent = []
    monkeypatch.setattr(child_process.os, "killpg", lambda *signal: sent.append(signal))
    monkeypatch.setattr(child_process.os, "kill", lambda *signal: sent.append(signal))
    child.stop(grace_s=0.0)

    assert child.poll() == 0
    assert sent == []


def test_an_ended_child_leaves_nothing_behind(python, tmp_path):
    """A process that a command started and left is killed when the command has ended, while the id is still its own."""
    child = python(
        "import pathlib, subprocess, sys\n"
        "inner = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(inner.pid))\n"
    )
    child.start()

    assert wait(lambda: child.poll() is not None)
    assert wait(lambda: gone(int((tmp_path / "pid").read_text())))


def test_a_child_whose_priority_cannot_be_set_runs(python, monkeypatch):
    """A container that forbids priorities gets the command at the usual one, and it can be stopped."""

    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(child_process.os, "setpriority", refuse)
    child = python("import time; time.sleep(60)", niceness=10)
    child.start()
    running = child.poll() is None
    child.stop(grace_s=0.0)

    assert running
    assert child.poll() in (-signal.SIGTERM, -signal.SIGKILL)


def test_a_child_that_did_not_start_has_no_state(python, monkeypatch):
    """Where the system has no process left, the start fails, and stopping does nothing."""

    def fail(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    child = python("")
    monkeypatch.setattr(child_process.subprocess, "Popen", fail)
    with pytest.raises(OSError, match="temporarily"):
        child.start()
    child.stop(grace_s=0.0)

    assert child.poll() is None
    assert not child.is_overdue


def test_a_nice_child_is_killed_first_when_memory_runs_out(python, tmp_path):
    """A child with a niceness has a higher OOM score than the daemon."""
    child = python("import time; time.sleep(60)", niceness=10)
    child.start()
    pid = child._process.pid
    score, nice = Path(f"/proc/{pid}/oom_score_adj").read_text().strip(), os.getpriority(os.PRIO_PROCESS, pid)
    child.stop(grace_s=1.0)

    assert (score, nice) == ("500", 10)


def test_a_child_dies_with_the_daemon(tmp_path):
    """When the daemon is killed, its child is killed at once, so that a new daemon meets none."""
    (tmp_path / "child.py").write_text(
        "import os, pathlib, sys, time; from bot.system.child_process import end_with_parent; end_with_parent()\n"
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(60)\n"
    )
    daemon = (
        "import sys, time; from bot.system import child_process\n"
        "child_process.PROGRAM = (sys.executable, sys.argv[1])\n"
        "child_process.ChildProcess(command=(sys.argv[2],), limit_s=60).start(); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", daemon, str(tmp_path / "child.py"), str(tmp_path / "pid")]
    with subprocess.Popen(arguments, env=environment) as process:
        pid = int(wait(lambda: (tmp_path / "pid").is_file() and (tmp_path / "pid").read_text()))
        process.send_signal(signal.SIGKILL)

    assert wait(lambda: gone(pid))


def test_one_child_at_a_time_may_lock_the_state_directory(tmp_path, monkeypatch):
    """A child of the process that holds the lock may take it too, but no second child and no other process."""
    with state_lock(tmp_path):
        (tmp_path / "bot.holder").write_text(str(os.getppid()))
        monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
        with state_lock(tmp_path), pytest.raises(StateLocked, match="held by process"), state_lock(tmp_path):
            pass
        monkeypatch.setenv(PARENT_VARIABLE, str(os.getpid()))
        with pytest.raises(StateLocked), state_lock(tmp_path):
            pass
