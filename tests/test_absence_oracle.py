"""`marts.absence_monthly` over random rosters and absence records, as plain Python says; and what the settings do to it.

Two portals, both kinds of sources on one day, parts of a day, the night on which clocks change, drafts and open shifts, and
sickness 52 weeks earlier.
"""

from __future__ import annotations

import itertools
from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.catalogue.absence_kinds import guessed_absence
from planday_io.config.model import MartSettings
from planday_io.warehouse.settings import write_settings
from planday_io.warehouse.zones import write_zones
from tests.support.tables import put

Db = duckdb.DuckDBPyConnection
D = Decimal
ZONES = {"oslo": "Europe/Oslo", "perth": "America/St_Johns"}
TYPES = {
    50: ("Normal", "work", ""),
    51: ("Sygdom", "absence", "sickness"),
    52: ("Ferie", "absence", "vacation"),
    53: ("Fri", "absence", "other"),
    54: ("Kursus", "work", ""),
    55: ("Bagvagt", "neither", ""),
    56: ("Ulønnet", "neither", ""),
}
ACCOUNT_TYPES = ((600, "Ferie, optjent", "Vacation"), (601, "Egen sygdom", "Care"), (602, "Flex", "Flextime"))
ACCOUNTS = {500: "vacation", 501: "sickness", 502: "other", None: "other", 509: "other"}
IDS = itertools.count(1)
KINDS = ("sickness", "vacation", "other")
DAYS = st.one_of(
    st.integers(0, 20).map(lambda n: date(2025, 10, 18) + timedelta(days=n)),
    st.integers(0, 9).map(lambda n: date(2024, 10, 26) + timedelta(days=n)),
    st.integers(0, 3).map(lambda n: date(2025, 3, 28) + timedelta(days=n)),
)
PEOPLE = st.sampled_from([("oslo", 1), ("oslo", 2), ("perth", 1)])
SHIFT = st.tuples(
    PEOPLE,
    DAYS,
    st.sampled_from([None, None, *TYPES]),
    st.integers(0, 92),
    st.integers(0, 40),
    st.sampled_from(["Assigned", "Assigned", "Approved", "Draft", "Open"]),
)
COST = st.sampled_from([("Days", D(-1)), ("Days", D("-0.5")), ("Days", D("0.25")), ("Days", D(0)), ("Hours", D(-2)),
    ("Hours", D("-7.4")), ("Minutes", D(-5))])  # fmt: skip
ENTRY = st.tuples(st.integers(0, 4), st.sampled_from([*ACCOUNTS]), st.lists(COST, max_size=2), st.booleans())
RECORD = st.tuples(
    PEOPLE, DAYS, st.integers(0, 9), st.lists(ENTRY, max_size=3), st.sampled_from(["Approved", "Approved", "Declined"])
)


@dataclass
class Day:
    """What is known of a person and day."""

    planned: Decimal = field(default_factory=Decimal)
    of_shift: Decimal | None = None
    kinds: set[str] = field(default_factory=set)
    is_record: bool = False
    days: Decimal | None = None
    hours: Decimal | None = None
    is_whole: bool = False
    is_registered: bool = False
    is_sick: bool = False
    works: bool = False

    @property
    def of_roster(self) -> Decimal:
        return self.planned + (self.of_shift or 0)

    @property
    def by_record(self) -> Decimal:
        if not self.is_record:
            return D(0)
        if self.days is not None:
            return min(abs(self.days), D(1))
        if self.is_whole or self.hours is None or self.of_roster <= 0:
            return D(1)
        return min(_four(abs(self.hours) / self.of_roster), D(1))

    @property
    def part(self) -> Decimal:
        by_shift = D(0)
        if self.of_shift is not None:
            by_shift = _four(self.of_shift / self.of_roster) if self.planned > 0 else D(1)
        return max(self.by_record, by_shift)

    @property
    def absent(self) -> Decimal | None:
        """Hours of absence."""
        if self.part <= 0 or (self.hours is None and self.of_roster <= 0):
            return None
        told = abs(self.hours) if self.hours is not None else _four(self.by_record * self.of_roster)
        return max(self.of_shift or D(0), told)


def between(begin: datetime, end: datetime, zone: str) -> Decimal:
    """Hours between two wall clock times; in an hour that comes twice the first start counts, and the first end behind it."""
    rules = ZoneInfo(zone)
    first = begin.replace(tzinfo=rules).astimezone(UTC)
    ends = [end.replace(tzinfo=rules, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return _four(Decimal((next((one for one in ends if one > first), ends[1]) - first) / timedelta(hours=1)))


def _four(value: Decimal) -> Decimal:
    return value.quantize(D("0.0001"), ROUND_HALF_UP)


Known = dict[tuple[str, int], dict[date, Day]]


def plant(db: Db, shifts: list[Any], records: list[Any]) -> Known:
    """Put the rows, and say what they mean, a person and day at a time."""
    known: Known = defaultdict(lambda: defaultdict(Day))
    for portal in ZONES:
        for number, (name, _, _) in TYPES.items():
            put(db, "scheduling.shift_types", portal=portal, id=number, name=name)
        for number, name, kind in ACCOUNT_TYPES:
            put(db, "absence.account_types", portal=portal, id=number, name=name, absence_type=kind)
            put(db, "absence.accounts", portal=portal, id=number - 100, type_id=number)
        put(db, "sync.slices", portal=portal, table_name="scheduling.shifts", month="2024-10")
    write_settings(db, {"oslo": MartSettings(bradford=True), "perth": MartSettings()})
    for number, ((portal, person), day, kind, quarter, length, status) in enumerate(shifts, 1):
        begin = datetime.combine(day, time()) + timedelta(minutes=15 * quarter)
        end = begin + timedelta(minutes=15 * length)
        whose = None if status == "Open" else person
        put(db, "scheduling.shifts", portal=portal, month=f"{day:%Y-%m}", id=number, employee_id=whose, date=day,
            shift_type_id=kind, status=status, start_date_time=begin, end_date_time=end, time_zone=ZONES[portal])  # fmt: skip
        _, sort, absence = TYPES[kind] if kind else ("", "work", "")
        if status in ("Draft", "Open") or sort == "neither":
            continue
        of_day, hours = known[portal, person][day], between(begin, end, ZONES[portal])
        if sort == "work":
            of_day.planned += hours
            of_day.works = True
        else:
            of_day.of_shift = (of_day.of_shift or 0) + hours
            of_day.kinds.add(absence)
            of_day.is_sick |= absence == "sickness"
    for number, record in enumerate(records, 1):
        _plant_record(db, known, number, record)
    for days in known.values():
        for of_day in days.values():
            of_day.is_sick |= (
                of_day.is_record and "sickness" in of_day.kinds and (of_day.days is None or of_day.days != 0)
            )
    write_zones(db, again=False)
    return known


def _plant_record(db: Db, known: Known, number: int, record: Any) -> None:
    whose, first, length, entries, status = record
    portal, person = whose
    is_approved = status == "Approved"
    last = first + timedelta(days=length)
    put(db, "absence.absence_records", portal=portal, id=number, employee_id=person, absence_period_start=first,
        absence_period_end=last, status=status)  # fmt: skip
    for ordinal, (offset, account, costs, is_whole) in enumerate(entries):
        day = first + timedelta(days=offset)
        put(db, "absence.absence_record_registrations", portal=portal, absence_record_id=number, ordinal=ordinal, date=day,
            time_start=None if is_whole else "08:00", account_id=account,
            account_costs=[{"value": value, "unit_type": unit} for unit, value in costs])  # fmt: skip
        if is_approved:
            of_day = known[whose][day]
            of_day.is_record = of_day.is_registered = True
            of_day.is_whole |= is_whole
            of_day.kinds.add(ACCOUNTS[account])
            for unit, value in costs:
                if unit == "Days":
                    of_day.days = (of_day.days or 0) + value
                if unit == "Hours":
                    of_day.hours = (of_day.hours or 0) + value
    if is_approved and not entries:
        for offset in range(length + 1):
            of_day = known[whose][first + timedelta(days=offset)]
            of_day.is_record = of_day.is_whole = True
            of_day.kinds.add("other")


def spells_of(days: dict[date, Day]) -> list[list[date]]:
    """Days of sickness, a list per spell."""
    spells: list[list[date]] = []
    for day in sorted(day for day, known in days.items() if known.is_sick):
        if spells:
            last = spells[-1][-1]
            pause = [last + timedelta(days=n) for n in range(1, (day - last).days)]
            if len(pause) <= 3 and not any(one in days and days[one].works for one in pause):
                spells[-1].append(day)
                continue
        spells.append([day])
    return spells


def expected(known: Known) -> dict[tuple[str, str, int], tuple[Any, ...]]:
    """Portal, month and person -> the figures."""
    rows = {}
    for (portal, person), days in known.items():
        spells = spells_of(days)
        for month in {f"{day:%Y-%m}" for day in days}:
            own = [of_day for day, of_day in days.items() if f"{day:%Y-%m}" == month]
            kinds = {id(one): next((kind for kind in KINDS if kind in one.kinds), "") for one in own}
            planned = sum((1 - one.part for one in own if one.planned > 0), D(0))
            absent = sum((one.part for one in own), D(0))
            if planned + absent <= 0:
                continue
            by_kind = [sum((one.part for one in own if kinds[id(one)] == kind), D(0)) for kind in KINDS]
            told = [(kinds[id(one)], one.absent) for one in own if one.absent is not None]
            hours = [[size for of_kind, size in told if kind in ("", of_kind)] for kind in ("", *KINDS)]
            year, number = int(month[:4]), int(month[5:])
            end = date(year, number, monthrange(year, number)[1])
            recent = [
                [day for day in spell if end - timedelta(days=364) < day <= end] for spell in spells if portal == "oslo"
            ]
            recent = [spell for spell in recent if spell]
            sick = sum(map(len, recent))
            score = (len(recent), sick, len(recent) ** 2 * sick) if portal == "oslo" else (None, None, None)
            gap = "switched off" if portal != "oslo" else "less than 52 weeks read" if month < "2025-09" else None
            rows[portal, month, person] = (
                planned,
                absent,
                *by_kind,
                sum((one.part for one in own if one.is_record and not one.is_registered and one.of_roster <= 0), D(0)),
                sum((_four(one.planned * (1 - one.by_record)) for one in own), D(0)),
                *(sum(parts) if parts else None for parts in hours),
                sum(one.part > 0 and one.absent is None for one in own),
                sum(f"{spell[0]:%Y-%m}" == month for spell in spells),
                *score,
                gap,
            )
    return rows


COLUMNS = (
    "planned_days, absent_days, sickness_days, vacation_days, other_days, calendar_days, planned_hours, absent_hours, "
    "sickness_hours, vacation_hours, other_hours, days_without_hours, sickness_spells, spells_52_weeks, sick_days_52_weeks, "
    "bradford_score, bradford_gap"
)


@pytest.mark.processes
@settings(max_examples=12)
@given(st.lists(SHIFT, min_size=8, max_size=40), st.lists(RECORD, max_size=8))
def test_absence_is_what_plain_python_says(empty: Db, shifts: list[Any], records: list[Any]) -> None:
    empty.execute("BEGIN")
    try:
        wanted = expected(plant(empty, shifts, records))
        found = empty.execute(f"SELECT portal, month, employee_id, {COLUMNS} FROM marts.absence_monthly").fetchall()
        rates = empty.execute(
            "SELECT absence_percent - 100 * absent_days / (absent_days + planned_days), "
            "sickness_percent - 100 * sickness_days / (absent_days + planned_days) FROM marts.absence_monthly"
        ).fetchall()
    finally:
        empty.execute("ROLLBACK")
    assert {row[:3]: row[3:] for row in found} == wanted
    assert len(found) == len(wanted)
    assert all(abs(rest) < 0.0501 for row in rates for rest in row)


def put_sick(db: Db, *days: str, types: tuple[int, str] = (51, "Sick"), person: int = 1) -> None:
    for day in days:
        times = {"start_date_time": f"{day} 08:00", "end_date_time": f"{day} 16:00", "time_zone": "UTC"}
        put(db, "scheduling.shifts", portal="oslo", month=day[:7], id=next(IDS), employee_id=person,
            date=day, shift_type_id=types[0], status="Assigned", **times)  # fmt: skip
    write_zones(db, again=False)


@pytest.mark.parametrize(
    ("sick", "worked", "spells"),
    [
        (("2025-09-05", "2025-09-08"), (), 1),  # Friday and Monday
        (("2025-09-05", "2025-09-08"), ("2025-09-06",), 2),
        (("2025-09-05", "2025-09-09"), (), 1),  # a long weekend
        (("2025-09-05", "2025-09-09"), ("2025-09-08",), 2),
        (("2025-09-05", "2025-09-10"), (), 2),
        (("2025-09-05", "2025-09-06", "2025-09-07"), (), 1),
        (("2025-09-05", "2025-09-07"), ("2025-09-05", "2025-09-07"), 1),
    ],
)
def test_weekends_do_not_end_a_spell(db: Db, sick: tuple[str, ...], worked: tuple[str, ...], spells: int) -> None:
    put(db, "scheduling.shift_types", portal="oslo", id=51, name="Sick")
    write_settings(db, {"oslo": MartSettings(bradford=True)})
    put_sick(db, *sick)
    put_sick(db, *worked, types=(0, ""))
    # A colleague's work, and a draft, end nobody's spell.
    put_sick(db, "2025-09-06", "2025-09-07", types=(0, ""), person=2)
    found = db.execute(
        "SELECT sickness_spells, spells_52_weeks, bradford_score FROM marts.absence_monthly WHERE employee_id = 1"
    ).fetchall()
    assert found == [(spells, spells, spells * spells * len(sick))]


def test_score_is_of_the_last_364_days(db: Db) -> None:
    """Up to the end of October 2025 that is from 2 November 2024 on; the spell began a day before."""
    put(db, "scheduling.shift_types", portal="oslo", id=51, name="Sick")
    write_settings(db, {"oslo": MartSettings(bradford=True)})
    put_sick(db, "2024-11-01", "2024-11-02", "2025-10-15")
    columns = "spells_52_weeks, sick_days_52_weeks, bradford_score"
    found = db.execute(f"SELECT {columns} FROM marts.absence_monthly WHERE month = '2025-10'").fetchall()
    assert found == [(2, 2, 8)]


def test_absence_without_end_stays_bounded(db: Db) -> None:
    today = datetime.now(UTC).date()
    put(db, "sync.slices", portal="oslo", table_name="scheduling.shifts", month="2025-01")
    put(db, "absence.absence_records", portal="oslo", id=1, employee_id=1, status="Approved",
        absence_period_start="0001-01-01", absence_period_end="9999-12-31")  # fmt: skip
    for ordinal, day in enumerate(("0001-01-01", "9999-12-31", "infinity")):
        put(db, "absence.absence_records", portal="oslo", id=2 + ordinal, employee_id=1, status="Approved")
        put(
            db,
            "absence.absence_record_registrations",
            portal="oslo",
            absence_record_id=2 + ordinal,
            ordinal=1,
            date=day,
        )
    ((first, last, days, gaps),) = db.execute(
        "SELECT min(month), max(month), sum(absent_days) - sum(calendar_days), list(DISTINCT bradford_gap) "
        "FROM marts.absence_monthly"
    ).fetchall()
    assert (first, days, gaps) == ("2025-01", 0, ["switched off"])
    assert 17 <= (int(last[:4]) - today.year) * 12 + int(last[5:]) - today.month <= 18


def test_months_ahead_have_no_score_yet(db: Db) -> None:
    ahead = datetime.now(UTC).date() + timedelta(days=40)
    write_settings(db, {"oslo": MartSettings(bradford=True)})
    put_sick(db, ahead.isoformat(), types=(0, ""))
    found = db.execute("SELECT planned_days, bradford_score, bradford_gap FROM marts.absence_monthly").fetchall()
    assert found == [(1, None, "not yet")]


def test_people_and_departments_without_names_stay_apart(db: Db) -> None:
    for number, department in ((1, 10), (2, 11), (3, None)):
        put(db, "hr.employees", portal="oslo", id=number, primary_department_id=department)
        put_sick(db, "2025-09-08", types=(0, ""), person=number)
    for number in (10, 11):
        put(db, "hr.departments", portal="oslo", id=number)
    columns = "employee_id, employee, department_id, department, planned_days"
    assert db.execute(f"SELECT {columns} FROM marts.absence_monthly ORDER BY ALL").fetchall() == [
        (1, None, 10, None, 1),
        (2, None, 11, None, 1),
        (3, None, None, None, 1),
    ]


NAMES = {
    "sickness": "Sick|Sygdom|Barns sygedag|Egenmelding|Sjuk|Krank|Sick leave|sick_leave",
    "vacation": "Vacation|Annual leave|Ferie 2025|Feriefridage|Ferie, optjent|Semester|Semesterdagar|Urlaub|Jahresurlaub|PTO",
    "other": "Flex|Afspadsering|Time off in lieu|Omsorgsdage|Sonderurlaub|Elternurlaub|Public holiday|Barsel| |Referie",
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in NAMES[kind].split("|")])
def test_kind_of_absence_that_a_name_suggests(kind: str, name: str) -> None:
    assert guessed_absence(name) == kind


def test_chosen_kinds_go_before_names(db: Db) -> None:
    """By the name of a type, or by what Planday calls the absence; types of shifts that are work are not listed."""
    for number, (name, absence_type) in {1: ("A", "Vacation"), 2: (None, "Vacation"), 3: ("Sick", "Care")}.items():
        put(db, "absence.account_types", portal="oslo", id=number, name=name, absence_type=absence_type)
    for number, name in {51: "Sick", 52: "Ferie", 53: "Fri", 50: "Normal"}.items():
        put(db, "scheduling.shift_types", portal="oslo", id=number, name=name)
    kinds = {
        "oslo": MartSettings(absence_kinds={" a": "other", "FRI": "vacation", "care": "other"}),
        "perth": MartSettings(),
    }
    write_settings(db, kinds)
    assert db.execute("SELECT type_of, type_id, kind, is_guessed FROM sync.absence_kinds ORDER BY ALL").fetchall() == [
        ("account", 1, "other", False),
        ("account", 2, "vacation", True),
        ("account", 3, "other", False),
        ("shift", 51, "sickness", True),
        ("shift", 52, "vacation", True),
        ("shift", 53, "vacation", False),
    ]
