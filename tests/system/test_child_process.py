"""A child ends when it must, with all it started, knows no secret it does not need, and never outlives the daemon."""

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
    """Let children run a script of the test in place of the bot."""

    def make(script, **about):
        path = tmp_path / "script.py"
        path.write_text(script)
        monkeypatch.setattr(child_process, "PROGRAM", (sys.executable, str(path)))
        return ChildProcess(command=("one", "two"), **{"limit_s": 60.0, **about})

    return make


def wait(look, seconds=20):
    end = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_child_without_the_key_does_not_get_it(python, tmp_path, monkeypatch):
    """Neither key nor alert addresses are in its environment; with the key they are."""
    monkeypatch.setenv("NUMERAI_SECRET_KEY", "secret")
    monkeypatch.setenv("BOT_ALERT_URLS", "json://secret")
    script = f"import os; open({str(tmp_path / 'env')!r}, 'w').write(' '.join(os.environ))"
    seen = []
    for with_key in (False, True):
        child = python(script, with_key=with_key)
        child.start()
        assert wait(lambda child=child: child.poll() is not None)
        seen.append((tmp_path / "env").read_text().split())

    assert not {"NUMERAI_SECRET_KEY", "BOT_ALERT_URLS"} & set(seen[0])
    assert {"NUMERAI_SECRET_KEY", "BOT_ALERT_URLS", PARENT_VARIABLE} <= set(seen[1])


def test_a_child_that_does_not_listen_is_killed_with_all_it_started(python, tmp_path):
    """SIGTERM is asked first; who ignores it, and its own children, are gone after the grace."""
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


def test_training_is_the_first_to_go_when_memory_runs_short(python, tmp_path):
    """A nice child has the kernel's attention before the daemon has."""
    child = python("import time; time.sleep(60)", niceness=10)
    child.start()
    pid = child._process.pid
    score, nice = Path(f"/proc/{pid}/oom_score_adj").read_text().strip(), os.getpriority(os.PRIO_PROCESS, pid)
    child.stop(grace_s=1.0)

    assert (score, nice) == ("500", 10)


def test_a_child_dies_with_the_daemon(tmp_path):
    """When the daemon is shot, its child is gone at once, and a new daemon meets nobody."""
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


def test_children_are_let_in_one_at_a_time(tmp_path, monkeypatch):
    """The child of the process that holds the state directory may work in it; a second one has to wait."""
    with state_lock(tmp_path):
        monkeypatch.setenv(PARENT_VARIABLE, str(os.getppid()))
        with state_lock(tmp_path), pytest.raises(StateLocked, match="held by process"), state_lock(tmp_path):
            pass
        monkeypatch.setenv(PARENT_VARIABLE, "1")
        with pytest.raises(StateLocked), state_lock(tmp_path):
            pass
