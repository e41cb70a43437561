"""The validation in the child process equals Numerai's function with all of its libraries."""

import numpy as np
import pandas as pd
import pytest
from numerai_tools.submissions import validate_submission_numerai

from bot.submission.submission_file import OfficialValidation

pytestmark = pytest.mark.slow

IDS = [f"n{number:015x}" for number in range(200)]
GOOD = np.random.default_rng(1).uniform(0.01, 0.99, len(IDS))


def changed(position, value):
    values = GOOD.copy()
    values[position] = value
    return pd.DataFrame({"id": IDS, "prediction": values})


FILES = {
    "good": pd.DataFrame({"id": IDS, "prediction": GOOD}),
    "constant": pd.DataFrame({"id": IDS, "prediction": 0.5}),
    "too few": pd.DataFrame({"id": IDS[:50], "prediction": GOOD[:50]}),
    "twice": pd.DataFrame({"id": [*IDS[:-1], IDS[0]], "prediction": GOOD}),
    "other column": pd.DataFrame({"id": IDS, "score": GOOD}),
    "unknown": changed(3, np.nan),
    "too large": changed(3, 1.5),
    "negative": changed(3, -0.1),
    "infinite": changed(3, np.inf),
}


@pytest.mark.parametrize("name", FILES)
def test_the_child_returns_the_verdict_of_the_function(tmp_path, name):
    """The child accepts what the function accepts, and returns the message of its refusal."""
    pd.DataFrame({"id": IDS}).to_parquet(tmp_path / "live.parquet", index=False)
    FILES[name].to_csv(tmp_path / "predictions.csv", index=False)
    try:
        validate_submission_numerai(pd.Series(IDS, name="id"), pd.read_csv(tmp_path / "predictions.csv"))
        expected = None
    except AssertionError as error:
        expected = f"AssertionError: {error}"

    verdict = OfficialValidation(tmp_path / "live.parquet", tmp_path / "predictions.csv").verdict()

    assert verdict == (None if expected is None else expected.splitlines()[-1])
    assert (name == "good") == (verdict is None)
