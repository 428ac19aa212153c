"""Tables of which only changes are read again: nothing is read twice that need not be, and no row is ever lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from planday_io.sync.session import PortalSession, refresh
from tests.support.document import queries
from tests.support.installation import EVERYTHING, Installation, Make


@pytest.fixture
def planday(make: Make) -> Installation:
    return make(people=(6, 9, 8), resources=EVERYTHING)


def test_only_new_and_modified_employees_are_read_again(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    planday.refresh("hr.employee_details")
    details, _ = planday.refresh("hr.employee_details")
    # Whose portal it is, the list, and the list of who left.
    assert (details.counters.requests, details.rows) == (3, 6)
    changed, gone = portal.employees[0]["id"], portal.employees[1]["id"]
    portal.edit_employee(
        changed, jobTitle="Head chef", custom_101={"name": "Shoe size", "type": "Numeric", "value": 47}
    )
    portal.deactivate(gone)
    hired = portal.hire()
    details, _ = planday.refresh("hr.employee_details")
    # New, changed, and who left: once, and the details that were read before stay.
    assert (details.counters.requests, details.rows) == (6, 7)
    ids = {row["id"] for row in planday.rows("hr.employee_details")}
    assert ids == {gone, *(row["id"] for row in portal.employees)}
    assert hired in {row["id"] for row in planday.rows("hr.employee_details")}
    details, _ = planday.refresh("hr.employee_details", full=True)
    assert details.counters.requests == 3 + 6 + len(portal.deactivated)


@pytest.mark.parametrize("hours", [1, 8, 23])
def test_a_change_stamped_before_the_read_is_read(planday: Installation, hours: int) -> None:
    """Nobody knows the zone of stamps: somebody changed after a read may be stamped hours before it."""
    portal = planday.sandbox.portals["oslo"]
    planday.refresh("hr.employee_details")
    person = portal.employees[0]["id"]
    portal.edit_employee(person, now=datetime.now(UTC) - timedelta(hours=hours), jobTitle="Head chef")
    planday.refresh("hr.employee_details")
    assert job_title(planday, person) == "Head chef"


def test_a_second_change_within_a_second_is_read(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    person = portal.employees[0]["id"]
    now = datetime.now(UTC)
    portal.edit_employee(person, now=now, jobTitle="Cook")
    planday.refresh("hr.employee_details")
    portal.edit_employee(person, now=now, jobTitle="Head chef")
    planday.refresh("hr.employee_details")
    assert job_title(planday, person) == "Head chef"


def test_a_settled_change_is_read_once(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    person = portal.employees[0]["id"]
    portal.edit_employee(person, now=datetime.now(UTC) - timedelta(minutes=10), jobTitle="Head chef")
    planday.refresh("hr.employee_details")
    details, _ = planday.refresh("hr.employee_details")
    # Whose portal it is, the list, and the list of who left.
    assert (details.counters.requests, job_title(planday, person)) == (3, "Head chef")


@pytest.mark.parametrize(
    ("batch", "minutes", "requests"), [("night", 50, 2), ("night", 70, 3), ("other", 50, 3), (None, 50, 3)]
)
def test_runs_started_together_share_parents(
    planday: Installation, batch: str | None, minutes: int, requests: int
) -> None:
    planday.sandbox.portals["oslo"].departments[1:] = []
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    first = PortalSession(planday.installation, "oslo", run_id="first", batch="night", clock=lambda: at)
    refresh(first, "hr.departments")
    second = PortalSession(planday.installation, "oslo", run_id="second", batch=batch)
    skills, *_ = refresh(second, "scheduling.skills")
    # Whose portal it is, the skills of one department, and what is not shared: the list of departments.
    assert skills.counters.requests == requests


def test_a_read_made_ahead_is_written_once(planday: Installation) -> None:
    times = [datetime.now(UTC) - timedelta(minutes=minutes) for minutes in (3, 2, 1)]
    clock = iter(times)
    session = PortalSession(planday.installation, "oslo", run_id="run", clock=lambda: next(clock))
    reports = [*refresh(session, "hr.employee_details"), *refresh(session, "hr.employees")]
    made = sum(count for asked, count in planday.sandbox.requests.items() if asked.startswith("oslo /"))
    assert sum(report.counters.requests for report in reports) == made
    assert planday.sandbox.requests["oslo /hr/v1.0/employees"] == 1
    written = planday.provenance("hr.employees")
    assert written is not None
    assert written.fetched == times[0], "the time of the read, not of the step that wrote it"
    hired = planday.sandbox.portals["oslo"].hire()
    refresh(session, "hr.employees")
    assert hired in {row["id"] for row in planday.rows("hr.employees")}


def job_title(planday: Installation, person: int) -> str:
    (title,) = (row["job_title"] for row in planday.rows("hr.employee_details") if row["id"] == person)
    return str(title)


def test_history_is_merged_and_never_shrinks(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    planday.refresh("hr.employee_history")
    before = len(planday.rows("hr.employee_history"))
    gone = portal.employees[0]["id"]
    portal.edit_employee(portal.employees[1]["id"], firstName="Changed", lastName="Twice")
    portal.deactivate(gone)
    planday.refresh("hr.employee_history")
    after = planday.rows("hr.employee_history")
    assert len(after) == before + 2
    assert gone in {row["employee_id"] for row in after}
    planday.refresh("hr.employee_history")
    assert len(planday.rows("hr.employee_history")) == before + 2


def test_returning_employee_gets_whole_history(planday: Installation) -> None:
    """What changed while a person was off the list is older than the last read, and must not be missed."""
    portal = planday.sandbox.portals["oslo"]
    planday.refresh("hr.employee_history")
    person = portal.employees.pop(0)
    planday.refresh("hr.employee_history")
    portal.employees.append(person)
    portal.edit_employee(person["id"], now=datetime(2024, 5, 1, tzinfo=UTC), firstName="Renamed while away")
    planday.refresh("hr.employee_history")
    stamps = {row["modification_date_time"] for row in planday.rows("hr.employee_history")}
    assert datetime(2024, 5, 1) in stamps  # noqa: DTZ001 - the API gives no zone


def test_deleted_feed_is_inclusive_overlaps_and_never_shrinks(planday: Installation) -> None:
    roster = planday.sandbox.portals["oslo"].roster
    planday.refresh("scheduling.deleted_shifts")
    before = {row["id"] for row in planday.rows("scheduling.deleted_shifts")}
    assert before == {row["id"] for row in roster.deleted}
    shift = next(iter(roster.shifts))
    roster.delete_shift(shift)
    del roster.deleted[0]  # nobody knows how long they are kept
    planday.refresh("scheduling.deleted_shifts")
    assert {row["id"] for row in planday.rows("scheduling.deleted_shifts")} == before | {shift}
    (first, second) = sorted(queries(planday, "/scheduling/v1.0/shifts/deleted"), key=len)
    assert "deletedFrom" not in first
    since = datetime.fromisoformat(second["deletedFrom"])
    assert timedelta(days=1) <= datetime.now(UTC) - since < timedelta(days=1, minutes=5)


def test_what_a_feed_sends_again_replaces_the_row(planday: Installation) -> None:
    roster = planday.sandbox.portals["oslo"].roster
    first, second = list(roster.shifts)[:2]
    roster.delete_shift(first)
    roster.delete_shift(second)
    planday.refresh("scheduling.deleted_shifts")
    again = next(row for row in roster.deleted if row["id"] == first)
    again["deletedBy"] = 4242
    planday.refresh("scheduling.deleted_shifts")
    by = {row["id"]: row["deleted_by"] for row in planday.rows("scheduling.deleted_shifts")}
    assert (by[first], by[second]) == (4242, 1000)


def test_feeds_never_lose_rows(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {free_text: keep}\ndefaults:")
    roster = planday.sandbox.portals["oslo"].roster
    roster.deleted[0]["comment"] = "Anna has the key"
    planday.refresh("scheduling.deleted_shifts")
    before = planday.rows("scheduling.deleted_shifts")
    assert [row["comment"] for row in before if row["comment"]]
    roster.deleted.clear()
    planday.refresh("scheduling.deleted_shifts", full=True)
    assert planday.rows("scheduling.deleted_shifts") == before
    planday.edit_config("free_text: keep", "free_text: drop")
    planday.refresh("scheduling.deleted_shifts")
    after = planday.rows("scheduling.deleted_shifts")
    assert {row["id"] for row in after} == {row["id"] for row in before}
    assert {row["comment"] for row in after} == {None}
    assert b"Anna has the key" not in planday.bytes_of("scheduling.deleted_shifts")
