"""Recipe files: keys, refusals, and that reading inverts writing."""

import math
import re
import typing
from dataclasses import replace

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import BadConfig
from bot.features.preprocess import FAMILIES
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.kinds.tsmixer import TSMixerOptions
from bot.members.limits import Limit
from bot.members.member import Member
from bot.members.network import options as network_options
from bot.members.network.options import NetworkOptions
from bot.training import _recipe_limits as recipe_limits
from bot.training.recipe_file import find, history_needs, names, read, to_toml
from bot.training.recipes import DEMO, RECIPES, STANDARD, Floors, Recipe
from tests.harness.recipes import network_of, remade

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
        network_of(base),
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
    label = draw(st.sampled_from(["target", "residual"]))
    mixer = Member(
        name="mixer",
        kind="tsmixer",
        weight=draw(POSITIVE),
        target=draw(st.none() | st.just("target_ender_20")),
        label=label,
        residual=draw(st.floats(0.1, 1)) if label == "residual" else 1.0,
        feature_set=draw(st.none() | st.just("small")),
        options=TSMixerOptions(network=network),
    )
    head = replace(mixer, name="head", target="target_victor_20", head_of="mixer", options=TSMixerOptions())
    params = draw(st.dictionaries(st.sampled_from(["num_trees", "num_leaves", "seed"]), st.integers(1, 99)))
    trees = Member(
        name="trees",
        kind="lightgbm",
        weight=draw(st.floats(0, 1)),
        options=LightGBMOptions(preset=draw(st.sampled_from(["small", "dart"])), params=params),
    )
    return replace(
        base,
        name="mine",
        members=(mixer, head, trees) if draw(st.booleans()) else (trees, mixer),
        targets=draw(TARGETS),
        weighting=draw(st.sampled_from(["fixed", "equal", "inverse_variance", "constrained"])),
        neutralize=draw(st.floats(0, 1)),
        neutralizers=draw(st.sampled_from(["small", "benchmark", "rain", "v3_equivalent_features", "fncv3_features"])),
        floors=replace(base.floors, max_drawdown=draw(POSITIVE)),
        feature_set=draw(st.none() | st.just("small")),
        target=draw(st.none() | st.just("target_ender_20")),
        first_era=draw(st.none() | st.just("0158")),
        newest=draw(st.integers(0, 900)),
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


MINE = """
base = "demo"
neutralize = 0.25
[data]
every = 4
newest = 400
[members.mixer]
kind = "tsmixer"
weight = 0.4
[members.mixer.network]
lookback = 26
[members.mixer_20]
head_of = "mixer"
weight = 0.1
target = "target_ender_20"
[members.residual]
kind = "lightgbm"
label = "residual"
residual = 0.75
weight = 0.5
params = { num_trees = 400, learning_rate = 0.01 }
feature_set = "small"
"""


def test_a_member_is_a_table_of_its_own(tmp_path):
    """Members of a file replace those of the base; a head takes kind and options of its model."""
    recipe = read(write(tmp_path, MINE))
    mixer, head, residual = recipe.members

    assert (recipe.every, recipe.newest, recipe.neutralize) == (4, 400, 0.25)
    assert (mixer.weight, mixer.options.network) == (0.4, NetworkOptions(lookback=26))
    assert (head.kind, head.head_of, head.target) == ("tsmixer", "mixer", "target_ender_20")
    assert (residual.label, residual.residual, residual.feature_set) == ("residual", 0.75, "small")
    assert (residual.options.gbm.num_trees, residual.options.gbm.num_leaves) == (400, 31)


def test_a_member_with_the_name_and_kind_of_the_bases_keeps_its_values(tmp_path):
    """The options that a file does not name are those of the base's member."""
    path = write(tmp_path, 'base = "demo"\n[members.tsmixer]\nweight = 1\n[members.tsmixer.network]\nhidden = 8\n')

    assert read(path).members == remade(DEMO, weights={"tsmixer": 1.0}, network={"hidden": 8}).members


def test_the_older_form_is_read_and_the_new_one_named(tmp_path):
    """``[weights]``, ``[network]`` and ``gbm`` make the same members, and one line of the log names the new form."""
    content = (
        'base = "demo"\nneutralize = 1\ngbm = "small"\n[network]\nhidden = 8\nlabels = "benchmark_residual"\n'
        "[weights]\ntsmixer = 0.5\ntsmixer_ender_20 = 0.2\ngbm_jasper_60 = 1.0\n"
    )
    with structlog.testing.capture_logs() as lines:
        recipe = read(write(tmp_path, content, name="once"))
    weights = {"tsmixer": 0.5, "tsmixer_ender_20": 0.2, "gbm_jasper_60": 1.0}

    assert recipe == remade(
        DEMO, name="once", neutralize=1.0, weights=weights, preset="small", residual=True, network={"hidden": 8}
    )
    assert [line["todo"] for line in lines] == [
        "`bot recipes show once` prints the same recipe with [members.NAME] tables"
    ]


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
        ('base = "demmo"', "base must be one of contribution, demo, standard"),
        ('neutralize = "0.5"', "neutralize: Input should be a valid number"),
        ("neutralize = 1.5", r"neutralize = 1\.5 must be at least 0 and at most 1"),
        ('neutralizers = "meta_model"', "an open round's meta model is not published; take 'benchmark'"),
        ('gbm = "huge"', "no preset; presets: demo, small"),
        ('missing = "drop"', "missing: Input should be 'median_bin' or 'category'"),
        ("[weights]\nlstm = 1.0", "members are tsmixer, gbm"),
        ("[weights]\ngbm = -1.0", "at least 0"),
        ('targets = ["target"]', "never the alias"),
        ('target = "ender"', "has no horizon"),
        ("holdout_eras = 1", "at least 2"),
        ("[network]\nblocks = 0", "must be at least 1"),
        ("[floors]\nconfidence = 1.0", r"floors\.confidence = 1 must be over 0 and under 1"),
        ("neutralize = nan", "neutralize"),
        ("= 3", "not valid TOML"),
        ("neutralize = inf", "neutralize = inf must be"),
        ('targets = ["target_ender_20", "target_ender_20"]', "targets: a name occurs twice"),
        ('engineered = ["group_median"]', "engineered.0: Input should be 'group_mean'"),
        ('neutralizers = "riskiest_50"', "neutralizers = 'riskiest_50' is no feature set; there are small"),
        ('feature_set = "Medium"', "feature_set = 'Medium' is no feature set"),
        ('[network]\nmixing = "era"\nlookback = 0', r"network\.mixing = 'era' needs a history: lookback at least 1"),
        ('[network]\nmixing = "era"\nhistory_targets = []', r"network\.mixing = 'era' needs a history"),
        ("[network]\nencoder = []", r"network\.encoder = \[\] must name at least one width"),
        ("[network]\nencoder = [64, 0]", r"network\.encoder = 0 must be at least 1"),
        ('[network]\nhead = "score"', r"network\.head = 'score' has no classes for loss = 'cross_entropy'"),
        ("[network]\nema = 1.0", r"network\.ema = 1 must be at least 0 and under 1"),
        ("[network]\npatience = 0", r"network\.patience = 0 must be at least 1"),
        ("[network]\ndropout = 1.5", r"network\.dropout = 1\.5 must be at least 0 and under 1"),
        ("[network]\nlearning_rate = 0", r"network\.learning_rate = 0 must be over 0"),
        ("[network]\nepochs = -3", r"network\.epochs = -3 must be at least 1"),
        ("[weights]\ngbm = 0.0", "the weights of all members are 0; one of them must be over 0"),
        ("[weights]\ngbm = nan", r"members\.gbm\.weight = nan must be at least 0 and at most 1,000,000"),
        ("weights = {}", "the weights of all members are 0"),
        ('weights = [["gbm", 0.5], ["gbm", 0.5]]', r"weights must be a table of numbers, \[weights\]"),
        ('[network]\nlabels = "rest"', r"network\.labels must be one of target, benchmark_residual, not 'rest'"),
        ("[members]", r"members must be tables, \[members\.NAME\]"),
        ("members.mine = 3", r"members\.mine must be a table, \[members\.mine\]"),
        ("[members.mine]\nweight = 1", r"members\.mine: kind must name a kind: tsmixer"),
        ('[members.mine]\nkind = "lightgmb"', "kind 'lightgmb' is unknown; did you mean lightgbm"),
        ('[members.mine]\nkind = "lightgbm"\nwieght = 1', r"members\.mine\.wieght is unknown; did you mean weight"),
        (
            '[members.mine]\nkind = "lightgbm"\npresett = "small"',
            r"members\.mine\.presett is unknown; did you mean preset",
        ),
        ('[members.mine]\nkind = "lightgbm"\npreset = "huge"', r"members\.mine\.preset = 'huge' is no preset"),
        (
            '[members.mine]\nkind = "lightgbm"\nparams = { trees = 3 }',
            r"members\.mine\.params\.trees is unknown; did you mean num_trees",
        ),
        ("num_treez = 3", r"num_treez is unknown; known: .*members"),
        (
            '[members.mine]\nkind = "lightgbm"\nparams = { num_trees = 0.5 }',
            r"members\.mine\.params\.num_trees = 0\.5 must be a whole number",
        ),
        ('[members.mine]\nkind = "tsmixer"\nnetwork = 3', r"members\.mine\.network must be a table"),
        (
            '[members.mine]\nkind = "tsmixer"\n[members.mine.network]\nhiden = 3',
            r"network\.hiden is unknown; did you mean",
        ),
        (
            '[members.mine]\nkind = "tsmixer"\n[members.mine.network]\nblocks = 0',
            r"members\.mine\.network\.blocks = 0 must",
        ),
        ('[members.Mine]\nkind = "tsmixer"', r"members\.Mine: a name has small letters"),
        ('[members.ensemble]\nkind = "tsmixer"', r"members\.ensemble: a name .* is none of .*ensemble"),
        ('[members.mine]\nkind = "tsmixer"\nhead_of = "other"', r"head_of = 'other' is no tsmixer member"),
        (
            '[members.a]\nkind = "lightgbm"\n[members.b]\nhead_of = "a"\ntarget = "target_ender_20"',
            r"members\.b\.head_of: a lightgbm has one output",
        ),
        (
            '[members.a]\nkind = "tsmixer"\n[members.b]\nhead_of = "a"\nlabel = "residual"',
            r"members\.b: label, residual",
        ),
        ('[members.a]\nkind = "tsmixer"\nresidual = 0.5', r"members\.a\.residual = 0\.5 has no effect without label"),
        ('[members.a]\nkind = "tsmixer"\nlabel = "rest"', r"members\.a\.label: Input should be 'target' or 'residual'"),
        ('[members.a]\nkind = "tsmixer"\ntarget = "ender"', "has no horizon"),
        ('[members.a]\nkind = "tsmixer"\n[weights]\ngbm = 1', r"weights cannot stand beside \[members\.NAME\]"),
        ("every = 2\n[data]\nevery = 3", r"every stands in \[data\] and outside of it"),
        ("[data]\nevry = 3", r"data\.evry is unknown; did you mean every"),
        ('first_era = "158"', "first_era = '158' is no era"),
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


PARTS = {
    "": (Recipe, recipe_limits.LIMITS, STANDARD),
    "floors": (Floors, recipe_limits.FLOORS, STANDARD.floors),
    "network": (NetworkOptions, network_options.LIMITS, NetworkOptions()),
}
"""Dataclass, ranges and default values of each part of a recipe by its table."""


@pytest.mark.parametrize("part", PARTS)
def test_every_number_of_a_recipe_has_a_range(part):
    """No number of a recipe may be anything."""
    kind, limits, values = PARTS[part]
    hints = typing.get_type_hints(kind)
    numbers = {
        name
        for name, hint in hints.items()
        if hint in (int, float) or (hint == tuple[int, ...]) or isinstance(getattr(values, name), int | float)
    }

    assert set(limits) == {name for name in numbers if not isinstance(getattr(values, name), bool)}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda one: one.name)
def test_built_in_recipes_are_within_the_ranges(tmp_path, recipe):
    """A file with every value of a built-in recipe is accepted."""
    assert read(write(tmp_path, to_toml(recipe))) == replace(recipe, name="mine")


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_numbers_outside_their_range_are_refused(tmp_path_factory, data):
    """The message names the file, the key and the allowed range, for a number beyond either end, NaN or infinity."""
    table = data.draw(st.sampled_from(sorted(PARTS)))
    _, limits, values = PARTS[table]
    name = data.draw(st.sampled_from(sorted(limits)))
    limit: Limit = limits[name]
    whole = isinstance(getattr(values, name), int | tuple)
    beyond = [int(limit.low) - 1, int(limit.high) + 1]
    value = data.draw(st.sampled_from(beyond if whole else [*map(float, beyond), math.nan, math.inf, -math.inf]))
    content = f"[{table}]\n" * bool(table) + f"{name} = {[value] if name == 'encoder' else value}"
    path = write(tmp_path_factory.mktemp("recipes"), content)

    key = f"members.tsmixer.network.{name}" if table == "network" else f"{table}.{name}".lstrip(".")
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
    assert [str(broken) in line["reason"] for line in lines if line["event"] == "recipe.unusable"] == [True]


def test_built_in_names_are_taken(tmp_path):
    """A file with the name of a built-in recipe is refused."""
    write(tmp_path, "neutralize = 1", name="standard")
    with pytest.raises(BadConfig, match="built-in recipe"):
        find("standard", tmp_path)


def test_the_name_of_the_bots_own_folder_is_taken(tmp_path):
    """A recipe called ``folds`` would share the folder of the predictions that stacked networks keep."""
    write(tmp_path, "neutralize = 1", name="folds")
    with pytest.raises(BadConfig, match="name of a folder of the bot; give the file another name"):
        find("folds", tmp_path)


def test_unknown_name_lists_the_known_ones(tmp_path):
    """The list of names contains built-in recipes and files."""
    write(tmp_path, "", name="patient")
    with pytest.raises(
        BadConfig, match=r"did you mean patient.*known recipes: contribution, demo, patient, standard, starter"
    ):
        find("patent", tmp_path)

    assert names(tmp_path) == ("contribution", "demo", "patient", "standard", "starter")
    assert find("demo", tmp_path) is RECIPES["demo"]


def test_history_is_kept_for_recipes_of_files_too(tmp_path):
    """History targets and lookback of a recipe file are synced."""
    write(tmp_path, '[network]\nlookback = 77\nhistory_targets = ["target_ralph_20"]\n')
    needs = history_needs(tmp_path)

    assert needs.lookback == 77
    assert "target_ralph_20" in needs.targets
    assert set(network_of(STANDARD).history_targets) <= set(needs.targets)
