"""A round with a real Numerai era, and Numerai's official model as an ensemble member."""

import csv
import json
import shutil
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bot.features.feature_sets import FeatureMetadata
from bot.features.preprocess import Preprocess, engineered_scaling, network_scaling
from bot.members.kinds.lightgbm import LightGBMOptions
from bot.members.kinds.tsmixer import TSMixerOptions
from bot.members.member import Member
from bot.members.network.options import NetworkOptions
from bot.members.rows import RawRows
from bot.members.stored import to_json
from bot.sandbox.clock import SandboxClock
from bot.sandbox.schedule import Schedule
from bot.sandbox.server import Sandbox
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import GOLDEN, PREPROCESS
from bot.serving.scorer import Members, golden_batch
from bot.training.recipes import DEMO
from models.inference.export import export
from models.network.network import Network
from models.network.network_config import NetworkConfig
from tests.harness.installation import FIRST_ROUND, OPENED, SLOT, Installation

OFFICIAL = "official_lgbm_small42_v5.0_cyrusd20.txt"
ERA = "v5_small42_era0575_halfsample.parquet"
TARGET = "target_cyrusd_20"
NETWORK = Member(
    name="tsmixer",
    kind="tsmixer",
    target=TARGET,
    weight=0.5,
    options=TSMixerOptions(network=NetworkOptions(lookback=0, history_targets=())),
)
TREES = Member(name="official", kind="lightgbm", target=TARGET, weight=0.5, options=LightGBMOptions())


@pytest.fixture(scope="module")
def round_(tmp_path_factory, shared_data):
    """A bot with a network and the official model, and a sandbox that serves a real era as live."""
    root = tmp_path_factory.mktemp("real")
    served = root / "datasets" / "v5.3"
    served.mkdir(parents=True)
    table = pq.read_table(shared_data / ERA)
    for name, value in (("era", "X"), ("data_type", "live")):
        table = table.set_column(table.column_names.index(name), name, pa.array([value] * table.num_rows))
    pq.write_table(table, served / "live.parquet")
    shutil.copy(shared_data / "v5.2_features.json", served / "features.json")
    clock = SandboxClock(OPENED + timedelta(minutes=1), rate=0)
    schedule = Schedule(first_round=FIRST_ROUND, first_open=OPENED)
    with Sandbox(root / "datasets", clock=clock, schedule=schedule) as sandbox:
        champion(root, shared_data, table)
        installation = Installation(sandbox=sandbox, root=root)
        yield installation, installation.bot("submit", "--round", "latest"), table


def champion(root, shared_data, table):
    """Promote an artifact with an untrained network and the text of the official model."""
    names = tuple(name for name in table.column_names if name.startswith("feature_"))
    metadata = FeatureMetadata.read(shared_data / "v5.2_features.json")
    manifest = Preprocess(
        features=names,
        groups=metadata.groups(names),
        missing="median_bin",
        normalize="centre",
        engineered=("group_mean",),
    )
    scaling, engineered = network_scaling(manifest), engineered_scaling(manifest)
    torch.manual_seed(7)
    config = NetworkConfig(
        features=len(names),
        targets=(TARGET,),
        engineered=len(manifest.engineered_names),
        lookback=0,
        hidden=16,
        feed_forward=16,
        encoder=(32,),
        input_offset=scaling.offset,
        input_scale=scaling.scale,
        engineered_offset=tuple(one.offset for one in engineered),
        engineered_scale=tuple(one.scale for one in engineered),
    )
    folder = root / "made"
    folder.mkdir()
    (folder / PREPROCESS).write_text(manifest.to_json())
    export(Network(config).eval(), folder / "tsmixer.onnx")
    shutil.copy(shared_data / OFFICIAL, folder / "official.txt")
    # An untrained network leans on few features; neutralizing keeps it under the exposure gate.
    recipe = replace(DEMO, members=(NETWORK, TREES), neutralize=0.5)
    values = np.stack([table.column(name).to_numpy() for name in names], axis=1)[:64]
    scores = Members(folder, recipe.members).score(RawRows(names=names, values=values))
    (folder / GOLDEN).write_bytes(golden_batch(names, values, scores))
    store = ArtifactStore(root / "state" / "artifacts")
    about = {
        "data_version": "v5.3",
        "recipe": asdict(recipe),
        "target": TARGET,
        "members": to_json(recipe.members),
        "weights": {"tsmixer": 0.5, "official": 0.5},
        "neutralizers": names,
        "scores": {},
    }
    artifact = store.write(files={path.name: path for path in folder.iterdir()}, manifest=about, at=datetime.now(UTC))
    store.promote(recipe.name, artifact.id)


def test_every_real_row_is_scored_and_accepted(round_):
    """The server accepts one prediction for each real id."""
    installation, result, table = round_
    held = installation.sandbox.tournament.submissions

    assert result.returncode == 0, result.stderr
    rows = list(csv.DictReader(held[0].content.decode().splitlines()))
    assert [row["id"] for row in rows] == table.column("id").to_pylist()
    assert (len(rows), held[0].accepted, held[0].round) == (2836, True, FIRST_ROUND)


def test_official_model_scores_as_lightgbm_does(round_, shared_data):
    """Our tree evaluator gives the same predictions as LightGBM for the official model."""
    import lightgbm

    installation, _, table = round_
    booster = lightgbm.Booster(model_file=shared_data / OFFICIAL)
    expected = booster.predict(np.stack([table.column(name).to_numpy() for name in booster.feature_name()], axis=1))
    members = Members(installation.root / "made", (TREES,))
    names = members.manifest.features
    values = np.stack([table.column(name).to_numpy() for name in names], axis=1)

    np.testing.assert_array_equal(members.score(RawRows(names=names, values=values))["official"], expected)


def test_report_names_both_members(round_):
    """The round's report shows the correlation between the network and the official model."""
    installation, _, _ = round_
    report = json.loads((installation.state / "rounds" / str(FIRST_ROUND) / SLOT / "report.json").read_text())

    assert {"official~tsmixer", "tsmixer~ensemble", "official~ensemble"} <= set(report["member_correlation"])
