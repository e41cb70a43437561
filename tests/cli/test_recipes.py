"""`bot recipes show` warns of what the data do not have."""

from bot.cli.models.recipes import show_recipe


def test_a_mistyped_feature_set_of_a_member_is_a_warning(tmp_path, monkeypatch, capsys):
    """The recipe is printed, and standard error names the key, the wrong set and the one that was probably meant."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "mine.toml").write_text('[members.trees]\nkind = "lightgbm"\nfeature_set = "smal"\n')

    show_recipe("mine")
    shown = capsys.readouterr()

    assert shown.err == ("warning: members.trees.feature_set: feature set 'smal' is not in v5.3; did you mean small?\n")
    assert '[members.trees]\nkind = "lightgbm"' in shown.out


def test_a_sound_recipe_has_no_warning(tmp_path, monkeypatch, capsys):
    """A built-in recipe is printed without a warning before there are data."""
    monkeypatch.chdir(tmp_path)

    show_recipe("demo")

    assert capsys.readouterr().err == ""
