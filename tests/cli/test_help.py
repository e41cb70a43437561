"""Help, version and completion of the command line."""

import os
import subprocess
import sys

import pytest
import typer

from bot import __version__, assembly
from bot.cli import completion
from bot.cli._examples import EXAMPLES
from bot.cli._groups import PANELS
from bot.cli.app import app
from bot.errors import BadConfig, NoChampion
from bot.record.ledger import Ledger
from bot.serving.artifacts import ArtifactStore
from bot.settings import load_settings
from bot.training.recipes import RECIPES
from tests.daemon.fakes import OPENED, confirm
from tests.serving.manifests import manifest

ROOT = typer.main.get_command(app)


def commands(command, path=()):
    """Yield the words of every command and group below *command*."""
    for name, one in getattr(command, "commands", {}).items():
        yield (*path, name)
        yield from commands(one, (*path, name))


def help_of(*words, capsys):
    with pytest.raises(SystemExit):
        ROOT(args=[*words, "--help"], prog_name="bot")
    return capsys.readouterr().out


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A state directory without settings."""
    for name in [one for one in os.environ if one.startswith("BOT_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOT_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.mark.parametrize("words", [(), *commands(ROOT)], ids=" ".join)
def test_help_fits_a_terminal_and_ends_with_an_example(words, capsys):
    """No line is longer than 80 columns or cut off; the example is a command that exists."""
    said = help_of(*words, capsys=capsys)

    assert max(map(len, said.splitlines())) <= 80
    assert not [line for line in said.splitlines() if line.startswith("  ") and line.endswith("...")]
    if words:
        assert f"Example:\n    {EXAMPLES[' '.join(words)]}" in said


def test_every_command_stands_in_one_group(capsys):
    """The overview has the four groups, and no command is left over or named twice."""
    named = [name for names in PANELS.values() for name in names]
    said = help_of(capsys=capsys)

    assert sorted(named) == sorted(ROOT.commands)
    assert [line for line in said.splitlines() if line.rstrip(":") in PANELS] == [f"{title}:" for title in PANELS]


def test_the_version_is_printed(capsys):
    """`bot --version` prints it and ends."""
    with pytest.raises(SystemExit) as ended:
        ROOT(args=["--version"], prog_name="bot")

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"numerai-bot {__version__}\n"


def test_names_are_completed_from_state_and_settings(state, monkeypatch):
    """Slots, recipes, artifacts and rounds that begin with what is typed are offered; without a state nothing is."""
    nothing = [one("") for one in (completion.slots, completion.artifacts, completion.rounds, completion.accounts)]
    ledger = Ledger(state / "ledger-dry-run.sqlite")
    for number, slot in ((1405, "first"), (1406, "second")):
        confirm(ledger, number, slot)
    ledger.close()
    made = ArtifactStore(state / "artifacts").write(files={"gbm.txt": b"tree"}, manifest=manifest("demo"), at=OPENED)
    (state.parent / "recipes").mkdir()
    (state.parent / "recipes" / "mine.toml").touch()
    seen = completion.slots("f")
    monkeypatch.setenv("BOT_SLOTS", "other=demo")

    assert nothing == [[], [], [], []]
    assert seen == ["first"]
    assert completion.slots("") == ["other"]
    assert completion.rounds("") == ["latest", "1406", "1405"]
    assert completion.artifacts(made.id[:4]) == [made.id]
    assert completion.recipes("m") == ["mine"]
    assert set(completion.recipes("")) == {*RECIPES, "mine"}


def test_the_shell_gets_a_completion(state):
    """The whole way of a shell: the variables of its completion script give the names."""
    environment = {
        **os.environ, "_BOT_COMPLETE": "complete_bash", "COMP_WORDS": "bot pause ot", "COMP_CWORD": "2",
        "BOT_SLOTS": "other=demo,first=demo",
    }  # fmt: skip
    script = "import sys; sys.argv = ['bot']; from bot.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)

    assert done.stdout.split() == ["other"], done.stderr


def test_the_beginning_of_an_id_is_enough(tmp_path):
    """One artifact that begins so is meant; several, or none, are an error that names them."""
    store = ArtifactStore(tmp_path / "artifacts")
    first, second = (
        store.write(files={"gbm.txt": content}, manifest=manifest("demo"), at=OPENED).id for content in (b"a", b"b")
    )
    common = first[: next(place for place in range(len(first)) if first[place] != second[place])]

    assert store.find(first) == first
    assert store.find(first[: len(common) + 1]) == first
    with pytest.raises(BadConfig, match=f"^2 artifacts begin with {common}: .*{first}.*; write more of the id$"):
        store.find(common)
    with pytest.raises(BadConfig, match="artifact 1999 is not in"):
        store.find("1999")
    with pytest.raises(BadConfig, match="is not the id of an artifact"):
        store.find("../etc")


def test_without_an_id_the_first_recipe_in_use_with_a_champion_is_meant(tmp_path):
    """A recipe that is not trained yet hides no champion of another slot; without any, the first recipe is named."""
    settings = load_settings(state_dir=tmp_path, slots={"a": "standard", "b": "demo"})
    store = ArtifactStore(tmp_path / "artifacts")
    with pytest.raises(NoChampion, match="'standard'"):
        assembly.find_artifact(settings, None)
    identity = store.write(files={"gbm.txt": b"a"}, manifest=manifest("demo"), at=OPENED).id
    store.promote("demo", identity)

    assert assembly.find_artifact(settings, None) == identity


def test_a_port_that_cannot_be_is_a_wrong_option(capsys):
    """It is refused before anything is made, with the largest port there is."""
    with pytest.raises(SystemExit) as ended:
        ROOT(args=["sandbox", "--port", "99999"], prog_name="bot")

    assert ended.value.code == 2
    assert "less than or equal to 65535" in capsys.readouterr().err
