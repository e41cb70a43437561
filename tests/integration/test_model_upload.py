"""An exported artifact gives the same ranks in a process without the bot installed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bot import assembly
from bot.errors import BadConfig, GateFailed, RetryLater
from bot.hosted.export import export, find_sample, refuse_filled
from bot.record.ledger import rounds_folder
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import OPENED, SLOT
from tests.harness.older import stacked


@pytest.fixture
def store(installation):
    return ArtifactStore(installation.state / "artifacts")


@pytest.fixture
def champion(store):
    return store.open(store.champions("demo")[0])


def exported(artifact, installation, python):
    settings = installation.settings_as()
    client, path = assembly.open_client(settings), installation.root / "exports" / "model.pkl"
    return export(
        artifact,
        path,
        state_dir=settings.state_dir,
        rounds=rounds_folder(settings.ledger_path),
        now=datetime.now(UTC),
        client=client,
        python=python,
    )


@pytest.fixture
def served(installation, tmp_path):
    """The live file that the sandbox serves now."""
    client = assembly.open_client(installation.settings_as())
    return find_sample(client, installation.state / "rounds", "v5.3", tmp_path, benchmarks=False).live


def neutralized(store, champion, *, neutralizers="small", **about):
    """The champion with other ensemble weights of the same members."""
    recipe = {**champion.manifest["recipe"], "neutralize": 1.0, "neutralizers": neutralizers}
    files = {name: champion.path(name) for name in champion.manifest["files"]}
    manifest = {**champion.manifest, "recipe": recipe, "weights": {"tsmixer": 0.7, "gbm": 0.3}, **about}
    return store.write(files=files, manifest=manifest, at=datetime(2026, 12, 1, tzinfo=UTC))


def test_exported_champion_ranks_as_it_does_here(installation, champion, elsewhere):
    """The command packs the champion, scores the round in a process without the bot, and prints that ranks are equal."""
    result = installation.bot("export", "numerai-model", "--python", str(elsewhere))
    folder = installation.state / "exports"
    receipt = json.loads((folder / f"{champion.id}.json").read_text())

    assert result.returncode == 0, result.stderr
    assert "equal: each of 227 rows in its place; rank correlation 1.000000000" in " ".join(result.stdout.split())
    assert receipt["checked"]["agreement"] == {"rows": 227, "moved": 0, "furthest": 0.0, "correlation": 1.0}
    assert sorted(path.name for path in folder.iterdir()) == [f"{champion.id}.json", f"{champion.id}.pkl"]
    assert receipt["size"] == (folder / f"{champion.id}.pkl").stat().st_size


def test_missing_values_are_filled_as_they_are_here(installation, champion, elsewhere, served):
    """Missing values are treated equally, which is checked on a kept round."""
    table = pd.read_parquet(served)
    names = [name for name in table.columns if name.startswith("feature_")]
    table[names[3]] = table[names[3]].astype("float64")
    table.loc[table.index[5:25], names[3]] = np.nan
    table[names[8]] = np.nan
    kept = installation.state / "rounds" / "1404" / "v5.3" / "live.parquet"
    kept.parent.mkdir(parents=True)
    table.iloc[:200].to_parquet(kept)
    made = exported(champion, installation, elsewhere)

    assert (made.checked.agreement.rows, made.checked.agreement.moved) == (200, 0)
    assert made.arguments == 1


def test_ensemble_is_neutralized_to_features_there_too(installation, store, champion, elsewhere):
    """Ensemble weights and neutralization are part of the exported model."""
    artifact = neutralized(store, champion)
    made = exported(artifact, installation, elsewhere)

    assert made.members == {"tsmixer": 0.7, "gbm": 0.3}
    assert made.checked.agreement.furthest <= 1


def test_model_neutralized_to_the_benchmark_takes_it(installation, store, champion, elsewhere):
    """A model with benchmark features is a function of two arguments: live features and benchmark predictions."""
    artifact = neutralized(store, champion, neutralizers="benchmark", benchmark="v53_lgbm_ender60")
    made = exported(artifact, installation, elsewhere)

    assert made.arguments == 2
    assert made.checked.remark == ""
    assert made.checked.agreement.furthest <= 1


def test_stacked_network_sees_its_trees_there_too(installation, store, champion, elsewhere, tmp_path):
    """A stacked network is exported with the trees that it takes predictions from."""
    made = exported(stacked(store, champion, tmp_path / "stacked"), installation, elsewhere)

    assert made.checked.agreement.furthest <= 1


def test_equal_artifacts_make_equal_pickles(champion, tmp_path):
    """Exporting an artifact and its history twice gives the same sha256."""
    one, two = (
        export(champion, tmp_path / name, state_dir=tmp_path, rounds=tmp_path, now=OPENED, client=None)
        for name in ("one.pkl", "two.pkl")
    )

    assert one.sha256 == two.sha256
    assert one.checked is None


def test_model_that_does_not_run_is_not_kept(installation, champion):
    """If the model fails in the clean process, no pickle is kept."""
    with pytest.raises(GateFailed, match="does not run on Numerai's machine"):
        exported(champion, installation, Path("/bin/false"))

    assert list((installation.root / "exports").iterdir()) == []


def test_model_stays_unchecked_where_packages_cannot_be_had(installation, champion):
    """Without a package index the command asks to try later and keeps the unchecked pickle under another name."""
    result = installation.bot("export", "numerai-model", PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    folder = installation.state / "exports"

    assert result.returncode == RetryLater.exit_code
    assert "Numerai's packages do not install here: ERROR: No matching distribution found for" in result.stderr
    assert f"the model lies unchecked in {folder}" in result.stderr
    assert [path.name for path in folder.iterdir()] == [f"{champion.id}.pkl.unchecked"]


@pytest.mark.parametrize("filled", [(SLOT,), ()])
def test_slot_that_submits_by_api_is_refused(installation, filled):
    """A model that the bot submits for cannot receive a Model Upload."""
    client = assembly.open_client(installation.settings_as())

    with pytest.raises(BadConfig, match=f"slot {SLOT} submits by API, which a Model Upload would shut out"):
        refuse_filled(SLOT, filled, client)


def test_slot_of_somebody_else_is_refused(installation):
    """A model name that the account lacks is an error."""
    client = assembly.open_client(installation.settings_as())

    with pytest.raises(BadConfig, match=f"'other' is not a model of this account; its models: {SLOT}"):
        refuse_filled("other", ("another",), client)


def test_free_slot_is_taken(installation):
    """A model that no slot uses is accepted, and its current upload is shown."""
    client = assembly.open_client(installation.settings_as())
    before = refuse_filled(SLOT, ("another",), client)
    installation.sandbox.tournament.host(SLOT, "old.pkl")

    assert before is None
    assert refuse_filled(SLOT, ("another",), client) == "old.pkl"


def test_refused_slot_ends_the_command(installation):
    """A wrong option gives one line and exit code 78, and nothing is packed."""
    result = installation.bot("export", "numerai-model", "--slot", SLOT, BOT_SLOTS=f"{SLOT}=demo")

    assert result.returncode == BadConfig.exit_code
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: slot {SLOT} submits by API")
    assert line.endswith("name another model, or let BOT_SLOTS name others first")
    assert not (installation.state / "exports").exists()
