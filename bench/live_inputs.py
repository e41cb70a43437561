"""Inputs of both sides of ``live_path.py``: a live file, a network and trees at full width."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from bot.features.distributions import FeatureDistributions, sample
from bot.features.preprocess import Prepared, Preprocess, engineered_scaling, network_scaling, prepare
from bot.history.factor_history import SCALE, HistoryState
from bot.members.member import resolved
from bot.members.network.options import NetworkOptions
from bot.members.rows import RawRows
from bot.members.stored import to_json
from bot.serving.artifacts import ArtifactStore
from bot.serving.names import DISTRIBUTIONS, GOLDEN, HISTORY, PREPROCESS
from bot.serving.scorer import Members, golden_batch
from bot.tournament.columns import HISTORY_LAG
from bot.training.recipes import STANDARD
from models.inference.export import export
from models.network.network import Network
from models.network.network_config import WITHOUT_HISTORY, Mixing, NetworkConfig

RANDOM = np.random.default_rng(1)
TARGET = "target_ender_60"
MEMBERS = resolved(STANDARD.members, target=TARGET)
MIXER, TREES = MEMBERS
OPTIONS: NetworkOptions = MIXER.options.network


def write_live_inputs(folder: Path, *, rows: int, features: int, trees: int) -> None:
    """
    Write a live file, an artifact with a random network and real trees, and the same models for the plain script.

    ::

        datasets/v5.3/live.parquet   live file that a sandbox serves
        models/                      files of the artifact
        state/artifacts/             the promoted artifact
        network.pt, network.json     the network for torch
    """
    manifest = standard_manifest(features)
    names = manifest.features
    values = RANDOM.integers(0, 5, size=(rows, features), dtype=np.int8)
    _write_live(folder / "datasets" / "v5.3", names, values)
    made = folder / "models"
    made.mkdir()
    (made / PREPROCESS).write_text(manifest.to_json())
    (made / HISTORY).write_bytes(_history(names).to_bytes())
    (made / DISTRIBUTIONS).write_bytes(FeatureDistributions.of(names, [sample(values)] * 2, [rows]).to_bytes())
    torch.manual_seed(1)
    network = Network(standard_network(manifest)).eval()
    export(network, made / f"{MIXER.name}.onnx")
    torch.save(network.state_dict(), folder / "network.pt")
    (folder / "network.json").write_text(json.dumps(network.config.to_json()))
    (made / f"{TREES.name}.txt").write_text(_trees(prepare(manifest, names, values), manifest, trees))
    members, golden = Members(made, MEMBERS), values[:128]
    scores = members.score(RawRows(names=names, values=golden, history=members.history))
    (made / GOLDEN).write_bytes(golden_batch(names, golden, scores))
    store = ArtifactStore(folder / "state" / "artifacts")
    about = {
        "data_version": "v5.3",
        "recipe": asdict(STANDARD),
        "target": TARGET,
        "members": to_json(MEMBERS),
        "weights": {one.name: one.weight for one in MEMBERS},
        "neutralizers": names[:42],
        "scores": {},
    }
    artifact = store.write(files={path.name: path for path in made.iterdir()}, manifest=about, at=datetime.now(UTC))
    store.promote(STANDARD.name, artifact.id)


def standard_manifest(features: int) -> Preprocess:
    """Return the standard recipe's preprocessing of *features* columns in thirteen groups."""
    return Preprocess(
        features=tuple(f"feature_{index:04d}" for index in range(features)),
        groups={f"group_{index}": tuple(range(index, features, 13)) for index in range(13)},
        missing=STANDARD.missing,
        normalize=STANDARD.normalize,
        engineered=STANDARD.engineered,
    )


def standard_network(manifest: Preprocess, mixing: Mixing = "row") -> NetworkConfig:
    """Return the standard recipe's network for these columns, with its own body or another one."""
    scaling, engineered = network_scaling(manifest), engineered_scaling(manifest)
    past = mixing not in WITHOUT_HISTORY
    return NetworkConfig(
        features=len(manifest.features),
        targets=STANDARD.targets,
        engineered=len(manifest.engineered_names),
        mixing=mixing,
        lookback=OPTIONS.lookback if past else 0,
        groups=tuple(manifest.groups.values()) if past else (),
        history_targets=len(OPTIONS.history_targets) if past else 0,
        history_scale=SCALE,
        encoder=OPTIONS.encoder,
        hidden=OPTIONS.hidden,
        feed_forward=OPTIONS.feed_forward,
        blocks=OPTIONS.blocks,
        dropout=OPTIONS.dropout,
        input_dropout=OPTIONS.input_dropout,
        history_dropout=OPTIONS.history_dropout,
        input_offset=scaling.offset,
        input_scale=scaling.scale,
        engineered_offset=tuple(one.offset for one in engineered),
        engineered_scale=tuple(one.scale for one in engineered),
    )


def _write_live(folder: Path, names: tuple[str, ...], values: npt.NDArray[np.int8]) -> None:
    rows = len(values)
    ids = sorted(f"n{number:015x}" for number in RANDOM.choice(2**48, size=rows, replace=False))
    columns = {"id": ids, "era": ["X"] * rows, "data_type": ["live"] * rows}
    table = pa.table({**columns, **{name: values[:, index] for index, name in enumerate(names)}})
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "live.parquet", compression="snappy")


def _history(names: tuple[str, ...]) -> HistoryState:
    targets = OPTIONS.history_targets
    shape = (OPTIONS.lookback, len(names), len(targets))
    return HistoryState(
        features=names,
        targets=targets,
        window=RANDOM.normal(0, 0.02, size=shape).astype(np.float32),
        newest_era=dict.fromkeys(targets, "1230"),
        built_from_era=str(1230 + HISTORY_LAG[60]),
    )


def _trees(rows: Prepared, manifest: Preprocess, trees: int) -> str:
    X = np.concatenate([rows.features, rows.engineered], axis=1, dtype=np.float32)
    signal = X[:, :50] @ RANDOM.normal(size=50)
    y = (signal + RANDOM.normal(0, 20, size=len(X))).astype(np.float32)
    options = {"learning_rate": 0.01, "max_depth": 5, "num_leaves": 31, "feature_fraction": 0.1, "verbose": -1}
    data = lightgbm.Dataset(X, y, feature_name=[*manifest.features, *manifest.engineered_names])
    booster = lightgbm.train(
        {**options, "force_col_wise": True, "num_threads": 2, "seed": 1}, data, num_boost_round=trees
    )
    return booster.model_to_string()
