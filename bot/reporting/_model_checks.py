"""
Checks that need a second scoring pass or other rows: calibration, variance between seeds, importance, drift.

Each check returns figures for JSON, or :class:`bot.findings.Absent` with the reason if there are none.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bot.data.era_store import Columns
from bot.data.live_file import read_live
from bot.features.preprocess import Prepared
from bot.findings import Absent
from bot.judging.judge import Ensemble
from bot.members.kinds.lightgbm import TreeMember
from bot.members.kinds.tsmixer import TSMixerModel
from bot.members.rows import ChangedRows
from bot.reporting._era_measurements import EraMeasurements, UnseenEras
from bot.reporting._error_analysis import BINS, calibration, drift, era_shape, mean_correlation, reliability_counts
from bot.reporting._figures import top_exposures
from bot.reporting.importance import Weight, gain_shares, permutation_weights, tree_blocks
from bot.reporting.report_page import Figures
from bot.scoring.metrics import corrs
from bot.scoring.ranked_columns import RankedColumns
from bot.system.progress import ProgressCallback
from bot.tournament.columns import overlap_eras
from models.bins import TARGET_VALUES
from models.inference.ensemble import expected_score
from models.inference.exported import ExportedNetwork
from models.inference.onnx_weights import split_seeds
from models.inference.permutation import permutation_losses
from models.inference.runtime import OnnxNetwork
from models.trees.tree_text import split_gains

SAMPLED = 24
"""Number of eras for calibration and seeds."""

PERMUTED, PERMUTED_ROWS = 12, 2000
"""Number of eras for permutation importance, and of rows in each: every group and named feature costs a model run."""

LISTED = 20
"""Number of features whose importance and exposure are listed."""

COMPARED = 40
"""Number of the history's newest eras that live rows are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFigures:
    """
    Results of the network's checks.

    Attributes:
        calibration: Calibration of the class probabilities.
        seeds: CORR of networks that differ only in their seed.
    """

    calibration: Figures | Absent
    seeds: Figures | Absent


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportanceFigures:
    """
    Importance of features and groups.

    Attributes:
        gain: Share of the gain by model of trees.
        permutation: Loss of CORR by member.
        eras: Number of eras with permuted features.
    """

    gain: dict[str, Figures] | Absent
    permutation: dict[str, Figures]
    eras: int


def check_network(eras: UnseenEras, report_progress: ProgressCallback) -> NetworkFigures:
    """
    Measure the calibration of the network's probabilities and the variance between its seeds, on sampled eras.

    A network with a single output has no probabilities. One that does not predict the main target is measured on its own.
    """
    found = {name: model for name, model in eras.ensemble.members.models.items() if isinstance(model, TSMixerModel)}
    if not found:
        absent = Absent("the artifact has no network, and trees give no probabilities")
        return NetworkFigures(calibration=absent, seeds=absent)
    owner, model = next(iter(found.items()))
    network, stack, data = model.network, model.stack, eras.ensemble.models[owner]
    measured = eras.target if eras.target in network.targets else network.targets[0]
    labelled = eras.data.store.labelled(measured)
    sample = _spaced([position for position in eras.positions if labelled[position]], SAMPLED)
    if not sample:
        absent = Absent(f"no unseen era has {measured}")
        return NetworkFigures(calibration=absent, seeds=absent)
    with tempfile.TemporaryDirectory() as scratch:
        seeds = [OnnxNetwork(one) for one in split_seeds(model.path, Path(scratch))]
    counts: npt.NDArray[np.floating] = np.zeros((3, len(TARGET_VALUES), BINS))
    seed_corr: list[list[float]] = []
    correlations: list[float] = []
    for done, position in enumerate(sample):
        report_progress("calibrate", done / len(sample), f"{len(sample)} eras")
        rows, window = data.prepared(position), data.window(position)
        stacked = None if stack is None else stack.predict(rows.features, rows.engineered)
        target = eras.data.target(position, measured)
        known = np.isfinite(target)
        classes = np.searchsorted(TARGET_VALUES, target[known])
        if network.outputs > 1:
            counts = counts + reliability_counts(
                _softmax(_logits(network, rows, window, stacked, measured)[known]), classes
            )
        if seeds:
            scores = [
                expected_score(_logits(seed, rows, window, stacked, measured)[:, None, :])[:, 0] for seed in seeds
            ]
            seed_corr.append(corrs(RankedColumns(np.column_stack(scores)), target).tolist())
            correlations.append(mean_correlation(scores))
    single = Absent("the network gives one score for each target, and no probabilities of classes")
    return NetworkFigures(
        calibration=_calibration_figures(counts, len(sample)) if network.outputs > 1 else single,
        seeds=_seed_figures(seed_corr, correlations),
    )


def _logits(
    network: ExportedNetwork,
    rows: Prepared,
    window: npt.NDArray[np.floating] | None,
    stacked: npt.NDArray[np.float32] | None,
    target: str,
) -> npt.NDArray[np.floating]:
    """Return the outputs for one target. Shape ``(rows, outputs)``."""
    return network.logits(rows.features, rows.engineered, window, stacked)[:, network.targets.index(target)]


def _calibration_figures(counts: npt.NDArray[np.floating], eras: int) -> Figures:
    found = calibration(counts)
    return {
        "error": found.error,
        "by_chance": found.by_chance,
        "by_class": found.by_class.tolist(),
        "said": found.predicted.tolist(),
        "seen": found.observed.tolist(),
        "classes": list(TARGET_VALUES),
        "eras": eras,
    }


def _seed_figures(seed_corr: Sequence[Sequence[float]], correlations: Sequence[float]) -> Figures | Absent:
    """Return figures from CORR by era and seed, and from the mean correlation between seeds by era."""
    if not seed_corr:
        return Absent("the recipe trains one seed; raise seeds to see how much of a score is luck")
    mean = np.array(seed_corr).mean(axis=0)
    return {
        "corr": mean.tolist(),
        "deviation": float(mean.std()),
        "agreement": float(np.mean(correlations)),
        "eras": len(seed_corr),
    }


def check_importance(
    eras: UnseenEras, measured: EraMeasurements, report_progress: ProgressCallback
) -> ImportanceFigures:
    """Measure gain of the trees, and permutation losses of all members, by group and by feature."""
    manifest = eras.data.manifest
    members = {name: [manifest.features[one] for one in positions] for name, positions in manifest.groups.items()}
    gain: dict[str, Figures] = {}
    leaders: list[str] = []
    for name, model in eras.ensemble.members.models.items():
        if not isinstance(model, TreeMember):
            continue
        splits = split_gains(model.path.read_bytes())
        inputs, gains = splits.feature_names, splits.gains
        largest = [inputs[one] for one in np.argsort(-gains.sum(axis=0), kind="stable")[:LISTED]]
        leaders += [one for one in largest if one in set(manifest.features)]
        gain[name] = {
            "groups": _listed(gain_shares(inputs, gains, tree_blocks(inputs, members))),
            "features": _listed(gain_shares(inputs, gains, {one: (one,) for one in largest})),
        }
    exposed = [one["name"] for one in top_exposures(measured, manifest.features, count=LISTED // 2)]
    features = list(dict.fromkeys([*leaders[: LISTED // 2], *exposed]))
    sample = _spaced(eras.positions, PERMUTED)
    return ImportanceFigures(
        gain=gain or Absent("the artifact has no trees"),
        permutation=_permutation_figures(eras, sample, features, report_progress),
        eras=len(sample),
    )


def _permutation_figures(
    eras: UnseenEras, sample: Sequence[int], features: Sequence[str], report_progress: ProgressCallback
) -> dict[str, Figures]:
    """Return permutation losses of every member, by group and by feature of *features*."""
    manifest, positions = eras.data.manifest, eras.positions
    read = eras.ensemble.members.features
    place = {name: index for index, name in enumerate(read)}
    groups = {name: [place[manifest.features[one]] for one in members] for name, members in manifest.groups.items()}
    blocks = {**groups, **{name: (place[name],) for name in features}}
    columns, losses = eras.data.store.store.select(read, ()), []
    for done, position in enumerate(sample):
        report_progress("permute", done / len(sample), f"{len(sample)} eras, {len(blocks)} groups and features")
        losses.append(_permuted(eras, columns, position, blocks))
    gap = max(1, (positions[-1] - positions[0]) // max(len(sample) - 1, 1))
    block = math.ceil(overlap_eras(eras.target) / gap)
    return {
        member: {
            "groups": _listed(permutation_weights(_only(losses, member, manifest.groups), block=block)),
            "features": _listed(permutation_weights(_only(losses, member, features), block=block)),
        }
        for member in losses[0]
    }


def check_drift(state_dir: Path, ensemble: Ensemble) -> list[dict[str, Any]] | Absent:
    """Compare the newest round's live rows with the newest eras of the history."""
    store = ensemble.data.store
    version = store.store.manifest.data_version
    rounds = {int(path.parts[-3]): path for path in state_dir.glob(f"rounds*/[0-9]*/{version}/live.parquet")}
    if not rounds:
        return Absent(f"no round has been played yet on {version}: there are no live rows to compare")
    newest = max(rounds)
    live = read_live(rounds[newest])
    names = ensemble.data.manifest.features
    place = {name: index for index, name in enumerate(live.names)}
    if missing := [name for name in names if name not in place]:
        return Absent(f"{rounds[newest]} lacks {len(missing)} of {len(names)} features")
    eras = range(max(0, len(store.eras) - COMPARED), len(store.eras))
    codes = np.ascontiguousarray(live.values[:, [place[name] for name in names]])
    found = drift(era_shape(codes), [era_shape(store.features(position)) for position in eras])
    return [{**asdict(one), "round": newest, "eras": len(eras)} for one in found]


def _permuted(
    eras: UnseenEras, columns: Columns, position: int, blocks: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, float]]:
    """Return the loss of CORR by member and block in one era, on at most :data:`PERMUTED_ROWS` random rows."""
    target, era = eras.data.target(position, eras.target), eras.ensemble.rows(position, None)
    random = np.random.default_rng(position)
    rows = np.sort(random.permutation(len(target))[:PERMUTED_ROWS])

    def score(codes: npt.NDArray[np.int8]) -> dict[str, float]:
        scores = eras.ensemble.score_rows(ChangedRows(names=columns.feature_names, values=codes, era=era)).scores
        found = corrs(RankedColumns(np.column_stack(list(scores.values()))), target[rows])
        return dict(zip(scores, found.tolist(), strict=True))

    return permutation_losses(score, columns.features(position)[rows], blocks, seed=position)


def _only(
    losses: Sequence[Mapping[str, Mapping[str, float]]], member: str, names: Sequence[str] | Mapping[str, object]
) -> list[dict[str, float]]:
    return [{name: era[member][name] for name in names} for era in losses]


def _listed(weights: Sequence[Weight]) -> list[dict[str, Any]]:
    return [asdict(weight) for weight in weights]


def _spaced(positions: Sequence[int], count: int) -> list[int]:
    """Return at most *count* of the positions, evenly spaced, the newest among them."""
    step = max(1, math.ceil(len(positions) / count))
    return list(positions[::-1][::step][::-1])


def _softmax(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    weight = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))
