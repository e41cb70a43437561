"""`bot init` leaves a usable bot.toml, or none."""

import json
import tomllib
from types import NoneType

import pytest
from typer.testing import CliRunner

from bot.cli.main import app
from bot.cli.setup._keys import about_typed
from bot.errors import BadConfig
from bot.serving.artifacts import ArtifactStore
from bot.settings import load_settings
from bot.tournament._answers import error_of
from bot.training.planning.machine_times import MachineTimes


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MachineTimes, "measured", lambda *_: None)  # seconds of work, tested elsewhere


def run(*arguments, answers=""):
    return CliRunner().invoke(app, ["init", *arguments], input=answers)


def test_pressing_return_gives_a_dry_run():
    """The defaults upload nothing, the settings accept the file, and the missing key is named with its place."""
    result = run(answers="\n" * 6)

    assert result.exit_code == 0, result.output
    assert "nothing is uploaded" in result.output
    assert "secrets/NUMERAI_SECRET_KEY" in result.output
    assert "the small recipe `starter` is trained" in result.output
    assert "planning the first day" in result.stderr
    assert "retrain of standard: " in result.output
    assert (load_settings().mode, load_settings().feature_set) == ("dry-run", "medium")


def test_answers_become_settings():
    """Slots, feature set and mode are those of the answers."""
    result = run("--slots", "first=standard, second=demo", "--feature-set", "small", "--live")
    settings = load_settings()

    assert result.exit_code == 0
    assert (settings.mode, settings.feature_set) == ("live", "small")
    assert settings.slots == {"first": "standard", "second": "demo"}


@pytest.mark.parametrize("slots", ["first", "first=", "=demo", "first=best"])
def test_a_wrong_answer_leaves_no_file(tmp_path, slots):
    """An answer that the settings refuse is an error that names the option, and no file is left."""
    result = run("--slots", slots, "--feature-set", "small", "--dry-run")

    assert isinstance(result.exception, BadConfig)
    assert str(result.exception).startswith("--slots")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_touched(tmp_path):
    """The file stays without --force, and with it where an answer is wrong."""
    (tmp_path / "bot.toml").write_text('feature_set = "all"\n')
    first = run("--slots", "", "--feature-set", "small", "--dry-run")
    second = run("--slots", "first=best", "--feature-set", "small", "--dry-run", "--force")

    assert isinstance(first.exception, BadConfig)
    assert isinstance(second.exception, BadConfig)
    assert tomllib.loads((tmp_path / "bot.toml").read_text()) == {"feature_set": "all"}


@pytest.mark.parametrize(("recipe", "written"), [("demo", True), ("standard", False)])
def test_a_file_of_another_encoding_is_replaced_or_kept(tmp_path, monkeypatch, recipe, written):
    """With --force a file that is not UTF-8 gives way; where the settings refuse the new one, its bytes come back."""
    old = 'mode = "dry-run"\n'.encode("utf-16")
    (tmp_path / "bot.toml").write_bytes(old)
    if not written:
        monkeypatch.setenv("BOT_TARGET", "target")
    result = run("--slots", f"first={recipe}", "--feature-set", "small", "--dry-run", "--force")

    assert isinstance(result.exception, NoneType if written else BadConfig)
    assert ((tmp_path / "bot.toml").read_bytes() == old) is not written


def test_a_file_that_sets_nothing_is_replaced(tmp_path):
    """The file of comments that lies beside compose.yaml needs no --force."""
    (tmp_path / "bot.toml").write_text("# nothing yet\n")

    result = run("--slots", "", "--feature-set", "small", "--dry-run")

    assert result.exit_code == 0
    assert load_settings().feature_set == "small"


def test_the_answer_for_a_program_is_one_object():
    """With --json the questions go to standard error, and standard output holds what was written and not checked."""
    result = run("--json", answers="\n" * 6)
    answer = json.loads(result.stdout)

    assert result.exit_code == 0, result.output
    assert (answer["mode"], answer["recipe"], answer["accounts"]) == ("dry-run", "standard", {})
    assert "there is no API key yet" in answer["not_checked"][0]
    assert "Feature set" in result.stderr


def test_a_key_of_the_replaced_file_is_not_lost(tmp_path, monkeypatch):
    """A key that stands in the old file moves to files of the owner alone."""
    monkeypatch.setenv("BOT_API_URL", "http://127.0.0.1:9/")
    (tmp_path / "bot.toml").write_text('numerai_public_id = "ID"\nnumerai_secret_key = "SECRET"\n')

    result = run("--force", answers="\n" * 6)

    assert result.exit_code == 0, result.output
    assert "SECRET" not in (tmp_path / "bot.toml").read_text()
    assert load_settings().secrets == ("ID", "SECRET")
    assert (tmp_path / "secrets" / "NUMERAI_SECRET_KEY").stat().st_mode & 0o777 == 0o600


def test_the_starter_is_not_announced_where_a_champion_fills_the_slots(monkeypatch):
    """Beside a state directory with a champion, only the retrain is announced."""
    monkeypatch.setattr(ArtifactStore, "has_champion", lambda *_: True)

    result = run("--slots", "", "--feature-set", "small", "--dry-run")

    assert "retrain of standard: " in result.output
    assert "recipe `starter`" not in result.output


def test_a_question_of_yes_or_no_says_what_it_takes():
    """Another answer is refused with the two that count, and asked for again."""
    result = run("--slots", "", "--feature-set", "small", answers="\n\nhugee\nyes\n")

    assert result.exit_code == 0, result.output
    assert result.output.count("answer y or n") == 1
    assert load_settings().mode == "live"


def test_a_key_that_is_refused_at_the_prompt_is_the_one_that_was_typed():
    """No variable is named, since none was set."""
    refused = error_of({"errors": [{"message": "Your session is invalid"}]})

    assert about_typed(refused) == "Numerai refuses the API key that was typed (Your session is invalid)"
