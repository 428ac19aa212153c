"""Local times to instants, in SQL and in the file that analysts open.

The oracle is Python's zoneinfo, which knows folds and gaps by PEP 495.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planday_io.sandbox.labour import hours
from planday_io.warehouse.definitions import INSTANTS
from tests.support.installation import EVERYTHING, Make

ZONES = ("Europe/Copenhagen", "Europe/London", "Africa/Lagos")


@pytest.fixture(scope="module")
def db() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(INSTANTS.read_text())
    return connection


def ask(db: duckdb.DuckDBPyConnection, sql: str, *values: object) -> object:
    row = db.execute(f"SELECT {sql}", [*values]).fetchone()
    assert row is not None
    return row[0]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        # Clocks go back: 02:00 to 03:00 happens twice in Copenhagen, 01:00 to 02:00 in London; never in Lagos.
        ("Europe/Copenhagen", "2026-10-25 01:59", "2026-10-24 23:59"),
        ("Europe/Copenhagen", "2026-10-25 02:30", "2026-10-25 00:30"),
        ("Europe/Copenhagen", "2026-10-25 03:00", "2026-10-25 02:00"),
        ("Europe/London", "2026-10-25 01:30", "2026-10-25 00:30"),
        ("Europe/London", "2026-10-25 02:30", "2026-10-25 02:30"),
        ("Africa/Lagos", "2026-10-25 02:30", "2026-10-25 01:30"),
        # Clocks go forward: 02:30 does not exist in Copenhagen, 01:30 not in London.
        ("Europe/Copenhagen", "2026-03-29 01:59", "2026-03-29 00:59"),
        ("Europe/Copenhagen", "2026-03-29 02:30", "2026-03-29 01:30"),
        ("Europe/Copenhagen", "2026-03-29 03:00", "2026-03-29 01:00"),
        ("Europe/London", "2026-03-29 01:30", "2026-03-29 01:30"),
        ("Africa/Lagos", "2026-03-29 02:30", "2026-03-29 01:30"),
    ],
)
def test_begins_on_the_nights_when_clocks_change(
    db: duckdb.DuckDBPyConnection, zone: str, local: str, instant: str
) -> None:
    assert ask(db, f"first_instant(TIMESTAMP '{local}', '{zone}')") == utc(instant)


@pytest.mark.parametrize(
    ("zone", "start", "end", "hours"),
    [
        ("Europe/Copenhagen", "2026-10-24 22:00", "2026-10-25 06:00", "9"),
        ("Europe/Copenhagen", "2026-10-24 18:30", "2026-10-25 02:30", "8"),
        ("Europe/Copenhagen", "2026-10-25 02:45", "2026-10-25 02:15", "0.5"),
        ("Europe/Copenhagen", "2026-03-28 22:00", "2026-03-29 06:00", "7"),
        ("Europe/London", "2026-10-24 22:00", "2026-10-25 06:00", "9"),
        ("Europe/London", "2026-03-28 22:00", "2026-03-29 06:00", "7"),
        ("Africa/Lagos", "2026-10-24 22:00", "2026-10-25 06:00", "8"),
        ("Africa/Lagos", "2026-03-28 22:00", "2026-03-29 06:00", "8"),
    ],
)
def test_hours_of_night_shifts(db: duckdb.DuckDBPyConnection, zone: str, start: str, end: str, hours: str) -> None:
    found = ask(db, f"hours_between(TIMESTAMP '{start}', TIMESTAMP '{end}', '{zone}')")
    assert found == Decimal(hours)


@given(
    local=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(microsecond=0)),  # noqa: DTZ001
    zone=st.sampled_from([*ZONES, "Australia/Lord_Howe", "America/New_York"]),
)
def test_begins_are_what_zoneinfo_says(db: duckdb.DuckDBPyConnection, local: datetime, zone: str) -> None:
    expected = local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    assert ask(db, f"first_instant(TIMESTAMP '{local}', '{zone}')") == expected


@given(
    start=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1)).map(lambda at: at.replace(microsecond=0)),  # noqa: DTZ001
    minutes=st.integers(1, 1440),
    zone=st.sampled_from(ZONES),
)
def test_no_shift_ends_before_it_begins(
    db: duckdb.DuckDBPyConnection, start: datetime, minutes: int, zone: str
) -> None:
    begin = start.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
    end = (begin + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    found = ask(db, f"end_instant(TIMESTAMP '{start}', TIMESTAMP '{end}', '{zone}')")
    assert isinstance(found, datetime)
    assert found > begin
    # Only an end in the repeated hour has two meanings.
    assert found in {end.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}


@pytest.mark.parametrize("zone", ["Romance Standard Time", "Nowhere/Land", "", " ", "+02:00:00:00", None])
def test_macros_are_null_without_a_zone(db: duckdb.DuckDBPyConnection, zone: str | None) -> None:
    begin, end = (f"CAST('2026-10-2{day} 06:00' AS TIMESTAMP)" for day in (4, 5))
    for call in (
        f"first_instant({begin}, $1)",
        f"end_instant({begin}, {end}, $1)",
        f"hours_between({begin}, {end}, $1)",
    ):
        assert ask(db, call, zone) is None


@pytest.mark.parametrize("zone", ["europe/copenhagen", "EUROPE/COPENHAGEN", " Europe/Copenhagen "])
def test_macros_take_zones_in_any_case(db: duckdb.DuckDBPyConnection, zone: str) -> None:
    hours = ask(db, "hours_between(TIMESTAMP '2026-10-24 22:00', TIMESTAMP '2026-10-25 06:00', $1)", zone)
    assert hours == Decimal(9)


def test_local_times_keep_their_zone(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    roster = planday.sandbox.portals["london"].roster
    # A night on which clocks change.
    night = next(s for s in roster.shifts.values() if s["startDateTime"].endswith("T22:00") and hours(s) in (7, 9))
    planday.read_months([night["date"][:7]], "london")
    (found,) = planday.query(
        f"SELECT start_date_time, end_date_time, time_zone FROM scheduling.shifts WHERE id = {night['id']}"
    )
    assert found == (
        datetime.fromisoformat(night["startDateTime"]),
        datetime.fromisoformat(night["endDateTime"]),
        "Europe/London",
    )
    assert planday.query("SELECT DISTINCT time_zone FROM punchclock.punch_clock_shifts") == [("Europe/London",)]
    # Time and cost of the same night, without the unpaid half hour: the two ways to count agree.
    (differing,) = planday.query(
        "SELECT count(*) FROM marts.planned_costs AS c JOIN scheduling.shifts AS s ON s.id = c.shift_id "
        "WHERE abs(hours_between(s.start_date_time, s.end_date_time, s.time_zone) - c.hours) NOT IN (0, 0.5)"
    )[0]
    assert differing == 0
    (differing,) = planday.query(
        "SELECT count(*) FROM marts.spans AS t JOIN scheduling.shifts AS s USING (id) WHERE t.span_of = 'shift' AND "
        "(t.hours <> hours_between(s.start_date_time, s.end_date_time, s.time_zone) OR t.start_utc <> "
        "first_instant(s.start_date_time, s.time_zone) OR t.end_utc <> end_instant(start_local, end_local, time_zone))"
    )[0]
    assert differing == 0
