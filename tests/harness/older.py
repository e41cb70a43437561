"""Artifacts as earlier versions wrote them: format 1, whose members are names."""

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx

from bot.members.network.options import stacked_path
from bot.members.rows import RawRows
from bot.serving.artifacts import MANIFEST, Artifact, ArtifactStore, digest_of
from bot.serving.names import GOLDEN
from bot.serving.scorer import Members, golden_batch, members_of
from models.inference.export import export
from models.inference.exported import METADATA_KEY
from models.network.network import Network
from models.network.network_config import NetworkConfig

NETWORK = "tsmixer.onnx"
AT = datetime(2026, 12, 2, tzinfo=UTC)


def rewrite(store: ArtifactStore, identity: str, change) -> None:
    """Change an artifact's manifest as another version of the bot would have written it: with its own digest."""
    path = store.root / identity / MANIFEST
    manifest = json.loads(path.read_text())
    change(manifest)
    manifest["digest"] = digest_of(manifest)
    path.write_text(json.dumps(manifest))


def as_format_1(manifest: dict) -> None:
    """Write members by their names, and the options of the only network and the only preset in the recipe."""
    members, fits = {one["name"]: one for one in manifest.pop("members")}, manifest.pop("fits")
    options = members["tsmixer"]["options"]["network"]
    since = {"stacked_preset", "head", "benchmark_penalty", "steps", "stop_on", "ema"}
    recipe = manifest["recipe"]
    for key in ("members", "first_era", "newest"):
        recipe.pop(key)
    recipe |= {
        "weights": [[name, one["weight"]] for name, one in members.items()],
        "network": {key: value for key, value in options.items() if key not in since} | {"labels": "target"},
        "gbm": members["gbm"]["options"]["preset"],
    }
    manifest |= {
        "format": 1,
        "network": {"best_steps": fits["tsmixer"]["best_steps"], "best_corr": fits["tsmixer"]["best_score"]},
        "history": {
            "targets": options["history_targets"],
            "lookback": options["lookback"],
            "lags": {name: 14 if name.endswith("_60") else 6 for name in options["history_targets"]},
            "scale": 50.0,
        },
    }


def stacked(store: ArtifactStore, champion: Artifact, folder: Path, *, manifest: dict | None = None) -> Artifact:
    """
    Write an artifact whose untrained network takes tree predictions of each target as inputs.

    Args:
        store: Store of the artifacts.
        champion: Artifact of the demo recipe, whose files are taken.
        folder: New folder for the changed files.
        manifest: Manifest of the artifact; without it, the champion's.
    """
    manifest = dict(champion.manifest) if manifest is None else manifest
    shutil.copytree(champion.folder, folder)
    config = json.loads(
        next(one.value for one in onnx.load(champion.path(NETWORK)).metadata_props if one.key == METADATA_KEY)
    )
    network = Network(NetworkConfig.from_json({**config, "stacked": True}))
    export(network, folder / NETWORK, rows=300)
    for target in network.config.targets:
        shutil.copyfile(folder / "gbm.txt", stacked_path(folder, "tsmixer", target))
    members = Members(folder, members_of(manifest))
    rows = np.random.default_rng(1).integers(0, 5, (64, len(members.features)), dtype=np.int8)
    sealed = members.score(RawRows(names=members.features, values=rows, history=members.history))
    (folder / GOLDEN).write_bytes(golden_batch(members.features, rows, sealed))
    files = {path.name: path for path in folder.iterdir() if path.name != MANIFEST}
    return store.write(files=files, manifest=manifest, at=AT)


def copy_as_format_1(store: ArtifactStore, artifact: Artifact) -> Artifact:
    """Return a copy of an artifact in format 1: with its manifest, and with trees of a stacked network named for their kind."""
    files = {name.replace("tsmixer_z_", "gbm_z_"): artifact.path(name) for name in artifact.manifest["files"]}
    copy = store.write(files=files, manifest=dict(artifact.manifest), at=AT)
    rewrite(store, copy.id, as_format_1)
    return store.open(copy.id)
