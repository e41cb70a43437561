"""Write the parquet files of a generated world, with the schema and dtypes of Numerai's files."""

import csv
import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bot.sandbox.world._market import Era
from bot.sandbox.world.schema import TARGETS, Schema
from bot.tournament.columns import DATA_TYPE, ERA, ID, LIVE_ERA, PREDICTION

ROW_GROUP = 65_536
"""Rows of a row group. With one group an era, the footer would be larger than some files."""

_ID = {"name": ID, "field_name": ID, "pandas_type": "unicode", "numpy_type": "object", "metadata": None}
_INDEX = {b"pandas": json.dumps({"index_columns": [ID], "column_indexes": [], "columns": [_ID]}).encode()}
"""Schema metadata that makes ``id`` the index in pandas, as in Numerai's files."""


def write_features(path: Path, schema: Schema) -> None:
    """Write ``features.json``."""
    content = {"feature_sets": {name: list(members) for name, members in schema.sets.items()}, "targets": list(TARGETS)}
    path.write_text(json.dumps(content), encoding="utf-8")


def write_live(folder: Path, schema: Schema, era: Era, benchmarks: Mapping[str, npt.NDArray[np.float64]]) -> None:
    """Write the four files of a live era. Its targets are NaN."""
    unknown = np.full(len(era.ids), np.nan, dtype=np.float32)
    columns = {ERA: [LIVE_ERA] * len(era.ids), DATA_TYPE: ["live"] * len(era.ids)}
    table = _table(era.ids, columns, schema, era.codes, dict.fromkeys(TARGETS, unknown))
    pq.write_table(table, folder / "live.parquet")
    head = {ID: era.ids, ERA: columns[ERA]}
    pq.write_table(_indexed(pa.table({**head, **benchmarks})), folder / "live_benchmark_models.parquet")
    _write_predictions(folder / "live_example_preds", era.ids, benchmarks["v53_lgbm_ender60"])


def write_example(stem: Path) -> None:
    """Write the validation example predictions as parquet and CSV, from the benchmark file in the same folder."""
    table = pq.read_table(stem.parent / "validation_benchmark_models.parquet", columns=[ID, "v53_lgbm_ender60"])
    _write_predictions(stem, table.column(ID).to_pylist(), table.column("v53_lgbm_ender60").to_numpy())


def _write_predictions(stem: Path, ids: list[str], predictions: npt.NDArray[np.float64]) -> None:
    pq.write_table(_indexed(pa.table({ID: ids, PREDICTION: predictions})), stem.with_suffix(".parquet"))
    with stem.with_suffix(".csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([ID, PREDICTION])
        writer.writerows(zip(ids, predictions.tolist(), strict=True))


class HistoryWriter:
    """Writes train, validation, benchmark and meta model files era by era, with at most one row group in memory."""

    def __init__(self, folder: Path, schema: Schema) -> None:
        self._folder, self._schema = folder, schema
        self._open = ExitStack()
        self._writers: dict[str, pq.ParquetWriter] = {}
        self._held: dict[str, list[pa.Table]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            for name in list(self._held):
                self._flush(name)
        self._open.close()

    def add(
        self,
        era: Era,
        *,
        label: str,
        part: str,
        hidden: frozenset[str],
        meta: npt.NDArray[np.float64] | None,
        benchmarks: Mapping[str, npt.NDArray[np.float64]],
    ) -> None:
        """
        Add one era.

        Args:
            era: Era of the market.
            label: Number of the era, zero-padded.
            part: ``train`` or ``validation``.
            hidden: Targets that are not resolved yet.
            meta: Predictions of the meta model; ``None`` before the era in which it begins.
            benchmarks: Predictions of the benchmark models by name.
        """
        rows = len(era.ids)
        kind = "test" if "target" in hidden else part
        columns = {ERA: [label] * rows, DATA_TYPE: [kind] * rows}
        targets = {name: _shown(name, era, label, hidden) for name in TARGETS}
        self._hold(part, _table(era.ids, columns, self._schema, era.codes, targets))
        head = {ID: era.ids, ERA: columns[ERA]}
        self._hold(f"{part}_benchmark_models", _indexed(pa.table({**head, **benchmarks})))
        if meta is not None:
            extra = {DATA_TYPE: columns[DATA_TYPE], "numerai_meta_model": meta}
            self._hold("meta_model", _indexed(pa.table({**head, **extra})))

    def _hold(self, name: str, table: pa.Table) -> None:
        self._held.setdefault(name, []).append(table)
        if sum(one.num_rows for one in self._held[name]) >= ROW_GROUP:
            self._flush(name)

    def _flush(self, name: str) -> None:
        tables = self._held.pop(name)
        if name not in self._writers:
            writer = pq.ParquetWriter(self._folder / f"{name}.parquet", tables[0].schema)
            self._writers[name] = self._open.enter_context(writer)
        self._writers[name].write_table(pa.concat_tables(tables), row_group_size=ROW_GROUP)


def _shown(name: str, era: Era, label: str, hidden: frozenset[str]) -> npt.NDArray[np.float32]:
    """Return a target for the file: NaN while unresolved, and for jeremy targets NaN in every hundredth row."""
    values = era.targets[name]
    if name in hidden:
        return np.full_like(values, np.nan)
    if "jeremy" not in name:
        return values
    thinned = values.copy()
    thinned[int(label) % 50 :: 100] = np.nan
    return thinned


def _table(
    ids: list[str],
    columns: Mapping[str, list[str]],
    schema: Schema,
    codes: npt.NDArray[np.int8],
    targets: Mapping[str, npt.NDArray[np.float32]],
) -> pa.Table:
    by_column = np.ascontiguousarray(codes.T)
    features = {name: pa.array(by_column[index]) for index, name in enumerate(schema.features)}
    return _indexed(pa.table({ID: ids, **columns, **features, **targets}))


def _indexed(table: pa.Table) -> pa.Table:
    return table.replace_schema_metadata(_INDEX)
