"""`bot scores` correlates a confirmed submission with Numerai's benchmark model."""

import json

import numpy as np
import pytest

from bot.sandbox.faults import Fault
from bot.submission.live_benchmark import FILE, benchmark_of
from bot.submission.submission_file import read_submission
from models.inference.ranks import rank_correlation
from tests.harness.installation import FIRST_ROUND, SLOT

COLUMN = "v53_lgbm_ender60"


def kept(installation):
    """Return the stored comparison, or ``None``."""
    path = installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "likeness.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def test_a_confirmed_submission_is_held_beside_the_benchmark_once(installation):
    """The correlation uses the sent file, is shown with the round, and is computed once."""
    installation.bot("submit")
    first, second = installation.bot("scores"), installation.bot("scores")
    found = kept(installation)
    sent = read_submission(installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "predictions.csv")
    served = installation.sandbox.tournament.live_folder(FIRST_ROUND, "v5.3") / FILE
    benchmark = benchmark_of(served, sent.ids, COLUMN)

    assert first.returncode == second.returncode == 0, first.stderr
    assert found["correlation"] == pytest.approx(rank_correlation(sent.predictions, benchmark), abs=1e-12)
    assert (found["benchmark"], found["rows"], found["finding"]) == (COLUMN, len(sent.ids), "")
    assert f"round {FIRST_ROUND}, {SLOT}: rank correlation {found['correlation']:.3f} with {COLUMN}" in first.stdout
    assert "rank correlation" not in second.stdout
    assert (
        f"benchmark   {found['correlation']:.3f} with {COLUMN}" in installation.bot("status", str(FIRST_ROUND)).stdout
    )
    assert np.isfinite(benchmark).all()


def test_a_submission_unlike_the_benchmark_is_a_finding(installation):
    """A correlation below the operator's limit is reported on the terminal, in the log and with the round."""
    installation.bot("submit")
    told = installation.bot("scores", BOT_MIN_BENCHMARK_CORR="0.999")

    assert told.returncode == 0
    assert "unlike the benchmark, at least 0.999 is expected" in told.stdout
    assert '"level": "warning"' in next(line for line in told.stderr.splitlines() if "benchmark.compared" in line)
    assert kept(installation)["finding"]


def test_without_a_benchmark_nothing_is_said_and_scores_come_all_the_same(installation):
    """If the benchmark file is unavailable, only the comparison is skipped and retried later."""
    installation.bot("submit")
    installation.sandbox.faults.add(Fault(operation="GET", kind="bad_gateway", times=50))
    without = installation.bot("scores")
    installation.sandbox.faults.clear()
    later = installation.bot("scores")

    assert without.returncode == later.returncode == 0, without.stderr
    assert "benchmark.unknown" in without.stderr
    assert "rank correlation" not in without.stdout
    assert "rank correlation" in later.stdout


def test_only_what_was_sent_is_compared(installation):
    """Predictions of a later, refused attempt are not compared."""
    installation.bot("submit")
    path = installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "predictions.csv"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))

    assert "is not the file that was sent" in installation.bot("scores").stderr
    assert kept(installation) is None
