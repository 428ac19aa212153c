"""`warehouse.duckdb`: a publication of the lake that analysts may hold open all day."""

from __future__ import annotations

from planday_io.warehouse.publish import Publication, publish

__all__ = ["Publication", "publish"]
