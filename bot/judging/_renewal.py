"""Tell a renewal, the champion's recipe trained again on newer data, from another recipe of the same name."""

import json
from collections.abc import Mapping
from typing import Any

METHOD = ("target", "feature_set")
"""Keys of a manifest that define the method beside the recipe."""

NO_METHOD = frozenset({"name", "floors", "holdout_eras", "seed"})
"""Keys of a recipe that change no method: names, the judgement, and seeds, of which none is better than another."""

NAMED = "params"
"""Key of a table whose own keys a person writes, so that a key that only one side has is a change."""

FOLLOWS_TARGETS = frozenset({"targets", "weights", "history_targets", "lookback", "members"})
"""Keys of a recipe that lose the auxiliary targets that the data lack."""


def is_renewal(challenger: Mapping[str, Any], champion: Mapping[str, Any]) -> bool:
    """
    Return whether a challenger is the champion's method, trained on data that are at least as new.

    Args:
        challenger: ``recipe``, ``target``, ``feature_set``, ``targets_left_out`` and the newest era, as its manifest will
            have them.
        champion: Manifest of the champion, of a bot of any age.
    """
    ours, theirs = json.loads(json.dumps(challenger)), champion
    if any(ours[key] != theirs.get(key, ours[key]) for key in METHOD):
        return False
    if str(ours["eras"]["newest"]) < str(theirs.get("eras", {}).get("newest", "")):
        return False
    ignored = NO_METHOD
    if sorted(ours["targets_left_out"]) != sorted(theirs.get("targets_left_out", ())):
        ignored |= FOLLOWS_TARGETS
    return _same(ours["recipe"], theirs["recipe"], ignored)


def _same(one: object, other: object, ignored: frozenset[str], *, named: bool = False) -> bool:
    """
    Return whether two values are equal but for ignored keys and for options that only one side has.

    An earlier bot wrote fewer options for the same recipe. An update must not make every champion another recipe, which
    would keep its renewals back for months.
    """
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(lambda a, b: _same(a, b, ignored), one, other))
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one == other
    if named and one.keys() != other.keys():
        return False
    shared = (one.keys() & other.keys()) - ignored
    return all(_same(one[key], other[key], ignored, named=key == NAMED) for key in shared)
