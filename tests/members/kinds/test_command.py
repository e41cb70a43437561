"""The kind ``command``: options that cannot be used are refused when the recipe is read, and old eras have no score."""

import time

import pytest

from bot.errors import BadConfig, CommandFailed
from bot.members import registry
from bot.members.kinds.command import CommandModel, CommandOptions
from bot.members.member import Member, Unit
from bot.members.program.program_files import pack
from bot.members.registry import Source
from bot.members.rows import LiveFiles, RawRows
from bot.training.recipe_file import read


def recipe(tmp_path, lines):
    path = tmp_path / "mine.toml"
    path.write_text(f'[members.mine]\nkind = "command"\n{lines}\n')
    return read(path)


@pytest.fixture
def model(tmp_path):
    (tmp_path / "program").mkdir()
    (tmp_path / "program" / "predict.py").write_text("")
    pack(tmp_path / "program", tmp_path / "mine.tar")
    member = Member(name="mine", kind="command", options=CommandOptions(command=("python", "predict.py")))
    return CommandModel(Source(unit=Unit(owner=member), folder=tmp_path, preprocess=None, open_network=None))


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("", "members.mine.command must name a program"),
        ("command = []", "members.mine.command must name a program"),
        ('command = "python predict.py"', "members.mine.command"),
        ('command = ["a"]\nfolder = "../state"', "must not lead upwards"),
        ('command = ["a"]\ntime_s = 3600', "time_s = 3600 must be at least 1 and at most 600"),
        ('command = ["a"]\nmemory_mib = 1', "memory_mib = 1 must be at least 16"),
        ('command = ["a"]\nlabel = "residual"', "a program learns nothing here"),
        ('command = ["a"]\nfeature_set = "small"', "a program reads the whole live file"),
        ('command = ["a"]\nmemory = 1', "memory is unknown; did you mean memory_mib?"),
    ],
)
def test_options_that_cannot_be_used_are_refused(tmp_path, lines, reason):
    """One line names key and value."""
    with pytest.raises(BadConfig) as refused:
        recipe(tmp_path, lines)

    assert reason in str(refused.value)


def test_a_program_of_a_file_that_others_write_is_refused(tmp_path, monkeypatch):
    """A trainer that writes the state directory cannot name a program for the process that holds the key."""
    monkeypatch.setenv("BOT_STATE_DIR", str(tmp_path))
    with pytest.raises(BadConfig, match="names a program to run and can be written by others"):
        recipe(tmp_path, 'command = ["a"]')
    monkeypatch.setenv("BOT_STATE_DIR", str(tmp_path / "state"))

    assert recipe(tmp_path, 'command = ["a"]').members


def test_a_rule_cannot_weigh_a_program(tmp_path):
    """A rule finds shares by scores of past eras, of which a program has none."""
    path = tmp_path / "mine.toml"
    path.write_text('weighting = "equal"\n[members.mine]\nkind = "command"\ncommand = ["a"]\n')
    with pytest.raises(BadConfig, match=r"weighting = 'equal' cannot weigh members\.mine"):
        read(path)


def test_the_folder_is_the_members_name_below_the_recipes(tmp_path):
    """Without `folder`, the program of the member ``mine`` is in ``recipes/mine``."""
    (member,) = recipe(tmp_path, 'command = ["./predict.py"]').members

    assert str(member.options.path("mine")) == "recipes/mine"
    assert member.options.command == ("./predict.py",)


def test_rows_without_files_have_no_score(model):
    """Eras of the history are no files of a round: the member is left out there."""
    assert model.score(RawRows(names=(), values=None)) == {}


def test_a_command_is_not_started_without_time(model, tmp_path):
    """With less than a second left, the command is refused and the next fallback has its turn."""
    files = LiveFiles(live=tmp_path, benchmark=None, ids=(), deadline=time.monotonic(), state_dir=tmp_path)
    with pytest.raises(CommandFailed, match="no time is left"):
        model.score(RawRows(names=(), values=None, files=files))


def test_changed_files_are_another_fit(model, tmp_path, monkeypatch):
    """The digest of the program's files is part of a fit's key, so a retrain never takes older files."""
    kind = registry.find("command")
    member = Member(name="mine", kind="command", options=CommandOptions(folder=str(tmp_path / "program")))
    before = kind.outside(member)
    (tmp_path / "program" / "predict.py").write_text("1")

    assert kind.outside(member) != before
    assert kind.outside(member) == kind.outside(member)
