"""The wrapper of the documentation runs the pickle of a Numerai Model Upload in an interpreter of its own."""

import shutil
import sys
from pathlib import Path

import cloudpickle
import numpy as np
import pandas as pd

from bot.members.program.command_run import Era, Limits, run_command
from bot.members.program.program_files import pack

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
IDS = tuple(f"n{row:015x}" for row in range(30))


def test_the_pickle_of_an_upload_predicts(tmp_path):
    """A function of live features and benchmark models, pickled as Numerai takes it, gives the predictions."""
    shutil.copytree(EXAMPLES / "upload", tmp_path / "files")
    index = pd.Index(IDS, name="id")
    pd.DataFrame({"feature_a": range(30)}, index=index).to_parquet(tmp_path / "live.parquet")
    pd.DataFrame({"v53_lgbm_ender60": 0.25}, index=index).to_parquet(tmp_path / "benchmark.parquet")

    def predict(live_features, live_benchmark_models):
        return (live_features["feature_a"] / 100 + live_benchmark_models["v53_lgbm_ender60"]).to_frame("prediction")

    (tmp_path / "files" / "model.pkl").write_bytes(cloudpickle.dumps(predict))
    pack(tmp_path / "files", tmp_path / "packed")
    era = Era(ids=IDS, live=tmp_path / "live.parquet", benchmark=tmp_path / "benchmark.parquet")
    command = [sys.executable, "predict.py"]
    run = run_command(command, tmp_path / "packed", era, name="upload", state_dir=tmp_path, limits=Limits())

    np.testing.assert_allclose(run.predictions, np.arange(30) / 100 + 0.25)
