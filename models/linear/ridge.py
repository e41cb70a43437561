"""
Ridge regression of several targets by normal equations that are summed up era by era.

Memory does not depend on the number of rows. Codes minus the middle bin are whole numbers from -2 to 2, so that their
products sum exactly in float32 up to 4 million rows a block (below 2 ** 24); blocks are summed in float64. Tests compare
the coefficients with least squares on all rows in float64.

The penalty follows glmnet (J. Friedman, T. Hastie, R. Tibshirani, *Regularization Paths for Generalized Linear Models via
Coordinate Descent*, Journal of Statistical Software 33 (2010), equation 1 with its alpha at 0): the mean squared error
plus ``alpha`` times the sum of squared coefficients of standardized columns. One ``alpha`` means the same for any number
of rows and for columns of any scale. The intercept is not penalized.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from models.linear.linear_model import Array, Codes, Floats, LinearModel, centre, check_columns

LARGEST_BLOCK = 4_000_000
"""Largest number of rows whose products of codes sum exactly in float32: each is at most 4, and 4 * 4e6 < 2 ** 24."""

CONSTANT_BELOW = 1e-9
"""Variance below which a column counts as constant and gets the coefficient 0."""

SCIPY_BYTES = 60 * 2**20
"""Anonymous memory of scipy's solver and of BLAS (measured: scipy 1.17, one thread)."""

SMALLEST_PIVOT = 1e-10
"""Share of a column's variance that the columns before it must leave unexplained; sums of float32 are off by 1e-7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearRows:
    """
    Rows of one era.

    Attributes:
        features: Codes 0 to 4, and 5 for a missing value. Shape ``(rows, F)``, int8.
        engineered: Engineered columns, finite. Shape ``(rows, E)``, float32.
        labels: Labels of each target, NaN where unknown. Shape ``(rows, T)``.
        weight: Weight of every row of the era.
    """

    features: Codes
    engineered: Floats
    labels: npt.NDArray[np.floating]
    weight: float = 1.0


def fit_ridge(
    eras: Iterable[LinearRows],
    inputs: Sequence[str],
    targets: Sequence[str],
    *,
    alpha: float,
    on_progress: Callable[[int], None] = lambda _done: None,
) -> LinearModel:
    """
    Fit every target on the rows in which it is known.

    Args:
        eras: Rows, read once.
        inputs: Names of the columns: features first, then engineered columns.
        targets: Names of the targets.
        alpha: Penalty, see the module. 0 is least squares, which fails where columns depend on each other.
        on_progress: Called after every era with the number of eras read.

    Raises:
        ValueError: A target is known nowhere, a shape is wrong, or *alpha* is negative or too small for these columns.
    """
    if not 0 <= alpha < float("inf"):
        raise ValueError(f"alpha must be 0 or more, not {alpha}")
    equations = NormalEquations(columns=len(inputs), targets=len(targets))
    for done, era in enumerate(eras, start=1):
        equations.add(era)
        on_progress(done)
    coefficients, intercepts = np.empty((len(targets), len(inputs))), np.empty(len(targets))
    rows = []
    for index, name in enumerate(targets):
        sums = equations.of(index)
        if sums.rows == 0:
            raise ValueError(f"{name} is known in none of these eras")
        solution = solve(sums, alpha)
        coefficients[index], intercepts[index] = solution[:-1], solution[-1]
        rows.append(sums.rows)
    return LinearModel(
        inputs=tuple(inputs),
        targets=tuple(targets),
        coefficients=coefficients,
        intercepts=intercepts,
        alpha=alpha,
        rows=tuple(rows),
    )


def fit_bytes(columns: int, *, era_rows: int = 7_000) -> int:
    """
    Return the peak memory of a fit: the sums, and one era's product and rows or the solver's matrix.

    Targets that are known in other rows than the first add one more matrix of sums for each set of rows.
    """
    size = columns + 1
    one_era = 4 * size**2 + 4 * era_rows * size
    return 8 * size**2 + max(one_era, 8 * size**2) + SCIPY_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """
    Weighted sums of products over the rows in which a target is known. The last column is 1.

    Attributes:
        products: Products of columns. Shape ``(columns + 1, columns + 1)``, float64.
        with_label: Products of columns and label. Shape ``(columns + 1,)``.
        rows: Number of rows.
    """

    products: Array
    with_label: Array
    rows: int


@dataclass(slots=True, kw_only=True)
class NormalEquations:
    """
    Sums of products, kept apart for each set of targets that are known in the same rows.

    In most eras all targets are known in the same rows, so that one product serves all of them.

    Attributes:
        columns: Number of columns.
        targets: Number of targets.
    """

    columns: int
    targets: int
    _products: dict[tuple[bool, ...], Array] = field(default_factory=dict)
    _with_labels: Array = field(init=False)
    _rows: dict[tuple[bool, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with empty sums."""
        self._with_labels = np.zeros((self.targets, self.columns + 1))

    def add(self, era: LinearRows) -> None:
        """
        Add the rows of an era.

        Raises:
            ValueError: Columns or labels have another shape or type, or the weight is negative.
        """
        check_columns(era.features, era.engineered, self.columns)
        if era.labels.shape != (len(era.features), self.targets):
            raise ValueError(f"expected labels of {self.targets} targets, got {era.labels.shape}")
        if not 0 <= era.weight < float("inf") or len(era.features) > LARGEST_BLOCK:
            raise ValueError(f"an era needs a weight of 0 or more and at most {LARGEST_BLOCK:,} rows")
        known = np.isfinite(era.labels)
        for pattern in np.unique(known, axis=0):
            if pattern.any():
                rows = (known == pattern).all(axis=1)
                self._add(era, slice(None) if rows.all() else rows, tuple(pattern.tolist()))

    def _add(self, era: LinearRows, rows: slice | npt.NDArray[np.bool_], known: tuple[bool, ...]) -> None:
        features, labels = era.features[rows], era.labels[rows].astype(np.float32)
        width = features.shape[1]
        # Columns in order, as the store has them: numpy then multiplies X.T and X as one symmetric product (syrk).
        X = np.empty((len(features), self.columns + 1), dtype=np.float32, order="F")
        centre(features, X[:, :width])
        X[:, width:-1] = era.engineered[rows]
        X[:, -1] = 1
        product = X.T @ X
        total = self._products.setdefault(known, np.zeros((self.columns + 1, self.columns + 1)))
        if era.weight != 1:
            product *= np.float32(era.weight)
        total += product
        chosen = np.array(known)
        self._with_labels[chosen] += era.weight * (labels[:, chosen].T @ X)
        self._rows[known] = self._rows.get(known, 0) + len(features)

    def of(self, target: int) -> Sums:
        """Return the sums over the rows in which a target, given by position, is known."""
        patterns = [pattern for pattern in self._products if pattern[target]]
        products = np.zeros((self.columns + 1, self.columns + 1))
        for pattern in patterns:
            products += self._products[pattern]
        rows = sum(self._rows[pattern] for pattern in patterns)
        return Sums(products=products, with_label=self._with_labels[target], rows=rows)


def solve(sums: Sums, alpha: float) -> Array:
    """
    Return the coefficients of the columns, then the intercept, and overwrite the sums. Shape ``(columns + 1,)``.

    Raises:
        ValueError: The rows have no weight, or columns depend on each other and *alpha* is too small.
    """
    # The solver is needed after a training only; predictions need numpy alone.
    from scipy.linalg import LinAlgError, cho_factor, cho_solve  # noqa: PLC0415 - see above

    total = sums.products[-1, -1]
    if total <= 0:
        raise ValueError("all rows with a label have the weight 0")
    means, label_mean = sums.products[-1] / total, sums.with_label[-1] / total
    # The last column is constant and is solved with the others, so that the matrix stays in one piece.
    matrix = sums.products
    matrix /= total
    for row, mean in enumerate(means):  # row by row: the outer product would take as much again
        matrix[row] -= mean * means
    spread = np.sqrt(np.maximum(matrix.diagonal(), 0))
    varies = spread**2 > CONSTANT_BELOW
    spread[~varies] = 1
    matrix /= spread
    matrix /= spread[:, None]
    covariance = (sums.with_label / total - means * label_mean) / spread
    # A constant column keeps the covariance 0 and only needs a number on the diagonal.
    matrix[~varies], matrix[:, ~varies], covariance[~varies] = 0, 0, 0
    np.fill_diagonal(matrix, np.where(varies, 1 + alpha, 1))
    try:
        # The transpose of a symmetric matrix is itself, in the column order that LAPACK overwrites without a copy.
        factor = cho_factor(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        factor = None
    if factor is None or factor[0].diagonal().min() ** 2 < SMALLEST_PIVOT:
        raise ValueError(f"columns depend on each other: alpha {alpha:g} is too small, try 0.001")
    solved = cho_solve(factor, covariance)
    slopes = solved / spread
    return np.append(slopes[:-1], label_mean - slopes @ means)
