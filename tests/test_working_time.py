"""`marts.work_periods`, `working_time` and `working_time_findings`: planted and random, as plain Python says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings

from planday_io.config.model import MartSettings
from planday_io.warehouse.settings import write_settings
from planday_io.warehouse.zones import write_zones
from tests.support.rosters import ROSTERS, ZONES, Punch, Shift, day_off, plant
from tests.support.tables import put
from tests.support.working_time import days_of, findings_of, firsts_of, periods_of

Db = duckdb.DuckDBPyConnection
D = Decimal
LIMITS = {"daily_rest": 11, "weekly_rest": 60, "weekly_hours": 8, "over_weeks": 3, "break_after": 4, "days_in_row": 2}
NAMES = {"hours": "hours", "start": "start_utc", "end": "end_utc", "rest": "rest_hours", "in_row": "days_in_row",
    "week": "week_hours", "week_rest": "week_rest_hours", "average": "average_week_hours",
    "weeks": "average_weeks"}  # fmt: skip


def put_rules(db: Db) -> None:
    db.execute("DELETE FROM sync.working_time_rules")
    for portal in ZONES:
        for rule in LIMITS.keys() - {"over_weeks"}:
            over = {"over_weeks": LIMITS["over_weeks"]} if rule == "weekly_hours" else {}
            put(db, "sync.working_time_rules", portal=portal, rule=rule, limit_value=LIMITS[rule], unit="hours", **over)


@pytest.mark.processes
@settings(max_examples=8)
@given(ROSTERS)
def test_working_time_is_what_plain_python_says(empty: Db, drawn: list[Shift]) -> None:
    # Some shifts again on the two days after, so that days in a row and averages have something to count.
    more = [day_off(one, days) for one in drawn[:8] for days in (1, 2, 7)]
    numbered = [Shift(**{**vars_of(one), "number": 500 + n}) for n, one in enumerate(more)]
    shifts = drawn + numbered
    empty.execute("BEGIN")
    try:
        plant(empty, shifts)
        put_rules(empty)
        columns = [f"{basis}_{name}" for basis in ("planned", "worked") for name in NAMES.values()]
        rows = empty.execute(
            f"SELECT portal, employee_id, date, {', '.join(columns)} FROM marts.working_time"
        ).fetchall()
        register = empty.execute(
            "SELECT portal, employee_id, basis, worked_by, shift_id, punch_id, start_local, end_local, start_utc, "
            "end_utc, hours, longest_stretch_hours FROM marts.work_periods"
        ).fetchall()
        findings = empty.execute(
            "SELECT portal, employee_id, basis, rule, period_start, period_end, value, shift_ids, punch_ids "
            "FROM marts.working_time_findings"
        ).fetchall()
    finally:
        empty.execute("ROLLBACK")
    by_person, firsts = periods_of(shifts), firsts_of(shifts)
    assert sorted(register, key=repr) == sorted(
        (
            (*key, one.by, one.shift, one.punch, *one.local, *one.span, one.hours, one.stretch)
            for key, periods in by_person.items()
            for one in periods
        ),
        key=repr,
    )
    found = {row[:3]: dict(zip(columns, row[3:], strict=True)) for row in rows}
    assert len(found) == len(rows)
    expected: dict[Any, dict[str, Any]] = {}
    for (portal, person, basis), periods in by_person.items():
        for day, row in days_of(periods, ZONES[portal], LIMITS["over_weeks"], firsts[portal, person, basis]).items():
            expected.setdefault((portal, person, day), {}).update(
                {f"{basis}_{NAMES[name]}": value for name, value in row.items()}
            )
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        for name, value in values.items():
            shown = found[key][name]
            same = abs(float(shown) - value) < 0.00011 if isinstance(value, float) else shown == value
            assert same, (key, name, shown, value)
    listed = [(*row[:7], tuple(row[7] or ()), tuple(row[8] or ())) for row in findings]
    assert [rounded(one) for one in sorted(listed)] == [rounded(one) for one in findings_of(by_person, LIMITS, firsts)]


@pytest.mark.parametrize(("begins", "came", "rest"), [(120, 105, D("121.75")), (90, 130, D(122))])
def test_punch_across_the_week_ends_its_rest(db: Db, begins: int, came: int, rest: Decimal) -> None:
    """Of Monday's shift, punched from Sunday 23:45, and of Sunday's, punched from Monday 0:10. Clocks went back on Sunday."""
    evening = datetime(2025, 10, 26, 22)  # noqa: DTZ001 - a wall clock
    hour = timedelta(hours=1)
    tuesday = (evening - timedelta(days=5), evening - timedelta(days=5) + hour)
    begin, from_ = (evening + timedelta(minutes=one) for one in (begins, came))
    first = Punch(11, *tuesday, is_approved=False, begin=tuesday[0], end=tuesday[1])
    second = Punch(12, from_, from_ + hour, is_approved=False, begin=begin, end=begin + hour)
    plant(db, [
        Shift("oslo", 1, 10, 1, *tuesday, "Assigned", None, [first]),
        Shift("oslo", 2, 10, 1, begin, begin + hour, "Assigned", None, [second]),
    ])  # fmt: skip
    found = db.execute("SELECT worked_week_rest_hours FROM marts.working_time WHERE date = '2025-10-21'").fetchone()
    assert found == (rest,)


@pytest.mark.processes
@settings(max_examples=8)
@given(ROSTERS)
def test_some_days_are_those_of_the_view(empty: Db, drawn: list[Shift]) -> None:
    """Of October, when the shifts of March are too long ago to be read: rest since then is not known."""
    more = [day_off(one, days) for one in drawn[:8] for days in (1, 2, 7)]
    shifts = drawn + [Shift(**{**vars_of(one), "number": 500 + n}) for n, one in enumerate(more)]
    noon = datetime(2025, 10, 2, 12)  # noqa: DTZ001 - a wall clock
    shifts.append(Shift("oslo", 600, 12, 3, noon, noon + timedelta(hours=14), "Approved", None))
    first, last = date(2025, 10, 1), date(2025, 10, 27)
    days = f"date BETWEEN '{first}' AND '{last}'"
    some = f"(from_date := '{first}', to_date := '{last}')"
    rests = [f"{basis}_rest_hours" for basis in ("planned", "worked")]
    shown = ", ".join(
        f"CASE WHEN {rest.removesuffix('_rest_hours')}_start_utc - to_hours(CAST({rest} AS BIGINT)) > '2025-06-01' "
        f"THEN {rest} END AS {rest}"
        for rest in rests
    )
    empty.execute("BEGIN")
    try:
        plant(empty, shifts)
        put_rules(empty)
        for rows, expected in (
            (f"marts.working_time_between{some}", f"(SELECT * REPLACE ({shown}) FROM marts.working_time WHERE {days})"),
            (f"marts.working_time_findings_between{some}", f"(FROM marts.working_time_findings WHERE {days})"),
        ):
            found = empty.execute(f"FROM {rows} ORDER BY ALL").fetchall()
            assert found == empty.execute(f"FROM {expected} ORDER BY ALL").fetchall()
            assert found, "fourteen hours on end are a row and a finding"
    finally:
        empty.execute("ROLLBACK")


@pytest.mark.parametrize("name", ["working_time_between", "working_time_findings_between"])
def test_too_short_a_look_back_is_an_error(db: Db, name: str) -> None:
    put_shifts(db, ("2025-01-02 08:00", "2025-01-02 23:00"))
    for rule, limit, weeks in (("weekly_hours", 48, 26), ("daily_rest", 11, None)):
        put(db, "sync.working_time_rules", portal="oslo", rule=rule, limit_value=limit, over_weeks=weeks)
    assert db.execute(f"FROM marts.{name}(from_date := '2025-01-01', look_back_weeks := 26)").fetchall()
    with pytest.raises(duckdb.Error, match="pass look_back_weeks := 26"):
        db.execute(f"FROM marts.{name}(from_date := '2025-01-01')")


def vars_of(shift: Shift) -> dict[str, Any]:
    return {name: getattr(shift, name) for name in Shift.__dataclass_fields__}


def rounded(finding: Any) -> Any:
    return (*finding[:6], round(finding[6], 3), *finding[7:])


def put_shifts(db: Db, *spans: tuple[str, str], **more: Any) -> None:
    usual = {
        "portal": "oslo",
        "employee_id": 1,
        "department_id": 10,
        "status": "Approved",
        "time_zone": "Europe/Copenhagen",
    }
    for number, (begin, end) in enumerate(spans, 1):
        times = {"date": begin[:10], "start_date_time": begin, "end_date_time": end}
        put(db, "scheduling.shifts", month=begin[:7], id=number, **(usual | times | more))
    write_zones(db, again=False)


def breaches(db: Db, rule: str, columns: str = "value") -> list[Any]:
    query = f"SELECT {columns} FROM marts.working_time_findings WHERE basis = 'worked' AND rule = ? ORDER BY ALL"
    return db.execute(query, [rule]).fetchall()


@pytest.mark.parametrize(
    ("spans", "rests"),
    [
        ([("2025-09-08 15:00", "2025-09-08 23:00"), ("2025-09-09 10:00", "2025-09-09 18:00")], []),
        ([("2025-09-08 15:00", "2025-09-08 23:00"), ("2025-09-09 08:00", "2025-09-09 16:00")], [9]),
        # The night on which an hour is skipped, and the one on which it comes twice.
        ([("2025-03-29 14:00", "2025-03-29 22:00"), ("2025-03-30 09:00", "2025-03-30 12:00")], [10]),
        ([("2025-10-25 14:00", "2025-10-25 22:30"), ("2025-10-26 08:30", "2025-10-26 12:00")], []),
        # A day in two parts leaves enough rest; a night in two parts as well; 14 hours on end do not.
        ([("2025-09-08 08:00", "2025-09-08 12:00"), ("2025-09-08 16:00", "2025-09-08 21:00")], []),
        ([("2025-09-08 18:00", "2025-09-08 23:00"), ("2025-09-09 00:30", "2025-09-09 03:00")], []),
        ([("2025-09-08 08:00", "2025-09-08 22:00")], [10]),
        # The day in two parts is followed too early: one finding, not one per part.
        ([("2025-09-08 10:00", "2025-09-08 14:00"), ("2025-09-08 17:00", "2025-09-08 22:00"),
            ("2025-09-09 07:00", "2025-09-09 15:00")], [9]),
    ],
)  # fmt: skip
def test_daily_rest_of_eleven_hours(db: Db, spans: list[tuple[str, str]], rests: list[int]) -> None:
    put_shifts(db, *spans)
    ids = list(range(1, len(spans) + 1))
    assert breaches(db, "daily_rest", "value, limit_value, unit, shift_ids") == [
        (rest, 11, "hours", ids) for rest in rests
    ]


def week(*days: int, begin: str = "08:00", end: str = "16:00", weeks: int = 1) -> Iterator[tuple[str, str]]:
    for number in range(weeks):
        for day in days:
            at = date(2025, 1, 6) + timedelta(days=7 * number + day)
            yield f"{at} {begin}", f"{at} {end}"


def test_weekly_rest_is_the_longest_of_the_week(db: Db) -> None:
    """Work on each day with 16 hours between; with one day off it is 40."""
    put_shifts(db, *week(0, 1, 2, 3, 4, 5, 6))
    assert breaches(db, "weekly_rest", "value, period_start, period_end") == [(16, date(2025, 1, 6), date(2025, 1, 12))]
    db.execute("DELETE FROM scheduling.shifts WHERE id = 3")
    assert breaches(db, "weekly_rest") == []


def test_days_in_a_row_is_one_finding(db: Db) -> None:
    write_settings(db, {"oslo": MartSettings.model_validate({"working_time": {"preset": "dk"}})})
    put_shifts(db, *week(0, 1, 2, 3, 4, 5, 6, 7))
    assert breaches(db, "days_in_row", "value, limit_value, period_start, period_end, shift_ids, unit") == [
        (8, 6, date(2025, 1, 6), date(2025, 1, 13), list(range(1, 9)), "days")
    ]


def test_average_week_counts_the_reference_period(db: Db) -> None:
    """50 hours a week: a finding once 17 weeks are known, and after a week of leave it is 47.06."""
    put_shifts(db, *week(0, 1, 2, 3, 4, end="18:00", weeks=17))
    assert breaches(db, "weekly_hours", "value, period_start, period_end") == [(50, date(2025, 1, 6), date(2025, 5, 4))]
    db.execute("DELETE FROM scheduling.shifts WHERE id BETWEEN 31 AND 35")
    assert breaches(db, "weekly_hours") == []
    shown = db.execute(
        "SELECT DISTINCT worked_average_week_hours FROM marts.working_time WHERE worked_average_weeks = 17"
    ).fetchall()
    assert shown == [(D("47.0588"),)]


def test_break_is_missed_where_breaks_are_punched(db: Db) -> None:
    """Six and a half hours on end; in a department where nobody punches breaks that is not known."""
    times = {
        "start_date_time": "2025-09-08 08:00",
        "end_date_time": "2025-09-08 16:00",
        "time_zone": "UTC",
        "month": "2025-09",
    }
    for number, department in ((1, 10), (2, 11)):
        put(
            db,
            "punchclock.punch_clock_shifts",
            portal="oslo",
            id=number,
            employee_id=number,
            department_id=department,
            **times,
        )
    pause = {"start_date_time": "2025-09-08 14:30", "end_date_time": "2025-09-08 15:00"}
    put(
        db,
        "punchclock.punch_clock_breaks",
        portal="oslo",
        month="2025-09",
        id=1,
        punch_clock_shift_id=1,
        time_zone="UTC",
        **pause,
    )
    write_zones(db, again=False)
    assert breaches(db, "break_after", "value, limit_value, employee_id, punch_ids") == [(D("6.5"), 6, 1, [1])]


def test_planned_break_is_missed_where_costs_say_so(db: Db) -> None:
    put_shifts(db, ("2025-09-08 08:00", "2025-09-08 16:00"), status="Assigned")
    cost = {"shift_id": 1, "ordinal": 1, "duration": "0:08:00", "cost": 100}
    query = "SELECT value FROM marts.working_time_findings WHERE basis = 'planned' AND rule = 'break_after'"
    assert db.execute(query).fetchall() == []
    put(db, "scheduling.time_and_costs", portal="oslo", month="2025-09", department_id=10, date="2025-09-08", **cost)
    assert db.execute(query).fetchall() == [(8,)]
    db.execute("UPDATE scheduling.time_and_costs SET duration = '0:07:30'")
    assert db.execute(query).fetchall() == []


def test_unfinished_weeks_say_nothing_of_worked_rest(db: Db) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    put_shifts(
        db,
        (f"{now - timedelta(minutes=90):%Y-%m-%d %H:%M}", f"{now - timedelta(minutes=60):%Y-%m-%d %H:%M}"),
        time_zone="UTC",
    )
    columns = "worked_hours, worked_week_rest_hours, worked_average_week_hours"
    assert db.execute(f"SELECT {columns} FROM marts.working_time").fetchall() == [(D("0.5"), None, None)]


def test_absurd_dates_are_no_work(db: Db) -> None:
    put_shifts(db, ("2025-09-08 08:00", "9999-12-31 23:59"), ("2025-09-09 08:00", "2025-09-09 16:00"))
    assert db.execute("SELECT date, worked_rest_hours, worked_hours FROM marts.working_time").fetchall() == [
        (date(2025, 9, 9), None, 8)
    ]


@pytest.mark.parametrize("end", ["2025-09-10 08:00", "2025-09-08 08:00", "2025-09-08 07:00", "infinity", None])
def test_approved_shifts_count_where_punches_are_useless(db: Db, end: str | None) -> None:
    """The punch ends after two days, at once, before it begins, or never; approved times of no length say nothing either."""
    put_shifts(db, ("2025-09-08 08:00", "2025-09-08 16:00"))
    punch = {"start_date_time": "2025-09-08 08:00", "end_date_time": end, "shift_id": 1, "employee_id": 1}
    put(db, "punchclock.punch_clock_shifts", portal="oslo", month="2025-09", id=1, department_id=10, **punch)
    write_zones(db, again=False)
    query = "SELECT worked_by, punch_id, hours FROM marts.work_periods WHERE basis = 'worked'"
    assert db.execute(query).fetchall() == [("approved", None, 8)]
    approved = (
        "is_approved = true, shift_start_date_time = '2025-09-08 08:00', shift_end_date_time = '2025-09-08 08:00'"
    )
    db.execute(f"UPDATE punchclock.punch_clock_shifts SET {approved}")
    assert db.execute(query).fetchall() == [("approved", None, 8)]


@pytest.mark.parametrize("begin", ["2025-03-29", "2025-10-25"])
@pytest.mark.parametrize(("size", "hours"), [(36, None), (37, 8)])
def test_the_longest_punch_is_by_the_wall_clock(db: Db, begin: str, size: int, hours: int | None) -> None:
    """On the nights when clocks change a punch of 36 hours is one of 35 or 37; a longer one leaves the shift its hours."""
    put_shifts(db, (f"{begin} 12:00", f"{begin} 20:00"))
    end = datetime.fromisoformat(f"{begin} 12:00") + timedelta(hours=size)
    punch = {"start_date_time": f"{begin} 12:00", "end_date_time": end, "time_zone": "UTC", "employee_id": 1}
    put(db, "punchclock.punch_clock_shifts", portal="oslo", month=begin[:7], id=1, shift_id=1, **punch)
    ((found,),) = db.execute("SELECT hours FROM marts.work_periods WHERE basis = 'worked'").fetchall()
    assert found == (hours or (35 if "03" in begin else 37))


def test_a_punch_without_employee_is_the_shifts(db: Db) -> None:
    put_shifts(db, ("2025-09-08 08:00", "2025-09-08 16:00"))
    punch = {"start_date_time": "2025-09-08 08:10", "end_date_time": "2025-09-08 16:10", "shift_id": 1}
    put(db, "punchclock.punch_clock_shifts", portal="oslo", month="2025-09", id=1, **punch)
    assert db.execute("SELECT employee_id, worked_hours, worked_by FROM marts.working_time").fetchall() == [
        (1, 8, "punched")
    ]


def test_nights_punched_before_midnight_are_days_in_a_row(db: Db) -> None:
    """Four shifts from midnight on, two of them punched some minutes before it: four days of eight hours."""
    nights = [(f"2025-09-0{day} 00:00", f"2025-09-0{day} 08:00") for day in range(1, 5)]
    put_shifts(db, *nights)
    for number, came in enumerate(("2025-08-31 23:55", "2025-09-02 00:05", "2025-09-02 23:55", "2025-09-04 00:04"), 1):
        punch = {"start_date_time": came, "end_date_time": nights[number - 1][1], "shift_id": number, "employee_id": 1}
        put(db, "punchclock.punch_clock_shifts", portal="oslo", month=came[:7], id=number, **punch)
    rows = db.execute("SELECT date, round(worked_hours), worked_days_in_row FROM marts.working_time ORDER BY date")
    assert rows.fetchall() == [(date(2025, 9, day), 8, day) for day in range(1, 5)]


@pytest.mark.parametrize("mart", ["working_time_between", "overtime_over", "attendance_exceptions"])
@pytest.mark.parametrize("days", [("NULL", "NULL"), ("'-infinity'", "'infinity'"), ("'0001-01-01'", "'9999-12-31'")])
def test_all_days_are_the_rows_without_days(db: Db, mart: str, days: tuple[str, str]) -> None:
    put_shifts(db, *week(0, 1, 2, 3, 4, end="17:00"))
    punch = {"start_date_time": "2025-01-06 08:00", "shift_id": 1, "department_id": 10, "employee_id": 1}
    put(db, "punchclock.punch_clock_shifts", portal="oslo", month="2025-01", id=1, **punch)
    some = "from_date := CAST({} AS DATE), to_date := CAST({} AS DATE)".format(*days)
    rows = db.execute(f"FROM marts.{mart}({some}) ORDER BY ALL").fetchall()
    assert rows == db.execute(f"FROM marts.{mart}() ORDER BY ALL").fetchall() != []


def test_why_worked_hours_are_missing(db: Db) -> None:
    later = datetime.now(UTC) + timedelta(days=40)
    ahead = (f"{later:%Y-%m-%d} 08:00", f"{later:%Y-%m-%d} 16:00")
    put_shifts(
        db, ("2025-09-08 08:00", "2025-09-08 16:00"), ("2025-09-09 08:00", "2025-09-09 16:00"), ahead, status="Assigned"
    )
    punch = {"start_date_time": "2025-09-09 08:00", "time_zone": "UTC", "shift_id": 2, "employee_id": 1}
    put(db, "punchclock.punch_clock_shifts", portal="oslo", month="2025-09", id=1, department_id=10, **punch)
    assert db.execute("SELECT worked_gap FROM marts.working_time ORDER BY date").fetchall() == [
        ("nothing recorded",),
        ("not punched out",),
        ("not yet",),
    ]
