"""What tests of backups share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb


def quiet(done: int, total: int) -> None:
    """No progress is shown."""


def shown(warehouse: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables of a warehouse, without those about the file itself."""
    with duckdb.connect(str(warehouse), read_only=True) as db:
        names = db.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall()
        return {
            f"{schema}.{name}": db.execute(f'SELECT * FROM "{schema}"."{name}" ORDER BY ALL').fetchall()
            for schema, name in names
            if (schema, name) != ("sync", "publication")
        }
