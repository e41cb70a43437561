"""A renewal is the champion's recipe, trained again on data that are at least as new."""

import json
from dataclasses import asdict, replace

import pytest

from bot.judging._renewal import is_renewal
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.training.recipes import DEMO, Floors

MIXER, TREES = DEMO.members


def mixer(**changes):
    """Return the demo's network with other options."""
    return replace(MIXER, options=replace(MIXER.options, network=replace(MIXER.options.network, **changes)))


def trees(**params):
    """Return the demo's trees with parameters of their own."""
    return replace(TREES, options=LightGBMOptions(preset="demo", params=params))


def entries(recipe=DEMO, *, newest="1200", **changes):
    plain = {
        "recipe": asdict(recipe),
        "target": "target_ender_60",
        "feature_set": "medium",
        "targets_left_out": [],
        "eras": {"newest": newest},
    }
    return plain | changes


def champion(*arguments, **changes):
    """Return a manifest as it is read from a file."""
    return json.loads(json.dumps(entries(*arguments, **changes)))


def test_the_same_recipe_on_newer_data_is_a_renewal():
    """Newer eras, other floors, another hold-out and another seed change no method."""
    again = replace(DEMO, floors=Floors(confidence=0.9), holdout_eras=60, members=(mixer(seed=8), TREES))

    assert is_renewal(entries(again, newest="1201"), champion())
    assert is_renewal(entries(), champion())


@pytest.mark.parametrize(
    "other",
    [
        entries(replace(DEMO, neutralize=0.5)),
        entries(replace(DEMO, members=(mixer(epochs=3), TREES))),
        entries(replace(DEMO, members=(MIXER, trees(num_leaves=9)))),
        entries(replace(DEMO, members=(MIXER, replace(TREES, label="residual")))),
        entries(replace(DEMO, members=(MIXER, replace(TREES, weight=0.4)))),
        entries(replace(DEMO, members=(TREES,))),
        entries(target="target_ender_20"),
        entries(feature_set="small"),
        entries(newest="1199"),
    ],
)
def test_other_options_or_older_data_are_not(other):
    """A changed option, member, target or feature set makes another recipe, and older data are no renewal."""
    assert not is_renewal(other, champion())


def test_options_that_an_earlier_bot_did_not_know_change_nothing():
    """An option that only one of the bots has is no change; one that both have is."""
    older = champion()
    del older["recipe"]["members"][0]["options"]["network"]["ema"]
    older["recipe"]["gbm"] = "demo"
    del older["targets_left_out"], older["eras"]["newest"]

    assert is_renewal(entries(), older)
    assert not is_renewal(entries(replace(DEMO, neutralize=0.5)), older)


def test_a_champion_of_the_form_before_members_can_be_renewed():
    """A recipe of the old form has no members to compare; its other options are compared."""
    older = champion()
    older["recipe"] |= {"weights": [["gbm", 1.0]], "network": {"epochs": 2}, "gbm": "demo"}
    del older["recipe"]["members"]

    assert is_renewal(entries(), older)


def test_targets_that_the_data_lost_make_no_other_recipe():
    """A retrain without an auxiliary target that the data lack is a renewal; without one that they have, it is not."""
    fewer = replace(DEMO, targets=DEMO.targets[:-1])

    assert is_renewal(entries(fewer, targets_left_out=[DEMO.targets[-1]]), champion())
    assert not is_renewal(entries(fewer), champion())
