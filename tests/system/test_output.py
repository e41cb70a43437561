"""Standard streams that cannot be written cost text and nothing else."""

import os
import subprocess
import sys
import time

import pytest

from tests.harness.outputs import KINDS, unwritable

SETUP = "import sys, os; from bot.system.output import guard_output; guard_output()\n"
WORK = """
import logging, warnings, structlog, typer, threading
from rich.console import Console
from bot.system import logs
logs.configure(log_format="json")
for _ in range(3):
    print("text")
    print("text", file=sys.stderr)
    typer.echo("text"); typer.echo("text", err=True)
    Console().print("[bold]text"); Console(stderr=True).print("text")
    structlog.get_logger().warning("event"); logging.getLogger("x").error("text")
    warnings.warn("text")
threading.Thread(target=lambda: 1 / 0).start()
sys.exit(7)
"""


def ended(code, **streams):
    """Return the exit status of a process with guarded output."""
    with subprocess.Popen([sys.executable, "-c", SETUP + code], **streams) as process:
        return process.wait()


@pytest.mark.parametrize("names", [("stdout",), ("stderr",), ("stdout", "stderr")])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "closed"])
def test_the_exit_code_is_that_of_the_work(kind, names, tmp_path):
    """Prints, logs, warnings, tracebacks of threads and the end of the interpreter ignore a stream that fails."""
    with unwritable(kind, names, tmp_path) as streams:
        assert ended(WORK, **streams) == 7


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (1, 2), (0, 1, 2)])
def test_closed_descriptors_cost_nothing_and_stay_reserved(closed, tmp_path):
    """A file that is opened later does not take the place of a closed stream, where text would land in it."""
    code = f"file = open({str(tmp_path / 'ledger')!r}, 'w'); assert file.fileno() > 2, file.fileno()\n" + WORK

    def close():
        for descriptor in closed:
            os.close(descriptor)

    assert ended(code, preexec_fn=close, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 7
    assert (tmp_path / "ledger").read_text() == ""


def test_a_full_pipe_without_a_reader_does_not_stop_the_work():
    """Standard error that nobody reads, such as that of a paused terminal, is given up after a second."""
    code = "for _ in range(2000): print('x' * 200, file=sys.stderr)\nsys.exit(7)"
    reading, writing = os.pipe()
    began = time.monotonic()

    assert ended(code, stderr=writing) == 7
    assert time.monotonic() - began < 60
    os.close(reading)
    os.close(writing)


def test_a_slow_reader_of_standard_output_gets_everything():
    """A command waits for the reader of its result."""
    code = "for number in range(20000): print(f'{number:09d}')"
    with subprocess.Popen([sys.executable, "-c", SETUP + code], stdout=subprocess.PIPE) as process:
        lines = process.stdout.read().split()

    assert (len(lines), lines[-1]) == (20000, b"000019999")


def test_characters_that_the_encoding_lacks_are_plain_or_escaped():
    """A terminal of another encoding shows plain characters for the bot's own, and an escape for others; the command goes on."""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    code = SETUP + "import typer; typer.echo('error ± .01'); print('é', file=sys.stderr)"

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"error +/- .01\n", b"\\xe9\n")


@pytest.mark.parametrize(
    "line", ["print({})", "typer.echo({})", "Console().print({})", "raise ValueError({})", "warn({})"]
)
def test_no_way_of_printing_shows_a_secret(line):
    """What is printed, raised or warned of passes the one list of secrets."""
    code = (
        SETUP
        + "import typer; from rich.console import Console; from warnings import warn\n"
        + "from bot.system import redaction; redaction.hide(['VERYSECRET'])\n"
        + line.format("'it is VERYSECRET here'")
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    shown = done.stdout + done.stderr

    assert "it is *** here" in shown
    assert "VERYSECRET" not in shown
