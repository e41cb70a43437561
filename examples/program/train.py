"""Train the model of predict.py on the files of `bot sync`: `python train.py state/data/v5.3`."""

import json
import sys
from pathlib import Path

import lightgbm
import pandas as pd

folder, target = Path(sys.argv[1]), "target_ender_60"
features = json.loads((folder / "features.json").read_text())["feature_sets"]["small"]
rows = pd.read_parquet(folder / "train.parquet", columns=[*features, target]).dropna()
parameters = {"num_leaves": 31, "learning_rate": 0.01, "feature_fraction": 0.1, "verbose": -1}
model = lightgbm.train(parameters, lightgbm.Dataset(rows[features], rows[target]), num_boost_round=2000)
model.save_model(Path(__file__).with_name("model.txt"))
