"""The real definitions on a real instance: assets, metadata, retries, publication, schedules, dead runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster import DagsterInstance
from starlette.responses import Response

from pipelines.definitions import build_definitions
from pipelines.liveness import end_dead_runs, process_tags
from planday_io.catalogue import CATALOGUE
from planday_io.sandbox.state import Fault
from tests.conftest import Installation

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as made:
        yield made


def run(
    planday: Installation, instance: DagsterInstance, *tables: str, portal: str = "oslo"
) -> dg.ExecuteInProcessResult:
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        partition_key=portal,
        asset_selection=[dg.AssetKey(table.split(".")) for table in tables],
        raise_on_error=False,
        run_config=QUIET,
    )


def test_one_asset_per_table_described_and_partitioned_by_portal(planday: Installation) -> None:
    graph = build_definitions(planday.config_path).resolve_asset_graph()
    assert {key.to_user_string().replace("/", ".") for key in graph.get_all_asset_keys()} == {
        table.full_name for table in CATALOGUE.tables()
    }
    node = graph.get(dg.AssetKey(["hr", "employees"]))
    assert node.group_name == "hr"
    assert "Active employees" in (node.description or "")
    assert {"parquet", "duckdb"} <= {tag.removeprefix("dagster/kind/") for tag in node.tags}
    assert [column.name for column in node.metadata["dagster/column_schema"].columns][:3] == [
        "portal",
        "portal_id",
        "id",
    ]
    assert node.partitions_def is not None
    assert list(node.partitions_def.get_partition_keys()) == ["oslo", "copenhagen", "london"]


def test_a_materialization_tells_what_it_did_and_is_published(planday: Installation, instance: DagsterInstance) -> None:
    result = run(planday, instance, "hr.departments")
    assert result.success
    (event,) = result.asset_materializations_for_node("hr__departments")
    told = {key: value.value for key, value in event.metadata.items()}
    assert (told["dagster/row_count"], told["requests"], told["verdict"]) == (2, 1, "total_matched")
    assert {"retries", "throttled_seconds", "seconds", "window", "path"} <= told.keys()
    assert planday.query("SELECT run_id FROM sync.slices") == [(result.run_id,)]
    assert instance.get_run_by_id(result.run_id).tags[".dagster/planday_pid"] == str(os.getpid())  # type: ignore[union-attr]


def test_what_a_failed_run_had_written_is_published(planday: Installation, instance: DagsterInstance) -> None:
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = 5
    result = run(planday, instance, "hr.departments", "hr.employees")
    assert not result.success
    assert planday.query("SELECT count(*) FROM hr.departments") == [(2,)]
    assert planday.query("SELECT count(*) FROM hr.employees") == [(0,)]
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "firstName is number instead of VARCHAR" in failure.step_failure_data.error.message  # type: ignore[union-attr]


def test_a_retryable_failure_is_retried_as_the_portal_says_and_a_fatal_one_is_not(
    planday: Installation, instance: DagsterInstance
) -> None:
    planday.edit_config("step_delay_seconds: 10", "step_delay_seconds: 0")
    planday.sandbox.faults.append(Fault("/departments", lambda *_: Response(status_code=500), times=3))
    result = run(planday, instance, "hr.departments")
    assert result.success
    assert [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]
    for app in planday.sandbox.apps.values():
        app.scopes -= {"department:read"}
    result = run(planday, instance, "hr.departments")
    assert not result.success
    assert not [e for e in result.all_events if e.event_type_value == "STEP_UP_FOR_RETRY"]


def test_a_portal_without_a_resource_has_no_partition_of_it(planday: Installation) -> None:
    planday.edit_config("  london:", "  london:\n    resources: {exclude: [hr.skills]}")
    definitions = build_definitions(planday.config_path)
    skills = definitions.resolve_asset_graph().get(dg.AssetKey(["hr", "skills"]))
    assert skills.partitions_def is not None
    assert list(skills.partitions_def.get_partition_keys()) == ["oslo", "copenhagen"]


def test_a_schedule_launches_its_portal_only_and_calls_no_api(planday: Installation, instance: DagsterInstance) -> None:
    planday.edit_config("  london:", "  london:\n    resources: {exclude: [hr.skills]}")
    definitions = build_definitions(planday.config_path)
    schedule = definitions.resolve_schedule_def("nightly_oslo")
    assert schedule.execution_timezone == "Europe/Oslo"
    with dg.build_schedule_context(
        instance=instance,
        repository_def=definitions.get_repository_def(),
        scheduled_execution_time=datetime(2026, 11, 24, 1, 0, tzinfo=UTC),
    ) as context:
        requests = schedule.evaluate_tick(context).run_requests or []
    assert {request.partition_key for request in requests} == {"oslo"}
    asked = {key.to_user_string() for request in requests for key in request.asset_selection or []}
    assert {"hr/employees", "hr/skills", "portal/portals"} <= asked
    assert "hr/employee_history" not in asked
    assert len({request.run_key for request in requests}) == len(requests) == 2
    assert not planday.sandbox.requests


def test_a_dead_run_is_ended_and_a_living_one_is_not(instance: DagsterInstance) -> None:
    @dg.job
    def nothing() -> None:
        pass

    def started(tags: dict[str, str]) -> str:
        return instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED, tags=tags).run_id

    living = started(process_tags())
    dead = started({**process_tags(), ".dagster/planday_pid": str(max(psutil.pids()) + 100_000)})
    reused = started({**process_tags(), ".dagster/planday_pid_started": "1.00"})
    elsewhere = started({**process_tags(), ".dagster/planday_host": "another", ".dagster/planday_pid": "1"})
    assert set(end_dead_runs(instance)) == {dead, reused}
    alive = {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))}
    assert alive == {living, elsewhere}


def test_the_dead_runs_sensor_is_on_from_the_start(planday: Installation) -> None:
    sensors = {sensor.name: sensor for sensor in build_definitions(planday.config_path).sensors or []}  # type: ignore[union-attr]
    assert {"dead_runs", "unpublished_slices"} <= sensors.keys()
    assert all(sensor.default_status is dg.DefaultSensorStatus.RUNNING for sensor in sensors.values())  # type: ignore[union-attr]


def test_nothing_of_a_frame_reaches_the_instance(
    planday: Installation, instance: DagsterInstance, tmp_path: Path
) -> None:
    run(planday, instance, "hr.employees")
    person = planday.sandbox.portals["oslo"].employees[0]
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            assert person["email"].encode() not in path.read_bytes()
            assert person["lastName"].encode() + b" " not in path.read_bytes()
