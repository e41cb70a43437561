"""Serving trees: LightGBM's numbers to the last bit, without LightGBM's package, and nothing believed unchecked."""

import re
import subprocess
import sys
import threading

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.trees import trees as trees_module
from models.trees._lightgbm_c import LightGbmError, NativeBooster
from models.trees._tree_bits import DEEPEST
from models.trees.tree_text import parse
from models.trees.trees import TreeModel

FEATURES, ENGINEERED = 9, 3


def rows(seed, count):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 5, size=(count, FEATURES), dtype=np.int8),
        rng.normal(size=(count, ENGINEERED)).astype(np.float32),
    )


def booster(**parameters):
    """Train on 1,500 rows; shape, objective and length as *parameters* say."""
    features, engineered = rows(1, 1_500)
    X = np.concatenate([features, engineered], axis=1, dtype=np.float64)
    y = np.sin(X.sum(axis=1)) + 0.3 * X[:, 0] + X[:, -1]
    if parameters.get("objective") == "binary":
        y = y > 0
    settings_ = {"verbosity": -1, "num_threads": 1, "seed": 1, "min_data_in_leaf": 5, **parameters}
    return lightgbm.train(settings_, lightgbm.Dataset(X, y), num_boost_round=settings_.pop("trees", 30))


SHAPES = {
    "usual": {"max_depth": 5, "num_leaves": 31},
    "stumps": {"max_depth": 1, "num_leaves": 2},
    "nine deep": {"max_depth": 9, "num_leaves": 200, "min_data_in_leaf": 2, "trees": 5},
    "one split": {"max_depth": 3, "min_data_in_leaf": 700, "trees": 3},
    "no split": {"min_data_in_leaf": 1_400, "trees": 2},
    "unbounded": {"max_depth": -1, "num_leaves": 300, "min_data_in_leaf": 1, "trees": 4},
    "logistic": {"objective": "binary", "max_depth": 4},
    "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.6, "max_depth": 4, "trees": 6},
}


@pytest.fixture(scope="module")
def boosters():
    return {name: booster(**parameters) for name, parameters in SHAPES.items()}


@pytest.fixture
def saved(boosters, tmp_path):
    def save(name):
        boosters[name].save_model(tmp_path / "model.txt")
        return tmp_path / "model.txt"

    return save


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("count", [1, 7, 64, 8_300])
def test_predictions_equal_lightgbm_exactly(boosters, saved, name, count):
    """Whatever the shape of the trees and the number of rows, not one bit differs."""
    features, engineered = rows(2, count)

    found = TreeModel(saved(name)).predict(features, engineered)

    X = np.concatenate([features, engineered], axis=1, dtype=np.float64)
    assert found.dtype == np.float64
    assert (found == boosters[name].predict(X, num_threads=1)).all()


def test_shapes_take_both_ways(boosters, saved):
    """Deep, averaged and transformed models go to LightGBM's library, the others do not need it."""
    native = {name for name in SHAPES if TreeModel(saved(name))._native is not None}

    assert parse(boosters["unbounded"].model_to_string().encode()).depth > DEEPEST
    assert native == {"unbounded", "logistic", "forest"}


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000), count=st.integers(1, 200), code=st.sampled_from([-1, 5, 127]))
def test_codes_outside_the_five_bins_are_compared_like_any_number(seed, count, code):
    """A category of its own for missing values is a number like the others."""
    features, engineered = rows(seed, count)
    features[::3, 0] = code
    model = booster_text("usual")

    found = model[1].predict(features, engineered)

    X = np.concatenate([features, engineered], axis=1, dtype=np.float64)
    assert (found == model[0].predict(X, num_threads=1)).all()


_TEXTS = {}


def booster_text(name):
    """Train once for tests that hypothesis repeats."""
    import tempfile
    from pathlib import Path

    if name not in _TEXTS:
        trained = booster(**SHAPES[name])
        with tempfile.TemporaryDirectory() as folder:
            trained.save_model(Path(folder) / "model.txt")
            _TEXTS[name] = trained, TreeModel(Path(folder) / "model.txt")
    return _TEXTS[name]


def test_rows_in_another_order_give_the_same_predictions(saved):
    """A row's prediction depends on that row alone."""
    features, engineered = rows(3, 500)
    order = np.random.default_rng(0).permutation(500)
    model = TreeModel(saved("usual"))

    assert (model.predict(features[order], engineered[order]) == model.predict(features, engineered)[order]).all()


def test_the_official_model_scores_the_real_cross_section(shared_data):
    """Numerai's example model on a real half era: known names, mean and spread; LightGBM's own bits."""
    import pyarrow.parquet as pq

    path = shared_data / "official_lgbm_small42_v5.0_cyrusd20.txt"
    model = TreeModel(path)
    table = pq.ParquetFile(shared_data / "v5_small42_era0575_halfsample.parquet").read(
        columns=list(model.feature_names)
    )
    features = np.column_stack([column.to_numpy() for column in table.columns]).astype(np.int8)

    found = model.predict(features)

    assert len(model.feature_names) == 42
    assert (round(found.mean(), 4), round(found.std(), 4)) == (0.5002, 0.0072)
    assert (found == lightgbm.Booster(model_file=path).predict(features.astype(np.float64), num_threads=1)).all()


@pytest.mark.parametrize(
    ("features", "engineered", "message"),
    [
        (np.zeros((4, FEATURES), np.int8), None, "takes 12 columns, not 9 . 0"),
        (np.zeros((4, FEATURES), np.float32), np.zeros((4, ENGINEERED), np.float32), "int8"),
        (np.zeros((4, FEATURES), np.int8), np.zeros((4, ENGINEERED)), "float64"),
        (np.zeros((4, FEATURES), np.int8), np.zeros((3, ENGINEERED), np.float32), "same rows"),
        (np.zeros((4, FEATURES), np.int8), np.full((4, ENGINEERED), np.nan, np.float32), "finite"),
    ],
)
def test_wrong_input_is_refused(saved, features, engineered, message):
    """Rows that the model was not made for are never scored."""
    with pytest.raises(ValueError, match=message):
        TreeModel(saved("usual")).predict(features, engineered)


def test_no_rows_give_no_predictions(saved):
    """An empty era is not an error of the trees."""
    nothing = np.zeros((0, FEATURES), np.int8), np.zeros((0, ENGINEERED), np.float32)

    assert TreeModel(saved("usual")).predict(*nothing).shape == (0,)
    assert TreeModel(saved("logistic")).predict(*nothing).shape == (0,)


@pytest.mark.parametrize("text", [b"", b"garbage", b"\x00\xff" * 500, b"tree\nversion=v4\n", b"PAR1"])
def test_garbage_is_refused(tmp_path, text):
    """A file that is no model is an error with words."""
    (tmp_path / "model.txt").write_bytes(text)

    with pytest.raises(ValueError, match="LightGBM model"):
        TreeModel(tmp_path / "model.txt")


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_model_is_refused(saved, share):
    """Half a model is not a smaller model."""
    path = saved("usual")
    text = path.read_bytes()
    trees_end = text.index(b"end of trees")
    path.write_bytes(text[: int(trees_end * share)])

    with pytest.raises(ValueError, match="damaged"):
        TreeModel(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (rb"\nleft_child=\S+", b"\nleft_child=99", "do not form a tree"),
        (rb"\nsplit_feature=\S+", b"\nsplit_feature=12", "looks at feature 12"),
        (rb"\nleaf_value=\S+", b"\nleaf_value=nan", "finite"),
        (rb"\nthreshold=\S+", b"\nthreshold=1e999", "finite"),
        (b"num_cat=0", b"num_cat=1", "categorical"),
        (b"is_linear=0", b"is_linear=1", "linear"),
        (b"num_tree_per_iteration=1", b"num_tree_per_iteration=3", "several outputs"),
        (rb"\ndecision_type=2", b"\ndecision_type=6", "specially"),
        (b"max_feature_idx=11", b"max_feature_idx=12", "names 12 features"),
    ],
)
def test_what_is_not_a_forest_of_numeric_splits_is_refused(boosters, old, new, message):
    """Each rule of the format is checked, even where every length agrees."""
    text = boosters["usual"].model_to_string().encode()
    start = text.index(b"\nTree=0")
    end = text.index(b"\nTree=1")
    tree = text[start:end]
    changed = re.sub(old, new, tree, count=1)
    text = re.sub(old, new, text[:start], count=1) + changed + text[end:]
    text = text.replace(b"tree_sizes=%d " % len(tree), b"tree_sizes=%d " % len(changed), 1)

    with pytest.raises(ValueError, match=message):
        parse(text)


@settings(deadline=None, max_examples=150)
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_an_error_or_another_number_but_never_a_crash(position, bit):
    """Damage either shows or gives finite scores; the process lives."""
    text = bytearray(booster_text("usual")[0].model_to_string().encode())
    text[int(position * len(text))] ^= 1 << bit
    features, engineered = rows(4, 30)
    try:
        forest = parse(bytes(text))
    except ValueError:
        return

    found = trees_module.BitForest(forest, FEATURES).predict(features, engineered)

    assert np.isfinite(found).all()


def test_the_library_checks_its_columns(boosters):
    """Rows of another width never reach LightGBM's memory."""
    native = NativeBooster(boosters["usual"].model_to_string().encode())

    with pytest.raises(ValueError, match="12 columns"):
        native.predict(np.zeros((3, 11), np.float32))


def test_the_library_s_own_error_is_passed_on():
    """What LightGBM says of a bad model is in the message."""
    with pytest.raises(LightGbmError, match="LGBM_BoosterLoadModelFromString"):
        NativeBooster(b"tree\nversion=v4\n")


def test_a_missing_library_is_named(monkeypatch):
    """Without the package, a model that needs it says so."""
    from models.trees import _lightgbm_c

    _lightgbm_c._library.cache_clear()
    monkeypatch.setattr(_lightgbm_c, "find_spec", lambda _: None)

    with pytest.raises(LightGbmError, match="not installed"):
        NativeBooster(b"")


def test_one_model_scores_in_two_threads(saved):
    """The daemon may score while something else does."""
    features, engineered = rows(5, 3_000)
    model = TreeModel(saved("usual"))
    expected = model.predict(features, engineered)
    found = []
    workers = [threading.Thread(target=lambda: found.append(model.predict(features, engineered))) for _ in range(2)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert all((scores == expected).all() for scores in found)
    assert len(found) == 2


def test_serving_imports_neither_lightgbm_nor_sklearn(saved):
    """Both ways of evaluation run without the slow packages."""
    code = (
        "import sys, numpy; from pathlib import Path; from models.trees.trees import TreeModel;"
        "m = TreeModel(Path(sys.argv[1]));"
        f"m.predict(numpy.zeros((5, {FEATURES}), 'int8'), numpy.zeros((5, {ENGINEERED}), 'float32'));"
        "assert m._native is not None;"
        "print([n for n in ('lightgbm', 'sklearn', 'scipy', 'pandas', 'torch', 'pyarrow') if n in sys.modules])"
    )

    answer = subprocess.run([sys.executable, "-c", code, saved("logistic")], capture_output=True, text=True, check=True)

    assert answer.stdout.strip() == "[]"
