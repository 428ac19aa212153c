"""Payroll, pay and contract rules of the local Planday.

Facts: docs/api-facts.md#payroll, docs/api-facts.md#pay, docs/api-facts.md#contract-rules.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from planday_io.sandbox.answers import document, employee, listing, sent, unpaged
from planday_io.sandbox.endpoint import Asked, Endpoint, Param, RefusedError
from planday_io.sandbox.labour import leavers, payroll
from planday_io.sandbox.params import FROM_AND_TO, flag, one_of, period, whole
from planday_io.sandbox.pay import SALARY_TYPES, money
from planday_io.sandbox.people import Json

CONTRACT_RULES = (
    {"id": 7, "name": "37 hours a week", "description": "Full time"},
    {"id": 8, "name": "Part time, 20 hours"},
)


def _payroll(asked: Asked) -> Json:
    first, last = (date.fromisoformat(asked.values[name]) for name in ("from", "to"))
    if last < first:
        raise RefusedError(400, "to")
    made: Json = sent(
        payroll(
            asked.portal.roster,
            asked.portal.pay,
            set(asked.values["departmentIds"]),
            first,
            last,
            asked.values.get("shiftStatus"),
            full=asked.values.get("returnFullSalaryForMonthlyPaid", False),
            left=leavers(asked.portal.everyone),
        )
    )
    if asked.sandbox.variants.unrated == "null":
        for row in made["shiftsPayroll"]:
            row["wage"]["rate"] = row["wage"]["rate"] or None
    return made


def _pay_rates(asked: Asked) -> Any:  # noqa: ANN401 - both shapes were met
    person = employee(asked)
    rows = [
        {"employeeGroupId": group, "rate": rates[-1]["rate"], "wageType": rates[-1]["wageType"]}
        for (owner, group), rates in asked.portal.pay.rates.items()
        if owner == person
    ]
    if not rows:
        raise RefusedError(404, "pay rate")
    return rows if asked.portal.key == "london" else {"data": rows}


def _rates(asked: Asked) -> list[Json]:
    rates = asked.portal.pay.rates.get((employee(asked), asked.ids["employeeGroupId"]))
    if rates is None:
        raise RefusedError(404, "pay rate")
    return rates


def _pay_rate(asked: Asked) -> Json:
    latest = _rates(asked)[-1]
    return {"data": {name: latest[name] for name in ("wageType", "rate")}}


def _default_rates(asked: Asked) -> Json:
    groups, zone = sorted(row["id"] for row in asked.portal.employee_groups), asked.portal.info["timeZone"]
    rates = [money(150 + n, zone) for n in range(len(groups))]
    return {
        "data": [
            {"employeeGroupId": group, "rate": rate, "wageType": "HourlyRate"}
            for group, rate in zip(groups, rates, strict=True)
        ]
    }


def _salary(asked: Asked) -> Json:
    person = employee(asked)
    if person not in asked.portal.pay.salaries:
        # Both statuses have been observed for people without a salary.
        raise RefusedError(204 if person % 2 else 404, "salary")
    return {"data": asked.portal.pay.salaries[person]}


def _allocations(asked: Asked) -> list[Json]:
    rows = asked.portal.pay.allocations.get(employee(asked))
    if rows is None:
        raise RefusedError(404, "allocation")
    return rows


def _allocation(asked: Asked) -> Json:
    today = asked.portal.today.isoformat()
    valid = [row for row in _allocations(asked) if row["validFrom"] <= today <= (row["validTo"] or "9999")]
    if not valid:
        raise RefusedError(404, "allocation")
    return {"data": sent(max(valid, key=lambda row: str(row["validFrom"])))}


def _contract_rule(asked: Asked) -> Json:
    rules = {row["id"]: row for row in CONTRACT_RULES}
    rule = rules.get(asked.portal.details[employee(asked)]["contractRulesRuleId"])
    if rule is None and asked.portal.key == "london":
        raise RefusedError(204)
    return {"data": {"id": rule["id"], "name": rule["name"]}} if rule else {}


_VALID = period("from", "to", lambda row: (row["validFrom"], row["validTo"]))
_OF_GROUP = "/pay/v1.0/payrates/employeeGroups/{employeeGroupId}/employees/{employeeId}"
_OF_SALARY = "/pay/v1.0/salaries/scheduling/timeandcost/allocations/{employeeId}"

ENDPOINTS: tuple[Endpoint, ...] = (
    document(
        "/payroll/v1.0/payroll",
        "payroll:read",
        _payroll,
        Param(name="departmentIds", read=whole, is_list=True, is_required=True),
        *FROM_AND_TO,
        Param(name="shiftStatus", read=one_of(("Approved", "Nonapproved"))),
        Param(name="returnFullSalaryForMonthlyPaid", read=flag),
    ),
    document("/pay/v1.0/payrates/employees/{employeeId}", "payrates:read", _pay_rates),
    document(_OF_GROUP, "payrates:read", _pay_rate),
    unpaged(f"{_OF_GROUP}/history", "payrates:read", _rates),
    document("/pay/v1.0/payrates/employeeGroups/default", "payrates:read", _default_rates),
    document("/pay/v1.0/salaries/employees/{employeeId}", "salaries:read", _salary),
    listing(
        "/pay/v1.0/salaries/types",
        "salaries:read",
        lambda _: [{"id": 1001 + n, "name": name} for n, name in enumerate(SALARY_TYPES)],
    ),
    document(_OF_SALARY, "salaries:read", _allocation),
    unpaged(f"{_OF_SALARY}/history", "salaries:read", _allocations, *_VALID),
    listing("/contractrules/v1.0/contractrules", "contractrules:read", lambda _: CONTRACT_RULES),
    document("/contractrules/v1.0/employees/{employeeId}", "contractrules:read", _contract_rule),
)
