"""
Names of members, and of the files of an artifact.

A member is named ``tsmixer`` (network) or ``gbm`` (trees) for the main target, and ``tsmixer_<name>`` or ``gbm_<name>``
for ``target_<name>``.
"""

ENSEMBLE = "ensemble"
"""Name of the blended prediction beside those of its members: in manifests, evaluations, reports and round reports."""

NETWORK_MEMBER = "tsmixer"
TREE_MEMBER = "gbm"

PREPROCESS = "preprocess.json"
"""Manifest of the preprocessing."""

NETWORK = "tsmixer.onnx"
HISTORY = "history.npz"
"""State of the factor history, the network's input."""

GOLDEN = "golden.npz"
"""Rows and their scores, which an artifact must reproduce when it is opened."""

DISTRIBUTIONS = "marginals.npz"
"""Distributions of the feature values in the training eras."""

STACKED = "gbm_z_"
"""Prefix of the tree models whose predictions of each target are an input of the network."""


def is_network(member: str) -> bool:
    """Return whether a member is an output of the network."""
    return member.startswith(NETWORK_MEMBER)


def is_trees(member: str) -> bool:
    """Return whether a member is a tree model."""
    return member.startswith(TREE_MEMBER)


def member_target(member: str, main: str) -> str:
    """Return the target that a member predicts, where *main* is the main one."""
    _, separator, name = member.partition("_")
    return f"target_{name}" if separator else main


def tree_file(member: str) -> str:
    """Return the name of a tree model's file; a member's, or :data:`STACKED` and a target."""
    return f"{member}.txt"
