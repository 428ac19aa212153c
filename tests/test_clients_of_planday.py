"""The calls of public Planday clients, as they make them: paths, casings, parameters, paging.

Taken from the sources of clients that were written against live portals, as data; a label says whose habit it is. Each answer
is judged by the OpenAPI document and by what was asked for: rows of nobody else, none twice, none left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, quote

import httpx
import jsonschema
import pytest

from planday_io.sandbox.app import ENDPOINTS
from planday_io.sandbox.labour import counts
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.spelling import Directory
from planday_io.sandbox.state import Sandbox, demo_sandbox
from planday_io.sandbox.variants import Variants
from planday_io.sandbox.world import demo_portals
from tests.support.document import parameters, schema_of
from tests.support.installation import FAST
from tests.support.judging import judge
from tests.support.requests import NO_FILTERS, Local

Row = dict[str, Any]
_DIRECTORY = Directory(ENDPOINTS)


@dataclass(frozen=True)
class Call:
    """What a client asks for.

    Args:
        client: whose habit it is.
        path: as sent, `{names}` filled from the portal.
        query: as sent.
        step: how it goes on: `limit` and `offset` as it spells them, rows it steps by (0: by what came), rows it asks for.
    """

    client: str
    path: str
    query: str = ""
    step: tuple[str, str, int, int] | None = None

    def __str__(self) -> str:
        return f"{self.client} {self.path}"


BY_50 = ("limit", "offset", 50, 50)
BY_WHAT_CAME = ("limit", "offset", 0, 50)
BY_100 = ("Limit", "Offset", 100, 100)
NO_LIMIT = ("limit", "offset", 50, 0)
MCP = ("Limit", "Offset", 50, 50)

CALLS = [
    # A web app in which people punch in and out.
    Call("punch-web", "/portal/v1.0/info"),
    Call("punch-web", "/hr/v1/employees"),
    Call("punch-web", "/scheduling/v1.0/shifts", "From={from}&To={to}&EmployeeId={employee}&Limit=50&ShiftStatus=Assigned"),
    Call("punch-web", "/hr/v1/employeegroups/{group}"),
    Call("punch-web", "/hr/v1/employees/{employee}"),
    Call("punch-web", "/punchclock/v1/punchclockshifts", "employeeId={employee}&from={from}T00:00&to={to}T23:59"),
    Call("punch-web", "/hr/v1.0/departments", "limit=50&offset=0"),
    # A desktop viewer of answers: trailing slashes, capitalised windows, parameters that do not exist.
    Call("viewer", "/hr/v1.0/employees/", "departmentId=1135"),
    Call("viewer", "/hr/v1.0/employees", "createdFrom=2024-02-02&offset=2"),
    Call("viewer", "/hr/v1.0/departments/"),
    Call("viewer", "/hr/v1.0/employees/{employee}/history"),
    Call("viewer", "/punchclock/v1.0/employeeshifts/today"),
    Call("viewer", "/punchclock/v1.0/punchclockshifts/", "From={from}T00:00&To={to}T00:00"),
    Call("viewer", "/absence/v1.0/accounttypes/accrued/31"),
    Call("viewer", "/revenue/v1.0/departments/{department}/revenueunits"),
    Call("viewer", "/pay/v1.0/payrates/employeeGroups/{rated_group}/employees/{rated}"),
    Call("viewer", "/pay/v1.0/payrates/employeeGroups/{rated_group}/employees/{rated}/history"),
    Call("viewer", "/pay/v1.0/salaries/scheduling/timeandcost/allocations/{salaried}"),
    Call("viewer", "/scheduling/v1.0/shifts/{shift}/history"),
    Call("viewer", "/payroll/v1.0/payroll/", "departmentIds={department}&from={from}&to={to}"),
    # A rota in a calendar: everything with Limit=0.
    Call("rota-query", "/hr/v1/employees", "Limit=0"),
    Call("rota-query", "/hr/v1/departments", "Limit=0"),
    Call("rota-query", "/hr/v1/employeegroups", "Limit=0"),
    Call("rota-query", "/scheduling/v1/shifttypes", "Limit=0"),
    Call("rota-query", "/scheduling/v1/shifts", "Limit=0"),
    Call("rota-query", "/absence/v1/accounttypes", "Limit=0"),
    Call("rota-query", "/absence/v1/absencerequests", "Limit=0"),
    # Payroll per department, and the salary of whoever has a rate of 0.
    Call("getHourlyPlandayFunction", "/hr/v1/departments"),
    Call(
        "getHourlyPlandayFunction",
        "/payroll/v1/payroll/",
        "departmentIds={department}&from={from}&to={to}&returnFullSalaryForMonthlyPaid=true",
    ),
    Call("getHourlyPlandayFunction", "/pay/v1/salaries/employees/{salaried}"),
    # A package for chains of portals; its days come with a time of day.
    Call("salure_helpers_planday", "/hr/v1/departments"),
    Call("salure_helpers_planday", "/contractrules/v1.0/contractrules"),
    Call("salure_helpers_planday", "/hr/v1.0/employees/fielddefinitions"),
    Call("salure_helpers_planday", "/scheduling/v1.0/shifts", "to={to}+00%3A00%3A00&from={from}+00%3A00%3A00", BY_50),
    Call("salure_helpers_planday", "/scheduling/v1.0/shifttypes", "", BY_50),
    Call("salure_helpers_planday", "/hr/v1.0/employees", "", BY_50),
    Call("salure_helpers_planday", "/hr/v1.0/employeetypes", "", BY_50),
    # Planday Labs: bulk changes of people.
    Call("planday-labs/bulktools people", "/hr/v1.0/employees", "special=BankAccount,BirthDate,Ssn", BY_WHAT_CAME),
    Call("planday-labs/bulktools people", "/hr/v1.0/employees/{employee}", "special=BankAccount,BirthDate,Ssn"),
    Call("planday-labs/bulktools people", "/contractrules/v1/employees/{ruled}"),
    Call("planday-labs/bulktools people", "/pay/v1.0/payrates/employees/{rated}"),
    Call("planday-labs/bulktools people", "/hr/v1.0/skills"),
    Call("planday-labs/bulktools people", "/hr/v1.0/employees/supervisors", "", BY_WHAT_CAME),
    Call("planday-labs/bulktools people", "/pay/v1.0/salaries/types", "", BY_WHAT_CAME),
    Call("planday-labs/bulktools people", "/contractrules/v1/contractrules", "", BY_WHAT_CAME),
    # Planday Labs: leave.
    Call(
        "planday-labs/bulktools leave",
        "/absence/v1.0/accounts",
        "employeeId={absent}&startDate={from}&endDate={to}&status=Active",
        BY_WHAT_CAME,
    ),
    Call("planday-labs/bulktools leave", "/absence/v1.0/accounts/{account}/balance", "balanceDate={to}"),
    Call("planday-labs/bulktools leave", "/absence/v1.0/accounts", "limit=50"),
    # A screen with the day's shifts.
    Call("shift-screen", "/hr/v1/Departments"),
    Call("shift-screen", "/hr/v1/EmployeeGroups"),
    Call("shift-screen", "/scheduling/v1.0/shifts", "from={from}&to={to}&limit=300"),
    # Shifts of each branch, day by day.
    Call("shifts-by-branch", "/scheduling/v1.0/shifts", "departmentId={department}&from={to}&to={to}"),
    # Revenue from a till.
    Call("PlandayRevenueDemo", "/hr/v1.0/departments"),
    Call("PlandayRevenueDemo", "/revenue/v1.0/revenueunits"),
    # A sync into a database: words capitalised within.
    Call("supabase-sync", "/scheduling/v1/ShiftTypes", "", BY_50),
    Call("supabase-sync", "/punchclock/v1/PunchclockShifts", "from={from}T00:00&to={to}T00:00", BY_50),
    # An assistant's tools.
    Call("planday-mcp", "/scheduling/v1.0/shifts", "From={from}&To={to}&DepartmentId={departments}&EmployeeGroupId=200", MCP),
    Call("planday-mcp", "/scheduling/v1.0/shifts", "From={from}&To={to}&EmployeeId={employee},{rated}&ShiftTypeId=601", MCP),
    Call("planday-mcp", "/scheduling/v1.0/shifts", "From={from}&To={to}&PositionId={position}&ShiftStatus=Approved"),
    Call("planday-mcp", "/scheduling/v1.0/shifts/deleted", "DeletedFrom=2020-01-01&DeletedTo={to}", MCP),
    Call("planday-mcp", "/scheduling/v1.0/positions", "isActive=true&limit=50"),
    Call("planday-mcp", "/scheduling/v1.0/positions/{position}"),
    Call("planday-mcp", "/scheduling/v1.0/sections", "departmentId={department}"),
    Call("planday-mcp", "/absence/v1.0/absencerecords", "employeeId={absent}&statuses=Approved&statuses=Declined"),
    Call("planday-mcp", "/absence/v1.0/absencerecords/{record}"),
    Call("planday-mcp", "/payroll/v1.0/payroll", "from={from}&to={to}&departmentIds={quoted}&shiftStatus=Approved"),
    Call("planday-mcp", "/hr/v1.0/Departments"),
    # Requests and their accounts, a hundred at a time.
    Call("absence-admin", "/absence/v1.0/accounttypes", "", BY_100),
    Call("absence-admin", "/absence/v1.0/accounts", "startDate={from}&endDate={to}", BY_100),
    Call("absence-admin", "/absence/v1.0/accounts", "", BY_100),
    Call(
        "absence-admin",
        "/absence/v1.0/absencerequests",
        "startDate={from}&endDate={ahead}&employeeId={absent}&status=Submitted&status=Approved&status=Declined",
        BY_100,
    ),
    # A macro for payroll: pages of 0, details of everybody who left.
    Call("payroll-macro", "/hr/v1.0/employees/deactivated", "special=BirthDate", NO_LIMIT),
    Call("payroll-macro", "/hr/v1.0/employees", "", NO_LIMIT),
    Call("payroll-macro", "/hr/v1.0/employees/{left}"),
    Call("payroll-macro", "/contractrules/v1.0/employees/{left}"),
    Call("payroll-macro", "/absence/v1.0/accounts", "employeeId={absent}&status=Active"),
    Call("payroll-macro", "/payroll/v1.0/payroll", "departmentIds={department}&from={from}&to={to}&shiftStatus=Approved"),
    # Labour cost of a shop.
    Call("shop-costs", "/hr/v1.0/employees", "includeFields=firstName,lastName,email", BY_50),
    Call("shop-costs", "/scheduling/v1.0/shifts", "from={from}&to={to}&departmentId={department}", BY_50),
    Call("shop-costs", "/absence/v1.0/absencerecords", "startDate={from}&endDate={to}&statuses=Approved", BY_50),
    # Payroll with each id repeated.
    Call("payroll-repeated", "/payroll/v1.0/payroll", "{repeated}&from={from}&to={to}&shiftStatus=Approved"),
    # The facts of one person.
    Call("employment-facts", "/absence/v1.0/accounts", "employeeId={absent}"),
    Call("employment-facts", "/absence/v1.0/accounts/{account}/balance"),
    Call("employment-facts", "/absence/v1.0/accounts/{account}/transactions", "", BY_50),
    # A reconciliation of payroll with the roster.
    Call(
        "reconciliation",
        "/payroll/v1/payroll",
        "departmentIds={departments}&from={from}&to={to}&returnFullSalaryForMonthlyPaid=False",
    ),
    Call("reconciliation", "/pay/v1/salaries/scheduling/timeandcost/allocations/{salaried}/history", "from={from}&to={to}"),
    Call("reconciliation", "/hr/v1/employees/{employee}/history", "startDateTime=2023-01-01&endDateTime={to}", BY_50),
    Call("reconciliation", "/scheduling/v1/timeandcost/{department}", "from={from}&to={to}"),
    Call("reconciliation", "/scheduling/v1/shifts", "from={from}&to={to}", ("limit", "offset", 0, 1000)),
]  # fmt: skip


@pytest.fixture(scope="module")
def planday() -> Iterator[Local]:
    portals = demo_portals(people=(180, 3, 3))
    portals["oslo"].back_months = 4
    sandbox = demo_sandbox(
        limits=Limits(FAST, FAST), portals=portals, variants=Variants(people_who_left="answered", lists_drafts=True)
    )
    with served(sandbox) as address:
        local = Local(sandbox, address)
        yield local
        local.client.close()


@pytest.fixture(scope="module")
def names(planday: Local) -> dict[str, Any]:
    """What stands in the calls."""
    portal = planday.portal
    active = {row["id"] for row in portal.employees}
    rated, rated_group = next(key for key in portal.pay.rates if key[0] in active)
    departments = sorted(row["id"] for row in portal.departments)[:3]
    recent = portal.roster.on(portal.today - timedelta(days=20), portal.today)
    worked = next(row for row in recent if row["employeeId"] in active and row["punchClockShiftId"])
    account = next(row for row in portal.leave.accounts if row["status"] == "Active" and row["validityPeriod"])
    for by, members in ((0, {"status": "Assigned"}), (5, {"status": "Assigned", "shiftTypeId": 601})):
        new = portal.roster.add_shift(worked["id"], portal.today - timedelta(days=by))
        portal.roster.edit_shift(new, **members)
    approved = next(row for row in portal.leave.records if row["status"] == "Approved")
    approved["absencePeriod"]["end"] = (portal.today - timedelta(days=2)).isoformat()
    return {
        "from": portal.today - timedelta(days=20),
        "to": portal.today,
        "ahead": portal.today + timedelta(days=90),
        "employee": worked["employeeId"],
        "rated": rated,
        "rated_group": rated_group,
        "salaried": next(number for number in portal.pay.salaries if number in active),
        "ruled": next(row["id"] for row in portal.employees if portal.details[row["id"]]["contractRulesRuleId"]),
        "absent": account["employeeId"],
        "account": account["id"],
        "record": portal.leave.records[0]["id"],
        "left": portal.deactivated[0]["id"],
        "group": portal.employee_groups[0]["id"],
        "position": portal.roster.positions[0]["id"],
        "shift": worked["id"],
        "department": worked["departmentId"],
        "departments": ",".join(map(str, departments)),
        "quoted": quote(",".join(map(str, departments))),
        "repeated": "&".join(f"departmentIds={number}" for number in departments),
    }


def document_path(sent: str) -> str:
    """The documented path behind a path as it was sent."""
    located = _DIRECTORY.find(sent)
    assert located is not None, f"{sent} leads nowhere"
    return located.endpoint.path


def asked_for(path: str, query: str) -> list[tuple[str, str]]:
    """Filters of a query under their documented names."""
    known = {p["name"].lower(): p["name"] for p in parameters(path) if p["in"] == "query"}
    return [(known[name.lower()], value) for name, value in parse_qsl(query) if name.lower() in known]


def expected(planday: Local, path: str, address: str, query: str) -> list[Row]:
    """The rows of the whole list that were asked for."""
    asked = [(name, value) for name, value in asked_for(path, query) if name.lower() not in ("limit", "offset")]
    window = {name: value for name, value in asked if name in ("from", "to") and "punchclockshifts" in path}
    whole = planday.rows(address, "&".join(f"{name}={value}" for name, value in window.items()))
    kept = [(name, value) for name, value in asked if (path, name) not in NO_FILTERS and name not in window]
    for name in dict.fromkeys(name for name, _ in kept):
        keeps, _ = judge(path, name)
        values = [part for one, value in kept if one == name for part in value.split(",")]
        values = [value[:10] for value in values] if name in ("from", "to") else values
        whole = [row for row in whole if any(keeps(row, value) for value in values)]
    return whole


def pages(planday: Local, call: Call, address: str, query: str) -> list[Row]:
    """Rows as the client collects them: it stops at a short page, or at the total."""
    limit, offset, step, size = call.step or BY_50
    rows: list[Row] = []
    at = 0
    for _ in range(1000):
        document = get(planday, address, f"{query}&{limit}={size}&{offset}={at}".lstrip("&"))
        rows += document["data"]
        at += step or len(document["data"])
        if len(document["data"]) < (size or 50) or at >= document["paging"]["total"]:
            return rows
    raise AssertionError("it never ends")


def get(planday: Local, address: str, query: str) -> Any:
    answer: httpx.Response = planday.get(address, query)
    assert answer.status_code == 200, f"{address}?{query}: {answer.status_code} {answer.text}"
    assert not answer.history, "answered directly"
    document = answer.json()
    jsonschema.Draft4Validator(schema_of(document_path(address))).validate(document)
    return document


@pytest.mark.parametrize("call", CALLS, ids=str)
def test_call_is_answered_with_what_was_asked_for(planday: Local, names: dict[str, Any], call: Call) -> None:
    address, query = call.path.format_map(names), call.query.format_map(names)
    path = document_path(address)
    pageable = {p["name"] for p in parameters(path)} & {"limit", "Limit"}
    document = get(planday, address, query) if call.step is None or not pageable else None
    if path == "/payroll/v1.0/payroll":
        _judge_payroll(planday, document, query)
    elif pageable:
        canonical = path.format_map(dict(zip(_path_params(path), _ids(address), strict=True)))
        wanted = expected(planday, path, canonical, query)
        if document is not None:
            limit = next((int(v) for n, v in asked_for(path, query) if n.lower() == "limit"), 0) or 50
            offset = next((int(v) for n, v in asked_for(path, query) if n.lower() == "offset"), 0)
            assert [_key(row) for row in document["data"]] == [_key(row) for row in wanted][offset : offset + limit]
        else:
            got = [_key(row) for row in pages(planday, call, address, query)]
            assert sorted(got) == sorted(_key(row) for row in wanted)
            assert len(set(got)) == len(got) or "transactions" in path
        assert wanted or "DeletedFrom" in query, "nothing was asked for"
    elif _ids(address) and isinstance(document, dict) and "id" in document["data"] and "contractrules" not in path:
        assert document["data"]["id"] == _ids(address)[-1]
    else:
        assert document


def _path_params(path: str) -> list[str]:
    return [part[1:-1] for part in path.split("/") if part.startswith("{")]


def _ids(address: str) -> list[int]:
    return [int(part) for part in address.rstrip("/").split("/") if part.isdigit()]


def _key(row: Row) -> str:
    return str(row.get("id") or row.get("skillId") or sorted(row.items(), key=str))


def _judge_payroll(planday: Local, document: Row, query: str) -> None:
    roster = planday.portal.roster
    asked = dict(parse_qsl(query))
    departments = {
        int(part) for name, value in parse_qsl(query) if name == "departmentIds" for part in value.split(",")
    }
    wanted = {
        row["id"]
        for row in roster.shifts.values()
        if asked["from"] <= row["date"] <= min(asked["to"], roster.today.isoformat())
        and row["departmentId"] in departments
        and counts(row)
        and (asked.get("shiftStatus") is None or row["status"] in ("Approved", "PunchclockApproved"))
    }
    assert wanted
    assert {row["id"] for row in document["shiftsPayroll"]} == wanted
    assert len(document["shiftsPayroll"]) == len(wanted)
    assert document["salariedPayroll"], "salaries come whatever departments are asked for"
    left = {row["id"]: row["deactivationDate"] for row in planday.portal.deactivated}
    assert all(row["start"] < left.get(row["employeeId"], "9999") for row in document["salariedPayroll"])


def test_twelve_clients_at_least() -> None:
    assert len({call.client for call in CALLS}) >= 12


@pytest.mark.parametrize(
    ("path", "query"),
    [
        # An assistant's tool, wrong since it was written: it fails there, and has to fail here.
        ("/payroll/v1.0/payroll", "startDate=2026-01-01&endDate=2026-01-31"),
        ("/scheduling/v1.0/scheduleDay", "departmentId=100"),
        ("/scheduling/v1.0/shifttypes", "limit=100"),
        ("/hr/v1.0/employees", "special=Skills"),
        ("/punchclock/v1.0/punchclockshifts", "from=2026-01-01T00:00&to=2026-03-01T00:00"),
    ],
)
def test_calls_that_fail_on_live_portals_fail_here(planday: Local, path: str, query: str) -> None:
    assert planday.get(path, query).status_code == 400


def test_address_that_one_client_tries_second_is_unknown(planday: Local) -> None:
    assert planday.get("/employees/v1.0/employees", "limit=200").status_code == 404


def test_exchange_for_each_child_portal(planday: Local) -> None:
    """The package for chains: portals of the token, then a token of each, then its departments."""
    sandbox: Sandbox = planday.sandbox
    app = next(app for app in sandbox.apps.values() if "london" in app.refresh_tokens)
    access = {"X-ClientId": app.client_id}

    def token(**form: str) -> str:
        answer = planday.client.post("/connect/token", data={"client_id": app.client_id, **form})
        given: str = answer.json()["access_token"]
        return given

    parent = token(grant_type="refresh_token", refresh_token=app.refresh_tokens["london"])
    info = planday.client.get("/portal/v1.0/info", headers=access | {"Authorization": f"Bearer {parent}"})
    for portal in info.json()["data"]["portals"]:
        child = token(
            grant_type="token_exchange",
            subject_token_type="openapi:access_token",
            subject_token=parent,
            resource=str(portal["id"]),
        )
        answer = planday.client.get("/hr/v1/departments", headers=access | {"Authorization": f"Bearer {child}"})
        assert answer.json()["data"]
