"""Drift of the feature distributions: healthy eras have none, and each kind of other coding is detected."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.features.distributions import FLOOR, SAMPLED, FeatureDistributions, sample, value_shares
from bot.submission.gates import Limits, feature_drift
from models.bins import MIDDLE_BIN

FEATURES = 60
NAMES = tuple(f"feature_{index}" for index in range(FEATURES))


def era(rows, seed, *, features=FEATURES):
    """Return an era whose features all have five equal bins, as Numerai ranks them."""
    random = np.random.default_rng(seed)
    bins = np.resize(np.arange(5, dtype=np.int8), rows)
    return np.stack([random.permutation(bins) for _ in range(features)]).T


@pytest.fixture(scope="module")
def learned():
    """Return the distributions of 52 eras of 3,000 rows."""
    return FeatureDistributions.of(NAMES, [sample(era(3000, seed)) for seed in range(52)], [3000] * 52)


def test_healthy_eras_do_not_drift(learned):
    """In forty new eras of the same distribution no feature drifts."""
    found = [learned.drift(era(3000 + 10 * seed, 1000 + seed)) for seed in range(40)]

    assert {one.share for one in found} == {0.0}
    assert not any(one.odd_rows for one in found)


def _other_bins(codes):
    codes[:, 7] = np.random.default_rng(1).choice(5, size=len(codes), p=(0.05, 0.2, 0.5, 0.2, 0.05))


def _missing(codes):
    codes[:, 7] = MIDDLE_BIN


def _reversed_missing(codes):
    codes[:, 7] = np.minimum(codes[:, 7], 3)


@pytest.mark.parametrize("change", [_other_bins, _missing, _reversed_missing])
def test_one_changed_feature_is_named(learned, change):
    """Unequal bins, a feature missing in the era or an empty bin are drift of that feature and of no other."""
    codes = era(3000, 5)
    change(codes)
    found = learned.drift(codes)

    assert (found.share, found.worst) == (1 / FEATURES, "feature_7")
    assert found.distance > 0.15


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(50, SAMPLED))
@settings(max_examples=30, deadline=None)
def test_order_of_rows_does_not_matter(seed, rows):
    """Shares do not depend on the order of the rows and add up to 1; an era does not drift from itself."""
    codes = np.random.default_rng(seed).integers(0, 6, size=(rows, 5)).astype(np.int8)
    shares = value_shares(codes)
    own = FeatureDistributions.of("abcde", [codes], [rows])

    np.testing.assert_array_equal(shares, value_shares(codes[np.random.default_rng(seed).permutation(rows)]))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    assert (own.drift(codes).share, own.drift(codes).distance) == (0.0, 0.0)


def test_shares_are_counted():
    """Shares of one feature in four rows, written out."""
    np.testing.assert_array_equal(value_shares(np.array([[0], [0], [4], [5]], np.int8)), [[0.5, 0, 0, 0, 0.25, 0.25]])


def test_the_limit_of_a_feature_is_its_largest_distance_in_training():
    """A feature that was missing in a training era may be missing again; another feature drifts by that."""
    codes = [era(1000, seed) for seed in range(20)]
    codes[3][:, 0] = MIDDLE_BIN
    learned = FeatureDistributions.of(NAMES, codes, [1000] * 20)
    again, other = era(1000, 99), era(1000, 99)
    again[:, 0] = other[:, 1] = MIDDLE_BIN

    assert learned.drift(again).share == 0
    assert learned.drift(other).worst == "feature_1"
    assert learned.reach[0] > 0.7 > FLOOR


@pytest.mark.parametrize(("rows", "odd"), [(3000, False), (2500, False), (2300, True), (3500, False), (3700, True)])
def test_rows_are_compared(learned, rows, odd):
    """A fifth fewer or more rows than in all training eras are reported."""
    assert learned.drift(era(rows, 1)).odd_rows is odd


def test_bytes_are_small_and_checked(learned):
    """Bytes restore the same distributions with at most 40 bytes a feature; damaged bytes are refused."""
    content = learned.to_bytes()
    again = FeatureDistributions.from_bytes(content)

    assert again.features == learned.features
    assert again.rows == learned.rows
    np.testing.assert_array_equal(again.shares, learned.shares)
    assert len(content) < 40 * FEATURES
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), b"", content[:100]):
        with pytest.raises(ValueError, match=r"digest|distributions"):
            FeatureDistributions.from_bytes(damaged)


def test_the_gate_warns_and_refuses_by_its_limits(learned):
    """The gate passes a healthy era, warns if a twentieth of the features drift, and refuses if most do."""
    findings = {}
    for changed in (0, 3, 40):
        codes = era(3000, 5)
        codes[:, :changed] = MIDDLE_BIN
        findings[changed] = feature_drift(learned.drift(codes), Limits())
    few = feature_drift(learned.drift(era(1000, 5)), Limits())
    unknown = feature_drift(None, Limits())

    assert (findings[0].ok, findings[0].value) == (True, 0.0)
    assert findings[3].ok
    assert findings[3].value.startswith("warning: 5.0% of the features are unlike every training era, feature_")
    assert not findings[40].ok
    assert "BOT_MAX_FEATURE_DRIFT" in findings[40].message
    assert few.ok
    assert "1000 rows are fewer" in few.value
    assert unknown.ok
    assert unknown.value.startswith("not compared")


def test_a_real_era_is_like_equal_bins(shared_data):
    """Of 42 features of a real era only the one with ties drifts from five equal bins."""
    table = pq.read_table(shared_data / "v5_small42_era0575_halfsample.parquet")
    names = [name for name in table.column_names if name.startswith("feature_")]
    codes = np.stack([table.column(name).to_numpy().astype(np.int8) for name in names], axis=1)
    eras = [sample(era(5000, seed, features=len(names))) for seed in range(52)]
    found = FeatureDistributions.of(names, eras, [len(codes)]).drift(codes)

    assert found.share <= 1 / len(names)
