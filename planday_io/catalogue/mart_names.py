"""Names of the marts: what they are is in the files of `planday_io.warehouse`, and `portals.yaml` may name them."""

from __future__ import annotations

MARTS = (
    "employees",
    "spans",
    "planned_costs",
    "shifts",
    "absence_days",
    "punches",
    "hours",
    "allocated_costs",
    "labour_daily",
    "headcount_monthly",
    "absence_monthly",
    "turnover_monthly",
    "hourly_pay",
    "leave_balances",
    "pay_gap",
    "attendance",
    "work_periods",
    "working_time",
    "working_time_findings",
    "overtime",
    "roster_changes",
    "roster_stability",
    "labour_hourly",
)
"""The marts' files, in the order in which they build on each other."""
