"""Made-up figures of an evaluation and of a comparison of any length, in the formats of `bot evaluate` and `compare`."""

import numpy as np

MEMBERS = ("tsmixer", "gbm", "ensemble")
GROUPS = tuple(f"group{index}" for index in range(13))
TARGETS = tuple(f"target_made{index}_60" for index in range(10))


def evaluation(eras=120, *, seed=1, champion=True, network=True):
    """Return the figures of an artifact on *eras* eras, with or without a champion and a network."""
    random = np.random.default_rng(seed)
    labels = [f"{position + 1:04d}" for position in range(eras)]
    corr = {name: (0.02 + 0.03 * random.standard_normal(eras)).tolist() for name in MEMBERS}
    partial = {name: [None] * (eras // 3) + corr[name][eras // 3 :] for name in MEMBERS}
    scores = {"corr": corr, "mmc": partial, "bmc": partial, "fnc": corr}
    features = [f"feature_some_long_name_{index}" for index in range(20)]
    return {
        "schema": 1,
        "artifact": "2026-11-24T120000Z-abcd",
        "evaluated_at": "2026-11-24T12:30:00+00:00",
        "about": {
            "created_at": "2026-11-24T12:00:00+00:00",
            "data_version": "v5.3",
            "feature_set": "medium",
            "features": 780,
            "eras": {"train": ["0001", "0900"]},
        },
        "recipe": "standard",
        "target": TARGETS[0],
        "weights": {"tsmixer": 0.5, "gbm": 0.5},
        "neutralize": 0.25,
        "decision": {
            "promote": True,
            "reason": "CORR 0.0200 on the hold-out is more than chance",
            "champion": "2026-11-17T120000Z-0000" if champion else None,
            "findings": [
                {"gate": "skill", "ok": True, "value": 12.3456, "limit": "at least 3.5", "message": ""},
                {"gate": "mmc", "ok": True, "value": "not computed: <few> eras", "limit": "high", "message": ""},
                {"gate": "drawdown", "ok": False, "value": 1.5, "limit": "at most 1", "message": ""},
                {"gate": "like_champion", "ok": True, "value": 0.92, "limit": "at least 0.5", "message": ""},
                {
                    "gate": "purge",
                    "ok": True,
                    "value": "blocks apart",
                    "limit": "an embargo of the longest horizon between blocks",
                    "message": "",
                },
            ],
        },
        "judgement": {
            "holdout": {"eras": labels, "scores": scores},
            "champion": {"eras": labels[-40:], "scores": {"corr": {"ensemble": [0.01] * 40}}} if champion else None,
            "not_computed": {},
        },
        "eras": labels,
        "block": 12,
        "series": scores,
        "others": {"benchmark": corr["gbm"]},
        "members": {name: {score: _figures(random) for score in scores} for name in MEMBERS},
        "references": {"benchmark": _figures(random)},
        "differences": {"benchmark": _figures(random)},
        "by_target": {target: {name: _spread(random) for name in MEMBERS} for target in TARGETS},
        "regimes": [
            {"name": name, "about": "thirds of the eras", "levels": _levels(random, MEMBERS)}
            for name in ("time", "feature strength", "rows")
        ],
        "group_regimes": [{"name": name, "levels": _levels(random, ("ensemble",))} for name in GROUPS],
        "alike": [
            {"of": ["tsmixer", "gbm"], "mean": 0.5},
            {"of": ["tsmixer", "ensemble"], "mean": 0.9},
            {"of": ["gbm", "ensemble"], "mean": 0.8},
            {"of": ["ensemble", "meta model"], "mean": None},
        ],
        "bins": {name: [_spread(random) for _ in range(10)] for name in MEMBERS},
        "exposure": {
            "most": random.random(eras).tolist(),
            "groups": {name: random.random(eras).tolist() for name in GROUPS},
            "features": [{"name": name, "mean": -0.1, "most": 0.3} for name in features],
        },
        "worst": [
            {
                "era": label,
                "corr": dict.fromkeys(MEMBERS, -0.1),
                "measures": {"feature strength": 0.02, "exposure": 0.3},
                "features": [["feature_x", -0.01]],
                "groups": [["group1", -0.02]],
            }
            for label in labels[:8]
        ],
        "calibration": _calibration(random) if network else None,
        "seeds": {"corr": [0.02, 0.03], "deviation": 0.005, "agreement": 0.7, "eras": 24} if network else None,
        "importance": {
            "gain": {"gbm": {"groups": _weights(GROUPS, random), "features": _weights(features, random)}},
            "permutation": {
                name: {"groups": _weights(GROUPS, random), "features": _weights(features, random)} for name in MEMBERS
            },
            "eras": 12,
        },
        "drift": [
            {"measure": "rows", "live": 5000.0, "mean": 6900.0, "low": 6700.0, "high": 7100.0, "odd": True}
            | {"round": 1405, "eras": 40}
        ],
        "not_computed": {"mmc": "meta_model.parquet holds none of the eras"},
    }


def comparison(eras=120, *, seed=1):
    """Return the figures of two recipes and the benchmark model on *eras* eras; MMC is known in the newer half."""
    random = np.random.default_rng(seed)
    names, scores = ("standard", "contribution", "benchmark"), ("CORR", "BMC", "MMC", "pay")
    series = {
        name: {score: (0.01 + 0.03 * random.standard_normal(eras)).tolist() for score in scores} for name in names
    }
    for one in series.values():
        one["MMC"][: eras // 2] = [None] * (eras // 2)
    return {
        "target": TARGETS[0],
        "recipes": names[:2],
        "seeds": 2,
        "folds": 4,
        "eras": [f"{position + 1:04d}" for position in range(eras)],
        "pay": {"CORR": 3.0, "MMC": 15.0},
        "rows": [
            {"name": name, "means": dict.fromkeys(scores, 0.01), "sharpe": 0.5, "drawdown": 0.2}
            | {"alike": 0.6, "scatter": None, "seconds": 3.0}
            for name in names
        ],
        "differences": [
            {"score": score, "late": "contribution", "early": "standard", "mean": -0.01, "error": 0.002}
            | {"detectable": 0.006, "eras": eras}
            for score in scores
        ],
        "alike": {"standard": {"contribution": 0.7}, "contribution": {"standard": 0.7}},
        "series": series,
        "path": "state/experiments/compare.json",
    }


def _spread(random):
    mean = float(random.normal(0.02, 0.01))
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}


def _figures(random):
    recent = {**_spread(random), "sharpe": 0.8, "adjusted_sharpe": 0.4, "eras": 120}
    return {
        **_spread(random),
        "sharpe": 0.9,
        "adjusted_sharpe": 0.5,
        "max_drawdown": 0.2,
        "autocorrelation": 0.5,
        "eras": 120,
        "recent": recent,
    }


def _levels(random, members):
    return [
        {"name": name, "start": 0.0, "stop": 1.0, "eras": 40, "scores": {one: _spread(random) for one in members}}
        for name in ("low", "middle", "high")
    ]


def _weights(names, random):
    return [
        {"name": name, "value": value, "low": value / 2, "high": value * 2}
        for name in names
        for value in random.random(1)
    ]


def _calibration(random):
    predicted = np.sort(random.random((5, 10)), axis=1)
    return {
        "error": 0.004,
        "by_chance": 0.003,
        "by_class": [0.004] * 5,
        "said": predicted.tolist(),
        "seen": (predicted + 0.01).tolist(),
        "classes": [0.0, 0.25, 0.5, 0.75, 1.0],
        "eras": 24,
    }
