"""Recipe files: keys, refusals, and that reading inverts writing."""

import math
import re
import typing
from dataclasses import fields, replace

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import BadConfig
from bot.features.preprocess import FAMILIES
from bot.training._recipe_limits import LIMITS, out_of_range
from bot.training.recipe_file import find, history_needs, names, read, to_toml
from bot.training.recipes import DEMO, RECIPES, STANDARD, Recipe

TARGETS = st.lists(
    st.sampled_from(["target_ender_20", "target_ender_60", "target_jasper_20", "target_victor_20"]), unique=True
).map(tuple)
POSITIVE = st.floats(1e-6, 1e6)


@st.composite
def recipes(draw):
    """Draw a recipe that can be trained, with values of every kind."""
    base = draw(st.sampled_from([STANDARD, DEMO]))
    past = draw(TARGETS)
    network = replace(
        base.network,
        mixing=draw(st.sampled_from(["row", "era", "none", "mlp"] if past else ["row", "none", "mlp"])),
        history_targets=past,
        encoder=tuple(draw(st.lists(st.integers(1, 900), min_size=1, max_size=3))),
        learning_rate=draw(st.floats(1e-6, 100)),
        compiled=draw(st.booleans()),
        steps=draw(st.integers(0, 5000)),
        stop_on=draw(st.sampled_from(["auto", "corr", "bmc", "pay"])),
        benchmark_penalty=draw(st.floats(0, 2)),
        ema=draw(st.floats(0, 0.999)),
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
        neutralizers=draw(st.sampled_from(["small", "benchmark", "rain", "v3_equivalent_features", "fncv3_features"])),
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
        ("neutralize = 1.5", r"neutralize = 1\.5 must be at least 0 and at most 1"),
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
        ("[floors]\nconfidence = 1.0", r"floors\.confidence = 1 must be over 0 and under 1"),
        ("neutralize = nan", "neutralize"),
        ("= 3", "not valid TOML"),
        ("neutralize = inf", "neutralize = inf must be"),
        ("[weights]\ngbm = nan", r"weights\.gbm = nan must be at least 0 and at most 1,000,000"),
        ("[weights]\ngbm = inf", r"weights\.gbm = inf must be"),
        ("weights = {}", "one of them more"),
        ('weights = [["gbm", 0.5], ["gbm", 0.5]]', "weights: a name occurs twice"),
        ('targets = ["target_ender_20", "target_ender_20"]', "targets: a name occurs twice"),
        ('engineered = ["group_median"]', "engineered.0: Input should be 'group_mean'"),
        ('neutralizers = "riskiest_50"', "neutralizers = 'riskiest_50' is no feature set; there are small"),
        ('feature_set = "Medium"', "feature_set = 'Medium' is no feature set"),
        ('[network]\nmixing = "era"\nlookback = 0', r"network\.mixing = 'era' needs a history: lookback at least 1"),
        ('[network]\nmixing = "era"\nhistory_targets = []', r"network\.mixing = 'era' needs a history"),
        ("[network]\nencoder = []", r"network\.encoder = \[\] must name at least one width"),
        ("[network]\nencoder = [64, 0]", r"network\.encoder = 0 must be at least 1"),
        ('[network]\nhead = "score"', r"network\.head = 'score' has no classes for loss = 'cross_entropy'"),
        ("[network]\nresidual = 0.5", r"network\.residual = 0\.5 has no effect without labels = 'benchmark_residual'"),
        ('[network]\nlabels = "benchmark_residual"\nresidual = 1.5', r"network\.residual = 1\.5 must be at least 0"),
        ("[network]\nema = 1.0", r"network\.ema = 1 must be at least 0 and under 1"),
        ("[network]\npatience = 0", r"network\.patience = 0 must be at least 1"),
        ("[network]\ndropout = 1.5", r"network\.dropout = 1\.5 must be at least 0 and under 1"),
        ("[network]\nlearning_rate = 0", r"network\.learning_rate = 0 must be over 0"),
        ("[network]\nepochs = -3", r"network\.epochs = -3 must be at least 1"),
        ("[network]\nseed = 99999999999999999999999", r"network\.seed = a number of 23 digits must be"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(tmp_path, content, message):
    """The message names the file, the mistake and, where there is one, the closest name."""
    path = write(tmp_path, content)
    with pytest.raises(BadConfig, match=message) as refusal:
        read(path)

    assert str(refusal.value).startswith(str(path))
    assert "\n" not in str(refusal.value)


def test_every_number_of_a_recipe_has_a_range():
    """No number of a recipe may be anything; the built-in recipes are within the ranges."""
    numbers = {
        f"{prefix}{one.name}"
        for prefix, part in (("", STANDARD), ("network.", STANDARD.network), ("floors.", STANDARD.floors))
        for one in fields(part)
        if isinstance(value := getattr(part, one.name), int | float | tuple) and not isinstance(value, bool)
        if not isinstance(value, tuple) or isinstance(value[0], int)
    }

    assert set(LIMITS) == numbers
    assert [line for recipe in RECIPES.values() for line in out_of_range(recipe)] == []


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_numbers_outside_their_range_are_refused(tmp_path_factory, data):
    """The message names the file, the key and the allowed range, for a number beyond either end, NaN or infinity."""
    key = data.draw(st.sampled_from(sorted(LIMITS)))
    limit, (table, _, name) = LIMITS[key], key.rpartition(".")
    whole = isinstance(
        getattr(STANDARD.network if table == "network" else STANDARD.floors if table else STANDARD, name), int | tuple
    )
    beyond = [int(limit.low) - 1, int(limit.high) + 1]
    value = data.draw(st.sampled_from(beyond if whole else [*map(float, beyond), math.nan, math.inf, -math.inf]))
    content = f"[{table}]\n" * bool(table) + f"{name} = {[value] if name == 'encoder' else value}"
    path = write(tmp_path_factory.mktemp("recipes"), content)

    with pytest.raises(BadConfig, match=re.escape(f"{path}: {key} = ")) as refusal:
        read(path)
    assert str(refusal.value).endswith(f"must be {limit}")


def test_engineered_families_are_those_of_the_preprocessing():
    """A recipe may name every family of row aggregates, and no other."""
    assert set(typing.get_args(typing.get_args(typing.get_type_hints(Recipe)["engineered"])[0])) == set(FAMILIES)


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path):
    """Editors of Windows write one."""
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbfneutralize = 0.5\n")

    assert read(path).neutralize == 0.5


@pytest.mark.parametrize("name", ["../mine", "./mine", "folder/mine", ""])
def test_a_name_with_a_folder_is_unknown(tmp_path, name):
    """A recipe's name names a file of the folder of recipes, nothing outside of it."""
    (tmp_path / "recipes" / "folder").mkdir(parents=True)
    for place in (tmp_path, tmp_path / "recipes", tmp_path / "recipes" / "folder"):
        write(place, "")

    with pytest.raises(BadConfig, match="is unknown"):
        find(name, tmp_path / "recipes")


def test_a_broken_file_keeps_no_other_recipe_from_its_history(tmp_path):
    """The history of the other recipes is synced; the broken file is named in the log."""
    write(tmp_path, "[network]\nlookback = 77\n", name="good")
    broken = write(tmp_path, "[network]\npatience = 0\n", name="broken")
    with structlog.testing.capture_logs() as lines:
        needs = history_needs(tmp_path)

    assert needs.lookback == 77
    assert [str(broken) in line["reason"] for line in lines] == [True]


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
