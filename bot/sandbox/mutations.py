"""Changes of a live file's schema and content, as functions from table to table."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bot.tournament.columns import ERA, FEATURE_PREFIX, ID, LIVE_ERA

SHARE = 0.05
"""Share of the features that ``some_dropped`` and ``some_missing`` change."""


def mutate(content: bytes | Path, name: str, *, features: list[str]) -> bytes:
    """
    Return a live file with one change.

    Args:
        content: The file.
        name: Name of the change in ``MUTATIONS``.
        features: Features that artifacts use. Changes apply to them, so that the bot must notice.
    """
    table = pq.read_table(io.BytesIO(content) if isinstance(content, bytes) else content)
    sink = pa.BufferOutputStream()
    pq.write_table(MUTATIONS[name](table, features), sink)
    changed: bytes = sink.getvalue().to_pybytes()
    return changed


def _features(table: pa.Table) -> list[str]:
    return [name for name in table.column_names if name.startswith(FEATURE_PREFIX)]


def _set(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def _recoded(dtype: pa.DataType) -> Callable[[pa.Table, list[str]], pa.Table]:
    def change(table: pa.Table, _: list[str]) -> pa.Table:
        for name in _features(table):
            table = _set(table, name, table.column(name).cast(dtype))
        return table

    return change


def _values(table: pa.Table, features: list[str], value: float | None) -> pa.Table:
    """Put *value* into every tenth row of the first used feature."""
    values = [value if row % 10 == 0 else float(code) for row, code in enumerate(table.column(features[0]).to_pylist())]
    return _set(table, features[0], pa.array(values, pa.float32()))


def _doubled(table: pa.Table, _: list[str]) -> pa.Table:
    for name in _features(table):
        table = _set(table, name, pa.array(np.asarray(table.column(name)) * 2, pa.int8()))
    return table


def _quarters(table: pa.Table, _: list[str]) -> pa.Table:
    for name in _features(table):
        table = _set(table, name, pa.array(np.asarray(table.column(name)) / 4, pa.float32()))
    return table


def _bins(
    table: pa.Table, features: list[str], change: Callable[[npt.NDArray[np.int8]], npt.NDArray[np.int8]]
) -> pa.Table:
    for name in features:
        table = _set(table, name, pa.array(change(np.asarray(table.column(name))).astype(np.int8), pa.int8()))
    return table


def _added(table: pa.Table, _: list[str]) -> pa.Table:
    for number in range(50):
        table = table.append_column(f"{FEATURE_PREFIX}new_{number}", pa.array(np.zeros(len(table), np.int8)))
    return table


def _renamed(table: pa.Table, features: list[str]) -> pa.Table:
    return table.rename_columns([f"{FEATURE_PREFIX}zz" if name == features[0] else name for name in table.column_names])


def _repeated(table: pa.Table, _: list[str]) -> pa.Table:
    return pa.concat_tables([table.slice(0, len(table) - 1), table.slice(0, 1)])


def _others_added(table: pa.Table, _: list[str]) -> pa.Table:
    rows = len(table)
    added = {"text": ["us"] * rows, "list": [[1, 2]] * rows, "time": pa.array([0] * rows, pa.timestamp("ns"))}
    for kind, values in added.items():
        for prefix in ("", f"{FEATURE_PREFIX}new_"):
            table = table.append_column(f"{prefix}{kind}", pa.array(values))
    return table


def _written_otherwise(table: pa.Table, features: list[str]) -> pa.Table:
    for name in (ID, ERA, features[0]):
        table = _set(table, name, table.column(name).dictionary_encode())
    table = _set(table, features[1], table.column(features[1]).cast(pa.decimal128(3, 0)))
    return _set(table, features[2], table.column(features[2]).cast(pa.float16()))


def _eras(table: pa.Table, label: str | None) -> pa.Table:
    labels = [label or (LIVE_ERA if row else "Y") for row in range(len(table))]
    return _set(table, ERA, pa.array(labels))


MUTATIONS: dict[str, Callable[[pa.Table, list[str]], pa.Table]] = {
    "features_added": _added,
    "columns_reordered": lambda table, _: table.select(table.column_names[::-1]),
    "rows_reordered": lambda table, _: table.take(pa.array(np.arange(len(table))[::-1])),
    "int16": _recoded(pa.int16()),
    "float32": _recoded(pa.float32()),
    "one_dropped": lambda table, features: table.drop_columns(features[:1]),
    "some_dropped": lambda table, features: table.drop_columns(features[: max(int(len(features) * SHARE), 2)]),
    "last_dropped": lambda table, features: table.drop_columns(features[-3:]),
    "all_dropped": lambda table, _: table.drop_columns(_features(table)),
    "one_renamed": _renamed,
    "one_repeated": lambda table, features: table.append_column(features[0], table.column(features[1])),
    "one_as_list": lambda table, features: _set(table, features[0], pa.array([[1]] * len(table))),
    "others_added": _others_added,
    "written_otherwise": _written_otherwise,
    "nulls": lambda table, features: _values(table, features, None),
    "nans": lambda table, features: _values(table, features, float("nan")),
    "out_of_range": lambda table, features: _values(table, features, 7.0),
    "fractions": lambda table, features: _values(table, features, 1.5),
    "coded_anew": _doubled,
    "coded_as_before_v5": _quarters,
    "some_missing": lambda table, features: _bins(
        table, features[: max(int(len(features) * SHARE), 1)], lambda codes: np.full_like(codes, 2)
    ),
    "bins_merged": lambda table, _: _bins(table, _features(table), lambda codes: np.minimum(codes, 3)),
    "no_rows": lambda table, _: table.slice(0, 0),
    "half_the_rows": lambda table, _: table.slice(0, len(table) // 2),
    "twice_the_rows": lambda table, _: pa.concat_tables([table, table]),
    "ids_repeated": _repeated,
    "no_ids": lambda table, _: table.drop_columns([ID]),
    "an_old_era": lambda table, _: _eras(table, "0575"),
    "two_eras": lambda table, _: _eras(table, None),
    "no_era": lambda table, _: table.drop_columns([ERA]),
}
