"""A person's program predicts an era within limits; whatever it does, one line says why, and nothing of it stays."""

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.errors import CommandFailed
from bot.members.program import bounded_run, command_run
from bot.members.program.command_run import Era, Limits, run_command
from bot.members.program.program_files import pack
from bot.system import redaction

ROOT = Path(__file__).resolve().parents[2]
IDS = tuple(f"n{row:015x}" for row in range(100, 140))
GOOD = (
    "import csv\n"
    "def write(rows, header=('id', 'prediction'), path='predictions.csv'):\n"
    "    with open(path, 'w', newline='') as file:\n"
    "        csv.writer(file).writerows([header, *rows])\n"
    f"IDS = {list(IDS)!r}\n"
    "ROWS = [(one, place / 40) for place, one in enumerate(IDS)]\n"
)
WRITE = GOOD + "write(ROWS)\n"
LIMITS = Limits(time_s=60.0, memory_mib=512, disk_mib=8, processes=16)


@pytest.fixture
def program(tmp_path):
    """Return a function that runs a script as a member's program."""
    (tmp_path / "state").mkdir()
    (tmp_path / "files").mkdir()
    pq.write_table(pa.table({"id": IDS, "era": ["X"] * len(IDS)}), tmp_path / "live.parquet")

    def run(script, *, command=(sys.executable, "-S", "./predict.py"), benchmark=None, **limits):
        (tmp_path / "files" / "predict.py").write_text(script)
        pack(tmp_path / "files", tmp_path / "packed")
        return run_command(
            command,
            tmp_path / "packed",
            Era(ids=IDS, live=tmp_path / "live.parquet", benchmark=benchmark),
            name="mine",
            state_dir=tmp_path / "state",
            limits=replace(LIMITS, **limits),
        )

    return run


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path):
    yield
    assert not list((tmp_path / "state").glob("command-*"))


def gone(pid):
    """Return whether a process has ended."""
    return not Path(f"/proc/{pid}").exists()


def separated():
    """Return whether the kernel gives a program namespaces of its own."""
    unshare = shutil.which("unshare")
    return unshare is not None and subprocess.run([unshare, "-rmn", "true"], check=False).returncode == 0


needs_namespaces = pytest.mark.skipif(not separated(), reason="the kernel refuses user namespaces")


def test_predictions_come_in_the_order_of_the_era(program):
    """Rows may come in any order; they are returned in the order of the live file's ids."""
    run = program(GOOD + "write(reversed(ROWS))\n")

    np.testing.assert_allclose(run.predictions, np.arange(40) / 40)
    assert run.seconds < 60
    assert run.peak_mib > 1


def test_parquet_of_pandas_is_read(program, tmp_path):
    """A parquet file that pandas wrote, with the ids as its index, is read."""
    script = (
        f"import sys; sys.path[:0] = {sys.path!r}\n"
        "import pandas as pd\n"
        "live = pd.read_parquet('live.parquet').set_index('id')\n"
        "live.assign(prediction=range(len(live)))[['prediction']].to_parquet('predictions.parquet')\n"
    )

    np.testing.assert_array_equal(program(script, memory_mib=2048).predictions, np.arange(40))


def test_a_program_finds_its_own_files_and_the_benchmark(program, tmp_path):
    """The folder of the run holds copies of the program's files and of the benchmark's file."""
    (tmp_path / "files" / "model.txt").write_text("weights")
    (tmp_path / "bench.parquet").write_bytes(b"benchmark")
    script = (
        "assert open('model.txt').read() == 'weights'\n"
        "assert open('live_benchmark_models.parquet', 'rb').read() == b'benchmark'\n" + WRITE
    )

    assert len(program(script, benchmark=tmp_path / "bench.parquet").predictions) == 40


def test_an_executable_script_runs_by_its_own_first_line(program, tmp_path):
    """A script with mode 755 and a first line of its own needs no interpreter in the command."""
    script = tmp_path / "files" / "go"
    script.write_text(f"#!{sys.executable} -S\n{WRITE}")
    script.chmod(0o755)
    run = program("", command=["./go"])

    assert len(run.predictions) == 40


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("print('no such column: x'); raise SystemExit(3)", "ended with exit status 3: no such column: x"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was killed by signal 9"),
        ("", "wrote no predictions"),
        (WRITE + "open('predictions.parquet', 'w')", "wrote both predictions.parquet and predictions.csv"),
        (GOOD + "write(('n' + one[1:].replace('0', '1'), 1) for one, _ in ROWS)", "they are another era's"),
        (GOOD + "write(ROWS[1:])", "lacks 1 of 40 ids and has 0 others"),
        (GOOD + "write([*ROWS, ('n1', 1)])", "lacks 0 of 40 ids and has 1 others"),
        (GOOD + "write([*ROWS, ROWS[0]])", "has 1 ids twice"),
        (GOOD + "write([(IDS[0], 'nan'), *ROWS[1:]])", "has 1 predictions that are missing or infinite"),
        (GOOD + "write([(IDS[0], ''), *ROWS[1:]])", "has 1 predictions that are missing or infinite"),
        (GOOD + "write([(IDS[0], 'inf'), *ROWS[1:]])", "has 1 predictions that are missing or infinite"),
        (GOOD + "write([(IDS[0], 1e30), *ROWS[1:]])", "has a prediction of 1e+30, over 1e+06"),
        (GOOD + "write((one, .5) for one in IDS)", "the same prediction in every row"),
        (GOOD + "write(ROWS, header=('id', 'target'))", "predictions.csv lacks a column"),
        (GOOD + "write([(IDS[0], 'high'), *ROWS[1:]])", "predictions.csv cannot be read"),
        ("import pickle; pickle.dump([1], open('predictions.csv', 'wb'))", "predictions.csv"),
        ("import pickle; pickle.dump([1], open('predictions.parquet', 'wb'))", "predictions.parquet cannot be read"),
        ("import os; os.symlink('/etc/hostname', 'predictions.csv')", "predictions.csv is no plain file"),
        ("import os; os.mkfifo('predictions.csv')", "predictions.csv is no plain file"),
        ("import os; os.mkdir('predictions.parquet')", "predictions.parquet is no plain file"),
        ("open('predictions.csv', 'w').truncate(9 << 20)", "predictions.csv has 9 MiB, more than 8"),
    ],
)
def test_a_wrong_result_is_refused_in_one_line(program, script, reason):
    """The line names the member, the command and the reason."""
    with pytest.raises(CommandFailed) as refused:
        program(script, disk_mib=16)

    assert reason in str(refused.value)
    assert str(refused.value).startswith(f"member mine: `{sys.executable} -S ./predict.py` ")
    assert "\n" not in str(refused.value)


def test_a_program_that_does_not_start_is_refused(program):
    """A command that is no program is refused with the system's reason."""
    for command, reason in ((["./none.py"], "No such file"), (["./predict.py"], "Permission denied")):
        with pytest.raises(CommandFailed, match=f"does not start: {reason}"):
            program(WRITE, command=command)


def test_a_full_disk_is_a_failure_of_the_program(program, monkeypatch):
    """Without room for its folder the program is refused, and another fallback can still save the round."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command_run, "unpack", full)
    with pytest.raises(CommandFailed, match=r"cannot be run: .* the disk is full"):
        program(WRITE)


@pytest.mark.parametrize(
    ("script", "limits", "reason"),
    [
        ("while True: print('x' * 100000)", {}, "printed more than 16 MiB"),
        ("import time; time.sleep(600)", {"time_s": 0.5}, "took longer than 0.5 s; make it faster"),
        (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)",
            {"time_s": 0.5},
            "took longer",
        ),
        ("content = bytearray(6 << 30)", {}, "exit status 1: MemoryError"),
        (
            "import mmap\nheld = mmap.mmap(-1, 6 << 30)\nfor place in range(0, 6 << 30, 4096): held[place] = 1",
            {"memory_mib": 64},
            "used more than 64 MiB of memory",
        ),
        (WRITE + "open('large', 'wb').truncate(5 << 30)", {}, "exit status 1: OSError: .* File too large"),
        (
            "for name in range(10 ** 9): open(str(name), 'wb').write(b'x' * (1 << 20))",
            {},
            "wrote more than 8 MiB",
        ),
        (
            "import os, time\nfor _ in range(40):\n    if not os.fork(): break\ntime.sleep(600)",
            {},
            "ran more than 16 processes",
        ),
    ],
    ids=["prints", "hangs", "ignores SIGTERM", "allocates", "shares memory", "writes", "writes many", "forks"],
)
def test_a_limit_ends_the_program(program, script, limits, reason):
    """A program over a limit of time, memory, disk, processes or output is ended and refused."""
    with pytest.raises(CommandFailed, match=reason):
        program(script, **limits)


def test_a_process_that_was_left_in_a_session_of_its_own_is_killed(program, tmp_path):
    """A daemon that left the program's group and session ends with the program."""
    script = (
        "import os, signal, time\n"
        "reading, writing = os.pipe()\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    if not os.fork():\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "        os.write(writing, b'%d' % os.getpid()); os.close(writing); time.sleep(600)\n"
        "    os._exit(0)\n"
        "print(os.read(reading, 20).decode())\n"
    )
    run = program(script + WRITE)

    assert gone(int(run.output[-1]))


def test_forked_workers_share_their_memory(program):
    """Pages that workers share count once, so that a program may fork with its data loaded."""
    script = (
        "import os, time\n"
        "content = b'x' * (60 << 20)\n"
        "children = [os.fork() for _ in range(2)]\n"
        "time.sleep(1)\n"
        "if not all(children): os._exit(0)\n"
    )

    assert len(program(script + WRITE, memory_mib=128).predictions) == 40


def test_no_secret_reaches_the_program(program, monkeypatch):
    """Neither the key nor another secret, setting or proxy is among its variables."""
    for name in ("NUMERAI_SECRET_KEY", "BOT_WEBHOOK_TOKEN", "BOT_ALERT_URLS", "HTTPS_PROXY", "BOT_STATE_DIR"):
        monkeypatch.setenv(name, "hidden")
    monkeypatch.setenv("LC_NOTE", "a known secret")
    redaction.hide(["a known secret"])
    # The program itself looks for the words: a line of its output is cut, and a machine may have many variables.
    script = (
        "import os\n"
        "everything = repr(sorted(os.environ.items()))\n"
        "print('PATH' in os.environ)\n"
        "print([word for word in ('hid' 'den', 'known ' 'secret', 'BOT_', '***', 'PYTHONPATH') if word in everything])\n"
    )
    run = program(script + WRITE)

    assert run.output == ("True", "[]")


def test_secrets_in_the_output_are_hidden(program):
    """Lines of the output are bounded, and known secrets in them are hidden."""
    redaction.hide(["a-known-secret"])
    run = program("print('a' + '-known-secret', 'x' * 1000)\nprint(*range(1000), sep='\\n')\n" + WRITE)
    first = program("print('a' + '-known-secret', 'x' * 1000)\n" + WRITE)

    assert len(run.output) == bounded_run.LINES
    assert first.output == ("*** " + "x" * (bounded_run.LINE_LENGTH - 4),)


@needs_namespaces
def test_a_program_cannot_read_the_environment_of_the_bot(program):
    """In its own user namespace it cannot read the variables of the processes that started it."""
    script = (
        "import os\n"
        "supervisor = os.getppid()\n"
        "bot = int(open(f'/proc/{supervisor}/stat').read().rpartition(')')[2].split()[1])\n"
        "for one in (supervisor, bot):\n"
        "    try:\n"
        "        print('read', open(f'/proc/{one}/environ').read())\n"
        "    except PermissionError:\n"
        "        print('refused')\n"
    )

    assert program(script + WRITE).output == ("refused", "refused")


@needs_namespaces
def test_a_program_has_no_network_but_its_own(program):
    """It reaches itself at 127.0.0.1, and nothing else."""
    script = (
        "import socket\n"
        "own = socket.create_server(('127.0.0.1', 0))\n"
        "socket.create_connection(own.getsockname()).close()\n"
        "try:\n"
        "    socket.create_connection(('192.0.2.1', 80), timeout=5)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )

    assert program(script + WRITE).output == ("Network is unreachable",)


@needs_namespaces
def test_the_state_directory_is_read_only_for_the_program(program, tmp_path):
    """A program can write to its own folder only, not to ledgers or artifacts."""
    (tmp_path / "state" / "ledger").write_text("kept")
    script = f"try: open({str(tmp_path / 'state' / 'ledger')!r}, 'w')\nexcept OSError as error: print(error.strerror)\n"

    assert program(script + WRITE).output == ("Read-only file system",)
    assert (tmp_path / "state" / "ledger").read_text() == "kept"


@needs_namespaces
def test_a_kernel_without_namespaces_is_logged_once(tmp_path):
    """Where the kernel refuses, the program runs all the same, and one warning says so."""
    for name in ("state", "files"):
        (tmp_path / name).mkdir()
    (tmp_path / "live.parquet").write_bytes(b"")
    (tmp_path / "files" / "predict.py").write_text(WRITE)
    pack(tmp_path / "files", tmp_path / "packed")
    script = (
        "import sys\nfrom pathlib import Path\nfrom bot.members.program.command_run import Era, run_command\n"
        f"root, ids = Path({str(tmp_path)!r}), {list(IDS)!r}\n"
        "for _ in range(2):\n"
        "    run = run_command([sys.executable, '-S', './predict.py'], root / 'packed',"
        " Era(ids=ids, live=root / 'live.parquet'), name='mine', state_dir=root / 'state')\n"
        "    print(len(run.predictions))\n"
    )
    # In this namespace of a user, no further one can be made.
    inside = 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$0" -c "$1"'
    program = [shutil.which("unshare"), "-r", "sh", "-c", inside, sys.executable, script]
    done = subprocess.run(program, check=False, capture_output=True, text=True, cwd=ROOT)

    assert [line for line in done.stdout.splitlines() if line == "40"] == ["40", "40"], done.stderr
    assert (done.stdout + done.stderr).count("command.network_open") == 1


def test_the_end_of_the_bot_ends_the_program(tmp_path):
    """SIGKILL of the bot ends the program and what it started, and its folder is removed."""
    (tmp_path / "state").mkdir()
    (tmp_path / "files").mkdir()
    (tmp_path / "live.parquet").write_bytes(b"")
    (tmp_path / "files" / "predict.py").write_text(
        f"import os, time; os.fork(); open({str(tmp_path)!r} + '/pid-' + str(os.getpid()), 'w'); time.sleep(600)"
    )
    pack(tmp_path / "files", tmp_path / "packed")
    script = (
        "import sys\nfrom pathlib import Path\nfrom bot.members.program.command_run import Era, run_command\n"
        f"root = Path({str(tmp_path)!r})\n"
        "run_command([sys.executable, '-S', './predict.py'], root / 'packed', Era(ids=['a'], live=root / 'live.parquet'),"
        " name='mine', state_dir=root / 'state')"
    )
    for number in (signal.SIGKILL, signal.SIGTERM):
        bot = subprocess.Popen([sys.executable, "-c", script])
        end = time.monotonic() + 120
        while len(pids := list(tmp_path.glob("pid-*"))) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(bot.pid, number)
        bot.wait()
        ended = [one.name.removeprefix("pid-") for one in pids]
        while (not all(map(gone, ended)) or list((tmp_path / "state").iterdir())) and time.monotonic() < end:
            time.sleep(0.02)

        assert len(pids) == 2
        assert all(map(gone, ended))
        assert not list((tmp_path / "state").iterdir())
        for one in pids:
            one.unlink()
