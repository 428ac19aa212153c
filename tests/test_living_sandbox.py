"""The demo portals have figures that an area manager would recognise, and they live: the same each time, with stamps."""

from __future__ import annotations

import copy
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from statistics import median
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.sandbox.events import KINDS
from planday_io.sandbox.labour import counts, leavers, paid_hours, payroll, turnover_of
from planday_io.sandbox.leave import SICKNESS
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.people import weekly_hours
from planday_io.sandbox.roster import SICK_TYPE
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import Portal, demo_portals
from tests.support.document import headers
from tests.support.installation import FAST, Installation, Make

TODAY = date(2026, 11, 26)
KEYS = ("oslo", "copenhagen", "london")
WEEKS = 10


def small(key: str, today: date = TODAY, seed: int = 7) -> Portal:
    portal = demo_portals(seed, people=(6, 7, 8))[key]
    portal.today, portal.back_months = today, 3
    return portal


@pytest.fixture(scope="module")
def demo() -> dict[str, Portal]:
    portals = demo_portals(people=(24, 60, 36))
    for portal in portals.values():
        portal.today, portal.back_months = TODAY, 13
    return portals


def weeks(portal: Portal) -> list[tuple[date, date]]:
    monday = portal.today - timedelta(days=portal.today.weekday() + 7 * WEEKS)
    return [(monday + timedelta(weeks=n), monday + timedelta(weeks=n, days=6)) for n in range(WEEKS)]


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text)


def paid(portal: Portal, first: date, last: date) -> dict[str, Any]:
    departments = {row["id"] for row in portal.departments}
    left = leavers(portal.everyone)
    return payroll(portal.roster, portal.pay, departments, first, last, None, full=False, left=left)


def worked(portal: Portal) -> dict[int, list[tuple[datetime, datetime]]]:
    shifts: dict[int, list[tuple[datetime, datetime]]] = defaultdict(list)
    for row in portal.roster.shifts.values():
        if row["employeeId"] and row["date"] < portal.today.isoformat():
            shifts[row["employeeId"]].append((wall(row["startDateTime"]), wall(row["endDateTime"])))
    return {person: sorted(times) for person, times in shifts.items()}


def percents(portal: Portal) -> list[float]:
    """Labour cost of each department and week, salaries by the hours of the week, in percent of turnover."""
    found = []
    for first, last in weeks(portal):
        hours: dict[int, Counter[int]] = defaultdict(Counter)
        for row in portal.roster.on(first, last):
            if counts(row):
                hours[row["employeeId"]][row["departmentId"]] += paid_hours(row)  # type: ignore[assignment]
        document = paid(portal, first, last)
        cost: Counter[int] = Counter()
        for row in document["shiftsPayroll"]:
            cost[row["departmentId"]] += row["salary"]
        for row in document["salariedPayroll"]:
            spent = hours[row["employeeId"]]
            for department, share in spent.items():
                cost[department] += row["salary"] * share / spent.total()
        for unit in portal.roster.revenue_units:
            days = [(first + timedelta(days=n)).isoformat() for n in range(7)]
            came_in = sum(turnover_of(portal.roster, unit, day) for day in days)
            found.append(100 * cost[unit["departmentId"]] / came_in)
    return found


@pytest.mark.parametrize("key", KEYS)
def test_labour_costs_a_recognisable_share_of_turnover(demo: dict[str, Portal], key: str) -> None:
    found = percents(demo[key])
    assert 25 < median(found) < 34
    assert sum(20 <= percent <= 40 for percent in found) > 0.93 * len(found)


@pytest.mark.parametrize("key", KEYS)
def test_people_work_about_what_was_agreed(demo: dict[str, Portal], key: str) -> None:
    portal, since = demo[key], datetime.combine(TODAY - timedelta(days=84), time(0))
    ratios = []
    for person, times in worked(portal).items():
        row = next((row for row in portal.employees if row["id"] == person), None)
        if row and row["hiredDate"] < since.date().isoformat():
            hours = sum((end - begin) / timedelta(hours=1) for begin, end in times if begin >= since) / 12
            ratios.append(hours / weekly_hours(person))
    assert 0.9 < median(ratios) < 1.1
    assert any(ratio > 1.1 for ratio in ratios), "a few work overtime"
    home = {row["id"]: row["primaryDepartmentId"] for row in portal.employees}
    placed = [
        home[s["employeeId"]] == s["departmentId"] for s in portal.roster.shifts.values() if s["employeeId"] in home
    ]
    assert sum(placed) > 0.9 * len(placed), "mostly in their own department"


@pytest.mark.parametrize("key", KEYS)
def test_rest_is_short_now_and_then(demo: dict[str, Portal], key: str) -> None:
    rests = [
        then[0] - before[1]
        for times in worked(demo[key]).values()
        for before, then in pairwise(times)
    ]  # fmt: skip
    short = [rest for rest in rests if rest < timedelta(hours=11)]
    assert 0 < len(short) < 0.015 * len(rests)
    longest = 0
    for times in worked(demo[key]).values():
        row = 1
        for before, then in pairwise(sorted({begin.date() for begin, _ in times})):
            row = row + 1 if then - before == timedelta(days=1) else 1
            longest = max(longest, row)
    assert longest >= 7


@pytest.mark.parametrize("key", KEYS)
def test_punches_differ_from_the_plan_plausibly(demo: dict[str, Portal], key: str) -> None:
    portal = demo[key]
    punches = [row for row in portal.roster.punches.values() if row["shiftId"]]
    late = sum(wall(row["startDateTime"]) - wall(row["shiftStartDateTime"]) > timedelta(minutes=5) for row in punches)
    assert 0.03 < late / len(punches) < 0.15
    ended = [(row, portal.roster.shifts[row["shiftId"]]) for row in punches if row["endDateTime"]]
    early = sum(wall(row["endDateTime"]) < wall(shift["endDateTime"]) - timedelta(minutes=14) for row, shift in ended)
    assert 0.01 < early / len(ended) < 0.1
    assert 0 < len(punches) - len(ended) < 0.02 * len(punches), "forgotten"
    clocks = portal.planner.clocks
    assert clocks < {row["id"] for row in portal.departments}, "some departments have no clock"
    planned = [
        row
        for row in portal.roster.shifts.values()
        if row["departmentId"] in clocks
        and row["employeeId"]
        and row["date"] < TODAY.isoformat()
        and not row["shiftTypeId"]
    ]
    assert 0.002 < sum(row["punchClockShiftId"] is None for row in planned) / len(planned) < 0.03, "nobody came"
    minutes = [
        sum(int(row["duration"][:2]) * 60 + int(row["duration"][3:5]) for row in rows)
        for rows in portal.roster.breaks.values()
    ]
    assert 0 < sum(length > 40 for length in minutes) < 0.1 * len(minutes)


@pytest.mark.parametrize("key", KEYS)
def test_some_percent_are_sick(demo: dict[str, Portal], key: str) -> None:
    portal = demo[key]
    typed = [row for row in portal.roster.shifts.values() if row["shiftTypeId"] == SICK_TYPE]
    accounts = {row["id"] for row in portal.leave.accounts if row["typeId"] == SICKNESS}
    people = len(portal.everyone)
    assert 0.01 < sum(len(days) for days in portal.leave.sick_days.values()) / (people * 770) < 0.06
    if portal.sick_as == "shifts":
        planned = [
            row for row in portal.roster.shifts.values() if row["employeeId"] and row["date"] < TODAY.isoformat()
        ]
        assert 0.01 < len(typed) / len(planned) < 0.08
        assert not accounts
    else:
        assert not typed
        assert accounts
        absent = {person for person, days in portal.leave.sick_days.items() if TODAY - timedelta(days=1) in days}
        yesterday = portal.roster.on(TODAY - timedelta(days=1), TODAY - timedelta(days=1))
        assert not absent & {row["employeeId"] for row in yesterday}


def test_salaries_are_spread_in_every_way(demo: dict[str, Portal]) -> None:
    every = [rows for portal in demo.values() for rows in portal.pay.allocations.values()]
    rows = [row for one in every for row in one]
    assert {"BusinessDays", "NoAllocation", "ScheduledHours", "MonthlySalary"} == {
        row["costAllocation"] for row in rows
    }
    assert {1, 2} == {len(row["departmentDistributions"]) for row in rows}
    weights = [place["weekDaysWeight"] for row in rows for place in row["departmentDistributions"]]
    assert None in weights
    assert any(one and {0, 1.5} <= set(one.values()) for one in weights)
    assert any(one[-1]["validTo"] for one in every), "one has ended"
    open_ended = [sum(row["validTo"] is None for row in one) for one in every]
    assert max(open_ended) == 2, "one overlaps another"


@pytest.mark.parametrize("key", KEYS)
def test_a_few_people_have_no_pay_data(demo: dict[str, Portal], key: str) -> None:
    portal = demo[key]
    known = {person for person, _ in portal.pay.rates} | portal.pay.salaries.keys()
    missing = [row for row in portal.everyone if row["id"] not in known]
    assert 0 < len(missing) < 0.07 * len(portal.everyone)


@pytest.mark.parametrize("key", KEYS)
def test_leavers_have_reasons_and_different_tenures(demo: dict[str, Portal], key: str) -> None:
    left = demo[key].deactivated
    assert all(row["terminationTypeId"] for row in left)
    tenures = {
        (date.fromisoformat(row["deactivationDate"]) - date.fromisoformat(row["hiredDate"])).days for row in left
    }
    assert len(tenures) > 1


@pytest.mark.parametrize("key", KEYS)
def test_balances_stay_within_what_is_earned(demo: dict[str, Portal], key: str) -> None:
    leave = demo[key].leave
    held = [leave.balance(row["id"], TODAY.isoformat()) for row in leave.accounts if row["typeId"] == 31]
    values = [balance[0]["value"] for balance in held if balance]
    assert values
    assert all(-1 <= value <= 25 for value in values)
    assert len(set(values)) > 1


@settings(max_examples=12)
@given(today=st.dates(date(2026, 7, 1), date(2028, 12, 31)), key=st.sampled_from(KEYS))
def test_any_day_has_all_that_rosters_have(today: date, key: str) -> None:
    portal = small(key, today)
    statuses = Counter(row["status"] for row in portal.roster.shifts.values())
    assert {"Approved", "Assigned", "Open", "Draft"} <= statuses.keys()
    assert portal.roster.punches
    assert all(
        row["dateTimeModified"][:10] <= (today - timedelta(days=3)).isoformat() for row in portal.roster.shifts.values()
    )
    assert all(row["dateTimeCreated"] <= row["dateTimeModified"] for row in portal.roster.shifts.values())
    hired = {row["id"]: (row.get("hiredDate"), row.get("deactivationDate") or "9999") for row in portal.everyone}
    for row in portal.roster.shifts.values():
        if row["employeeId"]:
            first, end = hired[row["employeeId"]]
            assert first <= row["date"] < end


def everything(portal: Portal) -> Any:
    return copy.deepcopy((portal, portal.roster, portal.pay, portal.leave))


STEPS = st.lists(st.tuples(st.floats(0.01, 40), st.integers(0, 30)), min_size=1, max_size=3)


@settings(max_examples=8)
@given(seed=st.integers(0, 99), steps=STEPS, key=st.sampled_from(KEYS))
def test_the_same_seed_lives_the_same_life(seed: int, steps: list[tuple[float, int]], key: str) -> None:
    one, two = small(key, seed=seed), small(key, seed=seed)
    assert everything(one) == everything(two)
    for hours, changes in steps:
        assert one.advance(days=hours / 24, changes=changes) == two.advance(days=hours / 24, changes=changes)
    assert everything(one) == everything(two)


@settings(max_examples=15)
@given(steps=STEPS, key=st.sampled_from(KEYS), today=st.dates(date(2026, 9, 1), date(2027, 9, 1)))
def test_stamps_tell_what_changed(steps: list[tuple[float, int]], key: str, today: date) -> None:
    portal = small(key, today)
    portal.advance(days=0.3, changes=0)
    for hours, changes in steps:
        since = portal.lived_until
        assert since
        before, gone_before = copy.deepcopy(portal.roster.shifts), len(portal.roster.deleted)
        portal.advance(days=hours / 24, changes=changes)
        window = f"{since:%FT%T}Z", f"{portal.lived_until:%FT%T}Z"
        after = portal.roster.shifts
        for number, row in after.items():
            old = before.get(number)
            if old is None or row != old:
                assert window[0] <= row["dateTimeModified"] <= window[1]
                assert old is None or old["dateTimeModified"] <= row["dateTimeModified"]
        deleted = portal.roster.deleted[gone_before:]
        assert before.keys() - after.keys() <= {row["id"] for row in deleted}
        assert all(window[0] <= row["dateTimeDeleted"] <= window[1] for row in deleted)
        assert not {row["id"] for row in portal.roster.deleted} & after.keys()
        assert portal.today == portal.roster.today == portal.lived_until.date()  # type: ignore[union-attr]


@settings(max_examples=8)
@given(days=st.integers(1, 12), key=st.sampled_from(KEYS))
def test_payroll_is_the_roster(days: int, key: str) -> None:
    portal = small(key)
    portal.advance(days=days)
    first, last = TODAY - timedelta(days=20), TODAY + timedelta(days=20)
    rows = {row["id"]: row for row in paid(portal, first, last)["shiftsPayroll"]}
    there = {s["id"]: s for s in portal.roster.on(first, portal.today) if counts(s)}
    assert rows.keys() == there.keys()
    for number, row in rows.items():
        wage = portal.pay.valid(row["employeeId"], row["employeeGroupId"], row["date"])
        if wage and wage["wageType"] == "HourlyRate" and not row["shiftTypeId"]:
            assert abs(row["salary"] - wage["rate"] * paid_hours(there[number])) < 0.01
    staff = {row["id"] for row in portal.employees}
    future = portal.roster.on(portal.today + timedelta(days=1), portal.today + timedelta(days=60))
    assert {row["employeeId"] for row in future} - {None} <= staff


def test_days_pass_and_shifts_are_worked(demo: dict[str, Portal]) -> None:
    portal = copy.deepcopy(demo["oslo"])
    ends = max(row["date"] for row in portal.roster.shifts.values())
    for n in range(20):
        portal.roster.add_shift(next(iter(portal.roster.shifts)), TODAY + timedelta(days=n + 20))
    before = set(portal.roster.shifts)
    happened = portal.advance(days=8, changes=0)
    assert before <= portal.roster.shifts.keys()
    assert len(portal.roster.shifts) > len(before) + 30, "no number is given twice"
    assert portal.today == TODAY + timedelta(days=8)
    assert max(row["date"] for row in portal.roster.shifts.values()) > ends, "the roster goes on"
    over = [s for s in portal.roster.on(TODAY, TODAY + timedelta(days=6)) if s["departmentId"] in portal.planner.clocks]
    punched = sum(bool(row["punchClockShiftId"]) for row in over if row["employeeId"])
    assert punched > 0.8 * sum(bool(row["employeeId"]) for row in over)
    assert happened == sorted(happened, key=lambda one: one.at)


def test_everything_happens_between_two_reads(demo: dict[str, Portal]) -> None:
    portal = copy.deepcopy(demo["oslo"])
    portal.advance(days=0.5, changes=0)
    people, rates = {row["id"] for row in portal.everyone}, copy.deepcopy(portal.pay)
    happened = portal.advance(days=0.001, changes=60)
    kinds = {one.what for one in happened}
    assert KINDS.keys() - {"sick"} <= kinds, "nobody may have a shift left today or tomorrow"
    assert {row["id"] for row in portal.everyone} > people
    assert portal.pay != rates
    tomorrow = {(TODAY + timedelta(days=n)).isoformat() for n in (0, 1)}
    edited = {one.number for one in happened if one.what in ("lengthened", "shortened", "moved", "swapped", "filled")}
    dates = {row["date"] for number, row in portal.roster.shifts.items() if number in edited}
    assert dates & tomorrow, "on short notice"


def test_time_does_not_go_back() -> None:
    portal = small("oslo")
    portal.advance(days=2)
    with pytest.raises(ValueError, match="oslo has lived until 2026-11-28 00:00:00, so it cannot go back"):
        portal.advance(datetime(2026, 11, 27, tzinfo=UTC))


def test_feeds_show_what_happened(make: Make) -> None:
    planday = make()
    portal = planday.sandbox.portals["oslo"]
    portal.advance(changes=0)
    before, since = copy.deepcopy(portal.roster.shifts), portal.lived_until
    assert since
    happened = portal.advance(since + timedelta(hours=2), changes=40)
    told = {
        row["id"]
        for row in feed(planday, "/scheduling/v1.0/shifts", f"modifiedFrom={since - timedelta(seconds=1):%FT%TZ}")
    }
    deleted = feed(planday, "/scheduling/v1.0/shifts/deleted", f"deletedFrom={since:%FT%TZ}")
    changed = {number for number, row in portal.roster.shifts.items() if before.get(number) != row}
    assert changed
    assert told == changed
    assert {one.number for one in happened if one.what == "deleted"} <= {row["id"] for row in deleted}


def test_a_served_portal_lives(tmp_path: Any) -> None:
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals={"oslo": demo_portals(people=(6, 3, 3))["oslo"]})
    began = datetime.now(UTC) - timedelta(seconds=1)
    with served(sandbox, live_seconds=0.01) as address:
        planday = Installation(tmp_path, sandbox, address)
        found = [feed(planday, "/scheduling/v1.0/shifts", f"modifiedFrom={began:%FT%TZ}") for _ in range(3)]
        while not found[-1] and datetime.now(UTC) - began < timedelta(minutes=2):
            found.append(feed(planday, "/scheduling/v1.0/shifts", f"modifiedFrom={began:%FT%TZ}"))
    assert found[-1]


def feed(planday: Installation, path: str, query: str) -> list[dict[str, Any]]:
    answer = httpx.get(f"{planday.address}{path}?limit=1000&{query}", headers=headers(planday))
    rows: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
    return rows
