"""Benchmark predictions of an open round: in the order of the live rows, or the reason why there are none."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.data.live_file import LiveFile
from bot.findings import Absent
from bot.submission.live_benchmark import FILE, live_benchmark
from bot.tournament.rounds import Round
from tests.harness.readers import check_live_benchmark

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LIVE = LiveFile(
    ids=tuple("abcde"), era="X", names=(), values=np.empty((5, 0), np.int8), missing=0, strange=0
)  # fmt: skip


class Server:
    """A server that knows the time and refuses to be asked for anything."""

    def __init__(self, now=NOW):
        self._now = now

    def server_now(self):
        return self._now


def ask(folder, *, now=NOW, column="v53_lgbm_ender60"):
    round_ = Round(number=1, opens_at=NOW, closes_at=NOW + timedelta(hours=1))
    return live_benchmark(Server(now), round_, folder, LIVE, version="v5.3", column=column)


def write(folder, ids, values):
    pq.write_table(pa.table({"id": list(ids), "v53_lgbm_ender60": values}), folder / FILE)


def test_predictions_follow_the_live_rows(tmp_path):
    """The order of the file and rows that are not live do not matter; a row without a prediction is NaN."""
    write(tmp_path, "edcaxy", [5.0, 4.0, 3.0, 1.0, 9.0, 9.0])
    np.testing.assert_array_equal(ask(tmp_path), [1.0, np.nan, 3.0, 4.0, 5.0])


@pytest.mark.parametrize(
    ("ids", "values", "column", "reason"),
    [
        ("abcxy", [1.0, 2.0, 3.0, 4.0, 5.0], "v53_lgbm_ender60", "covers 60% of the live rows, not 80%"),
        ("abcde", [1.0, None, None, 4.0, 5.0], "v53_lgbm_ender60", "covers 60% of the live rows"),
        ("abcde", [1.0, 2.0, 3.0, 4.0, 5.0], "v60_lgbm_ender60", "has no column 'v60_lgbm_ender60'"),
    ],
)
def test_file_that_does_not_fit_is_not_used(tmp_path, ids, values, column, reason):
    """Rows of another round, too few rows, or a column of another data version are refused with their reason."""
    write(tmp_path, ids, values)

    assert reason in ask(tmp_path, column=column).reason


COLUMN = "v53_lgbm_ender60"


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_any_shape_gives_the_same_predictions_or_a_reason(data, tmp_path_factory):
    """Columns and rows in any order, of any type, repeated or dropped, give each live row its own prediction or a reason."""
    check_live_benchmark(data, tmp_path_factory.mktemp("benchmark"))


@pytest.mark.parametrize("name", ["id", COLUMN])
def test_a_repeated_column_is_a_reason(tmp_path, name):
    """Two columns of one name are not used."""
    plain = pa.table({"id": list("abcde"), COLUMN: [1.0, 2.0, 3.0, 4.0, 5.0]})
    pq.write_table(plain.append_column(name, plain.column(name)), tmp_path / FILE)

    assert "twice" in ask(tmp_path).reason


def test_predictions_that_are_no_numbers_count_as_none(tmp_path):
    """Infinity is no prediction, as NaN."""
    write(tmp_path, "abcde", [1.0, float("inf"), 3.0, 4.0, 5.0])

    np.testing.assert_array_equal(ask(tmp_path), [1.0, np.nan, 3.0, 4.0, 5.0])


def test_damaged_file_is_a_reason_and_no_error(tmp_path):
    """A file that cannot be read is a reason, not an error."""
    (tmp_path / FILE).write_bytes(b"PAR1 and then nothing")

    assert isinstance(ask(tmp_path), Absent)


def test_nothing_is_fetched_when_time_is_short(tmp_path):
    """Less than four minutes before the guard, nothing is fetched."""
    found = ask(tmp_path, now=NOW + timedelta(minutes=57))

    assert "too few to wait for" in found.reason
    assert list(tmp_path.iterdir()) == []


def test_killed_fetch_is_not_waited_for_again(tmp_path):
    """A killed attempt leaves a marker file, and the next attempt does not fetch again."""
    (tmp_path / f"{FILE}.asked").touch()

    assert "in vain" in ask(tmp_path).reason
