"""What a published file holds: its size, its rows, and whether its marts are what their descriptions promise.

Marts are views, so this is computed from the tables on demand. For a portal with 5,000 shifts it takes a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import duckdb

from planday_io.errors import PublicationError
from planday_io.warehouse import ledger
from planday_io.warehouse.definitions import MARTS, sources_of
from planday_io.warehouse.place import Place, headers_of
from planday_io.warehouse.standing import attached

GRAINS: Mapping[str, str] = {
    "employees": "portal, employee_id",
    "spans": "portal, span_of, id",
    "planned_costs": "portal, month, department_id, date, shift_id, ordinal",
    "shifts": "portal, shift_id",
    "absence_days": "portal, employee_id, date",
    # Punches without a shift have no id of their own.
    "hours": "portal, shift_id",
    "allocated_costs": "portal, month, employee_id, cost_of, payroll_date, ordinal, date, department_id",
    "labour_daily": "portal, department_id, date",
    "headcount_monthly": "portal, department_id, month",
}
"""Mart -> the columns that no two of its rows share."""

_MONEY = "sum(TRY_CAST({} AS DECIMAL(18, 4)))"
_PAID = (_MONEY.format("salary"), "payroll.shifts")
SUMS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "planned_costs": {"cost": (_MONEY.format("cost"), "scheduling.time_and_costs")},
    "hours": {"paid_cost": _PAID},
    "labour_daily": {
        "planned_cost": (_MONEY.format("cost"), "scheduling.time_and_costs"),
        "shift_cost": _PAID,
        "supplement_cost": (_MONEY.format("salary"), "payroll.supplements"),
        "salary_cost": (_MONEY.format("salary"), "payroll.salaried"),
        "revenue": ("sum(turnover)", "revenue.revenue"),
    },
}
"""Mart -> column -> what its sum equals, and the table that this is computed from."""


@dataclass(frozen=True, slots=True)
class MartState:
    """What a mart holds.

    Args:
        rows: how many.
        repeated: groups of rows that share a key that should be unique.
        sums: column -> its sum, and what it should be.
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
        portal: the portal whose rows were checked; empty for all of them.
    """

    generation: str
    size_bytes: int
    rows: int
    portals: int
    portal: str
    marts: dict[str, MartState]


def inspect(warehouse: Path, *, tables: Iterable[str] | None = None, portals: Iterable[str] = ()) -> WarehouseState:
    """Inspect the published file.

    Args:
        warehouse: the file.
        tables: that changed; marts that read none of them are left out. None is all marts.
        portals: that changed. If it is one of several, only its rows are checked.

    Raises:
        PublicationError: the file cannot be read just now, say because another program has it open for writing.
    """
    changed, names = None if tables is None else {*tables}, {*portals}
    chosen = [name for name in MARTS if changed is None or changed & sources_of(name)]
    place = Place(warehouse)
    try:
        generation, size = headers_of(place.file), place.file.stat().st_size
        with attached(place.file) as db:
            rows = _number(db, f"SELECT sum(kept - coalesce(elsewhere, 0)) FROM {ledger.SLICES}")
            rows += _number(db, f"SELECT sum(kept) FROM {ledger.DERIVED}")
            total = _number(db, f"SELECT count(DISTINCT portal) FROM {ledger.SLICES}")
            portal = names.pop() if len(names) == 1 and total > 1 else ""
            marts = {name: _mart(db, name, portal) for name in chosen}
    except (duckdb.Error, OSError) as error:
        raise PublicationError(
            f"{warehouse} was published, but could not be read just now ({type(error).__name__}): its marts were not checked"
        ) from None
    return WarehouseState(generation, size, rows, total, portal, marts)


def _mart(db: duckdb.DuckDBPyConnection, name: str, portal: str) -> MartState:
    where, values = ("WHERE portal = $portal", {"portal": portal}) if portal else ("", {})
    sums = SUMS.get(name, {})
    grain = GRAINS[name]
    has_key = f"{grain.rpartition(', ')[2]} IS NOT NULL" if name == "hours" else "true"
    parts = "".join(f", sum({column}) AS {column}" for column in sums)
    totals = "".join(f", coalesce(sum({column}), 0)" for column in sums)
    row = db.execute(
        f"SELECT coalesce(sum(rows), 0), count(*) FILTER (rows > 1 AND {has_key}){totals} "
        f"FROM (SELECT {grain}, count(*) AS rows{parts} FROM marts.{name} {where} GROUP BY {grain})",
        values,
    ).fetchone()
    rows, repeated, *found = row or (0, 0, *(0 for _ in sums))
    wanted = [
        db.execute(f"SELECT coalesce({sum_of}, 0) FROM {table} {where}", values).fetchone()
        for sum_of, table in sums.values()
    ]
    pairs = zip(sums, found, wanted, strict=True)
    return MartState(
        int(rows),
        int(repeated),
        {column: (Decimal(ours), Decimal(theirs[0] if theirs else 0)) for column, ours, theirs in pairs},
    )


def _number(db: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = db.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0
