"""`warehouse.duckdb`: a publication of the lake that analysts may keep open all day."""

from collections.abc import Callable

from planday_io.warehouse.publish import Publication, publish

__all__ = ["Publication", "Report", "publish", "unreported"]

Report = Callable[[Publication], None]
"""Gets a publication that is one step of a larger piece of work."""


def unreported(_: Publication) -> None:
    """Ignore a publication."""
