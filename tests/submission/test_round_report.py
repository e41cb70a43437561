"""The report of a round."""

import json

import numpy as np

from bot.findings import Absent
from bot.submission._round_report import RoundReport
from bot.submission.gates import check_submission


def report():
    random = np.random.default_rng(1)
    predictions = (random.permutation(100) + 1) / 101
    ids = [f"n{index}" for index in range(100)]
    return RoundReport.of(
        round=1405,
        slot="mixer",
        artifact="2026-11-24T120000Z-0001",
        data_version="v5.3",
        data_sha256="00" * 32,
        submission_id="s-1",
        predictions=predictions,
        members={"tsmixer": predictions**2, "gbm": -predictions},
        features=random.integers(0, 5, size=(100, 6), dtype=np.int8),
        validation={"tsmixer": {"mean": 0.02}, "gbm": {"mean": 0.01}, "ensemble": {"mean": 0.03}},
        drift=Absent("same artifact or none before"),
        findings=check_submission(ids, predictions, live_ids=ids),
        seconds={"fetch": 0.5},
    )


def test_report_is_json_with_a_schema_number():
    """The report is JSON and holds its schema number."""
    content = json.loads(report().to_json())

    assert content["schema"] == 1
    assert [gate["gate"] for gate in content["gates"]][:2] == ["ids", "finite"]


def test_members_are_compared_by_rank():
    """Each pair of members has its rank correlation."""
    pairs = report().member_correlation

    assert pairs["tsmixer~ensemble"] == 1.0
    assert pairs["tsmixer~gbm"] == -1.0


def test_largest_exposures_come_first():
    """Exposures are listed by size, and ``max_exposure`` is the largest."""
    one = report()
    sizes = [abs(value) for _, value in one.exposures]

    assert sizes == sorted(sizes, reverse=True)
    assert one.max_exposure == sizes[0]


def test_summary_is_one_flat_line():
    """The log line carries the held-out score of every member, drift, exposure and timings."""
    summary = report().summary()

    assert summary["validation_corr"] == {"tsmixer": 0.02, "gbm": 0.01, "ensemble": 0.03}
    assert summary["seconds"] == {"fetch": 0.5}
    assert summary["refused"] == []
