"""Names of members and their files."""

import pytest

from bot.serving.names import is_network, is_trees, member_target, tree_file


@pytest.mark.parametrize(
    ("member", "network", "target"),
    [
        ("tsmixer", True, "target_main_60"),
        ("gbm", False, "target_main_60"),
        ("tsmixer_ender_20", True, "target_ender_20"),
        ("gbm_ender_20", False, "target_ender_20"),
    ],
)
def test_a_member_is_named_by_kind_and_target(member, network, target):
    """A name without a target predicts the main target."""
    assert member_target(member, main="target_main_60") == target
    assert (is_network(member), is_trees(member)) == (network, not network)


def test_a_tree_model_is_a_text_file():
    """Artifacts of earlier versions have these file names."""
    assert tree_file("gbm_ender_20") == "gbm_ender_20.txt"
