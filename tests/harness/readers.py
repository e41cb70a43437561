"""What each reader of Numerai's files must return for a file of any shape: the same values by name, or a refusal in words."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from bot.data.era_store import ID_BYTES, EraStore
from bot.data.ingest import update
from bot.data.live_column_sums import differing_columns
from bot.data.live_file import read_live
from bot.data.reference_predictions import ReferencePredictions
from bot.features.column_sums import ColumnSums
from bot.features.preprocess import Preprocess, prepare
from bot.findings import Absent
from bot.submission.live_benchmark import benchmark_of
from bot.tournament.columns import is_target
from tests.data.store_files import NAMES, ROWS, table
from tests.harness.shapes import numbers, refusal, shapes, texts

BENCHMARK, OTHER = "v53_lgbm_ender60", "v53_lgbm_ender20"
LIVE_ROWS = 20
INTEGERS = (pa.uint8(), pa.int16(), pa.int64(), pa.float32(), pa.float64())
REALS = (pa.float32(), pa.float64(), pa.string())


@dataclass
class Tried:
    """Numbers of files that a reader has read and refused."""

    counts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in sorted(self.counts.items()))


def live_table() -> pa.Table:
    """Return a live file whose features have the same five equal bins, so that plain sums of all columns are equal."""
    random = np.random.default_rng(11)
    bins = np.repeat(np.arange(5), LIVE_ROWS // 5)
    content = {"id": [f"n{row:015x}" for row in range(LIVE_ROWS)], "era": ["X"] * LIVE_ROWS}
    return pa.table(content | {name: pa.array(random.permutation(bins), pa.int8()) for name in NAMES})


def benchmark_table(first: int = 8, last: int = 11) -> pa.Table:
    """Return the file of the benchmark models for the eras from *first* to *last*."""
    rows = table(first, last).select(["id", "era"])
    values = np.random.default_rng(5).random((2, len(rows)))
    return rows.append_column(BENCHMARK, pa.array(values[0])).append_column(OTHER, pa.array(values[1]))


def check_live(data: st.DataObject, folder: Path) -> str:
    """Read a live file of a drawn shape, and compare values and fingerprints."""
    shape = data.draw(shapes(live_table(), features=NAMES))
    path = shape.write(folder / "live.parquet")
    if refusal(read_live, path) is not None:
        return "refused"
    found, names = read_live(path), shape.table.column_names
    assert list(found.ids) == texts(shape.table, "id")
    assert set(found.names) | set(found.unreadable) == {name for name in names if name.startswith("feature_")}
    for name, column in zip(found.names, found.values.T, strict=True):
        np.testing.assert_array_equal(column, np.nan_to_num(numbers(shape.table, name), nan=-1))
    if found.names:
        rows = prepare(Preprocess(features=found.names, groups={}), found.names, found.values)
        assert differing_columns(path, ColumnSums.of(found.names, rows.features, "median_bin")) == ()
    return "read"


def check_history(data: st.DataObject, folder: Path) -> str:
    """Store a training and a validation file of drawn shapes, and compare every value of the store."""
    contents = {"train.parquet": table(1, 5, unresolved=0), "validation.parquet": table(6, 12)}
    drawn = [data.draw(shapes(one, features=NAMES, kinds=INTEGERS, keep_order=True)) for one in contents.values()]
    paths = [shape.write(folder / name) for shape, name in zip(drawn, contents, strict=True)]
    if refusal(lambda: update(folder / "store", paths, version="v5.3")) is not None:
        return "refused"
    store = update(folder / "store", paths, version="v5.3")
    columns = store.select(store.manifest.features, store.manifest.targets)
    start = 0
    for shape in drawn:
        positions = range(start, start + len(shape.table) // ROWS)
        start = positions.stop
        for names, read in ((columns.feature_names, columns.features), (columns.target_names, columns.targets)):
            whole = np.concatenate([read(position) for position in positions])
            for name, column in zip(names, whole.T, strict=True):
                own = numbers(shape.table, name)
                np.testing.assert_array_equal(column, own if is_target(name) else np.nan_to_num(own, nan=-1))
    return "read"


def check_reference(data: st.DataObject, folder: Path, store: EraStore) -> str:
    """Align the benchmark's predictions of a drawn shape with the rows of a store, and compare them by era and id."""
    shape = data.draw(shapes(benchmark_table(), features=(BENCHMARK, OTHER), kinds=REALS))
    shape.write(folder / "validation_benchmark_models.parquet")

    def read() -> ReferencePredictions:
        return ReferencePredictions.read(folder, store, range(len(store.eras)), target="target_ender_60")

    if refusal(read) is not None:
        return "refused"
    found = read()
    if "bmc" in found.absent:
        assert BENCHMARK not in shape.table.column_names or "holds none of" in found.absent["bmc"]
        return "absent"
    keys = zip(texts(shape.table, "era"), texts(shape.table, "id"), strict=True)
    expected = dict(zip(keys, numbers(shape.table, BENCHMARK).tolist(), strict=True))
    # A shape may hold eras in the place of ids, which are those of no row.
    known = {key: value for key, value in expected.items() if len(key[1]) == ID_BYTES}
    assert by_row(store, found.by_era["bmc"]) == known
    return "read"


def check_live_benchmark(data: st.DataObject, folder: Path) -> str:
    """Read the live benchmark of a drawn shape, and compare each row's prediction."""
    plain = pa.table({"id": list("edcba"), BENCHMARK: [5.0, 4.0, 3.0, 2.0, 1.0], "era": ["X"] * 5})
    shape = data.draw(shapes(plain, features=(BENCHMARK,), kinds=(pa.float32(), pa.int8(), pa.string())))
    found = benchmark_of(shape.write(folder / "live_benchmark_models.parquet"), tuple("abcde"), BENCHMARK)
    if isinstance(found, Absent):
        assert len(found.reason.splitlines()) == 1
        return "absent"
    by_id = dict(zip(texts(shape.table, "id"), numbers(shape.table, BENCHMARK).tolist(), strict=True))
    assert found.tolist() == [by_id[one] for one in "abcde"]
    return "read"


def by_row(store: EraStore, found: dict[int, np.ndarray]) -> dict[tuple[str, str], float]:
    """Return the predictions that were found, by era and id."""
    return {
        (store.eras[position], identity.decode()): value
        for position, values in found.items()
        for identity, value in zip(store.ids(position), values.tolist(), strict=True)
        if not np.isnan(value)
    }
