"""`bot evaluate` and `bot report` after `bot retrain`, and the page that a retrain writes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import structlog

from bot.cli.evaluation import report_new_artifact
from bot.data.era_store import EraStore
from bot.reporting.evaluate import Evaluator
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.settings import load_settings
from tests.harness.installation import LIMIT_S

GROUPS = 13


@pytest.fixture(scope="module")
def identity(trained) -> str:
    return ArtifactStore(trained / "artifacts").identities()[-1]


@pytest.fixture(scope="module")
def page(trained, identity) -> Path:
    """Return the page that the retrain wrote."""
    return trained / "reports" / f"{identity}.html"


@pytest.fixture(scope="module")
def figures(page) -> dict:
    return json.loads(page.with_suffix(".json").read_text())


@pytest.fixture
def state(trained, tmp_path) -> Path:
    return shutil.copytree(trained, tmp_path / "state")


def bot(state, *arguments):
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("BOT_", "NUMERAI_"))}
    environment = {**outside, "BOT_STATE_DIR": str(state), "BOT_RECIPE": "demo"}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    return subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        env=environment,
        cwd=state.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )


def test_retrain_leaves_a_page(page):
    """A retrain writes the page of its artifact, promoted or not."""
    assert page.read_text().rstrip().endswith("</html>")
    assert page.stat().st_size < 1_000_000


def test_evaluation_equals_the_judgement(figures, trained, identity):
    """On the hold-out, every score of every member equals the judge's score."""
    judged = json.loads((trained / "artifacts" / identity / "evaluation.json").read_text())["holdout"]

    assert figures["eras"] == judged["eras"]
    for score, members in judged["scores"].items():
        for name, series in members.items():
            expected, found = (np.array(one, dtype=float) for one in (series, figures["series"][score][name]))
            np.testing.assert_allclose(found, expected, atol=1e-12)


def test_only_unseen_eras_are_measured(figures):
    """Every era is later than the training and validation eras and their embargo."""
    eras = figures["about"]["eras"]

    assert min(figures["eras"]) == eras["holdout"][0]
    assert int(eras["holdout"][0]) - int(eras["validation"][1]) > 16


def test_evaluation_repeats_the_leakage_checks(figures):
    """The judge's leakage checks run again on these eras, and pass."""
    assert {one["gate"]: one["ok"] for one in figures["leaks"]} == dict.fromkeys(
        ("purge", "lag", "feature", "too_good"), True
    )
    assert figures["leaks"][1]["value"] == f"{len(figures['eras'])} histories"


def test_eras_without_a_meta_model_are_null_and_not_zero(figures):
    """MMC is null before the first era of the meta model."""
    series = figures["series"]["mmc"]["ensemble"]
    known = [era for era, value in zip(figures["eras"], series, strict=True) if value is not None]

    assert None in series
    assert 0.0 not in series
    assert known == figures["eras"][-len(known) :]
    assert figures["members"]["ensemble"]["mmc"]["eras"] == len(known)


def test_figures_cover_targets_regimes_correlations_and_importance(figures):
    """Targets, regimes, correlations with benchmark and meta model, and importance by group and feature are there."""
    pairs = {tuple(one["of"]) for one in figures["alike"]}

    assert len(figures["by_target"]) == 4
    benchmark = np.array(figures["others"]["benchmark"], float)
    assert figures["references"]["benchmark"]["mean"] == pytest.approx(np.nanmean(benchmark))
    difference = np.nanmean(np.array(figures["series"]["corr"]["ensemble"], float) - benchmark)
    assert figures["differences"]["benchmark"]["mean"] == pytest.approx(difference)
    assert {"time", "benchmark", "exposure"} <= {one["name"] for one in figures["regimes"]}
    assert {("ensemble", "benchmark"), ("ensemble", "meta model"), ("tsmixer", "gbm")} <= pairs
    assert set(figures["importance"]["permutation"]) == {"tsmixer", "gbm", "ensemble"}
    for parts in (*figures["importance"]["permutation"].values(), figures["importance"]["gain"]["gbm"]):
        assert len(parts["groups"]) == GROUPS
        assert len(parts["features"]) >= 10
    assert 0 < figures["calibration"]["error"] < 0.2
    assert figures["not_computed"]["drift"].startswith("no round has been played yet")


def test_command_prints_a_table_and_the_paths_of_the_files(state, identity):
    """`bot evaluate` prints members and ensemble, writes figures and page, and prints both paths."""
    shutil.rmtree(state / "reports")
    result = bot(state, "evaluate", "--artifact", identity, "--pay", "corr=3,mmc=15,clip=1")

    assert result.returncode == 0, result.stderr
    for word in (
        "pay of 1 an era, by corr=3,mmc=15,clip=1 (3 x corr, 15 x mmc): tsmixer",
        "not computed: churn: there was no champion",
        "tsmixer",
        "gbm",
        "ensemble",
        "target_ender_20",
        "time: low",
        "not computed: seeds",
    ):
        assert word in result.stdout
    *_, figures, page = result.stdout.split()
    assert (state.parent / figures).is_file()
    assert (state.parent / page).is_file()


def test_report_is_drawn_again_from_the_figures(state, identity, page):
    """`bot report ID` needs neither model nor store if the figures are there."""
    (state / "reports" / f"{identity}.html").unlink()
    shutil.rmtree(state / "store")
    result = bot(state, "report", identity)

    assert result.returncode == 0, result.stderr
    assert (state.parent / result.stdout.strip()).read_text() == page.read_text()


def test_missing_meta_model_has_a_reason_and_live_rows_are_compared(state, identity, world_folder):
    """Without the meta model's file MMC has a reason instead of figures; with a played round there is drift."""
    (state / "data" / "v5.3" / "meta_model.parquet").unlink()
    live = World.open(world_folder).live(0).folder / "live.parquet"
    (state / "rounds" / "1405" / "v5.3").mkdir(parents=True)
    shutil.copy(live, state / "rounds" / "1405" / "v5.3" / "live.parquet")
    found = Evaluator(artifacts=ArtifactStore(state / "artifacts"), state_dir=state).evaluate(identity)

    assert "meta_model.parquet" in found["not_computed"]["mmc"]
    assert "mmc" not in found["members"]["ensemble"]
    assert {one["measure"] for one in found["drift"]} >= {"rows", "distance of correlations"}
    assert found["drift"][0]["round"] == 1405


def test_unknown_artifact_is_refused_in_one_line(state):
    """An unknown artifact is one line and exit code 78."""
    result = bot(state, "evaluate", "--artifact", "2020-01-01T000000Z-0000")

    assert result.returncode == 78
    assert result.stderr.startswith("error: artifact 2020-01-01T000000Z-0000 is not in")
    assert result.stderr.count("\n") == 1


def test_failing_report_never_fails_a_retrain(state, identity, monkeypatch):
    """An evaluation that fails is logged, and the retrain succeeds."""
    (folder,) = (state / "store").iterdir()
    EraStore.open(folder)
    next(folder.glob("blocks/*.features")).unlink()
    monkeypatch.setenv("BOT_STATE_DIR", str(state))
    with structlog.testing.capture_logs() as logged:
        report_new_artifact(load_settings(), identity)

    assert [entry["event"] for entry in logged] == ["report.failed"]
    assert "bot sync" in logged[0]["error"]
