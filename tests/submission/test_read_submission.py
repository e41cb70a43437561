"""The submission file is read back as it was written, or refused in one line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import GateFailed
from bot.submission.submission_file import read_submission, render
from tests.harness.shapes import refusal

IDS = [f"n{row:015x}" for row in range(4)]


def test_rows_are_read_back(tmp_path):
    """Ids and predictions are those that were written."""
    (tmp_path / "p.csv").write_bytes(render(IDS, np.array([0.25, 0.5, 0.125, 0.75])))
    rows = read_submission(tmp_path / "p.csv")

    assert (list(rows.ids), rows.predictions.tolist()) == (IDS, [0.25, 0.5, 0.125, 0.75])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"prediction,id\n0.5,n1\n",
        b"id,prediction,id\nn1,0.5,n2\n",
        b"id,prediction\nn1,0.5\nn2\n",
        b"id,prediction\nn1,0.5,0.6\n",
        b"id,prediction\nn1,half\n",
        b"n1,0.5\n",
    ],
)
def test_other_columns_are_refused(tmp_path, content):
    """Columns in another order, repeated or missing are refused: a gate would check other values."""
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(GateFailed, match="is not the file that was written"):
        read_submission(tmp_path / "p.csv")


@settings(deadline=None)
@given(content=st.binary(max_size=60))
def test_any_content_is_read_or_refused(content, tmp_path_factory):
    """Damaged content is a refusal, never another error."""
    path = tmp_path_factory.mktemp("csv") / "p.csv"
    path.write_bytes(b"id,prediction\n" + content)
    refusal(read_submission, path)
