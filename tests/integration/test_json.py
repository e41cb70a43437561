"""Every command that shows something prints one JSON object where a program asks for it, also in place of an error."""

import json
import shutil

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bot.cli.app import app
from bot.cli.json_answers import ANSWERS, OTHERWISE, Failed
from bot.cli.main import main
from docs.generator.commands import walk
from tests.harness.installation import FIRST_ROUND, SLOT
from tests.harness.json_types import differences

WITHOUT = ("run", "mcp", "recipes schema")
"""Commands without `--json`: a daemon, whose log is JSON, a protocol that is JSON, and a command that prints JSON anyway."""

ANSWERED = ("health", "scores --offline", "backup", "verify", "recipes", "pause", "resume", "doctor", "pack --new-key")
"""Commands that need no data, in a state with one champion and no round."""

REFUSED = (
    "promote 0", "status 7", "rollback", "report 0", "evaluate --artifact 0", "evaluate compare demo", "adopt demo",
    "recipes show none", "sync --no-such-option", "pack 0", "unpack", "unpack none.pack", "unpack --latest", "tune --trials 0",
    "evaluate importance --artifact 0", "evaluate e0 --recipe none", "evaluate e1 --recipe none", "data export --format csv",
    "retrain --recipe none --plan", "retry", "alert test", "init --slots none", "sandbox --window-s 0", "diagnose --account none",
    f"export numerai-model --upload --slot {SLOT}",
)  # fmt: skip
"""Commands that fail there."""

WORK = (
    "evaluate", "evaluate importance --eras 13", "evaluate e0 --chunk 40 --every 8", "report", "sync", "pack",
    "retrain --plan", "diagnose", "data export --features small", "tune --trials 1 --chunk 60 --every 16",
)  # fmt: skip
"""Commands that need the data of a training."""


def settle(installation, monkeypatch):
    """Let this process have the installation's settings and folder."""
    monkeypatch.chdir(installation.root)
    for name, value in installation.environment.items():
        monkeypatch.setenv(name, value)


def kind_of(words):
    """Return the type of a command's object."""
    known = [one for one in ANSWERS if set(one.split()) <= set(words.split())]
    return ANSWERS[max(known, key=len)]


def test_every_command_has_an_object_that_is_documented():
    """Each command has `--json` and a type, or stands in a short list of others; a group without work of its own has none."""
    commands = {" ".join(words): one for words, one in walk(get_command(app))}
    working = {
        words: one
        for words, one in commands.items()
        if not hasattr(one, "commands") or getattr(one, "invoke_without_command", False)
    }
    with_json = {words for words, one in working.items() if any("--json" in option.opts for option in one.params)}
    typed = {words.partition(" --")[0] for words in ANSWERS}

    assert set(working) - with_json == set(WITHOUT)
    assert with_json - typed == {"status", "recipes show"}
    assert typed <= with_json
    assert OTHERWISE.keys() == {*WITHOUT, *(set(working) - typed)}


@pytest.mark.parametrize("words", ANSWERED)
def test_the_answer_is_one_object_of_its_type(installation, words):
    """Standard output holds one object with the documented keys, and nothing else; the exit code is that without --json."""
    done, plain = installation.bot(*words.split(), "--json"), installation.bot(*words.split())

    assert list(differences(json.loads(done.stdout), kind_of(words))) == []
    assert done.returncode == plain.returncode or words == "pack --new-key"  # the key is there the second time


@pytest.mark.parametrize("words", REFUSED)
def test_an_error_is_one_object(installation, monkeypatch, capsys, words):
    """In place of an answer standard output holds the error, or the errors of all parts; the exit code is the error's."""
    settle(installation, monkeypatch)
    monkeypatch.setattr("sys.argv", ["bot", *words.split(), "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    errors = [answer["error"]] if "error" in answer else answer["errors"]

    assert [list(differences({"error": one}, Failed)) for one in errors] == [[]]
    assert end.value.code == errors[0]["exit_code"] > 0
    assert errors[0]["message"] in shown.err


@pytest.mark.slow
def test_work_on_data_is_one_object(installation, trained, monkeypatch, short_measurements):
    """Commands that train, score or download print their tables on standard error, and one object of their type."""
    shutil.copytree(trained, installation.state, dirs_exist_ok=True)
    installation.bot("pack", "--new-key")
    settle(installation, monkeypatch)
    wrong = {}
    for words in WORK:
        result = CliRunner().invoke(app, [*words.split(), "--json"])
        wrong[words] = [*differences(json.loads(result.stdout), kind_of(words)), *[result.exception] * result.exit_code]

    assert {words: found for words, found in wrong.items() if found} == {}


def test_a_retrain_is_one_object(trained):
    """The retrain that made the champion printed its judgement as one object."""
    answer = json.loads((trained.parent / "retrain.json").read_text())

    assert list(differences(answer, ANSWERS["retrain"])) == []
    assert [(one["recipe"], one["promoted"]) for one in answer["retrained"]] == [("demo", True)]


def test_a_submission_is_one_object_of_receipts_and_errors(installation):
    """All slots are in one object; where one is refused its error has kind and exit code, and is one line for a person."""
    refused = installation.bot("submit", "--json", BOT_MAX_EXPOSURE="0.0001")
    sent = installation.bot("submit", "--json")
    (error,) = json.loads(refused.stdout)["errors"]
    answer = json.loads(sent.stdout)
    (receipt,) = answer["receipts"]

    assert (refused.returncode, error["kind"], error["exit_code"]) == (65, "GateFailed", 65)
    assert refused.stderr.splitlines()[-1].startswith("error: exposure:")
    assert sent.returncode == 0, sent.stderr
    assert list(differences(answer, ANSWERS["submit"])) == []
    assert (receipt["round"], receipt["slot"], receipt["outcome"]) == (FIRST_ROUND, SLOT, "confirmed")
    assert receipt["gates"][0]["gate"] == "ids"
