"""A past era is written as a live round's files are: the same values, and nothing that was not known then."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from bot.data.live_file import read_live
from bot.judging._past_live import write_past_benchmark, write_past_live
from tests.data.store_files import NAMES, ROWS, build, write_files
from tests.harness.readers import benchmark_table


def test_a_past_era_is_a_live_file_without_targets(tmp_path):
    """The live reader finds the era's ids and codes; the file has no target and no number of the era."""
    store = build(tmp_path, write_files(tmp_path))
    ids = write_past_live(store, 7, tmp_path / "live.parquet")
    live = read_live(tmp_path / "live.parquet")

    assert live.ids == ids
    assert (live.era, live.names) == ("X", NAMES)
    np.testing.assert_array_equal(live.values, store.select(NAMES, ()).features(7))
    assert set(pq.read_schema(tmp_path / "live.parquet").names) == {"id", "era", "data_type", *NAMES}


def test_pandas_reads_ids_as_its_index(tmp_path):
    """As in Numerai's files, pandas takes the ids as index."""
    store = build(tmp_path, write_files(tmp_path))
    ids = write_past_live(store, 0, tmp_path / "live.parquet")

    assert tuple(pd.read_parquet(tmp_path / "live.parquet").index) == ids


def test_the_benchmark_of_an_era_is_found_across_row_groups(tmp_path):
    """The rows of one era are written, wherever they lie in the file; of an era without any, nothing is."""
    content = benchmark_table()
    pq.write_table(content, tmp_path / "validation_benchmark_models.parquet", row_group_size=9)
    found = write_past_benchmark(tmp_path, "0008", tmp_path / "live_benchmark_models.parquet")
    table = pq.read_table(tmp_path / "live_benchmark_models.parquet")
    wanted = content.filter(np.asarray(content["era"]) == "0008")

    assert found
    assert table["id"].to_pylist() == wanted["id"].to_pylist()
    assert set(table["era"].to_pylist()) == {"X"}
    assert table.num_rows == ROWS
    assert not write_past_benchmark(tmp_path, "0999", tmp_path / "none.parquet")
    assert not (tmp_path / "none.parquet").exists()
