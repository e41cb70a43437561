"""Train the model of predict.py on the files of `bot sync`: `python train.py state/data/v5.3`. It takes some minutes."""

import json
import sys
from pathlib import Path

import lightgbm
import pandas as pd

TREES = 2000


def show_progress(state: lightgbm.callback.CallbackEnv) -> None:
    """Print a line every 100 trees."""
    done = state.iteration + 1
    if done % 100 == 0:
        print(f"{done} of {TREES} trees", flush=True)


folder, target = Path(sys.argv[1]), "target_ender_60"
features = json.loads((folder / "features.json").read_text())["feature_sets"]["small"]
print(f"reading {len(features)} features of {folder / 'train.parquet'}", flush=True)
rows = pd.read_parquet(folder / "train.parquet", columns=[*features, target]).dropna()
print(f"training {TREES} trees on {len(rows):,} rows", flush=True)
parameters = {"num_leaves": 31, "learning_rate": 0.01, "feature_fraction": 0.1, "verbose": -1}
data = lightgbm.Dataset(rows[features], rows[target])
model = lightgbm.train(parameters, data, num_boost_round=TREES, callbacks=[show_progress])
path = Path(__file__).with_name("model.txt")
model.save_model(path)
print(f"wrote {path}")
