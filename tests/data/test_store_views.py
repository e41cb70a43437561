"""An era store read as numpy views, Arrow, polars, torch and LightGBM has the values of the files that it was made from."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from torch.utils.data import DataLoader

from bot.data.store_views import TorchEras, arrow_table, era_arrays, lightgbm_dataset, polars_frame, polars_frames
from bot.errors import BadConfig
from tests.data.store_files import NAMES, ROWS, TARGETS, build, small_blocks, write_files

CHOSEN = (0, 2, 3, 4, 7, 11)


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)


@pytest.fixture
def columns(tmp_path, files, monkeypatch):
    small_blocks(monkeypatch)
    return build(tmp_path, files).select(NAMES[1:4] + NAMES[6:7], TARGETS[1:])


@pytest.fixture
def expected(files, columns):
    """The chosen eras as polars itself reads them from the files."""
    eras = [columns.eras[one] for one in CHOSEN]
    whole = pl.concat([pl.read_parquet(one) for one in files])
    return whole.filter(pl.col("era").is_in(eras)).select("era", "id", *columns.feature_names, *columns.target_names)


def test_a_frame_has_the_rows_of_the_files(columns, expected):
    """Eras, ids, features and targets equal what polars reads from Numerai's files, in the same order."""
    frame = polars_frame(columns, CHOSEN)

    assert frame.equals(expected.cast(dict.fromkeys(columns.target_names, pl.Float32)), null_equal=True)
    assert frame.schema[NAMES[1]] == pl.Int8
    assert pl.concat(polars_frames(columns, CHOSEN, eras=4)).equals(frame)


def test_arrays_are_views_of_the_file(tmp_path, files):
    """The features of neighbouring columns are not copied, cannot be written to, and have the values of the file."""
    columns = build(tmp_path, files).select(NAMES, TARGETS)
    era = era_arrays(columns, 5)

    assert not era.features.flags.owndata
    assert not era.features.flags.writeable
    assert np.array_equal(era.features, np.stack([polars_frame(columns, [5])[name].to_numpy() for name in NAMES], 1))
    assert era.era == "0006"


def test_arrow_reads_features_in_place(columns):
    """A feature chunk is the memory of the mapped file, not a copy."""
    chunk = arrow_table(columns, [3], labels=False).column(0).chunk(0)
    view = columns.in_place([3])[0]

    assert chunk.buffers()[1].address + chunk.offset == view.__array_interface__["data"][0]


def test_torch_reads_eras_in_workers(columns, expected):
    """A loader with workers yields the era of each position, in the order that was asked for."""
    wanted = (7, 0, 11)
    items = list(DataLoader(TorchEras(columns, wanted), batch_size=None, num_workers=2))
    by_era = expected.partition_by("era", as_dict=True)

    assert [one["era"] for one in items] == [columns.eras[one] for one in wanted]
    for item in items:
        frame = by_era[(item["era"],)]
        assert np.array_equal(item["features"].numpy(), frame.select(columns.feature_names).to_numpy())
        assert np.array_equal(item["targets"].numpy(), frame.select(columns.target_names).to_numpy(), equal_nan=True)


def test_lightgbm_learns_from_the_store_as_from_an_array(columns, expected):
    """A booster fitted on the chunks of the store equals one that is fitted on the array; unknown rows count for nothing."""
    import lightgbm

    options = {"verbosity": -1, "num_leaves": 4, "min_data_in_leaf": 1, "deterministic": True, "num_threads": 1}
    data = lightgbm_dataset(columns, TARGETS[2], CHOSEN)
    known = expected.filter(pl.col(TARGETS[2]).is_not_nan())
    alone = lightgbm.Dataset(
        known.select(columns.feature_names).to_numpy().astype(np.float32),
        label=known[TARGETS[2]].to_numpy(),
        params={"max_bin": 7, "min_data_in_bin": 1, "feature_pre_filter": False},
    )
    ours, theirs = (lightgbm.train(options, one, num_boost_round=5) for one in (data, alone))
    rows = expected.select(columns.feature_names).to_numpy()

    assert data.num_data() == len(CHOSEN) * ROWS
    assert len(known) < len(expected)
    np.testing.assert_allclose(ours.predict(rows), theirs.predict(rows), atol=1e-6)


@pytest.mark.parametrize("positions", [[], [0, 0], [2, 1], [-1], [12]])
def test_odd_positions_are_refused(columns, positions):
    """Positions outside the store, repeated or out of order are an error in one line."""
    with pytest.raises(BadConfig, match="run from 0 to 11"):
        polars_frame(columns, positions)


def test_missing_features_are_marked(tmp_path):
    """A value that the file lacks is -1."""
    from tests.data.store_files import table

    whole = table(1, 3)
    holes = whole.set_column(whole.schema.get_field_index(NAMES[0]), NAMES[0], [[None] + [1] * (len(whole) - 1)])
    pq.write_table(holes, tmp_path / "train.parquet")
    columns = build(tmp_path, [tmp_path / "train.parquet"]).select(NAMES[:1], ())

    assert polars_frame(columns, [0])[NAMES[0]].to_list() == [-1] + [1] * (ROWS - 1)
