"""A person's ONNX file is adopted and fills a slot; a file that cannot be used is refused before anything changes."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bot.record.ledger import Ledger
from bot.serving.artifacts import ArtifactStore
from tests.harness.installation import FIRST_ROUND, SLOT, Installation

RECIPE = """
neutralize = 0.0
[data]
feature_set = "small"
[members.mine]
kind = "onnx"
"""


@pytest.fixture
def mine(installation: Installation, trained: Path) -> Installation:
    """Return a bot whose slot's recipe has one member, an ONNX file that takes ten features."""
    for name in ("store", "data", "history"):
        shutil.copytree(trained / name, installation.state / name)
    shutil.copy(trained / "speed.json", installation.state)
    folder = installation.root / "recipes"
    folder.mkdir(exist_ok=True)
    (folder / "mine.toml").write_text(RECIPE)
    sets = json.loads((installation.state / "data" / "v5.3" / "features.json").read_text())["feature_sets"]
    names = sets["small"][:10]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "mine",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", len(names)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [numpy_helper.from_array(np.random.default_rng(1).normal(size=(len(names), 1)).astype(np.float32), "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), folder / "mine.onnx")
    (folder / "mine.json").write_text(json.dumps({"features": names, "coding": "unit"}))
    installation.settings |= {"BOT_RECIPE": "mine", "BOT_MAX_EXPOSURE": "1"}
    return installation


def test_a_file_of_ones_own_fills_a_slot(mine: Installation) -> None:
    """Adopted, it predicts the round; an incomplete sidecar is refused later, and the champion stays."""
    adopted = mine.bot("adopt", "mine")
    sent = mine.bot("submit", "--round", "latest")
    (mine.root / "recipes" / "mine.json").write_text(json.dumps({"features": ["feature_unknown"]}))
    refused = mine.bot("adopt", "mine")
    champion = ArtifactStore(mine.state / "artifacts").champions("mine")[0]
    ledger = Ledger(mine.settings_as().ledger_path)
    entry = ledger.entry(FIRST_ROUND, SLOT)
    ledger.close()

    assert adopted.returncode == 0, adopted.stderr
    assert "may have learned from these eras" in adopted.stdout
    assert sent.returncode == 0, sent.stderr
    assert (entry.state, entry.artifact, entry.filled_by) == ("confirmed", champion, "champion")
    assert refused.returncode == 78
    assert "members.mine: 1 features of the sidecar, such as feature_unknown" in refused.stderr
