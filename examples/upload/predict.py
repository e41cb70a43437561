"""Predict with model.pkl, the pickle of a Numerai Model Upload; its own interpreter runs this file, never the bot's."""

import pandas as pd

predict = pd.read_pickle("model.pkl")
predictions = predict(pd.read_parquet("live.parquet"), pd.read_parquet("live_benchmark_models.parquet"))
predictions.rename_axis("id").to_csv("predictions.csv")
