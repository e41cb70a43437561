"""Commands on a machine without the packages that only training and the sandbox need."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "onnx", "optuna", "polars", "cloudpickle", "cryptography", "graphql", "mcp", "mcp_types"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from bot.cli.main import main
main()
"""


def bot(command: str, folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, *command.split()],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_needs_no_training_package(tmp_path):
    """`bot retrain --help` works without torch."""
    done = bot("retrain --help", tmp_path)

    assert done.returncode == 0, done.stderr
    assert "--data-version" in done.stdout


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        *((one, "train") for one in ("sync", "retrain", "evaluate", "evaluate e1", "tune", "export numerai-model")),
        *((one, "remote") for one in ("pack", "unpack x.pack", "unpack --latest")),
        ("mcp", "mcp"),
    ],
)
def test_missing_package_is_one_line(tmp_path, command, extra):
    """A command that needs an extra names the missing package and the extra; exit code 78."""
    done = bot(command, tmp_path)

    assert done.returncode == 78
    assert done.stderr.startswith("error: ")
    assert f"is not installed; install numerai-bot[{extra}]" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("command", "extra"), [("demo", "train,sandbox"), ("sandbox", "sandbox")])
def test_the_sandbox_names_its_extra_in_one_line(tmp_path, command, extra):
    """Where only what submits is installed, the demo and the sandbox name what to install; exit code 78."""
    done = bot(command, tmp_path)

    assert done.returncode == 78
    assert done.stderr.startswith(f"error: graphql is not installed; install numerai-bot[{extra}] to ")
    assert done.stderr.count("\n") == 1
