"""A history as no file of Numerai has looked yet: it is synced, trained on, judged and served, with what is odd in words."""

import json
import shutil
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bot.data.era_store import EraStore
from bot.history.feature_returns import update
from bot.judging.judge import judged_ensemble
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.sandbox.world.generate import World
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import PREPROCESS
from bot.serving.scorer import Scorer, members_of
from tests.harness.installation import FIRST_ROUND, OPENED, Installation

DROPPED = ["target_ender_20", "target_jasper_60"]
"""Auxiliary targets of the demo recipe; the first is also one of its two history targets."""


def rewrite(path, change):
    """Replace a parquet file by what *change* makes of its table."""
    table = pq.read_table(path).replace_schema_metadata()
    pq.write_table(change(table), path, row_group_size=9_999)


def other_columns(table):
    """Return a table with its columns in another order and new columns that nobody reads, without two targets."""
    rows = len(table)
    for name, values in {
        "universe": pa.array(["us"] * rows),
        "feature_zz_text": pa.array(["us"] * rows),
        "feature_zz_list": pa.array([[1]] * rows),
        "published": pa.array([0] * rows, pa.timestamp("ns")),
    }.items():
        table = table.append_column(name, values)
    return table.drop_columns(DROPPED).select([one for one in table.column_names[::-1] if one not in DROPPED])


def numbered(table):
    """Return a table whose eras are numbers."""
    return table.set_column(table.column_names.index("era"), "era", table["era"].cast(pa.int32()))


def with_gaps(table):
    """Return a table without six eras, and with three rows of another era."""
    eras = np.array(table["era"].to_pylist())
    labels = sorted(set(eras))
    place = np.concatenate([np.arange((eras == label).sum()) for label in labels])
    keep = ~np.isin(eras, labels[40:46]) & ((eras != labels[60]) | (place < 3))
    return table.filter(pa.array(keep))


def odd_meta_model(table):
    """Return a meta model with unknown predictions, repeated rows, and ids that are nowhere."""
    values = table["numerai_meta_model"].to_pylist()
    values[::7] = [None] * len(values[::7])
    table = table.set_column(table.column_names.index("numerai_meta_model"), "numerai_meta_model", pa.array(values))
    nowhere = table.slice(0, 5)
    nowhere = nowhere.set_column(nowhere.column_names.index("id"), "id", pa.array([f"zz{row}" for row in range(5)]))
    return pa.concat_tables([table, table.slice(0, 50), nowhere.select(table.column_names)])


def renamed_groups(path):
    """Rename all groups of ``features.json``, and drop two targets from it."""
    content = json.loads(path.read_text())
    sizes = ("small", "medium", "all")
    sets = {name if name in sizes else f"new_{name}": found for name, found in content["feature_sets"].items()}
    path.write_text(
        json.dumps({"feature_sets": sets, "targets": [one for one in content["targets"] if one not in DROPPED]})
    )


@pytest.fixture(scope="module")
def retrained(world_folder, tmp_path_factory):
    """An installation and the result of its retrain on the odd history."""
    root = tmp_path_factory.mktemp("odd")
    for name in ("truth", "v5.3"):
        shutil.copytree(world_folder / name, root / "world" / name)
    folder = root / "world" / "v5.3"
    rewrite(folder / "train.parquet", lambda table: numbered(table.drop_columns(DROPPED)))
    rewrite(folder / "validation.parquet", lambda table: other_columns(with_gaps(table)))
    rewrite(folder / "validation_benchmark_models.parquet", numbered)
    rewrite(folder / "meta_model.parquet", odd_meta_model)
    renamed_groups(folder / "features.json")
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(World.open(root / "world"), clock=clock, schedule=schedule) as sandbox:
        installation = Installation(sandbox=sandbox, root=root)
        yield installation, installation.bot("retrain")


@pytest.fixture(scope="module")
def artifact(retrained):
    installation, _ = retrained
    store = ArtifactStore(installation.state / "artifacts")
    (identity,) = store.identities()
    return store.open(identity)


def test_an_odd_history_is_trained_on(retrained):
    """The retrain ends as on any other history, and names the missing eras."""
    installation, result = retrained
    (folder,) = (installation.state / "store").iterdir()
    store = EraStore.open(folder)

    assert result.returncode == 0, result.stderr
    assert len(store.eras) == 254
    assert store.eras[0] == "0001"
    assert list(store.eras) == sorted(store.eras)
    assert 3 in np.diff(store.offsets)
    assert "eras are not in the data: " in result.stderr
    assert "eras of few rows: " in result.stderr
    assert not any(name in store.manifest.features for name in ("feature_zz_text", "feature_zz_list"))


def test_targets_that_the_data_lack_are_left_out(retrained, artifact):
    """Auxiliary targets that a version dropped are left out of network and history, and log and manifest name them."""
    _, result = retrained
    manifest = artifact.manifest

    assert "retrain.targets_left_out" in result.stderr
    assert manifest["targets_left_out"] == DROPPED
    assert manifest["targets"] == ["target_ender_60", "target_teager2b_60"]
    assert Scorer(artifact).history.targets == ("target_ender_60",)
    assert [one.options.network.history_targets for one in members_of(manifest) if one.kind == "tsmixer"] == [
        ("target_ender_60",)
    ]
    assert manifest["recipe"]["targets"] == ["target_ender_60", "target_teager2b_60"]


def test_groups_of_other_names_are_groups(artifact):
    """The row aggregates are those of the renamed groups."""
    groups = [name for name, _ in json.loads(artifact.path(PREPROCESS).read_text())["groups"]]

    assert groups
    assert all(name.startswith("new_") for name in groups)


def test_benchmark_and_meta_model_are_aligned(artifact):
    """BMC and MMC are measured although eras are numbers and rows are repeated, unknown or nowhere."""
    evaluation = json.loads(artifact.path("evaluation.json").read_text())
    text = json.dumps(evaluation)

    assert '"bmc"' in text
    assert '"mmc"' in text


def test_the_artifact_submits(retrained, artifact):
    """The artifact, promoted by hand where its interval is too wide, confirms the round."""
    installation, _ = retrained
    ArtifactStore(installation.state / "artifacts").promote("demo", artifact.id)
    result = installation.bot("submit", "--round", "latest")

    assert result.returncode == 0, result.stderr
    assert artifact.id in result.stdout


def test_an_older_champion_is_judged_without_the_dropped_history(retrained, trained):
    """A champion whose history targets the data lack is judged with its history masked, as it would be live."""
    installation, _ = retrained
    (folder,) = (installation.state / "store").iterdir()
    store, champions = EraStore.open(folder), ArtifactStore(trained / "artifacts")
    returns = update(store, ("target_ender_60",))
    champion = champions.open(champions.champions("demo")[0])
    judged = judged_ensemble(champion, store, returns, ("target_ender_60",))
    scored = judged.score(len(store.eras) - 30, None)

    assert "target_ender_20" in Scorer(champion).history.targets
    assert judged.models["tsmixer"].history is None
    assert np.isfinite(scored.scores["tsmixer"]).all()
