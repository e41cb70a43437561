"""Training the trees: the same data give the same model, however they are laid out."""

import lightgbm
import numpy as np
import pytest

from models.trees.gbm import PRESETS, GbmOptions, train_gbm
from models.trees.gbm_options import train_parameters

TINY = GbmOptions(
    num_trees=12, learning_rate=0.1, max_depth=3, num_leaves=7, colsample_bytree=0.5, min_data_in_leaf=20, threads=1
)
NAMES = [f"feature_{index}" for index in range(8)] + ["mean_a", "mean_b"]


def data(rows=800):
    rng = np.random.default_rng(1)
    features = rng.integers(0, 5, size=(rows, 8), dtype=np.int8)
    engineered = rng.normal(size=(rows, 2)).astype(np.float32)
    y = 0.5 + 0.05 * (features[:, 0] - 2) + 0.05 * engineered[:, 1] + 0.1 * rng.normal(size=rows)
    return features, engineered, y


def columns(features, engineered):
    """Return the columns of one chunk of rows."""
    return [*features.T, *engineered.T]


def test_it_learns_what_is_there():
    """Predictions of unseen rows follow the target."""
    features, engineered, y = data()
    text = train_gbm([columns(features[:600], engineered[:600])], y[:600], TINY, NAMES)

    unseen = np.concatenate([features, engineered], axis=1, dtype=np.float64)[600:]
    assert np.corrcoef(lightgbm.Booster(model_str=text).predict(unseen), y[600:])[0, 1] > 0.4


def test_chunks_and_types_give_one_model():
    """Rows in one chunk or several, as int8 or float32, are the same data."""
    features, engineered, y = data()

    blocks = train_gbm(
        [columns(features[:300], engineered[:300]), columns(features[300:], engineered[300:])], y, TINY, NAMES
    )
    matrix = train_gbm([columns(features.astype(np.float32), engineered)], y, TINY, NAMES)

    assert blocks == matrix


def test_weighted_rows_are_those_of_lightgbm():
    """Row weights give the trees that plain LightGBM grows with them; equal weights give those without."""
    features, engineered, y = data()
    weights = np.linspace(0.2, 1.8, len(y)).astype(np.float32)
    plain = {"objective": "regression", "learning_rate": 0.1, "max_depth": 3, "num_leaves": 7, "feature_fraction": 0.5}
    matrix = np.concatenate([features, engineered], axis=1, dtype=np.float64)
    dataset = lightgbm.Dataset(matrix, y, weight=weights)
    booster = lightgbm.train({**plain, "seed": 1, "num_threads": 1, "verbosity": -1}, dataset, 12)
    chunks = [columns(features, engineered)]
    ours = train_gbm(chunks, y, TINY, NAMES, weights=weights)

    assert _trees(ours) == _trees(booster.model_to_string())
    assert _trees(ours) != _trees(train_gbm(chunks, y, TINY, NAMES))


def test_the_trees_are_those_of_lightgbms_defaults():
    """Layout, sample and where the values lie change nothing: one thread of plain LightGBM grows the same trees."""
    features, engineered, y = data()
    plain = {"objective": "regression", "learning_rate": 0.1, "max_depth": 3, "num_leaves": 7, "feature_fraction": 0.5}
    matrix = np.concatenate([features, engineered], axis=1, dtype=np.float64)

    booster = lightgbm.train({**plain, "seed": 1, "num_threads": 1, "verbosity": -1}, lightgbm.Dataset(matrix, y), 12)

    ours = train_gbm([columns(features, engineered)], y, TINY, NAMES)
    assert _trees(ours) == _trees(booster.model_to_string())


def _trees(text):
    return text[text.index("Tree=0") : text.index("end of trees")]


@pytest.mark.parametrize(
    "constant", [(), (0,), (0, 1, 2, 20), tuple(range(17, 33))], ids=["none", "first", "some", "a part"]
)
def test_columns_constructed_in_parts_give_the_trees_of_all_at_once(constant):
    """More columns than are constructed at a time, some of them constant, give the trees of LightGBM's own Dataset."""
    rng = np.random.default_rng(4)
    features = rng.integers(0, 5, size=(900, 60), dtype=np.int8)
    features[:, list(constant)] = 2
    engineered = rng.normal(size=(900, 3)).astype(np.float32)
    names = [f"f{index}" for index in range(63)]
    y = 0.5 + 0.05 * (features[:, 3] - 2) + 0.03 * (features[:, 59] - 2) + 0.1 * rng.normal(size=900)

    text = train_gbm([columns(features, engineered)], y, TINY, names)

    parameters = dict(train_parameters(TINY, "cpu"))
    table = np.concatenate([features, engineered], axis=1, dtype=np.float64)
    own = lightgbm.Dataset(table, label=y.astype(np.float32), feature_name=names, params=parameters)
    assert trees_of(text) == trees_of(lightgbm.train(parameters, own).model_to_string())


def trees_of(text):
    """Return the trees of a model's text."""
    return text[text.index("feature_names=") : text.index("end of trees")].split("tree_sizes=")


def test_the_number_of_threads_does_not_matter():
    """One core and two train the same trees."""
    features, engineered, y = data()
    one, two = (
        train_gbm([columns(features, engineered)], y, GbmOptions(**{**_fields(TINY), "threads": threads}), NAMES)
        for threads in (1, 2)
    )

    assert one.replace("[num_threads: 1]", "") == two.replace("[num_threads: 2]", "")


def _fields(options):
    return {name: getattr(options, name) for name in options.__slots__}


def test_names_and_size_are_in_the_model():
    """The model knows its columns and holds every tree it was asked for."""
    features, engineered, y = data()

    booster = lightgbm.Booster(model_str=train_gbm([columns(features, engineered)], y, TINY, NAMES))

    assert booster.feature_name() == NAMES
    assert booster.num_trees() == 12


def test_progress_counts_every_tree():
    """The caller hears of each tree once."""
    features, engineered, y = data()
    heard = []

    train_gbm([columns(features, engineered)], y, TINY, NAMES, lambda done, total: heard.append((done, total)))

    assert heard == [(number, 12) for number in range(1, 13)]


@pytest.mark.parametrize(
    ("names", "y", "message"),
    [
        (NAMES[1:], np.zeros(800), "another number of columns than the 9 names"),
        (NAMES, np.zeros(799), "needs its row"),
        (NAMES, np.full(800, np.nan), "finite"),
    ],
)
def test_what_does_not_match_is_refused(names, y, message):
    """Names, rows and targets belong together before hours are spent."""
    features, engineered, _ = data()

    with pytest.raises(ValueError, match=message):
        train_gbm([columns(features, engineered)], y, TINY, names)


def test_doubles_are_refused():
    """Columns are int8 or float32, as they are when served."""
    with pytest.raises(ValueError, match="float64"):
        train_gbm([list(np.zeros((10, 800)))], np.zeros(800), TINY, NAMES)


def test_presets_carry_numerais_numbers():
    """The published sizes are not changed by accident."""
    sizes = {name: (p.num_trees, p.learning_rate, p.max_depth, p.num_leaves) for name, p in PRESETS.items()}

    assert sizes == {
        "demo": (100, 0.05, 5, 15),
        "small": (2_000, 0.01, 5, 31),
        "standard": (2_000, 0.01, 5, 31),
        "dart": (2_000, 0.05, 5, 31),
        "large": (20_000, 0.001, 6, 64),
        "deep": (30_000, 0.001, 10, 1_024),
    }
