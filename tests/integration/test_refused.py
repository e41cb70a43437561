"""A challenger that the promotion gate refuses: promoted by hand, submitted, neutralized to the benchmark or with a warning."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from bot.data.era_store import EraStore
from bot.data.live_file import read_live
from bot.data.reference_predictions import ReferencePredictions
from bot.history.feature_returns import update
from bot.judging.judge import find_weights, judged_ensemble
from bot.members.rows import RawRows
from bot.record.looks import LookRecord
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.serving.scorer import Scorer
from bot.serving.version_pin import Pin
from bot.submission import live_benchmark
from bot.submission.submission_file import read_submission
from bot.training.recipes import DEMO
from models.inference.ranks import rank_correlation
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation
from tests.harness.recipes import network_of, remade

STRICT = """
base = "demo"
weighting = "inverse_variance"
neutralizers = "benchmark"
neutralize = 1.0

[weights]
gbm = 0.5
tsmixer = 0.5

[floors]
min_skill = 1000
"""
VERSION = "v5.4"
"""Data version of the refused challenger; the champion is on v5.3."""


@pytest.fixture(scope="module")
def strict(tmp_path_factory, moved, world_folder):
    """
    An installation, the output of `bot retrain` with a recipe that nothing can satisfy, and the champion before.

    Its models equal those that ``moved`` has fitted, so they are taken from there.
    """
    root = tmp_path_factory.mktemp("strict")
    shutil.copytree(moved / "state", root / "state")
    (root / "recipes").mkdir()
    (root / "recipes" / "strict.toml").write_text(STRICT)
    store = ArtifactStore(root / "state" / "artifacts")
    other = store.open(store.champions("demo")[1])  # the one on v5.3
    manifest = {**other.manifest, "recipe": {**other.manifest["recipe"], "name": "strict"}}
    files = {name: other.path(name) for name in manifest["files"]}
    champion = store.write(files=files, manifest=manifest, at=datetime(2026, 1, 1, tzinfo=UTC)).id
    store.promote("strict", champion)
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule) as sandbox:
        sandbox.tournament.added.add(VERSION)
        installation = Installation(sandbox=sandbox, root=root)
        yield installation, installation.bot("retrain", "--recipe", "strict", "--data-version", VERSION), champion


@pytest.fixture(scope="module")
def kept_back(strict):
    """The artifact that the gate refused."""
    installation, _, _ = strict
    store = ArtifactStore(installation.state / "artifacts")
    return next(store.open(one) for one in store.identities() if store.open(one).manifest.get("benchmark"))


def test_refused_challenger_leaves_the_champion(strict, kept_back):
    """Such a retrain is no error: exit code 0, one line with the reason, and the artifact is kept."""
    _, result, champion = strict
    (verdict,) = [line for line in result.stdout.splitlines() if line.startswith("not promoted")]

    assert result.returncode == 0, result.stderr
    assert "the champion stays: skill: CORR is" in verdict
    assert "not 1000: it may be chance" in verdict
    assert kept_back.manifest["decision"]["champion"] == champion
    assert not kept_back.manifest["decision"]["promote"]
    assert "corr_vs_champion" in [one["gate"] for one in kept_back.manifest["decision"]["findings"]]


def test_refused_challenger_is_a_recorded_look(strict, kept_back):
    """It is another recipe than the champion's; a floor refused it, so that the look cost no confidence."""
    installation, result, champion = strict
    with closing(LookRecord(installation.state / "ledger.sqlite", read_only=True)) as record:
        look = record.last()

    assert (look.recipe, look.artifact, look.champion) == ("strict", kept_back.id, champion)
    assert (look.renewal, look.promoted, look.spent, dict(look.lead)) == (False, False, 0.0, {})
    assert "another recipe than the champion's must prove itself" in result.stdout


def test_refused_challenger_leaves_the_data_version(strict, kept_back):
    """A refused challenger of another version changes no pin: rounds and retrains keep the champion's version."""
    installation, result, _ = strict
    pin = Pin.of(ArtifactStore(installation.state / "artifacts"), "strict", "v5.3")

    assert kept_back.manifest["data_version"] == VERSION
    assert (pin.in_use, pin.to_train, pin.note) == ("v5.3", "v5.3", "")
    assert f"{VERSION} has 109 of the 120 features" in result.stderr
    assert {path.name[:4] for path in (installation.state / "store").iterdir()} == {"v5.3", VERSION}


def test_refused_challenger_is_promoted_by_hand(strict, kept_back, tmp_path):
    """`bot promote ID` replaces the champion anyway and prints the decision of the gate."""
    installation, _, champion = strict
    shutil.copytree(installation.state / "artifacts", tmp_path / "state" / "artifacts")
    store = ArtifactStore(tmp_path / "state" / "artifacts")
    before = store.champions("strict")
    result = replace(installation, root=tmp_path).bot("promote", kept_back.id)

    assert before == (champion,)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == f"recipe strict: champion is {kept_back.id}, on {VERSION}"
    assert "its gate had kept it back: skill: CORR is" in result.stdout
    assert store.champions("strict") == (kept_back.id, champion)


def rehearse(strict, kept_back, tmp_path, monkeypatch, *, asked=False):
    """Play the round as a dry run with the refused artifact; return receipt, report, live rows and predictions."""
    installation, _, _ = strict
    shutil.copytree(installation.state / "artifacts", tmp_path / "state" / "artifacts")
    shutil.copytree(installation.root / "recipes", tmp_path / "recipes")
    monkeypatch.chdir(tmp_path)
    ArtifactStore(tmp_path / "state" / "artifacts").promote("strict", kept_back.id)
    folder = tmp_path / "state" / "rounds-dry-run" / str(FIRST_ROUND)
    if asked:
        (folder / VERSION).mkdir(parents=True)
        (folder / VERSION / f"{live_benchmark.FILE}.asked").touch()
    receipt = replace(installation, root=tmp_path).submit(mode="dry-run", recipe="strict")
    report = json.loads((folder / SLOT / "report.json").read_text())
    live = read_live(folder / VERSION / "live.parquet")
    return receipt, report, live, read_submission(folder / SLOT / "predictions.csv").predictions, folder


@pytest.mark.usefixtures("no_backoff", "validated_here")
def test_round_is_neutralized_to_the_live_benchmark(strict, kept_back, tmp_path, monkeypatch):
    """The predictions do not correlate with the benchmark's of the same rows, although those of the members do."""
    receipt, report, live, sent, folder = rehearse(strict, kept_back, tmp_path, monkeypatch)
    benchmark = live_benchmark.benchmark_of(folder / VERSION / live_benchmark.FILE, live.ids, "v54_lgbm_ender60")
    plain = Scorer(kept_back).score(RawRows(names=live.names, values=live.values)).predictions

    assert kept_back.manifest["benchmark"] == "v54_lgbm_ender60"
    assert receipt.artifact == kept_back.id
    assert "neutralized" not in [gate["gate"] for gate in report["gates"]]
    assert abs(rank_correlation(sent, benchmark)) < 0.03 < abs(rank_correlation(plain, benchmark))


@pytest.mark.usefixtures("no_backoff", "validated_here")
def test_round_is_sent_without_the_benchmark_and_says_so(strict, kept_back, tmp_path, monkeypatch):
    """A missing benchmark file costs no round: log, report and receipt state that nothing was neutralized."""
    with structlog.testing.capture_logs() as logs:
        receipt, report, *_ = rehearse(strict, kept_back, tmp_path, monkeypatch, asked=True)
    (told,) = [one for one in receipt.findings if one.gate == "neutralized"]

    assert (receipt.outcome, receipt.filled_by) == ("dry run", "champion")
    assert told.value == "not neutralized: live_benchmark_models.parquet was asked for once in this round, in vain"
    assert told.value in [gate["value"] for gate in report["gates"]]
    assert [one["log_level"] for one in logs if one["event"] == "round.not_neutralized"] == ["error"]


def test_weights_of_a_rule_go_to_their_own_members(trained):
    """The better member gets the larger weight, wherever the recipe lists it: here trees on eras they were trained on."""
    (folder,) = (trained / "store").iterdir()
    store, artifacts = EraStore.open(folder), ArtifactStore(trained / "artifacts")
    artifact = artifacts.open(artifacts.champions("demo")[0])
    returns = update(store, network_of(DEMO).history_targets)
    judged = judged_ensemble(artifact, store, returns, ("target_ender_60",))
    eras = range(20, 90)
    reference = ReferencePredictions.read(trained / "data" / "v5.3", store, eras, target="target_ender_60")
    found = [
        find_weights(
            judged,
            eras,
            remade(DEMO, weighting="constrained", weights=dict.fromkeys(names, 0.5)),
            target="target_ender_60",
            reference=reference,
        )
        for names in (("gbm", "tsmixer"), ("tsmixer", "gbm"))
    ]

    assert [list(one) for one in found] == [["gbm", "tsmixer"], ["tsmixer", "gbm"]]
    assert found[0] == pytest.approx(found[1])
    assert found[0]["gbm"] > 0.55
