"""Settings, commands and samples of the README are those of the code."""

import re
import sys
import tomllib
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bot import errors
from bot.cli.main import app
from bot.settings import load_settings, reference

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end of settings -->)", re.DOTALL)


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def commands() -> set[str]:
    return set(get_command(app).commands)


def paths() -> list[list[str]]:
    """Return the words of every command, groups and their members."""
    groups = get_command(app).commands.items()
    return [
        [name, *member] for name, group in groups for member in ([], *([one] for one in getattr(group, "commands", ())))
    ]


def test_settings_reference_is_current():
    """The README's table of settings equals the generated one; `make docs` writes it."""
    assert SETTINGS.search(readme()).group() == reference() + "\n"


def test_readme_names_only_commands_that_exist():
    """Every `bot something` in the README's code is a command."""
    code = re.findall(r"```.*?```|`[^`\n]+`", readme(), re.DOTALL)
    named = {name for block in code for name in re.findall(r"(?<![\w/.])bot ([a-z]+)\b", block)}

    assert {"retrain", "submit", "run"} <= named <= commands()


def test_every_command_explains_itself():
    """Every command has a help text of its own."""
    runner = CliRunner()

    for command in paths():
        result = runner.invoke(app, [*command, "--help"])
        assert result.exit_code == 0
        assert len(result.stdout.split("Usage")[-1].strip()) > 60


def test_sample_settings_are_accepted(tmp_path, monkeypatch):
    """The README's bot.toml is a complete, valid configuration."""
    sample = re.search(r"```toml\n(.*?)```", readme(), re.DOTALL).group(1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bot.toml").write_text(sample, encoding="utf-8")

    assert load_settings().slots == tomllib.loads(sample)["slots"]


@pytest.mark.parametrize("name", ["program", "upload"])
def test_examples_of_the_readme_are_its_files(name):
    """The programs that the README shows are those of `examples`, which other tests run."""
    assert (ROOT / "examples" / name / "predict.py").read_text(encoding="utf-8") in readme()


def test_exit_codes_are_documented():
    """Every exit code of the error tree is in the README's table."""
    codes = {error.exit_code for error in (errors.RetryLater, errors.RefuseToSubmit, errors.OperatorNeeded)}

    assert codes <= {int(code) for code in re.findall(r"^\| (\d+) \|", readme(), re.MULTILINE)}


def test_changelog_has_room_for_the_next_release():
    """The changelog has a section for changes that are not released yet."""
    assert "## Unreleased" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


if __name__ == "__main__":
    text = SETTINGS.sub(lambda _: reference() + "\n", readme())
    (ROOT / "README.md").write_text(text, encoding="utf-8")
    sys.exit(0)
