"""Forgetting: nothing of the person is left, nothing of others is lost, sums stay, and later reads bring nothing back."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.lake.forgotten import ForgottenPeople
from planday_io.lake.slices import SliceKey
from planday_io.months import month_of, shifted
from planday_io.state import State
from tests.support.commands import planday_command
from tests.support.folders import files
from tests.support.installation import EVERYTHING, Installation, Make

THIS = month_of(datetime.now(UTC).date())
KEEP = "privacy: {contact: keep, free_text: keep, sensitive: keep, unknown: keep}"
SUMS = (
    "SELECT sum(planned_work_hours), sum(open_hours), sum(worked_hours), sum(approved_hours), sum(paid_hours), "
    "sum(planned_cost), sum(labour_cost) + coalesce(sum(unallocated_cost), 0), sum(revenue) "
    "FROM marts.labour_daily WHERE portal = 'oslo'",
    "SELECT count(*), sum(days), sum(hours) FROM marts.absence_days WHERE portal = 'oslo'",
    "SELECT count(*), count(punched_gap), count(approved_gap) FROM marts.hours WHERE portal = 'oslo'",
)


def read_everything(planday: Installation, months: list[str]) -> None:
    for endpoint in CATALOGUE.endpoints:
        for month in months if endpoint.grid == "month" else [None]:
            planday.refresh(endpoint.name, month=month)
    planday.publish()


@pytest.fixture
def planday(make: Make) -> Installation:
    made = make(people=(7, 5, 5), resources=EVERYTHING)
    made.edit_config("defaults:", f"{KEEP}\ndefaults:")
    for app in made.sandbox.apps.values():
        app.scopes |= {"ssn:read", "birthdate:read", "bankaccount:read"}
    return made


def a_person(planday: Installation) -> int:
    """Somebody with rows in every table: a supervisor with absences, shifts, rates, custom fields, and talk about them."""
    portal = planday.sandbox.portals["oslo"]
    supervisors = {row["employeeId"] for row in portal.supervisors}
    absent = {
        row["employeeId"]
        for row in portal.leave.records
        if row["status"] == "Approved" and row["employeeId"] in supervisors
    }
    person: int = min(absent or supervisors)
    names = {"firstName": "Gunhildis", "lastName": "Quistgaard", "gender": "Female"}
    portal.edit_employee(person, **names, jobTitle="Sommelière")
    for row in portal.supervisors:
        if row["employeeId"] == person:
            row["name"] = "Gunhildis Quistgaard"
    return person


def values_of(planday: Installation, person: int) -> list[str]:
    portal = planday.sandbox.portals["oslo"]
    row, detail = next(row for row in portal.employees if row["id"] == person), portal.details[person]
    account = row["bankAccount"]["accountNumber"]
    custom = [
        str(value["value"])
        for name, value in detail.items()
        if name.startswith("custom_") and len(str(value["value"])) > 3
    ]
    return [
        "Gunhildis",
        "Quistgaard",
        row["email"],
        row["cellPhone"],
        detail["cellPhone"],
        row["street1"],
        row["ssn"],
        account,
        *custom,
    ]


def others(planday: Installation, person: int, months: list[str]) -> dict[str, list[dict[str, Any]]]:
    """All rows of the lake that belong to other people."""
    found = {}
    for table in CATALOGUE.tables():
        columns = [one.column for one in table.people if one.role != "actor"]
        if columns:
            for month in months if table.is_monthly else [None]:
                rows = planday.rows(table.full_name, month=month)
                found[f"{table.full_name} {month}"] = [
                    row for row in rows if (row[columns[0]] or 0) > 0 and row[columns[0]] != person
                ]
    return found


def left_over(folder: Path, values: list[str]) -> list[str]:
    return [
        f"{path.name}: {value}"
        for path, content in files(folder).items()
        for value in values
        if value.encode() in content
    ]


@pytest.mark.processes
def test_a_person_is_forgotten_and_stays_so(planday: Installation) -> None:
    months = [shifted(THIS, -2), shifted(THIS, -1)]
    person = a_person(planday)
    portal = planday.sandbox.portals["oslo"]
    spoken_of = next(
        s["id"]
        for s in portal.roster.shifts.values()
        if s["employeeId"] not in (None, person) and s["date"][:7] == months[0]
    )
    portal.roster.edit_shift(spoken_of, comment="Ask Gunhildis Quistgaard for the key")
    read_everything(planday, months)
    # A second version of the person, so that the history has something to forget.
    portal.edit_employee(person, street1="Blåbærstien 99999")
    planday.refresh("hr.employees")
    planday.refresh("hr.employee_details")
    planday.publish()
    values = [*values_of(planday, person), "Blåbærstien 99999"]
    assert left_over(planday.folder, values)
    ids = {name for name, rows in others(planday, -1, months).items() if any(person in row.values() for row in rows)}
    assert {name.split()[0] for name in ids} >= {
        "hr.supervisors",
        "absence.absence_records",
        "scheduling.shifts",
        "payroll.shifts",
    }
    before, sums = others(planday, person, months), [planday.query(sql) for sql in SUMS]
    versions = planday.query("SELECT count(*) FROM hr_history.employees WHERE id <> ?".replace("?", str(person)))

    done = planday_command(planday, "forget", "--portal", "oslo", "--employee", str(person), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["removed"]["hr.employees"] == 1
    assert told["removed"]["hr_history.employees"] == 2
    assert told["kept"]["scheduling.shifts"] > 0
    assert told["mentions"]["scheduling.shifts"] == 1
    assert told["values"] > 8
    assert not told["places"]
    assert not [value for value in values if value in done.stdout]

    def is_forgotten() -> None:
        assert not left_over(planday.config.lake, values)
        assert not left_over(planday.config.warehouse.parent, [*values, f"{person}:"])
        after = others(planday, person, months)
        for name, rows in before.items():
            if not name.startswith("scheduling.shifts "):
                assert [{**row, "_fetched_at": 0} for row in after[name]] == [
                    {**row, "_fetched_at": 0} for row in rows
                ], name
        theirs = planday.queries(
            {
                f"{table.full_name}.{one.column}": f"SELECT count(*) FROM {table.full_name} "
                f"WHERE \"{one.column}\" = {person} AND portal = 'oslo'"
                for table in CATALOGUE.tables()
                for one in table.people
                if one.role != "actor"
            }
        )
        assert theirs == {name: [(0,)] for name in theirs}
        assert len(theirs) > 20
        assert [planday.query(sql) for sql in SUMS] == sums

    is_forgotten()
    assert planday.query(f"SELECT count(*) FROM hr_history.employees WHERE id <> {person}") == versions
    pseudonym = planday.query("SELECT DISTINCT employee_id FROM payroll.shifts WHERE employee_id < 0")
    assert len(pseudonym) == 1

    # The API still returns the person, and what others typed was taken out of Planday.
    portal.roster.edit_shift(spoken_of, comment=None)
    planday.sandbox.requests.clear()
    read_everything(planday, months)
    is_forgotten()
    assert planday.query("SELECT DISTINCT employee_id FROM payroll.shifts WHERE employee_id < 0") == pseudonym
    assert not [path for path in planday.sandbox.requests if f"/employees/{person}" in path], (
        "nothing is asked about them"
    )
    planday.refresh("scheduling.deleted_shifts")
    assert not left_over(planday.config.lake, values)

    undone = planday_command(planday, "forget", "--portal", "oslo", "--employee", str(person), "--undo")
    assert undone.returncode == 0, undone.stderr
    read_everything(planday, months)
    assert planday.query(f"SELECT first_name FROM hr.employees WHERE id = {person} AND portal = 'oslo'") == [
        ("Gunhildis",)
    ]
    assert planday.query("SELECT count(*) FROM payroll.shifts WHERE employee_id < 0") == [(0,)]


@pytest.mark.processes
def test_name_inside_another_s_name_is_left_alone(planday: Installation) -> None:
    """Anders goes; Andersen, Anders Nielsen's supervisor record and what is said of him stay."""
    portal = planday.sandbox.portals["oslo"]
    person, other = portal.employees[0]["id"], portal.employees[1]["id"]
    for row in (*portal.employees, *portal.deactivated):
        row["firstName"], row["lastName"] = "Ida", "Andersen"
        if row["id"] in portal.details:
            portal.details[row["id"]].update(firstName="Ida", lastName="Andersen")
    portal.edit_employee(person, firstName="Anders", lastName="Fosse")
    portal.supervisors[:] = [{"id": 50, "employeeId": other, "name": "Anders Nielsen"}]
    tables = ("hr.employees", "hr.deactivated_employees", "hr.employee_details", "hr.supervisors")
    for name in tables:
        planday.refresh(name)
    planday.publish()
    before = {name: [row for row in planday.rows(name) if row["id"] != person] for name in tables}
    done = planday_command(planday, "forget", "--portal", "oslo", "--employee", str(person), "--json")
    assert done.returncode == 0, done.stdout
    assert {name: planday.rows(name) for name in tables} == before
    assert planday.query("SELECT count(*) FROM hr_history.employees WHERE first_name = 'Anders'") == [(0,)]
    for name in tables:
        planday.refresh(name)
    planday.publish()
    again = planday_command(planday, "forget", "--portal", "oslo", "--employee", str(person), "--json")
    assert again.returncode == 0, again.stdout


def test_running_read_brings_nobody_back(planday: Installation) -> None:
    """The answer was read before the list was written, and the slice is written after it."""
    from planday_io.lake.forgotten import ForgottenPeople

    person = a_person(planday)
    session = planday.session()
    session.clock = lambda: _forget_now(planday, person)
    from planday_io.sync.session import refresh

    refresh(session, "hr.employees")
    assert person not in {row["id"] for row in planday.rows("hr.employees")}
    assert ForgottenPeople(planday.config.lake, planday.state).of("oslo").pseudonyms


def _forget_now(planday: Installation, person: int) -> datetime:
    from planday_io.privacy.erasure import forget_person

    forget_person(planday.installation, "oslo", person)
    return datetime.now(UTC)


def test_readers_see_no_list_half_changed(tmp_path: Path) -> None:
    people = ForgottenPeople(tmp_path / "lake", State(tmp_path / "state"))
    people.add("oslo", 1)

    def change() -> None:
        for number in range(2, 12):
            people.add("oslo", number)
        for number in range(2, 12):
            people.remove("oslo", number)

    changing = threading.Thread(target=change)
    changing.start()
    while changing.is_alive():
        assert people.of("oslo").holds(1)
    changing.join()
    assert len(people.of("oslo").pseudonyms) == 1


@pytest.mark.processes
def test_a_damaged_list_stops_writing(planday: Installation) -> None:
    person = a_person(planday)
    planday.refresh("hr.employees")
    planday_command(planday, "forget", "--portal", "oslo", "--employee", str(person))
    before = planday.bytes_of("hr.employees")
    path = planday.config.lake / "_forgotten/oslo.json"
    path.write_text("{")
    done = planday_command(planday, "sync", "oslo", "--resources", "hr.employees")
    assert done.returncode == 1
    assert "it lists people to forget" in done.stdout
    assert planday.bytes_of("hr.employees") == before


@pytest.mark.processes
def test_a_portal_is_forgotten(planday: Installation) -> None:
    for portal in ("oslo", "london"):
        for name in ("hr.departments", "hr.employees", "scheduling.deleted_shifts"):
            planday.refresh(name, portal)
    planday.publish()
    done = planday_command(planday, "forget", "--portal", "london")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "is still in portals.yaml" in done.stdout
    assert {key.portal for key in planday.lake.slices()} == {"oslo"}
    assert not list(planday.config.lake.rglob("*london*"))
    assert not list(planday.state.folder.rglob("*london*"))
    assert not left_over(planday.config.lake, ["london.example"])
    with duckdb.connect(str(planday.config.warehouse), read_only=True) as db:
        assert db.execute("SELECT DISTINCT portal FROM sync.slices").fetchall() == [("oslo",)]
        assert db.execute("SELECT DISTINCT portal FROM hr_history.employees").fetchall() == [("oslo",)]
    planday.refresh("hr.departments", "london")
    assert planday.provenance("hr.departments", "london") is not None


@pytest.mark.processes
def test_nobody_is_found_and_nothing_is_lost(planday: Installation) -> None:
    planday.refresh("hr.employees")
    done = planday_command(planday, "forget", "--portal", "oslo", "--employee", "424242")
    assert done.returncode == 0
    assert "No row of employee 424242 was found" in done.stdout
    assert planday.lake.provenance(SliceKey.of("hr.employees", "oslo")) is not None
    wrong = planday_command(planday, "forget", "--portal", "olso", "--employee", "1")
    assert wrong.returncode == 2
    assert "did you mean 'oslo'?" in wrong.stderr
