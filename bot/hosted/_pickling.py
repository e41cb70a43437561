"""
Pack an artifact as one pickle that Numerai can run: a function with the models and the code that scores them.

The code is source text beside the artifact's own files in an archive, and is imported from there, so that each line runs
on Numerai's machine as it runs here. Only the function itself is bytecode, of this version of Python. Nothing here loads a
pickle.
"""

import ast
import atexit
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from bot.errors import BadConfig
from bot.history.factor_history import HistoryState
from bot.hosted._model import LIVE_HISTORY
from bot.members import registry
from bot.serving.artifacts import MANIFEST, Artifact
from bot.serving.names import DISTRIBUTIONS, EVALUATION, JUDGED
from bot.serving.scorer import members_of

ROOT = "bot.hosted._model"
"""Module that scores the frames which the function receives."""


def pack(artifact: Artifact, history: HistoryState | None, *, to_benchmark: bool) -> bytes:
    """
    Return the pickle; equal arguments make equal bytes.

    Args:
        artifact: A verified artifact.
        history: History of live rows, where the network has one.
        to_benchmark: Whether the function also takes the benchmark models.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (_modules(ROOT, *_kinds(artifact)) | _served(artifact, history)).items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=zipfile.ZIP_DEFLATED)
    return bytes(cloudpickle.dumps(_predictor(buffer.getvalue(), to_benchmark=to_benchmark)))


def _served(artifact: Artifact, history: HistoryState | None) -> dict[str, bytes]:
    """Return the files of an artifact that scoring reads, by path in the archive; the judged members are left out."""
    listed = artifact.manifest["files"]
    left_out = (DISTRIBUTIONS, EVALUATION)
    names = [name for name in listed if name not in left_out and not name.startswith(JUDGED)]
    files = {f"artifact/{name}": artifact.path(name).read_bytes() for name in (MANIFEST, *names)}
    return files if history is None else {**files, f"artifact/{LIVE_HISTORY}": history.to_bytes()}


def _kinds(artifact: Artifact) -> tuple[str, ...]:
    """
    Return the modules of the artifact's kinds, which are imported by their names.

    Raises:
        BadConfig: A member cannot run on Numerai's machines.
    """
    modules = []
    for member in members_of(artifact.manifest):
        reason = registry.find(member.kind).needs(member).hosted
        if member.kind not in registry.BUILT_IN:
            reason = f"kind {member.kind} comes from another package"
        if reason:
            raise BadConfig(f"artifact {artifact.id} cannot run on Numerai's machines: member {member.name}: {reason}")
        modules.append(registry.BUILT_IN[member.kind])
    return tuple(dict.fromkeys(modules))


def _modules(*roots: str) -> dict[str, bytes]:
    """Return the text of *roots* and of every module of the bot that they import, by path in the archive."""
    source = Path(__file__).resolve().parents[2]
    found: dict[str, bytes] = {}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        name = module.replace(".", "/")
        path = f"{name}.py" if (source / f"{name}.py").is_file() else f"{name}/__init__.py"
        if path in found or not (source / path).is_file():
            continue  # a function or class; its module is found by its own name
        found[path] = (source / path).read_bytes()
        parents = module.split(".")[:-1]
        waiting += [".".join(parents[: depth + 1]) for depth in range(len(parents))]
        for node in ast.parse(found[path]).body:
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("bot", "models"):
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def _predictor(bundle: bytes, *, to_benchmark: bool) -> Callable[..., Any]:
    """
    Return the function that is pickled.

    It uses no name of this module: cloudpickle packs local values, and looks up the others by name.
    """
    opened: list[Any] = []

    def hosted() -> Any:  # noqa: ANN401 - a type that is known only on the other machine
        if not opened:
            folder = tempfile.mkdtemp(prefix="numerai-bot-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
                archive.extractall(folder)
            sys.path.insert(0, folder)
            from bot.hosted._model import Hosted  # noqa: PLC0415 - from that folder

            opened.append(Hosted(Path(folder) / "artifact"))
        return opened[0]

    def predict(live_features: Any) -> Any:  # noqa: ANN401
        return hosted().predict(live_features)

    def predict_beside(live_features: Any, live_benchmark_models: Any) -> Any:  # noqa: ANN401
        return hosted().predict(live_features, live_benchmark_models)

    return predict_beside if to_benchmark else predict
