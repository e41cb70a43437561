"""Names of files that are made from names of the outside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.system.file_names import file_name, is_file_name, shown

ODD = [
    "", ".", "..", "../x", "a/../../x", "/etc/passwd", "a\\b", "a\0b", ".hidden", "a" * 300, "Mixer", "MIXER", "con", "nul",
    "com1", "modèle", "模型", "a b", "a\nb", "a\u202eb", "\ud800", "-rf", "a~b", "a:b", "x.",
]  # fmt: skip


@pytest.mark.parametrize("name", ["mixer", "my_model_2", "a", "model-3", "m" * 64])
def test_a_plain_name_is_its_own_file_name(name):
    """Folders of earlier rounds keep their names."""
    assert file_name(name) == name


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_stays_in_its_folder(tmp_path, name):
    """The file name is short, plain and not hidden, and the file can be made."""
    made = tmp_path / file_name(name)
    made.write_bytes(b"")

    assert made.parent == tmp_path
    assert [one.name for one in tmp_path.iterdir()] == [made.name]
    assert len(made.name) <= 64
    assert not made.name.startswith((".", "-"))
    assert made.name.isascii()


def test_names_that_differ_in_case_alone_have_different_files():
    """A file system that ignores case keeps them apart."""
    assert len({file_name(name).lower() for name in ("mixer", "Mixer", "MIXER", "mixeR")}) == 4


@given(names=st.lists(st.text(max_size=400), min_size=2, unique=True))
def test_two_names_never_share_a_file(names):
    """File names are different, ignoring case, and an escaped name never equals a plain one."""
    made = {file_name(name).lower() for name in names}

    assert len(made) == len(names)
    assert not made & {name for name in names if file_name(name) != name}


@pytest.mark.parametrize("name", ["standard", "My Recipe", "a.b", "模型"])
def test_a_safe_name_of_a_recipe_stays(name):
    """Recipes that people made keep their names."""
    assert is_file_name(name)


@pytest.mark.parametrize("name", ["", "..", ".x", "a/b", "a\\b", "a\0", "a\n", "x" * 300, "模" * 100])
def test_an_unsafe_name_of_a_recipe_is_refused(name):
    """Such a name would leave the folder, be hidden, or fit no file system."""
    assert not is_file_name(name)


@given(name=st.text(max_size=400))
def test_a_shown_name_is_one_printable_line(name):
    """No control character reaches a terminal."""
    assert shown(name).isprintable()
    assert len(shown(name)) <= 80
