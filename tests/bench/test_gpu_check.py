"""The script for a machine with a GPU, on a CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "bench" / "gpu_check.sh"


@pytest.mark.slow
def test_every_part_runs_without_a_gpu(tmp_path):
    """Without a GPU every check runs at a small scale, meets its goal, and is written under the name of the device."""
    environment = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}

    done = subprocess.run([SCRIPT, tmp_path], env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(json.loads((tmp_path / "CPU-epoch.json").read_text())["measured"]) == 3
    lines = json.loads((tmp_path / "CPU-parts.json").read_text())["lines"]
    assert [met for _, _, _, met in lines] == [True] * 5
