"""Ridge regression by streamed normal equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.linear.linear_model import LinearModel
from models.linear.ridge import LinearRows, fit_bytes, fit_ridge

TARGETS = ("target_a_20", "target_b_60")


def era(seed: int, rows: int = 40, *, features: int = 4, engineered: int = 2, weight: float = 1.0) -> LinearRows:
    random = np.random.default_rng(seed)
    codes = random.integers(0, 5, (rows, features), dtype=np.int8)
    made = random.normal(3, 5, (rows, engineered)).astype(np.float32)
    signal = codes[:, 0] - 0.5 * codes[:, 1] + (made[:, 0] / 5 if engineered else 0)
    labels = np.stack([signal + random.normal(size=rows), -signal + random.normal(size=rows)], axis=1)
    return LinearRows(features=codes, engineered=made, labels=labels.astype(np.float32), weight=weight)


def names(features: int = 4, engineered: int = 2) -> tuple[str, ...]:
    return tuple(f"f{one}" for one in range(features)) + tuple(f"e{one}" for one in range(engineered))


def design(eras: list[LinearRows]) -> np.ndarray:
    return np.concatenate([np.column_stack([one.features.astype(float) - 2, one.engineered]) for one in eras])


def least_squares(X: np.ndarray, y: np.ndarray, weights: np.ndarray, alpha: float) -> np.ndarray:
    """Return coefficients and intercept by numpy's least squares on standardized columns with penalty rows."""
    share = weights / weights.sum()
    means = share @ X
    spread = np.sqrt(share @ (X - means) ** 2)
    scaled = (X - means) / spread * np.sqrt(share)[:, None]
    centred = (y - share @ y) * np.sqrt(share)
    penalty = np.sqrt(alpha) * np.eye(X.shape[1])
    solved = np.linalg.lstsq(np.vstack([scaled, penalty]), np.append(centred, np.zeros(X.shape[1])))[0] / spread
    return np.append(solved, share @ y - solved @ means)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    # Fewer known rows than columns leave only the penalty, and sums of float32 then lose digits with its size.
    sizes=st.lists(st.integers(30, 60), min_size=1, max_size=5),
    alpha=st.sampled_from([1e-6, 1e-3, 0.1, 10.0]),
    weights=st.lists(st.sampled_from([0.25, 1.0, 3.0]), min_size=5, max_size=5),
    unknown=st.sampled_from([0.0, 0.3]),
)
def test_coefficients_are_those_of_least_squares(
    seed: int, sizes: list[int], alpha: float, weights: list[float], unknown: float
) -> None:
    """Streamed sums give the coefficients of least squares on all rows in which a target is known."""
    eras = [era(seed + index, rows, weight=weights[index]) for index, rows in enumerate(sizes)]
    random = np.random.default_rng(seed)
    for one in eras:
        one.labels[random.random(one.labels.shape) < unknown] = np.nan
        one.labels[0] = 0.5
        one.labels[1] = 0.25
    model = fit_ridge(eras, names(), TARGETS, alpha=alpha)
    X, y = design(eras), np.concatenate([one.labels for one in eras]).astype(float)
    row_weights = np.concatenate([np.full(len(one.labels), one.weight) for one in eras])
    for index in range(len(TARGETS)):
        known = np.isfinite(y[:, index])
        expected = least_squares(X[known], y[known, index], row_weights[known], alpha)
        actual = np.append(model.coefficients[index], model.intercepts[index])
        np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-4)
        assert model.rows[index] == known.sum()


def test_sums_of_codes_are_exact() -> None:
    """Without engineered columns the coefficients equal those of float64 to the last digits."""
    eras = [era(seed, 3_000, features=12, engineered=0) for seed in range(4)]
    for one in eras:
        one.labels[:] = np.round(one.labels * 4) / 4
    model = fit_ridge(eras, names(12, 0), TARGETS, alpha=0.01)
    X, y = design(eras), np.concatenate([one.labels for one in eras]).astype(float)
    expected = least_squares(X, y[:, 0], np.ones(len(X)), 0.01)
    np.testing.assert_allclose(model.coefficients[0], expected[:-1], rtol=0, atol=1e-12)


def test_the_order_of_eras_and_how_rows_are_split_do_not_matter() -> None:
    """One block of all rows gives the coefficients of many blocks in another order."""
    eras = [era(seed, features=6, engineered=0) for seed in range(5)]
    whole = LinearRows(
        features=np.concatenate([one.features for one in eras]),
        engineered=np.concatenate([one.engineered for one in eras]),
        labels=np.concatenate([one.labels for one in eras]),
    )
    split = fit_ridge(reversed(eras), names(6, 0), TARGETS, alpha=0.1)
    np.testing.assert_allclose(
        split.coefficients, fit_ridge([whole], names(6, 0), TARGETS, alpha=0.1).coefficients, atol=1e-6
    )


def test_alpha_means_the_same_for_any_number_of_rows() -> None:
    """The same rows twice give the same coefficients with the same penalty."""
    eras = [era(1), era(2)]
    once = fit_ridge(eras, names(), TARGETS, alpha=0.5)
    twice = fit_ridge(eras * 2, names(), TARGETS, alpha=0.5)
    np.testing.assert_allclose(once.coefficients, twice.coefficients, rtol=1e-9)


def test_a_constant_column_gets_no_coefficient() -> None:
    """A feature that is missing in the whole training set does not stop a fit and does not count."""
    one = era(3)
    one.features[:, 2] = 2
    model = fit_ridge([one], names(), TARGETS, alpha=0.0)
    assert (model.coefficients[:, 2] == 0).all()
    assert (model.coefficients[:, 0] != 0).all()


def test_a_missing_value_counts_as_the_middle_bin() -> None:
    """The code of a missing value is read as the middle bin, in the fit and in predictions."""
    filled, absent = era(4), era(4)
    filled.features[::3, 1] = 2
    absent.features[::3, 1] = 5
    one, other = (fit_ridge([rows], names(), TARGETS, alpha=0.1) for rows in (filled, absent))
    np.testing.assert_array_equal(one.coefficients, other.coefficients)
    np.testing.assert_array_equal(
        one.predict(filled.features, filled.engineered), one.predict(absent.features, absent.engineered)
    )


def test_predictions_are_the_line_of_every_row() -> None:
    """Predictions in chunks are intercept plus coefficients times columns."""
    rows = era(5, 1_300)
    model = fit_ridge([rows], names(), TARGETS, alpha=0.1)
    expected = design([rows]) @ model.coefficients.T + model.intercepts
    np.testing.assert_allclose(model.predict(rows.features, rows.engineered), expected, atol=1e-9)


def test_a_file_gives_the_same_model_and_bytes() -> None:
    """A model read from its file predicts the same, and its file has the same bytes."""
    rows = era(6)
    model = fit_ridge([rows], names(), TARGETS, alpha=0.1)
    read = LinearModel.from_bytes(model.to_bytes())
    assert read.to_bytes() == model.to_bytes()
    assert (read.inputs, read.targets, read.rows) == (names(), TARGETS, (40, 40))
    np.testing.assert_array_equal(
        read.predict(rows.features, rows.engineered), model.predict(rows.features, rows.engineered)
    )


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 2_000), value=st.integers(0, 255))
def test_a_damaged_file_is_refused(cut: int, value: int) -> None:
    """A truncated or changed file raises ``ValueError`` or gives a model of finite numbers."""
    content = bytearray(fit_ridge([era(7)], names(), TARGETS, alpha=0.1).to_bytes())
    with pytest.raises(ValueError, match="damaged"):
        LinearModel.from_bytes(bytes(content[: cut % len(content)]))
    content[cut % len(content)] = value
    try:
        read = LinearModel.from_bytes(bytes(content))
    except ValueError:
        return
    assert np.isfinite(read.coefficients).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"alpha": -1.0}, "alpha"),
        ({"inputs": names(5)}, "columns"),
        ({"targets": ("target_a_20",)}, "labels"),
    ],
)
def test_what_does_not_match_is_refused(change: dict, reason: str) -> None:
    """A negative penalty and wrong numbers of columns or targets are refused with a reason."""
    arguments = {"inputs": names(), "targets": TARGETS, "alpha": 0.1} | change
    alpha = arguments.pop("alpha")
    with pytest.raises(ValueError, match=reason):
        fit_ridge([era(8)], **arguments, alpha=alpha)


def test_a_target_without_a_label_is_refused_by_name() -> None:
    """A target that no row has is named."""
    rows = era(9)
    rows.labels[:, 1] = np.nan
    with pytest.raises(ValueError, match="target_b_60 is known in none"):
        fit_ridge([rows], names(), TARGETS, alpha=0.1)


def test_columns_that_depend_on_each_other_need_a_penalty() -> None:
    """Two equal columns are refused without a penalty, and share the coefficient with one."""
    rows = era(10)
    rows.features[:, 1] = rows.features[:, 0]
    with pytest.raises(ValueError, match="alpha 0 is too small"):
        fit_ridge([rows], names(), TARGETS, alpha=0.0)
    model = fit_ridge([rows], names(), TARGETS, alpha=0.01)
    np.testing.assert_allclose(model.coefficients[:, 0], model.coefficients[:, 1], rtol=1e-6)


def test_the_memory_of_a_full_width_fit_fits_a_small_machine() -> None:
    """The estimate of a fit on all features is below 400 MiB, whatever the number of eras."""
    assert 200 < fit_bytes(3_555) / 2**20 < 400
