"""Planday's data, complete and typed: client, catalogue, lake and warehouse. Never imports dagster.

For notebooks: `read("oslo", "hr.departments")` gives a frame straight from the API, `warehouse()` a read-only DuckDB
connection to what was published last.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

__all__ = ["read", "warehouse"]


def read(portal: str, table: str, config: Path | str | None = None, *, month: str | None = None) -> pd.DataFrame:
    """Read one table of one portal from the API. Writes nothing but a rotated token.

    Args:
        portal: key in portals.yaml.
        table: full name, for instance `hr.departments`.
        config: configuration file; None finds it as the commands do.
        month: such as `2026-09`, for tables with a slice per month.

    Returns:
        The table's columns in Arrow-backed dtypes, under the configured privacy policy. Instants are UTC.

    Raises:
        PlandayError: see `planday_io.errors`.
    """
    from planday_io.catalogue import CATALOGUE
    from planday_io.config import find_config, load_config
    from planday_io.errors import ConfigError
    from planday_io.frames.build import to_frame
    from planday_io.lake.installation import Installation
    from planday_io.sync.session import PortalSession

    loaded = load_config(Path(config) if config else find_config(), CATALOGUE)
    if portal not in loaded.portals:
        raise ConfigError(f"there is no portal '{portal}' in {loaded.file.name}; there are {', '.join(loaded.portals)}")
    if table not in {known.full_name for known in CATALOGUE.tables()}:
        raise ConfigError(f"there is no table '{table}'; `planday tables` lists them")
    return to_frame(PortalSession(Installation(loaded, CATALOGUE), portal, run_id="notebook").read(table, month))


def warehouse(config: Path | str | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the published warehouse. It shows one publication until it is opened again."""
    import duckdb

    from planday_io.catalogue import CATALOGUE
    from planday_io.config import find_config, load_config

    loaded = load_config(Path(config) if config else find_config(), CATALOGUE)
    return duckdb.connect(str(loaded.warehouse), read_only=True)
