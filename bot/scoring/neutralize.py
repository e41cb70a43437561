"""
Neutralization: remove from scores the part that features, or a reference model, explain linearly.

The projection is that of ``numerai_tools.scoring.neutralize``, ten times faster. Features are small whole numbers, so
their Gram matrix is exact in float32 (every sum stays below 2^24), in any order of summation and at twice the speed of
float64. Cholesky solves the normal equations in float64, and one refinement with products in float64 brings the result
within 1e-13 of the SVD of numerai-tools.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bot.errors import GateFailed
from models.bins import MIDDLE_BIN
from models.inference.ensemble import gaussianize

Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float64]

ROWS = 1024
"""Rows that are cast to floating point at a time, so that memory never holds all features as floats."""

BLOCK = 2**24
"""Values that are cast for the Gram matrix at a time (64 MiB): less memory than its factor takes, and few partial sums."""

PANEL = 64
"""Columns of one step of a triangular solve or an elimination."""

DEPENDENT = 1e-9
"""Least share of a column's squared length that the columns before it leave; a column with less depends on them."""

EXHAUSTED = 1e-9
"""Least length of the residual, as a share of the length of the scores; a smaller residual is rounding."""


def neutralize(scores: npt.NDArray[np.floating], features: Codes, *, proportion: float) -> Floats:
    """
    Remove the part of *scores* that *features* and a constant explain linearly.

    Call it once per era, because a projection fitted across eras leaks one era into another. Constant, repeated and
    linearly dependent features are allowed; they change nothing.

    Args:
        scores: Scores of one era, usually gaussianized. Shape ``(rows,)``.
        features: Codes of the same rows. Shape ``(rows, k)``, int8.
        proportion: Share to remove, from 0 (none) to 1 (all).

    Returns:
        ``scores - proportion * explained``, not rescaled. Shape ``(rows,)``, float64.

    Raises:
        ValueError: Shapes differ, a score is not finite, or *proportion* is outside 0 to 1.
        GateFailed: The features explain the scores completely, so that only rounding would be left.
    """
    p = scores.astype(np.float64)
    if p.ndim != 1 or features.ndim != 2 or len(p) != len(features):
        raise ValueError(f"scores {p.shape} and features {features.shape} do not belong together")
    if not 0 <= proportion <= 1 or not np.isfinite(p).all():
        raise ValueError(f"proportion {proportion} must be within 0 and 1, and every score finite")
    if not proportion:
        return p
    residual = residuals(p[:, None], features)[:, 0]
    spread = float(np.linalg.norm(p - p.mean()))
    if proportion == 1 and float(np.linalg.norm(residual)) <= EXHAUSTED * spread:
        raise GateFailed(
            f"neutralize: {features.shape[1]} features explain the scores of {len(p)} rows completely;"
            " neutralize less, or against fewer features"
        )
    return np.asarray(p - proportion * (p - residual))


def residuals(scores: Floats, features: Codes) -> Floats:
    """
    Return the residual of each column of *scores* after projection on *features* and a constant.

    The features are factored once for all columns.

    Args:
        scores: Finite scores of one era. Shape ``(rows, columns)``.
        features: Codes of the same rows. Shape ``(rows, k)``, int8.

    Returns:
        Shape ``(rows, columns)``. If the features explain a column completely, its residual is rounding.
    """
    if len(scores) != len(features):
        raise ValueError(f"scores {scores.shape} and features {features.shape} do not belong together")
    varying = np.flatnonzero(np.ptp(features, axis=0)) if len(features) else np.arange(0)
    return _residual(scores, features if len(varying) == features.shape[1] else features[:, varying])


def neutralize_to(scores: npt.NDArray[np.floating], reference: Floats, *, proportion: float) -> Floats:
    """
    Remove the part of *scores* that a reference model's predictions of the same era explain linearly.

    Args:
        scores: Scores of one era, usually gaussianized. Shape ``(rows,)``.
        reference: Predictions of the reference model. They are gaussianized among the rows that it predicts; the other
            rows are NaN, and their scores do not change. Shape ``(rows,)``.
        proportion: Share to remove, from 0 (none) to 1 (all).

    Returns:
        ``scores - proportion * explained``, not rescaled; the scores where the reference is constant. Shape ``(rows,)``.

    Raises:
        ValueError: Shapes differ, or *proportion* is outside 0 to 1.
        GateFailed: The reference explains the scores completely, so that only rounding would be left.
    """
    if scores.shape != reference.shape or not 0 <= proportion <= 1:
        raise ValueError(f"scores {scores.shape}, a reference {reference.shape} and proportion {proportion} do not fit")
    known, b = np.isfinite(reference), np.zeros(len(reference))
    if not known.any() or np.ptp(reference[known]) == 0:
        return scores.astype(np.float64)
    b[known] = gaussianize(reference[known])
    explained = (b @ scores) / (b @ b) * b
    residual = scores - explained
    if proportion == 1 and np.linalg.norm(residual) <= EXHAUSTED * np.linalg.norm(scores):
        raise GateFailed("neutralize: the benchmark explains the scores completely; neutralize less")
    return np.asarray(scores - proportion * explained)


def exposures(scores: npt.NDArray[np.floating], features: Codes) -> Floats:
    """
    Return the correlation (Pearson) of *scores* with each feature; 0 for a constant feature or constant scores.

    Args:
        scores: Scores of one era. Shape ``(rows,)``.
        features: Codes of the same rows. Shape ``(rows, k)``, int8.

    Returns:
        Exposures between -1 and 1. Shape ``(k,)``, float64.
    """
    if (scores == scores[:1]).all():
        return np.zeros(features.shape[1])
    s = scores - scores.mean(dtype=np.float64)
    product, total, squares = np.zeros((3, features.shape[1]))
    for rows, block in _blocks(features):
        product += s[rows] @ block
        total += block.sum(axis=0)
        squares += np.einsum("ij,ij->j", block, block)
    scale = np.sqrt(np.maximum(squares - total * total / len(s), 0) * (s @ s))
    return np.asarray(np.divide(product, scale, out=np.zeros_like(product), where=scale > 0))


@dataclass(frozen=True, kw_only=True)
class _Factor:
    """
    Cholesky factor of independent columns of a Gram matrix.

    Attributes:
        lower: Lower triangle. Shape ``(kept, kept)``.
        kept: Positions of the columns that it factors. Shape ``(kept,)``.
    """

    lower: Floats
    kept: npt.NDArray[np.intp]

    @cached_property
    def inverses(self) -> list[Floats]:
        """Return the inverse of each panel on the diagonal, which every solve needs twice."""
        panels = (slice(start, start + PANEL) for start in range(0, len(self.lower), PANEL))
        return [np.asarray(np.linalg.inv(self.lower[panel, panel]), dtype=np.float64) for panel in panels]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Residual:
    """
    Scores after a projection.

    Attributes:
        values: The scores. Shape ``(rows, columns)``.
        products: Products with each centred feature and the constant, 0 if the projection is complete. Shape ``(k + 1, columns)``.
    """

    values: Floats
    products: Floats


def _residual(p: Floats, features: Codes) -> Floats:
    """Return the residual of *p* by the cheapest method whose result is orthogonal to *features* and a constant."""
    if not features.shape[1]:
        return np.asarray(p - p.mean(axis=0))
    gram = _gram(features)
    for method in (_cholesky, _eliminate):
        factor = method(gram)
        if factor is None:
            continue
        found = _Residual(values=p, products=_products(features, p))
        for _ in range(2):
            weights = np.zeros((len(gram), p.shape[1]))
            weights[factor.kept] = _solve(factor, found.products[factor.kept])
            found = _subtract(features, weights, found.values)
        if (np.abs(found.products).max(axis=0) <= 1e-10 * len(p) * np.abs(p).max(axis=0)).all():
            return found.values
    block = np.column_stack([features, np.ones(len(p))]).astype(np.float64)
    return np.asarray(p - block @ np.linalg.lstsq(block, p, rcond=1e-6)[0])


def _gram(features: Codes) -> Floats:
    """Return the exact Gram matrix of the centred features and a constant. Shape ``(k + 1, k + 1)``."""
    k = features.shape[1]
    # Without the middle bin sums are smaller; beside a constant this leaves the projection unchanged.
    largest = max(int(features.max()) - MIDDLE_BIN, MIDDLE_BIN - int(features.min()), 1)
    kind = np.float32 if largest * largest * len(features) < 2**24 else np.float64
    gram = np.zeros((k + 1, k + 1))
    step = max(BLOCK // (k + 1), 1)
    for start in range(0, len(features), step):
        rows = features[start : start + step]
        block = np.ones((len(rows), k + 1), dtype=kind)
        np.subtract(rows, MIDDLE_BIN, out=block[:, :k], dtype=kind)
        gram += block.T @ block
    return gram


def _cholesky(gram: Floats) -> _Factor | None:
    """Factor a Gram matrix of independent columns; return ``None`` if a column depends on the others."""
    try:
        lower = np.asarray(np.linalg.cholesky(gram), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None
    if (np.square(np.diagonal(lower)) <= DEPENDENT * np.diagonal(gram)).any():
        return None
    return _Factor(lower=lower, kept=np.arange(len(gram)))


def _eliminate(gram: Floats) -> _Factor:
    """Factor the Gram matrix column by column, without each column that depends on those before it."""
    size = len(gram)
    least = DEPENDENT * np.diagonal(gram)
    lower = np.zeros((size, size))
    kept: list[int] = []
    for start in range(0, size, PANEL):
        end = min(start + PANEL, size)
        panel = gram[start:, start:end] - lower[start:, :start] @ lower[start:end, :start].T
        for j in range(end - start):
            pivot = panel[j, j]
            if pivot <= least[start + j]:
                panel[:, j] = 0
                continue
            kept.append(start + j)
            panel[j:, j] /= np.sqrt(pivot)
            panel[j + 1 :, j + 1 :] -= np.outer(panel[j + 1 :, j], panel[j + 1 : end - start, j])
        lower[start:, start:end] = np.tril(panel)
    chosen = np.array(kept, dtype=np.intp)
    return _Factor(lower=lower[np.ix_(chosen, chosen)], kept=chosen)


def _solve(factor: _Factor, b: Floats) -> Floats:
    """Solve ``lower @ lower.T @ x = b`` for the columns of *b*."""
    # By panels, because numpy has no triangular solve and a general one costs as much as the factor.
    x, lower = b.copy(), factor.lower
    starts = range(0, len(x), PANEL)
    for start, inverse in zip(starts, factor.inverses, strict=True):
        panel = slice(start, start + PANEL)
        x[panel] = inverse @ (x[panel] - lower[panel, :start] @ x[:start])
    for start, inverse in zip(reversed(starts), reversed(factor.inverses), strict=True):
        panel, below = slice(start, start + PANEL), slice(start + PANEL, None)
        x[panel] = inverse.T @ (x[panel] - lower[below, panel].T @ x[below])
    return x


def _blocks(features: Codes) -> Iterator[tuple[slice, Floats]]:
    """Yield slices of rows with their centred features as float64."""
    for start in range(0, len(features), ROWS):
        rows = slice(start, start + ROWS)
        yield rows, np.subtract(features[rows], MIDDLE_BIN, dtype=np.float64)


def _products(features: Codes, r: Floats) -> Floats:
    """Return the products of the columns of *r* with each centred feature and with the constant. Shape ``(k + 1, columns)``."""
    total = np.zeros((features.shape[1], r.shape[1]))
    for rows, block in _blocks(features):
        total += block.T @ r[rows]
    return np.concatenate([total, r.sum(axis=0, keepdims=True)])


def _subtract(features: Codes, weights: Floats, r: Floats) -> _Residual:
    """Return *r* minus the weighted sums of the centred features and the constant."""
    # One pass for the difference and its products, because casting the features takes most of the time.
    left = r - weights[-1]
    total = np.zeros((features.shape[1], r.shape[1]))
    for rows, block in _blocks(features):
        left[rows] -= block @ weights[:-1]
        total += block.T @ left[rows]
    return _Residual(values=left, products=np.concatenate([total, left.sum(axis=0, keepdims=True)]))
