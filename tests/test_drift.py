"""What changed in Planday's answers: noticed and reported once, remembered without values, and ended when it ends."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.frames.schema_drift import SchemaDrift
from planday_io.monitoring.drift import news, open_drift
from planday_io.months import month_of, shifted
from planday_io.sandbox.world import demo_portals
from planday_io.sync.drift import ROWS_TO_JUDGE, Observation, record
from planday_io.sync.session import PortalSession, refresh
from tests.support.installation import Hook, Installation, Make
from tests.support.nights import alert, answer, at, read

DEPARTMENTS, EMPLOYEES, SKILLS, REASONS = "hr.departments", "hr.employees", "hr.skills", "hr.termination_types"
TABLES = (DEPARTMENTS, EMPLOYEES, SKILLS, REASONS)


def entries(planday: Installation) -> list[tuple[str, str, str, str]]:
    return [(one.table, one.kind, one.path, one.found) for one in planday.state.drift.all() if one.is_open]


def observe(planday: Installation, night: int, rows: int, without: str = "") -> None:
    """A read of shift types whose rows have all members, or all but one."""
    endpoint = CATALOGUE.endpoint_of("scheduling.shift_types")
    (table,) = endpoint.tables
    members = {column.member for column in table.columns}
    drift = SchemaDrift(rows=rows, present=Counter(dict.fromkeys(members - {without}, rows)), watched=members)
    made = Observation(
        endpoint=endpoint, month=None, at=at(night), drift={table.full_name: drift}, refused={}, error=None
    )
    record(planday.installation, "oslo", [made])


def lose_scope(planday: Installation, scope: str) -> None:
    for app in planday.sandbox.apps.values():
        app.scopes -= {scope}


@pytest.mark.slow
def test_three_events_in_thirty_nights_alert_thrice(planday: Installation, hook: Hook) -> None:
    told: dict[int, list[str]] = {}
    for night in range(30):
        if night == 8:
            answer(planday, "/hr/v1.0/employees", lambda row: row.update(nickName="Ann"))
        if night == 15:
            answer(planday, "/hr/v1.0/departments", lambda row: row.update(number=17))
        if night == 22:
            lose_scope(planday, "skill:read")
        planday.sandbox.portals["oslo"].advance(days=1, changes=3)
        read(planday, night, TABLES)
        alert(planday, night)
        if messages := hook.take():
            told[night] = [f"{one['event']} {part['cause']}" for one in messages for part in one["incidents"]]
    assert told == {8: ["failed drift"], 15: ["failed data"], 22: ["failed scope"]}


@pytest.mark.slow
def test_quiet_nights_have_no_drift(make: Make) -> None:
    portals = demo_portals(people=(24, 4, 4))
    oslo = portals["oslo"]
    oslo.today, oslo.back_months = at(0).date(), 3
    planday = make(portals=portals, resources="window: {past_months: 2, future_months: 1}")
    every = [one.tables[0].full_name for one in planday.installation.endpoints_of("oslo")]
    for night in range(30):
        oslo.advance(days=1)
        # Every table takes half a minute, so they are read at the beginning, and once in each half of the nights.
        read(planday, night, every if night in (0, 8, 24) else [EMPLOYEES, "scheduling.shifts"])
        assert news(open_drift(planday.installation)) == [], f"night {night}"
    answer(planday, "/hr/v1.0/employees", lambda row: row.pop("lastName"))
    read(planday, 30, [EMPLOYEES])
    missed = [one.path for one in news(open_drift(planday.installation))]
    assert missed == ["lastName"], "there was enough to compare"


def test_new_member_is_told_once_until_accepted(planday: Installation, hook: Hook) -> None:
    read(planday, 0, [EMPLOYEES])
    answer(planday, "/hr/v1.0/employees", lambda row: row.update(nickName="Ann"))
    for night in (1, 2):
        read(planday, night, [EMPLOYEES])
        alert(planday, night)
    (message,) = hook.take()
    assert "nickName" in message["text"]
    assert "planday drift --accept" in message["text"]
    planday.state.drift.accept(open_drift(planday.installation), at(3))
    read(planday, 3, [EMPLOYEES])
    alert(planday, 3)
    assert [one["event"] for one in hook.take()] == ["recovered"]
    read(planday, 4, [EMPLOYEES])
    alert(planday, 4)
    assert hook.take() == [], "what was accepted stays accepted"


def test_names_that_may_be_data_are_not_shown(planday: Installation, hook: Hook) -> None:
    """A map from people to something has their names where others have members'."""
    people = ["Ingeborg Vik", "+45 99887766", "vik@example.com", "Bergljot\n'\"", "4599887766", "B" * 10_000]
    found = {"bankAccount": dict.fromkeys(people, 1), **dict.fromkeys(people, 1), "nickName": "Ann"}
    answer(planday, "/hr/v1.0/employees", lambda row: row.update(found))
    session = PortalSession(planday.installation, "oslo", run_id="night-0", clock=lambda: at(0))
    (report,) = refresh(session, EMPLOYEES)
    alert(planday, 0)
    state = b"".join(path.read_bytes() for path in planday.state.folder.glob("state.sqlite*"))
    for text in [f"{hook.take()}", f"{report.warnings}", state.decode(errors="replace")]:
        assert "nickName" in text
        assert not [one for one in ("Ingeborg", "99887766", "vik@", "Bergljot", "BBBB") if one in text]
    paths = {(path, found) for table, kind, path, found in entries(planday) if kind == "new_member"}
    assert paths == {("nickName", ""), ("(not shown)", "")}


def test_each_event_alerts_also_beside_open_ones(planday: Installation, hook: Hook) -> None:
    members = {"nickName": "Ann"}
    answer(planday, "/hr/v1.0/employees", lambda row: row.update(members))
    read(planday, 0, [EMPLOYEES])
    alert(planday, 0)
    members["petName"] = "Ann"
    read(planday, 1, [EMPLOYEES])
    alert(planday, 1)
    assert ["petName" in one["text"] for one in hook.take()] == [False, True]


def test_change_of_the_api_is_one_event(planday: Installation, hook: Hook) -> None:
    answer(planday, "/hr/v1.0/employees", lambda row: row.update(nickName="Ann"))
    for portal in ("oslo", "copenhagen"):
        read(planday, 0, [EMPLOYEES], portal)
        alert(planday, 0)
    (message,) = hook.take()
    assert message["incidents"][0]["portal"] is None
    oslos = [one for one in open_drift(planday.installation) if one.portal == "oslo"]
    planday.state.drift.accept(oslos, at(1))
    read(planday, 1, [EMPLOYEES], "london")
    alert(planday, 1)
    assert [one["event"] for one in hook.take()] == ["recovered"], "what is accepted at one portal is not new elsewhere"


def test_no_value_is_remembered(planday: Installation) -> None:
    answer(planday, "/hr/v1.0/employees", lambda row: row.update(nickName="Fru Secret", firstName={"Secret": 1}))
    read(planday, 0, [EMPLOYEES])
    planday.publish()
    assert ("new_member", "nickName", None) in planday.query("SELECT kind, path, found FROM sync.drift")
    assert planday.state_files_with("Fru Secret") == []
    assert b"Fru Secret" not in planday.config.warehouse.read_bytes()


def test_retyped_member_is_over_after_a_week(planday: Installation) -> None:
    fault = answer(planday, "/hr/v1.0/terminationtypes", lambda row: row.update(name=5))
    read(planday, 0, [REASONS])
    assert entries(planday) == [(REASONS, "retyped", "name", "number")]
    planday.sandbox.faults.remove(fault)
    read(planday, 6, [REASONS])
    assert entries(planday) == [(REASONS, "retyped", "name", "number")], "another month may still have it"
    read(planday, 7, [REASONS])
    assert entries(planday) == []


def test_lost_scope_ends_with_the_next_answer(planday: Installation) -> None:
    scopes = {client: app.scopes for client, app in planday.sandbox.apps.items()}
    read(planday, 0, [SKILLS])
    lose_scope(planday, "skill:read")
    read(planday, 1, [SKILLS])
    assert entries(planday) == [(SKILLS, "scope_lost", "/hr/v1.0/skills", "skill:read")]
    for client, app in planday.sandbox.apps.items():
        app.scopes = scopes[client]
    read(planday, 2, [SKILLS])
    assert entries(planday) == []
    (entry,) = planday.state.drift.all()
    assert entry.ended_at == at(2)


def test_scope_that_never_was_is_not_lost(planday: Installation) -> None:
    lose_scope(planday, "skill:read")
    read(planday, 0, [SKILLS])
    assert entries(planday) == []


def test_member_in_no_row_is_missed(planday: Installation) -> None:
    for night in range(5):
        observe(planday, night, ROWS_TO_JUDGE)
    observe(planday, 5, ROWS_TO_JUDGE - 1, without="hourlyRate")
    assert entries(planday) == [], "few rows may lack a member by chance"
    observe(planday, 6, ROWS_TO_JUDGE, without="name")
    assert entries(planday) == [("scheduling.shift_types", "gone_member", "name", "")]
    observe(planday, 7, ROWS_TO_JUDGE, without="name")
    (entry,) = planday.state.drift.all()
    assert (entry.reads, entry.first_seen, entry.last_seen) == (2, at(6), at(7))
    observe(planday, 8, ROWS_TO_JUDGE)
    assert entries(planday) == []


def test_month_that_goes_on_misses_nothing(planday: Installation) -> None:
    endpoint = CATALOGUE.endpoint_of("punchclock.punch_clock_shifts")
    table = endpoint.tables[0]
    members = {column.member for column in table.columns}
    tenth = at(0).replace(day=10)
    this = month_of(tenth.date())
    settled = shifted(this, -2)
    found = []
    for night, month, missing in [
        *((one, settled, "") for one in range(5)),
        (5, this, "shiftId"),
        (6, settled, "shiftId"),
    ]:
        present = Counter(dict.fromkeys(members - {missing}, ROWS_TO_JUDGE))
        drift = SchemaDrift(rows=ROWS_TO_JUDGE, present=present, watched=members)
        moment = tenth + timedelta(days=night)
        made = Observation(endpoint=endpoint, month=month, at=moment, drift={table.full_name: drift}, refused={})
        record(planday.installation, "oslo", [made])
        found.append(entries(planday))
    assert found == [[]] * 6 + [[(table.full_name, "gone_member", "shiftId", "")]]


def test_rare_member_is_never_missed(planday: Installation) -> None:
    observe(planday, 0, ROWS_TO_JUDGE, without="name")
    for night in range(1, 7):
        observe(planday, night, ROWS_TO_JUDGE)
    observe(planday, 7, ROWS_TO_JUDGE, without="name")
    assert entries(planday) == []


def test_entry_begins_anew_after_its_end(planday: Installation) -> None:
    fault = answer(planday, "/hr/v1.0/terminationtypes", lambda row: row.update(name=5))
    read(planday, 0, [REASONS])
    planday.state.drift.accept(open_drift(planday.installation), at(0))
    planday.sandbox.faults.remove(fault)
    read(planday, 8, [REASONS])
    planday.sandbox.faults.append(fault)
    read(planday, 9, [REASONS])
    (entry,) = planday.state.drift.all()
    assert news([entry]) == [entry]
    assert entry.first_seen == at(9)


def test_reading_for_a_notebook_remembers_nothing(planday: Installation) -> None:
    answer(planday, "/hr/v1.0/employees", lambda row: row.update(nickName="Ann"))
    session = planday.session()
    refresh(session, DEPARTMENTS)
    session.read(EMPLOYEES)
    refresh(session, DEPARTMENTS)
    assert planday.state.drift.all() == []


def test_members_of_the_request_are_not_new(planday: Installation) -> None:
    answer(planday, "/history", lambda row: row.update(employeeGroupId=1, employeeId=2))
    read(planday, 0, ["pay.pay_rate_history"])
    assert {row["_extra"] for row in planday.rows("pay.pay_rate_history")} == {None}
    assert planday.state.drift.all() == []


def test_first_read_shows_members_of_an_unknown_table(planday: Installation) -> None:
    planday.edit_config("[portal, hr]", "[absence.absence_types]")
    members: dict[str, int] = {}
    answer(planday, "/absence/v1.0/absencetypes", lambda row: row.update(members))
    told = []
    for night in range(2):
        read(planday, night, ["absence.absence_types"])
        told.append((entries(planday), [one.path for one in news(open_drift(planday.installation))]))
        members["limit"] = 1
    first = ("absence.absence_types", "new_member", "paid", "")
    assert told == [([first], []), ([("absence.absence_types", "new_member", "limit", ""), first], ["limit"])]


def test_many_new_members_are_one_entry(planday: Installation) -> None:
    answer(planday, "/hr/v1.0/departments", lambda row: row.update({f"m{n:03}": n for n in range(500)}))
    read(planday, 0, [DEPARTMENTS])
    found = entries(planday)
    assert len(found) == 21
    assert (DEPARTMENTS, "new_member", "(others)", "") in found


def test_quiet_reads_change_nothing_in_state(planday: Installation) -> None:
    for night in range(6):
        observe(planday, night, ROWS_TO_JUDGE)
    files = [file for file in planday.state.folder.glob("state.sqlite*") if file.is_file()]
    before = [file.read_bytes() for file in files]
    observe(planday, 7, ROWS_TO_JUDGE)
    assert [file.read_bytes() for file in files] == before


def test_entries_of_another_portal_stay(planday: Installation) -> None:
    answer(planday, "/hr/v1.0/employees", lambda row: row.update(nickName="Ann"))
    for portal in ("oslo", "copenhagen"):
        read(planday, 0, [EMPLOYEES], portal)
    planday.state.forget_portal("oslo")
    assert {one.portal for one in planday.state.drift.all()} == {"copenhagen"}
    assert at(0) - timedelta(days=1) < planday.state.drift.all()[0].first_seen
