"""A new data version, from its announcement to a round that is scored on it, and back, over HTTP."""

import json
import shutil
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import structlog

from bot.cli.models import retrain
from bot.data.live_file import read_live
from bot.data.reference_predictions import ReferencePredictions
from bot.errors import NumeraiUnavailable
from bot.history.published import history_path
from bot.judging._champion_comparison import (
    Challenger,
    Champions,
    Holdout,
    OpenedChampion,
    ServingCheck,
    compare_with_champion,
)
from bot.judging.champion_test import START
from bot.judging.judge import judge, open_judged
from bot.record.ledger import Ledger
from bot.record.looks import LookRecord
from bot.sandbox.faults import Fault
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import ENSEMBLE
from bot.submission.submission_file import read_submission
from bot.training import recipe_file
from tests.harness.installation import FIRST_ROUND, SLOT, Installation

TARGET = "target_ender_60"


@pytest.fixture
def sandbox(sandbox):
    sandbox.tournament.added.add("v5.4")
    return sandbox


@pytest.fixture
def upgraded(sandbox, moved, tmp_path):
    """A bot with a v5.4 champion and a v5.3 champion before it, ready to submit; the setting is still v5.3."""
    shutil.copytree(moved / "state" / "artifacts", tmp_path / "state" / "artifacts")
    return Installation(sandbox=sandbox, root=tmp_path)


@pytest.fixture
def store(upgraded):
    return ArtifactStore(upgraded.state / "artifacts")


def scored_on(installation, number=FIRST_ROUND):
    """Return the data versions of a round's live files."""
    return {path.parent.name for path in (installation.state / "rounds" / str(number)).glob("*/live.parquet")}


def test_sync_announces_the_overlap_of_both_versions(moved):
    """The announcement names the overlap, the size of a retrain and its command; nothing else changes."""
    code, output, _ = json.loads((moved / "sync").read_text())

    assert code == 0
    assert "data version v5.4 is offered; v5.3 stays pinned until `bot retrain --data-version v5.4`" in output
    assert "v5.4 has 109 of the 120 features and 41 of the 41 targets of v5.3, and 14 features more" in output
    assert "v5.3: every file is current" in output
    assert "v5.4:" not in output


def test_retrain_moves_the_pin_by_a_promoted_challenger(moved):
    """The challenger is of v5.4, logs the overlap, was compared with the v5.3 champion, and both stores stay."""
    code, output, logged = json.loads((moved / "retrain").read_text())
    artifacts = ArtifactStore(moved / "state" / "artifacts")
    newest, before = (artifacts.open(one) for one in artifacts.champions("demo"))
    gates = {one["gate"]: one for one in newest.manifest["decision"]["findings"]}
    stores = {folder.name for folder in (moved / "state" / "store").iterdir()}

    assert code == 0, logged
    assert "v5.4 has 109 of the 120 features" in logged
    assert [one.manifest["data_version"] for one in (newest, before)] == ["v5.4", "v5.3"]
    assert newest.manifest["decision"]["champion"] == before.id
    assert {"corr_vs_champion", "bmc_vs_champion", "mmc_vs_champion", "like_champion"} <= gates.keys()
    assert gates["like_champion"]["value"] > 0.5
    assert stores == {one.manifest["store"] for one in (newest, before)}
    assert history_path(moved / "state", "v5.4").is_file()
    assert f"no worse than {before.id}" in " ".join(output.split())


def test_the_decision_is_a_recorded_look(moved):
    """The ledger has one look: a renewal of the same recipe that cost no confidence, with its lead by era."""
    newest, before = ArtifactStore(moved / "state" / "artifacts").champions("demo")
    with closing(LookRecord(moved / "state" / "ledger.sqlite", read_only=True)) as record:
        look, count = record.last(), record.count("0000")

    assert count == 1
    assert (look.recipe, look.artifact, look.champion) == ("demo", newest, before)
    assert (look.renewal, look.promoted, look.spent, look.remaining) == (True, True, 0.0, START)
    assert (min(look.lead), max(look.lead)) >= (look.first_era, look.first_era)
    assert len(look.lead) > 24


@pytest.mark.usefixtures("no_backoff", "validated_here")
def test_rounds_follow_the_champion_and_rollback_brings_them_back(upgraded, sandbox, store):
    """With an unchanged setting a round is scored on v5.4 and confirmed, and after `bot rollback` the next on v5.3."""
    newest, before = store.champions("demo")
    with structlog.testing.capture_logs() as logs:
        first = upgraded.submit()
    status = upgraded.bot("status").stdout
    sandbox.clock.advance(timedelta(days=1))
    back = upgraded.bot("rollback")
    second = upgraded.submit()
    (noted,) = [line["note"] for line in logs if line["event"] == "data_version.pinned"]
    compared = [next(finding.value for finding in one.findings if finding.gate == "drift") for one in (first, second)]

    assert [(one.outcome, one.artifact, one.data_version, one.filled_by) for one in (first, second)] == [
        ("confirmed", newest, "v5.4", "champion"),
        ("confirmed", before, "v5.3", "champion"),
    ]
    assert compared == ["same artifact or none before", "the last artifact is on v5.4"]
    assert noted == "recipe demo: champion on v5.4; BOT_DATA_VERSION is v5.3"
    assert f"champion  demo: {newest}, on v5.4\nnote      {noted}\n" in status
    assert back.stdout == f"recipe demo: champion is {before}, on v5.3\n"
    assert [scored_on(upgraded, FIRST_ROUND + one) for one in (0, 1)] == [{"v5.4"}, {"v5.3"}]
    assert [one.round for one in sandbox.tournament.submissions if one.accepted] == [FIRST_ROUND, FIRST_ROUND + 1]
    again = upgraded.bot("promote", newest)
    assert again.stdout.startswith(f"recipe demo: champion is {newest}, on v5.4\n")


@pytest.mark.usefixtures("no_backoff", "validated_here")
def test_a_challenger_that_was_kept_back_moves_nothing(upgraded, store, trains_on):
    """Before a v5.4 artifact is promoted, rounds and retrains stay on v5.3, unless the setting is newer."""
    store._point("demo", store.champions("demo")[1:], by="gate")
    newer = upgraded.submit(data_version="v5.4")

    assert (newer.data_version, newer.artifact) == ("v5.3", store.champions("demo")[0])
    assert trains_on() == "v5.3"
    assert trains_on("v5.4") == trains_on(setting="v5.4") == "v5.4"


def test_plain_retrains_stay_on_the_version_of_the_champion(trains_on):
    """After the move, retrains follow the champion without a change of settings; an option has precedence."""
    assert trains_on() == "v5.4"
    assert trains_on("v5.3") == "v5.3"


@pytest.fixture
def trains_on(upgraded, monkeypatch):
    """Return a function that returns the data version that `bot retrain` would train on."""
    monkeypatch.setattr("bot.judging.challenger.Retrainer.retrain", lambda _, plan: plan.data_version)
    recipe = recipe_file.find("demo")

    def data_version(option=None, setting="v5.3"):
        return retrain.retrain_alone(upgraded.settings_as(data_version=setting), [recipe], option, lambda: False)[0]

    return data_version


@pytest.mark.usefixtures("no_backoff", "validated_here")
def test_a_damaged_champion_gives_way_to_one_of_another_version(upgraded, sandbox, store):
    """The v5.3 champion before it fills the round from v5.3's own live file, which has the same rows."""
    newest, before = store.champions("demo")
    store.open(newest).path("gbm.txt").write_bytes(b"tree")
    receipt = upgraded.submit()
    folder = upgraded.state / "rounds" / str(FIRST_ROUND)
    report = json.loads((folder / SLOT / "report.json").read_text())

    assert (receipt.outcome, receipt.artifact, receipt.filled_by) == ("confirmed", before, "previous champion")
    assert (receipt.data_version, report["data_version"]) == ("v5.3", "v5.3")
    assert scored_on(upgraded) == {"v5.3", "v5.4"}
    assert list(read_submission(folder / SLOT / "predictions.csv").ids) == sandbox.tournament.live_ids(FIRST_ROUND)
    assert len({read_live(path).ids_sha256 for path in folder.glob("*/live.parquet")}) == 1
    assert {one.version for one in Ledger(upgraded.settings_as().ledger_path).live_files(FIRST_ROUND)} == {
        "v5.3",
        "v5.4",
    }


@pytest.mark.usefixtures("no_backoff", "validated_here")
def test_a_version_that_is_late_is_waited_for_and_then_stepped_over(upgraded, sandbox, store):
    """With time left the round waits for the champion's file; minutes before the guard, v5.3's champion fills it."""
    sandbox.faults.add(Fault(operation="GET", kind="status", status=403, times=2))
    with pytest.raises(NumeraiUnavailable, match="403"):
        upgraded.submit()
    sandbox.clock.advance(timedelta(minutes=52))
    receipt = upgraded.submit()

    assert (receipt.outcome, receipt.artifact) == ("confirmed", store.champions("demo")[1])
    assert scored_on(upgraded) == {"v5.3"}


@pytest.mark.usefixtures("no_backoff", "validated_here")
def test_a_version_that_is_gone_is_stepped_over_at_once(upgraded, sandbox, store):
    """A file that the server no longer offers is not waited for."""
    sandbox.tournament.added.clear()
    receipt = upgraded.submit()

    assert (receipt.outcome, receipt.artifact) == ("confirmed", store.champions("demo")[1])
    assert "403" in json.loads((upgraded.state / "rounds" / str(FIRST_ROUND) / SLOT / "report.json").read_text())[
        "rungs_refused"
    ][0]  # fmt: skip


def test_slots_on_different_versions_are_both_filled(upgraded, sandbox, store):
    """Two slots of one round are scored on v5.4 and v5.3, each from its own file, and both are confirmed."""
    newest, before = store.champions("demo")
    store._point("standard", [before], by="operator")
    models = {**DEMO_ACCOUNT.models, "second": "5a9db0c5-0000-4000-8000-000000000002"}
    sandbox.tournament.accounts = (replace(DEMO_ACCOUNT, models=models),)
    done = upgraded.bot("submit", BOT_SLOTS=f"{SLOT}=demo,second=standard")
    ledger = Ledger(upgraded.settings_as().ledger_path)
    entries, files = ledger.entries(), {one.version: one.sha256 for one in ledger.live_files(FIRST_ROUND)}

    assert done.returncode == 0, done.stderr
    assert {one.slot: (one.state, one.artifact, one.data_sha256) for one in entries} == {
        SLOT: ("confirmed", newest, files["v5.4"]),
        "second": ("confirmed", before, files["v5.3"]),
    }
    assert {one.slot for one in sandbox.tournament.submissions} == {SLOT, "second"}


def test_sync_keeps_every_version_in_use(upgraded):
    """The champion's version and the version of a recipe without champion are synced, and neither is removed."""
    first, second = (upgraded.bot("sync", BOT_FALLBACK="standard") for _ in range(2))
    alone = upgraded.bot("sync")

    assert (first.returncode, second.returncode, alone.returncode) == (0, 0, 0), first.stderr
    assert [line for line in second.stdout.splitlines() if "current" in line] == [
        "v5.4: every file is current",
        "v5.3: every file is current",
    ]
    assert [line for line in alone.stdout.splitlines() if "current" in line] == ["v5.4: every file is current"]
    assert {path.name for path in (upgraded.state / "history").iterdir()} == {"v5.3.npz", "v5.4.npz"}


def test_a_version_in_use_that_is_gone_does_not_keep_the_others_from_syncing(upgraded, sandbox):
    """The version that is offered is synced, the other is reported in one line with exit code 78."""
    sandbox.tournament.added.clear()
    done = upgraded.bot("sync", BOT_FALLBACK="standard")

    assert done.returncode == 78
    assert "store: 260 eras" in done.stdout
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error")]
    assert line.startswith("error: data version v5.4 is not offered; there are v5.3: name one of them")


def test_retrain_on_an_unknown_version_is_refused_in_one_line(upgraded, store):
    """An unknown version is refused in one line with the known ones and exit code 78; the champion stays."""
    before = store.champions("demo")
    done = upgraded.bot("retrain", "--data-version", "v9.9")

    assert done.returncode == 78
    assert "error: data version v9.9 is not offered; there are v5.3, v5.4" in done.stderr
    assert "Traceback" not in done.stderr
    assert store.champions("demo") == before


@pytest.fixture
def contested(moved):
    """Return a function that compares the v5.4 champion with the one of v5.3, opened or not, without training."""
    artifacts = ArtifactStore(moved / "state" / "artifacts")
    newest, before = (artifacts.open(one) for one in artifacts.champions("demo"))
    challenger = open_judged(newest, moved / "state")
    eras = challenger.data.store.store
    champion = open_judged(before, moved / "state")
    pointer = SimpleNamespace(champions=lambda _: (before.id,), open=artifacts.open)
    positions = [eras.eras.index(one) for one in eras.eras[-40:-13]]
    folder = moved / "state" / "data" / "v5.4"

    def held(other_version):
        return compare_with_champion(
            Challenger(
                ensemble=challenger,
                used=(),
                suspicious_corr=1.0,
                serving=ServingCheck(golden=0.0, latency_s=0.1),
                method=newest.manifest,
            ),
            Holdout(
                positions=positions,
                target=TARGET,
                reference=ReferencePredictions.read(folder, eras, positions, target=TARGET),
            ),
            Champions(
                artifacts=pointer,
                recipe="demo",
                synced=SimpleNamespace(store=eras, returns=None),
                other_version=other_version,
            ),
            report_progress=lambda *_: None,
        )

    return held, (before.id, champion), [eras.eras[one] for one in positions]


def test_champion_of_another_version_scores_as_at_home(contested, moved):
    """On the challenger's rows it has the CORR, MMC and BMC of its own rows, and differences are paired by era."""
    held, (identity, champion), eras = contested
    judgement, own = held(OpenedChampion(id=identity, ensemble=champion)), champion.data.store
    at_home = [own.eras.index(era) for era in eras]
    reference = ReferencePredictions.read(moved / "state" / "data" / "v5.3", own.store, at_home, target=TARGET)
    judged = judge(champion, at_home, target=TARGET, reference=reference, report_progress=lambda *_: None)

    for kind in ("corr", "bmc", "mmc"):
        theirs = judgement.champion.scores[kind][ENSEMBLE]
        np.testing.assert_allclose(theirs, judged.scores[kind][ENSEMBLE], atol=1e-12)
        ours = judgement.challenger.scores[kind][ENSEMBLE]
        np.testing.assert_allclose(judgement.evidence.comparison.differences[kind].values, ours - theirs)
    assert judgement.evidence.moves
    assert judgement.evidence.comparison.renewal


def test_champion_that_cannot_be_opened_is_not_passed_over(contested):
    """Without the champion's data there is no comparison, and the evidence records the reason."""
    held, (identity, champion), _ = contested
    for other_version in (None, OpenedChampion(id="another", ensemble=champion)):
        judgement = held(other_version)

        assert judgement.evidence.moves
        assert judgement.evidence.comparison is None
        assert (
            f"not compared with {identity}: its data, v5.3, could not be opened"
            in (judgement.evidence.not_computed["champion"])
        )
