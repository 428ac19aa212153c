"""The sandbox answers nothing that the OpenAPI document does not allow, and is as unkind as the facts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import jsonschema
import pytest

from planday_io.sandbox.app import ENDPOINTS
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import Portal, demo_portals
from tests.support.document import headers, parameters, schema_of
from tests.support.installation import FAST, Installation, Make


def ids_of(portal: Portal, path: str) -> dict[str, int]:
    """Ids for which the path has something to answer."""
    person, group = next(iter(portal.pay.rates))
    punched = next(row["shiftId"] for row in portal.roster.punches.values() if row["shiftId"])
    if "customfields" in path:
        person = next(
            number for number, row in portal.details.items() if "custom_104" in row and not row["isDeactivated"]
        )
    if "/salaries" in path:
        active = {row["id"] for row in portal.employees}
        person = next(employee for employee in portal.pay.salaries if employee in active)
    if "contractrules" in path:
        person = next(number for number, row in portal.details.items() if row["contractRulesRuleId"])
    return {
        "employeeId": person,
        "employeeGroupId": group,
        "id": _id_of(portal, path),
        "departmentId": portal.departments[0]["id"],
        "shiftId": punched if "byShift" in path else next(iter(portal.roster.shifts)),
        "punchClockShiftId": next(iter(portal.roster.breaks)),
        "positionId": portal.roster.positions[0]["id"],
        "accountId": portal.leave.accounts[1]["id"],
        "customPropertyName": "custom_104",
    }


def required_params(planday: Installation, portal: str, path: str) -> dict[str, Any]:
    """The parameters that the document requires."""
    department = planday.sandbox.portals[portal].departments[0]["id"]
    today = planday.sandbox.portals[portal].today
    values = {"from": f"{today - timedelta(days=20)}", "to": f"{today}"}
    values |= {"departmentId": department, "departmentIds": department}
    return {p["name"]: values[p["name"]] for p in parameters(path) if p.get("required") and p["in"] == "query"}


def _id_of(portal: Portal, path: str) -> int:
    found: int = {
        "/hr/v1.0/departments": portal.departments[0]["id"],
        "/hr/v1.0/employeegroups": portal.employee_groups[0]["id"],
        "/absence/v1.0/absencerecords": portal.leave.records[0]["id"],
    }.get(path.partition("/{")[0], 31)
    return found


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One sandbox for all that only reads."""
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(6, 9, 8)))
    with served(sandbox) as address:
        yield Installation(tmp_path_factory.mktemp("everything"), sandbox, address)


@pytest.mark.parametrize("portal", ["oslo", "copenhagen", "london"])
@pytest.mark.parametrize("path", [endpoint.path for endpoint in ENDPOINTS if "breakaccess" not in endpoint.path])
def test_answers_follow_the_document(everything: Installation, path: str, portal: str) -> None:
    url = everything.address + path.format_map(ids_of(everything.sandbox.portals[portal], path))
    response = httpx.get(url, headers=headers(everything, portal), params=required_params(everything, portal, path))
    assert response.status_code == 200, response.text
    jsonschema.Draft4Validator(schema_of(path)).validate(response.json())


@pytest.mark.parametrize(
    ("path", "changed", "status"),
    [
        ("/hr/v1.0/departments", {"X-ClientId": ""}, 401),
        ("/hr/v1.0/departments", {"Authorization": "Bearer no"}, 401),
        ("/hr/v1.0/departments?limit=51", {}, 400),
        ("/hr/v1.0/employees?special=Ssn", {}, 403),
        ("/hr/v1.0/employees?special=Skills", {}, 400),
        ("/hr/v1.0/employees/999999", {}, 400),
        ("/hr/v1.0/departments/999999", {}, 404),
    ],
)
def test_refusals(planday: Installation, path: str, changed: dict[str, str], status: int) -> None:
    assert httpx.get(planday.address + path, headers=headers(planday) | changed).status_code == status


def test_null_members_are_left_out(planday: Installation) -> None:
    rows = httpx.get(f"{planday.address}/hr/v1.0/employees", headers=headers(planday)).json()["data"]
    assert any("salaryIdentifier" not in row for row in rows)
    assert all(value is not None for row in rows for value in row.values())


def test_429_with_headers_until_the_window_resets(make: Make) -> None:
    planday = make(limits=Limits(((3, 60.0),), FAST))
    auth = headers(planday)
    answers = [httpx.get(f"{planday.address}/portal/v1.0/info", headers=auth) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    last = answers[-1].headers
    assert last["x-ratelimit-limit"].startswith("3, 3;w=60")
    assert last["x-ratelimit-remaining"] == "0"
    assert 1 <= int(last["x-ratelimit-reset"]) <= 60


def test_it_is_deterministic_and_ids_repeat_across_portals(make: Make) -> None:
    one, two = make().sandbox.portals, make().sandbox.portals
    assert one == two
    assert {row["id"] for row in one["oslo"].employees} & {row["id"] for row in one["london"].employees}
