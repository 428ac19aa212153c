"""Tables beside the ledger: what marts need to know of `portals.yaml`, because views cannot read it.

They are written with each publication, because kinds of shift types are also guessed from names that it brings.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

import duckdb

from planday_io.catalogue.shift_kinds import Kind, chosen, guessed
from planday_io.config.model import MartSettings, PortalConfig
from planday_io.config.retention import Age
from planday_io.warehouse import absence_kinds
from planday_io.warehouse.ledger import SLICES, Columns, renew

KINDS, SETTINGS, RULES = "sync.shift_kinds", "sync.mart_settings", "sync.working_time_rules"

_KINDS: Columns = (
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    ("shift_type_id", "BIGINT", "Id in `scheduling.shift_types`, also of types that Planday no longer lists."),
    ("name", "VARCHAR", "Name of the type; NULL where portals.yaml names an id that was never read."),
    ("kind", "VARCHAR", "work, sickness, absence, course, standby or unpaid."),
    ("is_guessed", "BOOLEAN", "Whether the kind was guessed from the name, because `shift_kinds` says nothing of it."),
)
_SETTINGS: Columns = (
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    (
        "name",
        "VARCHAR",
        "currency (of portals.yaml, or the symbol that payroll shows), salary_includes_supplements (true or false), "
        "bradford (true), pay_gap_by (employee_group, department or employee_type), punches_age and pay_age (the ages of "
        "`retention`, such as 5 years).",
    ),
    ("value", "VARCHAR", "The value. What is unknown or switched off has no row."),
)
_RULES: Columns = (
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    ("rule", "VARCHAR", "daily_rest, weekly_rest, weekly_hours, break_after or days_in_row."),
    ("limit_value", "DECIMAL(18,4)", "At least that much rest, at most that many hours or days."),
    ("unit", "VARCHAR", "hours or days."),
    ("over_weeks", "BIGINT", "Weeks that the average of weekly_hours is over; NULL for other rules."),
    ("preset", "VARCHAR", "Preset that gives what portals.yaml does not: eu, dk or uk. No legal advice."),
)
TABLES: dict[str, tuple[str, Columns]] = {
    KINDS: ("One row per portal and shift type: what its shifts stand for, by `shift_kinds` or by the name.", _KINDS),
    absence_kinds.KINDS: (
        "One row per portal and type of account or shift that is absence: which kind, by `absence_kinds` or by names.",
        absence_kinds.COLUMNS,
    ),
    SETTINGS: ("One row per portal and setting that the marts use.", _SETTINGS),
    RULES: (
        "One row per portal and rule of `working_time`: what `marts.working_time_findings` compares working time with.",
        _RULES,
    ),
}
"""Name -> what it is, and its columns with type and meaning."""

_TYPES = (
    "SELECT portal, id, name FROM scheduling.shift_types UNION ALL "
    "SELECT portal, id, arg_max(name, valid_from) FROM scheduling_history.shift_types AS h "
    "WHERE NOT EXISTS (FROM scheduling.shift_types AS t WHERE t.portal = h.portal AND t.id = h.id) GROUP BY portal, id"
)
_WITH_SYMBOLS = ("payroll.shifts", "payroll.supplements", "payroll.salaried", "scheduling.time_and_costs")


def fingerprint_of(portals: Mapping[str, MartSettings]) -> str:
    """A fingerprint of the settings that marts read."""
    given = {
        key: portals[key].model_dump(include={*MartSettings.model_fields})
        | {rule: age.interval for rule, age in _ages(portals[key]).items()}
        for key in sorted(portals)
    }
    return hashlib.sha256(json.dumps(given).encode()).hexdigest()[:16]


def write_settings(db: duckdb.DuckDBPyConnection, portals: Mapping[str, MartSettings]) -> None:
    """Write the tables of the connected warehouse again.

    Args:
        db: connected to it.
        portals: config key -> settings. Portals that the file still has without being configured have none.
    """
    kinds: dict[tuple[str, int], tuple[str | None, Kind, bool]] = {}
    for key, settings in portals.items():
        for name, kind in settings.shift_kinds.items():
            if name.isdecimal() and len(name) < 19:
                kinds[key, int(name)] = (None, kind, False)
    for key, number, name in db.execute(_TYPES).fetchall():
        given = chosen(portals[key].shift_kinds, number, name) if key in portals else None
        kinds[key, number] = (name, given or guessed(name), given is None)
    renew(db, KINDS, _KINDS, [(*key, *found) for key, found in sorted(kinds.items())])
    of_shifts = {key: (name, kind) for key, (name, kind, _) in kinds.items()}
    renew(db, absence_kinds.KINDS, absence_kinds.COLUMNS, [*absence_kinds.absence_rows(db, portals, of_shifts)])
    values = {(key, "currency"): symbol for key, symbol in _symbols(db).items()}
    for key, settings in portals.items():
        if settings.currency:
            values[key, "currency"] = settings.currency
        if settings.salary_includes_supplements is not None:
            values[key, "salary_includes_supplements"] = str(settings.salary_includes_supplements).lower()
        if settings.bradford:
            values[key, "bradford"] = "true"
        if settings.pay_gap_by != "off":
            values[key, "pay_gap_by"] = settings.pay_gap_by
        for rule, age in _ages(settings).items():
            values[key, f"{rule}_age"] = age.interval
    renew(db, SETTINGS, _SETTINGS, [(*key, value) for key, value in sorted(values.items())])
    rules = [(key, *rule, one.working_time.preset) for key, one in portals.items() for rule in one.working_time.rules()]
    renew(db, RULES, _RULES, sorted(rules, key=lambda row: row[:2]))


def _ages(settings: MartSettings) -> dict[str, Age]:
    """Ages after which rows that marts count are removed: beyond them, a missing row says nothing."""
    ages = settings.retention.ages() if isinstance(settings, PortalConfig) else {}
    return {rule: age for rule, age in ages.items() if rule in ("punches", "pay")}


def _symbols(db: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The latest currency symbol of each portal, from the last three months of each table, or else from all of them."""
    read = (
        f"SELECT portal, table_name, month FROM {SLICES} WHERE kept > 0 AND table_name IN ("
        + ", ".join(f"'{table}'" for table in _WITH_SYMBOLS)
        + ")"
    )
    last = f"{read} QUALIFY row_number() OVER (PARTITION BY portal, table_name ORDER BY month DESC) <= 3"
    found = _symbols_in(db, last, [])
    if without := [
        portal for (portal,) in db.execute(f"SELECT DISTINCT portal FROM ({read})").fetchall() if portal not in found
    ]:
        found |= _symbols_in(db, f"{read} AND portal IN (SELECT unnest(?::VARCHAR[]))", [without])
    return found


def _symbols_in(db: duckdb.DuckDBPyConnection, slices: str, values: list[list[str]]) -> dict[str, str]:
    rows = " UNION ALL ".join(
        f"SELECT portal, month, currency_symbol AS symbol FROM {table} WHERE (portal, month) IN "
        f"(SELECT portal, month FROM slices WHERE table_name = '{table}')"
        for table in _WITH_SYMBOLS
    )
    query = (
        f"WITH slices AS MATERIALIZED ({slices}) SELECT portal, arg_max(symbol, (month, symbol)) FROM ({rows}) "
        "WHERE symbol <> '' GROUP BY portal"
    )
    return {str(portal): str(symbol) for portal, symbol in db.execute(query, values).fetchall()}
