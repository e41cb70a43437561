"""Gates on the live features: healthy rounds pass, changed bins warn or refuse, columns under other names are refused."""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from bot.data.live_file import read_live
from bot.errors import DatasetIncomplete, GateFailed, SchemaMismatch
from bot.features.distributions import FeatureDistributions
from bot.sandbox.faults import Fault
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import DISTRIBUTIONS
from bot.serving.scorer import Scorer
from tests.harness.installation import FIRST_ROUND, SLOT

pytestmark = pytest.mark.usefixtures("validated_here")


def champion(state):
    store = ArtifactStore(state / "artifacts")
    return store.open(store.champions("demo")[0])


def gate(installation):
    report = json.loads((installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "report.json").read_text())
    (found,) = (one for one in report["gates"] if one["gate"] == "features")
    return found, report["feature_drift"]


def test_no_healthy_round_is_unlike_training(trained, world_folder):
    """In forty live eras no feature is outside the training range, and few rows are unusual."""
    artifact, world = champion(trained), World.open(world_folder)
    learned = FeatureDistributions.from_bytes(artifact.path(DISTRIBUTIONS).read_bytes())
    found = []
    for number in range(40):
        live = read_live(world.live(number).folder / "live.parquet")
        place = {name: index for index, name in enumerate(live.names)}
        found.append(learned.drift(live.values[:, [place[name] for name in learned.features]]))

    assert {(one.share, one.odd_rows) for one in found} == {(0.0, False)}
    assert learned.features == Scorer(artifact).manifest.features


def test_a_healthy_round_says_so(installation):
    """The gate passes and shows its share in report and receipt."""
    receipt = installation.submit()
    found, share = gate(installation)

    assert (found["ok"], found["value"], share) == (True, 0.0, 0.0)
    assert "features" in [one.gate for one in receipt.findings]


def test_a_few_missing_features_are_sent_with_a_warning(installation):
    """If one feature in twenty is constant, the round is confirmed with warnings everywhere."""
    installation.sandbox.faults.add(
        Fault(operation="rounds", kind="schema_change", message="some_missing", seconds=9e4)
    )
    receipt = installation.submit()
    found, share = gate(installation)
    shown = installation.bot("status", str(FIRST_ROUND)).stdout

    assert (receipt.outcome, found["ok"]) == ("confirmed", True)
    assert found["value"].startswith("warning: ")
    assert 0.02 < share < 0.1
    assert "are unlike every training era" in shown


def test_other_bins_are_refused_by_limits_that_are_settings(installation):
    """Four bins instead of five in every feature refuse the artifact, unless the limit is raised."""
    installation.sandbox.faults.add(Fault(operation="rounds", kind="schema_change", message="bins_merged", seconds=9e4))
    with pytest.raises(GateFailed, match=r"features: 100\.0% of the features are unlike every training era"):
        installation.submit(max_exposure=1.0)
    sent = len(installation.sandbox.tournament.submissions)
    receipt = installation.submit(max_exposure=1.0, max_feature_drift=1.0)

    assert (sent, receipt.outcome) == (0, "confirmed")


def test_an_artifact_that_keeps_no_features_is_not_compared(installation):
    """An artifact without distributions still scores, and the gate notes that nothing was compared."""
    old = champion(installation.state)
    store = ArtifactStore(installation.state / "artifacts")
    files = {name: old.path(name) for name in old.manifest["files"] if name != DISTRIBUTIONS}
    made = store.write(files=files, manifest=old.manifest, at=datetime(2026, 11, 25, tzinfo=UTC))
    store.promote("demo", made.id)
    receipt = installation.submit()
    found, share = gate(installation)

    assert (receipt.outcome, receipt.artifact, share) == ("confirmed", made.id, None)
    assert found["value"].startswith("not compared")


def test_another_coding_is_refused_without_distributions(installation, monkeypatch):
    """Codes as before v5 (0 to 1) are refused by their values, also by artifacts that keep no distributions."""
    monkeypatch.setattr("bot.submission.fallbacks._feature_drift", lambda _scorer, _rows: None)
    fault = Fault(operation="rounds", kind="schema_change", message="coded_as_before_v5", seconds=9e4)
    installation.sandbox.faults.add(fault)
    with pytest.raises(
        SchemaMismatch, match=r"of the feature values lie outside 0 to 4 .*: the features have a new coding"
    ):
        installation.submit()


def test_features_that_are_not_the_files_are_refused(installation, monkeypatch):
    """Should the reader shift columns, the predictions are refused although nothing else is odd about them."""

    def shifted(path):
        rows = read_live(path)
        return replace(rows, values=np.roll(rows.values, 1, axis=1))

    monkeypatch.setattr("bot.submission.live_fetch.read_live", shifted)
    with pytest.raises(GateFailed, match=r"columns: \d+ of \d+ scored features differ from the live file's columns"):
        installation.submit()

    assert not installation.sandbox.tournament.submissions


def test_a_repeated_feature_is_never_scored(installation):
    """A live file with one feature twice is refused, and fetched again until the server replaces it."""
    installation.sandbox.faults.add(
        Fault(operation="rounds", kind="schema_change", message="one_repeated", seconds=9e4)
    )
    with pytest.raises(DatasetIncomplete, match="columns twice"):
        installation.submit()

    assert not installation.sandbox.tournament.submissions


@pytest.mark.parametrize("change", ["others_added", "written_otherwise"])
def test_a_file_of_another_writer_gives_the_same_predictions(installation, change):
    """Columns of text, lists and times, and codes of other types, change no prediction."""
    plain = installation.submit(mode="dry-run").csv_sha256
    shutil.rmtree(installation.state / "rounds-dry-run")
    (installation.state / "ledger-dry-run.sqlite").unlink(missing_ok=True)
    installation.sandbox.faults.add(Fault(operation="rounds", kind="schema_change", message=change, seconds=9e4))

    assert installation.submit().csv_sha256 == plain


def test_a_needed_feature_without_numbers_is_named(installation):
    """A feature that became a list refuses the artifacts that were trained on it, with its name."""
    installation.sandbox.faults.add(Fault(operation="rounds", kind="schema_change", message="one_as_list", seconds=9e4))
    with pytest.raises(SchemaMismatch, match=r"the live file's feature_\w+ is list"):
        installation.submit()
