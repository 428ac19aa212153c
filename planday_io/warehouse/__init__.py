"""`warehouse.duckdb`: a publication of the lake that analysts may keep open all day.

`publish` is imported on first use, because commands that only look at the file need no DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planday_io.warehouse.publish import Publication, publish

    Report = Callable[[Publication], None]
    """Gets a publication that is one step of a larger piece of work."""

__all__ = ["Publication", "Report", "publish", "unreported"]


def unreported(_: Publication) -> None:
    """Ignore a publication."""


def __getattr__(name: str) -> object:
    if name not in ("Publication", "Report", "publish"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from planday_io.warehouse.publish import Publication, publish

    globals().update(Publication=Publication, publish=publish, Report=Callable[[Publication], None])
    return globals()[name]
