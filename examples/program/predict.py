"""Predict the rows of live.parquet with a LightGBM model, and write predictions.csv."""

import lightgbm
import pandas as pd

live = pd.read_parquet("live.parquet")
model = lightgbm.Booster(model_file="model.txt")
live["prediction"] = model.predict(live[model.feature_name()])
live[["prediction"]].to_csv("predictions.csv")
