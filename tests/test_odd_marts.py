"""Marts over what may come: zones in every convention or none, dates at the ends of the calendar, anything anywhere.

Instants are compared with Python's zoneinfo. Rows are put into an empty warehouse as slices would bring them.
"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.catalogue import CATALOGUE
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import duckdb_columns
from planday_io.frames.windows_zones import WINDOWS_ZONES
from planday_io.frames.zones import zone_named
from planday_io.months import month_of, shifted
from planday_io.warehouse.definitions import sql_name
from planday_io.warehouse.mart_files import macros, marts
from planday_io.warehouse.zones import write_zones
from tests.support.installation import EVERYTHING, Make
from tests.support.tables import put, put_months, put_portal

LAST = shifted(month_of(datetime.now(UTC).date()), -1)
NIGHT = ("2026-10-24 22:00", "2026-10-25 06:00")
"""Nine hours in most of Europe, eight on the clock on the wall."""


def put_shift(db: duckdb.DuckDBPyConnection, zone: str | None, start: str = NIGHT[0], end: str = NIGHT[1]) -> None:
    put(
        db,
        "scheduling.shifts",
        portal="oslo",
        month="2026-10",
        id=1,
        start_date_time=start,
        end_date_time=end,
        time_zone=zone,
    )


def shift(db: duckdb.DuckDBPyConnection) -> tuple[Any, ...]:
    write_zones(db, again=False)
    (row,) = db.execute("SELECT hours, zone, zone_reason, start_utc, end_utc FROM marts.shifts").fetchall()
    return row


@pytest.mark.parametrize(
    ("named", "zone", "hours"),
    [
        ("Europe/Oslo", "Europe/Oslo", 9),
        ("europe/oslo", "Europe/Oslo", 9),
        (" EUROPE/OSLO ", "Europe/Oslo", 9),
        ("Romance Standard Time", "Europe/Paris", 9),
        ("W. Europe Standard Time", "Europe/Berlin", 9),
        ("gmt standard time", "Europe/London", 9),
        ("CET", "CET", 9),
        ("Europe/Kyiv", "Europe/Kyiv", 9),
        ("America/Coyhaique", "America/Coyhaique", 8),
        ("Asia/Tokyo", "Asia/Tokyo", 8),
        ("Tokyo Standard Time", "Asia/Tokyo", 8),
        # None, or none that is known: the portal's.
        (None, "Europe/Oslo", 9),
        ("", "Europe/Oslo", 9),
        ("  ", "Europe/Oslo", 9),
        ("CEST", "Europe/Oslo", 9),
        ("Nowhere/Land", "Europe/Oslo", 9),
        ("(UTC+01:00) Amsterdam, Berlin", "Europe/Oslo", 9),
        ("../../etc/passwd", "Europe/Oslo", 9),
        ("localtime", "Europe/Oslo", 9),
        ("\x00", "Europe/Oslo", 9),
        ("+99:00", "Europe/Oslo", 9),
        # An offset that the portal has in summer or winter; and others.
        ("+02:00", "Europe/Oslo", 9),
        ("+0100", "Europe/Oslo", 9),
        ("UTC+1", "Europe/Oslo", 9),
        ("GMT+2", "Europe/Oslo", 9),
        ("Etc/GMT-2", "Europe/Oslo", 9),
        ("+05:30", "+05:30", 8),
        ("UTC-3", "-03:00", 8),
        ("Z", "UTC", 8),
        ("UTC", "UTC", 8),
    ],
)
def test_zone_of_a_shift(db: duckdb.DuckDBPyConnection, named: str | None, zone: str, hours: int) -> None:
    put_portal(db, "Europe/Oslo")
    put_shift(db, named)
    found_hours, found_zone, reason, start, end = shift(db)
    assert (found_hours, found_zone, reason is None) == (hours, zone, named == zone)
    rules = timezone(timedelta(hours=float(zone[:3]), minutes=int(zone[4:]))) if zone[0] in "+-" else ZoneInfo(zone)
    assert (start, end) == tuple(datetime.fromisoformat(one).replace(tzinfo=rules) for one in NIGHT)


@pytest.mark.parametrize(
    ("told", "configured", "zone"),
    [
        ("W. Europe Standard Time", "Europe/Oslo", "Europe/Berlin"),
        ("somewhere", "Europe/Oslo", "Europe/Oslo"),
        (None, "Europe/Oslo", "Europe/Oslo"),
        ("", None, None),
    ],
)
def test_zone_of_a_portal(
    db: duckdb.DuckDBPyConnection, told: str | None, configured: str | None, zone: str | None
) -> None:
    put_portal(db, told, configured)
    put_shift(db, None)
    hours, found, reason, start, _ = shift(db)
    assert (found, hours, start is None) == (zone, 9 if zone else 8, zone is None)
    assert reason
    assert db.execute("SELECT finding FROM sync.findings").fetchall() == [(reason,)]


def test_every_windows_zone_is_an_iana_zone() -> None:
    assert set(WINDOWS_ZONES.values()) <= available_timezones()
    for name, zone in WINDOWS_ZONES.items():
        found = zone_named(name.upper())
        assert found
        assert found.name in (zone, name), "UTC is both"


ZONES = (
    "Europe/Oslo",
    "Europe/London",
    "America/Coyhaique",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "Pacific/Apia",
    "Asia/Kathmandu",
)
LOCAL = st.datetimes(datetime(1991, 1, 1), datetime(2069, 1, 1)).map(  # noqa: DTZ001
    # Planday's local times do not say which of two they are.
    lambda at: at.replace(second=0, microsecond=0, fold=0)
)


def near_changes(zone: str) -> list[datetime]:
    """Local times around each change of a zone's clocks in some years."""
    rules, at, found = ZoneInfo(zone), datetime(2010, 1, 1, tzinfo=UTC), []
    while at.year < 2028:
        later = at + timedelta(hours=6)
        if at.astimezone(rules).utcoffset() != later.astimezone(rules).utcoffset():
            begin = at.astimezone(rules).replace(tzinfo=None) - timedelta(hours=2)
            found += [begin + timedelta(minutes=15 * step) for step in range(60)]
        at = later
    return found


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(LOCAL, st.sampled_from(ZONES), st.integers(1, 1440)), min_size=20, max_size=60), st.data())
def test_instants_are_what_zoneinfo_says(
    empty: duckdb.DuckDBPyConnection, drawn: list[tuple[datetime, str, int]], data: Any
) -> None:
    zone = data.draw(st.sampled_from(ZONES[:6]))
    times = drawn + [(at, zone, 60 + n % 300) for n, at in enumerate(near_changes(zone)[::7])]
    ends = [
        (at.replace(tzinfo=ZoneInfo(name)).astimezone(UTC) + timedelta(minutes=minutes))
        .astimezone(ZoneInfo(name))
        .replace(tzinfo=None)
        for at, name, minutes in times
    ]
    empty.execute("BEGIN")
    empty.execute(
        "INSERT INTO scheduling.shifts (portal, month, id, start_date_time, end_date_time, time_zone) SELECT 'oslo', "
        "'2026-09', unnest(?::BIGINT[]), unnest(?::TIMESTAMP[]), unnest(?::TIMESTAMP[]), unnest(?::VARCHAR[])",
        [list(range(len(times))), [at for at, _, _ in times], ends, [name for _, name, _ in times]],
    )
    write_zones(empty, again=False)
    found = empty.execute(
        "SELECT start_utc, end_utc, hours FROM marts.spans WHERE span_of = 'shift' ORDER BY id"
    ).fetchall()
    empty.execute("ROLLBACK")
    for (at, name, _), end, (start_utc, end_utc, hours) in zip(times, ends, found, strict=True):
        begin = at.replace(tzinfo=ZoneInfo(name)).astimezone(UTC)
        both = [end.replace(tzinfo=ZoneInfo(name), fold=fold).astimezone(UTC) for fold in (0, 1)]
        assert start_utc == begin
        assert end_utc == next((one for one in both if one > begin), both[1])
        assert hours == round(Decimal((end_utc - begin) / timedelta(hours=1)), 4)


@pytest.mark.processes
def test_shifts_as_sent_without_a_usable_zone(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    roster = planday.sandbox.portals["oslo"].roster
    some = next(s for s in roster.shifts.values() if s["employeeId"])
    odd = [None, "", "Romance Standard Time", "europe/oslo", "+01:00", "Etc/GMT-1", "CEST", "Mars/Olympus"]
    numbers = []
    for zone in odd:
        numbers.append(roster.add_shift(some["id"], date(2026, 10, 24)))
        times = {name: at.replace(" ", "T") for name, at in zip(("startDateTime", "endDateTime"), NIGHT, strict=True)}
        roster.edit_shift(numbers[-1], timeZone=zone, **times)
    planday.refresh("portal.portals")
    planday.refresh("scheduling.shifts", month="2026-10")
    planday.publish()
    found = planday.query(f"SELECT hours, start_utc FROM marts.shifts WHERE shift_id IN {tuple(numbers)}")
    assert found == [(Decimal(9), datetime(2026, 10, 24, 20, tzinfo=UTC))] * len(odd)
    assert {zone for (zone,) in planday.query("SELECT DISTINCT zone FROM marts.shifts")} == {
        "Europe/Oslo",
        "Europe/Paris",
    }
    for mart in marts():
        planday.query(f"SELECT * FROM marts.{mart.name}")


def put_people(db: duckdb.DuckDBPyConnection, *hired: date | str | None) -> None:
    for number, day in enumerate(hired):
        put(db, "hr.employees", portal="oslo", id=number, hired_date=day)


@pytest.mark.parametrize(
    "hired", ["0001-01-01", "1753-01-01", "1899-12-30", "-infinity", "9999-12-31", "infinity", None]
)
def test_headcount_reaches_ten_years_back(db: duckdb.DuckDBPyConnection, hired: str | None) -> None:
    put_people(db, "2024-05-17", hired)
    put_months(db, "2025-01", LAST)
    ((first, last, months),) = db.execute(
        "SELECT min(month), max(month), count(*) FROM marts.headcount_monthly"
    ).fetchall()
    this = month_of(datetime.now(UTC).date())
    assert (first, last) == ("2015-01" if hired and hired < "2000" else "2024-05", this)
    assert months < 12 * 15
    # Who is hired at no known time counts, who is hired in the far future does not.
    counted = db.execute(f"SELECT headcount FROM marts.headcount_monthly WHERE month = '{LAST}'").fetchall()
    assert counted == [(1 if hired and hired[0] in "9i" else 2,)]


def test_headcount_without_any_hired_date(db: duckdb.DuckDBPyConnection) -> None:
    put_people(db, None, None)
    found = db.execute("SELECT month, headcount, hired FROM marts.headcount_monthly").fetchall()
    assert found == [(month_of(datetime.now(UTC).date()), 2, 0)]


@pytest.mark.parametrize(
    ("start", "end", "first", "last"),
    [
        ("2026-10-05", "2026-10-07", "2026-10-05", "2026-10-07"),
        ("2024-12-30", "2025-01-02", "2024-12-30", "2025-01-02"),
        ("2026-10-05", "2026-10-05", "2026-10-05", "2026-10-05"),
        ("2026-10-05", "9999-12-31", "2026-10-05", None),
        ("2026-10-05", "infinity", "2026-10-05", None),
        ("2026-10-05", None, "2026-10-05", None),
        ("0001-01-01", "2026-10-05", "2025-01-01", "2026-10-05"),
        ("-infinity", "2026-10-05", "2025-01-01", "2026-10-05"),
        ("0001-01-01", "9999-12-31", "2025-01-01", None),
        ("2026-10-07", "2026-10-05", "none", "none"),
        ("9999-12-31", "0001-01-01", "none", "none"),
        (None, "2026-10-05", "none", "none"),
        (None, None, "none", "none"),
    ],
)
def test_days_of_open_ended_absence(
    db: duckdb.DuckDBPyConnection, start: str | None, end: str | None, first: str, last: str | None
) -> None:
    put_months(db, "2025-01", LAST)
    put(
        db,
        "absence.absence_records",
        portal="oslo",
        id=1,
        employee_id=7,
        status="Approved",
        absence_period_start=start,
        absence_period_end=end,
    )
    ((found_first, found_last, days),) = db.execute(
        "SELECT min(date), max(date), count(*) FROM marts.absence_days"
    ).fetchall()
    if first == "none":
        assert days == 0
        return
    assert found_first == date.fromisoformat(first)
    if last is None:
        ahead = found_last - datetime.now(UTC).date()
        assert timedelta(days=540) < ahead < timedelta(days=560), "as far ahead as absence is asked for"
    else:
        assert found_last == date.fromisoformat(last)
    assert days == (found_last - found_first).days + 1


def test_a_break_without_hours_has_its_times(db: duckdb.DuckDBPyConnection) -> None:
    hours = {"start": "2026-10-05 08:00", "end": "2026-10-05 16:00"}
    put(db, "payroll.shifts", portal="oslo", month="2026-10", id=1, date="2026-10-05", salary=0, wage_rate=0, **hours)
    pause = {"start": "2026-10-05 12:00", "end": "2026-10-05 12:45"}
    put(db, "payroll.shift_breaks", portal="oslo", month="2026-10", shift_id=1, is_paid=False, **pause)
    # A rate of 0 beside a salary of 0 is no pay data.
    assert db.execute("SELECT paid_hours, paid_cost FROM marts.hours").fetchall() == [(Decimal("7.25"), None)]


POOLS: dict[str, list[str]] = {
    "VARCHAR": [
        "NULL",
        "''",
        "'Approved'",
        "'Draft'",
        "'Days'",
        "'HourlyRate'",
        "'1:15:00'",
        "'-0:07:30'",
        "'9999'",
        "'%'",
    ],
    "BIGINT": ["NULL", "0", "1", "2", "-1", "9223372036854775807", "-9223372036854775808"],
    "BOOLEAN": ["NULL", "true", "false"],
    "DATE": ["NULL", "'0001-01-01'", "'9999-12-31'", "'infinity'", "'-infinity'", "'2026-10-25'", "'1582-10-10'"],
    "DECIMAL(18,4)": ["NULL", "0", "-0.0001", "99999999999999.9999", "-99999999999999.9999"],
    "JSON": ["NULL"],
}
STAMPS = [f"'{day[1:-1]}'" if "inf" in day else f"'{day[1:-1]} 23:59:59.999999'" for day in POOLS["DATE"][1:]]
POOLS["TIMESTAMP"] = ["NULL", *STAMPS, "'2026-10-25 02:30'", "'2026-03-29 02:30'"]
POOLS["TIMESTAMP WITH TIME ZONE"] = ["NULL", "'infinity'", "'2026-10-25 02:30+00'"]
ODD_ZONES = ["NULL", "''", "'Europe/Oslo'", "'Nowhere'", "'+02:00'", "'America/Coyhaique'", "'Romance Standard Time'"]


def odd(chance: random.Random, name: str, kind: str) -> str:
    """An SQL literal of a type, as odd as it may be."""
    if name == "portal":
        return chance.choice(["'oslo'", "'bergen'"])
    if name == "month":
        return chance.choice(["'2026-10'", "'2026-09'"])
    if "time_zone" in name:
        return chance.choice(ODD_ZONES)
    if kind.endswith("[]"):
        return (
            chance.choice(["NULL", "[]", "[NULL]"])
            if "STRUCT" in kind
            else chance.choice(["NULL", "[]", "[NULL, 1, 1]"])
        )
    return f"CAST({chance.choice(POOLS[kind])} AS {kind})"


@pytest.mark.processes
@pytest.mark.parametrize("seed", range(2))
def test_no_mart_fails_because_of_data(db: duckdb.DuckDBPyConnection, seed: int) -> None:
    """Every table full of whatever its types allow; ids from a handful of values, so that rows meet in joins."""
    chance = random.Random(seed)
    for table in CATALOGUE.tables():
        columns = duckdb_columns(table, PrivacyPolicy())
        rows = [f"({', '.join(odd(chance, *column) for column in columns)})" for _ in range(12)]
        db.execute(f"INSERT INTO {sql_name(table)} VALUES {', '.join(rows)}")
    put_months(db, "2026-09", "2026-10")
    for name, value in (("bradford", "true"), ("pay_gap_by", chance.choice(["department", "employee_group"]))):
        put(db, "sync.mart_settings", portal="oslo", name=name, value=value)
    write_zones(db, again=False)
    for mart in marts():
        rows_found = len(db.execute(f"SELECT * FROM marts.{mart.name}").fetchall())
        assert rows_found < 60_000, mart.name
    db.execute("SELECT * FROM sync.findings").fetchall()
    for macro in macros():
        db.execute(f"SELECT * FROM marts.{macro.name}()").fetchall()
    for question in marts()[seed % len(marts())].questions:
        db.execute(question.sql).fetchall()
