"""The end of a run: what it wrote is published once, by its last step, and a run that could not publish is no success."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from dagster import DagsterInstance

from pipelines.definitions import build_definitions
from pipelines.progress import LISTENER, Listener
from pipelines.steps import OpenSteps
from pipelines.warehouse import warehouse_keys
from planday_io.monitoring.failures import INSTALLATION
from planday_io.sync.writer import TableReport
from planday_io.warehouse.inspection import CHECKED, GRAINS, SUMS, inspect
from planday_io.warehouse.mart_files import MARTS, marts, read_by, sources_of
from tests.support.installation import QUIET, Installation, run

NEEDS = {"employees": [], "details": ["employees"], "fields": ["details"], "departments": []}


@pytest.mark.parametrize(
    ("ends", "last"),
    [
        ([("employees", True), ("details", True), ("fields", True), ("departments", True)], "departments"),
        ([("departments", True), ("employees", False)], "employees"),
        ([("employees", False), ("departments", False)], "departments"),
        ([("employees", True), ("details", False), ("departments", True)], "departments"),
        ([("departments", False), ("employees", True), ("details", True), ("fields", False)], "fields"),
    ],
)
def test_last_step_is_known(ends: list[tuple[str, bool]], last: str) -> None:
    steps = OpenSteps(NEEDS)
    assert [step for step, is_good in ends if steps.end(step, is_good=is_good)] == [last]


def spoil_warehouse(planday: Installation) -> None:
    """Nothing can be published: a folder stands where the file belongs."""
    planday.config.warehouse.unlink()
    planday.config.warehouse.mkdir()


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Step -> what its failure says."""
    failed = [event for event in result.all_events if event.is_step_failure]
    return {str(event.step_key): event.step_failure_data.error.message for event in failed}  # type: ignore[union-attr]


def test_run_fails_where_publication_fails(planday: Installation, memory: DagsterInstance) -> None:
    spoil_warehouse(planday)
    result = run(planday, memory, "hr.departments", "hr.skills")
    assert not result.success
    ((step, text),) = failures(result).items()
    assert step in ("hr__departments", "hr__skills")
    assert "is a folder" in text
    written = [event.asset_key.to_user_string() for event in result.all_events if event.is_step_materialization]  # type: ignore[union-attr]
    assert sorted(written) == ["hr/departments", "hr/skills"], "what was written is reported nevertheless"
    (noted,) = planday.state.failures.of(INSTALLATION)
    assert noted.run_id == result.run_id
    planday.config.warehouse.rmdir()
    assert planday.publish().problems == {}
    assert planday.query("SELECT count(*) > 0 FROM hr.skills") == [(True,)]


def test_both_failures_are_told(planday: Installation, memory: DagsterInstance) -> None:
    spoil_warehouse(planday)
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = 5
    result = run(planday, memory, "hr.employees")
    assert "firstName is number" in failures(result)["hr__employees"]
    assert "is a folder" in failures(result)["hr__employees"]


def test_failed_parent_keeps_nothing_from_publication(planday: Installation, memory: DagsterInstance) -> None:
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = 5
    result = run(planday, memory, "hr.departments", "hr.employees", "hr.employee_details", "hr.employee_custom_fields")
    assert failures(result).keys() == {"hr__employees"}
    assert planday.query("SELECT table_name FROM sync.slices") == [("hr.departments",)]
    assert planday.query("SELECT failed, run_id FROM sync.runs") == [(["hr.employees"], result.run_id)]


class _Stop(Listener):
    """A listener that stops the run when its first table is written."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def finished(self, portal: str, report: TableReport) -> None:  # noqa: ARG002
        self.written.append(report.table)
        raise KeyboardInterrupt


def test_interrupted_run_publishes_what_it_wrote(planday: Installation, memory: DagsterInstance) -> None:
    stop = _Stop()
    token = LISTENER.set(stop)
    try:
        result = run(planday, memory, "hr.departments", "hr.skills", "hr.employee_groups")
    finally:
        LISTENER.reset(token)
    assert not result.success
    assert len(stop.written) == 1
    assert planday.query("SELECT table_name FROM sync.slices") == [(stop.written[0],)]


def reported(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Assets of the warehouse that a run reported, each once -> metadata."""
    events = [event for event in result.all_events if event.is_step_materialization]
    keys = [event.asset_key.to_user_string() for event in events]  # type: ignore[union-attr]
    assert len(keys) == len(set(keys))
    told = [event.step_materialization_data.materialization.metadata for event in events]
    found = {key: {name: one.value for name, one in metadata.items()} for key, metadata in zip(keys, told, strict=True)}
    return {key: one for key, one in found.items() if key.startswith(("marts/", "warehouse"))}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """`mart check` -> whether it passed, of those that a run answered."""
    found = [
        event.asset_check_evaluation_data
        for event in result.all_events
        if "CHECK_EVALUATION" in event.event_type_value and event.event_specific_data is not None
    ]
    return {
        f"{one.asset_key.path[-1]} {one.check_name}": one.passed for one in found if one.asset_key.path[0] == "marts"
    }


@pytest.mark.processes
def test_publication_is_reported_by_its_run(planday: Installation, memory: DagsterInstance) -> None:
    first = run(planday, memory, "hr.departments", "hr.employees")
    told = reported(first)
    assert told.keys() == {"warehouse"} | {
        f"marts/{name}" for name in MARTS if {"hr.departments", "hr.employees"} & sources_of(name)
    }
    (people,) = planday.query("SELECT count(*) FROM marts.employees")
    assert told["marts/employees"]["dagster/row_count"] == people[0] > 0
    assert told["warehouse"]["bytes"] == planday.config.warehouse.stat().st_size
    assert told["warehouse"]["slices_replaced"] == planday.query("SELECT count(*) FROM sync.slices")[0][0] + len(
        planday.query("SELECT 1 FROM sync.derived")
    )
    assert checks(first)["employees one_row_per_grain"]
    counted = {name for name in MARTS if "dagster/row_count" in told.get(f"marts/{name}", {})}
    assert counted == {name for name in CHECKED if f"marts/{name}" in told}
    # Nothing new to publish but the log of the second run and what it read: the file is another one.
    second = reported(run(planday, memory, "hr.departments", "hr.employees"))
    assert second["warehouse"]["generation"] != told["warehouse"]["generation"]


def publish_run(planday: Installation, instance: DagsterInstance) -> dg.ExecuteInProcessResult:
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance, asset_selection=warehouse_keys(), raise_on_error=False, run_config=QUIET
    )


@pytest.mark.processes
def test_unchanged_warehouse_is_not_materialized(planday: Installation, memory: DagsterInstance) -> None:
    planday.refresh("hr.employees")
    first = publish_run(planday, memory)
    assert first.success
    assert reported(first).keys() == {"warehouse", *(f"marts/{name}" for name in MARTS)}
    again = publish_run(planday, memory)
    assert again.success
    assert reported(again) == {}
    assert checks(again).keys() == checks(first).keys() != set()
    assert all(checks(again).values())


@pytest.mark.processes
def test_warehouse_step_publishes_once_behind_tables(planday: Installation, memory: DagsterInstance) -> None:
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    selected = [dg.AssetKey(["hr", "departments"]), dg.AssetKey(["hr", "employees"]), *warehouse_keys()]
    how: Any = {"instance": memory, "partition_key": "oslo", "raise_on_error": False, "run_config": QUIET}
    done = job.execute_in_process(asset_selection=selected, **how)
    assert done.success
    assert reported(done).keys() == {"warehouse", *(f"marts/{name}" for name in MARTS)}
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = 5
    failed = job.execute_in_process(asset_selection=selected, **how)
    assert failures(failed).keys() == {"hr__employees"}
    assert "warehouse" in reported(failed), "published by the last table, because the warehouse's step is skipped"


def test_marts_read_what_duckdb_scans(blank_warehouse: Path) -> None:
    with duckdb.connect(str(blank_warehouse), read_only=True) as db:
        db.execute("PRAGMA disable_optimizer")
        for mart in marts():
            ((_, plan),) = db.execute(f"EXPLAIN (FORMAT json) SELECT * FROM marts.{mart.name}").fetchall()
            scanned = set(re.findall(r'"Table": "(?:\w+\.)?(\w+\.\w+)"', plan))
            assert sources_of(mart.name) == {name for name in scanned if not name.startswith("sync.")}
    assert GRAINS.keys() == {*MARTS} >= CHECKED >= SUMS.keys(), "each mart says what identifies a row"
    assert read_by("hours") >= {"marts.shifts", "scheduling.shifts"}


def test_lineage_reaches_the_tables(planday: Installation) -> None:
    graph = build_definitions(planday.config_path).resolve_asset_graph()
    people = graph.get(dg.AssetKey(["marts", "employees"]))
    assert {"hr/employees", "hr/departments"} <= {key.to_user_string() for key in people.parent_keys}
    assert not [key for key in people.parent_keys if key not in graph.get_all_asset_keys()]
    assert dg.AssetKey(["hr", "skills"]) in graph.get(dg.AssetKey("warehouse")).parent_keys


def test_checks_find_repeated_rows_and_lost_money(tmp_path: Path, blank_warehouse: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    shutil.copyfile(blank_warehouse, file)
    assert all(mart.repeated == 0 and not mart.wrong_sums for mart in inspect(file).marts.values())
    with duckdb.connect(str(file)) as db:
        for portal in ("oslo", "london"):
            db.execute("INSERT INTO hr.employees (portal, portal_id, id) VALUES (?, 1, 7)", [portal])
            db.execute(
                "INSERT INTO payroll.shifts (portal, portal_id, month, id, date, salary) "
                "VALUES (?, 1, '2026-01', 1, '2026-01-05', 100)",
                [portal],
            )
            db.execute("INSERT INTO sync.slices (table_name, portal, kept) VALUES ('hr.employees', ?, 1)", [portal])
    sums = inspect(file).marts["labour_daily"].sums
    assert sums["labour_cost and unallocated_cost"] == (200, 200)
    with duckdb.connect(str(file)) as db:
        db.execute("INSERT INTO hr.employees (portal, portal_id, id) VALUES ('oslo', 1, 7)")
        # A revenue unit that is there twice doubles what is joined to it, and so does a shift's pay.
        db.execute(
            "INSERT INTO revenue.revenue (portal, revenue_unit_id, date, turnover) VALUES ('oslo', 3, '2026-01-05', 50)"
        )
        for _ in range(2):
            db.execute("INSERT INTO revenue.revenue_units (portal, id, department_id) VALUES ('oslo', 3, 4)")
        db.execute("INSERT INTO scheduling.shifts (portal, month, id) VALUES ('oslo', '2026-01', 1)")
        db.execute("INSERT INTO payroll.shifts SELECT * FROM payroll.shifts WHERE portal = 'oslo'")
    found = inspect(file)
    assert (found.portals, found.marts["employees"].rows, found.marts["employees"].repeated) == (2, 3, 1)
    assert found.marts["labour_daily"].wrong_sums == {"revenue": (100, 50)}
    assert found.marts["hours"].repeated == 1
    london = inspect(file, tables=["hr.employees"], portals=["london"])
    assert (london.of_portals, london.marts["employees"].rows, london.marts["employees"].repeated) == (
        ("london",),
        1,
        0,
    )
    assert "planned_costs" not in london.marts


@pytest.mark.processes
def test_checks_find_pay_that_another_person_got(tmp_path: Path, blank_warehouse: Path) -> None:
    """The sum of all people is right even so."""
    file = tmp_path / "warehouse.duckdb"
    shutil.copyfile(blank_warehouse, file)
    (mart,) = (mart for mart in marts() if mart.name == "allocated_costs")
    body = mart.sql.partition(" AS\n")[2].strip().removesuffix(";")
    with duckdb.connect(str(file)) as db:
        for portal, employee, salary in (("oslo", 1, 100), ("oslo", 2, 300), ("london", 1, 100), ("london", 2, 100)):
            where = [portal, employee]
            db.execute(
                "INSERT INTO payroll.salaried (portal, month, employee_id, date, ordinal, salary) "
                "VALUES (?, '2026-01', ?, '2026-01-01', 1, ?)",
                [*where, salary],
            )
            db.execute("INSERT INTO sync.slices (table_name, portal, kept) VALUES ('payroll.salaried', ?, 1)", [portal])
    what = "amount of a person and month"
    assert inspect(file).marts["allocated_costs"].sums == {"amount": (600, 600), what: (0, 0)}
    with duckdb.connect(str(file)) as db:
        db.execute(
            f"CREATE OR REPLACE VIEW marts.allocated_costs AS SELECT * REPLACE (3 - employee_id AS employee_id) FROM ({body})"
        )
    assert inspect(file).marts["allocated_costs"].wrong_sums == {what: (2, 0)}
    london = inspect(file, tables=["payroll.salaried"], portals=["london"])
    assert london.marts["allocated_costs"].sums == {"amount": (200, 200), what: (0, 0)}
