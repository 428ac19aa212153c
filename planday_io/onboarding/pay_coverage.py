"""Whose pay is missing? People who have payroll shifts, but neither a pay rate nor a salary.

An app sees what the login sees that authorized it, and in Planday's own screens a payroll administrator is not shown
the pay of people at the same or a higher access level (docs/api-facts.md#authorization). Whether the API leaves it out
as well is not documented, and an absent rate looks like a person without one. So they are counted, from what the lake
has: no call is made.
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.lake.installation import Installation
from planday_io.lake.slices import Lake, SliceKey
from planday_io.months import month_of

_MONTHS = 3
_SHIFTS, _ACTIVE = "payroll.shifts", "hr.employees"
_AMOUNTS = {"pay.pay_rates": "rate", "pay.salaries": "salary"}


def pay_coverage(installation: Installation, portal: str, now: datetime) -> str | None:
    """How many people with payroll shifts have no pay, and in which tables. Counts only.

    Returns:
        Sentences for people, or None where the portal has no payroll or no pay among its resources.

    Raises:
        StorageError: the lake cannot be read.
    """
    has = {table.full_name for one in installation.endpoints_of(portal) for table in one.tables}
    if _SHIFTS not in has or has.isdisjoint(_AMOUNTS):
        return None
    lake = installation.lake
    current = month_of(now.astimezone(ZoneInfo(installation.config.portals[portal].timezone)).date())
    months = [key for key in lake.slices(_SHIFTS, portal) if key.month and key.month <= current][-_MONTHS:]
    if not months:
        return f"not known: {_SHIFTS} was never read. Run `planday sync {portal}` first; no call was made for this"
    paid = {name: _paid(lake, name, column, portal) for name, column in _AMOUNTS.items()}
    read = [name for name, ids in paid.items() if ids is not None]
    if not read:
        return f"not known: {' and '.join(_AMOUNTS)} were never read (schedule `weekly`, or `planday sync {portal}`)"
    people = set().union(*(_ids(lake.read(key, ["employee_id"])) for key in months))
    active = lake.provenance(SliceKey.of(_ACTIVE, portal)) is not None
    if active:
        # Payroll lists people who left, too, and pay is read for active people only.
        people &= _ids(lake.read(SliceKey.of(_ACTIVE, portal), ["id"]))
    without = people.difference(*(ids for ids in paid.values() if ids))
    when = " to ".join(dict.fromkeys((str(months[0].month), str(months[-1].month))))
    found = (
        f"{len(without)} of {len(people)} {'active ' if active else ''}people with shifts in {_SHIFTS} ({when}) have no "
        f"row in {' or '.join(read)} of the lake"
    )
    if missing := [name for name in _AMOUNTS if name not in read]:
        found += f"; {' and '.join(missing)} was never read, so their pay may be there"
    if not without:
        return found
    return (
        f"{found}. Either Planday has no pay for them, or the login that authorized the app may not see it: a lower access "
        f"level is not shown the pay of people at the same or a higher one. Authorize with the highest access level: "
        f"`planday authorize {portal}`"
    )


def _paid(lake: Lake, table: str, column: str, portal: str) -> set[int] | None:
    """Ids of the people of a pay table; None where it was never read.

    A rate or salary of 0 counts as none, if the privacy policy keeps amounts.
    """
    key = SliceKey.of(table, portal)
    provenance = lake.provenance(key)
    if provenance is None:
        return None
    rows = lake.read(key, ["employee_id", column])
    if provenance.policies.get("pay") == "keep":
        rows = rows.filter(pc.fill_null(pc.not_equal(rows.column(column).cast(pa.float64()), 0.0), False))
    return _ids(rows)


def _ids(rows: pa.Table) -> set[int]:
    """The ids in the first column. Negative ones stand for people who were forgotten."""
    return {number for number in rows.column(0).to_pylist() if number is not None and number >= 0}
