"""`warehouse.duckdb`: a publication of the lake that analysts may keep open all day."""

from planday_io.warehouse.publish import Publication, publish

__all__ = ["Publication", "publish"]
