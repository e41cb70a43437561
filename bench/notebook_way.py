"""
What example notebooks do, for one side of ``whole.py``: pandas, LightGBM, scikit-learn, torch's DataLoader, numerai-tools.

``retrain`` reads both files as data frames, fits three models on the early eras, scores them on the hold-out, and fits
them again on all eras. ``evaluate`` scores the first models on the hold-out with numerai-tools. ``submit`` scores the
live file. The models are those of the bot's recipe, so that both sides do the same work.
"""

import argparse
import json
import pickle
from pathlib import Path

import lightgbm
import numpy as np
import pandas as pd
import torch
from numerai_tools import scoring
from sklearn.linear_model import Ridge
from torch.utils.data import DataLoader, TensorDataset

from bot.history.factor_history import SCALE
from bot.tournament.columns import HISTORY_LAG
from models.bins import CORR_VALUES
from models.network.network import Network
from models.network.network_config import NetworkConfig

TARGET, HISTORY = "target_ender_60", ("target_ender_20", "target_ender_60")
EMBARGO, LOOKBACK, EPOCHS, BATCH = 16, 16, 2, 512
"""Eras between training and hold-out, as for a 60D target in the bot; steps of the history and epochs of the recipe `demo`; rows of
a step, which notebooks choose."""

TREES = {"learning_rate": 0.01, "max_depth": 5, "num_leaves": 31, "colsample_bytree": 0.1}
"""Parameters of Numerai's example notebook, as in the bot's preset `small`."""

MEMBERS = ("tsmixer", "gbm", "ridge")

Table = dict[str, np.ndarray]


def read(folder: Path, features: list[str]) -> pd.DataFrame:
    """Return both files in one frame."""
    columns = ["era", *features, *HISTORY]
    return pd.concat([pd.read_parquet(folder / f"{name}.parquet", columns=columns) for name in ("train", "validation")])


def features_of(folder: Path) -> tuple[list[str], list[list[int]]]:
    """Return the features of the medium set, and the positions of each group in it."""
    sets = json.loads((folder / "features.json").read_text(encoding="utf-8"))["feature_sets"]
    features = sets["medium"]
    kinds = [name for name in sets if name not in ("small", "medium", "all")]
    groups = [[features.index(one) for one in sets[name] if one in features] for name in kinds]
    return features, [group for group in groups if group]


def returns_by_era(frame: pd.DataFrame, features: list[str]) -> Table:
    """Return the correlation of every feature with each history target, by era; 0 where it is not resolved. Shape ``(F, 2)`` each."""
    found = {}
    for era, rows in frame.groupby("era"):
        x = rows[features].astype(np.float32)
        found[str(era)] = np.stack([x.corrwith(rows[name]).fillna(0).to_numpy() for name in HISTORY], axis=1)
    return found


def histories(frame: pd.DataFrame, features: list[str], groups: list[list[int]], returns: Table) -> np.ndarray:
    """Return the scores that the factor models of resolved eras give each row. Shape ``(rows, lookback, channels)``."""
    eras = list(returns)
    made = np.zeros((len(frame), LOOKBACK, len(groups) * len(HISTORY)), dtype=np.float32)
    lag = max(HISTORY_LAG.values())
    for era, places in pd.Series(np.arange(len(frame)), index=frame["era"]).groupby(level=0):
        now = eras.index(era) if era in returns else len(eras)
        past = [returns[eras[step]] for step in range(now - lag, now - lag - LOOKBACK, -1) if step >= 0]
        if not past:
            continue
        rows = frame.iloc[places.to_numpy()][features].to_numpy(dtype=np.float32) - 2
        window = np.stack(past)
        for number, group in enumerate(groups):
            channels = np.einsum("nf,lft->nlt", rows[:, group], window[:, group]) / len(group) ** 0.5 * SCALE
            start = number * len(HISTORY)
            made[places.to_numpy(), : len(past), start : start + len(HISTORY)] = channels
    return made


def fit_network(x: np.ndarray, history: np.ndarray, y: np.ndarray, groups: list[list[int]]) -> Network:
    """Train the demo recipe's network on rows ``(n, F)``, their histories ``(n, lookback, channels)`` and targets ``(n,)``."""
    torch.manual_seed(1)
    config = NetworkConfig(
        features=x.shape[1], targets=(TARGET,), lookback=LOOKBACK, groups=tuple(map(tuple, groups)),
        history_targets=len(HISTORY), history_scale=SCALE, encoder=(64,), hidden=32, feed_forward=64, blocks=2,
    )  # fmt: skip
    network = Network(config)
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(history), torch.from_numpy((y * 4).astype(np.int64)))
    loader = DataLoader(data, batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003, weight_decay=0.001)
    for _ in range(EPOCHS):
        for codes, past, label in loader:
            optimizer.zero_grad()
            logits = network.from_history(codes, None, past)[:, 0]
            torch.nn.functional.cross_entropy(logits, label).backward()
            optimizer.step()
    return network.eval()


def fit(frame: pd.DataFrame, features: list[str], groups: list[list[int]], history: np.ndarray, trees: int) -> dict:
    """Fit the three models on the rows whose target is known."""
    known = frame[TARGET].notna().to_numpy()
    x, y = frame.loc[known, features], frame.loc[known, TARGET].to_numpy()
    return {
        "gbm": lightgbm.LGBMRegressor(n_estimators=trees, verbosity=-1, **TREES).fit(x, y),
        "ridge": Ridge(alpha=len(x) * 0.1).fit(x, y),
        "tsmixer": fit_network(x.to_numpy(), history[known], y, groups),
    }


def predict(models: dict, rows: pd.DataFrame, features: list[str], history: np.ndarray) -> pd.DataFrame:
    """Return the predictions of all members, and of their ensemble: a column each, a line a row of *rows*."""
    x = rows[features]
    with torch.no_grad():
        logits = models["tsmixer"].from_history(torch.tensor(x.to_numpy()), None, torch.from_numpy(history))[:, 0]
        scores = torch.softmax(logits, dim=-1) @ torch.tensor(CORR_VALUES, dtype=torch.float32)
    made = pd.DataFrame(
        {"tsmixer": scores.numpy(), "gbm": models["gbm"].predict(x), "ridge": models["ridge"].predict(x)},
        index=rows.index,
    )
    eras = rows["era"] if "era" in rows else pd.Series("X", index=rows.index)
    ranked = made.groupby(eras).transform(
        lambda one: scoring.gaussian(scoring.tie_kept_rank(one.to_frame())).iloc[:, 0]
    )
    made["ensemble"] = ranked[list(MEMBERS)].mean(axis=1)
    return made


def holdout(frame: pd.DataFrame, eras: int) -> tuple[np.ndarray, np.ndarray]:
    """Return masks of the training rows and of the hold-out: the newest resolved eras."""
    resolved = frame.loc[frame[TARGET].notna(), "era"].unique()
    kept = set(resolved[-eras:])
    train = set(resolved[: -eras - EMBARGO])
    return frame["era"].isin(train).to_numpy(), frame["era"].isin(kept).to_numpy()


def retrain(folder: Path, work: Path, eras: int, trees: int) -> None:
    """Fit, score, fit again on everything; write the models and the CORR of the hold-out."""
    features, groups = features_of(folder)
    frame = read(folder, features)
    returns = returns_by_era(frame, features)
    history = histories(frame, features, groups, returns)
    train, held = holdout(frame, eras)
    models = fit(frame[train], features, groups, history[train], trees)
    rows = frame[held]
    predictions = predict(models, rows, features, history[held])
    by_era = predictions.join(rows[["era", TARGET]]).groupby("era")
    corr = by_era.apply(lambda one: scoring.numerai_corr(one[["ensemble"]], one[TARGET])["ensemble"])
    (work / "judged.pickle").write_bytes(pickle.dumps(models))
    (work / "models.pickle").write_bytes(pickle.dumps((fit(frame, features, groups, history, trees), returns)))
    print(json.dumps({"corr": float(corr.mean())}))


def evaluate(folder: Path, work: Path, eras: int) -> None:
    """Score the judged models on the hold-out: CORR, FNC and exposure of each, MMC and BMC where the files have them."""
    features, groups = features_of(folder)
    small = json.loads((folder / "features.json").read_text(encoding="utf-8"))["feature_sets"]["small"]
    frame = read(folder, features)
    history = histories(frame, features, groups, returns_by_era(frame, features))
    _, held = holdout(frame, eras)
    rows = frame[held]
    models = pickle.loads((work / "judged.pickle").read_bytes())  # noqa: S301 - written by `retrain` of this bench
    predictions = predict(models, rows, features, history[held])
    meta = pd.read_parquet(folder / "meta_model.parquet")["numerai_meta_model"]
    benchmark = pd.read_parquet(folder / "validation_benchmark_models.parquet")["v53_lgbm_ender60"]
    joined = rows.join(predictions).join(meta).join(benchmark)
    names = [*MEMBERS, "ensemble"]
    table: dict[str, pd.DataFrame] = {}
    grouped = joined.groupby("era")
    table["corr"] = grouped.apply(lambda one: scoring.numerai_corr(one[names], one[TARGET]))
    table["fnc"] = grouped.apply(lambda one: scoring.feature_neutral_corr(one[names], one[small], one[TARGET]))
    for name, column in (("mmc", "numerai_meta_model"), ("bmc", "v53_lgbm_ender60")):
        with_other = joined.dropna(subset=[column]).groupby("era")
        table[name] = with_other.apply(
            lambda one, column=column: scoring.correlation_contribution(one[names], one[column], one[TARGET])
        )
    exposure = grouped.apply(lambda one: scoring.max_feature_correlation(one["ensemble"], one[small])[1])
    summary = {f"{name} {one}": float(value) for name, scores in table.items() for one, value in scores.mean().items()}
    print(json.dumps({**summary, "exposure": float(exposure.max())}))


def submit(folder: Path, work: Path) -> None:
    """Score the live file and write the CSV."""
    features, groups = features_of(folder)
    live = pd.read_parquet(folder / "live.parquet")
    models, returns = pickle.loads((work / "models.pickle").read_bytes())  # noqa: S301 - written by `retrain` of this bench
    history = histories(live, features, groups, returns)
    ensemble = predict(models, live, features, history)["ensemble"]
    ranked = (ensemble.rank() / (len(ensemble) + 1)).rename("prediction")
    ranked.to_frame().reset_index().to_csv(work / "plain.csv", index=False)


def main() -> None:
    """Do one command's work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["retrain", "evaluate", "submit"])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--eras", type=int, default=600)
    parser.add_argument("--trees", type=int, default=2_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command == "retrain":
        retrain(options.data, options.work, options.eras, options.trees)
    elif options.command == "evaluate":
        evaluate(options.data, options.work, options.eras)
    else:
        submit(options.data, options.work)


if __name__ == "__main__":
    main()
