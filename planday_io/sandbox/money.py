"""Absence, payroll, pay and contract rules of the local Planday. Facts: sections 9.5, 9.6, 9.7 and 9.9."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from planday_io.sandbox.answers import Handler, RefusedError, day, employee, paged, sent
from planday_io.sandbox.labour import SALARY_TYPES, payroll
from planday_io.sandbox.leave import ACCOUNT_TYPES, TYPES
from planday_io.sandbox.people import Json
from planday_io.sandbox.state import Sandbox
from planday_io.sandbox.world import Portal

CONTRACT_RULES = (
    {"id": 7, "name": "37 hours a week", "description": "Full time"},
    {"id": 8, "name": "Part time, 20 hours"},
)


def _overlapping(rows: list[Json], request: Request, param: str) -> list[Json]:
    """Rows whose period overlaps the window and whose status is asked for; other parameters are ignored."""
    first, last = request.query_params.get("startDate", ""), request.query_params.get("endDate", "9999")
    wanted = request.query_params.getlist(param)
    return [
        row
        for row in rows
        if row["absencePeriod"]["end"] >= first
        and row["absencePeriod"]["start"] <= last
        and (not wanted or row["status"] in wanted)
    ]


def _records(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    return paged(sandbox, request, _overlapping(portal.leave.records, request, "statuses"), names="Limit")


def _requests(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    return paged(sandbox, request, _overlapping(portal.leave.requests, request, "status"), names="Limit")


def _accounts(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    wanted = request.query_params.get("status")
    rows = [row for row in portal.leave.accounts if wanted in (None, row["status"])]
    if not sandbox.variants.account_employees:
        rows = [row | {"employeeId": None} for row in rows]
    return paged(sandbox, request, rows, names="Limit")


def _account_types(sandbox: Sandbox, _: Portal, request: Request) -> Json:
    return paged(sandbox, request, ACCOUNT_TYPES, names="Limit")


def _account(portal: Portal, request: Request) -> int:
    number = int(request.path_params["account_id"])
    if all(row["id"] != number for row in portal.leave.accounts):
        raise RefusedError(404, "account id")
    return number


def _balance(_: Sandbox, portal: Portal, request: Request) -> Json:
    found = portal.leave.balance(_account(portal, request), request.query_params.get("balanceDate"))
    if found is None:
        raise RefusedError(404, "balance")
    return {"data": {"balance": found}}


def _transactions(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    rows = portal.leave.transactions.get(_account(portal, request), [])
    if sandbox.variants.transaction_ids:
        rows = [row | {"id": n} for n, row in enumerate(rows, start=1)]
    return paged(sandbox, request, rows, names="Limit")


def _adjustments(_: Sandbox, portal: Portal, request: Request) -> Json:
    rows = portal.leave.adjustments.get(_account(portal, request), [])
    return {"data": [sent(row) for row in rows]}


def _payroll(_: Sandbox, portal: Portal, request: Request) -> Json:
    texts = [text for value in request.query_params.getlist("departmentIds") for text in value.split(",") if text]
    if not texts or not all(text.isdigit() for text in texts):
        raise RefusedError(400, "departmentIds")
    status = request.query_params.get("shiftStatus")
    if status not in (None, "Approved", "Nonapproved"):
        raise RefusedError(400, "shiftStatus")
    full = request.query_params.get("returnFullSalaryForMonthlyPaid") == "true"
    first, last = day(request, "from"), day(request, "to")
    document: Json = sent(
        payroll(portal.roster, portal.pay, {int(text) for text in texts}, first, last, status, full=full)
    )
    return document


def _pay_rates(sandbox: Sandbox, portal: Portal, request: Request) -> Any:  # noqa: ANN401 - both shapes were met
    person = employee(sandbox, portal, request)
    rows = [
        {"employeeGroupId": group, "rate": rates[-1]["rate"], "wageType": rates[-1]["wageType"]}
        for (owner, group), rates in portal.pay.rates.items()
        if owner == person
    ]
    if not rows:
        raise RefusedError(404, "pay rate")
    return rows if portal.key == "london" else {"data": rows}


def _pay_rate_history(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    rates = portal.pay.rates.get((employee(sandbox, portal, request), int(request.path_params["group_id"])))
    if rates is None:
        raise RefusedError(404, "pay rate")
    return {"data": [sent(row) for row in rates]}


def _default_rates(_: Sandbox, portal: Portal, __: Request) -> Json:
    groups = sorted(row["id"] for row in portal.employee_groups)
    return {
        "data": [
            {"employeeGroupId": group, "rate": 150 + n, "wageType": "HourlyRate"} for n, group in enumerate(groups)
        ]
    }


def _salary(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    person = employee(sandbox, portal, request)
    if person not in portal.pay.salaries:
        # Both were met for people without a salary.
        raise RefusedError(204 if person % 2 else 404, "salary")
    return {"data": portal.pay.salaries[person]}


def _salary_types(sandbox: Sandbox, _: Portal, request: Request) -> Json:
    return paged(sandbox, request, [{"id": 1001 + n, "name": name} for n, name in enumerate(SALARY_TYPES)])


def _allocations(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    rows = portal.pay.allocations.get(employee(sandbox, portal, request))
    if rows is None:
        raise RefusedError(404, "allocation")
    first, last = request.query_params.get("from", ""), request.query_params.get("to", "9999")
    return {"data": [sent(row) for row in rows if row["validFrom"] <= last and (row["validTo"] or "9999") >= first]}


def _contract_rule(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    person = employee(sandbox, portal, request)
    rule = next((row for row in CONTRACT_RULES if row["id"] == portal.details[person]["contractRulesRuleId"]), None)
    if rule is None and portal.key == "london":
        raise RefusedError(204)
    return {"data": {"id": rule["id"], "name": rule["name"]}} if rule else {}


ENDPOINTS: tuple[tuple[str, str | None, Handler], ...] = (
    ("/absence/v1.0/absencetypes", "absence:read", lambda _, __, ___: {"data": list(TYPES)}),
    ("/absence/v1.0/accounttypes", "absence:read", _account_types),
    ("/absence/v1.0/accounts", "absence:read", _accounts),
    ("/absence/v1.0/accounts/{account_id:int}/balance", "absence:read", _balance),
    ("/absence/v1.0/accounts/{account_id:int}/transactions", "absence:read", _transactions),
    ("/absence/v1.0/accounts/{account_id:int}/adjustments", "absence:read", _adjustments),
    ("/absence/v1.0/absencerecords", "absence:read", _records),
    ("/absence/v1.0/absencerequests", "absence:read", _requests),
    ("/payroll/v1.0/payroll", "payroll:read", _payroll),
    ("/pay/v1.0/payrates/employees/{employee_id:int}", "payrates:read", _pay_rates),
    (
        "/pay/v1.0/payrates/employeeGroups/{group_id:int}/employees/{employee_id:int}/history",
        "payrates:read",
        _pay_rate_history,
    ),
    ("/pay/v1.0/payrates/employeeGroups/default", "payrates:read", _default_rates),
    ("/pay/v1.0/salaries/employees/{employee_id:int}", "salaries:read", _salary),
    ("/pay/v1.0/salaries/types", "salaries:read", _salary_types),
    (
        "/pay/v1.0/salaries/scheduling/timeandcost/allocations/{employee_id:int}/history",
        "salaries:read",
        _allocations,
    ),
    (
        "/contractrules/v1.0/contractrules",
        "contractrules:read",
        lambda sandbox, _, request: paged(sandbox, request, CONTRACT_RULES),
    ),
    ("/contractrules/v1.0/employees/{employee_id:int}", "contractrules:read", _contract_rule),
)
