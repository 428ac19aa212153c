"""The schema `sync`: the provenance of each published slice, the proof behind the numbers.

`sync.slices` and `sync.derived` come from the slices' metadata, so a rebuild restores them. `sync.runs` is a table of
the lake like any other (`planday_io.lake.runs`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import duckdb

from planday_io.catalogue.history import lake_name
from planday_io.config.model import PrivacyPolicy
from planday_io.lake.slices import Provenance, SliceKey

SLICES, DERIVED, PUBLICATION = "sync.slices", "sync.derived", "sync.publication"

Columns = tuple[tuple[str, str, str], ...]

_SLICES: Columns = (
    ("table_name", "VARCHAR", "Table, as domain.table."),
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    ("portal_id", "BIGINT", "Planday's id of the portal."),
    ("month", "VARCHAR", "Month of the slice (YYYY-MM), NULL where a slice covers the whole portal."),
    (
        "verdict",
        "VARCHAR",
        "total_matched: the API's total, rows and keys agree. exhausted: read to an empty page. "
        "document: one unpaged answer.",
    ),
    ("expected_total", "BIGINT", "Total that the API announced, if it did."),
    ("received", "BIGINT", "Rows that this read received."),
    ("distinct_keys", "BIGINT", "Different keys among them."),
    ("kept", "BIGINT", "Rows of the slice, including those carried over from earlier reads."),
    ("fetched_at", "TIMESTAMP WITH TIME ZONE", "When the read began (UTC)."),
    ("run_id", "VARCHAR", "Dagster run that wrote the slice."),
    ("requests", "BIGINT", "Calls that the read made; 0 for tables that share the calls of another one."),
    ("request_window", "VARCHAR", "The window that was requested."),
    (
        "elsewhere",
        "BIGINT",
        "Rows of the slice that are not published, because a later read found them in another month.",
    ),
    ("catalogue_version", "BIGINT", "Version of the table declarations."),
    ("slice_id", "VARCHAR", "Changes with every write of the slice."),
)

_DERIVED: Columns = (
    ("table_name", "VARCHAR", "Table, as schema.table."),
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    ("month", "VARCHAR", "Month of the slice (YYYY-MM), NULL where a slice covers the whole portal."),
    ("kept", "BIGINT", "Rows of the slice."),
    ("changed_at", "TIMESTAMP WITH TIME ZONE", "The last read that changed it (UTC)."),
    ("run_id", "VARCHAR", "Dagster run of that read."),
    ("slice_id", "VARCHAR", "Changes with every write of the slice."),
)

_PUBLICATION: Columns = (
    ("definitions", "VARCHAR", "Fingerprint of tables, macros and marts."),
    ("privacy", "JSON", "Policy of each privacy class in this file: keep, drop or hash."),
    ("forgotten", "VARCHAR", "Fingerprint of the lists of forgotten people; empty where there are none."),
    ("settings", "VARCHAR", "Fingerprint of the settings in portals.yaml that marts read."),
)

TABLES: dict[str, tuple[str, Columns]] = {
    SLICES: (
        "One row per slice of the lake: what was requested, what was received, and why it counts as complete.",
        _SLICES,
    ),
    DERIVED: ("One row per slice that is derived from others: histories and the log of runs.", _DERIVED),
    PUBLICATION: ("One row: how this file was made.", _PUBLICATION),
}
"""Name -> what it is, and its columns with type and meaning."""


@dataclass(frozen=True, slots=True)
class Published:
    """How a file was made.

    Args:
        definitions: fingerprint of tables, macros and marts.
        privacy: policy of each class.
        forgotten: fingerprint of the lists of forgotten people.
        settings: fingerprint of the settings that marts read; None if an earlier version wrote the file.
    """

    definitions: str
    privacy: dict[str, str]
    forgotten: str
    settings: str | None

    def is_looser_than(self, policies: PrivacyPolicy) -> bool:
        """Whether the file may hold values in a form that the policies no longer allow."""
        now = privacy_of(policies)
        return any(policy not in ("drop", now.get(name)) for name, policy in self.privacy.items())


def privacy_of(policies: PrivacyPolicy) -> dict[str, str]:
    """The policy of each class that has one."""
    return {name: policies.policy(name) for name in type(policies).model_fields if name != "hash_key"}


def read_publication(db: duckdb.DuckDBPyConnection) -> Published | None:
    """How the connected file was made; None if an earlier version wrote it, which did not record that."""
    try:
        found = db.execute(f"SELECT * FROM {PUBLICATION}")
    except duckdb.CatalogException:
        return None
    names, row = [column[0] for column in found.description], found.fetchone()
    if row is None:
        return None
    values = dict(zip(names, row, strict=True))
    return Published(values["definitions"], json.loads(values["privacy"]), values["forgotten"], values.get("settings"))


class Shown(NamedTuple):
    """A slice as a file shows it. A file shows tens of thousands, so it is no dataclass.

    Args:
        slice_id: of the slice.
        read_at: UTC instant of the read.
        portal_id: Planday's id of its portal, or None for derived slices.
        elsewhere: how many of its rows were left out in favour of another month.
    """

    slice_id: str
    read_at: datetime
    portal_id: int | None
    elsewhere: int


def read_slices(db: duckdb.DuckDBPyConnection) -> dict[SliceKey, Shown]:
    """The slices of the connected file, including derived ones. Files of earlier versions lack tables and columns."""
    found: dict[SliceKey, Shown] = {}
    for name, read_at in ((SLICES, "fetched_at"), (DERIVED, "changed_at")):
        if there := names_in(db, name):
            # Without a zone, which would be looked up for each row.
            instant = f"CAST({read_at} AT TIME ZONE 'UTC' AS TIMESTAMP)"
            lacking = {"month": "NULL", "slice_id": "''", "portal_id": "NULL", "elsewhere": "0"}
            optional = [column if column in there else value for column, value in lacking.items()]
            asked = ", ".join(["table_name", "portal", instant, *optional])
            for table, portal, at, month, slice_id, portal_id, elsewhere in db.execute(
                f"SELECT {asked} FROM {name}"
            ).fetchall():
                key = SliceKey.of(lake_name(table), portal, month)
                found[key] = Shown(slice_id, at.replace(tzinfo=UTC), portal_id, elsewhere or 0)
    return found


def names_in(db: duckdb.DuckDBPyConnection, table: str) -> set[str]:
    """The columns of one table of the connected file; none if it has no such table."""
    try:
        return {column[0] for column in db.execute(f"SELECT * FROM {table} LIMIT 0").description}
    except duckdb.CatalogException:
        return set()


def columns_of(db: duckdb.DuckDBPyConnection) -> dict[str, dict[str, str]]:
    """Columns and types of every table of the connected file. It takes as long as opening the file."""
    found: dict[str, dict[str, str]] = {}
    for schema, table, column, kind in db.execute(
        "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE database_name = current_database() AND NOT internal"
    ).fetchall():
        found.setdefault(f"{schema}.{table}", {})[column] = kind
    return found


def write_publication(db: duckdb.DuckDBPyConnection, made: Published) -> None:
    """Record how the file was made."""
    db.execute(f"DELETE FROM {PUBLICATION}")
    db.execute(
        f"INSERT INTO {PUBLICATION} VALUES (?, ?, ?, ?)",
        [made.definitions, json.dumps(made.privacy), made.forgotten, made.settings],
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """What the ledger says of a slice.

    Args:
        key: of the slice.
        table: the name of its table in the warehouse.
        provenance: of the slice.
        elsewhere: how many of its rows a later read found in another month.
    """

    key: SliceKey
    table: str
    provenance: Provenance
    elsewhere: int

    def values(self, columns: Sequence[str]) -> list[object]:
        """Its row in one of the two tables."""
        own = {
            "table_name": self.table,
            "portal": self.key.portal,
            "month": self.key.month,
            "request_window": self.provenance.window,
            "elsewhere": self.elsewhere,
            "changed_at": self.provenance.fetched_at,
        }
        return [own[one] if one in own else getattr(self.provenance, one) for one in columns]


def record(db: duckdb.DuckDBPyConnection, table: str, entries: Sequence[Entry], *, is_empty: bool) -> None:
    """Replace the rows of slices in one of the two tables of the connected warehouse.

    Args:
        db: connected to it.
        table: SLICES or DERIVED.
        entries: of slices that belong there.
        is_empty: whether the table has no rows yet.
    """
    if not entries:
        return
    kinds = {column: kind for column, kind, _ in TABLES[table][1]}
    rows = [entry.values([*kinds]) for entry in entries]
    if not is_empty:
        key = [(entry.table, entry.key.portal, entry.key.month or "") for entry in entries]
        db.execute(
            f"DELETE FROM {table} WHERE (table_name, portal, coalesce(month, '')) IN "
            "(SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]), unnest(?::VARCHAR[]))",
            [[*column] for column in zip(*key, strict=True)],
        )
    insert(db, table, kinds, rows)


def insert(
    db: duckdb.DuckDBPyConnection, table: str, kinds: Mapping[str, str], rows: Sequence[Sequence[object]]
) -> None:
    """Insert rows many at a time; `executemany` takes as long for each row as this for a thousand.

    Args:
        db: connected to the warehouse.
        table: of the connected file.
        kinds: all of its columns, with their types.
        rows: values in the order of the columns.
    """
    columns = ", ".join(f"unnest(?::{kind}[]) AS {column}" for column, kind in kinds.items())
    for first in range(0, len(rows), _AT_ONCE):
        values = [[*column] for column in zip(*rows[first : first + _AT_ONCE], strict=True)]
        db.execute(f"INSERT INTO {table} BY NAME SELECT {columns}", values)


def renew(db: duckdb.DuckDBPyConnection, table: str, columns: Columns, rows: Sequence[tuple[object, ...]]) -> None:
    """Replace all rows of a table of the connected warehouse; nothing is written if they are the same."""
    if Counter(db.execute(f"FROM {table}").fetchall()) != Counter(rows):
        db.execute(f"DELETE FROM {table}")
        insert(db, table, {column: kind for column, kind, _ in columns}, rows)


_AT_ONCE = 10_000


def runs_shown(warehouse: Path) -> set[str] | None:
    """Ids of the runs that wrote the slices a warehouse file shows, or None if there is no readable file."""
    if not warehouse.exists():
        return None
    try:
        with duckdb.connect(str(warehouse), read_only=True) as db:
            return {run for (run,) in db.execute("SELECT DISTINCT run_id FROM sync.slices").fetchall()}
    except duckdb.Error:
        return None
