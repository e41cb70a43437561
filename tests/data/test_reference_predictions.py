"""Benchmark and meta model are aligned with the store's rows by id and era, however their files are written."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.data.reference_predictions import ReferencePredictions, benchmark_model
from bot.errors import DatasetIncomplete
from tests.data.store_files import ROWS, build, write_files
from tests.harness.readers import BENCHMARK, OTHER, benchmark_table, by_row, check_reference
from tests.harness.shapes import refusal, stored

TARGET = "target_ender_60"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("history")
    return build(folder, write_files(folder))


def read(folder, store, positions=range(12)):
    return ReferencePredictions.read(folder, store, positions, target=TARGET)


def written(folder, content, name="validation_benchmark_models.parquet", **options):
    pq.write_table(content, folder / name, **options)
    return folder


@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_any_shape_gives_the_same_predictions_or_a_refusal(data, store, tmp_path_factory):
    """Rows in any order and columns in any shape give each row its own prediction, or a refusal, or a reason."""
    check_reference(data, tmp_path_factory.mktemp("reference"), store)


@pytest.mark.parametrize("kind", [pa.int16(), pa.int64(), pa.float64(), pa.string()], ids=str)
def test_eras_may_be_numbers(tmp_path, store, kind):
    """Eras as 8, 8.0 and "8" are the era 0008."""
    content = benchmark_table()
    eras = content.column("era").cast(pa.int32()).cast(kind)
    plain = read(written(tmp_path, content), store)
    other = read(written(tmp_path, content.set_column(1, "era", eras), row_group_size=9), store)

    assert by_row(store, other.by_era["bmc"]) == by_row(store, plain.by_era["bmc"])


def test_only_eras_of_the_file_have_benchmark_table(tmp_path, store):
    """Eras before the file begins are absent; rows that the file lacks are NaN."""
    content = benchmark_table()
    found = read(written(tmp_path, content.slice(3)), store).by_era["bmc"]

    assert sorted(found) == [7, 8, 9, 10]
    assert np.isnan(found[7]).sum() == 3
    assert np.isfinite(found[10]).sum() == ROWS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: one.append_column(BENCHMARK, one[OTHER]), f"twice, '{BENCHMARK}' first"),
        (lambda one: one.append_column("id", one["era"]), "twice, 'id' first"),
        (lambda one: one.drop_columns(["era"]), "has no column 'era'"),
        (lambda one: one.set_column(0, "id", pa.array(range(len(one)))), "id is int64, not text"),
        (lambda one: one.set_column(1, "era", pa.array([["0008"]] * len(one))), "era is list<"),
        (lambda one: one.set_column(1, "era", pa.array([{"era": 8}] * len(one))), "era is struct<"),
        (lambda one: one.set_column(2, BENCHMARK, pa.array(["x"] * len(one))), "text that is no number"),
        (lambda one: one.set_column(2, BENCHMARK, pa.array([[0.5]] * len(one))), "no numbers"),
    ],
)
def test_a_file_that_is_not_the_models_is_refused(tmp_path, store, change, reason):
    """Repeated and odd columns are refused in one line."""
    assert reason in (refusal(read, written(tmp_path, change(benchmark_table())), store) or "")


def test_odd_rows_of_the_meta_model_are_left_out(tmp_path, store):
    """Null, NaN, infinity, ids that are nowhere and ids of another length concern no other row."""
    content = benchmark_table().rename_columns(["id", "era", "numerai_meta_model", OTHER])
    values = content["numerai_meta_model"].to_pylist()
    values[:3] = [None, float("nan"), float("inf")]
    ids = content["id"].to_pylist()
    ids[3:5] = ["n" * 40, "zz1"]
    content = content.set_column(0, "id", pa.array(ids)).set_column(2, "numerai_meta_model", pa.array(values))
    found = read(written(tmp_path, content, "meta_model.parquet"), store).by_era["mmc"]

    assert np.isnan(found[7]).tolist() == [True] * 5 + [False] * (ROWS - 5)
    assert found[7][5:].tolist() == values[5:ROWS]


def test_both_files_of_the_benchmark_are_read(tmp_path, store):
    """The predictions of the training eras come from their own file, which may lack the column."""
    written(tmp_path, benchmark_table(8, 11))
    written(tmp_path, benchmark_table(3, 5), "train_benchmark_models.parquet")
    both = sorted(read(tmp_path, store).by_era["bmc"])
    written(tmp_path, benchmark_table(3, 5).drop_columns([BENCHMARK]), "train_benchmark_models.parquet")

    assert both == [2, 3, 4, 7, 8, 9, 10]
    assert sorted(read(tmp_path, store).by_era["bmc"]) == [7, 8, 9, 10]


def test_a_model_of_one_file_is_found(tmp_path):
    """The benchmark's name is taken from the file that has it."""
    written(tmp_path, benchmark_table().drop_columns([BENCHMARK]))
    written(tmp_path, benchmark_table(3, 5), "train_benchmark_models.parquet")

    assert benchmark_model(tmp_path, TARGET) == BENCHMARK


def test_damaged_files_are_one_line(tmp_path, store):
    """Of 200 files with a changed byte, each is read or refused in one line; a file that was cut off is refused."""
    content = stored(benchmark_table(), OTHER, pa.float32())
    path = written(tmp_path, content) / "validation_benchmark_models.parquet"
    good, random = path.read_bytes(), np.random.default_rng(3)
    for _ in range(200):
        bad = bytearray(good)
        bad[random.integers(len(bad))] = int(random.integers(256))
        path.write_bytes(bad)
        refusal(read, tmp_path, store)
    path.write_bytes(good[:-20])
    with pytest.raises(DatasetIncomplete, match="cannot be read"):
        read(tmp_path, store)
