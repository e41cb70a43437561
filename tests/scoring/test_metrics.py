"""CORR, MMC, BMC and FNC equal numerai-tools on clean and on difficult input."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numerai_tools import scoring as official

from bot.scoring.metrics import FNC_SET, bmc, corr, corr_table, fnc_table, mmc, mmc_table, row_noise, target_variance
from tests.scoring.eras import per_era

pytestmark = pytest.mark.slow

TOLERANCE = 1e-12


def era(seed, rows, levels=None, missing=0.0):
    """Return slightly correlated predictions, meta model and five-bin targets of one era."""
    rng = np.random.default_rng(seed)
    y = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0], size=rows, p=[0.05, 0.2, 0.5, 0.2, 0.05])
    y[:5] = [0.0, 0.25, 0.5, 0.75, 1.0]
    p, m = (0.3 * y + rng.normal(size=rows) for _ in range(2))
    if levels:
        p, m = (np.round(x * levels) / levels for x in (p, m))
    y[rng.random(rows) < missing] = np.nan
    return p, m, y


def frames(p, m, y):
    index = pd.Index([f"n{i:06d}" for i in range(len(p))])
    return pd.DataFrame({"p": p}, index), pd.Series(m, index, name="m"), pd.Series(y, index, name="y")


def official_corr(p, m, y):
    p, _, y = frames(p, m, y)
    return official.numerai_corr(p, y)["p"]


def official_mmc(p, m, y):
    return official.correlation_contribution(*frames(p, m, y))["p"]


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(20, 600),
    levels=st.sampled_from([None, 2, 10]),
    missing=st.sampled_from([0.0, 0.05]),
)
def test_corr_and_mmc_equal_numerai_tools(seed, rows, levels, missing):
    """CORR and MMC equal numerai-tools, with ties, odd lengths and unknown targets."""
    p, m, y = era(seed, rows, levels, missing)

    assert corr(p, y) == pytest.approx(official_corr(p, m, y), abs=TOLERANCE)
    assert mmc(p, m, y) == pytest.approx(official_mmc(p, m, y), abs=TOLERANCE)


def test_scores_of_a_full_era_equal_numerai_tools():
    """CORR and BMC of an era of real size equal numerai-tools within the tolerance."""
    p, m, y = era(1, 6_001)

    assert corr(p, y) == pytest.approx(official_corr(p, m, y), abs=TOLERANCE)
    assert bmc(p, m, y) == pytest.approx(official_mmc(p, m, y), abs=TOLERANCE)


def test_float32_predictions_are_ranked_as_float32():
    """Predictions that are equal in float32 are ties, as in numerai-tools."""
    p, m, y = era(2, 500)
    p = (0.5 + p * 1e-6).astype(np.float32)

    assert len(np.unique(p)) < 500
    assert corr(p, y) == pytest.approx(official_corr(p, m, y), abs=TOLERANCE)


def test_an_increasing_map_of_predictions_leaves_corr_unchanged():
    """CORR depends only on the order of the predictions."""
    p, _, y = era(3, 300)

    assert corr(np.exp(p), y) == corr(p, y)


def test_constants_score_nan():
    """Constant input gives NaN where numerai-tools returns NaN, without a warning."""
    p, m, y = era(4, 100)
    flat = np.full(100, 0.5)

    assert np.isnan(corr(flat, y))
    assert np.isnan(corr(p, flat))
    assert np.isnan(mmc(p, flat, y))
    assert mmc(flat, m, y) == pytest.approx(official_mmc(flat, m, y), abs=TOLERANCE) == 0


def test_an_era_without_targets_scores_nan():
    """The score of an era without targets is NaN."""
    p, m, _ = era(5, 50)
    unknown = np.full(50, np.nan)

    assert np.isnan(corr(p, unknown))
    assert np.isnan(mmc(p, m, unknown))


def test_a_missing_prediction_is_an_error():
    """A NaN prediction is refused, because it has no rank."""
    p, _, y = era(6, 50)
    p[7] = np.nan

    with pytest.raises(ValueError, match="1 of 50"):
        corr(p, y)


def test_different_lengths_are_an_error():
    """Columns of different lengths are refused, not broadcast."""
    with pytest.raises(ValueError, match="same length"):
        corr(np.arange(3.0), np.arange(4.0))


def test_the_real_2020_file_gives_the_published_scores(shared_data):
    """CORR of the example predictions on twelve real eras has the values that numerai-tools computed."""
    table = pq.read_table(shared_data / "legacy2020_target_examplepred_eras121-132.parquet").to_pandas()

    scores = per_era(
        corr, table["era"].to_numpy(), table["example_prediction"].to_numpy(), table["target"].to_numpy(np.float64)
    )

    assert [round(scores[f"era{number}"], 6) for number in (121, 122, 123)] == [0.058111, 0.033344, 0.046498]
    assert np.mean(list(scores.values())) == pytest.approx(0.041160, abs=5e-7)
    assert np.std(list(scores.values())) == pytest.approx(0.030393, abs=5e-7)


def test_every_era_of_the_real_2020_file_equals_numerai_tools(shared_data):
    """CORR of several columns and their contribution to a meta model equal numerai-tools on each real era."""
    frame = pq.read_table(shared_data / "legacy2020_target_examplepred_eras121-132.parquet").to_pandas()
    rng = np.random.default_rng(12)
    frame["rounded"] = frame["example_prediction"].round(3)
    frame["mixed"] = frame["example_prediction"] + rng.normal(0, 0.02, size=len(frame))
    names, y = ["example_prediction", "rounded", "mixed"], frame["target"].to_numpy(np.float64)
    p, m = frame[names].to_numpy(), frame["mixed"].to_numpy()

    corrs, contributions = (
        per_era(corr_table, frame["era"].to_numpy(), p, y),
        per_era(mmc_table, frame["era"].to_numpy(), p, m, y),
    )

    assert len(corrs) == 12
    for label, part in frame.sort_index().groupby("era"):
        truth = part["target"].astype(np.float64)
        assert corrs[label][:, 0] == pytest.approx(official.numerai_corr(part[names], truth).to_numpy(), abs=TOLERANCE)
        assert contributions[label][:, 0] == pytest.approx(
            official.correlation_contribution(part[names], part["mixed"], truth).to_numpy(), abs=TOLERANCE
        )


@pytest.mark.slow
def test_every_era_of_the_real_2018_file_equals_numerai_tools(shared_data):
    """CORR of a feature differs from numerai-tools by at most 1e-14 on each of 132 real eras."""
    frame = pq.read_table(shared_data / "legacy2018_micro_50feat_7targets.parquet").to_pandas().dropna()
    distances = []
    for _, part in frame.groupby("era"):
        truth = part["bernie"].astype(np.float64)
        ours = corr_table(part[["x1"]].to_numpy(), truth.to_numpy())
        distances.append(float(np.squeeze(ours)) - float(official.numerai_corr(part[["x1"]], truth)["x1"]))

    assert len(distances) == 132
    assert np.max(np.abs(distances)) <= 1e-14


def table_of(seed, rows, levels, gaps):
    """Return three columns, a meta model, features and two targets, with different missing rows."""
    rng = np.random.default_rng(seed)
    sides = [era(seed + index, rows, levels) for index in range(3)]
    p, y = np.stack([side[0] for side in sides], axis=1), np.stack([side[2] for side in sides[:2]], axis=1)
    m = sides[0][1]
    for values in (p[:, 1], y[:, 1], m):
        values[rng.random(rows) < gaps] = np.nan
    return p, m, rng.integers(0, 5, size=(rows, 12), dtype=np.int8), y


@settings(deadline=None, max_examples=20)
@example(seed=2314, rows=30, levels=None, gaps=0.04)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(30, 400),
    levels=st.sampled_from([None, 3]),
    gaps=st.sampled_from([0.0, 0.04]),
)
def test_tables_equal_numerai_tools_column_by_column(seed, rows, levels, gaps):
    """Each entry equals numerai-tools, or is NaN where numerai-tools refuses because too few rows are known."""
    p, m, features, y = table_of(seed, rows, levels, gaps)
    found = {"corr": corr_table(p, y), "mmc": mmc_table(p, m, y), "fnc": fnc_table(p, features, y)}

    for column in range(3):
        for target in range(2):
            sent, meta, truth = frames(p[:, column], m, y[:, target])
            present = sent.dropna()
            neutralizers = pd.DataFrame(features, sent.index).loc[present.index]
            expected = {
                "corr": answer(official.numerai_corr, sent, truth),
                "mmc": answer(official.correlation_contribution, sent, meta, truth),
                "fnc": answer(official.feature_neutral_corr, present, neutralizers, truth),
            }
            for name, score in expected.items():
                assert found[name][column, target] == pytest.approx(
                    score, abs=1e-9 if name == "fnc" else TOLERANCE, nan_ok=True
                )


def answer(score, *sides):
    """Return a score of numerai-tools, or NaN if it refuses because of too few rows."""
    try:
        return score(*sides)["p"]
    except AssertionError as refusal:
        if "enough overlapping ids" not in str(refusal):
            raise
        return np.nan


def test_fnc_of_the_real_cross_section_equals_numerai_tools(shared_data):
    """FNC of real, correlated features equals numerai-tools."""
    frame = pq.read_table(shared_data / "v5_small42_era0575_halfsample.parquet").to_pandas().sort_index()
    names = [name for name in frame.columns if name.startswith("feature_")]
    p, _, y = era(13, len(frame))
    p += frame[names].to_numpy() @ np.linspace(-0.2, 0.2, len(names))

    found = fnc_table(p, frame[names].to_numpy(np.int8), y)[0, 0]

    sent, truth = pd.DataFrame({"p": p}, frame.index), pd.Series(y, frame.index, name="y")
    assert found == pytest.approx(official.feature_neutral_corr(sent, frame[names], truth)["p"], abs=1e-9)
    assert found != pytest.approx(corr(p, y), abs=1e-3)


def test_the_feature_set_of_fnc_is_numerais(shared_data):
    """The real features.json has the feature set of FNC, with 400 features."""
    for version in ("v5.0", "v5.2"):
        sets = json.loads((shared_data / f"{version}_features.json").read_text())["feature_sets"]
        assert len(sets[FNC_SET]) == 400


def test_an_era_that_is_covered_too_little_is_not_computed():
    """A score is NaN below four fifths of the rows, where numerai-tools refuses, and computed at four fifths."""
    p, m, y = era(14, 100)
    late = np.where(np.arange(100) < 21, np.nan, m)
    nearly = np.where(np.arange(100) < 20, np.nan, m)

    assert np.isnan(mmc_table(p, late, y)).all()
    assert np.isnan(mmc_table(p, np.full(100, np.nan), y)).all()
    assert np.isnan(corr_table(late, y)).all()
    assert np.isfinite(mmc_table(p, nearly, y)).all()
    assert corr_table(nearly, y)[0, 0] == pytest.approx(official_corr(nearly, m, y), abs=TOLERANCE)


def test_constants_in_tables_are_not_computed():
    """Scores are NaN only for a constant column, a constant target or features that explain a column completely."""
    p, m, y = era(15, 200)
    flat = np.full(200, 0.5)
    features = np.random.default_rng(15).integers(0, 5, size=(200, 3), dtype=np.int8)
    stepped = np.where(features[:, 0] > 2, 1.0, 0.0)

    corrs = corr_table(np.stack([p, flat], axis=1), np.stack([y, flat], axis=1))
    fncs = fnc_table(np.stack([p, flat, stepped], axis=1), np.eye(3, dtype=np.int8)[[0, 1] * 100] + features * 0, y)

    assert np.isnan(corrs).tolist() == [[False, True], [True, True]]
    assert corrs[0, 0] == corr(p, y)
    assert np.isnan(mmc_table(p, flat, y)).all()
    assert mmc_table(flat, m, y)[0, 0] == 0
    assert np.isnan(fncs[:, 0]).tolist() == [False, True, False]
    assert np.isnan(fnc_table(stepped, (stepped[:, None] * 4).astype(np.int8), y)).all()


def test_scoring_imports_neither_scipy_nor_pandas():
    """Scoring imports neither scipy, pandas, sklearn nor torch, which are slow to load."""
    code = (
        "import sys, numpy, bot.scoring.metrics, bot.scoring.neutralize, models.inference.ensemble;"
        "bot.scoring.metrics.corr(numpy.arange(9.0), numpy.arange(9.0));"
        "print([m for m in ('scipy', 'pandas', 'sklearn', 'torch') if m in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("bins", [5, 7])
def test_the_noise_of_a_contribution_is_that_of_its_target(bins):
    """The variance of a target, of any number of bins, gives the deviation of shuffled contributions."""
    random = np.random.default_rng(2)
    target = random.integers(0, bins, 400) / (bins - 1)
    target[:7] = np.nan
    other, own = random.normal(size=(2, 400))
    shuffled = [mmc(random.permutation(own), other, target) for _ in range(600)]
    noise = row_noise("mmc", 393, target_variance(target))

    assert np.std(shuffled) == pytest.approx(float(noise), rel=0.15)
    assert row_noise("corr", [401, 1], 0.0) == pytest.approx([0.05, 1.0])
    assert np.isnan(target_variance(np.full(3, np.nan)))
