"""Months, and shifts in them."""

from __future__ import annotations

from datetime import UTC, datetime

from planday_io.catalogue import CATALOGUE
from planday_io.months import first_day, last_day, month_of
from planday_io.sandbox.roster import Roster

THIS = month_of(datetime.now(UTC).date())


FACTS = [table.full_name for table in CATALOGUE.tables() if table.is_monthly and not table.on_request]


def a_shift(roster: Roster, month: str, *, status: str = "Approved") -> int:
    """Some shift of a month that somebody worked and that payroll counts."""
    return next(
        shift["id"]
        for shift in roster.on(first_day(month), last_day(month))
        if shift["status"] == status and shift["employeeId"] and not shift["shiftTypeId"]
    )
