"""Promises about the house itself: what is loaded when, what a package shows, what the wheel holds."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN_LIVE = (
    "torch",
    "polars",
    "sklearn",
    "scipy.stats",
    "lightgbm",
    "matplotlib",
    "bot.sandbox",
    "bot.judging.challenger",
)


def loaded_by(module: str) -> set[str]:
    script = f"import sys, {module}; print('\\n'.join(sys.modules))"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(output.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "bot.submission.submit",
        "bot.judging.numerai_diagnostics",
        "bot.daemon._loop",
        "bot.assembly",
        "models.inference.runtime",
        "models.inference.ensemble",
    ],
)
def test_serving_never_loads_training_libraries(module):
    """What submits a round, or scores eras for Numerai's diagnostics, loads no library that only training has."""
    assert not loaded_by(module).intersection(FORBIDDEN_LIVE)


def test_nothing_is_reported_to_anybody(tmp_path):
    """Telemetry of onnxruntime is off before it is imported, and leaves nothing in the home directory."""
    script = "import os, models.inference.runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    output = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**environment, "HOME": str(tmp_path)},
    )

    assert output.stdout.strip() == "1"
    assert list(tmp_path.iterdir()) == []


def test_importing_the_package_loads_nothing():
    """`import bot` loads no module of the bot and no library; the interface for notebooks is loaded when it is asked for."""
    script = "import sys; before = {*sys.modules}; import bot; print(*({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert {*done.stdout.split()} == {"bot"}
    assert "bot.state" not in loaded_by("bot.cli.main")


def test_command_line_starts_light():
    """`bot --help` loads no library that a command alone needs."""
    heavy = {"numpy", "pandas", "pyarrow", "numerapi", "bot.settings", *FORBIDDEN_LIVE}

    assert not loaded_by("bot.cli.main").intersection(heavy)


@pytest.mark.parametrize("module", ["bot.cli.main, bot.cli.everyday.status", "bot.cli.main, bot.cli.everyday.health"])
def test_status_and_health_start_light(module):
    """`bot status` and `bot health` load no library of numbers, no API client and no settings model."""
    heavy = {"numpy", "pandas", "pyarrow", "numerapi", "requests", "pydantic", *FORBIDDEN_LIVE}

    assert not loaded_by(module).intersection(heavy)


@pytest.mark.parametrize("command", ["--help", "submit --help", "evaluate e1 --help", "status"])
def test_a_command_that_only_tells_loads_little(command, tmp_path):
    """From start to end, help and status load no library of numbers or settings, no API client and no terminal painter."""
    script = (
        "import sys, bot.cli.main\n"
        f"sys.argv = ['bot', *{command.split()}]\n"
        "try:\n    bot.cli.main.main()\n"
        "finally:\n    print('LOADED', *sorted(sys.modules))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "BOT_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
    )
    loaded = set(done.stdout.rpartition("LOADED")[2].split())
    heavy = {"numpy", "pandas", "pyarrow", "numerapi", "requests", "pydantic", "bot.settings", "rich", *FORBIDDEN_LIVE}

    assert "bot.cli.app" in loaded
    assert not loaded.intersection(heavy)


def test_wheel_carries_what_is_no_python(tmp_path):
    """The built wheel holds templates, styles and script of the pages beside the code."""
    pytest.importorskip("hatchling")
    source = tmp_path / "source"
    for name in ("bot", "models"):
        shutil.copytree(ROOT / name, source / name)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    script = f"import hatchling.build; print(hatchling.build.build_wheel({str(tmp_path)!r}))"
    built = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=source)
    held = set(zipfile.ZipFile(tmp_path / built.stdout.split()[-1]).namelist())

    assert {f"bot/templates/{name}" for name in ("report.html.j2", "charts.css", "charts.js")} <= held
    assert "bot/reporting/charts.py" in held


def test_full_soaks_are_imported_by_nobody():
    """What soaks and tests share lies in ``tests/harness``; outside ``tests/soak``, only their table is imported."""
    sources = [path for path in ROOT.glob("tests/**/*.py") if path.parent.name != "soak"]
    a_soak = re.compile(r"^\s*(from|import) tests\.soak(?!\.(counts|kinds)\b)", re.MULTILINE)

    assert not [path for path in sources if a_soak.search(path.read_text())]


@pytest.mark.parametrize("face", sorted(ROOT.glob("bot/*/**/__init__.py")) + sorted(ROOT.glob("models/*/__init__.py")))
def test_face_of_a_package_is_one_paragraph(face):
    """A package's ``__init__.py`` imports nothing and names each of its public modules."""
    tree = ast.parse(face.read_text(encoding="utf-8"))
    named = set(re.findall(r"``(\w+)``", ast.get_docstring(tree) or ""))
    public = {path.stem for path in face.parent.glob("[!_]*.py")}

    assert len(tree.body) == 1
    assert public - named == set() or face.parent.parent.name == "cli" or face.parent.name == "cli"


@pytest.mark.skipif("HYPOTHESIS_PROFILE" in os.environ, reason="the profile asked for may explore")
def test_properties_see_the_same_examples_in_every_run():
    """A property of the suite draws the same examples again, so that no change fails for what it did not touch."""
    drawn = []

    @hypothesis.given(strategies.integers())
    def draw(value):
        drawn.append(value)

    draw()
    first = drawn[:]
    drawn.clear()
    draw()

    assert len(set(first)) > 1
    assert drawn == first
