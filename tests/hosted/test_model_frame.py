"""The hosted function scores the features by name, however Numerai's frame holds them, or refuses the frame."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import SchemaMismatch
from bot.features.preprocess import Preprocess, prepare
from bot.hosted._model import Hosted, _codes
from tests.harness.shapes import refusal

NAMES = tuple(f"feature_{letter}" for letter in "abcd")
ROWS = 30
BENCHMARK = "v53_lgbm_ender60"


class Recorder:
    """A scorer whose predictions show each column's values and place."""

    manifest = Preprocess(features=NAMES, groups={})
    features = NAMES
    benchmark = BENCHMARK

    def score(self, rows):
        assert rows.history is None
        prepared = rows.prepared(self.manifest)
        self.to = rows.benchmark
        return SimpleNamespace(prepared=prepared, predictions=prepared.features @ (5.0 ** np.arange(len(NAMES))))


def hosted():
    model = Hosted.__new__(Hosted)
    model._scorer, model._history = Recorder(), None
    return model


def frame():
    random = np.random.default_rng(4)
    values = {name: random.integers(0, 5, ROWS).astype(np.int8) for name in NAMES}
    return pd.DataFrame({"era": "X", **values}, index=[f"n{row}" for row in range(ROWS)])


def predicted(content):
    return hosted().predict(content)["prediction"]


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_any_frame_gives_the_same_predictions_or_a_refusal(data):
    """Columns permuted, added, dropped, repeated and retyped, and rows in another order, keep every value under its name."""
    content = frame().sample(frac=1, random_state=data.draw(st.integers(0, 9)))
    for name in data.draw(st.lists(st.sampled_from(NAMES), max_size=2, unique=True)):
        kind = data.draw(st.sampled_from(["int64", "Int8", "float32", "category", "str", "object", "float16"]))
        content[name] = content[name].astype(kind)
    columns = list(data.draw(st.permutations(content.columns.tolist())))
    change = data.draw(st.sampled_from(["none", "drop", "repeat", "add"]))
    if change == "drop":
        columns.pop()
    elif change == "repeat":
        columns.append(columns[0])
    content = content[columns]
    if change == "add":
        content["feature_other"] = "text"
    if refusal(predicted, content) is None:
        pd.testing.assert_series_equal(predicted(content), predicted(frame()).loc[content.index])
    else:
        assert change in ("drop", "repeat")


@pytest.mark.parametrize("name", [NAMES[0], "era"])
def test_a_repeated_column_is_refused(name):
    """A frame with a needed column twice is refused: pandas returns both columns of the name."""
    content = frame()
    with pytest.raises(SchemaMismatch, match=f"columns twice, {name} first"):
        predicted(pd.concat([content, content[[name]]], axis=1))


@pytest.mark.parametrize(
    "values", [["x"] * ROWS, [[1]] * ROWS, pd.Timestamp("2026-01-01"), True], ids=["text", "list", "time", "bool"]
)
def test_a_column_without_numbers_is_refused(values):
    """A feature of text, lists, times or truth values is refused with its name."""
    content = frame()
    content[NAMES[1]] = values
    with pytest.raises(SchemaMismatch, match=f"{NAMES[1]} is .* holds no codes"):
        predicted(content)


def test_another_coding_is_seen():
    """Fractions are no missing values: the scorer counts them as outside of the codes."""
    content = frame()
    content[NAMES[0]] = np.linspace(0.1, 0.9, ROWS)
    prepared = prepare(Recorder.manifest, NAMES, _codes(content[list(NAMES)]))

    assert (prepared.missing, prepared.out_of_range) == (0, ROWS)


@pytest.mark.parametrize("change", ["repeated", "text", "few"])
def test_benchmarks_that_do_not_fit_are_not_used(change, caplog):
    """A repeated column, text or too few rows neutralize nothing, with a warning."""
    model, content = hosted(), frame()
    values = pd.DataFrame({BENCHMARK: np.linspace(0, 1, ROWS)}, index=content.index)
    if change == "repeated":
        values = pd.concat([values, values], axis=1)
    elif change == "text":
        values[BENCHMARK] = "x"
    else:
        values = values.iloc[:5]
    model.predict(content, values)

    assert model._scorer.to is None
    assert "nothing is neutralized" in caplog.text


def test_repeated_rows_of_the_benchmarks_are_taken_once():
    """An id that comes twice, and rows in another order, give each row its own prediction."""
    model, content = hosted(), frame()
    values = pd.DataFrame({BENCHMARK: np.linspace(0, 1, ROWS)}, index=content.index)
    model.predict(content, pd.concat([values.iloc[:3] * 0.5, values.iloc[::-1]]))

    np.testing.assert_array_equal(model._scorer.to, values[BENCHMARK])
