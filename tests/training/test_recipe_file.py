"""Recipe files: keys, refusals, and that reading inverts writing."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import BadConfig
from bot.training.recipe_file import find, history_needs, names, read, to_toml
from bot.training.recipes import DEMO, RECIPES, STANDARD

TARGETS = st.lists(
    st.sampled_from(["target_ender_20", "target_ender_60", "target_jasper_20", "target_victor_20"]), unique=True
).map(tuple)
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def recipes(draw):
    """Draw a recipe that can be trained, with values of every kind."""
    base = draw(st.sampled_from([STANDARD, DEMO]))
    network = replace(
        base.network,
        mixing=draw(st.sampled_from(["row", "era", "none"])),
        history_targets=draw(TARGETS),
        encoder=tuple(draw(st.lists(st.integers(1, 900), max_size=3))),
        learning_rate=draw(POSITIVE),
        compiled=draw(st.booleans()),
        seeds=draw(st.integers(1, 5)),
    )
    return replace(
        base,
        name="mine",
        network=network,
        targets=draw(TARGETS),
        weights=(("tsmixer", draw(POSITIVE)), ("gbm_ender_20", draw(st.floats(0, 1)))),
        weighting=draw(st.sampled_from(["fixed", "equal", "inverse_variance", "constrained"])),
        neutralize=draw(st.floats(0, 1)),
        neutralizers=draw(st.text(st.characters(codec="utf-8"), max_size=8)),
        floors=replace(base.floors, max_drawdown=draw(POSITIVE)),
        feature_set=draw(st.none() | st.just("small")),
        target=draw(st.none() | st.just("target_ender_20")),
    )


@settings(max_examples=80, deadline=None)
@given(recipe=recipes())
def test_what_is_written_is_read_back(tmp_path_factory, recipe):
    """A recipe and the recipe of its file are equal, and so are their digests."""
    path = tmp_path_factory.mktemp("recipes") / "mine.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")

    assert read(path) == recipe
    assert read(path).digest == recipe.digest


def write(folder, content, name="mine"):
    path = folder / f"{name}.toml"
    path.write_text(content, encoding="utf-8")
    return path


def test_missing_keys_keep_the_values_of_the_base(tmp_path):
    """A file replaces single keys of tables, and all weights at once."""
    recipe = read(write(tmp_path, 'base = "demo"\nneutralize = 1\n[network]\nhidden = 8\n[weights]\ngbm = 1.0\n'))

    assert recipe == replace(
        DEMO, name="mine", neutralize=1.0, network=replace(DEMO.network, hidden=8), weights=(("gbm", 1.0),)
    )


def test_empty_file_is_the_standard_under_another_name(tmp_path):
    """An empty file is a valid recipe."""
    assert read(write(tmp_path, "")) == replace(STANDARD, name="mine")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("neutralise = 0.5", "neutralise is unknown; did you mean neutralize"),
        ("[network]\nhiden = 8", r"network\.hiden is unknown; did you mean hidden"),
        ("[floors]\nmin_cor = 0.1", r"floors\.min_cor is unknown; did you mean min_corr"),
        ("network = 3", r"network must be a table"),
        ('base = "demmo"', "base must be one of demo, standard"),
        ('neutralize = "0.5"', "neutralize: Input should be a valid number"),
        ("neutralize = 1.5", "not within 0 and 1"),
        ('neutralizers = "meta_model"', "an open round's meta model is not published; take 'benchmark'"),
        ('gbm = "huge"', "no preset; presets: demo, small"),
        ('missing = "drop"', "missing: Input should be 'median_bin' or 'category'"),
        ("[weights]\nlstm = 1.0", "members are tsmixer, gbm"),
        ("[weights]\ngbm = -1.0", "at least 0"),
        ("[weights]\ngbm = 0.0", "one of them more"),
        ("[weights]\ntsmixer_ralph_20 = 1.0", "does not learn target_ralph_20; add it to targets"),
        ('targets = ["target"]', "never the alias"),
        ('target = "ender"', "has no horizon"),
        ("holdout_eras = 1", "at least 2"),
        ("[network]\nblocks = 0", "must be at least 1"),
        ("[floors]\nconfidence = 1.0", "not between 0 and 1"),
        ("neutralize = nan", "neutralize"),
        ("= 3", "not valid TOML"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(tmp_path, content, message):
    """The message names the file, the mistake and, where there is one, the closest name."""
    path = write(tmp_path, content)
    with pytest.raises(BadConfig, match=message) as refusal:
        read(path)

    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_built_in_names_are_taken(tmp_path):
    """A file with the name of a built-in recipe is refused."""
    write(tmp_path, "neutralize = 1", name="standard")
    with pytest.raises(BadConfig, match="built-in recipe"):
        find("standard", tmp_path)


def test_unknown_name_lists_the_known_ones(tmp_path):
    """The list of names contains built-in recipes and files."""
    write(tmp_path, "", name="patient")
    with pytest.raises(BadConfig, match=r"did you mean patient.*known recipes: demo, patient, standard"):
        find("patent", tmp_path)

    assert names(tmp_path) == ("demo", "patient", "standard")
    assert find("demo", tmp_path) is RECIPES["demo"]


def test_history_is_kept_for_recipes_of_files_too(tmp_path):
    """History targets and lookback of a recipe file are synced."""
    write(tmp_path, '[network]\nlookback = 77\nhistory_targets = ["target_ralph_20"]\n')
    needs = history_needs(tmp_path)

    assert needs.lookback == 77
    assert "target_ralph_20" in needs.targets
    assert set(STANDARD.network.history_targets) <= set(needs.targets)
