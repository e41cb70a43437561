"""Help texts, examples and exit codes of the documentation are those of the code."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot import errors
from bot.cli.main import app
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


def test_changelog_has_room_for_the_next_release():
    """The changelog has a section for changes that are not released yet."""
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
