"""Asset checks, freshness, guards per table, the log of runs, the report and what `planday check` says of personal data."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.checks import freshness_of
from pipelines.definitions import build_definitions
from planday_io.catalogue import CATALOGUE
from planday_io.errors import ConfigError, ShrunkSnapshotError
from planday_io.lake.quality import NAMES, check_slice, checks_of
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.freshness import observe
from planday_io.months import month_of, shifted
from planday_io.reports.report import write_report
from planday_io.sandbox.roster import Roster
from planday_io.sync.session import PortalSession, refresh
from tests.support.commands import planday_command
from tests.support.installation import EVERYTHING, Installation, Make, run

THIS = month_of(datetime.now(UTC).date())


def verdicts(
    planday: Installation, table: str, month: str | None = None, previous: int | None = None
) -> dict[str, tuple[bool, dict[str, int]]]:
    found = check_slice(planday.lake, CATALOGUE, SliceKey.of(table, "oslo", month), previous)
    assert [one.check for one in found] == checks_of(CATALOGUE.table(table))
    return {one.check: (one.passed, one.counts) for one in found}


def test_references_that_lead_nowhere_are_counted(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]
    for name in ("hr.departments", "hr.employee_groups", "hr.employee_types", "hr.employees"):
        planday.refresh(name)
    assert verdicts(planday, "hr.employees")["references_resolve"] == (True, {"missing": 0})
    for row in portal.employees[:2]:
        row["employeeTypeId"] = 777
    planday.refresh("hr.employees")
    assert verdicts(planday, "hr.employees")["references_resolve"] == (False, {"employee_type_id": 2})


def test_people_who_left_are_still_somebody(make: Make) -> None:
    planday = make(people=(5, 4, 4), resources=EVERYTHING)
    for name in ("hr.departments", "hr.employee_groups", "hr.employees", "hr.deactivated_employees"):
        planday.refresh(name)
    roster: Roster = planday.sandbox.portals["oslo"].roster
    left = {row["id"] for row in planday.sandbox.portals["oslo"].deactivated}
    month = next(s["date"][:7] for s in roster.shifts.values() if s["employeeId"] in left)
    planday.refresh("scheduling.shifts", month=month)
    passed, counts = verdicts(planday, "scheduling.shifts", month)["references_resolve"]
    assert "employee_id" not in counts, (passed, counts)


def test_an_unusual_number_of_rows_is_told(make: Make) -> None:
    planday = make(people=(25, 4, 4), resources=EVERYTHING)
    roster = planday.sandbox.portals["oslo"].roster
    months = [shifted(THIS, -n) for n in (3, 2, 1)]
    for month in months[:2]:
        planday.refresh("scheduling.shifts", month=month)
    for shift in [s["id"] for s in roster.shifts.values() if s["date"].startswith(months[2])][10:]:
        del roster.shifts[shift]
    planday.refresh("scheduling.shifts", month=months[2])
    passed, counts = verdicts(planday, "scheduling.shifts", months[2])["row_count_usual"]
    assert not passed
    assert counts["rows"] == 10
    assert counts["usual"] > 100
    assert verdicts(planday, "scheduling.shifts", months[1])["row_count_usual"][0]


@pytest.mark.processes
def test_each_materialization_answers_its_checks(planday: Installation, instance: DagsterInstance) -> None:
    result = run(planday, instance, "hr.departments", "hr.employees")
    found = {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}
    found = {key: one for key, one in found.items() if not key[0].startswith("marts/")}
    checks = ("correct", "usual", "fresh_per_portal")
    assert set(found) == {(f"hr/{table}", name) for table in ("departments", "employees") for name in checks}
    assert all(one.passed for one in found.values())
    assert {one.partition for (_, name), one in found.items() if name != "fresh_per_portal"} == {"oslo"}
    asked = {name for _, one in found.items() for name in one.metadata if name in NAMES}
    assert asked == {*NAMES}, "each says how every question was answered"
    assert "references_resolve" not in found["hr/departments", "usual"].metadata, "departments refer to nothing"
    assert result.success
    steps = {event.step_key for event in result.all_events if event.step_key}
    assert steps == {"hr__departments", "hr__employees"}, "checks are no steps of their own"


def test_stale_portal_is_not_hidden_by_fresh_one(planday: Installation, instance: DagsterInstance) -> None:
    planday.edit_config("nightly: {enabled: false}", "nightly: {enabled: true}")
    endpoint = CATALOGUE.endpoint_of("hr.departments")
    now = datetime.now(UTC)
    observe(planday.installation, now - timedelta(days=5))
    for portal, days in (("oslo", 0), ("london", 4)):
        at = now - timedelta(days=days)
        refresh(PortalSession(planday.installation, portal, run_id="x", clock=lambda at=at: at), "hr.departments")  # type: ignore[misc]
    passed, metadata = freshness_of(endpoint, "hr.departments", planday.installation)
    assert (passed, metadata["stale"], metadata["portals"]) == (False, 2, 3)
    assert str(metadata["stale_portals"]).startswith("copenhagen (never read), london (20")
    definitions = build_definitions(planday.config_path)
    (sensor,) = [one for one in definitions.sensors or [] if one.name == "freshness"]

    def look(cursor: str | None) -> dg.SensorExecutionData:  # type: ignore[name-defined]
        with dg.build_sensor_context(
            instance=instance, cursor=cursor, repository_def=definitions.get_repository_def()
        ) as context:
            return sensor.evaluate_tick(context)

    first = look(None)
    told = {one.asset_key.to_user_string(): one for one in first.asset_events}
    assert not told["hr/departments"].passed
    assert "copenhagen (never read)" in str(told["hr/departments"].metadata["stale_portals"].value)
    assert "oslo" not in str(told["hr/departments"].metadata["stale_portals"].value)
    assert not look(first.cursor).asset_events, "an answer that stays is told once a day"
    for portal in ("copenhagen", "london"):
        planday.refresh("hr.departments", portal)
    (event,) = look(first.cursor).asset_events
    assert (event.asset_key.to_user_string(), event.passed) == ("hr/departments", True)


def test_what_no_schedule_reads_is_never_stale(planday: Installation) -> None:
    endpoint = CATALOGUE.endpoint_of("hr.departments")
    assert freshness_of(endpoint, "hr.departments", planday.installation)[0]


def test_a_guard_of_one_table_and_what_vanished(make: Make) -> None:
    planday = make(people=(60, 4, 4))
    planday.edit_config(
        "  retries:",
        "  guards: {tables: {hr.employees: {max_lost_rows: 2, min_ratio: 0.99}, hr: {max_lost_rows: 50}}}\n  retries:",
    )
    planday.refresh("hr.employees")
    planday.refresh("hr.deactivated_employees")
    portal = planday.sandbox.portals["oslo"]
    del portal.employees[:4]
    portal.hire()
    before = planday.bytes_of("hr.employees")
    with pytest.raises(ShrunkSnapshotError, match=r"of 60 keys 4 vanished, 56 stayed, 1 are new"):
        planday.refresh("hr.employees")
    assert planday.bytes_of("hr.employees") == before
    planday.refresh("hr.employees", accept_shrink=True)
    assert planday.config.portals["oslo"].guards.of("hr.departments").max_lost_rows == 50
    planday.edit_config("hr.employees: {max", "hr.employes: {max")
    with pytest.raises(ConfigError, match=r"did you mean 'hr\.employees'"):
        _ = planday.config


@pytest.mark.processes
def test_the_log_of_runs(planday: Installation) -> None:
    for app in planday.sandbox.apps.values():
        app.scopes -= {"skill:read"}
    done = planday_command(planday, "sync", "oslo", "--resources", "hr.departments,hr.skills")
    assert done.returncode == 1
    ((portal, by, complete, written, failed, requests, error),) = planday.query(
        "SELECT portal, started_by, is_complete, written, failed, requests, errors[1] FROM sync.runs"
    )
    assert (portal, by, complete, written, failed) == ("oslo", "planday sync", False, ["hr.departments"], ["hr.skills"])
    assert requests == 2
    assert "lacks scope skill:read" in error
    planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    assert planday.query(
        "SELECT count(*), count(DISTINCT run_id), bool_and(ended_at >= started_at) FROM sync.runs"
    ) == [(2, 2, True)]
    before = planday.query("FROM sync.runs ORDER BY run_id")
    planday.publish(rebuild=True)
    assert planday.query("FROM sync.runs ORDER BY run_id") == before


@pytest.mark.processes
def test_unwritable_log_does_not_stop_publication(
    planday: Installation,
    instance: DagsterInstance,
) -> None:
    assert run(planday, instance, "hr.departments").success
    (log,) = planday.lake.slices("sync.runs")
    planday.lake.path(log).write_bytes(b"not a slice")
    planday.sandbox.portals["oslo"].departments.pop()
    run(planday, instance, "hr.departments")
    assert planday.query("SELECT count(*) FROM hr.departments") == [(1,)]
    assert planday.lake.pending() == {}


@pytest.mark.processes
def test_check_tells_where_personal_data_will_be(planday: Installation) -> None:
    done = planday_command(planday, "check", "oslo")
    assert done.returncode == 0, done.stdout
    told = done.stdout[done.stdout.index("Personal data") :]
    for text in ("sensitive", "ssn", "dropped: NULL", "kept as it is", "hr.employees", "hr_history.employees"):
        assert text in told
    assert "pay.salaries" not in told, "no portal has it"


@pytest.mark.processes
def test_the_report_stands_alone(planday: Installation) -> None:
    person = planday.sandbox.portals["oslo"].employees[0]
    person["lastName"] = "Unmistakable"
    planday.sandbox.portals["oslo"].info["companyName"] = "<script>alert(1)</script> & Sons"
    planday.config.warehouse.unlink()
    failed = planday_command(planday, "report")
    assert failed.returncode == 1
    assert "run `planday sync` first" in failed.stderr
    for app in planday.sandbox.apps.values():
        app.scopes -= {"skill:read"}
    planday_command(planday, "sync", "oslo")
    done = planday_command(planday, "report", "--output", "page.html")
    assert done.returncode == 0, done.stderr
    page = (planday.folder / "page.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Sons" in page
    assert "<script" not in page
    assert "Unmistakable" not in page
    assert "lacks scope skill:read" in page
    assert "http://" not in page.replace("http://127.0.0.1", "")
    for word in (
        "Freshness",
        "Completeness",
        "Planned against worked",
        "hr.departments",
        "copenhagen",
        "Something needs a look",
    ):
        assert word in page
    write_report(planday.installation, planday.folder / "later.html", datetime.now(UTC) + timedelta(days=3))
    assert "3 days ago" in (planday.folder / "later.html").read_text()
