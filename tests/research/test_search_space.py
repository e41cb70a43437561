"""The recipes that a study may choose: every member is searched by its kind, and the base is one of them."""

from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.members import registry
from bot.members.kinds.catboost import CatBoostOptions
from bot.members.kinds.command import CommandOptions
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.kinds.linear import LinearOptions
from bot.members.kinds.mlp import MlpOptions
from bot.members.kinds.xgboost import XgboostOptions
from bot.members.member import Member
from bot.research.search_space import SearchSpace
from bot.training.recipes import CONTRIBUTION, DEMO, STANDARD
from tests.harness.recipes import remade

TREES = replace(
    STANDARD,
    name="trees",
    members=(
        Member(name="boost", kind="xgboost", weight=0.25, options=XgboostOptions(max_depth=16, learning_rate=0.9)),
        Member(name="cat", kind="catboost", weight=0.25, options=CatBoostOptions()),
        Member(name="line", kind="linear", weight=0.25, options=LinearOptions()),
        Member(name="free", kind="linear", weight=0.25, options=LinearOptions(alpha=0.0)),
        Member(name="mine", kind="command", weight=0.25, options=CommandOptions(command=("./mine",))),
        Member(
            name="head", kind="xgboost", weight=0.25, options=XgboostOptions(), head_of="boost", target="target_x_20"
        ),
    ),
)
BASES = [
    DEMO,
    STANDARD,
    CONTRIBUTION,
    TREES,
    remade(DEMO, name="alone", weights={"gbm": 1.0}),
    remade(DEMO, name="large", weights={"gbm": 3.0, "tsmixer": 1.0}),
]


def space(base, **changes):
    return SearchSpace(base=base, feature_sets=("medium", "small"), **changes)


def drawn(base, seed, **changes):
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    return trial, space(base, **changes).recipe(trial)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), base=st.sampled_from(BASES), presets=st.sampled_from([(), ("demo", "deep")]))
def test_every_recipe_of_the_space_is_valid_and_chosen_again(seed, base, presets):
    """A trial's parameters give its recipe again, and no kind finds a problem in its member."""
    trial, found = drawn(base, seed, presets=presets)

    assert found == space(base, presets=presets).recipe(optuna.trial.FixedTrial(trial.params))
    assert [one.name for one in found.members] == [one.name for one in base.members]
    assert [line for one in found.members for line in registry.find(one.kind).problems(one)] == []
    assert any(one.weight for one in found.members)


@pytest.mark.parametrize("presets", [(), ("deep",)])
@pytest.mark.parametrize("base", BASES, ids=lambda one: one.name)
def test_the_base_is_a_recipe_of_its_own_space(base, presets):
    """The base's parameters lie inside of every range, and choose the base itself; shares count relative to each other."""
    one = space(base, presets=presets)
    study = optuna.create_study()
    study.enqueue_trial(one.base_parameters)

    found = one.recipe(trial := study.ask())

    most = max(1.0, *(member.weight for member in base.members))
    expected = [replace(member, weight=round(member.weight / most, 4)) for member in base.members]
    assert trial.params == one.base_parameters
    assert list(found.members) == expected
    assert replace(found, members=base.members, feature_set=None) == base


def test_every_member_has_parameters_of_its_own():
    """Parameters begin with the member's name; a program and a head have no options to search, a program no weight."""
    names = space(TREES).base_parameters

    assert {name.split(".")[0] for name in names} == {"boost", "cat", "line", "free", "head", "feature_set"}
    assert [name for name in names if name.startswith("head")] == ["head.weight"]
    assert "line.alpha" in names
    assert "free.alpha" not in names


def test_networks_search_what_they_have():
    """A perceptron searches its widths and no history, and a network that reads the benchmark its penalty."""
    names = space(CONTRIBUTION).base_parameters

    assert {"mlp.encoder", "mlp.steps", "mlp.benchmark_penalty", "tsmixer.hidden", "tsmixer.lookback"} <= names.keys()
    assert not {"mlp.lookback", "mlp.hidden", "tsmixer.steps"} & names.keys()
    assert "tsmixer.benchmark_penalty" not in space(STANDARD).base_parameters
    assert space(CONTRIBUTION).base_parameters["mlp.encoder"] == "1024-512-256"


def test_a_history_is_no_longer_than_that_of_the_base():
    """The history published for live rounds has the base's targets and eras, so that no trial takes more."""
    own = next(one.options.network for one in STANDARD.members if one.kind == "tsmixer")
    for seed in range(20):
        network = next(one.options.network for one in drawn(STANDARD, seed)[1].members if one.kind == "tsmixer")
        assert 0 <= network.lookback <= own.lookback
        assert set() < set(network.history_targets) <= set(own.history_targets)


def test_listed_presets_are_chosen_instead_of_parameters():
    """With presets, LightGBM keeps its own parameters and chooses a preset, its own among them."""
    one = space(DEMO, presets=("small", "deep"))
    found = {drawn(DEMO, seed, presets=("small", "deep"))[1].members[1].options.preset for seed in range(30)}

    assert "gbm.num_trees" not in one.base_parameters
    assert found == {"demo", "small", "deep"}


def test_an_unsearched_option_keeps_its_value():
    """Options that are no part of the search stay as the base has them."""
    base = replace(
        DEMO,
        members=(
            Member(name="p", kind="mlp", options=MlpOptions()),
            Member(name="g", kind="lightgbm", options=LightGBMOptions(preset="small", params={"max_depth": 3})),
        ),
    )
    found = drawn(base, 1)[1]

    assert found.members[0].options.network.seeds == 3
    assert found.members[1].options.gbm.max_depth == 3
    assert found.weighting == "fixed"
