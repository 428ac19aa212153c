"""Revenue per unit and day. Facts: docs/api-facts.md#revenue. Not here: budgets (whether they exist is not known)."""

from __future__ import annotations

from planday_io.catalogue.endpoint import Endpoint, FanOut, Pages, Window
from planday_io.catalogue.model import Column, Table

_DOCS = "https://openapi.planday.com/api/revenue"

_PAGES = Pages(limit=50)

REVENUE_UNITS = Endpoint(
    path="/revenue/v1.0/revenueunits",
    scope="revenue:read",
    docs=_DOCS,
    pages=_PAGES,
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="revenue",
            name="revenue_units",
            doc="Units that have revenue: tills, rooms, web shops.",
            key=("id",),
            confidence="observed",
            columns=(
                Column("id", "BIGINT", "Revenue unit id, unique within the portal."),
                Column("name", "VARCHAR", "Name of the unit."),
                Column("department_id", "BIGINT", "Id in `hr.departments`.", references="hr.departments"),
            ),
        ),
    ),
)

REVENUE = Endpoint(
    path="/revenue/v1.0/revenue",
    scope="revenue:read",
    docs=_DOCS,
    pages=_PAGES,
    params=(("departmentId", "{department_id}"),),
    fan_out=FanOut(
        parent="hr.departments",
        bind=(("department_id", "id"),),
        missing_statuses=(),
        extra_parents=("scheduling.shifts", "department_id"),
    ),
    # Whether the two days are included is not documented.
    window=Window(start_param="from", end_param="to"),
    none_statuses=(204, 404),
    tables=(
        Table(
            domain="revenue",
            name="revenue",
            doc="Turnover per unit and day. Days are overwritten by later imports. The members are inferred from the request "
            "that sets it.",
            key=("revenue_unit_id", "date"),
            confidence="inferred",
            month_by=("date",),
            columns=(
                Column(
                    "revenue_unit_id",
                    "BIGINT",
                    "Id in `revenue.revenue_units`, which has the department.",
                    references="revenue.revenue_units",
                ),
                Column("date", "DATE", "The day."),
                Column("day_schedule_id", "BIGINT", "Id of the schedule day."),
                Column("turnover", "DECIMAL", "Turnover in the portal's currency."),
                Column("description", "VARCHAR", "Note, as typed.", "free_text"),
            ),
        ),
    ),
)

ENDPOINTS = (REVENUE_UNITS, REVENUE)
