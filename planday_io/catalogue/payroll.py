"""Payroll: what Planday pays for each calendar month. Facts: docs/api-facts.md#payroll.

Each month is requested by itself, because a range across a month end changes how salaries are prorated. All departments are
requested in one call, because salaries and supplements have no department and might be repeated for each. Neither approval
nor full salaries are requested: all shifts are returned, and a salary is the share of the month.
"""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint, FanOut, Window
from planday_io.catalogue.model import ChildArray, Column, Document, Person, Table

_ENVELOPE = (("@currency_symbol", "currencySymbol"), ("@currency_format_string", "currencyFormatString"))
_CURRENCY = (
    Column(
        "currency_symbol",
        "VARCHAR",
        "Symbol the portal shows; not a reliable currency code.",
        member="@currency_symbol",
    ),
    Column("currency_format_string", "VARCHAR", "How the portal writes amounts.", member="@currency_format_string"),
)

PAYROLL = Endpoint(
    path="/payroll/v1.0/payroll",
    scope="payroll:read",
    docs="https://openapi.planday.com/payroll/swagger/v1.0/swagger.json",
    params=(("departmentIds", "{department_ids}"),),
    fan_out=FanOut(
        parent="hr.departments",
        bind=(("department_ids", "id"),),
        missing_statuses=(),
        batched=True,
        extra_parents=("scheduling.shifts", "department_id"),
    ),
    window=Window(start_param="from", end_param="to", wider_days=0),
    tables=(
        Table(
            domain="payroll",
            name="shifts",
            doc="What is paid for each shift. `salary` is Planday's amount: do not compute it again. A rate of NULL or 0 "
            "means that there is no pay data, and a salary of 0 beside it is not a real zero. Some shift types are neither "
            "here nor in time and cost.",
            key=("id",),
            people=(Person(column="employee_id", role="worker"),),
            confidence="observed",
            month_by=(),
            logs_changes=True,
            rows=Document(member="shiftsPayroll", envelope=_ENVELOPE),
            columns=(
                Column("id", "BIGINT", "Id in `scheduling.shifts`.", references="scheduling.shifts"),
                Column("employee_id", "BIGINT", "Id in `hr.employees`.", references="hr.employees"),
                Column("department_id", "BIGINT", "Id in `hr.departments`.", references="hr.departments"),
                Column("employee_group_id", "BIGINT", "Id in `hr.employee_groups`.", references="hr.employee_groups"),
                Column("position_id", "BIGINT", "Id in `scheduling.positions`.", references="scheduling.positions"),
                Column(
                    "shift_type_id", "BIGINT", "Id in `scheduling.shift_types`.", references="scheduling.shift_types"
                ),
                Column("date", "DATE", "Day the shift begins."),
                Column("start", "TIMESTAMP", "Start, local wall clock of the shift's time zone."),
                Column("end", "TIMESTAMP", "End, local wall clock of the shift's time zone."),
                Column(
                    "shift_duration",
                    "TEXT",
                    "Length as Planday writes it; the format is not documented, so take the two times.",
                ),
                Column("salary_code", "VARCHAR", "Payroll code; a text that may begin with zeros."),
                Column("salary", "DECIMAL", "Amount in the portal's currency.", "pay"),
                Column(
                    "wage_rate", "DECIMAL", "Rate per hour or shift; 0 or NULL means no pay data.", "pay", "wage.rate"
                ),
                Column(
                    "wage_type",
                    "VARCHAR",
                    "Hourly or Shift (the pay domain says HourlyRate, ShiftRate).",
                    "none",
                    "wage.type",
                ),
                *_CURRENCY,
            ),
        ),
        Table(
            domain="payroll",
            name="shift_supplements",
            doc="Supplements of shifts (evenings, Sundays).",
            key=("shift_id", "ordinal"),
            ordinal="ordinal",
            confidence="observed",
            month_by=(),
            logs_changes=True,
            rows=ChildArray(member="supplements"),
            columns=(
                Column("shift_id", "BIGINT", "Id in `payroll.shifts`.", member="@parent", references="payroll.shifts"),
                Column("ordinal", "BIGINT", "Number of the supplement within the shift.", member="@ordinal"),
                Column("id", "BIGINT", "Id of the supplement, if it has one."),
                Column("name", "VARCHAR", "Name of the supplement."),
                Column("start", "TIMESTAMP", "Start, local wall clock."),
                Column("end", "TIMESTAMP", "End, local wall clock."),
                Column("duration", "DECIMAL", "Hours; NULL where Planday writes no number.", confidence="unknown"),
                Column("salary_code", "VARCHAR", "Payroll code."),
                Column("modification", "DECIMAL", "Amount it adds to the pay.", "pay"),
            ),
        ),
        Table(
            domain="payroll",
            name="shift_breaks",
            doc="Breaks of shifts as payroll counts them.",
            key=("shift_id", "ordinal"),
            ordinal="ordinal",
            confidence="observed",
            month_by=(),
            logs_changes=True,
            rows=ChildArray(member="breaks"),
            columns=(
                Column("shift_id", "BIGINT", "Id in `payroll.shifts`.", member="@parent", references="payroll.shifts"),
                Column("ordinal", "BIGINT", "Number of the break within the shift.", member="@ordinal"),
                Column("id", "BIGINT", "Id of the break, if it has one."),
                Column("title", "VARCHAR", "Name of the kind of break."),
                Column("start", "TIMESTAMP", "Start, local wall clock."),
                Column("end", "TIMESTAMP", "End, local wall clock."),
                Column("duration", "DECIMAL", "Hours; NULL where Planday writes no number.", confidence="unknown"),
                Column("amount", "DECIMAL", "Amount paid for the break.", "pay"),
                Column("modification", "DECIMAL", "Amount by which it changes the pay.", "pay"),
                Column("is_paid", "BOOLEAN", "Whether it is paid."),
            ),
        ),
        Table(
            domain="payroll",
            name="supplements",
            doc="Supplements of the month that belong to no shift and no department. Equal rows are legitimate and all are "
            "kept; amounts may be negative (meals).",
            key=("month", "employee_id", "date", "ordinal"),
            people=(Person(column="employee_id", role="worker"),),
            ordinal="ordinal",
            confidence="observed",
            month_by=(),
            logs_changes=True,
            rows=Document(member="supplementsPayroll", envelope=_ENVELOPE),
            columns=(
                Column("employee_id", "BIGINT", "Id in `hr.employees`.", references="hr.employees"),
                Column("date", "DATE", "Day it belongs to."),
                Column(
                    "ordinal", "BIGINT", "Number of the row among those of one employee and day.", member="@ordinal"
                ),
                Column("name", "VARCHAR", "Name of the supplement."),
                Column("salary_code", "VARCHAR", "Payroll code."),
                Column("start", "TIMESTAMP", "Start, local; midnight to the next midnight has been seen."),
                Column("end", "TIMESTAMP", "End, local."),
                Column("units", "DECIMAL", "How many."),
                Column("wage", "DECIMAL", "Per unit.", "pay"),
                Column("salary", "DECIMAL", "Amount in the portal's currency; may be negative.", "pay"),
                *_CURRENCY,
            ),
        ),
        Table(
            domain="payroll",
            name="salaried",
            doc="Salaries of the month, which have no department. They come whether shifts are approved or not.",
            key=("month", "employee_id", "date", "ordinal"),
            people=(Person(column="employee_id", role="worker"),),
            ordinal="ordinal",
            confidence="observed",
            month_by=(),
            logs_changes=True,
            rows=Document(member="salariedPayroll", envelope=_ENVELOPE),
            columns=(
                Column("employee_id", "BIGINT", "Id in `hr.employees`.", references="hr.employees"),
                Column("date", "DATE", "Day it belongs to."),
                Column(
                    "ordinal", "BIGINT", "Number of the row among those of one employee and day.", member="@ordinal"
                ),
                Column("salary_code", "VARCHAR", "Payroll code."),
                Column("start", "DATE", "First day it pays for."),
                Column("end", "DATE", "Last day it pays for."),
                Column("units", "DECIMAL", "Hours."),
                Column("wage", "DECIMAL", "Per unit.", "pay"),
                Column("salary", "DECIMAL", "Share of the salary for these days, in the portal's currency.", "pay"),
                *_CURRENCY,
            ),
        ),
    ),
)

ENDPOINTS = (PAYROLL,)
