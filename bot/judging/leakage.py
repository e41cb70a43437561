"""
Leakage checks of the hold-out.

They look at the data that the models really used:

- purge: training or validation eras lie too near the judged ones
- lag: the factor history contains returns that were not resolved yet
- feature: a feature is the target
- too_good: CORR is higher than any honest model reaches; a warning of a leak that the other checks do not cover
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.findings import Finding
from bot.history.factor_history import feature_returns, minimum_lag
from bot.members.stored import from_manifest
from bot.training.splits import UsedEras, embargo
from bot.training.training_set import TrainingSet

MAX_FEATURE_CORR = 0.3
"""Largest mean correlation of a feature with the main target over some eras, either sign.

On Numerai's data a feature's correlation has a standard deviation of .02 between eras, and its mean is under .02 for
every feature. The sandbox's tiny worlds have a far stronger planted signal and eras of 200 rows: means reach .17 there.
The target itself has 1, another target of the same days .5 and more.
"""

SAMPLED = 16
"""Evenly spaced eras of a block whose features are checked: their mean has a standard error of .005 on real data."""

PROBED = 64
"""Evenly spaced features whose returns identify an era; no two eras agree in so many."""

SAME = 1e-4
"""Difference up to which returns are equal: their standard deviation is .02, and float32 rounds them by 1e-8."""

NO_HISTORY = "no history"
"""Value of the finding for a model without history."""

Floats = npt.NDArray[np.floating]


def find_leaks(
    data: TrainingSet,
    models: Iterable[TrainingSet],
    judged: Sequence[int],
    used: Sequence[UsedEras],
    *,
    target: str,
    corr: Floats,
    suspicious: float,
) -> tuple[Finding, ...]:
    """
    Look for leaks in a judgement.

    Args:
        data: Columns of the recipe's feature set.
        models: Input of each model, history included.
        judged: Positions of the judged eras.
        used: Eras that the members were trained on, and those that they were stopped and weighted on.
        target: Main target.
        corr: CORR of the ensemble, NaN where unknown. Shape ``(judged,)``.
        suspicious: Mean CORR over which to warn.

    Returns:
        Findings ``purge``, ``lag``, ``feature`` and ``too_good``; the last one never refuses.
    """
    blocks = {"judged": judged, **{one.block: one.positions for one in used}}
    correlations = {name: feature_correlations(data, positions, target) for name, positions in blocks.items()}
    return (
        check_purge(used, judged),
        _check_lags((data, *models), judged),
        check_features(data.store.feature_names, correlations),
        check_plausibility(corr, suspicious),
    )


def eras_used_by_artifact(manifest: Mapping[str, Any], eras: Sequence[str]) -> tuple[UsedEras, ...]:
    """Return the eras and targets that shaped an artifact's judged members, as its manifest records them."""
    targets = tuple(dict.fromkeys((*manifest["targets"], *(str(one.target) for one in from_manifest(manifest)))))
    found = []
    for block in ("training", "validation"):
        first, last = manifest["eras"]["train" if block == "training" else block]
        positions = tuple(position for position, era in enumerate(eras) if first <= era <= last)
        found.append(UsedEras(block=block, positions=positions, targets=targets))
    return tuple(found)


def check_purge(used: Sequence[UsedEras], judged: Sequence[int]) -> Finding:
    """
    Check the distance of each block from the judged eras, and of training from validation.

    Two eras within an embargo of the longest horizon share days of a target, whichever comes first.
    """
    pairs = [(one, "judged", judged) for one in used]
    pairs += [(one, other.block, other.positions) for one, other in pairwise(used)]
    near = []
    for one, name, positions in pairs:
        gap, needed = _distance(one.positions, positions), embargo(one.targets)
        if gap <= needed:
            near.append(f"{one.block} comes within {gap} eras of {name}, not over {needed}")
    found = "; ".join(near) or "blocks apart"
    how = ": labels of one block reach into the other; split with the embargo, and train again" if near else ""
    return Finding(
        gate="purge",
        ok=not near,
        value=found,
        limit="an embargo of the longest horizon between blocks",
        message=f"purge: {found}{how}",
    )


def _check_lags(models: Iterable[TrainingSet], judged: Sequence[int]) -> Finding:
    """Check the history of every model that has one; the first leak is the finding."""
    found = [check_lag(one, judged) for one in models]
    leaks = [one for one in found if not one.ok]
    with_history = [one for one in found if one.value != NO_HISTORY]
    return (leaks or with_history or found)[0]


def check_lag(data: TrainingSet, judged: Sequence[int]) -> Finding:
    """
    Check that the histories of the judged eras contain no returns that were not resolved yet.

    The histories are compared with returns computed again from features and targets. This finds a table whose rows have
    moved as well as a window that reaches too far.
    """
    limit = "nothing newer than the minimum lag"
    if data.returns is None:
        return Finding(gate="lag", ok=True, value=NO_HISTORY, limit=limit, message=f"lag: {NO_HISTORY}")
    chosen = _spread(len(data.store.feature_names), PROBED)
    names = data.returns.targets
    longest = max(minimum_lag(name) for name in names)
    computed = _Computed(data, chosen)
    for position in judged:
        computed.add(range(max(position - longest + 1, 0), min(position + longest, len(data.store.eras))))
        history = data.window(position)
        if history is None:
            continue
        for column, name in enumerate(names):
            era = computed.first_in(history[:, chosen, column], column, max(position - minimum_lag(name) + 1, 0))
            if era is not None:
                ahead = f"the history of era {data.store.eras[position]} contains returns of {name} in era {data.store.eras[era]}"
                least = f"the minimum lag is {minimum_lag(name)} eras"
                return Finding(
                    gate="lag",
                    ok=False,
                    value=ahead,
                    limit=limit,
                    message=f"lag: {ahead}, {least}; remove the store's returns-*.npz, `bot sync`, and train again",
                )
    return Finding(gate="lag", ok=True, value=f"{len(judged)} histories", limit=limit, message="lag: none newer")


def feature_correlations(data: TrainingSet, positions: Sequence[int], target: str) -> Floats:
    """Return the correlation of each feature with a target in evenly spaced eras of a block. Shape ``(eras, F)``."""
    sample = [positions[index] for index in _spread(len(positions), SAMPLED)]
    found = [feature_returns(data.store.features(one), data.target(one, target)[:, None])[:, 0] for one in sample]
    return np.array(found).reshape(len(sample), len(data.store.feature_names))


def check_features(names: Sequence[str], correlations: Mapping[str, Floats]) -> Finding:
    """
    Check that no feature has an implausible mean correlation with the target in a block.

    Args:
        names: Names of the features.
        correlations: Correlation of each feature with the main target, by block; NaN where unknown. Shape ``(eras, F)``
            each.
    """
    worst, which, where = 0.0, "", ""
    for block, values in correlations.items():
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
        " it contains the target; leave it out of the feature set",
    )


def check_plausibility(corr: Floats, suspicious: float) -> Finding:
    """Warn of a mean CORR that no honest model reaches. Never refuses: it identifies no leak."""
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


class _Computed:
    """
    Returns of some features, computed again from features and targets, of the eras that were asked for.

    Args:
        data: The eras, and the targets of its returns.
        features: Positions of the features. Shape ``(P,)``.
    """

    def __init__(self, data: TrainingSet, features: npt.NDArray[np.intp]) -> None:
        self._data, self._features = data, features
        self._targets = () if data.returns is None else data.returns.targets
        # NaN where an era was not asked for or tells nothing: an unknown target, or returns that are all the same.
        self._returns = np.full((len(data.store.eras), len(self._targets), len(features)), np.nan, dtype=np.float32)
        self._known: set[int] = set()

    def add(self, eras: Iterable[int]) -> None:
        """Compute the returns of the eras at some positions."""
        for era in set(eras) - self._known:
            truths = np.column_stack([self._data.target(era, name) for name in self._targets])
            codes = np.ascontiguousarray(self._data.store.features(era)[:, self._features])
            returns = feature_returns(codes, truths).T
            vary = np.ptp(returns, axis=1) >= SAME
            self._returns[era, vary] = returns[vary]
            self._known.add(era)

    def first_in(self, steps: Floats, target: int, begin: int) -> int | None:
        """
        Return the position of the first era from *begin* on whose returns are one of a window's steps; ``None`` without one.

        Args:
            steps: Steps of a window for one target. Shape ``(L, P)``.
            target: Position of the target.
            begin: First position.
        """
        later = self._returns[begin : max(self._known) + 1, target]
        same = np.abs(later[:, np.newaxis] - steps).max(axis=2) <= SAME
        found = np.flatnonzero(same.any(axis=1))
        return begin + int(found[0]) if len(found) else None


def _spread(count: int, wanted: int) -> npt.NDArray[np.intp]:
    """Return up to *wanted* evenly spaced positions of *count*."""
    return np.unique(np.linspace(0, count - 1, min(wanted, count)).round().astype(np.intp))
