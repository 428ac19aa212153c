"""Where the real Planday is not known the local one behaves either way, and the warehouse is right whichever it is.

A portal is read and published under every value of every switch of `Variants`, several switches at a time; what is expected
is counted in the sandbox's own state. A switch that is added is run over without being named here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any, get_args, get_type_hints
from zoneinfo import ZoneInfo

import httpx
import pytest

from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.sandbox.variants import Variants
from planday_io.sandbox.world import Portal
from tests.support.document import headers
from tests.support.installation import EVERYTHING, Installation, Make

LAST = shifted(month_of(datetime.now(UTC).date()), -1)
VALUES = {name: get_args(kind) for name, kind in get_type_hints(Variants).items()}
RUNS = [
    Variants(**{name: values[n % len(values)] for name, values in VALUES.items()})
    for n in range(max(map(len, VALUES.values())))
]
"""As few as hold every value of every switch."""

Rows = set[tuple[Any, ...]]


def _shifts(portal: Portal) -> Rows:
    rows = portal.roster.on(first_day(LAST), last_day(LAST))
    return {(row["id"], row["employeeId"], date.fromisoformat(row["date"]), row["status"]) for row in rows}


def _punches(portal: Portal) -> Rows:
    rows = portal.roster.punches.values()
    return {(row["id"], row["employeeId"]) for row in rows if row["startDateTime"].startswith(LAST)}


def _instants(portal: Portal) -> Rows:
    zone = ZoneInfo(portal.info["timeZone"])
    rows = portal.roster.on(first_day(LAST), last_day(LAST))
    return {
        (row["id"], datetime.fromisoformat(row["startDateTime"]).replace(tzinfo=zone).astimezone(UTC)) for row in rows
    }


EXPECTED: dict[str, Callable[[Portal], Rows]] = {
    "SELECT id, first_name FROM hr.employees": lambda portal: {
        (row["id"], row["firstName"]) for row in portal.employees
    },
    "SELECT id FROM hr.deactivated_employees": lambda portal: {(row["id"],) for row in portal.deactivated},
    "SELECT id, first_name, hired_from FROM hr.employee_details WHERE id IN (SELECT id FROM hr.employees)": lambda portal: {
        (row["id"], row["firstName"], date.fromisoformat(portal.details[row["id"]]["hiredFrom"]))
        for row in portal.employees
    },
    "SELECT id, employee_id, date, status FROM scheduling.shifts": _shifts,
    "SELECT shift_id, start_utc FROM marts.shifts": _instants,
    "SELECT id, employee_id FROM scheduling.deleted_shifts": lambda portal: {
        (row["id"], row["employeeId"]) for row in portal.roster.deleted
    },
    "SELECT id, employee_id FROM punchclock.punch_clock_shifts": _punches,
    "SELECT id, type_id FROM absence.accounts": lambda portal: {
        (row["id"], row["typeId"]) for row in portal.leave.accounts
    },
    "SELECT account_id, count(*) FROM absence.account_transactions GROUP BY ALL": lambda portal: {
        (account, len(rows)) for account, rows in portal.leave.transactions.items()
    },
    "SELECT employee_id, id FROM contract_rules.employee_contract_rules "
    "WHERE employee_id IN (SELECT id FROM hr.employees)": lambda portal: {
        (row["id"], rule) for row in portal.employees if (rule := portal.details[row["id"]]["contractRulesRuleId"])
    },
}
"""What is asked of the warehouse, and the same counted in the sandbox's state."""


def _on_the_edge(portal: Portal) -> None:
    """Shifts and punches that begin in one month and reach into the next, which is where windows differ."""
    roster = portal.roster
    night = next(row for row in roster.shifts.values() if row["startDateTime"].endswith("T22:00") and row["employeeId"])
    for day in (first_day(LAST) - timedelta(days=1), last_day(LAST)):
        roster.add_shift(night["id"], day)
    early, late = [row for row in roster.punches.values() if row["startDateTime"].startswith(LAST)][:2]
    begin = first_day(LAST)
    early |= {"startDateTime": f"{begin - timedelta(days=1)}T23:56", "shiftStartDateTime": f"{begin}T00:00"}
    late |= {"startDateTime": f"{begin}T00:03", "shiftStartDateTime": f"{begin - timedelta(days=1)}T23:59"}


def _read(planday: Installation) -> None:
    for query in EXPECTED:
        table = query.partition("FROM ")[2].split()[0].replace("marts.shifts", "portal.portals")
        planday.refresh(table, month=LAST if table in ("scheduling.shifts", "punchclock.punch_clock_shifts") else None)
        if table == "hr.employees":
            planday.refresh("hr.departments")
    planday.publish()


def test_runs_hold_every_value_of_every_switch() -> None:
    assert all({getattr(run, name) for run in RUNS} == set(values) for name, values in VALUES.items())


@pytest.mark.processes
@pytest.mark.parametrize("variants", RUNS, ids=range(len(RUNS)))
def test_warehouse_is_right_whichever_it_is(make: Make, variants: Variants) -> None:
    planday = make(people=(7, 3, 3), resources=EVERYTHING, variants=variants)
    portal = planday.sandbox.portals["oslo"]
    _on_the_edge(portal)
    _read(planday)
    for query, expected in EXPECTED.items():
        assert expected(portal), query
        assert set(planday.query(query)) == expected(portal), query


@pytest.mark.parametrize(
    ("variants", "path", "expected"),
    [
        (Variants(large_limits="refused"), "/hr/v1.0/employees?limit=200", 400),
        (Variants(large_limits="lowered"), "/hr/v1.0/employees?limit=200", 50),
        (Variants(large_limits="taken"), "/hr/v1.0/employees?limit=200", 60),
        (Variants(people_who_left="refused"), "/hr/v1.0/employees/{left}", 400),
        (Variants(people_who_left="answered"), "/hr/v1.0/employees/{left}", True),
    ],
)
def test_a_switch_changes_the_answer(make: Make, variants: Variants, path: str, expected: int | bool) -> None:
    planday = make(people=(60, 3, 3), variants=variants)
    url = planday.address + path.format(left=planday.sandbox.portals["oslo"].deactivated[0]["id"])
    response = httpx.get(url, headers=headers(planday), timeout=60)
    if expected == 400:
        assert response.status_code == 400
    elif expected is True:
        assert response.json()["data"]["isDeactivated"] is True
    else:
        assert len(response.json()["data"]) == expected


def test_switches_are_typed_by_name() -> None:
    typed = Variants.of(["open_shifts=null", "large_limits=taken", "lists_drafts=False"])
    assert typed == Variants(open_shifts="null", large_limits="taken", lists_drafts=False)
    for wrong, told in (
        ("colour=red", "large_limits"),
        ("open_shifts=maybe", "absent, null"),
        ("open_shifts", "absent"),
    ):
        with pytest.raises(ValueError, match=told):
            Variants.of([wrong])


@pytest.mark.parametrize("form", ["absent", "null"])
def test_open_shifts_in_two_forms(make: Make, form: Any) -> None:
    planday = make(variants=Variants(open_shifts=form))
    rows = httpx.get(
        f"{planday.address}/scheduling/v1.0/shifts?shiftStatus=Open", headers=headers(planday), timeout=60
    ).json()
    assert rows["data"]
    assert {row.get("employeeId", "absent") for row in rows["data"]} == {None if form == "null" else "absent"}
