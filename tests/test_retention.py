"""Retention: what is too old is nowhere, what is not stays, and a later read brings nothing back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.definitions import build_definitions
from pipelines.retention import JOB
from pipelines.schedule_names import RETENTION as SCHEDULE
from planday_io.catalogue import CATALOGUE
from planday_io.delivery.ageing import old_deliveries, remove_old_deliveries
from planday_io.errors import ConfigError, StorageError
from planday_io.export.folder import mark
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.incidents import find
from planday_io.months import first_day, last_day, month_of, shifted
from planday_io.onboarding.retention import retention
from planday_io.privacy.erasure import forget_person, forget_portal
from planday_io.privacy.retention import Retained, preview, retain
from planday_io.sync.session import PortalSession, refresh
from tests.support.cutting import counting
from tests.support.folders import copy_of, files
from tests.support.installation import EVERYTHING, QUIET, Installation, Make

pytestmark = pytest.mark.processes

NOW = datetime.now(UTC)
LAST = shifted(month_of(NOW.date()), -1)
KEEP = "privacy: {contact: keep, free_text: keep, sensitive: keep, unknown: keep}"
RULES = (
    "free_text: 1y, punches: 2y, pay: 3y, contact_after_leaving: 90d, sensitive_after_leaving: 4y, "
    "identity_after_leaving: 5y"
)
LISTS = ("hr.employees", "hr.deactivated_employees")
STAYS = {
    "people": "SELECT count(*) FROM hr.employees",
    "people who left": "SELECT count(*) FROM hr.deactivated_employees",
    "planned": "SELECT sum(planned_work_hours), sum(open_hours), sum(revenue) FROM marts.labour_daily",
    "days off": "SELECT count(*), sum(days), sum(hours) FROM marts.absence_days",
    "headcount": f"SELECT sum(headcount) FROM marts.headcount_monthly WHERE month <= '{LAST}'",
}


class Planted(NamedTuple):
    """A text in the portal: its kind, whom it is about, and the day from which its age counts."""

    text: str
    kind: str
    person: str
    day: date


def with_rules(planday: Installation, rules: str, portal: str = "") -> None:
    planday.edit_config("defaults:", f"retention: {{{rules}}}\n{KEEP}\ndefaults:")
    if portal:
        planday.edit_config("  oslo:\n", f"  oslo:\n    retention: {{{portal}}}\n")


def read_at(planday: Installation, at: datetime, tables: Iterable[str], months: Iterable[str] = (LAST,)) -> None:
    for name in tables:
        endpoint = CATALOGUE.endpoint_of(name)
        for month in months if endpoint.grid == "month" else [None]:
            refresh(PortalSession(planday.installation, "oslo", run_id="run", clock=lambda: at), name, month=month)


def everything() -> list[str]:
    return [one.tables[0].full_name for one in CATALOGUE.endpoints if not one.tables[0].on_request]


def left_of(planday: Installation, texts: Iterable[str]) -> set[str]:
    content = b"".join(files(planday.folder).values())
    return {text for text in texts if text.encode() in content}


def passed(planday: Installation, at: datetime) -> Retained:
    done = retain(planday.installation, at)
    assert done.is_complete, (done.errors, done.places)
    return done


@pytest.fixture
def planday(make: Make) -> Installation:
    made = make(people=(9, 3, 3), resources=EVERYTHING)
    for app in made.sandbox.apps.values():
        app.scopes |= {"ssn:read", "birthdate:read", "bankaccount:read"}
    return made


def plant(planday: Installation, people: dict[str, int]) -> list[Planted]:
    """A name, an address, a number and a note about each of some people, none of which anybody else has."""
    portal = planday.sandbox.portals["oslo"]
    planted = []
    for index, (who, person) in enumerate(people.items()):
        name, street, number = f"Gunhildis{index}quist", f"Blåbærstien 9999{index}", f"0101707{index}123"
        portal.edit_employee(person, NOW, firstName=name, street1=street, ssn=number)
        shift = next(
            one
            for one in portal.roster.shifts.values()
            if one["employeeId"] == person and one["date"][:7] == LAST and one["punchClockShiftId"]
        )
        note = f"Husk nøgle {index}, skab 77"
        portal.roster.edit_shift(shift["id"], NOW, comment=note)
        left = (NOW - timedelta(days=1)).date()
        planted += [
            Planted(name, "identity", who, left),
            Planted(street, "contact", who, left),
            Planted(number, "sensitive", who, left),
            Planted(note, "note", who, date.fromisoformat(shift["date"])),
        ]
    return planted


def is_gone(one: Planted, today: date) -> bool:
    """What has to be gone, computed from the rules as a person would read them."""
    if one.person == "held":
        return False
    if one.kind == "contact":
        return one.person == "left" and one.day + timedelta(days=90) < today
    years = {"note": 1, "sensitive": 4, "identity": 5}[one.kind]
    is_due = one.day.replace(year=one.day.year + years) < today
    return is_due and (one.kind == "note" or one.person == "left")


def workers(rows: list[dict[str, Any]], day: str) -> set[tuple[int, date]]:
    return {(row["employee_id"], row[day].date() if isinstance(row[day], datetime) else row[day]) for row in rows}


@pytest.mark.timeout(900)
def test_six_years_take_what_is_too_old(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    portal.deactivated.clear()
    punchers = sorted(
        {
            one["employeeId"]
            for one in portal.roster.shifts.values()
            if one["punchClockShiftId"] and one["date"][:7] == LAST
        }
        - {None}
    )
    people = dict(zip(("left", "held", "back", "there"), punchers, strict=False))
    assert len(people) == 4
    with_rules(planday, RULES, f"hold: [{people['held']}]")
    planted = plant(planday, people)
    read_at(planday, NOW, everything())
    # Second versions, for the histories.
    portal.roster.edit_shift(
        next(one["id"] for one in portal.roster.shifts.values() if one["comment"] == planted[3].text), comment="Nyt"
    )
    for who in ("left", "held", "back"):
        portal.deactivate(people[who], NOW - timedelta(days=1), reason=0)
    read_at(planday, NOW + timedelta(minutes=1), (*LISTS, "scheduling.shifts"))
    planday.publish()
    texts = [one.text for one in planted]
    assert left_of(planday, texts) == {*texts}
    punches = workers(planday.rows("punchclock.punch_clock_shifts", month=LAST), "start_date_time")
    paid = workers(planday.rows("payroll.shifts", month=LAST), "date")
    breaks = len(planday.rows("punchclock.punch_clock_breaks", month=LAST))
    assert punches
    assert paid
    assert breaks
    stays = planday.queries(STAYS)

    def check(at: datetime) -> None:
        today = at.date()
        expected = {one.text for one in planted if not is_gone(one, today)}
        assert left_of(planday, texts) == expected, today
        held = people["held"]
        assert workers(planday.rows("punchclock.punch_clock_shifts", month=LAST), "start_date_time") == {
            (who, day) for who, day in punches if who == held or day.replace(year=day.year + 2) >= today
        }
        month_end = last_day(LAST)
        assert workers(planday.rows("payroll.shifts", month=LAST), "date") == {
            (who, day) for who, day in paid if who == held or month_end.replace(year=month_end.year + 3) >= today
        }
        assert planday.queries(STAYS) == stays

    # One comes back before the first rule applies.
    early = NOW + timedelta(days=60)
    back = next(row for row in portal.deactivated if row["id"] == people["back"])
    portal.deactivated.remove(back)
    portal.employees.append({key: value for key, value in back.items() if "eactivat" not in key})
    read_at(planday, early, LISTS)
    planday.publish()
    assert not passed(planday, early).taken
    stays |= {name: planday.query(STAYS[name]) for name in ("people", "people who left", "headcount")}

    for days in (100, 400, 2 * 365 + 40, 3 * 365 + 40, 4 * 365 + 40, 5 * 365 + 40, 6 * 365):
        at = NOW + timedelta(days=days)
        counted = preview(planday.installation, at).taken
        done = passed(planday, at)
        assert done.taken == counted
        assert bool(done.taken) == (days < 6 * 365)
        check(at)
    assert {one[0] for one in planday.query("SELECT DISTINCT rule FROM sync.retention")} == {
        one.split(":")[0].strip() for one in RULES.split(",")
    }

    read_at(planday, at, everything())
    planday.publish()
    check(at)
    assert not passed(planday, at).taken
    assert len(planday.rows("punchclock.punch_clock_breaks", month=LAST)) < breaks


def test_leavers_named_in_others_texts_are_reported(planday: Installation) -> None:
    with_rules(planday, "contact_after_leaving: 90d, identity_after_leaving: 1y")
    portal = planday.sandbox.portals["oslo"]
    portal.deactivated.clear()
    person, other = (row["id"] for row in portal.employees[:2])
    portal.edit_employee(person, NOW, firstName="Gunhildis", street1="Storgata 1", city="Lillehammer")
    # An address that begins like the other one, and a text that names the person.
    portal.edit_employee(other, NOW, street1="Storgata 12")
    shift = next(one for one in portal.roster.shifts.values() if one["employeeId"] == other and one["date"][:7] == LAST)
    portal.roster.edit_shift(shift["id"], NOW, comment="Spørg Gunhildis, Storgata 1")
    portal.deactivate(person, NOW - timedelta(days=1), reason=0)
    read_at(planday, NOW, (*LISTS, "scheduling.shifts"))
    planday.publish()
    done = passed(planday, NOW + timedelta(days=370))
    assert done.mentions == {"scheduling.shifts.comment": 2, "scheduling_history.shifts.comment": 2}
    assert done.shared >= 2
    assert done.searched
    assert not [row for row in planday.rows("hr.deactivated_employees") if row["street1"] or row["first_name"]]


def test_pass_cut_anywhere_is_finished_later(planday: Installation) -> None:
    with_rules(planday, "punches: 2y, free_text: 1y")
    read_at(planday, NOW, (*LISTS, "punchclock.punch_clock_shifts", "scheduling.shifts"))
    planday.publish()
    later = NOW + timedelta(days=3 * 365)
    uncut = copy_of(planday)
    with counting(uncut.folder) as whole:
        assert retain(uncut.installation, later).is_complete
    stopped = 0
    for at in (3, whole.count // 3, whole.count // 2, whole.count - 1):
        cut = copy_of(planday)
        with counting(cut.folder, at=at):
            try:
                stopped += bool(retain(cut.installation, later).errors)
            except StorageError:
                assert [one.command for one in cut.state.commands.unfinished()] == ["planday retention"]
                stopped += 1
        assert retain(cut.installation, later).is_complete
        for name in ("punchclock.punch_clock_shifts", "scheduling.shifts", "scheduling.shifts_history"):
            assert cut.rows(name, month=LAST) == uncut.rows(name, month=LAST)
        assert cut.query("SELECT count(*) FROM punchclock.punch_clock_shifts") == [(0,)]
        assert cut.query("SELECT count(comment) FROM scheduling.shifts") == [(0,)]
    assert stopped


def test_damaged_slice_is_named_and_others_cleaned(planday: Installation) -> None:
    with_rules(planday, "punches: 2y, free_text: 1y")
    read_at(planday, NOW, (*LISTS, "punchclock.punch_clock_shifts", "scheduling.shifts"))
    planday.publish()
    key = SliceKey.of("scheduling.shifts", "oslo", LAST)
    path = planday.lake.path(key)
    path.write_bytes(path.read_bytes()[:-100])
    done = retain(planday.installation, NOW + timedelta(days=3 * 365))
    assert [*done.errors] == [key]
    assert not planday.rows("punchclock.punch_clock_shifts", month=LAST)


def test_hold_of_unknown_id_is_said(planday: Installation) -> None:
    with_rules(planday, "pay: 5y", "hold: [1004, 777777]")
    assert "nobody" not in str(retention(planday.installation, "oslo"))
    read_at(planday, NOW, LISTS)
    assert "`hold` names ids that nobody has: 777777" in str(retention(planday.installation, "oslo"))
    assert preview(planday.installation, NOW).unknown_held == {"oslo": [777777]}


@pytest.mark.parametrize("whole_portal", [False, True])
def test_who_is_held_cannot_be_forgotten(planday: Installation, whole_portal: bool) -> None:
    planday.refresh("hr.employees")
    held = planday.rows("hr.employees")[0]["id"]
    with_rules(planday, "free_text: 1y", portal=f"hold: [{held}]")
    before = files(planday.config.lake)
    with pytest.raises(ConfigError, match="take the id out there"):
        forget_portal(planday.installation, "oslo") if whole_portal else forget_person(
            planday.installation, "oslo", held
        )
    assert files(planday.config.lake) == before
    assert planday.state.commands.unfinished() == []


def test_taken_punches_make_nobody_a_no_show(planday: Installation) -> None:
    old = shifted(LAST, -8)
    middle = first_day(old) + timedelta(days=14)
    with_rules(planday, f"punches: {(NOW.date() - middle).days}d, pay: 90d")
    for one in planday.sandbox.portals["oslo"].roster.shifts.values():
        if one["date"][:7] == old and one["punchClockShiftId"]:
            one["status"] = "Assigned"
    tables = (*LISTS, "scheduling.shifts", "punchclock.punch_clock_shifts", "payroll.shifts")
    read_at(planday, NOW, tables, [old, LAST])
    planday.publish()
    assigned = "employee_id IS NOT NULL AND row_of = 'shift' AND status IS DISTINCT FROM 'Draft'"
    asked = {
        month: f"SELECT count(*) FILTER (is_no_show), count(*) FILTER (arrival_gap = 'punches not read') > 0, "
        f"count(*) FILTER (late_minutes IS NOT NULL) > 0 FROM marts.attendance WHERE month = '{month}'"
        for month in (old, LAST)
    }
    asked |= {
        f"pay {month}": f"SELECT count(paid_cost) > 0, bool_or(paid_gap = 'payroll not read') FROM marts.hours "
        f"WHERE month = '{month}' AND {assigned}"
        for month in (old, LAST)
    }
    found = planday.queries(asked)
    assert found[old] == [(0, True, True)]
    assert found[LAST][0][1:] == (False, True)
    assert found[f"pay {old}"] == [(False, True)]
    assert found[f"pay {LAST}"] == [(True, False)]


def test_old_deliveries_go_and_other_files_stay(planday: Installation) -> None:
    with_rules(planday, "deliveries: 1y")
    deliver = "{marts: [labour_daily], days: last month, after: nightly, timezone: Europe/Oslo, to: out}"
    planday.edit_config("defaults:", f"deliver: {{labour: {deliver}}}\ndefaults:")
    out = planday.folder / "out"
    folder = out / "labour 2024-12-30 to 2025-01-05"
    folder.mkdir(parents=True)
    (folder / "labour_daily.csv").write_text("old")
    mark(folder)
    theirs = out / "labour 2019-02"
    theirs.mkdir()
    (theirs / "letter.txt").write_text("mine")
    for name in ("2025-10.xlsx", "2025-11.xlsx", "2025-11-26.xlsx", "2025-13.xlsx", "2025-10.xlsx.bak", "2025-10.pdf"):
        (out / f"labour {name}").write_text("old")
    (out / "hours 2020-01.xlsx").write_text("another's")
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    assert {path.name for path in old_deliveries(planday.installation, now)} == {
        folder.name,
        "labour 2025-10.xlsx",
        "labour 2025-11-26.xlsx",
    }
    before = {path.name for path in out.iterdir()}
    assert remove_old_deliveries(planday.installation, now) == 3
    assert before - {path.name for path in out.iterdir()} == {
        folder.name,
        "labour 2025-10.xlsx",
        "labour 2025-11-26.xlsx",
    }
    assert remove_old_deliveries(planday.installation, now) == 0


def test_rules_that_nobody_applies_are_told(planday: Installation) -> None:
    def told(at: datetime) -> list[str]:
        return [one.error for (_, cause, _), one in find(planday.installation, {}, at).items() if cause == "retention"]

    assert told(NOW + timedelta(days=3)) == [], "there are no rules"
    with_rules(planday, "free_text: 1y")
    assert told(NOW + timedelta(days=1)) == [], "the schedule may not have been due yet"
    assert "No pass was complete yet" in told(NOW + timedelta(days=3))[0]
    planday.refresh("hr.departments")
    passed(planday, NOW + timedelta(days=3))
    assert told(NOW + timedelta(days=4)) == []
    assert "No pass was complete since" in told(NOW + timedelta(days=6))[0]


def applied(planday: Installation, instance: DagsterInstance) -> bool:
    job = build_definitions(planday.config_path).resolve_job_def(JOB)
    return bool(job.execute_in_process(instance=instance, raise_on_error=False, run_config=QUIET).success)


def test_nightly_job_publishes_and_reports(planday: Installation, memory: DagsterInstance) -> None:
    assert not build_definitions(planday.config_path).get_repository_def().has_schedule_def(SCHEDULE)
    with_rules(planday, "free_text: 90d, punches: 219d")
    assert build_definitions(planday.config_path).get_repository_def().has_schedule_def(SCHEDULE)
    old = shifted(LAST, -8)
    planday.edit_config(f"retention: {{free_text: 90d, punches: 219d}}\n{KEEP}", KEEP)
    read_at(planday, NOW, (*LISTS, "scheduling.shifts", "punchclock.punch_clock_shifts"), [old])
    planday.publish()
    assert planday.query("SELECT count(*) > 0 FROM punchclock.punch_clock_shifts") == [(True,)]
    planday.edit_config(KEEP, f"retention: {{free_text: 90d, punches: 219d}}\n{KEEP}")

    key = SliceKey.of("scheduling.shifts", "oslo", old)
    path = planday.lake.path(key)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert not applied(planday, memory)
    assert planday.query("SELECT count(*) FROM punchclock.punch_clock_shifts") == [(0,)]
    (incident,) = [one for one in find(planday.installation, {}, NOW).values() if one.cause == "retention"]
    assert str(key) in incident.error
    path.write_bytes(whole)
    assert applied(planday, memory)
    assert not [one for one in find(planday.installation, {}, NOW).values() if one.cause == "retention"]
    assert planday.query("SELECT count(comment) FROM scheduling.shifts") == [(0,)]
    events = memory.fetch_materializations(dg.AssetKey("warehouse"), limit=5).records
    assert events
