"""A program's folder is packed into one file and comes back as it was."""

import os
import stat

import pytest

from bot.errors import BadConfig
from bot.members.program import program_files
from bot.members.program.program_files import pack, unpack


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "mine"
    (made / "helpers").mkdir(parents=True)
    (made / "predict.py").write_text("print()")
    (made / "predict.py").chmod(0o755)
    (made / "helpers" / "one.py").write_text("1")
    return made


def test_files_come_back_with_their_modes(folder, tmp_path):
    """Content, paths and the permission to execute are kept."""
    digests = pack(folder, tmp_path / "packed")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "packed", tmp_path / "out")

    assert sorted(digests) == ["helpers/one.py", "predict.py"]
    assert (tmp_path / "out" / "helpers" / "one.py").read_text() == "1"
    assert (tmp_path / "out" / "predict.py").stat().st_mode & stat.S_IXUSR
    assert not (tmp_path / "out" / "helpers" / "one.py").stat().st_mode & stat.S_IXUSR


def test_equal_files_give_equal_bytes(folder, tmp_path):
    """Times and owners of files do not change the packed file; content does."""
    pack(folder, tmp_path / "one")
    os.utime(folder / "predict.py", (1, 1))
    pack(folder, tmp_path / "two")
    (folder / "predict.py").write_text("print(1)")
    pack(folder, tmp_path / "three")

    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


def test_hidden_files_and_results_are_left_out(folder, tmp_path):
    """Secrets in ``.env``, environments, caches and the files of an earlier run are not packed."""
    for name in (".env", "live.parquet", "predictions.csv"):
        (folder / name).write_text("x")
    for name in (".venv", "__pycache__", "tmp"):
        (folder / name).mkdir()
        (folder / name / "x").write_text("x")

    assert sorted(pack(folder, tmp_path / "packed")) == ["helpers/one.py", "predict.py"]


def test_a_linked_file_is_packed_as_a_file(folder, tmp_path):
    """A link to a file becomes the file, since its target may not be there when the program runs."""
    (tmp_path / "model.txt").write_text("weights")
    (folder / "model.txt").symlink_to(tmp_path / "model.txt")
    pack(folder, tmp_path / "packed")
    (tmp_path / "out").mkdir()
    unpack(tmp_path / "packed", tmp_path / "out")

    assert not (tmp_path / "out" / "model.txt").is_symlink()
    assert (tmp_path / "out" / "model.txt").read_text() == "weights"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "loop").symlink_to(folder), "neither a file nor a folder"),
        (lambda folder: os.mkfifo(folder / "pipe"), "neither a file nor a folder"),
        (lambda folder: (folder / "large").touch() or os.truncate(folder / "large", 2 << 30), "3 files of 2,048 MiB"),
        (lambda folder: folder.rename(folder.with_name("other")), "does not exist"),
        (lambda folder: [path.unlink() for path in folder.rglob("*.py")], "holds no file"),
    ],
    ids=["loop", "pipe", "large", "absent", "empty"],
)
def test_what_cannot_be_packed_is_refused(folder, tmp_path, change, reason):
    """A folder that is absent, empty, too large or holds more than files is refused in one line."""
    change(folder)
    with pytest.raises(BadConfig, match=reason):
        pack(folder, tmp_path / "packed")


def test_a_folder_of_too_many_files_is_refused(folder, tmp_path, monkeypatch):
    """The number of files is bounded."""
    monkeypatch.setattr(program_files, "MAX_FILES", 1)
    with pytest.raises(BadConfig, match="holds 2 files"):
        pack(folder, tmp_path / "packed")
