"""
What costs another run of a candidate's models, or another look at rows: calibration, seeds, importance, drift.

Each probe returns plain figures, or leaves the reason why there are none in *absent*.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bot.data.live_file import read_live
from bot.features.preprocess import prepare
from bot.judging.judge import Ensemble
from bot.reporting._era_measurements import EraMeasurements
from bot.reporting._error_analysis import BINS, agreement, calibration, drift, era_shape, reliability_counts
from bot.reporting._figures import Content, top_exposures
from bot.reporting.importance import Weight, gain_shares, permutation_weights, tree_blocks
from bot.scoring.metrics import corr
from bot.serving.artifacts import Artifact
from bot.serving.scorer import NETWORK
from bot.system.progress import ProgressCallback
from bot.tournament.columns import overlap_eras
from models.classes import TARGET_VALUES
from models.inference.ensemble import expected_score
from models.inference.onnx_weights import split_seeds
from models.inference.permutation import permutation_losses
from models.inference.runtime import OnnxNetwork
from models.trees.tree_text import split_gains

SAMPLED = 24
"""Eras whose class probabilities and seeds are looked at."""

PERMUTED, PERMUTED_ROWS = 12, 2000
"""Eras for permutation importance, and rows of each: the models run once for every group and every named feature."""

NAMED = 20
"""Features whose importance and exposure are listed."""

COMPARED = 40
"""Newest eras of the history that live rows are compared with."""


def network_probe(
    artifact: Artifact,
    candidate: Ensemble,
    positions: Sequence[int],
    target: str,
    absent: dict[str, str],
    report_progress: ProgressCallback,
) -> tuple[Content | None, Content | None]:
    """Return how honest the network's class probabilities are, and how far its seeds agree."""
    path = artifact.path(f"{artifact.manifest['judged_prefix']}{NETWORK}")
    if not path.is_file():
        absent["calibration"] = absent["seeds"] = "the artifact has no network, and trees give no probabilities"
        return None, None
    with tempfile.TemporaryDirectory() as scratch:
        networks = [OnnxNetwork(one) for one in (path, *split_seeds(path, Path(scratch)))]
    counts: npt.NDArray[np.floating] = np.zeros((3, len(TARGET_VALUES), BINS))
    alone: list[list[float]] = []
    agreed: list[float] = []
    sample = _spaced(positions, SAMPLED)
    for done, position in enumerate(sample):
        report_progress("calibrate", done / len(sample), f"{len(sample)} eras")
        data = candidate.data
        rows, seen, truth = data.prepared(position), data.window(position), data.target(position, target)
        known = np.isfinite(truth)
        said = [one.logits(rows.features, rows.engineered, seen)[:, one.targets.index(target)] for one in networks]
        classes = np.searchsorted(TARGET_VALUES, truth[known])
        counts = counts + reliability_counts(_softmax(said[0][known]), classes)
        if len(said) > 1:
            scores = [expected_score(one[:, None, :])[:, 0] for one in said[1:]]
            alone.append([corr(one, truth) for one in scores])
            agreed.append(agreement(scores))
    found = calibration(counts)
    honest = {
        "error": found.error,
        "by_chance": found.by_chance,
        "by_class": found.by_class.tolist(),
        "said": found.said.tolist(),
        "seen": found.seen.tolist(),
        "classes": list(TARGET_VALUES),
        "eras": len(sample),
    }
    if not alone:
        absent["seeds"] = "the recipe trains one seed; raise seeds to see how much of a score is luck"
        return honest, None
    table = np.array(alone)
    return honest, {
        "corr": table.mean(axis=0).tolist(),
        "deviation": float(table.mean(axis=0).std()),
        "agreement": float(np.mean(agreed)),
        "eras": len(sample),
    }


def importance_probe(
    artifact: Artifact,
    candidate: Ensemble,
    positions: Sequence[int],
    target: str,
    measured: EraMeasurements,
    absent: dict[str, str],
    report_progress: ProgressCallback,
) -> Content:
    """Return gain of the trees, and permutation losses of all members, by group and by feature."""
    manifest = candidate.data.manifest
    members = {name: [manifest.features[one] for one in places] for name, places in manifest.groups.items()}
    gain: Content = {}
    leaders: list[str] = []
    for name in (one for one in candidate.weights if one != "tsmixer"):
        text = artifact.path(f"{artifact.manifest['judged_prefix']}{name}.txt").read_bytes()
        splits = split_gains(text)
        inputs, gains = splits.feature_names, splits.gains
        largest = [inputs[one] for one in np.argsort(-gains.sum(axis=0), kind="stable")[:NAMED]]
        leaders += [one for one in largest if one in set(manifest.features)]
        gain[name] = {
            "groups": _listed(gain_shares(inputs, gains, tree_blocks(inputs, members))),
            "features": _listed(gain_shares(inputs, gains, {one: (one,) for one in largest})),
        }
    if not gain:
        absent["gain"] = "the artifact has no trees"
    leaning = [one["name"] for one in top_exposures(measured, manifest.features, count=NAMED // 2)]
    features = list(dict.fromkeys([*leaders[: NAMED // 2], *leaning]))
    place = {name: index for index, name in enumerate(manifest.features)}
    blocks = {**manifest.groups, **{name: (place[name],) for name in features}}
    sample = _spaced(positions, PERMUTED)
    losses = []
    for done, position in enumerate(sample):
        report_progress("permute", done / len(sample), f"{len(sample)} eras, {len(blocks)} groups and features")
        losses.append(_permuted(candidate, position, target, blocks))
    gap = max(1, (positions[-1] - positions[0]) // max(len(sample) - 1, 1))
    together = math.ceil(overlap_eras(target) / gap)
    permutation = {
        member: {
            "groups": _listed(permutation_weights(_only(losses, member, manifest.groups), block=together)),
            "features": _listed(permutation_weights(_only(losses, member, features), block=together)),
        }
        for member in losses[0]
    }
    return {"gain": gain, "permutation": permutation, "eras": len(sample)}


def drift_probe(state_dir: Path, candidate: Ensemble, absent: dict[str, str]) -> list[Content]:
    """Compare the newest round's live rows with the newest eras of the history."""
    store = candidate.data.store
    version = store.store.manifest.data_version
    rounds = {int(path.parts[-3]): path for path in state_dir.glob(f"rounds*/[0-9]*/{version}/live.parquet")}
    if not rounds:
        absent["drift"] = f"no round has been played yet on {version}: there are no live rows to compare"
        return []
    newest = max(rounds)
    live = read_live(rounds[newest])
    names = candidate.data.manifest.features
    place = {name: index for index, name in enumerate(live.names)}
    if lacking := [name for name in names if name not in place]:
        absent["drift"] = f"{rounds[newest]} lacks {len(lacking)} of {len(names)} features"
        return []
    eras = range(max(0, len(store.eras) - COMPARED), len(store.eras))
    codes = np.ascontiguousarray(live.values[:, [place[name] for name in names]])
    found = drift(era_shape(codes), [era_shape(store.features(position)) for position in eras])
    return [{**asdict(one), "round": newest, "eras": len(eras)} for one in found]


def _permuted(
    candidate: Ensemble, position: int, target: str, blocks: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, float]]:
    data = candidate.data
    truth, seen = data.target(position, target), data.window(position)
    random = np.random.default_rng(position)
    rows = np.sort(random.permutation(len(truth))[:PERMUTED_ROWS])

    def score(codes: npt.NDArray[np.int8]) -> dict[str, float]:
        prepared = prepare(data.manifest, data.store.feature_names, codes)
        scores = candidate.score_rows(prepared, "masked" if seen is None else seen, None).scores
        return {name: corr(values, truth[rows]) for name, values in scores.items()}

    return permutation_losses(score, data.store.features(position)[rows], blocks, seed=position)


def _only(
    losses: Sequence[Mapping[str, Mapping[str, float]]], member: str, names: Sequence[str] | Mapping[str, object]
) -> list[dict[str, float]]:
    return [{name: era[member][name] for name in names} for era in losses]


def _listed(weights: Sequence[Weight]) -> list[Content]:
    return [asdict(one) for one in weights]


def _spaced(positions: Sequence[int], count: int) -> list[int]:
    """Return at most *count* of the positions, evenly spaced, the newest among them."""
    step = max(1, math.ceil(len(positions) / count))
    return list(positions[::-1][::step][::-1])


def _softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    weight = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))
