"""Details, contract rules and allocations of people who left: asked for once, and what was read before stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.responses import Response

from planday_io.catalogue import CATALOGUE
from planday_io.privacy.erasure import forget_person
from planday_io.sandbox.state import Fault
from planday_io.sandbox.variants import Variants
from planday_io.sync.forecast import forecast
from planday_io.sync.session import refresh
from tests.support.installation import EVERYTHING, Installation, Make

TABLES = {
    "hr.employee_details": ("/hr/v1.0/employees/{}", "id"),
    "contract_rules.employee_contract_rules": ("/contractrules/v1.0/employees/{}", "employee_id"),
    "pay.salary_allocations": ("/pay/v1.0/salaries/scheduling/timeandcost/allocations/{}/history", "employee_id"),
}
each = pytest.mark.parametrize("table", TABLES)


def installation(make: Make, resources: str) -> Installation:
    """Everybody has a contract rule and a salary, those who left as well."""
    planday = make(people=(8, 9, 8), resources=resources)
    portal = planday.sandbox.portals["oslo"]
    rule = next(number for row in portal.details.values() if (number := row["contractRulesRuleId"]))
    salary, allocation = next(iter(portal.pay.salaries.values())), next(iter(portal.pay.allocations.values()))
    for person in portal.everyone:
        portal.details[person["id"]]["contractRulesRuleId"] = rule
        portal.pay.salaries[person["id"]], portal.pay.allocations[person["id"]] = salary, allocation
    return planday


@pytest.fixture
def planday(make: Make) -> Installation:
    return installation(make, EVERYTHING)


def answers(planday: Installation, *, left: bool) -> None:
    planday.sandbox.variants = Variants(people_who_left="answered" if left else "refused")


def asked(planday: Installation, table: str) -> set[int]:
    """Ids that were asked for since this was last called."""
    path = TABLES[table][0]
    everyone = [row["id"] for row in planday.sandbox.portals["oslo"].everyone]
    found = {number for number in everyone if planday.sandbox.requests[f"oslo {path.format(number)}"]}
    planday.sandbox.requests.clear()
    return found


def held(planday: Installation, table: str) -> set[int]:
    return {row[TABLES[table][1]] for row in planday.rows(table)}


def ids(rows: list[Any]) -> set[int]:
    return {row["id"] for row in rows}


@each
def test_who_left_is_asked_for_once(planday: Installation, table: str) -> None:
    portal = planday.sandbox.portals["oslo"]
    left = ids(portal.deactivated)
    assert left
    answers(planday, left=True)
    report = planday.refresh(table)[0]
    assert (held(planday, table), report.gone) == (ids(portal.everyone), 0)
    assert asked(planday, table) >= left
    planday.refresh(table)
    assert not asked(planday, table) & left
    assert held(planday, table) == ids(portal.everyone)
    changed = portal.deactivated[0]
    changed["dateTimeModified"] = "2026-11-01T10:00:00Z"
    planday.refresh(table)
    assert asked(planday, table) & left == {changed["id"]}
    planday.refresh(table, full=True)
    assert asked(planday, table) >= left


@each
@pytest.mark.parametrize("status", [400, 404])
def test_refusal_is_remembered_and_keeps_what_was_read(planday: Installation, table: str, status: int) -> None:
    portal = planday.sandbox.portals["oslo"]
    left, active = ids(portal.deactivated), ids(portal.employees)
    for number in left if status == 404 else ():
        path = TABLES[table][0].format(number)
        planday.sandbox.faults.append(Fault(path, lambda *_: Response(status_code=404), times=None))
    report = planday.refresh(table)[0]
    assert (held(planday, table), report.gone) == (active, 0)
    assert asked(planday, table) >= left
    leaver = portal.employees[0]["id"]
    before = [row for row in planday.rows(table) if row[TABLES[table][1]] == leaver]
    portal.deactivate(leaver)
    for _ in range(3):
        planday.refresh(table)
        stayed = [row for row in planday.rows(table) if row[TABLES[table][1]] == leaver]
        assert (held(planday, table), stayed) == (active, before)
    everybody = asked(planday, table)
    assert leaver in everybody, "asked for once more"
    assert not everybody & left
    planday.refresh(table)
    assert leaver not in asked(planday, table)
    planday.refresh(table, full=True)
    assert held(planday, table) == active
    # Should the API answer one day: a change, or `--full`, asks again.
    planday.sandbox.faults.clear()
    answers(planday, left=True)
    planday.refresh(table, full=True)
    assert held(planday, table) == active | left


def test_custom_fields_of_who_left_stay_with_them(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    planday.refresh("hr.employee_details")
    leaver = planday.rows("hr.employee_custom_fields")[0]["employee_id"]
    before = len(planday.rows("hr.employee_custom_fields"))
    portal.deactivate(leaver)
    planday.refresh("hr.employee_details")
    assert len(planday.rows("hr.employee_custom_fields")) == before
    planday.publish()
    assert planday.query(f"SELECT count(*) FROM hr.employee_details WHERE id = {leaver}") == [(1,)]


@each
def test_who_leaves_between_list_and_call_stays(planday: Installation, table: str) -> None:
    portal = planday.sandbox.portals["oslo"]
    planday.refresh(table)
    leaver = portal.employees[0]["id"]
    portal.edit_employee(leaver, now=datetime.now(UTC) + timedelta(hours=1), jobTitle="Leaver")
    path = TABLES[table][0].format(leaver)
    planday.sandbox.faults.append(Fault(path, lambda *_: Response(status_code=400), times=1))
    report = planday.refresh(table)[0]
    assert report.gone == 1
    assert leaver in held(planday, table)


@each
@pytest.mark.parametrize("full", [False, True])
def test_who_is_in_neither_list_stays(planday: Installation, table: str, full: bool) -> None:
    portal = planday.sandbox.portals["oslo"]
    planday.refresh(table)
    before = planday.frame(table)
    leaver = next(row[TABLES[table][1]] for row in planday.rows(table))
    session = planday.session()
    refresh(session, "hr.deactivated_employees")
    portal.deactivate(leaver)
    for read in (session, planday.session(), planday.session()):
        # Whoever left is refused from now on: what was dropped once could not be read again.
        refresh(read, table, full=full)
        assert held(planday, table) == set(before[TABLES[table][1]].to_pylist())


def test_custom_fields_outside_both_lists_stay(planday: Installation) -> None:
    planday.refresh("hr.employee_details")
    before = {(row["employee_id"], row["field"]) for row in planday.rows("hr.employee_custom_fields")}
    leaver = min(before)[0]
    session = planday.session()
    refresh(session, "hr.deactivated_employees")
    planday.sandbox.portals["oslo"].deactivate(leaver)
    for read in (session, planday.session()):
        refresh(read, "hr.employee_details")
        assert {(row["employee_id"], row["field"]) for row in planday.rows("hr.employee_custom_fields")} == before


def test_who_comes_back_between_both_lists_stays(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    row, details = dict(portal.employees[0]), dict(portal.details[portal.employees[0]["id"]])
    planday.refresh("hr.employee_details")
    portal.deactivate(row["id"])
    planday.refresh("hr.employee_details")
    session = planday.session()
    refresh(session, "hr.employees")
    portal.deactivated[:] = [one for one in portal.deactivated if one["id"] != row["id"]]
    portal.employees.append(row)
    portal.details[row["id"]] = details
    for read in (session, planday.session()):
        refresh(read, "hr.employee_details")
        assert row["id"] in held(planday, "hr.employee_details")


@each
def test_who_was_deleted_goes_with_the_second_read(planday: Installation, table: str) -> None:
    portal = planday.sandbox.portals["oslo"]
    planday.refresh(table)
    deleted = next(row[TABLES[table][1]] for row in planday.rows(table))
    portal.deactivate(deleted)
    portal.deactivated[:] = [one for one in portal.deactivated if one["id"] != deleted]
    planday.refresh(table)
    assert deleted in held(planday, table)
    planday.refresh(table)
    assert deleted not in held(planday, table)
    planday.refresh(table)
    assert deleted not in held(planday, table)


def test_who_comes_back_is_read_again(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    row = dict(portal.employees[0])
    details = dict(portal.details[row["id"]])
    planday.refresh("hr.employee_details")
    portal.deactivate(row["id"])
    planday.refresh("hr.employee_details")
    portal.deactivated[:] = [one for one in portal.deactivated if one["id"] != row["id"]]
    portal.employees.append(row)
    portal.details[row["id"]] = details
    portal.edit_employee(row["id"], jobTitle="Back again")
    planday.refresh("hr.employee_details")
    found = [one["job_title"] for one in planday.rows("hr.employee_details") if one["id"] == row["id"]]
    assert found == ["Back again"]


def test_people_who_left_follow_their_table(make: Make) -> None:
    planday = installation(make, "resources: {exclude: [hr.deactivated_employees]}")
    answers(planday, left=True)
    for table in TABLES:
        planday.refresh(table)
        assert held(planday, table) == ids(planday.sandbox.portals["oslo"].employees)
    assert not planday.sandbox.requests["oslo /hr/v1.0/employees/deactivated"]


def test_forgotten_person_who_left_is_not_asked_for(planday: Installation) -> None:
    answers(planday, left=True)
    for table in (*TABLES, "hr.deactivated_employees"):
        planday.refresh(table)
    person = planday.sandbox.portals["oslo"].deactivated[0]["id"]
    forget_person(planday.installation, "oslo", person)
    planday.sandbox.requests.clear()
    for table in TABLES:
        provenance = planday.provenance(table)
        assert provenance is not None
        assert not [key for key in provenance.covered if key.startswith(f"{person}/")]
        planday.refresh(table, full=True)
        assert person not in held(planday, table)
    for table in TABLES:
        assert not planday.sandbox.requests[f"oslo {TABLES[table][0].format(person)}"]


@each
@pytest.mark.parametrize("left", [True, False])
def test_the_forecast_counts_people_who_left(planday: Installation, table: str, left: bool) -> None:
    answers(planday, left=left)
    endpoints = [CATALOGUE.endpoint_of(table)]
    for _ in range(2):
        told = forecast(planday.session(), [(None, endpoints)])
        (made, *_) = planday.refresh(table)
        assert told.requests == made.counters.requests
        for parent in ("hr.employees", "hr.deactivated_employees"):
            planday.refresh(parent)
