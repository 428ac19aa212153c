"""Pay: rates and salaries of people.

Facts: docs/api-facts.md#pay. Shapes come from working clients, so they are observed at best.

Not here: period salaries and salary identifiers of departments (their paths are not known).
"""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint, FanOut, Once, Pages, Window
from planday_io.catalogue.model import Column, Document, Person, StructList, Table

_DOCS = "https://openapi.planday.com/pay/swagger/v1.0/swagger.json"

_EACH_EMPLOYEE = (("employee_id", "id"),)
_NONE = (204, 404)
_EMPLOYEE_ID = Column(
    "employee_id", "BIGINT", "Id in `hr.employees`.", member="{employee_id}", references="hr.employees"
)
_RATE = (
    Column("wage_type", "VARCHAR", "HourlyRate or ShiftRate.", values=("HourlyRate", "ShiftRate")),
    Column("rate", "DECIMAL", "Rate per hour or shift, in the portal's currency.", "pay"),
    Column("salary_code", "VARCHAR", "Payroll code; a text that may begin with zeros.", confidence="inferred"),
)

PAY_RATES = Endpoint(
    path="/pay/v1.0/payrates/employees/{employee_id}",
    scope="payrates:read",
    docs=_DOCS,
    fan_out=FanOut(parent="hr.employees", bind=_EACH_EMPLOYEE, missing_statuses=(400,)),
    none_statuses=_NONE,
    tables=(
        Table(
            domain="pay",
            name="pay_rates",
            doc="Current rate of each employee in each group. One call per active employee.",
            key=("employee_id", "employee_group_id"),
            people=(Person(column="employee_id", role="owner"),),
            confidence="observed",
            columns=(
                _EMPLOYEE_ID,
                Column("employee_group_id", "BIGINT", "Id in `hr.employee_groups`.", references="hr.employee_groups"),
                *_RATE,
                Column("valid_from", "DATE", "First day of the rate, if the API sends it.", confidence="inferred"),
            ),
        ),
    ),
)

PAY_RATE_HISTORY = Endpoint(
    path="/pay/v1.0/payrates/employeeGroups/{employee_group_id}/employees/{employee_id}/history",
    scope="payrates:read",
    docs=_DOCS,
    fan_out=FanOut(
        parent="pay.pay_rates",
        bind=(("employee_id", "employee_id"), ("employee_group_id", "employee_group_id")),
        missing_statuses=(400,),
    ),
    none_statuses=_NONE,
    tables=(
        Table(
            domain="pay",
            name="pay_rate_history",
            doc="Earlier and future rates of each employee in each group. One call per row of `pay.pay_rates`.",
            key=("employee_id", "employee_group_id", "valid_from", "ordinal"),
            people=(Person(column="employee_id", role="owner"),),
            ordinal="ordinal",
            confidence="observed",
            columns=(
                _EMPLOYEE_ID,
                Column(
                    "employee_group_id",
                    "BIGINT",
                    "Id in `hr.employee_groups`.",
                    member="{employee_group_id}",
                    references="hr.employee_groups",
                ),
                Column("valid_from", "DATE", "First day of the rate."),
                Column("ordinal", "BIGINT", "Number of the rate among those of one day.", member="@ordinal"),
                *_RATE,
            ),
        ),
    ),
)

DEFAULT_PAY_RATES = Endpoint(
    path="/pay/v1.0/payrates/employeeGroups/default",
    scope="payrates:read",
    docs=_DOCS,
    none_statuses=_NONE,
    tables=(
        Table(
            domain="pay",
            name="default_pay_rates",
            doc="Rates that employee groups have by default. Only the path is documented: members that differ from those of "
            "pay rates land in `_extra`.",
            key=("ordinal",),
            ordinal="ordinal",
            confidence="unknown",
            columns=(
                Column("ordinal", "BIGINT", "Number of the row.", member="@ordinal"),
                Column("employee_group_id", "BIGINT", "Id in `hr.employee_groups`.", references="hr.employee_groups"),
                *_RATE,
            ),
        ),
    ),
)

SALARIES = Endpoint(
    path="/pay/v1.0/salaries/employees/{employee_id}",
    scope="salaries:read",
    docs=_DOCS,
    fan_out=FanOut(parent="hr.employees", bind=_EACH_EMPLOYEE, missing_statuses=(400,)),
    none_statuses=_NONE,
    tables=(
        Table(
            domain="pay",
            name="salaries",
            doc="Salaries of salaried employees; those without one have no row. One call per active employee.",
            key=("employee_id",),
            people=(Person(column="employee_id", role="owner"),),
            confidence="observed",
            rows=Document(form="object_or_none"),
            columns=(
                _EMPLOYEE_ID,
                Column("salary_type_id", "BIGINT", "Id in `pay.salary_types`.", references="pay.salary_types"),
                Column("hours", "DECIMAL", "Hours of the period."),
                Column("salary", "DECIMAL", "Amount of the period, in the portal's currency.", "pay"),
                Column("salary_code", "VARCHAR", "Payroll code."),
                Column("valid_from", "DATE", "First day of the salary."),
            ),
        ),
    ),
)

SALARY_TYPES = Endpoint(
    path="/pay/v1.0/salaries/types",
    scope="salaries:read",
    docs=_DOCS,
    # Whether it is paged is unknown: asking for pages reads it completely either way.
    pages=Pages(limit=50),
    none_statuses=_NONE,
    tables=(
        Table(
            domain="pay",
            name="salary_types",
            doc="Periods of salaries: Monthly, Fortnightly, Weekly, Annual, FourWeekly.",
            key=("id",),
            confidence="observed",
            columns=(
                Column("id", "BIGINT", "Salary type id."),
                Column("name", "VARCHAR", "Name of the type."),
            ),
        ),
    ),
)

SALARY_ALLOCATIONS = Endpoint(
    path="/pay/v1.0/salaries/scheduling/timeandcost/allocations/{employee_id}/history",
    scope="salaries:read",
    docs=_DOCS,
    fan_out=FanOut(
        parent="pay.salaries",
        bind=(("employee_id", "employee_id"),),
        missing_statuses=(400,),
        once=Once(parent="hr.deactivated_employees"),
    ),
    window=Window(start_param="from", end_param="to", begins="long_ago"),
    none_statuses=_NONE,
    tables=(
        Table(
            domain="pay",
            name="salary_allocations",
            doc="How a salary is spread over departments and weekdays in time and cost, and for which period. One call per "
            "salaried employee. People who left keep what was read last, and are requested once more.",
            key=("employee_id", "valid_from", "ordinal"),
            people=(Person(column="employee_id", role="owner"),),
            ordinal="ordinal",
            confidence="inferred",
            columns=(
                _EMPLOYEE_ID,
                Column("valid_from", "DATE", "First day."),
                Column("ordinal", "BIGINT", "Number of the allocation among those of one day.", member="@ordinal"),
                Column("valid_to", "DATE", "Last day; NULL means no end."),
                Column(
                    "cost_allocation",
                    "VARCHAR",
                    "How the salary is spread: BusinessDays, NoAllocation, ScheduledHours or MonthlySalary.",
                    confidence="observed",
                ),
                Column(
                    "department_distributions",
                    StructList(
                        fields=(
                            Column(
                                "department_id",
                                "BIGINT",
                                "Id in `hr.departments`.",
                                member="department.id",
                                references="hr.departments",
                            ),
                            Column("department_weight", "DECIMAL", "Share; may be 0 where weekdays have weights."),
                            Column("week_days_weight", "JSON", "Share per weekday."),
                        )
                    ),
                    "Shares of departments.",
                ),
            ),
        ),
    ),
)

ENDPOINTS = (PAY_RATES, PAY_RATE_HISTORY, DEFAULT_PAY_RATES, SALARIES, SALARY_TYPES, SALARY_ALLOCATIONS)
