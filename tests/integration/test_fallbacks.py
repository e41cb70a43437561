"""Fallbacks: each is used when all before it fail, and is logged, shown and reported."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import structlog

from bot.cli.everyday.receipt import show_receipt
from bot.errors import ArtifactInvalid, BotError, GateFailed, NoChampion, SchemaMismatch
from bot.record.ledger import Ledger
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.tournament import DEMO_ACCOUNT
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore, digest_of
from bot.submission.submission_file import read_submission
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation

pytestmark = pytest.mark.usefixtures("no_backoff", "validated_here")


@pytest.fixture
def store(installation):
    return ArtifactStore(installation.state / "artifacts")


def promote(store, *, broken=()):
    """Promote a copy of the champion that is damaged, or that needs a feature missing from the live file."""
    whole = store.open(store.champions("demo")[-1])
    files = {name: whole.path(name) for name in whole.manifest["files"]}
    if "feature" in broken:
        exposed = set(whole.manifest["neutralizers"])
        named = json.loads(files["preprocess.json"].read_text())["features"]
        lacking = next(name for name in named if name not in exposed).encode()
        for name in ("preprocess.json", "gbm.txt"):
            files[name] = files[name].read_bytes().replace(lacking, b"feature_of_another_age")
    made = store.write(
        files=files, manifest=dict(whole.manifest), at=datetime(2026, 12, 1 + len(store.identities()), tzinfo=UTC)
    )
    store.promote("demo", made.id)
    if "tree" in broken:
        made.path("gbm.txt").write_bytes(b"tree")
    return made.id


def damage_all(store):
    for folder in store.root.glob("2*"):
        (folder / "gbm.txt").write_bytes(b"tree")


def report(installation, number=FIRST_ROUND):
    return json.loads((installation.state / "rounds" / str(number) / SLOT / "report.json").read_text())


def sent(installation, number=FIRST_ROUND):
    return read_submission(installation.state / "rounds" / str(number) / SLOT / "predictions.csv")


@pytest.mark.parametrize("broken", ["tree", "feature"])
def test_previous_champion_takes_over(installation, sandbox, store, capsys, broken):
    """If the champion is damaged or lacks a feature, the previous champion's round is confirmed, logged, shown and reported."""
    (sound,) = store.champions("demo")
    refused = promote(store, broken=(broken,))
    with structlog.testing.capture_logs() as logs:
        receipt = installation.submit()
    show_receipt(receipt)
    (step,) = [line for line in logs if line["event"] == "ladder.rung"]

    assert (receipt.outcome, receipt.filled_by, receipt.artifact) == ("confirmed", "previous champion", sound)
    assert (step["rung"], step["artifact"]) == ("previous champion", sound)
    assert "gbm.txt differs" in step["reason"] if broken == "tree" else "feature_of_another_age" in step["reason"]
    assert report(installation)["rung"] == "previous champion"
    assert report(installation)["rungs_refused"] == [step["reason"]]
    assert "previous champion" in capsys.readouterr().out
    assert Ledger(installation.settings_as().ledger_path).filled_by(FIRST_ROUND, SLOT) == "previous champion"
    assert refused not in [one.filename for one in sandbox.tournament.submissions]


def test_champions_are_tried_newest_first(installation, store):
    """With two unusable champions, the third one scores."""
    (sound,) = store.champions("demo")
    promote(store, broken=("tree",))
    promote(store, broken=("feature",))

    assert installation.submit().artifact == sound
    assert len(report(installation)["rungs_refused"]) == 2


def test_fallback_recipe_fills_a_slot_without_champions(installation, store):
    """A slot whose recipe has no artifact uses the configured fallback recipe."""
    receipt = installation.submit(recipe="standard", fallback="demo")

    assert (receipt.outcome, receipt.filled_by) == ("confirmed", "fallback recipe")
    assert report(installation)["rungs_refused"] == ["recipe 'standard' has no champion yet; run `bot retrain` first"]


def test_last_round_is_sent_again_only_where_that_is_allowed(installation, sandbox, store):
    """With every artifact damaged nothing is sent, unless the operator allows the last predictions with new ids."""
    installation.submit()
    before = sent(installation).predictions
    sandbox.clock.advance(timedelta(days=1))
    damage_all(store)
    with pytest.raises(ArtifactInvalid, match=r"gbm\.txt differs"):
        installation.submit()
    held = len(sandbox.tournament.submissions)
    receipt = installation.submit(reuse_last_round=True)
    again = sent(installation, FIRST_ROUND + 1)

    assert held == 1
    assert (receipt.outcome, receipt.filled_by) == ("confirmed", "last round")
    assert list(again.ids) == sandbox.tournament.live_ids(FIRST_ROUND + 1)
    np.testing.assert_array_equal(again.predictions, np.resize(before, len(again.ids)))
    assert {finding.gate: finding.ok for finding in receipt.findings} == dict.fromkeys(
        ("ids", "finite", "range", "std", "distinct", "exposure", "drift", "official_validation"), True
    )


def test_a_gate_that_refuses_leads_to_the_next_rung(installation, sandbox, store):
    """Predictions are sent only if they pass every gate."""
    installation.submit()
    sandbox.clock.advance(timedelta(days=1))
    with pytest.raises(GateFailed, match="exposure"):
        installation.submit(max_exposure=0.001)
    receipt = installation.submit(max_exposure=0.001, reuse_last_round=True)

    assert receipt.filled_by == "last round"
    assert "exposure" in report(installation, FIRST_ROUND + 1)["rungs_refused"][0]


def test_damaged_predictions_of_the_last_round_are_not_sent_again(installation, sandbox, store):
    """Last predictions are used only with the confirmed bytes; otherwise the champion's error is raised."""
    installation.submit()
    path = installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "predictions.csv"
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6", 1))
    sandbox.clock.advance(timedelta(days=1))
    damage_all(store)
    with pytest.raises(ArtifactInvalid, match=r"gbm\.txt differs"):
        installation.submit(reuse_last_round=True)

    assert len(sandbox.tournament.submissions) == 1


def test_no_rung_is_tried_without_time_for_it(installation, sandbox, store):
    """A fallback that cannot finish before the guard is skipped, and that is logged."""
    promote(store, broken=("tree",))
    sandbox.clock.advance(timedelta(minutes=57, seconds=50))
    with structlog.testing.capture_logs() as logs, pytest.raises(ArtifactInvalid):
        installation.submit()

    assert [line["rung"] for line in logs if line["event"] == "ladder.late"] == ["previous champion"]
    assert not sandbox.tournament.uploaded


@pytest.mark.parametrize(
    ("changed", "error"),
    [({"recipe": "standard"}, NoChampion), ({"recipe": "standard", "fallback": "standard"}, NoChampion)],
)
def test_without_any_rung_the_operator_is_asked(installation, changed, error):
    """Without any artifact, nothing is sent."""
    with pytest.raises(error, match="bot retrain"):
        installation.submit(**changed)


def test_missing_features_are_never_filled_in(installation, sandbox, store):
    """If every fallback lacks a feature, each artifact is refused by name and nothing is uploaded."""
    wanting = promote(store, broken=("feature",))
    for folder in store.root.glob("2*"):
        if folder.name != wanting:
            shutil.rmtree(folder)
    with pytest.raises(BotError) as refused:
        installation.submit(fallback="demo")

    assert isinstance(refused.value, SchemaMismatch)
    assert not sandbox.tournament.uploaded


@pytest.mark.parametrize(
    "changed",
    [{"scores": None}, {"weights": []}, {"recipe": {"name": "demo", "weights": 3, "neutralize": {}}}],
    ids=str,
)
def test_a_champion_with_a_manifest_of_another_form_gives_way(installation, store, changed):
    """Whatever another bot wrote into a manifest, only that artifact is refused."""
    (sound,) = store.champions("demo")
    champion = store.open(promote(store))
    content = {**champion.manifest, **changed}
    content["digest"] = digest_of(content)
    (champion.folder / "manifest.json").write_text(json.dumps(content))
    receipt = installation.submit()

    assert receipt.outcome == "confirmed"
    assert receipt.artifact in (sound, champion.id)


def test_every_artifact_is_verified(installation, store):
    """`bot verify` lists the damaged and the intact ones, and refuses in the end."""
    intact = store.champions("demo")[0]
    damaged = [promote(store, broken=("tree",)) for _ in range(1)]
    done = installation.bot("verify")

    assert done.returncode == 65
    assert f"{intact}: intact" in done.stdout
    assert all(f"{one}: damaged" in done.stdout for one in damaged)
    assert "1 of 2 artifacts are damaged" in done.stderr


@pytest.mark.parametrize("words", [("report", "../../x"), ("promote", "../../x"), ("rollback", "--recipe", "../../x")])
def test_a_name_that_leads_out_of_the_state_directory_is_one_clear_error(installation, words):
    """Ids and recipes of the command line are refused before a file is touched."""
    done = installation.bot(*words)

    assert done.returncode in (65, 78)
    assert "Traceback" not in done.stderr
    assert "'../../x'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("name", ["../../outside", "m" * 300, "Mixer", "a\0b", ".hidden", "模型"])
def test_a_model_with_an_odd_name_has_its_round(world_folder, trained, tmp_path, name):
    """The round is confirmed under a name that stays in the state directory, and is not sent twice."""
    account = replace(DEMO_ACCOUNT, models={name: "22222222-0000-0000-0000-000000000000"})
    shutil.copytree(trained / "artifacts", tmp_path / "home" / "state" / "artifacts")
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(world_folder), clock=clock, schedule=schedule, accounts=(account,)) as running:
        bot = Installation(sandbox=running, root=tmp_path / "home")
        outcomes = [bot.submit().outcome for _ in range(2)]
        held = running.tournament.submissions

    assert outcomes == ["confirmed", "already confirmed"]
    assert len(held) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["home"]
    assert [one.name for one in (tmp_path / "home").iterdir()] == ["state"]
    assert len(list((bot.state / "rounds" / str(FIRST_ROUND)).glob("*/report.json"))) == 1
