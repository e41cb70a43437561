"""Help texts, examples and exit codes of the documentation are those of the code."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot import __version__, errors
from bot.cli.main import app
from bot.record import database
from bot.serving.artifacts import FORMAT
from docs.generator.commands import tree

ROOT = Path(__file__).resolve().parents[1]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_command_explains_itself():
    """Every command has a help text of its own."""
    runner = CliRunner()

    for words in tree():
        result = runner.invoke(app, [*words, "--help"])
        assert result.exit_code == 0
        assert len(result.stdout.split("Usage")[-1].strip()) > 60


@pytest.mark.parametrize("name", ["program", "upload"])
def test_examples_of_the_documentation_are_its_files(name):
    """The programs that the documentation shows are those of `examples`, which other tests run."""
    assert (ROOT / "examples" / name / "predict.py").read_text(encoding="utf-8") in page("how-to/own-model.md")


def test_exit_codes_are_documented():
    """Every exit code of the error tree is in the table of exit codes."""
    codes = {error.exit_code for error in (errors.RetryLater, errors.RefuseToSubmit, errors.OperatorNeeded)}

    assert codes <= {int(code) for code in re.findall(r"^\| (\d+) \|", page("reference/exit-codes.md"), re.MULTILINE)}


def test_changelog_has_the_version_and_room_for_the_next_one():
    """The changelog has a section for changes that are not released yet, and a dated one of this version."""
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert titles[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(__version__)} - 20\d\d-\d\d-\d\d", titles[1])


def test_the_version_is_the_same_everywhere():
    """The package, its metadata and the images' labels have one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    labels = re.findall(r'image\.version="([^"]+)"', (ROOT / "Dockerfile").read_text(encoding="utf-8"))

    assert {project["version"], *labels} == {__version__}


def test_upgrade_notes_name_the_formats_of_this_version():
    """The notes give the schema that the ledger is migrated to, and the format of new artifacts."""
    text = page("how-to/upgrade-to-1.md")

    assert f"schema {len(database._MIGRATIONS)}" in text
    assert f"new ones have format {FORMAT}" in text
