"""Gates: Numerai accepts every file that passes them, and each kind of bad file is refused."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numerai_tools.submissions import validate_submission_numerai

from bot.submission.gates import Limits, check_submission, columns_as_filed
from models.inference.ranks import rank_correlation

ROWS = 120
IDS = [f"n{index:015x}" for index in range(ROWS)]
GOOD = (np.random.default_rng(1).permutation(ROWS) + 1) / (ROWS + 1)


def refused(ids=IDS, predictions=GOOD, **more):
    return {finding.gate for finding in check_submission(ids, predictions, live_ids=IDS, **more) if not finding.ok}


def with_value(value, position=3):
    poisoned = GOOD.copy()
    poisoned[position] = value
    return poisoned


def test_healthy_submission_passes():
    """Uniform ranks of the live ids pass every gate."""
    assert refused() == set()


@pytest.mark.parametrize(
    ("gate", "ids", "predictions"),
    [
        ("finite", IDS, with_value(np.nan)),
        ("finite", IDS, with_value(np.inf)),
        ("range", IDS, with_value(0.0)),
        ("range", IDS, with_value(1.0)),
        ("range", IDS, with_value(-0.1)),
        ("range", IDS, GOOD * 2),
        ("std", IDS, np.full(ROWS, 0.5)),
        ("std", IDS, 0.5 + GOOD * 1e-6),
        ("distinct", IDS, np.where(GOOD > 0.5, 0.9, 0.1)),
        ("ids", IDS[:-1], GOOD[:-1]),
        ("ids", [*IDS[:-1], IDS[0]], GOOD),
        ("ids", [*IDS[:-1], "nffffffffffffff"], GOOD),
        ("ids", [*IDS, "nffffffffffffff"], np.append(GOOD, 0.5)),
        ("ids", [], np.array([])),
    ],
)
def test_bad_files_are_refused(gate, ids, predictions):
    """Each bad file is refused by its gate."""
    assert gate in refused(ids, predictions)


def test_too_few_rows_are_refused():
    """A live file with a handful of rows is refused."""
    findings = check_submission(IDS[:10], GOOD[:10], live_ids=IDS[:10])

    assert "ids" in {finding.gate for finding in findings if not finding.ok}


def test_exposure_to_one_feature_is_refused():
    """Predictions equal to one feature are refused, and the message names the setting."""
    features = np.random.default_rng(2).integers(0, 5, size=(ROWS, 3), dtype=np.int8)
    predictions = (features[:, 1].astype(float) * ROWS + np.arange(ROWS) + 1) / (5 * ROWS + 1)
    findings = check_submission(IDS, predictions, live_ids=IDS, features=features)
    exposure = next(finding for finding in findings if finding.gate == "exposure")

    assert not exposure.ok
    assert "BOT_MAX_EXPOSURE" in exposure.message


@pytest.mark.parametrize("drift", [-0.9, 0.0, float("nan")])
def test_reversed_predictions_are_refused(drift):
    """A retrain that reverses the predictions is refused."""
    assert refused(drift=drift) == {"drift"}


def test_limits_are_settings():
    """Each limit can be changed."""
    assert refused(drift=0.5, limits=Limits(min_drift=0.8)) == {"drift"}


@settings(deadline=None, max_examples=80)
@given(
    values=st.lists(st.floats(-0.2, 1.2) | st.sampled_from([0.0, 1.0, float("nan")]), min_size=60, max_size=60),
    ids=st.lists(st.sampled_from(IDS[:61]), min_size=60, max_size=60),
    straight=st.booleans(),
)
def test_numerai_accepts_every_file_that_passes(values, ids, straight):
    """Numerai's own validation accepts every file that passes the gates."""
    live = IDS[:60]
    sent = live if straight else ids
    findings = check_submission(sent, np.array(values), live_ids=live)
    if all(finding.ok for finding in findings):
        validate_submission_numerai(pd.Series(live, name="id"), pd.DataFrame({"id": sent, "prediction": values}))


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=5, max_size=40))
def test_rank_correlation_is_spearmans(values):
    """Rank correlation with ties is that of pandas, and an increasing map leaves it at 1."""
    a = np.array(values, dtype=float)
    b = np.random.default_rng(len(values)).permutation(a)
    if np.ptp(a) == 0:
        assert np.isnan(rank_correlation(a, b))
        return

    assert rank_correlation(a, b) == pytest.approx(pd.Series(a).rank().corr(pd.Series(b).rank()), abs=1e-9)
    assert rank_correlation(a, a**3 + 1) == pytest.approx(1.0)


def test_columns_that_differ_from_the_file_refuse():
    """Features whose scored values differ from the file are counted and named."""
    assert columns_as_filed((), 42).ok
    found = columns_as_filed(("feature_b", "feature_c"), 42)

    assert (found.ok, found.value) == (False, "40 of 42 as in the live file")
    assert "2 of 42 scored features differ" in found.message
    assert "feature_b first" in found.message
