"""How the rows of a slice follow from those received, in words: what an operator sees beside both numbers."""

from __future__ import annotations

from datetime import UTC, datetime

from planday_io.config.grid import grid_months
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.months import first_day, last_day, shifted
from tests.support.installation import EVERYTHING, Installation, Make

SHIFTS = "scheduling.shifts"
FEED = "scheduling.deleted_shifts"
PAYROLL = "payroll.shifts"


def account(planday: Installation, table: str, month: str | None = None) -> str:
    report = planday.refresh(table, month=month)[0]
    assert (report.received, report.rows) == (int(report.account.split()[0]), int(report.account.split()[-1]))
    return report.account


def test_rows_of_other_months_are_counted(make: Make) -> None:
    planday = make(people=(9, 9, 9), resources=EVERYTHING)
    month = grid_months(planday.config, "oslo", datetime.now(UTC))[-4]
    said = account(planday, SHIFTS, month)
    edges = [(shifted(month, -1), last_day(shifted(month, -1))), (shifted(month, 1), first_day(shifted(month, 1)))]
    others = 0
    for other, day in edges:
        planday.refresh(SHIFTS, month=other)
        others += sum(row["date"] == day for row in planday.rows(SHIFTS, month=other))
    assert others > 0
    own = len(planday.rows(SHIFTS, month=month))
    reason = "of other months (more days are requested than the month has)"
    assert said == f"{own + others} received - {others} {reason} = {own}"


def test_rows_kept_from_earlier_reads_are_counted(make: Make) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    roster = planday.sandbox.portals["oslo"].roster
    first = len(roster.deleted)
    assert account(planday, FEED) == f"{first} received = {first}"
    roster.deleted.clear()
    roster.delete_shift(next(iter(roster.shifts)))
    said = account(planday, FEED)
    assert said == f"1 received + {first} kept from earlier reads (only what changed is requested) = {first + 1}"


def test_people_who_are_forgotten_are_counted(planday: Installation) -> None:
    everybody = len(planday.sandbox.portals["oslo"].employees)
    assert account(planday, "hr.employees") == f"{everybody} received = {everybody}"
    person = planday.sandbox.portals["oslo"].employees[0]["id"]
    ForgottenPeople(planday.config.lake, planday.state).add("oslo", person)
    said = account(planday, "hr.employees")
    assert said == f"{everybody} received - 1 of people who were forgotten = {everybody - 1}"


def test_rows_that_retention_takes_are_counted(make: Make) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    month = grid_months(planday.config, "oslo", datetime.now(UTC))[-8]
    assert account(planday, PAYROLL, month)
    everything = len(planday.rows(PAYROLL, month=month))
    assert everything > 0
    planday.edit_config("defaults:", "retention: {pay: 30d}\ndefaults:")
    reason = "that are too old (`retention` of portals.yaml)"
    assert account(planday, PAYROLL, month) == f"{everything} received - {everything} {reason} = 0"
