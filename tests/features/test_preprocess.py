"""Preprocessing: training and live rounds get the same columns, whatever other columns the file has."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bot.errors import SchemaMismatch
from bot.features.codes import MISSING
from bot.features.preprocess import FAMILIES, Preprocess, engineered_scaling, network_scaling, prepare
from models.bins import MIDDLE_BIN, MISSING_CATEGORY

NAMES = tuple(f"feature_{letter}" for letter in "abcdef")
GROUPS = {"wisdom": (0, 1, 2), "rain": (2, 3, 4, 5)}
eras = arrays(np.int8, st.tuples(st.integers(1, 30), st.just(len(NAMES))), elements=st.integers(-2, 6))
policies = st.sampled_from(["median_bin", "category"])


def manifest(**changes):
    return Preprocess(**{"features": NAMES, "groups": GROUPS, "engineered": tuple(FAMILIES), **changes})


def codes(rows=20, seed=1):
    return np.random.default_rng(seed).integers(0, 5, size=(rows, len(NAMES)), dtype=np.int8)


@settings(deadline=None, max_examples=60)
@given(values=eras, missing=policies, seed=st.integers(0, 99))
def test_row_order_does_not_matter(values, missing, seed):
    """Preprocessing of shuffled rows gives the shuffled rows."""
    order = np.random.default_rng(seed).permutation(len(values))
    straight, shuffled = (prepare(manifest(missing=missing), NAMES, rows) for rows in (values, values[order]))

    np.testing.assert_array_equal(straight.features[order], shuffled.features)
    np.testing.assert_allclose(straight.engineered[order], shuffled.engineered, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=60)
@given(values=eras, missing=policies)
def test_column_order_and_extra_columns_do_not_matter(values, missing):
    """Columns are found by name, and other columns are ignored."""
    names = (*reversed(NAMES), "feature_unheard_of", "era")
    wider = np.concatenate([values[:, ::-1], values[:, :2]], axis=1)

    np.testing.assert_array_equal(
        prepare(manifest(missing=missing), names, wider).features,
        prepare(manifest(missing=missing), NAMES, values).features,
    )


@pytest.mark.parametrize(
    ("names", "columns", "reason"),
    [
        ((*NAMES, NAMES[2]), 7, f"1 features come twice: {NAMES[2]}"),
        (NAMES, 7, "6 column names do not fit values of shape"),
        (NAMES[:-1], 6, "5 column names do not fit"),
    ],
)
def test_names_that_do_not_fit_the_columns_are_refused(names, columns, reason):
    """A needed name that comes twice, and more or fewer names than columns, are refused: values would move."""
    with pytest.raises(SchemaMismatch, match=reason):
        prepare(manifest(), names, np.zeros((9, columns), dtype=np.int8))


def test_a_repeated_name_that_nobody_needs_is_ignored():
    """Another column that comes twice moves no value."""
    values = codes()
    wider = np.concatenate([values, values[:, :2]], axis=1)

    np.testing.assert_array_equal(
        prepare(manifest(), (*NAMES, "other", "other"), wider).features, prepare(manifest(), NAMES, values).features
    )


@settings(deadline=None, max_examples=60)
@given(values=eras, missing=policies)
def test_codes_are_always_in_the_value_set(values, missing):
    """Codes are 0 to 4, and 5 only if missing is a category."""
    features = prepare(manifest(missing=missing), NAMES, values).features
    largest = MISSING_CATEGORY if missing == "category" else 4

    assert features.min() >= 0
    assert features.max() <= largest


@settings(deadline=None, max_examples=40)
@given(values=eras)
def test_input_is_not_changed(values):
    """The caller's matrix does not change."""
    before = values.copy()
    prepare(manifest(), NAMES, values)

    np.testing.assert_array_equal(values, before)


def test_median_bin_fills_the_middle():
    """A missing value becomes the middle bin and is reported."""
    values = codes()
    values[3, 1] = MISSING
    prepared = prepare(manifest(), NAMES, values)

    assert prepared.features[3, 1] == MIDDLE_BIN
    assert (prepared.missing, prepared.out_of_range) == (1, 0)
    assert "1 feature values are missing" in prepared.findings[0]


def test_category_keeps_missing_apart():
    """If missing is a category, a missing value and a feature missing in the whole era have the code of missing values."""
    values = codes()
    values[3, 1] = MISSING
    values[:, 4] = MIDDLE_BIN
    features = prepare(manifest(missing="category"), NAMES, values).features

    assert features[3, 1] == MISSING_CATEGORY
    assert (features[:, 4] == MISSING_CATEGORY).all()
    assert (features[:, 0] != MISSING_CATEGORY).all()


def test_values_outside_the_bins_are_reported():
    """A value outside the bins counts as missing and is reported apart from absent values."""
    values = codes()
    values[0, 0] = 7
    prepared = prepare(manifest(), NAMES, values)

    assert prepared.out_of_range == 1
    assert "outside 0 to 4" in prepared.findings[-1]


def test_missing_columns_are_named():
    """A missing feature is refused, and the message has its name."""
    with pytest.raises(SchemaMismatch, match="1 of 6 features are missing: feature_f"):
        prepare(manifest(), (*NAMES[:-1], "feature_g"), codes())


def test_no_rows_are_refused():
    """An era without rows is refused."""
    with pytest.raises(SchemaMismatch, match="no rows"):
        prepare(manifest(), NAMES, codes(rows=0))


def test_aggregates_are_those_of_each_group():
    """Mean, deviation and number of extreme bins equal a plain computation."""
    values = codes()
    prepared = prepare(manifest(), NAMES, values)
    block = values[:, list(GROUPS["rain"])].astype(float)
    position = {name: index for index, name in enumerate(manifest().engineered_names)}

    np.testing.assert_allclose(prepared.engineered[:, position["group_mean_rain"]], block.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(prepared.engineered[:, position["group_std_rain"]], block.std(axis=1), atol=1e-5)
    np.testing.assert_array_equal(
        prepared.engineered[:, position["group_extremes_rain"]], ((block == 0) | (block == 4)).sum(axis=1)
    )


def test_manifest_survives_json():
    """A manifest that is written and parsed is the same manifest."""
    one = manifest(missing="category", normalize="standard")

    assert Preprocess.from_json(one.to_json()) == one
    assert Preprocess.from_json(one.to_json()).digest == one.digest
    assert Preprocess.from_json(one.to_json()).engineered_names == one.engineered_names


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"features":["a"],"groups":[],"engineered":["magic"]}',
        '{"features":["a"],"groups":[],"engineered":[],"more":1}',
    ],
)
def test_damaged_manifest_is_refused(text):
    """Text that is not a manifest, or has missing or unknown keys, is refused."""
    with pytest.raises(SchemaMismatch):
        Preprocess.from_json(text)


def test_scaling_centres_five_equal_bins():
    """The scaling brings equal bins to mean 0 and aggregates of independent features to about unit size."""
    scaling = network_scaling(manifest(normalize="standard"))
    engineered = engineered_scaling(manifest(normalize="centre"))
    prepared = prepare(manifest(), NAMES, codes(rows=4000))
    scaled = (prepared.engineered - [one.offset for one in engineered]) / [one.scale for one in engineered]

    assert (scaling.offset, scaling.scale) == (2.0, pytest.approx(2**0.5))
    assert np.abs(scaled.mean(axis=0)).max() < 0.7
    assert 0.5 < scaled.std(axis=0).min() <= scaled.std(axis=0).max() < 1.5
