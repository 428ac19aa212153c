"""Requests as they are really made: every path and parameter of the OpenAPI document, in any spelling, does what it says.

What an answer must hold is judged from the rows of the whole list, by predicates that know nothing of the sandbox's filters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from planday_io.sandbox.app import ENDPOINTS
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import Portal, demo_portals
from tests.support.document import parameters, spec
from tests.support.installation import FAST
from tests.support.judging import LEFT, PEOPLE, PUNCHES, Row, judge
from tests.support.requests import DELETED, NO_FILTERS, SHIFTS, Local

ACCOUNTS = "/absence/v1.0/accounts"


@pytest.fixture(scope="module")
def planday() -> Iterator[Local]:
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(24, 3, 3)))
    _furnish(sandbox.portals["oslo"])
    with served(sandbox) as address:
        local = Local(sandbox, address)
        yield local
        local.client.close()


def _furnish(portal: Portal) -> None:
    """Rows that differ in every member that can be asked for."""
    roster, model = portal.roster, next(iter(portal.roster.shifts.values()))
    recent = [row for row in roster.on(roster.today - timedelta(days=40), roster.today) if row["employeeId"]]
    places = [[row for row in recent if row["departmentId"] == number] for number in (100, 101)]
    for n, shift in enumerate(row for pair in zip(*(rows[:20:4] for rows in places), strict=False) for row in pair):
        roster.edit_shift(shift["id"], datetime(2026, 2, 1 + n, 9, tzinfo=UTC), shiftTypeId=601 + n % 4)
        if n % 4 in (1, 2):
            roster.delete_shift(shift["id"], datetime(2026, 4, 1 + n, 9, tzinfo=UTC))
    for status in ("OnDuty", "PendingSwapAcceptance", "PendingApproval"):
        new = roster.add_shift(model["id"], roster.today)
        roster.edit_shift(new, status=status, employeeId=portal.employees[0]["id"])
    portal.deactivated[0]["dateTimeCreated"] = "2024-02-01"
    portal.edit_employee(next(iter(portal.history)), datetime(2026, 3, 1, 9, tzinfo=UTC), city="Bergen")
    account = next(iter(portal.leave.transactions))
    portal.leave.transactions[account][0]["externalId"] = "from-payroll-1"


def departments(local: Local) -> int:
    found: int = local.portal.departments[0]["id"]
    return found


def where(local: Local, path: str) -> str:
    """A path with its parameters filled in."""
    portal = local.portal
    person = next(
        number for number, log in portal.history.items() if any(row["id"] == number for row in portal.employees)
    )
    return path.format(
        departmentId=departments(local),
        employeeId=next(iter(portal.pay.allocations)) if "allocations" in path else person,
        shiftId=next(iter(portal.roster.shifts)),
        punchClockShiftId=next(iter(portal.roster.breaks)),
        accountId=next(iter(portal.leave.transactions)),
        id=departments(local),
        positionId=portal.roster.positions[0]["id"],
        employeeGroupId=200,
        customPropertyName="custom_104",
    )


def base(local: Local, path: str) -> str:
    """What has to be asked for anyway, so that there are rows."""
    today = local.portal.today
    first, last = today - timedelta(days=25), today + timedelta(days=3)
    return {
        SHIFTS: f"from={first - timedelta(days=30)}&to={last}",
        PUNCHES: f"from={first}T00:00&to={last}T00:00",
        "/scheduling/v1.0/scheduleDay": f"departmentId={departments(local)}&from={first}&to={last}",
        "/scheduling/v1.0/skills": f"departmentId={departments(local)}",
        "/scheduling/v1.0/timeandcost/{departmentId}": f"from={first}&to={last}",
        "/payroll/v1.0/payroll": f"departmentIds={departments(local)}&from={first}&to={last}",
    }.get(path, "")


def filters() -> Iterator[tuple[str, str]]:
    """Path and parameter of every documented filter of a list."""
    for path, item in spec()["paths"].items():
        if "get" not in item:
            continue
        content = item["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        if "array" not in str(content.get("properties", {}).get("data", "")) or "payroll" in path:
            continue
        for param in parameters(path):
            if param["in"] == "query" and param["name"].lower() not in ("limit", "offset"):
                yield path, param["name"]


FILTERS = [found for found in filters() if found not in NO_FILTERS]


def identity(row: Row) -> str:
    return str(row.get("id") or sorted(row.items(), key=str))


SPELLINGS: list[Callable[[str], str]] = [str, str.lower, str.upper, lambda name: name[0].swapcase() + name[1:]]


def spelled_path(path: str, n: int) -> str:
    return (path, path.replace("/v1.0/", "/v1/"), path.title().replace("/V1.0/", "/v1/"), path.upper() + "/")[n % 4]


@pytest.mark.parametrize(("path", "name"), FILTERS, ids=lambda part: part)
def test_every_documented_filter_filters(planday: Local, path: str, name: str) -> None:
    address = where(planday, path)
    others = base(planday, path)
    if name in ("from", "to") and path == "/scheduling/v1.0/scheduleDay":
        others = f"departmentId={departments(planday)}&from={planday.portal.today}&to={planday.portal.today}"
    whole = planday.rows(address, base(planday, path))
    keeps, suggests = judge(path, name)
    schema = next(p["schema"] for p in parameters(path) if p["name"] == name)
    known = schema.get("items", schema).get("enum")
    found = {value for row in whole if (value := suggests(row)) is not None}
    values = sorted(value for value in found if known is None or value in known)
    assert values, "there is no row that could be asked for"
    is_list = schema.get("type") == "array"
    distinguishes = False
    for n, value in enumerate(values[:: max(1, len(values) // 5)][:6]):
        kept = [part for part in others.split("&") if part and part.partition("=")[0] != name]
        query = "&".join([*kept, f"{SPELLINGS[n % 4](name)}={value}"])
        if path == "/scheduling/v1.0/scheduleDay" and name in ("from", "to"):
            answered = planday.rows(spelled_path(address, n), query.replace(f"{planday.portal.today}", value))
            assert all(row["date"] == value for row in answered)
            assert answered
            return
        wanted = {identity(row) for row in whole if keeps(row, value)}
        got = planday.rows(spelled_path(address, n), query)
        assert {identity(row) for row in got} == wanted, f"{query}: other rows than were asked for"
        assert "id" not in whole[0] or len(got) == len(wanted), "a row came twice"
        distinguishes |= len(wanted) < len(whole)
    # Everybody here was created, and so matches the window, long before they were changed.
    assert distinguishes or (name == "modifiedTo" and path in (PEOPLE, LEFT)), "no value told rows apart"
    if is_list:
        two = values[:2]
        wanted = {identity(row) for row in whole if any(keeps(row, value) for value in two)}
        for query in (",".join(two), f"&{name}=".join(two), f"&{name.upper()}[]=".join(two), "%2C%20".join(two)):
            assert {identity(row) for row in planday.rows(address, f"{others}&{name}={query}")} == wanted


def test_every_documented_path_and_parameter_is_declared() -> None:
    declared = {endpoint.path: {param.name for param in endpoint.all_params} for endpoint in ENDPOINTS}
    paths = [path for path, item in spec()["paths"].items() if "get" in item]
    assert declared.keys() == set(paths)
    for path in paths:
        assert declared[path] >= {p["name"] for p in parameters(path) if p["in"] == "query"}, path


def malformed() -> Iterator[tuple[str, str, str]]:
    for path, item in spec()["paths"].items():
        for param in parameters(path) if "get" in item else []:
            schema = param["schema"].get("items", param["schema"])
            kind = schema.get("format") or schema.get("type")
            bad = {"int64": "twelve", "int32": "-1", "date": "2026-02-30", "date-time": "yesterday", "boolean": "maybe"}
            value = "Nonsense" if "enum" in schema else bad.get(kind)
            if param["in"] == "query" and value:
                yield path, param["name"], value


@pytest.mark.parametrize(("path", "name", "value"), list(malformed()), ids=lambda part: part)
def test_malformed_values_are_refused(planday: Local, path: str, name: str, value: str) -> None:
    others = [part for part in base(planday, path).split("&") if part and part.partition("=")[0] != name]
    answer = planday.get(where(planday, path), "&".join([*others, f"{name.upper()}={value}"]))
    assert answer.status_code == 400
    assert answer.json()["status"] == 400


@pytest.mark.parametrize("path", [path for path, item in spec()["paths"].items() if "get" in item])
def test_required_parameters_are_required_and_unknown_ones_ignored(planday: Local, path: str) -> None:
    address = where(planday, path).replace("breakaccess", "breaks")
    asked = planday.get(address, base(planday, path))
    assert planday.get(address, f"{base(planday, path)}&sectionId=3&fields=id&special2=x").json() == asked.json()
    for name in [p["name"] for p in parameters(path) if p["in"] == "query" and p.get("required")]:
        rest = "&".join(part for part in base(planday, path).split("&") if part.partition("=")[0] != name)
        assert planday.get(address, rest).status_code == 400


PAGED = [endpoint.path for endpoint in ENDPOINTS if endpoint.pages]


@pytest.mark.parametrize("path", PAGED)
def test_paging_gives_each_row_once_in_any_case(planday: Local, path: str) -> None:
    address, others = where(planday, path), base(planday, path)
    if path == SHIFTS:
        others = f"from={planday.portal.today}&to={planday.portal.today + timedelta(days=2)}"
    whole = planday.rows(address, others)
    for n, (limit, offset) in enumerate([("limit", "offset"), ("Limit", "Offset"), ("LIMIT", "OFFSET")]):
        step = max(1, len(whole) // 3)
        rows: list[Row] = []
        for begin in range(0, len(whole) + step, step):
            answer = planday.get(spelled_path(address, n), f"{others}&{limit}={step}&{offset}={begin}").json()
            rows += answer["data"]
            assert answer["paging"] == {"offset": begin, "limit": min(step, 50), "total": len(whole)}
        assert rows == whole
    # 0 is the default page, and so is nothing.
    assert planday.get(address, f"{others}&limit=0").json()["data"] == whole[:50]
    assert planday.get(address, others).json()["data"] == whole[:50]


def test_limit_of_100_is_taken_by_absence_only(planday: Local) -> None:
    answers = {path: planday.get(where(planday, path), f"{base(planday, path)}&limit=100") for path in PAGED}
    taken = {path for path, answer in answers.items() if answer.status_code == 200}
    assert taken == {path for path in PAGED if path.startswith("/absence/")} | {SHIFTS, DELETED, PUNCHES}
    assert answers[PUNCHES].json()["paging"]["limit"] == 50
    assert answers[ACCOUNTS].json()["paging"]["limit"] == 100


def test_special_members_in_any_spelling(planday: Local) -> None:
    for query in ("special=BankAccount,BirthDate,Ssn", "Special=ssn&SPECIAL=birthdate&special=bankaccount"):
        for path in (PEOPLE, LEFT):
            assert all({"ssn", "birthDate", "bankAccount"} <= row.keys() for row in planday.rows(path, query))
    assert not any("ssn" in row for row in planday.rows(PEOPLE, "special=BirthDate"))
    assert planday.get("/hr/v1.0/departments", "special=Skills").status_code == 200, "unknown there"


def test_security_groups_mean_something_when_asked_for(planday: Local) -> None:
    assert all(row["securityGroups"] == [] for row in planday.rows(PEOPLE, "includeSecurityGroups=false"))
    known = {row["id"]: row["securityGroups"] for row in planday.portal.employees}
    asked = {row["id"]: row["securityGroups"] for row in planday.rows(PEOPLE, "INCLUDESECURITYGROUPS=True")}
    assert asked == known
    assert any(known.values())


def test_documents_follow_their_parameters(planday: Local) -> None:
    closed = f"/hr/v1.0/departments/{planday.portal.deleted_departments[0]['id']}"
    assert planday.get(closed).status_code == 404
    assert planday.get(closed).json()["status"] == 404
    assert planday.get(closed, "IncludeDeleted=true").status_code == 200
    definitions = "/hr/v1.0/employees/fielddefinitions"
    assert planday.get(definitions, "type=Post").json() != planday.get(definitions, "Type=Put").json()
    account = next(
        row["id"] for row in planday.portal.leave.accounts if row["validityPeriod"] and row["status"] == "Active"
    )
    balance = f"{ACCOUNTS}/{account}/balance"
    day = f"{planday.portal.today:%Y}-01-01"
    assert planday.get(balance).json() != planday.get(balance, f"BalanceDate={day}").json()
    rows = planday.rows(f"/absence/v1.0/accounts/{next(iter(planday.portal.leave.transactions))}/transactions")
    transactions = f"{ACCOUNTS}/{next(iter(planday.portal.leave.transactions))}/transactions"
    assert len(planday.rows(transactions, "ExternalId=from-payroll-1")) == 1 < len(rows)
    assert planday.rows(transactions, "externalid=unknown") == []


def test_filters_without_visible_effect_on_rows(planday: Local) -> None:
    roster = planday.portal.roster
    for department in planday.portal.departments:
        units = {unit["id"] for unit in roster.revenue_units if unit["departmentId"] == department["id"]}
        rows = planday.rows("/revenue/v1.0/revenue", f"DepartmentId={department['id']}")
        assert {row["revenueUnitId"] for row in rows} <= units
        today = f"FROM={planday.portal.today}&To={planday.portal.today}"
        days = planday.rows("/scheduling/v1.0/scheduleday", f"{today}&DepartmentID={department['id']}")
        assert [row["departmentId"] for row in days] == [department["id"]]
        skills = planday.rows("/scheduling/v1.0/skills", f"departmentid={department['id']}")
        assert {row["id"] for row in skills} == {row["id"] for row in roster.skills[department["id"]]}
        fewer = planday.rows("/scheduling/v1.0/skills", f"departmentId={department['id']}&EmployeeGroupId=207")
        assert [row["name"] for row in fewer] == ["Opens the till"]


def test_payroll_holds_the_departments_asked_for(planday: Local) -> None:
    first, last = planday.portal.today - timedelta(days=40), planday.portal.today - timedelta(days=10)
    ids = [row["id"] for row in planday.portal.departments]

    def shifts(query: str) -> set[int]:
        document = planday.get("/Payroll/v1/Payroll/", f"{query}&From={first}&TO={last}").json()
        return {row["departmentId"] for row in document["shiftsPayroll"]}

    assert shifts(f"departmentIds={ids[0]}") == {ids[0]}
    assert shifts(f"DepartmentIds={ids[0]},{ids[1]}") == set(ids[:2])
    assert shifts(f"departmentids={ids[0]}&DEPARTMENTIDS={ids[1]}") == set(ids[:2])
    approved, others = (
        planday.get("/payroll/v1.0/payroll", f"departmentIds={ids[0]}&from={first}&to={last}&{status}").json()
        for status in ("ShiftStatus=Approved", "shiftstatus=nonapproved")
    )
    seen = [{row["id"] for row in document["shiftsPayroll"]} for document in (approved, others)]
    assert all(seen)
    assert not seen[0] & seen[1]
    full = planday.get(
        "/payroll/v1.0/payroll", f"departmentIds={ids[0]}&from={first}&to={first}&ReturnFullSalaryForMonthlyPaid=True"
    )
    part = planday.get("/payroll/v1.0/payroll", f"departmentIds={ids[0]}&from={first}&to={first}")
    assert full.json()["salariedPayroll"][0]["salary"] > part.json()["salariedPayroll"][0]["salary"]


def test_ends_of_windows(planday: Local) -> None:
    """ModifiedFrom means after, deletedFrom includes, days are included at both ends, punches end before `to`."""
    person = next(row for row in planday.portal.employees if row["dateTimeModified"] > row["dateTimeCreated"] + "T")
    day = date.fromisoformat(person["dateTimeModified"][:10])
    first, last = day.isoformat(), (day + timedelta(days=5)).isoformat()
    window = f"modifiedFrom={first}T00:00:00Z&modifiedTo={last}T00:00:00Z"
    inside = {row["id"] for row in planday.portal.employees if first <= row["dateTimeModified"][:10] < last}
    made = {row["id"] for row in planday.portal.employees if first < row["dateTimeCreated"] < last}
    assert {row["id"] for row in planday.rows(PEOPLE, window)} == inside | made
    ids = {row["id"] for row in planday.rows(PEOPLE, f"modifiedFrom={person['dateTimeModified']}")}
    assert person["id"] not in ids
    gone = planday.portal.roster.deleted[0]
    assert gone["id"] in {row["id"] for row in planday.rows(DELETED, f"deletedFrom={gone['dateTimeDeleted']}")}
    assert gone["id"] in {row["id"] for row in planday.rows(DELETED, f"deletedTo={gone['dateTimeDeleted']}")}
    shift_day = next(iter(planday.portal.roster.shifts.values()))["date"]
    assert {row["date"] for row in planday.rows(SHIFTS, f"from={shift_day}&to={shift_day}")} == {shift_day}
    assert planday.rows(PUNCHES, f"from={shift_day}T00:00&to={shift_day}T00:00") == []


@pytest.mark.parametrize("value", ["2026-02-01T09:00:00.0000000Z", "2026-02-01T10:00:00%2B01:00", "2026-02-01T09:00"])
def test_instants_are_compared_as_instants(planday: Local, value: str) -> None:
    same_instant = planday.rows(SHIFTS, "modifiedFrom=2026-02-01T09:00:00Z&modifiedTo=2026-02-28T00:00:00Z")
    assert same_instant
    assert planday.rows(SHIFTS, f"modifiedFrom={value}&modifiedTo=2026-02-28") == same_instant


def test_an_address_that_nobody_knows_is_404(planday: Local) -> None:
    for path in ("/revenue/v1.0/budgets", "/hr/v2.0/employees", "/hr/v1.0/employees/abc", "/nothing"):
        answer = planday.get(path)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)
