"""What is easy to get wrong with this API (docs/api-facts.md), each with its test.

Limits and pages: page maxima are never exceeded; a limit lowered silently; `Limit` and `Offset` capitalised; a total that
stands alone (`TotalPaging`) agrees with the rows; a missing total (tests/test_pages.py); 429 (tests/test_faults.py).
Dates: punch windows of 31 days at most and never empty; `D:HH:MM` (tests/test_time.py); nights when clocks change (there
too); a payroll range never crosses a month end; modifiedFrom means after, deletedFrom includes.
Errors: absent members are null; `{}`, 204 and 404 mean none where they may; 400 means gone for employees only.
Domains: `hiredDate` and `hiredFrom`; skills and rates in two shapes; drafts that the list leaves out; costs without
shiftId; equal supplement rows; a null rate beside a salary of 0; wage types spelled in two ways; unapproved and unscheduled
punches; `status` and `statuses`, `cost` and `costs`; balances with a date; salaried rows; types that payroll leaves out.
"""

from __future__ import annotations

import calendar
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from planday_io.catalogue import CATALOGUE
from planday_io.errors import ApiError, MissingScopeError, UnexpectedShapeError
from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.sandbox.app import as_json
from planday_io.sandbox.labour import counts
from planday_io.sandbox.roster import UNPAID_TYPE
from planday_io.sandbox.state import Fault
from planday_io.sandbox.variants import Variants
from tests.support.document import headers, queries
from tests.support.installation import EVERYTHING, Installation, Make

THIS = month_of(datetime.now(UTC).date())
LAST = shifted(THIS, -1)
LARGEST = {"/scheduling/v1.0/shifts": 5000, "/scheduling/v1.0/shifts/deleted": 1000}


@pytest.fixture
def planday(make: Make) -> Installation:
    return make(people=(6, 9, 8), resources=EVERYTHING)


def answer(planday: Installation, path: str, document: object, status: int = 200) -> None:
    """Let the running sandbox answer a path differently."""

    async def respond(_: Request) -> Response:
        return Response(status_code=status) if document is None else JSONResponse(document, status)

    planday.serve(Route(path, respond))


@pytest.mark.processes
def test_pages_are_never_larger_than_allowed(planday: Installation) -> None:
    for endpoint in CATALOGUE.endpoints:
        planday.refresh(endpoint.name, month=LAST if endpoint.grid == "month" else None)
        if endpoint.pages:
            assert endpoint.pages.limit <= LARGEST.get(endpoint.path, 50)
    for key in planday.sandbox.queries:
        path, _, query = key.partition(" ")[2].partition("?")
        asked = parse_qs(query)
        for name in ("limit", "Limit"):
            if name in asked:
                assert 1 <= int(asked[name][0]) <= LARGEST.get(path, 50)
        if path.startswith("/absence"):
            assert not {"limit", "offset"} & asked.keys(), "they are capitalised there"


def test_punches_are_requested_in_31_day_windows(planday: Installation) -> None:
    for by in range(-11, 1):
        planday.refresh("punchclock.punch_clock_shifts", month=shifted(THIS, by))
    asked = queries(planday, "/punchclock/v1.0/punchclockshifts")
    lengths = [datetime.fromisoformat(q["to"]) - datetime.fromisoformat(q["from"]) for q in asked]
    assert timedelta() < min(lengths) <= max(lengths) <= timedelta(days=31)
    refused = httpx.get(
        f"{planday.address}/punchclock/v1.0/punchclockshifts?from=2026-01-01T00:00&to=2026-02-02T00:00",
        headers=headers(planday),
    )
    assert refused.status_code == 400


def test_a_punch_limit_that_is_lowered_loses_nothing(make: Make) -> None:
    planday = make(people=(20, 3, 3), resources=EVERYTHING, page_size=7)
    planday.refresh("punchclock.punch_clock_shifts", month=LAST)
    punches = planday.sandbox.portals["oslo"].roster.punches
    expected = {number for number, row in punches.items() if row["startDateTime"][:7] == LAST}
    assert {row["id"] for row in planday.rows("punchclock.punch_clock_shifts", month=LAST)} == expected
    assert len(expected) > 50


@pytest.mark.parametrize("path", ["/breaks", "/shiftstatus/all"])
def test_total_that_disagrees_with_rows_is_no_answer(planday: Installation, path: str) -> None:
    def lying(_: Request, __: int, document: dict[str, object]) -> Response:
        return as_json({**document, "paging": {"total": 99}})

    planday.sandbox.faults.append(Fault(path, lying, times=None))
    table = "punchclock.punch_clock_breaks" if path == "/breaks" else "scheduling.shift_statuses"
    with pytest.raises(Exception, match="never completely"):
        planday.refresh(table, month=LAST if path == "/breaks" else None)
    planday.sandbox.faults.clear()
    planday.refresh(table, month=LAST if path == "/breaks" else None)


@pytest.mark.processes
def test_payroll_is_requested_by_calendar_month(planday: Installation) -> None:
    for by in range(-13, 1):
        planday.refresh("payroll.shifts", month=shifted(THIS, by))
    asked = queries(planday, "/payroll/v1.0/payroll")
    assert len(asked) == 14
    departments = {str(row["id"]) for row in planday.sandbox.portals["oslo"].departments}
    for query in asked:
        begin, end = date.fromisoformat(query["from"]), date.fromisoformat(query["to"])
        assert begin.day == 1
        assert end == begin.replace(day=calendar.monthrange(begin.year, begin.month)[1])
        assert set(query["departmentIds"].split(",")) == departments


def test_a_salary_is_the_share_of_the_month(planday: Installation) -> None:
    planday.refresh("payroll.shifts", month=LAST)
    portal = planday.sandbox.portals["oslo"]
    left = {row["id"] for row in portal.deactivated if row["deactivationDate"] <= str(first_day(LAST))}
    salaries = {employee: row["salary"] for employee, row in portal.pay.salaries.items() if employee not in left}
    found = {row["employee_id"]: row["salary"] for row in planday.rows("payroll.salaried", month=LAST)}
    assert left & portal.pay.salaries.keys(), "somebody with a salary has left"
    assert found == salaries
    row = planday.rows("payroll.salaried", month=LAST)[0]
    assert (row["start"], row["end"]) == (first_day(LAST), last_day(LAST))


def test_equal_supplements_are_all_kept(planday: Installation) -> None:
    planday.refresh("payroll.shifts", month=LAST)
    rows = planday.rows("payroll.supplements", month=LAST)
    alike = Counter((row["employee_id"], row["date"], row["name"], row["salary"]) for row in rows)
    assert max(alike.values()) >= 2
    assert all(row["salary"] < 0 for row in rows)
    twice = Counter(row["shift_id"] for row in planday.rows("payroll.shift_supplements", month=LAST))
    assert max(twice.values()) == 2
    ordinals = [
        row["ordinal"] for row in rows if alike[row["employee_id"], row["date"], row["name"], row["salary"]] == 2
    ]
    assert set(ordinals) >= {0, 1}


@pytest.mark.parametrize(("form", "rate"), [("zero", 0), ("null", None)])
def test_salary_of_zero_without_rate_is_kept(planday: Installation, form: Any, rate: int | None) -> None:
    planday.sandbox.variants = Variants(unrated=form)
    planday.refresh("payroll.shifts", month=LAST)
    without = [row for row in planday.rows("payroll.shifts", month=LAST) if row["wage_rate"] == rate]
    assert without
    assert {row["salary"] for row in without} == {0}
    assert {row["wage_type"] for row in without} == {"Hourly"}


def test_wage_types_are_spelled_in_two_ways(planday: Installation) -> None:
    planday.refresh("payroll.shifts", month=LAST)
    planday.refresh("pay.pay_rates")
    assert {row["wage_type"] for row in planday.rows("payroll.shifts", month=LAST)} <= {"Hourly", "Shift"}
    assert {row["wage_type"] for row in planday.rows("pay.pay_rates")} <= {"HourlyRate", "ShiftRate"}


def test_uncounted_type_is_missing_in_payroll(planday: Installation) -> None:
    roster = planday.sandbox.portals["oslo"].roster
    shift = next(s for s in roster.on(first_day(LAST), last_day(LAST)) if counts(s) and s["status"] == "Approved")
    shift["shiftTypeId"] = UNPAID_TYPE
    for name in ("scheduling.shifts", "payroll.shifts", "scheduling.time_and_costs"):
        planday.refresh(name, month=LAST)
    assert shift["id"] in {row["id"] for row in planday.rows("scheduling.shifts", month=LAST)}
    assert shift["id"] not in {row["id"] for row in planday.rows("payroll.shifts", month=LAST)}
    assert shift["id"] not in {row["shift_id"] for row in planday.rows("scheduling.time_and_costs", month=LAST)}


def test_costs_without_a_shift_are_kept_and_counted(planday: Installation) -> None:
    planday.refresh("scheduling.time_and_costs", month=LAST)
    rows = planday.rows("scheduling.time_and_costs", month=LAST)
    supplements = [row for row in rows if row["shift_id"] is None]
    assert supplements
    assert {row["ordinal"] for row in supplements} >= {0, 1}
    assert all(row["duration"] == "0:00:00" for row in supplements)
    assert {row["currency_symbol"] for row in rows} == {"kr"}


def test_drafts_are_requested_separately(make: Make) -> None:
    planday = make(people=(9, 3, 3), resources=EVERYTHING, variants=Variants(lists_drafts=False))
    ahead = shifted(THIS, 1)
    planday.refresh("scheduling.shifts", month=ahead)
    roster = planday.sandbox.portals["oslo"].roster
    expected = {shift["id"] for shift in roster.on(first_day(ahead), last_day(ahead))}
    assert {row["id"] for row in planday.rows("scheduling.shifts", month=ahead)} == expected
    statuses = {row["status"] for row in planday.rows("scheduling.shifts", month=ahead)}
    assert {"Draft", "Open", "Assigned"} <= statuses


def test_open_shifts_have_no_employee(planday: Installation) -> None:
    month = month_of(datetime.now(UTC).date() - timedelta(days=1))
    planday.refresh("scheduling.shifts", month=LAST)
    planday.refresh("punchclock.punch_clock_shifts", month=month)
    is_open = [row for row in planday.rows("scheduling.shifts", month=LAST) if row["status"] == "Open"]
    assert is_open
    assert {row["employee_id"] for row in is_open} == {None}
    punches = planday.rows("punchclock.punch_clock_shifts", month=month)
    forgotten = [row for row in punches if row["end_date_time"] is None]
    assert [row["shift_id"] for row in forgotten].count(None) == 1, "and one that belongs to no shift"


def test_approval_rounds_the_shift_and_not_the_punch(planday: Installation) -> None:
    planday.refresh("punchclock.punch_clock_shifts", month=LAST)
    rows = [row for row in planday.rows("punchclock.punch_clock_shifts", month=LAST) if row["is_approved"]]
    assert any(row["end_date_time"] != row["shift_end_date_time"] for row in rows)


def test_absent_members_are_null(planday: Installation) -> None:
    planday.refresh("scheduling.shifts", month=LAST)
    rows = planday.rows("scheduling.shifts", month=LAST)
    sent = httpx.get(
        f"{planday.address}/scheduling/v1.0/shifts",
        params={"from": str(first_day(LAST)), "to": str(last_day(LAST)), "limit": 5000},
        headers=headers(planday),
    ).json()["data"]
    assert any("shiftTypeId" not in row for row in sent)
    assert {row["shift_type_id"] for row in rows if row["id"] in {s["id"] for s in sent if "shiftTypeId" not in s}} == {
        None
    }
    assert all(row["_extra"] is None for row in rows)


def test_hired_date_has_two_names(planday: Installation) -> None:
    planday.refresh("hr.employees")
    planday.refresh("hr.employee_details")
    listed = {row["id"]: row["hired_date"] for row in planday.rows("hr.employees")}
    details = {row["id"]: row["hired_from"] for row in planday.rows("hr.employee_details")}
    assert listed == details
    assert None not in listed.values()


@pytest.mark.parametrize("shape", [lambda rows: rows, lambda rows: {"data": rows}])
def test_skills_in_two_shapes(planday: Installation, shape: object) -> None:
    answer(planday, "/hr/v1.0/skills", shape([{"skillId": 1, "name": "Knots"}]))  # type: ignore[operator]
    planday.refresh("hr.skills")
    assert [(row["skill_id"], row["name"]) for row in planday.rows("hr.skills")] == [(1, "Knots")]


def test_rates_in_two_shapes(planday: Installation) -> None:
    for portal in ("oslo", "london"):
        planday.refresh("pay.pay_rates", portal)
        active = {row["id"] for row in planday.sandbox.portals[portal].employees}
        expected = {key for key in planday.sandbox.portals[portal].pay.rates if key[0] in active}
        found = {(row["employee_id"], row["employee_group_id"]) for row in planday.rows("pay.pay_rates", portal)}
        assert found == expected


@pytest.mark.parametrize("portal", ["oslo", "london"])
def test_no_contract_rule_no_salary_no_rate(planday: Installation, portal: str) -> None:
    """`{}` in oslo, 204 in london for no rule; 204 and 404 for no salary; 404 for no rate."""
    planday.refresh("contract_rules.employee_contract_rules", portal)
    planday.refresh("pay.salaries", portal)
    people = planday.sandbox.portals[portal]
    ruled = {number for number, row in people.details.items() if row["contractRulesRuleId"]}
    active = {row["id"] for row in people.employees}
    rows = planday.rows("contract_rules.employee_contract_rules", portal)
    assert {row["employee_id"] for row in rows} == ruled & active
    assert active - ruled
    assert {row["employee_id"] for row in planday.rows("pay.salaries", portal)} == people.pay.salaries.keys() & active


@pytest.mark.parametrize("nothing", [{}, {"data": None}, {"data": {}}, {"data": []}])
def test_nothing_in_four_forms(planday: Installation, nothing: object) -> None:
    answer(planday, "/pay/v1.0/salaries/employees/{employee_id:int}", nothing)
    planday.refresh("pay.salaries")
    assert planday.rows("pay.salaries") == []


def test_vanished_employee_counts_as_gone(planday: Installation) -> None:
    leaver = planday.sandbox.portals["oslo"].employees[0]["id"]
    planday.sandbox.faults.append(Fault(f"/salaries/employees/{leaver}", lambda *_: as_json({}, 400), times=None))
    (report,) = planday.refresh("pay.salaries")
    assert report.gone == 1
    planday.sandbox.faults[:] = [Fault("/timeandcost/", lambda *_: as_json({}, 400), times=None)]
    with pytest.raises(ApiError, match="answered 400"):
        planday.refresh("scheduling.time_and_costs", month=LAST)
    assert planday.provenance("scheduling.time_and_costs", month=LAST) is None


def test_everybody_gone_at_once_is_an_error(planday: Installation) -> None:
    planday.sandbox.faults.append(Fault("/salaries/employees/", lambda *_: as_json({}, 400), times=None))
    with pytest.raises(ApiError, match="answered 400"):
        planday.refresh("pay.salaries")
    assert planday.provenance("pay.salaries") is None


def test_status_and_statuses_cost_and_costs(planday: Installation) -> None:
    auth = headers(planday, "copenhagen")
    records, requests = (f"{planday.address}/absence/v1.0/absence{kind}" for kind in ("records", "requests"))
    every = len(httpx.get(records, headers=auth).json()["data"])
    assert len(httpx.get(f"{records}?statuses=Declined", headers=auth).json()["data"]) < every
    assert len(httpx.get(f"{records}?status=Declined", headers=auth).json()["data"]) == every
    every = len(httpx.get(requests, headers=auth).json()["data"])
    assert len(httpx.get(f"{requests}?status=Submitted", headers=auth).json()["data"]) < every
    assert len(httpx.get(f"{requests}?statuses=Submitted", headers=auth).json()["data"]) == every
    for table in ("absence.absence_records", "absence.absence_requests"):
        planday.refresh(table, "copenhagen")
    leave = planday.sandbox.portals["copenhagen"].leave
    since = planday.config.history_start
    expected = {row["id"] for row in leave.records if row["absencePeriod"]["end"] >= since}
    assert {row["id"] for row in planday.rows("absence.absence_records", "copenhagen")} == expected
    assert len(planday.rows("absence.absence_requests", "copenhagen")) == every == len(leave.requests)
    costs = [row["account_costs"] for row in planday.rows("absence.absence_record_registrations", "copenhagen")]
    assert all([(cost["value"], cost["unit_type"]) for cost in row] == [(-1, "Days")] for row in costs)
    asked = [row["cost"] for row in planday.rows("absence.absence_request_accounts", "copenhagen")]
    assert {cost["value"] for row in asked for cost in row} == {3}


def test_balances_are_never_projections(planday: Installation) -> None:
    account = planday.sandbox.portals["oslo"].leave.accounts[0]
    account["validityPeriod"]["end"] = "2026-03-31"
    planday.refresh("absence.account_balances")
    asked = [key for key in planday.sandbox.queries if "/balance?" in key]
    assert asked
    assert all("balanceDate=" in key for key in asked)
    rows = {row["account_id"]: row for row in planday.rows("absence.account_balances")}
    assert rows[account["id"]]["balance_date"] == date(2026, 3, 31)
    zone = ZoneInfo(planday.config.portals["oslo"].timezone)
    assert rows[account["id"] + 1]["balance_date"] == datetime.now(zone).date(), "today where the portal is"
    assert all(row["value"] < 25 for row in rows.values())


def test_equal_transactions_are_two(planday: Installation) -> None:
    planday.refresh("absence.account_transactions")
    rows = planday.rows("absence.account_transactions")
    account = planday.sandbox.portals["oslo"].leave.accounts[1]["id"]
    assert [row["ordinal"] for row in rows if row["account_id"] == account] == [0, 1]
    dates = [(row["account_id"], row["date"]) for row in rows]
    assert dates == sorted(dates), "counted oldest first, however the API sorts"


def test_absences_across_a_month_end_are_whole(planday: Installation) -> None:
    planday.refresh("absence.absence_records")
    across = [
        row
        for row in planday.rows("absence.absence_records")
        if month_of(row["absence_period_start"]) != month_of(row["absence_period_end"])
    ]
    assert across


def test_missing_payroll_array_is_empty(planday: Installation) -> None:
    answer(planday, "/payroll/v1.0/payroll", {"shiftsPayroll": [], "supplementsPayroll": [], "currencySymbol": "kr"})
    reports = planday.refresh("payroll.shifts", month=LAST)
    assert [report.rows for report in reports] == [0] * 5
    answer(planday, "/payroll/v1.0/payroll", {"rows": []})
    planday.routes.reverse()
    with pytest.raises(UnexpectedShapeError):
        planday.refresh("payroll.shifts", month=LAST)


@pytest.mark.parametrize(
    ("table", "path", "document"),
    [
        ("absence.absence_types", "/absence/v1.0/absencetypes", {"items": [{"id": "A1", "title": "Sick"}]}),
        ("pay.default_pay_rates", "/pay/v1.0/payrates/employeeGroups/default", {"data": {"202": 150.5}}),
        (
            "revenue.revenue",
            "/revenue/v1.0/revenue",
            {"data": [{"revenueUnitId": 1, "date": f"{LAST}-02", "turnover": "7"}]},
        ),
        ("hr.termination_types", "/hr/v1.0/terminationtypes", {"data": [{"code": "R"}]}),
    ],
)
def test_unknown_shapes_land_in_extra_with_a_warning(
    planday: Installation, table: str, path: str, document: object
) -> None:
    answer(planday, path, document)
    (report,) = planday.refresh(table, month=LAST if table == "revenue.revenue" else None)
    assert report.warnings
    assert any(row["_extra"] for row in planday.rows(table, month=report.month))


def test_a_known_shape_that_changed_is_an_error(planday: Installation) -> None:
    answer(planday, "/scheduling/v1.0/timeandcost/{department:int}", {"data": {"costs": "none"}})
    with pytest.raises(UnexpectedShapeError):
        planday.refresh("scheduling.time_and_costs", month=LAST)


@pytest.mark.parametrize("endpoint", [e for e in CATALOGUE.endpoints if e.scope], ids=lambda endpoint: endpoint.name)
def test_a_missing_scope_is_named_and_nothing_written(planday: Installation, endpoint: object) -> None:
    assert isinstance(endpoint, type(CATALOGUE.endpoints[0]))
    for app in planday.sandbox.apps.values():
        app.scopes -= {endpoint.scope}
    month = LAST if endpoint.grid == "month" else None
    with pytest.raises(MissingScopeError, match=f"lacks scope {endpoint.scope}"):
        planday.refresh(endpoint.name, month=month)
    assert all(planday.provenance(table.full_name, month=month) is None for table in endpoint.tables)
