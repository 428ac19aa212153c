"""All tables of the schema `sync` that are neither tables of the lake nor views, with what their columns mean."""

from __future__ import annotations

from planday_io.warehouse import drift, ledger, settings, zones

SYNC_TABLES = ledger.TABLES | zones.TABLES | settings.TABLES | drift.TABLES
"""Name -> what it is, and its columns with type and meaning."""
