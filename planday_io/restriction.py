"""Restricts a DuckDB connection on which somebody else's queries run. It imports nothing else: `planday mcp` starts a process
per question.
"""

from __future__ import annotations

from pathlib import Path

import duckdb


def restrict(db: duckdb.DuckDBPyConnection, writes_to: Path | None = None) -> None:
    """Let a connection read what it has attached and nothing else, for good: no files, no network, no variables of this
    process, no settings.

    Args:
        db: connected to what may be read.
        writes_to: the one folder in which it may write files, and read them.
    """
    if writes_to is not None:
        folder = str(writes_to).replace("'", "''")
        db.execute(f"SET allowed_directories = ['{folder}']")
    for setting in (
        "python_enable_replacements = false",
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "enable_external_access = false",
        "lock_configuration = true",
    ):
        db.execute(f"SET {setting}")
