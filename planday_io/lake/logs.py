"""Logs in the lake, which no endpoint fills: runs, and what retention removed. A rebuilt warehouse has them too.

What a run did is in `runs`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime

import pyarrow as pa

from planday_io.catalogue import LOGS, RETENTION, VERSION, Table
from planday_io.config.model import PrivacyPolicy
from planday_io.config.retention import Rule
from planday_io.errors import DamagedSliceError
from planday_io.frames.types import arrow_schema, replaced
from planday_io.lake.policies import aligned
from planday_io.lake.slices import Lake, Provenance, SliceKey
from planday_io.months import month_of


def add_to_log(lake: Lake, table: Table, portal: str, rows: Sequence[Mapping[str, object]], at: datetime) -> None:
    """Add rows of one month to a log. Rows with the same key are replaced.

    Args:
        lake: of the log.
        table: the log.
        portal: config key.
        rows: with all of its columns but those that every table has; `month` and `portal_id` have to be there.
        at: UTC instant.

    Raises:
        StorageError: the log cannot be read or written.
    """
    month, portal_id = rows[0]["month"], rows[0]["portal_id"]
    key = SliceKey(table.domain, table.name, portal, str(month))
    schema = arrow_schema(table, PrivacyPolicy())
    standard = {"portal": portal, "_extra": None, "_fetched_at": at}
    new = pa.Table.from_pylist([{**standard, **row} for row in rows], schema=schema)
    with lake.locked(key):
        # A damaged log is set aside and started again: it must not fail a run.
        with suppress(DamagedSliceError):
            if lake.provenance(key) is not None:
                new = pa.concat_tables([_others(aligned(lake.read(key), schema), new, table.key), new])
        lake.write(
            key,
            new,
            Provenance(
                run_id=str(rows[-1].get("run_id", "")),
                portal_id=portal_id if isinstance(portal_id, int) else 0,
                fetched_at=at.isoformat(),
                window=table.name,
                requests=0,
                expected_total=None,
                received=0,
                distinct_keys=new.num_rows,
                kept=0,
                verdict="run",
                catalogue_version=VERSION,
                policies={"none": "keep", "unknown": "drop"},
            ),
        )


def move_log(lake: Lake, key: SliceKey, target: SliceKey, provenance: Provenance) -> None:
    """Add a month of a portal's log to that of another key. Call it within the locks of both. Raises StorageError."""
    table = next(log for log in LOGS if log.full_name == key.full_name)
    schema = arrow_schema(table, PrivacyPolicy())
    moved = aligned(lake.read(key), schema)
    moved = replaced(moved, "portal", pa.repeat(target.portal, moved.num_rows))
    rows = pa.concat_tables([moved, _others(aligned(lake.read(target), schema), moved, table.key)])
    lake.write(target, rows, replace(provenance, distinct_keys=rows.num_rows))


def _others(rows: pa.Table, new: pa.Table, key: Collection[str]) -> pa.Table:
    """The rows whose key none of the new ones has."""
    names = [*key]
    known = {*zip(*(new.column(name).to_pylist() for name in names), strict=True)}
    there = zip(*(rows.column(name).to_pylist() for name in names), strict=True)
    return rows.filter(pa.array([one not in known for one in there], pa.bool_()))


@dataclass(frozen=True, slots=True)
class Taken:
    """What one rule removed from one table of a portal. Counts only.

    Args:
        portal: config key.
        table: as the warehouse calls it.
        rule: of `retention`.
        cutoff: the first day that was kept.
        removed: rows that were removed.
        cleared: rows that stay, without the values.
        held: people whose data is held.
    """

    portal: str
    table: str
    rule: Rule
    cutoff: date
    removed: int
    cleared: int
    held: int


def log_retention(lake: Lake, taken: Sequence[Taken], at: datetime) -> None:
    """Add what a pass removed at a UTC instant to `sync.retention`. Raises StorageError."""
    ids = lake.state.portals.ids()
    for portal in sorted({one.portal for one in taken}):
        rows = [
            {
                "portal_id": ids.get(portal),
                "month": month_of(at.date()),
                "taken_at": at,
                "table_name": one.table,
                "rule": one.rule,
                "first_day_kept": one.cutoff,
                "rows_removed": one.removed,
                "rows_cleared": one.cleared,
                "people_held": one.held,
            }
            for one in taken
            if one.portal == portal
        ]
        add_to_log(lake, RETENTION, portal, rows, at)
