"""Marts against figures computed from the sandbox's own state, in plain Python; their questions run as documented."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.sandbox import labour
from planday_io.sync.session import PortalSession, refresh
from planday_io.warehouse.mart_files import macros, marts
from tests.support.document import headers
from tests.support.installation import EVERYTHING, Installation, Make

THIS = month_of(datetime.now(UTC).date())
ZONE = ZoneInfo("Europe/Oslo")


def dst_months() -> list[str]:
    """The two latest months, not after the current one, in which clocks change."""
    found = []
    for back in range(14):
        month = shifted(THIS, -back)
        noons = [
            datetime.combine(day, datetime.min.time(), ZONE).utcoffset() for day in (first_day(month), last_day(month))
        ]
        if noons[0] != noons[1]:
            found.append(month)
    return found[:2]


MONTHS = sorted({*dst_months(), shifted(THIS, -1), THIS, shifted(THIS, 1)})


@pytest.fixture(scope="module")
def planday(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """One portal, its odd nights and all, read once for all tests of this module."""
    from planday_io.sandbox.limits import Limits
    from planday_io.sandbox.serve import served
    from planday_io.sandbox.state import demo_sandbox
    from planday_io.sandbox.world import demo_portals
    from tests.support.installation import FAST

    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals=demo_portals(people=(14, 3, 3)))
    folder = tmp_path_factory.mktemp("marts")
    _make_it_odd(sandbox.portals["oslo"])
    with served(sandbox) as address:
        made = Installation(folder, sandbox, address, resources=EVERYTHING)
        made.edit_config("defaults:", "pay_gap_by: department\nbradford: true\ndefaults:")
        _change_it_later(made, sandbox.portals["oslo"].roster)
        for endpoint in CATALOGUE.endpoints:
            for month in MONTHS if endpoint.grid == "month" else [None]:
                if not (endpoint.tables[0].on_request and endpoint.grid == "month"):
                    made.refresh(endpoint.name, month=month)
        made.publish()
        yield made


def _change_it_later(made: Installation, roster: Any) -> None:
    """Before its month begins, the roster is read with other people on four shifts."""
    month = shifted(THIS, -1)
    early = datetime.combine(first_day(month), datetime.min.time(), UTC) - timedelta(days=2)
    some = [
        s for s in roster.shifts.values() if s["date"].startswith(month) and s["employeeId"] and s["status"] != "Draft"
    ]
    people = {shift["id"]: shift["employeeId"] for shift in some[:4]}
    for number, person in people.items():
        roster.edit_shift(number, employeeId=next(one for one in people.values() if one != person))
    session = PortalSession(made.installation, "oslo", run_id="early", clock=lambda: early)
    refresh(session, "scheduling.shifts", month=month)
    for number, person in people.items():
        roster.edit_shift(number, employeeId=person)


def _make_it_odd(portal: Any) -> None:
    """A split shift, two punches for one shift, an unapproved punch, somebody absent who was planned."""
    roster = portal.roster
    month = shifted(THIS, -1)
    worked = [s for s in roster.shifts.values() if s["date"].startswith(month) and s["punchClockShiftId"]]
    first = worked[0]
    split = roster.add_shift(first["id"], date.fromisoformat(first["date"]))
    roster.edit_shift(
        split, startDateTime=f"{first['date']}T04:00", endDateTime=f"{first['date']}T06:30", status="Approved"
    )
    punch = roster.punches[first["punchClockShiftId"]]
    again = {
        **punch,
        "id": 91_001,
        "startDateTime": f"{first['date']}T01:00",
        "endDateTime": f"{first['date']}T02:15",
        "isApproved": False,
    }
    roster.punches[91_001] = again
    roster.punches[worked[1]["punchClockShiftId"]]["isApproved"] = False
    roster.edit_shift(worked[1]["id"], status="Assigned")
    absent = {
        (record["employeeId"], entry["date"])
        for record in portal.leave.records
        for entry in record["registrations"] or []
    }
    unpunched = next(s for s in worked[2:] if not s["shiftTypeId"] and (s["employeeId"], s["date"]) not in absent)
    del roster.punches[unpunched["punchClockShiftId"]]
    roster.breaks.pop(unpunched["punchClockShiftId"], None)
    unpunched["punchClockShiftId"] = None
    # A day on which nobody worked in a department, but something came in.
    quiet = next(s for s in roster.shifts.values() if s["date"].startswith(month) and s["departmentId"] == 101)
    for shift in list(roster.on(date.fromisoformat(quiet["date"]), date.fromisoformat(quiet["date"]))):
        if shift["departmentId"] == 101:
            roster.edit_shift(shift["id"], status="Open", employeeId=None)
    portal.leave.records.append(
        {
            "id": 5900,
            "employeeId": unpunched["employeeId"],
            "status": "Approved",
            "absencePeriod": {"start": unpunched["date"], "end": unpunched["date"]},
            "registrations": None,
        }
    )


def shifts(planday: Installation) -> list[dict[str, Any]]:
    return [s for s in planday.sandbox.portals["oslo"].roster.shifts.values() if s["date"][:7] in MONTHS]


def between(start: str, end: str) -> Decimal:
    """Hours between two local times; in the repeated hour an end is the first that lies behind the start."""
    begin = datetime.fromisoformat(start).replace(tzinfo=ZONE).astimezone(UTC)
    ends = [datetime.fromisoformat(end).replace(tzinfo=ZONE, fold=fold).astimezone(UTC) for fold in (0, 1)]
    return Decimal((next((one for one in ends if one > begin), ends[1]) - begin) / timedelta(hours=1)).quantize(
        Decimal("0.0001")
    )


def sent(planday: Installation, path: str, **params: Any) -> dict[str, Any]:
    """A document as Planday sends it."""
    answer = httpx.get(planday.address + path, headers=headers(planday), params=params, timeout=60)
    return dict(json.loads(answer.text, parse_float=Decimal))


@pytest.fixture(scope="module")
def payroll(planday: Installation) -> dict[str, list[dict[str, Any]]]:
    """The rows of all payroll documents, by array."""
    departments = ",".join(str(row["id"]) for row in planday.sandbox.portals["oslo"].departments)
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for month in MONTHS:
        days = {"from": str(first_day(month)), "to": str(last_day(month))}
        document = sent(planday, "/payroll/v1.0/payroll", departmentIds=departments, **days)
        for name in ("shiftsPayroll", "supplementsPayroll", "salariedPayroll"):
            found[name] += document[name]
    return found


@pytest.fixture(scope="module")
def costs(planday: Installation) -> list[dict[str, Any]]:
    """The rows of all documents of time and cost."""
    return [
        row
        for department in planday.sandbox.portals["oslo"].departments
        for month in MONTHS
        for row in sent(
            planday,
            f"/scheduling/v1.0/timeandcost/{department['id']}",
            **{"from": str(first_day(month)), "to": str(last_day(month))},
        )["data"]["costs"]
    ]


def clock(duration: str) -> Decimal:
    """Hours of a duration as the sandbox writes it, D:HH:MM."""
    days, hours, minutes = map(int, duration.split(":"))
    return days * 24 + hours + Decimal(minutes) / 60


def test_shifts(planday: Installation, costs: list[dict[str, Any]]) -> None:
    found = {row[0]: row[1:] for row in planday.query(
        "SELECT shift_id, hours, planned_hours, is_open, is_draft, is_assigned, is_overnight, start_utc, planned_cost "
        "FROM marts.shifts"
    )}  # fmt: skip
    roster = shifts(planday)
    assert found.keys() == {s["id"] for s in roster}
    costed = {row["shiftId"]: row for row in costs if "shiftId" in row}
    nights = set()
    for s in roster:
        hours, planned, is_open, is_draft, is_assigned, is_overnight, start_utc, cost = found[s["id"]]
        assert hours == between(s["startDateTime"], s["endDateTime"])
        # Payroll breaks are known for paid shifts only, and those have time and cost.
        known = costed.get(s["id"])
        assert abs(planned - (clock(known["duration"]) if known else hours)) < Decimal("0.0001")
        assert (is_draft, is_open, is_assigned) == (
            s["status"] == "Draft",
            s["status"] != "Draft" and not s["employeeId"],
            s["status"] != "Draft" and bool(s["employeeId"]),
        )  # fmt: skip
        assert is_overnight == (s["endDateTime"][:10] > s["startDateTime"][:10] and s["endDateTime"][11:] != "00:00")
        assert start_utc == datetime.fromisoformat(s["startDateTime"]).replace(tzinfo=ZONE).astimezone(UTC)
        assert cost == (known["cost"] if known else None)
        nights.add(hours)
    assert len(costed) > 50
    assert {Decimal(7), Decimal(9)} <= nights, "both nights on which clocks change are there"


def test_hours(planday: Installation, payroll: dict[str, list[dict[str, Any]]]) -> None:
    portal = planday.sandbox.portals["oslo"]
    rows = planday.query(
        "SELECT shift_id, punched_hours, approved_hours, paid_hours, paid_cost, punches, punched_gap, approved_gap, "
        "paid_gap, status FROM marts.hours WHERE row_of = 'shift'"
    )
    asked = datetime.now(UTC)
    found = {row[0]: row[1:] for row in rows}
    assert len(rows) == len(found) == len(shifts(planday)), "one row per shift"
    punches = defaultdict(list)
    for punch in portal.roster.punches.values():
        punches[punch["shiftId"]].append(punch)
    of_payroll = {row["id"]: row for row in payroll["shiftsPayroll"]}
    gaps = set()
    for s in shifts(planday):
        punched, approved, paid, cost, count, punched_gap, approved_gap, paid_gap, _ = found[s["id"]]
        own = punches[s["id"]]
        expected = sum(
            between(p["startDateTime"], p["endDateTime"])
            - sum(between(b["startDateTime"], b["endDateTime"]) for b in portal.roster.breaks.get(p["id"], []))
            for p in own if p["endDateTime"]
        )  # fmt: skip
        assert (punched or 0, count) == (expected, len(own)), s
        ok = [between(p["shiftStartDateTime"], p["shiftEndDateTime"]) for p in own if p["isApproved"]]
        if ok:
            assert approved == sum(ok)
        elif s["status"] in ("Approved", "PunchclockApproved") and s["employeeId"]:
            assert approved is not None
        else:
            assert approved is None
        if row := of_payroll.get(s["id"]):
            unpaid = sum(pause["duration"] for pause in row["breaks"] if not pause["isPaid"])
            assert abs(paid - (between(row["start"], row["end"]) - unpaid)) < Decimal("0.001")
            assert cost == (row["salary"] if row["wage"]["rate"] else None)
            if row["wage"]["rate"]:
                assert paid_gap is None
            elif datetime.fromisoformat(s["startDateTime"]).replace(tzinfo=ZONE) > asked:
                assert paid_gap == "not yet", "a shift of today, asked about before it begins"
            else:
                assert paid_gap == ("salaried" if s["employeeId"] in portal.pay.salaries else "no pay data")
        else:
            assert paid is None
            assert paid_gap
        assert (punched_gap is None) == any(p["endDateTime"] for p in own), "somebody forgot to punch out"
        gaps |= {punched_gap, approved_gap, paid_gap}
    assert gaps >= {
        None,
        "draft",
        "open",
        "not yet",
        "absent",
        "not punched",
        "not approved",
        "salaried",
        "no pay data",
        "not in payroll",
    }
    unscheduled = planday.query(
        "SELECT count(*), count(*) FILTER (punched_gap = 'not punched out') FROM marts.hours WHERE row_of = 'punch'"
    )
    assert unscheduled == [(2, 1)]


def test_labour_daily_sums_are_the_api_s(
    planday: Installation, payroll: dict[str, list[dict[str, Any]]], costs: list[dict[str, Any]]
) -> None:
    portal = planday.sandbox.portals["oslo"]
    arrays = {"shift": "shiftsPayroll", "supplement": "supplementsPayroll", "salary": "salariedPayroll"}
    expected = defaultdict(
        Decimal, {name: sum((row["salary"] for row in payroll[array]), Decimal(0)) for name, array in arrays.items()}
    )
    expected["of shifts"] = sum(
        (one["modification"] for row in payroll["shiftsPayroll"] for one in row["supplements"]), Decimal(0)
    )
    expected["planned"] = sum((row["cost"] for row in costs), Decimal(0))
    for month in MONTHS:
        worked = {
            (s["departmentId"], s["date"])
            for s in portal.roster.on(first_day(month), min(last_day(month), portal.roster.today))
        }
        expected["revenue"] += sum(
            (
                Decimal(str(labour.turnover_of(portal.roster, unit, day)))
                for unit in portal.roster.revenue_units
                for department, day in worked
                if unit["departmentId"] == department
            ),
            Decimal(0),
        )
    assert expected["supplement"] < 0
    (found,) = planday.query(
        "SELECT sum(shift_cost), sum(shift_supplement_cost), sum(planned_cost), sum(revenue), "
        "sum(labour_cost) + coalesce(sum(unallocated_cost), 0) FROM marts.labour_daily"
    )
    total = expected["shift"] + expected["supplement"] + expected["salary"]
    assert found == (*(expected[name] for name in ("shift", "of shifts", "planned", "revenue")), total)
    by_person = defaultdict(Decimal)
    for name in ("supplement", "salary"):
        for row in payroll[arrays[name]]:
            by_person[row["employeeId"], name] += row["salary"]
    assert by_person == {
        row[:2]: row[2]
        for row in planday.query("SELECT employee_id, cost_of, sum(amount) FROM marts.allocated_costs GROUP BY ALL")
    }
    assert planday.query("SELECT count(*) > 9, bool_or(labour_cost_percent > 0) FROM marts.labour_daily "
        "WHERE salary_cost > 0 AND list_contains(salary_allocated_by, 'allocation')") == [(True, True)]  # fmt: skip
    hours = planday.query(
        "SELECT sum(punched_hours), sum(paid_hours), sum(cost_known_hours) + sum(cost_unknown_hours) FROM marts.labour_daily"
    )
    assert hours == planday.query("SELECT sum(punched_hours), sum(paid_hours), sum(worked_hours) FROM marts.hours")
    assert planday.query("SELECT count(*) > 0 FROM marts.labour_daily WHERE revenue > 0 AND labour_cost IS NULL") == [
        (True,)
    ], "days with revenue that payroll says nothing of"
    assert planday.query(
        "SELECT count(*) FROM marts.labour_daily "
        "WHERE (labour_cost IS NULL OR cost_unknown_hours > 0) AND labour_cost_percent IS NOT NULL"
    ) == [(0,)]
    doubled = planday.query(
        "SELECT count(*) FROM (SELECT 1 FROM marts.labour_daily GROUP BY portal, date, department_id HAVING count(*) > 1)"
    )
    assert doubled == [(0,)]


def test_absence_days(planday: Installation) -> None:
    expected: dict[tuple[int, str], Decimal | None] = {}
    for record in planday.sandbox.portals["oslo"].leave.records:
        if record["status"] != "Approved":
            continue
        for entry in record["registrations"] or []:
            expected[record["employeeId"], entry["date"]] = abs(Decimal(entry["account"]["costs"][0]["value"]))
        if not record["registrations"]:
            expected.setdefault((record["employeeId"], record["absencePeriod"]["start"]), None)
    found = {
        (row[0], str(row[1])): row[2] for row in planday.query("SELECT employee_id, date, days FROM marts.absence_days")
    }
    assert found == expected


def test_employees_and_headcount(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    found = {
        row[0]: row[1:]
        for row in planday.query(
            "SELECT employee_id, is_active, departments, pay_type, tenure_days FROM marts.employees"
        )
    }
    names = {row["id"]: row["name"] for row in portal.departments}
    assert found.keys() == {row["id"] for row in (*portal.employees, *portal.deactivated)}
    for row in portal.employees:
        active, departments, pay_type, tenure = found[row["id"]]
        assert active
        assert departments == sorted(names[number] for number in row["departments"])
        kinds = {rates[-1]["wageType"] for (person, _), rates in portal.pay.rates.items() if person == row["id"]}
        assert pay_type == (
            "salaried"
            if row["id"] in portal.pay.salaries
            else {"HourlyRate": "hourly", "ShiftRate": "shift"}.get(next(iter(kinds), ""))
        )
        assert abs(tenure - (datetime.now(UTC).date() - date.fromisoformat(row["hiredDate"])).days) <= 1
    for month in (shifted(THIS, -5), shifted(THIS, -1)):
        end = last_day(month).isoformat()
        there = [r for r in portal.employees if r["hiredDate"] <= end] + [
            r for r in portal.deactivated if r["hiredDate"] <= end < r["deactivationDate"]
        ]
        (counted,) = planday.query(
            f"SELECT sum(headcount), sum(hired) FROM marts.headcount_monthly WHERE month = '{month}'"
        )
        hired = [r for r in (*portal.employees, *portal.deactivated) if r["hiredDate"][:7] == month]
        assert counted == (len(there), len(hired))


@pytest.fixture(scope="module")
def documented(planday: Installation) -> dict[str, tuple[str, dict[str, str]]]:
    """What the file says of each mart and of its columns; asking binds all views."""
    found = dict(planday.query("SELECT view_name, comment FROM duckdb_views() WHERE schema_name = 'marts'"))
    columns = planday.query("SELECT table_name, column_name, comment FROM duckdb_columns() WHERE schema_name = 'marts'")
    return {
        name: (comment, {column: text for of, column, text in columns if of == name}) for name, comment in found.items()
    }


@pytest.mark.parametrize("mart", marts(), ids=lambda mart: mart.name)
def test_each_mart_is_documented_and_answers_its_questions(
    planday: Installation, documented: dict[str, tuple[str, dict[str, str]]], mart: Any
) -> None:
    assert documented[mart.name] == (mart.doc, mart.columns)
    assert len(mart.questions) == 3
    answers = [planday.query(question.sql) for question in mart.questions]
    assert any(answers), "at least one of them has an answer here"


@pytest.mark.parametrize("macro", macros(), ids=lambda macro: macro.name)
def test_each_mart_with_arguments_is_as_documented(planday: Installation, macro: Any) -> None:
    said = planday.query(
        f"SELECT parameters FROM duckdb_functions() WHERE schema_name = 'marts' AND function_name = '{macro.name}'"
    )
    assert said == [([*macro.arguments],)]
    described = planday.query(f"DESCRIBE SELECT * FROM marts.{macro.name}()")
    assert [row[0] for row in described] == [*macro.columns]
    for question in macro.questions:
        planday.query(question.sql)


@pytest.mark.processes
@pytest.mark.parametrize("policy", ["hash", "drop"])
def test_marts_answer_whatever_the_policy(make: Make, policy: str) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    every = ", ".join(
        f"{name}: {policy}" for name in ("sensitive", "contact", "identity", "pay", "free_text", "unknown")
    )
    planday.edit_config("defaults:", f"privacy: {{{every}, hash_key: {{file: key.txt}}}}\ndefaults:")
    (planday.folder / "key.txt").write_text("a key for hashes")
    planday.refresh("hr.employees")
    planday.read_months([shifted(THIS, -1)])
    for mart in marts():
        assert any(f"marts.{mart.name}" in question.sql for question in mart.questions)
        for question in mart.questions:
            planday.query(question.sql)
    assert planday.query("SELECT count(*) > 0, count(paid_cost) FROM marts.hours") == [(True, 0)]
    names = json.dumps(planday.query("SELECT DISTINCT name FROM marts.employees"))
    assert not [
        row["firstName"] for row in planday.sandbox.portals["oslo"].employees if f'"{row["firstName"]} ' in names
    ]
