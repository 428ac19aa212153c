"""Answers as live portals give them: what third parties met, and the warehouse has to take."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest

from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from tests.support.document import headers
from tests.support.installation import EVERYTHING, FAST, Installation, Make

LAST = shifted(month_of(date.today()), -1)  # noqa: DTZ011 - the sandbox's own idea of today is UTC


@pytest.fixture(scope="module")
def planday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Only read from."""
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(24, 12, 8)))
    with served(sandbox) as address:
        yield Installation(tmp_path_factory.mktemp("answers"), sandbox, address, resources=EVERYTHING)


def get(planday: Installation, path: str, portal: str = "oslo", **params: Any) -> httpx.Response:
    return httpx.get(planday.address + path, headers=headers(planday, portal), params=params, timeout=60)


def payroll(planday: Installation, month: str, portal: str = "oslo", **params: Any) -> dict[str, Any]:
    departments = ",".join(str(row["id"]) for row in planday.sandbox.portals[portal].departments)
    days = {"departmentIds": departments, "from": str(first_day(month)), "to": str(last_day(month))}
    found: dict[str, Any] = get(planday, "/payroll/v1.0/payroll", portal, **days, **params).json()
    return found


def test_empty_texts_and_meaningless_lists(planday: Installation) -> None:
    people = get(planday, "/hr/v1.0/employees").json()["data"]
    assert {row.get("phone") for row in people} == {"", None}
    assert {row["cellPhone"] for row in people} > {"+45"}
    assert all(row["securityGroups"] == [] for row in people)
    assert "" in {row.get("number") for row in get(planday, "/hr/v1.0/departments").json()["data"]}
    stamps = {len(row["dateTimeModified"]) for row in people}
    assert stamps == {len("2024-05-20T18:55:11.967Z"), len("2024-05-20T18:55:11Z")}


def test_rate_is_zero_for_people_without_one(planday: Installation) -> None:
    rows = payroll(planday, LAST)["shiftsPayroll"]
    pay = planday.sandbox.portals["oslo"].pay
    unrated = [row for row in rows if pay.rate(row["employeeId"], row["employeeGroupId"]) is None]
    assert {row["wage"]["rate"] for row in unrated} == {0}
    assert {row["salary"] for row in unrated} == {0}
    assert all(isinstance(row["breaks"], list) and isinstance(row["supplements"], list) for row in rows)


def test_shift_types_replace_add_or_are_a_percentage(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    found: dict[int, set[float]] = {}
    for month in (shifted(LAST, -n) for n in range(12)):
        for row in payroll(planday, month)["shiftsPayroll"]:
            base = portal.pay.rate(row["employeeId"], row["employeeGroupId"])
            if base is not None and row.get("shiftTypeId"):
                found.setdefault(row["shiftTypeId"], set()).add(round(row["wage"]["rate"] - base, 4))
            if row.get("shiftTypeId") == 601:
                assert (row["breaks"], row["supplements"]) == ([], []), "courses leave them out"
    assert found[605] == {25.0}
    assert found[602] == {0.0}
    assert len(found[603]) > 1, "standby replaces the rate, whatever it was"


def test_nobody_has_a_salary_after_leaving(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    left = {row["id"]: date.fromisoformat(row["deactivationDate"]) for row in portal.deactivated}
    salaried = {number: day for number, day in left.items() if number in portal.pay.salaries}
    assert salaried
    for number, day in salaried.items():
        month = month_of(day)
        whole = {"returnFullSalaryForMonthlyPaid": "true"}
        before, at, after = (
            {row["employeeId"]: row for row in payroll(planday, shifted(month, by), **whole)["salariedPayroll"]}
            for by in (-1, 0, 1)
        )
        full = portal.pay.salaries[number]["salary"]
        assert before[number]["salary"] == full
        assert number not in after
        if day.day > 1:
            assert at[number]["salary"] < full
            assert at[number]["end"] == str(day - timedelta(days=1))


def test_payroll_has_shifts_of_people_who_left(planday: Installation) -> None:
    left = {row["id"] for row in planday.sandbox.portals["oslo"].deactivated}
    months = [shifted(LAST, -n) for n in range(12)]
    assert any(left & {row["employeeId"] for row in payroll(planday, month)["shiftsPayroll"]} for month in months)


def test_currency_symbols_have_several_forms(planday: Installation) -> None:
    symbols = {portal: payroll(planday, LAST, portal)["currencySymbol"] for portal in planday.sandbox.portals}
    assert symbols == {"oslo": "kr", "copenhagen": "kr.", "london": "GBP"}


def test_refusals_say_their_own_status(planday: Installation) -> None:
    for path in ("/hr/v1.0/departments/999999", "/scheduling/v1.0/shifts/1", "/absence/v1.0/accounts/1/balance"):
        answer = get(planday, path)
        assert (answer.status_code, answer.json()["status"], answer.json()["title"]) == (404, 404, "Not Found")
    assert get(planday, "/hr/v1.0/employees/1").json()["status"] == 400
    assert get(planday, "/hr/v1.0/employees", special="Ssn").json()["status"] == 403
    assert get(planday, "/punchclock/v1.0/punchclockshifts/150000/breakaccess").status_code == 403


def test_routes_that_the_pipeline_does_not_need(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    person, group = next(key for key in portal.pay.rates if any(row["id"] == key[0] for row in portal.employees))
    rate = get(planday, f"/pay/v1/payrates/employeegroups/{group}/employees/{person}").json()["data"]
    assert rate["rate"] == portal.pay.rates[person, group][-1]["rate"]
    active = {row["id"] for row in portal.employees}
    owner = next(number for number in portal.pay.allocations if number in active)
    current = get(planday, f"/pay/v1.0/salaries/scheduling/timeandcost/allocations/{owner}").json()["data"]
    history = get(planday, f"/pay/v1.0/salaries/scheduling/timeandcost/allocations/{owner}/history").json()["data"]
    assert current == history[-1]
    documented = {"BusinessDays", "NoAllocation", "ScheduledHours", "MonthlySalary"}
    assert {row["costAllocation"] for row in history} <= documented
    punch = next(row for row in portal.roster.punches.values() if row["shiftId"])
    assert (
        get(planday, f"/punchclock/v1.0/punchclockshifts/byShift/{punch['shiftId']}").json()["data"]["id"]
        == punch["id"]
    )
    today = get(planday, "/punchclock/v1.0/employeeshifts/today").json()
    expected = {row["id"] for row in portal.roster.on(portal.today, portal.today) if row["employeeId"]}
    assert {row["id"] for row in today["data"]} == expected
    assert today["paging"] == {"total": len(expected)}
    position = portal.roster.positions[0]["id"]
    assert get(planday, f"/scheduling/v1.0/positions/{position}").json()["data"]["id"] == position
    department = portal.departments[0]["id"]
    units = get(planday, f"/revenue/v1.0/departments/{department}/revenueunits").json()["data"]
    assert [row["departmentId"] for row in units] == [department]
    record = portal.leave.records[0]
    assert get(planday, f"/absence/v1.0/absencerecords/{record['id']}").json()["data"]["status"] == record["status"]
    assert get(planday, "/absence/v1.0/accounttypes/accrued/31").json()["data"]["accruingRate"]["value"] == 2.08
    assert get(planday, "/absence/v1.0/accounttypes/accrued/32").status_code == 404
    statuses = get(planday, "/scheduling/v1.0/shifts/shiftstatus/all").json()["data"]
    assert {row["id"]: row["name"] for row in statuses}[11] == "PunchclockApproved"
    owner = next(number for number, row in portal.details.items() if "custom_104" in row and number in active)
    assert get(planday, f"/hr/v1.0/employees/{owner}/customfields/custom_104/value").json().startswith("data:image/")


def test_a_token_of_a_child_portal(planday: Installation) -> None:
    sandbox = planday.sandbox
    app = next(app for app in sandbox.apps.values() if "london" in app.refresh_tokens)
    (child,) = get(planday, "/portal/v1.0/info", "london").json()["data"]["portals"]
    form = {
        "client_id": app.client_id,
        "grant_type": "token_exchange",
        "subject_token_type": "openapi:access_token",
        "subject_token": sandbox.access_token(app.client_id, "london"),
        "resource": str(child["id"]),
    }
    answer = httpx.post(f"{planday.address}/connect/token", data=form)
    given = {"Authorization": f"Bearer {answer.json()['access_token']}", "X-ClientId": app.client_id}
    info = httpx.get(f"{planday.address}/portal/v1.0/info", headers=given).json()["data"]
    assert (info["id"], info["name"]) == (child["id"], child["name"])
    people = httpx.get(f"{planday.address}/hr/v1.0/employees", headers=given).json()
    assert people["paging"]["total"] == 6
    claims = httpx.get(f"{planday.address}/connect/userinfo", headers=given).json()
    assert (claims["PortalId"], claims["PortalTimeZoneId"]) == (child["id"], "Europe/London")
    token = {"client_id": app.client_id, "token": answer.json()["access_token"]}
    told = httpx.post(f"{planday.address}/Connect/Introspect/", data=token).json()
    assert (told["active"], told["PortalId"]) == (True, child["id"])
    assert httpx.post(f"{planday.address}/connect/introspect", data=token | {"token": "no"}).json() == {"active": False}
    for wrong in ({"resource": "4711"}, {"subject_token": "no"}, {"subject_token_type": "jwt"}):
        assert httpx.post(f"{planday.address}/connect/token", data=form | wrong).status_code == 400
    listed = httpx.get(f"{planday.address}/.well-known/openid-configuration").json()
    assert {"token_exchange", "refresh_token"} <= set(listed["grant_types_supported"])
    assert listed["userinfo_endpoint"].endswith("/connect/userinfo")


def test_field_definitions_refer_to_what_they_permit(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    for portal in ("oslo", "copenhagen"):
        planday.refresh("hr.field_definitions", portal)
    rows = {row["field"]: row for row in planday.rows("hr.field_definitions")}
    assert "L-1" in rows["custom_102"]["definition"]
    assert "boolean" in rows["custom_103"]["definition"]
    assert "integer" in rows["employeeGroups"]["definition"]
    assert rows["firstName"]["is_required"] is True
    assert {row["is_required"] for row in planday.rows("hr.field_definitions", "copenhagen")} == {None}, "not told"


def test_allocations_and_security_groups_in_the_warehouse(make: Make) -> None:
    planday = make(people=(9, 3, 3), resources=EVERYTHING)
    portal = planday.sandbox.portals["oslo"]
    for table in ("hr.employees", "pay.salaries", "pay.salary_allocations"):
        planday.refresh(table)
    planday.publish()
    active = {row["id"] for row in portal.employees}
    expected = {
        (number, date.fromisoformat(row["validFrom"]), row["costAllocation"])
        for number, rows in portal.pay.allocations.items()
        if number in active
        for row in rows
    }
    assert expected
    found = planday.query("SELECT employee_id, valid_from, cost_allocation FROM pay.salary_allocations")
    assert set(found) == expected
    assert planday.query("SELECT count(security_groups), count(*) FROM hr.employees") == [(0, len(active))]


def test_history_entries_hold_a_single_id(make: Make) -> None:
    planday = make()
    portal = planday.sandbox.portals["oslo"]
    person = portal.employees[0]["id"]
    portal.edit_employee(person, datetime(2026, 3, 1, 9), departments=[100, 101])  # noqa: DTZ001
    entries = get(planday, f"/hr/v1.0/employees/{person}/history").json()["data"]
    assert [entry["value"] for entry in entries if entry["path"] == "/departments"] == ["100", "101"]
