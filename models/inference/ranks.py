"""
Ranks that keep ties, and normal scores of ranks, without scipy.

A tie-kept rank is ``k / 2`` with a whole *k* from 2 to 2n, so a gaussianized score takes one of 2n - 1 values. A table
for each number of rows holds them, and gaussianizing is one sort and one look-up.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# Wichura (1988), algorithm AS 241 (PPND16): numerator and denominator, highest power first, relative error < 1e-16. Its
# third range begins at shares below exp(-25), the first rank of 36 thousand million rows, and is not needed.
# The standard library computes the same formula for one number at a time, ten times slower for a table. Eras differ in
# their number of rows, so tables are made often.
_CENTRE = (
    (2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4, 4.5921953931549871457e4,
     1.3731693765509461125e4, 1.9715909503065514427e3, 1.3314166789178437745e2, 3.3871328727963666080e0),
    (5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
     5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1.0),
)  # fmt: skip
_TAIL = (
    (7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258e0,
     3.64784832476320460504e0, 5.76949722146069140550e0, 4.63033784615654529590e0, 1.42343711074968357734e0),
    (1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
     6.89767334985100004550e-1, 1.67638483018380384940e0, 2.05319162663775882187e0, 1.0),
)  # fmt: skip


def double_ranks(values: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
    """
    Return twice the average rank of each value, a whole number from 2 to 2n; without ties 2, 4, ..., 2n.

    Values are ranked in their own type: a cast to float32 can create ties.

    Args:
        values: Finite numbers. Shape ``(rows,)``.

    Raises:
        ValueError: A value is NaN.
    """
    rows = len(values)
    order = _order(values)
    ascending = values[order]
    if rows and (np.isnan(ascending[-1]) or np.isnan(ascending[0])):
        raise ValueError(f"{int(np.isnan(values).sum())} of {rows} values are NaN and cannot be ranked")
    doubled = np.arange(2, 2 * rows + 2, 2)
    tied = np.flatnonzero(ascending[1:] == ascending[:-1])
    if len(tied):
        breaks = np.flatnonzero(np.diff(tied) > 1)
        first, last = tied[np.append(0, breaks + 1)], tied[np.append(breaks, -1)] + 1
        sizes = last - first + 1
        inside = np.arange(sizes.sum()) + np.repeat(last + 1 - np.cumsum(sizes), sizes)
        doubled[inside] = np.repeat(first + last + 2, sizes)
    ranks = np.empty(rows, dtype=np.intp)
    ranks[order] = doubled
    return ranks


def rank_correlation(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> float:
    """Return Spearman's correlation, ties averaged; NaN where one side is constant. Shapes ``(rows,)``."""
    centred = [ranks - ranks.mean() for ranks in (double_ranks(a), double_ranks(b))]
    scale = float(np.sqrt((centred[0] @ centred[0]) * (centred[1] @ centred[1])))
    return float(centred[0] @ centred[1]) / scale if scale else float("nan")


@lru_cache(maxsize=64)
def normal_scores(rows: int) -> Floats:
    """
    Return the normal quantile of ``(k / 2 - 0.5) / rows`` for every double rank *k*, 0 to ``2 * rows``.

    Entries 0 and 1 belong to no rank and are 0. The table is shared and therefore read-only.
    """
    table = np.zeros(2 * rows + 1)
    lower = _lower_quantile(np.arange(1, rows + 1) / (2 * rows))
    table[2 : rows + 2] = lower
    table[rows + 1 :] = -lower[::-1]
    table.flags.writeable = False
    return table


def _order(values: npt.NDArray[np.generic]) -> npt.NDArray[np.intp]:
    """
    Return the positions of *values* in ascending order, NaN at an end.

    Numbers are ordered by their bits, sixteen at a time from the lowest. numpy sorts 16-bit numbers by counting, which
    takes a third of the time of comparing float32 and half of float64.
    """
    if values.dtype not in (np.float32, np.float64):
        return np.argsort(values)
    width = 8 * values.dtype.itemsize
    bits = np.ascontiguousarray(values).view(f"i{values.dtype.itemsize}")
    # The bits of negative numbers descend; invert all but the sign.
    bits = bits ^ ((bits >> (width - 1)) & np.iinfo(bits.dtype).max)
    order = np.argsort(bits.astype(np.uint16), kind="stable")
    for shift in range(16, width, 16):
        digits = (bits >> shift).astype(np.int16 if shift == width - 16 else np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order


def _lower_quantile(share: Floats) -> Floats:
    """Return the standard normal quantile of ascending shares in (0, 0.5]."""
    cut = int(np.searchsorted(share, 0.075))
    centre = share[cut:] - 0.5
    root = np.sqrt(-np.log(share[:cut]))
    return np.concatenate([-_ratio(_TAIL, root - 1.6), _ratio(_CENTRE, 0.180625 - centre * centre) * centre])


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], x: Floats) -> Floats:
    """Return the ratio of two polynomials by Horner's rule, in place."""
    parts = []
    for first, *powers in coefficients:
        value = np.full_like(x, first)
        for power in powers:
            value *= x
            value += power
        parts.append(value)
    return np.asarray(parts[0] / parts[1])
