"""The files of an installation."""

from __future__ import annotations

import shutil
from pathlib import Path

import duckdb

from tests.support.installation import Installation


def files(folder: Path) -> dict[Path, bytes]:
    """Every file under a folder; Parquet and DuckDB files also as plain text, because they compress."""
    found = {}
    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(duckdb.sql(f"SELECT * FROM read_parquet('{path}')").fetchall()).encode()
        if path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as db:
                written = "SELECT schema_name, table_name FROM duckdb_tables() WHERE estimated_size > 0"
                for schema, table in db.execute(written).fetchall():
                    content += repr(db.execute(f'SELECT t::VARCHAR FROM "{schema}"."{table}" AS t').fetchall()).encode()
        found[path] = content
    return found


def copy_of(planday: Installation) -> Installation:
    """The same in another folder."""
    made = planday.fresh()
    for name in ("lake", "tokens", planday.state.folder.name):
        shutil.copytree(planday.folder / name, made.folder / name, dirs_exist_ok=True)
    shutil.copyfile(planday.config.warehouse, made.config.warehouse)
    return made
