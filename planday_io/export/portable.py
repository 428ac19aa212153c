"""Types of columns as every reader of Parquet knows them.

DuckDB writes some of its own types in a form that loses digits (HUGEINT becomes DOUBLE, so 9007199254740993 ends with a 2)
or that readers refuse: Spark 4.3 times of day, intervals, UUIDs and nanoseconds, Polars 2.1 intervals; pandas gets intervals
as bytes. Unsigned integers and JSON are not among the types that the loaders of BigQuery and Power Query are sure to know.
What is cast keeps its value.
"""

from __future__ import annotations

import duckdb
from duckdb.sqltypes import DuckDBPyType

from planday_io.export.cells import Column
from planday_io.frames.types import quote

_KEPT = frozenset({
    "boolean", "tinyint", "smallint", "integer", "bigint", "float", "double", "decimal", "blob", "date", "timestamp",
    "timestamp with time zone",
})  # fmt: skip
_CAST = {
    "utinyint": "INTEGER",
    "usmallint": "INTEGER",
    "uinteger": "BIGINT",
    "ubigint": "DECIMAL(20,0)",
    "hugeint": "DECIMAL(38,0)",
    "uhugeint": "DECIMAL(38,0)",
    "timestamp_s": "TIMESTAMP",
    "timestamp_ms": "TIMESTAMP",
    "timestamp_ns": "TIMESTAMP",
}
"""Instants are kept to the microsecond. A type that is neither here nor in `_KEPT` becomes text."""


def portable_type(db: duckdb.DuckDBPyConnection, column: Column) -> str:
    """The type that a column has in the files."""
    return _portable(db.sqltype(column.type))


def portable_value(db: duckdb.DuckDBPyConnection, column: Column) -> str:
    """SQL for a column with that type, under its name."""
    name, kind = quote(column.name), db.sqltype(column.type)
    if kind.id in ("map", "union"):
        return f"CAST(to_json({name}) AS VARCHAR) AS {name}"
    wanted = _portable(kind)
    return name if wanted == str(kind) else f"CAST({name} AS {wanted}) AS {name}"


def _portable(kind: DuckDBPyType) -> str:
    match kind.id:
        case "list" | "array":
            return f"{_inner(kind)[0][1]}[]"
        case "struct":
            return f"STRUCT({', '.join(f'{quote(name)} {inner}' for name, inner in _inner(kind))})"
        case name:
            return str(kind) if name in _KEPT else _CAST.get(name, "VARCHAR")


def _inner(kind: DuckDBPyType) -> list[tuple[str, str]]:
    """Name and portable type of each type in a type; DuckDB lists the length of an array among them."""
    return [(name, _portable(inner)) for name, inner in kind.children if isinstance(inner, DuckDBPyType)]
