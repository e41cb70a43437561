"""Export a trained network as one ONNX file, and keep it only if onnxruntime scores rows as torch does."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor

from models.bins import MISSING_CATEGORY
from models.inference.ensemble import expected_score
from models.inference.onnx_weights import record
from models.network.network import Network
from models.network.network_config import NetworkConfig
from models.network.seeds import SeedAverage

OPSET = 20
"""The newest opset that torch 2.13's exporter writes without a conversion."""

LOGIT_TOLERANCE = 1e-5
"""Largest allowed difference of a logit between torch and onnxruntime."""

TIE_TOLERANCE = 1e-6
"""Scores nearer than this count as equal: float32 sums in another order differ by as much."""

CHUNK = 256
"""Number of rows a call while many rows are compared; serving uses the same."""

_ARGUMENTS = {
    "features": "features_BF",
    "engineered": "engineered_BE",
    "window": "window_LFK",
    "predictions": "predictions_BT",
}
"""The network's argument of each input of the graph."""

Floats = npt.NDArray[np.float32]
Inputs = dict[str, Tensor]


class ExportMismatch(ValueError):
    """onnxruntime does not score rows as torch does; the file was removed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """
    Measurements of the parity gate.

    Attributes:
        max_abs: Largest difference of a logit over all batches.
        ranks_identical: Whether all rows keep their order, except rows whose scores differ by at most ``TIE_TOLERANCE``.
        rank_correlation: Smallest Spearman correlation of both scores over targets, all rows.
        batches: Number of rows of each compared batch. The last one was scored in chunks.
        size: Size of the file in bytes.
    """

    max_abs: float
    ranks_identical: bool
    rank_correlation: float
    batches: tuple[int, ...]
    size: int


def export(
    network: Network | SeedAverage,
    path: Path,
    *,
    rows: int = 6000,
    seed: int = 1,
    on_step: Callable[[str], None] = lambda _step: None,
) -> ExportReport:
    """
    Write *network* to *path* and compare it with torch on random rows.

    The graph takes int8 features and centres them. The batch axis is dynamic; weights are inside the file. Inputs are
    those of ``config.inputs``, the output is ``logits``. The window has no batch axis.

    Args:
        network: Network to export, in evaluation mode. It is returned to its mode and device.
        path: Path of the file. An existing file is replaced; the file is removed if the comparison fails.
        rows: Number of rows of the largest comparison.
        seed: Seed of the random rows.
        on_step: Called with the name of each step before it begins.

    Raises:
        ExportMismatch: A logit differs by more than ``LOGIT_TOLERANCE``, or rows change places.
    """
    device = next(network.parameters()).device
    was_training = network.training
    network = network.cpu().eval()
    try:
        on_step("ONNX by torch's exporter")
        _write(network, path)
        on_step("scores of onnxruntime beside those of torch")
        onnx.checker.check_model(path)
        report = _compare(network, path, rows=rows, seed=seed)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        network.to(device).train(was_training)
    if report.max_abs > LOGIT_TOLERANCE or not report.ranks_identical:
        path.unlink()
        raise ExportMismatch(
            f"onnxruntime and torch differ by {report.max_abs:.2g} in a logit (at most {LOGIT_TOLERANCE:g}), "
            f"ranks {'identical' if report.ranks_identical else 'not identical'}; the file was removed"
        )
    return report


def random_inputs(config: NetworkConfig, rows: int, *, seed: int) -> Inputs:
    """Return random inputs of *config*'s shapes: all codes, aggregates around their offset, a history of unit scale."""
    generator = np.random.default_rng(seed)
    codes = MISSING_CATEGORY + 1 if config.missing_category else MISSING_CATEGORY
    values: dict[str, npt.NDArray[np.int8] | Floats] = {
        name: generator.standard_normal(
            config.shape(name) if name == "window" else (rows, *config.shape(name)), dtype=np.float32
        )
        for name in config.inputs
        if name != "features"
    }
    values["features"] = generator.integers(0, codes, (rows, config.features), dtype=np.int8)
    if config.has_history:
        values["window"] *= np.float32(1 / (config.history_scale * 2**0.5))
    if config.engineered:
        scale = np.array(config.engineered_scale or 1, dtype=np.float32)
        values["engineered"] = values["engineered"] * scale + np.array(config.engineered_offset or 0, dtype=np.float32)
    return {name: torch.from_numpy(values[name]) for name in config.inputs}


def _write(network: Network | SeedAverage, path: Path) -> None:
    """
    Trace *network* and write its graph and weights.

    torch 2.13's newer exporter (``dynamo=True``) writes a graph that scores the same to the last bit, as fast, and takes ten
    times the CPU: 10 s against 1 s for the standard network. This one is in maintenance; torch is pinned to one version.
    """
    config = network.config
    inputs = random_inputs(config, 2, seed=0)
    with _quiet():
        torch.onnx.export(
            network,
            args=(),
            f=path,
            kwargs={_ARGUMENTS[name]: value for name, value in inputs.items()},
            dynamo=False,
            opset_version=OPSET,
            input_names=list(config.inputs),
            output_names=["logits"],
            dynamic_axes={name: {0: "batch"} for name in ("logits", *config.inputs) if name != "window"},
        )
    record(network, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's notice of its successor, and its notes about sizes that it takes for constants."""
    with warnings.catch_warnings():
        for notice in ("You are using the legacy TorchScript-based ONNX export", "The feature will be removed"):
            warnings.filterwarnings("ignore", notice, DeprecationWarning)
        # A size that is no constant would fail the comparison, which scores batches of six sizes.
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)  # type: ignore[attr-defined]
        yield


def _compare(network: Network | SeedAverage, path: Path, *, rows: int, seed: int) -> ExportReport:
    """Score random rows with torch and onnxruntime, in batches around a chunk's size and with all rows in chunks."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # hides warnings about weights that only onnx_weights.restore reads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    batches = (1, 2, CHUNK - 1, CHUNK, CHUNK + 1, rows)
    inputs = random_inputs(network.config, max(batches), seed=seed)
    max_abs, identical, correlation = 0.0, True, 1.0
    for count in batches:
        step = CHUNK if count == rows else count
        actual, expected = [], []
        for start in range(0, count, step):
            rows_of = slice(start, min(start + step, count))
            part = {name: value if name == "window" else value[rows_of] for name, value in inputs.items()}
            if count % 2 and "window" in part:
                part["window"] = torch.zeros_like(part["window"])  # compare a masked history too
            actual.append(session.run(["logits"], {name: value.numpy() for name, value in part.items()})[0])
            with torch.no_grad():
                expected.append(network(**{_ARGUMENTS[name]: value for name, value in part.items()}).numpy())
        ours, theirs = np.concatenate(actual), np.concatenate(expected)
        max_abs = max(max_abs, float(np.abs(ours - theirs).max()))
        if not np.isfinite(ours).all():
            raise ExportMismatch("onnxruntime returned logits that are not finite")
        ours_T, theirs_T = _scores(ours), _scores(theirs)
        identical = identical and all(same_order(a, b) for a, b in zip(ours_T, theirs_T, strict=True))
        if count == rows and rows > 1:
            correlation = min(_spearman(a, b) for a, b in zip(ours_T, theirs_T, strict=True))
    return ExportReport(
        max_abs=max_abs,
        ranks_identical=identical,
        rank_correlation=correlation,
        batches=batches,
        size=path.stat().st_size,
    )


def _scores(logits_NTK: Floats) -> npt.NDArray[np.float64]:
    """Return CORR's expected score per target. Shapes ``[N, T, K]`` to ``[T, N]``."""
    return expected_score(logits_NTK).T


def same_order(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> bool:
    """Return whether *a* ranks rows as *b* does, except pairs within ``TIE_TOLERANCE`` in *b*."""
    order = np.argsort(a, kind="stable")
    sorted_b = b[order]
    return bool((np.maximum.accumulate(sorted_b) - sorted_b).max() <= TIE_TOLERANCE)


def _spearman(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Return the rank correlation of two vectors with few ties."""
    ranks = [np.argsort(np.argsort(x, kind="stable"), kind="stable") for x in (a, b)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
