"""Files of a minimal history and the content of a store made from them, for the tests of the store."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bot.data.ingest import update

NAMES = tuple(f"feature_{index:02d}" for index in range(9))
TARGETS = ("target", "target_ender_20", "target_ender_60")
ROWS = 13


def table(first, last, *, unresolved=2, names=NAMES, kind=None):
    """Return the eras from *first* to *last* as Numerai's files have them."""
    parts = []
    for era in range(first, last + 1):
        random = np.random.default_rng(era)
        columns = {
            "id": [f"n{era:07x}{row:08x}" for row in range(ROWS)],
            "era": [f"{era:04d}"] * ROWS,
            "data_type": ["test" if era > last - unresolved else "validation"] * ROWS,
        }
        columns |= {name: pa.array(random.integers(0, 5, ROWS), type=kind or pa.int8()) for name in names}
        values = random.choice([0.0, 0.25, 0.5, 0.75, 1.0], size=(len(TARGETS), ROWS)).astype(np.float32)
        values[0] = values[2]
        if era > last - unresolved:
            values[:] = np.nan
        columns |= dict(zip(TARGETS, values, strict=True))
        parts.append(pa.table(columns))
    return pa.concat_tables(parts)


def write_files(folder):
    """Write a train and a validation file of eras 1 to 5 and 6 to 12; return their paths."""
    train, validation = folder / "train.parquet", folder / "validation.parquet"
    pq.write_table(table(1, 5, unresolved=0), train, row_group_size=20)
    pq.write_table(table(6, 12), validation, row_group_size=50)
    return [train, validation]


def small_blocks(monkeypatch):
    """Make blocks of three eras, and reads of a few values."""
    monkeypatch.setattr("bot.data.ingest.BLOCK_ROWS", 3 * ROWS)
    monkeypatch.setattr("bot.data._parquet.CELLS", 64)


def build(tmp_path, files, **options):
    """Update the store from the files."""
    return update(tmp_path / "store", files, version="v5.3", **options)


def content(store):
    """Return the whole content of a store."""
    columns = store.select(NAMES, TARGETS)
    parts = (store.ids, columns.features, columns.targets)
    return [
        (store.eras[one], store.kinds[one], *(part(one).tobytes("C") for part in parts))
        for one in range(len(store.eras))
    ]


def same_as(store, *tables):
    """Return whether a store has exactly the rows of the tables."""
    whole = pa.concat_tables(tables)
    columns = store.select(NAMES, TARGETS)
    features = np.concatenate([columns.features(one) for one in range(len(store.eras))])
    targets = np.concatenate([columns.targets(one) for one in range(len(store.eras))])
    ids = np.concatenate([store.ids(one) for one in range(len(store.eras))])
    return (
        [identity.decode() for identity in ids] == whole.column("id").to_pylist()
        and np.array_equal(features, np.stack([whole.column(name).to_numpy() for name in NAMES], axis=1))
        and np.array_equal(
            targets, np.stack([whole.column(name).to_numpy() for name in TARGETS], axis=1), equal_nan=True
        )
    )
