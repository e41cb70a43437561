"""What both sides of ``live_path.py`` work on: a live file, a network and trees at full width."""

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

from bot.artifacts import ArtifactStore
from bot.columns import HISTORY_LAG
from bot.history import SCALE, HistoryState
from bot.preprocess import Prepared, Preprocess, engineered_scaling, network_scaling
from bot.preprocess import prepare as prepared
from bot.recipes import STANDARD
from bot.scorer import GOLDEN, HISTORY, NETWORK, PREPROCESS, Members, golden_batch
from models.export import export
from models.network import Network
from models.network_config import NetworkConfig

RANDOM = np.random.default_rng(1)
TARGET = "target_ender_60"


def prepare(folder: Path, *, rows: int, features: int, trees: int) -> None:
    """
    Write a live file, an artifact with a random network and real trees, and the same models for the plain script.

    ::

        datasets/v5.3/live.parquet   what a sandbox serves
        models/                      the artifact's files
        state/artifacts/             the artifact, promoted
        network.pt, network.json     the network as torch has it
    """
    names = tuple(f"feature_{index:04d}" for index in range(features))
    manifest = Preprocess(
        features=names,
        groups={f"group_{index}": tuple(range(index, features, 13)) for index in range(13)},
        missing="median_bin",
        normalize="centre",
        engineered=STANDARD.engineered,
    )
    values = RANDOM.integers(0, 5, size=(rows, features), dtype=np.int8)
    _write_live(folder / "datasets" / "v5.3", names, values)
    made = folder / "models"
    made.mkdir()
    (made / PREPROCESS).write_text(manifest.to_json())
    (made / HISTORY).write_bytes(_history(names).to_bytes())
    network = _network(manifest)
    export(network, made / NETWORK)
    torch.save(network.state_dict(), folder / "network.pt")
    (folder / "network.json").write_text(json.dumps(network.config.to_json()))
    (made / "gbm.txt").write_text(_trees(prepared(manifest, names, values), manifest, trees))
    members = Members(made, ("tsmixer", "gbm"), target=TARGET)
    (made / GOLDEN).write_bytes(golden_batch(values[:128], members.score(prepared(manifest, names, values[:128]))))
    store = ArtifactStore(folder / "state" / "artifacts")
    about = {"recipe": asdict(STANDARD), "target": TARGET, "neutralizers": names[:42], "scores": {}}
    artifact = store.write(files={path.name: path for path in made.iterdir()}, manifest=about, at=datetime.now(UTC))
    store.promote(STANDARD.name, artifact.id)


def _write_live(folder: Path, names: tuple[str, ...], values: npt.NDArray[np.int8]) -> None:
    rows = len(values)
    ids = sorted(f"n{number:015x}" for number in RANDOM.choice(2**48, size=rows, replace=False))
    columns = {"id": ids, "era": ["X"] * rows, "data_type": ["live"] * rows}
    table = pa.table({**columns, **{name: values[:, index] for index, name in enumerate(names)}})
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "live.parquet", compression="snappy")


def _history(names: tuple[str, ...]) -> HistoryState:
    targets = STANDARD.network.history_targets
    shape = (STANDARD.network.lookback, len(names), len(targets))
    return HistoryState(
        features=names,
        targets=targets,
        window=RANDOM.normal(0, 0.02, size=shape).astype(np.float32),
        newest_era=dict.fromkeys(targets, "1230"),
        built_from_era=str(1230 + HISTORY_LAG[60]),
    )


def _network(manifest: Preprocess) -> Network:
    recipe = STANDARD.network
    offset, scale = network_scaling(manifest)
    made_offset, made_scale = engineered_scaling(manifest)
    torch.manual_seed(1)
    config = NetworkConfig(
        features=len(manifest.features),
        targets=STANDARD.targets,
        engineered=len(manifest.engineered_names),
        lookback=recipe.lookback,
        groups=tuple(manifest.groups.values()),
        history_targets=len(recipe.history_targets),
        history_scale=SCALE,
        hidden=recipe.hidden,
        feed_forward=recipe.feed_forward,
        input_offset=offset,
        input_scale=scale,
        engineered_offset=tuple(map(float, made_offset)),
        engineered_scale=tuple(map(float, made_scale)),
    )
    return Network(config).eval()


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
