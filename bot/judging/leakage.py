"""
Whether scores of a hold-out can be believed: nothing that only the future knew may have reached them.

Three ways in are looked at in what was really used, not in what was meant: eras that were learned from too near the
judged ones (purge), a history that shows what was not resolved yet (lag), and a feature that is the target (feature).
A score that no honest model reaches is a warning of a fourth that nobody thought of.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.findings import Finding
from bot.history.factor_history import feature_returns, minimum_lag
from bot.serving.names import TREE_MEMBER, member_target
from bot.training.splits import UsedEras, embargo
from bot.training.training_set import TrainingSet

MAX_FEATURE_CORR = 0.3
"""Largest mean correlation of a feature with the main target over some eras, either sign.

On Numerai's data a feature's correlation has a deviation of .02 from era to era, and its mean is under .02 for every
feature; in the sandbox's tiny worlds, whose planted signal is far stronger and whose eras have 200 rows, means of .17 were seen.
The target itself has 1, another target of the same days .5 and more.
"""

SAMPLED = 16
"""Evenly spaced eras of a block whose features are looked at: a mean of as many has a deviation of .005 on real data."""

PROBED = 64
"""Evenly spaced features by which an era's returns are recognised; two eras never agree in as many."""

SAME = 1e-4
"""Difference up to which returns are the same: they have a deviation of .02, and float32 rounds them by 1e-8."""

Floats = npt.NDArray[np.floating]


def find_leaks(
    data: TrainingSet, judged: Sequence[int], used: Sequence[UsedEras], *, target: str, corr: Floats, suspicious: float
) -> tuple[Finding, ...]:
    """
    Look for leaks in a judgement.

    Args:
        data: What the judged members were fed.
        judged: Positions of the eras they were judged on.
        used: The eras that they learned from, and those they were stopped and weighed on.
        target: The truth.
        corr: CORR of the ensemble, NaN where unknown. Shape ``(judged,)``.
        suspicious: Mean CORR over which to warn.

    Returns:
        Findings ``purge``, ``lag``, ``feature`` and ``too_good``; the last one never refuses.
    """
    blocks = {"judged": judged, **{one.block: one.positions for one in used}}
    earned = {name: returns(data, positions, target) for name, positions in blocks.items()}
    return (
        purge(used, judged),
        lag(data, judged),
        planted(data.store.feature_names, earned),
        too_good(corr, suspicious),
    )


def eras_used_by_artifact(manifest: Mapping[str, Any], eras: Sequence[str]) -> tuple[UsedEras, ...]:
    """Return what an artifact's judged members saw, by the eras and targets that its manifest records."""
    trees = [str(name) for name, _ in manifest["recipe"]["weights"] if str(name).startswith(f"{TREE_MEMBER}_")]
    targets = (*manifest["targets"], *(member_target(name, main="") for name in trees))
    found = []
    for block in ("training", "validation"):
        first, last = manifest["eras"]["train" if block == "training" else block]
        seen = tuple(position for position, era in enumerate(eras) if first <= era <= last)
        found.append(UsedEras(block=block, positions=seen, targets=targets))
    return tuple(found)


def purge(used: Sequence[UsedEras], judged: Sequence[int]) -> Finding:
    """
    Judge how far each block lies from the judged eras, and training from validation, by the longest horizon in it.

    Two eras of which one is within an embargo of the other share days of a target, whichever comes first.
    """
    pairs = [(one, "judged", judged) for one in used]
    pairs += [(one, other.block, other.positions) for one, other in pairwise(used)]
    near = []
    for one, name, positions in pairs:
        gap, needed = _distance(one.positions, positions), embargo(one.targets)
        if gap <= needed:
            near.append(f"{one.block} comes within {gap} eras of {name}, not over {needed}")
    return Finding(
        gate="purge",
        ok=not near,
        value="; ".join(near) or "blocks apart",
        limit="an embargo of the longest horizon between blocks",
        message=f"purge: {'; '.join(near)}: labels reach across; split with the embargo, and train again",
    )


def lag(data: TrainingSet, judged: Sequence[int]) -> Finding:
    """
    Recognise in the histories fed for the judged eras what their targets had not resolved to yet.

    What was fed is compared with returns measured anew from features and targets, so that a table whose rows have moved
    is found as well as a window that reads too far.
    """
    limit = "nothing newer than the minimum lag"
    if data.returns is None:
        return Finding(gate="lag", ok=True, value="no history", limit=limit, message="lag: no history")
    chosen = _spread(len(data.store.feature_names), PROBED)
    names = data.returns.targets
    longest = max(minimum_lag(name) for name in names)
    anew: dict[int, Floats] = {}
    for position in judged:
        for era in range(max(position - longest + 1, 0), min(position + longest, len(data.store.eras))):
            if era not in anew:
                truths = np.column_stack([data.target(era, name) for name in names])
                anew[era] = feature_returns(np.ascontiguousarray(data.store.features(era)[:, chosen]), truths)
        fed = data.window(position)
        if fed is None:
            continue
        for column, name in enumerate(names):
            seen = fed[:, chosen, column]
            for era in range(max(position - minimum_lag(name) + 1, 0), max(anew) + 1):
                if era in anew and _holds(seen, anew[era][:, column]):
                    ahead = f"era {data.store.eras[position]} was shown what {name} earned in {data.store.eras[era]}"
                    least = f"{minimum_lag(name)} eras or more lie between them where nothing leaks"
                    return Finding(
                        gate="lag",
                        ok=False,
                        value=ahead,
                        limit=limit,
                        message=f"lag: {ahead}, {least}; remove the store's returns-*.npz, `bot sync`, and train again",
                    )
    return Finding(gate="lag", ok=True, value=f"{len(judged)} histories", limit=limit, message="lag: none newer")


def returns(data: TrainingSet, positions: Sequence[int], target: str) -> Floats:
    """Return each feature's correlation with a target in some evenly spaced eras of a block. Shape ``(eras, F)``."""
    sample = [positions[index] for index in _spread(len(positions), SAMPLED)]
    found = [feature_returns(data.store.features(one), data.target(one, target)[:, None])[:, 0] for one in sample]
    return np.array(found).reshape(len(sample), len(data.store.feature_names))


def planted(names: Sequence[str], earned: Mapping[str, Floats]) -> Finding:
    """
    Find a feature that no honest feature is like: its mean correlation with the target in a block is implausible.

    Args:
        names: Of the features.
        earned: Correlation of each feature with the main target, by block; NaN where unknown. Shape ``(eras, F)`` each.
    """
    worst, which, where = 0.0, "", ""
    for block, values in earned.items():
        known = values[~np.isnan(values).all(axis=1)]
        means = np.abs(np.nan_to_num(known).mean(axis=0)) if len(known) else np.zeros(len(names))
        if len(means) and means.max() > worst:
            worst, which, where = float(means.max()), names[int(means.argmax())], block
    return Finding(
        gate="feature",
        ok=worst <= MAX_FEATURE_CORR,
        value=worst,
        limit=f"at most {MAX_FEATURE_CORR:g}",
        message=f"feature: {which} correlates {worst:.2f} with the target in {where} eras, over {MAX_FEATURE_CORR:g}:"
        " it knows the answer; leave it out of the feature set",
    )


def too_good(corr: Floats, suspicious: float) -> Finding:
    """Warn of a mean CORR that no honest model reaches; it refuses nothing, for it names no leak."""
    known = corr[np.isfinite(corr)]
    mean = float(known.mean()) if len(known) else 0.0
    warned = mean > suspicious
    return Finding(
        gate="too_good",
        ok=True,
        value=f"warning: CORR {mean:.4f} is too good to be true; look for a leak" if warned else mean,
        limit=f"a warning over {suspicious:g}",
        message=f"too_good: CORR {mean:.4f} on the hold-out, over {suspicious:g}: look for a leak",
    )


def _distance(these: Sequence[int], those: Sequence[int]) -> int:
    """Return the eras from the nearest of *these* to *those*; a large number where either is empty."""
    if not len(these) or not len(those):
        return 2**31
    sorted_those = np.sort(np.asarray(those))
    place = np.searchsorted(sorted_those, np.asarray(these))
    after = np.abs(sorted_those[np.minimum(place, len(sorted_those) - 1)] - these)
    before = np.abs(sorted_those[np.maximum(place - 1, 0)] - these)
    return int(np.minimum(before, after).min())


def _holds(seen: Floats, earned: Floats) -> bool:
    """Say whether one of the steps of a window, shape ``(L, features)``, is what an era earned."""
    if np.isnan(earned).all() or np.ptp(earned) < SAME:
        return False
    return bool((np.abs(seen - earned).max(axis=1) <= SAME).any())


def _spread(count: int, wanted: int) -> npt.NDArray[np.intp]:
    """Return up to *wanted* evenly spaced positions of *count*."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(np.intp))
