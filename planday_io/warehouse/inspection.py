"""What a published file holds: its size, its rows, and whether its marts are what their descriptions promise.

Marts are views, so this is computed from the tables on demand. For a portal with 5,000 shifts it takes a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb

from planday_io.errors import PublicationError
from planday_io.warehouse import ledger
from planday_io.warehouse.mart_files import MARTS, sources_of
from planday_io.warehouse.place import Place, headers_of
from planday_io.warehouse.standing import attached

GRAINS: Mapping[str, str] = {
    "employees": "portal, employee_id",
    "spans": "portal, span_of, id",
    "planned_costs": "portal, month, department_id, date, shift_id, ordinal",
    "shifts": "portal, shift_id",
    "absence_days": "portal, employee_id, date",
    "punches": "portal, punch_id",
    "hours": "portal, shift_id",
    "allocated_costs": "portal, month, employee_id, cost_of, payroll_date, ordinal, date, department_id",
    "labour_daily": "portal, month, department_id, date",
    "headcount_monthly": "portal, department_id, month",
    "absence_monthly": "portal, month, employee_id",
    "turnover_monthly": "portal, department_id, month",
    "hourly_pay": "portal, employee_id",
    "leave_balances": "portal, account_id, unit",
    "pay_gap": "portal, is_total, category_id",
    "attendance": "portal, row_of, shift_id, punch_ids",
    "work_periods": "portal, basis, shift_id, punch_id",
    "working_time": "portal, employee_id, date",
    "working_time_findings": "portal, basis, rule, employee_id, period_start, start_local",
    "overtime": "portal, period_of, period_start, employee_id",
    "roster_changes": "portal, shift_id, changed_before, change",
    "roster_stability": "portal, department_id, iso_week",
    "labour_hourly": "portal, month, department_id, date, calendar_date, hour",
}
"""Mart -> the columns that no two of its rows share."""

KEYLESS: Mapping[str, str] = {"hours": "shift_id"}
"""Mart -> the column without which a row has no key: punches without a shift have no id of their own."""

_WITHIN = "changed_within_{0}h_at_least changed_within_{0}h_at_most"
ADDITIVE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    mart: (tuple(counts.split()), tuple(amounts.split()))
    for mart, counts, amounts in (
        ("planned_costs", "hours", "cost"),
        ("shifts", "hours break_hours planned_hours", "planned_cost"),
        ("absence_days", "days hours", ""),
        ("punches", "break_minutes breaks hours", ""),
        (
            "hours",
            "planned_hours punched_hours approved_hours paid_hours worked_hours punches",
            "planned_cost paid_cost",
        ),
        ("allocated_costs", "", "amount"),
        (
            "labour_daily",
            "planned_work_hours sickness_hours absence_hours course_hours standby_hours unpaid_hours open_hours "
            "worked_hours punched_hours approved_hours paid_hours cost_known_hours cost_unknown_hours",
            "planned_cost shift_cost shift_supplement_cost month_supplement_cost salary_cost labour_cost "
            "unallocated_cost revenue",
        ),
        ("headcount_monthly", "hired left_count", ""),
        (
            "absence_monthly",
            "planned_days absent_days sickness_days vacation_days other_days calendar_days planned_hours absent_hours "
            "sickness_hours vacation_hours other_hours days_without_hours sickness_spells",
            "",
        ),
        ("turnover_monthly", "hired left_count stayed_90_days", ""),
        ("leave_balances", "", "liability"),
        (
            "attendance",
            "early_arrival_minutes late_minutes early_leave_minutes late_leave_minutes punched_hours break_minutes "
            "planned_break_minutes long_break_minutes",
            "",
        ),
        ("working_time", "planned_hours worked_hours", ""),
        (
            "roster_stability",
            f"assigned_shifts changed_shifts {_WITHIN.format(24)} {_WITHIN.format(48)} {_WITHIN.format(168)} "
            "open_at_start filled_shifts",
            "",
        ),
        ("labour_hourly", "planned_work_hours worked_hours", "planned_cost shift_cost"),
    )
}
"""Mart -> columns that may be added up over any of its rows: nothing is counted twice, and all values have the same unit.
First hours, days and counts, then amounts, which have the same unit only where the `currency` of all rows is the same.

Missing are percentages, averages, rates and limits; how many people there were (a stock, counted again each month); what is
repeated on several rows (hours of the week); and all columns of marts that hold the same hours several times: `overtime`
(weeks and months), `work_periods` (planned and worked), `spans`, `roster_changes` (a shift that changed twice).
"""

CHECKED = frozenset(
    {
        "employees",
        "spans",
        "planned_costs",
        "shifts",
        "absence_days",
        "hours",
        "allocated_costs",
        "labour_daily",
        "headcount_monthly",
    }
)
"""Marts that are counted and checked after a publication: those that others build on, and those in which money adds up.

The others are computed from these and grouped by what identifies a row. Computing them after each run would take longer
than publishing, so their grain is tested, not checked.
"""

_SUM = "SELECT sum(TRY_CAST({} AS DECIMAL(18, 4))) FROM {} {{where}}"
_PAYROLL = (
    "SELECT sum(amount) FROM (SELECT portal, TRY_CAST(salary AS DECIMAL(18, 4)) AS amount FROM payroll.shifts "
    "UNION ALL SELECT portal, TRY_CAST(salary AS DECIMAL(18, 4)) FROM payroll.supplements "
    "UNION ALL SELECT portal, TRY_CAST(salary AS DECIMAL(18, 4)) FROM payroll.salaried "
    "UNION ALL SELECT portal, TRY_CAST(modification AS DECIMAL(18, 4)) FROM payroll.shift_supplements WHERE portal IN "
    "(SELECT portal FROM sync.mart_settings WHERE name = 'salary_includes_supplements' AND value = 'false')) {where}"
)
_WITHOUT_DEPARTMENT = (
    "SELECT portal, month, employee_id, TRY_CAST(salary AS DECIMAL(18, 4)) AS amount FROM payroll.salaried {where} "
    "UNION ALL SELECT portal, month, employee_id, TRY_CAST(salary AS DECIMAL(18, 4)) FROM payroll.supplements {where}"
)
SUMS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "planned_costs": {"cost": ("cost", _SUM.format("cost", "scheduling.time_and_costs"))},
    "hours": {"paid_cost": ("paid_cost", _SUM.format("salary", "payroll.shifts"))},
    "allocated_costs": {"amount": ("amount", f"SELECT sum(amount) FROM ({_WITHOUT_DEPARTMENT})")},
    "labour_daily": {
        "planned_cost": ("planned_cost", _SUM.format("cost", "scheduling.time_and_costs")),
        "shift_supplement_cost": ("shift_supplement_cost", _SUM.format("modification", "payroll.shift_supplements")),
        "labour_cost and unallocated_cost": ("coalesce(labour_cost, 0) + coalesce(unallocated_cost, 0)", _PAYROLL),
        "revenue": ("revenue", "SELECT sum(turnover) FROM revenue.revenue {where}"),
    },
}
"""Mart -> columns -> what is added up of each row, and the query for what that has to be."""

DIFFERING: Mapping[str, Mapping[str, str]] = {
    "allocated_costs": {
        "amount of a person and month": (
            "SELECT count(*) FROM (SELECT portal, month, employee_id FROM ("
            "SELECT portal, month, employee_id, amount FROM {mart} "
            "UNION ALL SELECT portal, month, employee_id, -amount FROM "
            f"({_WITHOUT_DEPARTMENT})) GROUP BY ALL HAVING sum(amount) <> 0)"
        )
    },
}
"""Mart -> what has to be equal -> the query that counts where it is not. It may use the mart's grain and its amount."""


@dataclass(frozen=True, slots=True)
class MartState:
    """What a mart holds.

    Args:
        rows: how many.
        repeated: groups of rows that share a key that should be unique.
        sums: columns -> their sum, and what it should be; or how many differ, and 0.
    """

    rows: int
    repeated: int
    sums: dict[str, tuple[Decimal, Decimal]] = field(default_factory=dict)

    @property
    def wrong_sums(self) -> dict[str, tuple[Decimal, Decimal]]:
        return {column: pair for column, pair in self.sums.items() if pair[0] != pair[1]}


@dataclass(frozen=True, slots=True)
class WarehouseState:
    """What a warehouse file holds.

    Args:
        generation: differs for every publication.
        portals: how many it has.
        of_portals: the portals whose rows were checked; none for all of them.
        marts: that were checked.
        unchecked: the other marts that may have changed.
    """

    generation: str
    size_bytes: int
    rows: int
    portals: int
    of_portals: tuple[str, ...]
    marts: dict[str, MartState]
    unchecked: tuple[str, ...] = ()


def inspect(warehouse: Path, *, tables: Iterable[str] | None = None, portals: Iterable[str] = ()) -> WarehouseState:
    """Inspect the published file.

    Args:
        warehouse: the file.
        tables: that changed; marts that read none of them are left out. None is all marts.
        portals: that changed. If they are few of many, only their rows are checked. None is all portals.

    Raises:
        PublicationError: the file cannot be read just now, say because another program has it open for writing.
    """
    changed, names = None if tables is None else {*tables}, {*portals}
    touched = [name for name in MARTS if changed is None or changed & sources_of(name)]
    chosen = [name for name in touched if name in CHECKED]
    place = Place(warehouse)
    try:
        generation, size = headers_of(place.file), place.file.stat().st_size
        with attached(place.file) as db:
            rows = _number(db, f"SELECT sum(kept - coalesce(elsewhere, 0)) FROM {ledger.SLICES}")
            rows += _number(db, f"SELECT sum(kept) FROM {ledger.DERIVED}")
            there = {portal for (portal,) in db.execute(f"SELECT DISTINCT portal FROM {ledger.SLICES}").fetchall()}
            is_part = there - names and 0 < len(names) <= max(1, len(there) // _FEW)
            of_portals = tuple(sorted(names)) if is_part else ()
            marts = {name: _sum([_mart(db, name, portal) for portal in of_portals or [""]]) for name in chosen}
    except (duckdb.Error, OSError) as error:
        raise PublicationError(
            f"{warehouse} was published, but could not be read just now ({type(error).__name__}): its marts were not checked"
        ) from None
    unchecked = tuple(name for name in touched if name not in marts)
    return WarehouseState(generation, size, rows, len(there), of_portals, marts, unchecked)


_FEW = 4
"""Portals are checked one by one up to a quarter of all: one takes about four times its part in all of them.

DuckDB pushes `portal = 'oslo'` down into the views, `portal IN ('oslo')` it does not: 0.8 s and 24 s for a portal in 200.
"""


def _sum(states: Sequence[MartState]) -> MartState:
    """The states of several portals as one."""
    sums = {
        column: (
            sum((one.sums[column][0] for one in states), Decimal(0)),
            sum((one.sums[column][1] for one in states), Decimal(0)),
        )
        for column in states[0].sums
    }
    return MartState(sum(one.rows for one in states), sum(one.repeated for one in states), sums)


def _mart(db: duckdb.DuckDBPyConnection, name: str, portal: str) -> MartState:
    where, values = ("WHERE portal = $portal", {"portal": portal}) if portal else ("", {})
    sums = SUMS.get(name, {})
    grain = GRAINS[name]
    has_key = f"{KEYLESS[name]} IS NOT NULL" if name in KEYLESS else "true"
    parts = "".join(f", sum({of_row}) AS sum_{number}" for number, (of_row, _) in enumerate(sums.values()))
    totals = "".join(f", coalesce(sum(sum_{number}), 0)" for number in range(len(sums)))
    differing_of = DIFFERING.get(name, {})
    source, of_portal = f"(FROM marts.{name} {where})", values
    if differing_of:
        # Computed once, because it is asked more than once.
        db.execute(f"CREATE OR REPLACE TEMP TABLE checked AS SELECT {grain}, amount FROM marts.{name} {where}", values)
        source, of_portal = "checked", {}
    row = db.execute(
        f"SELECT coalesce(sum(rows), 0), count(*) FILTER (rows > 1 AND {has_key}){totals} "
        f"FROM (SELECT {grain}, count(*) AS rows{parts} FROM {source} GROUP BY {grain})",
        of_portal,
    ).fetchone()
    rows, repeated, *found = row or (0, 0, *(0 for _ in sums))
    wanted = [db.execute(query.format(where=where), values).fetchone() for _, query in sums.values()]
    pairs = {
        column: (Decimal(ours), Decimal((theirs and theirs[0]) or 0))
        for column, ours, theirs in zip(sums, found, wanted, strict=True)
    }
    for what, query in differing_of.items():
        differing = db.execute(query.format(where=where, mart=source), values).fetchone()
        pairs[what] = (Decimal(differing[0] if differing else 0), Decimal(0))
    return MartState(int(rows), int(repeated), pairs)


def _number(db: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = db.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0
