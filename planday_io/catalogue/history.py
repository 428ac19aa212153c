"""The tables that are derived from others: histories, and the log of runs.

They have slices in the lake and tables in the warehouse like all others, but no endpoint.
"""

from __future__ import annotations

from dataclasses import replace

from planday_io.catalogue.endpoint import Endpoint
from planday_io.catalogue.model import Column, ScalarList, Table

SUFFIX = "_history"
"""Ends the name of a history in the lake (`hr.employees_history`), and that of its schema in the warehouse
(`hr_history.employees`)."""
VERSION_COLUMNS = (
    Column("valid_from", "TIMESTAMPTZ", "When a read first found the row like this (UTC)."),
    Column(
        "valid_to", "TIMESTAMPTZ", "When a read first found it changed or gone (UTC); NULL while that has not happened."
    ),
    Column("is_current", "BOOLEAN", "Whether the last read found it like this."),
    Column(
        "changed_after",
        "TIMESTAMPTZ",
        "The read before `valid_from`, which did not find it like this (UTC): the change lies between the two. NULL where "
        "there was none.",
    ),
    Column(
        "ended_after",
        "TIMESTAMPTZ",
        "The read before `valid_to`, the last that found it like this (UTC): it ended between the two. NULL where `valid_to` "
        "is, and for versions that ended before this was kept.",
    ),
)

RUNS = Table(
    domain="sync",
    name="runs",
    doc="One row per run and portal: what it read, what failed and why. A run that was killed has none.",
    key=("run_id",),
    month_by=(),
    columns=(
        Column("run_id", "VARCHAR", "Dagster's run."),
        Column("of_month", "VARCHAR", "Month of facts that it read (YYYY-MM), NULL for snapshots."),
        Column("started_by", "VARCHAR", "Schedule, backfill, sensor or command that launched it."),
        Column("started_at", "TIMESTAMPTZ", "When it began (UTC)."),
        Column("ended_at", "TIMESTAMPTZ", "When it ended (UTC)."),
        Column("is_complete", "BOOLEAN", "Whether nothing failed."),
        Column("written", ScalarList(of="VARCHAR"), "Tables that were read completely and written."),
        Column("failed", ScalarList(of="VARCHAR"), "Tables that were not written; they keep their previous rows."),
        Column("errors", ScalarList(of="VARCHAR"), "The reasons, in the order of `failed`."),
        Column("rows_written", "BIGINT", "Rows of the slices written."),
        Column("requests", "BIGINT", "Calls to the API."),
        Column("retries", "BIGINT", "How many of them were repeats."),
        Column("throttled_seconds", "DECIMAL", "Seconds spent waiting for the API's budget."),
    ),
)

RETENTION = Table(
    domain="sync",
    name="retention",
    doc="What `retention` removed: one row per pass, table and rule that removed something. Counts only.",
    key=("taken_at", "table_name", "rule"),
    month_by=(),
    columns=(
        Column("taken_at", "TIMESTAMPTZ", "When it was removed (UTC)."),
        Column("table_name", "VARCHAR", "Table, as schema.table."),
        Column("rule", "VARCHAR", "Rule in portals.yaml."),
        Column("first_day_kept", "DATE", "First day that was kept: of rows, or on which people left."),
        Column("rows_removed", "BIGINT", "Rows that were removed."),
        Column("rows_cleared", "BIGINT", "Rows that were kept, with the values of the class set to NULL."),
        Column("people_held", "BIGINT", "How many people `hold` names; nothing of theirs was removed."),
    ),
)
LOGS = (RUNS, RETENTION)
"""Tables that neither an endpoint nor a history fills."""


def has_history(endpoint: Endpoint, table: Table) -> bool:
    """Whether a table has a history: snapshots do, and tables that declare it."""
    return endpoint.is_snapshot and (endpoint.grid == "portal" or table.logs_changes)


def history_of(table: Table) -> Table:
    """The history table of a snapshot.

    A column with the name of a history column (a rate's `valid_from`) becomes `planday_valid_from` there.
    """
    taken = {column.name for column in VERSION_COLUMNS}
    columns = [replace(one, name=history_column(one.name)) if one.name in taken else one for one in table.columns]
    key = tuple(history_column(name) for name in table.key)
    people = tuple(
        replace(one, column=history_column(one.column), texts=tuple(map(history_column, one.texts)))
        for one in table.people
    )
    return replace(
        table,
        name=table.name + SUFFIX,
        published_as=f"{table.domain}{SUFFIX}.{table.name}",
        doc=f"Versions of the rows of `{table.full_name}`, as each read found them: one row per version, deletions included.",
        key=(*key, "valid_from"),
        columns=(*columns, *VERSION_COLUMNS),
        people=people,
        month_by=() if table.is_monthly else None,
        # Where rows have neither a day nor a month, a version is as old as its end.
        aged_by=(*map(history_column, table.day_columns), *(() if table.is_monthly else ("valid_to",))),
        ordinal=None,
        logs_changes=False,
    )


def lake_name(published: str) -> str:
    """What the lake calls a table that is called `schema.name` in the warehouse."""
    schema, _, name = published.partition(".")
    return f"{schema.removesuffix(SUFFIX)}.{name}{SUFFIX}" if schema.endswith(SUFFIX) else published


def history_column(name: str) -> str:
    """The name of a column in its table's history."""
    return f"planday_{name}" if name in {column.name for column in VERSION_COLUMNS} else name
