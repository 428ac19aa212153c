"""The real definitions on a real instance: assets, metadata, retries, publication, schedules, dead runs."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance
from starlette.responses import Response

from pipelines.assets import partition_of
from pipelines.definitions import build_definitions, defs
from pipelines.liveness import LEASE, end_dead_runs, process_tags
from pipelines.tags import BATCH_TAG, WRITER_TAG
from pipelines.warehouse import warehouse_keys
from planday_io.catalogue import CATALOGUE
from planday_io.config.grid import grid_months
from planday_io.errors import ConfigError
from planday_io.sandbox.state import Fault
from planday_io.state import State
from tests.support.installation import EVERYTHING, QUIET, Installation, Make, run


def test_one_asset_per_table_described_and_partitioned(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    graph = build_definitions(planday.config_path).resolve_asset_graph()
    keys = {*graph.get_all_asset_keys()} - {*warehouse_keys()}
    assert {key.to_user_string().replace("/", ".") for key in keys} == {table.full_name for table in CATALOGUE.tables()}
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
    facts = graph.get(dg.AssetKey(["scheduling", "shifts"])).partitions_def
    assert facts is not None
    months = grid_months(planday.config, "oslo", datetime.now(UTC))
    assert set(facts.get_partition_keys()) == {
        f"{month}|{portal}" for month in months for portal in planday.config.portals
    }


def test_materialization_has_metadata_and_is_published(planday: Installation, instance: DagsterInstance) -> None:
    result = run(planday, instance, "hr.departments")
    assert result.success
    event = result.asset_materializations_for_node("hr__departments")[0]
    told = {key: value.value for key, value in event.metadata.items()}
    assert (told["dagster/partition_row_count"], told["requests"], told["verdict"]) == (2, 2, "total_matched")
    assert told["rows_explained"] == "2 received = 2"
    assert "previous_rows" not in told, "there was no slice before"
    assert {"retries", "throttled_seconds", "seconds", "window", "path"} <= told.keys()
    assert planday.query("SELECT run_id FROM sync.slices") == [(result.run_id,)]
    assert planday.state.runs.is_alive(instance.get_run_by_id(result.run_id).tags[LEASE])  # type: ignore[union-attr]


def test_requests_of_several_tables_are_counted_once(make: Make, instance: DagsterInstance) -> None:
    planday = make(resources="resources: {include: [portal, hr, absence]}")
    parent, *children = (table.full_name for table in CATALOGUE.endpoint_of("absence.absence_records").tables)
    result = run(planday, instance, parent, *children)
    events = result.asset_materializations_for_node("absence__absence_records")
    told = {".".join(event.asset_key.path): event.metadata for event in events}
    assert told[parent]["requests"].value
    assert "requests_explained" not in told[parent]
    for child in children:
        assert told[child]["requests"].value == 0
        assert str(told[child]["requests_explained"].value).startswith("counted at another table of this run")


def test_what_a_failed_run_had_written_is_published(planday: Installation, instance: DagsterInstance) -> None:
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = 5
    result = run(planday, instance, "hr.departments", "hr.employees")
    assert not result.success
    assert planday.query("SELECT count(*) FROM hr.departments") == [(2,)]
    assert planday.query("SELECT count(*) FROM hr.employees") == [(0,)]
    failure = next(event for event in result.all_events if event.is_step_failure)
    assert "firstName is number instead of VARCHAR" in failure.step_failure_data.error.message  # type: ignore[union-attr]


@pytest.mark.processes
def test_only_retryable_failures_are_retried(planday: Installation, instance: DagsterInstance) -> None:
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


def test_what_a_portal_lacks_is_said(planday: Installation, instance: DagsterInstance) -> None:
    planday.edit_config("  london:", "  london:\n    resources: {exclude: [hr.skills]}")
    definitions = build_definitions(planday.config_path)
    job = definitions.resolve_job_def("snapshots")
    result = job.execute_in_process(
        instance=instance,
        partition_key="london",
        asset_selection=[dg.AssetKey(["hr", "skills"]), dg.AssetKey(["hr", "departments"])],
        run_config=QUIET,
    )
    assert result.success
    made = result.asset_materializations_for_node("hr__skills")
    (event,) = [event for event in made if event.asset_key == dg.AssetKey(["hr", "skills"])]
    told = {key: value.value for key, value in event.metadata.items()}
    assert told == {
        "nothing_read": "portal 'london' has no hr.skills: its `resources` in portals.yaml leave it out",
    }
    assert not [key for key in planday.sandbox.requests if "skills" in key]
    assert planday.query("SELECT table_name FROM sync.slices") == [("hr.departments",)]


def test_schedule_launches_only_its_portal(planday: Installation, instance: DagsterInstance) -> None:
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
    assert len(requests) == 1
    assert not planday.sandbox.requests


def test_only_dead_runs_are_ended(instance: DagsterInstance, tmp_path: Path) -> None:
    @dg.job
    def nothing() -> None:
        pass

    def started(
        tags: dict[str, str], status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED, retries: str | None = None
    ) -> str:
        return instance.create_run_for_job(
            nothing, status=status, tags=tags, parent_run_id=retries, root_run_id=retries
        ).run_id

    script = (
        "import sys; from pathlib import Path; from planday_io.state import State; "
        "print(State(Path(sys.argv[1])).runs.process(), flush=True); sys.stdin.read()"
    )
    state = State(tmp_path)
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        lease = other.stdout.readline().strip()
        own = started(process_tags(state))
        elsewhere = started({LEASE: lease})
        unmarked = started({})
        not_begun = started({LEASE: lease}, dg.DagsterRunStatus.NOT_STARTED)
        # Dagster copies the tags of the run that it retries; the retry's process has not begun yet.
        retry = started({LEASE: lease}, dg.DagsterRunStatus.STARTING, retries=elsewhere)
        dead_retry = started({LEASE: "run-0123456789abcdef"}, retries=elsewhere)
        assert end_dead_runs(instance, state) == [dead_retry]
        # A lease says so whatever host name and process id say: containers are recreated with others, or the same again.
        other.kill()
        other.wait()
    assert set(end_dead_runs(instance, state)) == {elsewhere, not_begun}
    assert state.sweep(datetime.now(UTC)) == 1
    alive = {run.run_id for run in instance.get_runs() if not run.is_finished}
    assert alive == {own, unmarked, retry}


def test_run_of_ended_command_publishes_itself(planday: Installation, instance: DagsterInstance) -> None:
    """Executed once more in the UI, with the tags of a run of `planday sync`."""
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    result = job.execute_in_process(
        instance=instance,
        partition_key="oslo",
        asset_selection=[dg.AssetKey(["hr", "departments"])],
        tags={WRITER_TAG: "run-0123456789abcdef"},
        run_config=QUIET,
    )
    assert result.success
    assert planday.query("SELECT count(*) FROM hr.departments")[0][0] > 0


def test_dead_runs_sensor_is_on_from_start(planday: Installation) -> None:
    sensors = {sensor.name: sensor for sensor in build_definitions(planday.config_path).sensors or []}  # type: ignore[union-attr]
    assert {"dead_runs", "unpublished_slices", "changed_months"} <= sensors.keys()
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


def months_of(planday: Installation) -> list[str]:
    return grid_months(planday.config, "oslo", datetime.now(UTC))


@pytest.mark.processes
def test_a_month_of_a_portal_is_one_run(make: Make, instance: DagsterInstance) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    month = months_of(planday)[-4]
    facts = [table.full_name for table in CATALOGUE.tables() if table.is_monthly and not table.on_request]
    result = job.execute_in_process(
        instance=instance,
        partition_key=partition_of("oslo", month),
        asset_selection=[dg.AssetKey(table.split(".")) for table in facts],
        run_config=QUIET,
    )
    assert result.success
    tags = instance.get_run_by_id(result.run_id).tags  # type: ignore[union-attr]
    assert (tags["dagster/partition"], tags["dagster/partition/portal"]) == (f"{month}|oslo", "oslo")
    assert planday.query("SELECT DISTINCT portal, month, run_id FROM sync.slices") == [("oslo", month, result.run_id)]
    assert {table for (table,) in planday.query("SELECT table_name FROM sync.slices")} == set(facts)
    event = result.asset_materializations_for_node("scheduling__shifts")[0]
    assert event.asset_key == dg.AssetKey(["scheduling", "shifts"])
    assert event.partition == f"{month}|oslo"
    told = {key: value.value for key, value in event.metadata.items()}
    assert told["dagster/partition_row_count"] > 0
    assert "1 of" not in told["window"]
    # Departments were read once for all that fan out over them, punches once for their breaks.
    asked = {key.split("?")[0]: n for key, n in planday.sandbox.requests.items()}
    assert asked["oslo /hr/v1.0/departments"] == 1
    assert asked["oslo /portal/v1.0/info"] == 1


@pytest.mark.processes
def test_runs_started_together_share_parents(make: Make, instance: DagsterInstance) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    first, second = months_of(planday)[:2]
    for backfill, month in (("first", first), ("first", second), ("second", first)):
        job.execute_in_process(
            instance=instance,
            partition_key=partition_of("oslo", month),
            asset_selection=[dg.AssetKey(["scheduling", "time_and_costs"])],
            run_config=QUIET,
            tags={"dagster/backfill": backfill},
        )
    assert planday.sandbox.requests["oslo /hr/v1.0/departments"] == 2


def tick(planday: Installation, instance: DagsterInstance, name: str, at: datetime) -> list[dg.RunRequest]:
    definitions = build_definitions(planday.config_path)
    with dg.build_schedule_context(
        instance=instance, repository_def=definitions.get_repository_def(), scheduled_execution_time=at
    ) as context:
        return list(definitions.resolve_schedule_def(name).evaluate_tick(context).run_requests or [])


def test_a_schedule_reads_the_months_of_its_window(make: Make, instance: DagsterInstance) -> None:
    planday = make(resources=EVERYTHING)
    planday.edit_config("  london:\n", "  london:\n    window: {past_months: 1, future_months: 0}\n")
    # Half past midnight of the first in London is still the month before in UTC when clocks are an hour ahead.
    at = datetime(2026, 9, 30, 23, 30, tzinfo=UTC)
    requests = tick(planday, instance, "nightly_london_months", at)
    assert [request.partition_key for request in requests] == ["2026-09|london", "2026-10|london"]
    assert len({request.run_key for request in requests}) == 2
    asked = {key.to_user_string() for request in requests for key in request.asset_selection or []}
    assert {"scheduling/shifts", "payroll/shifts", "punchclock/punch_clock_breaks", "revenue/revenue"} <= asked
    assert not asked & {"scheduling/shift_history", "hr/employees"}
    snapshots = tick(planday, instance, "nightly_london", at)
    assert {request.partition_key for request in snapshots} == {"london"}
    batches = {request.tags[BATCH_TAG] for request in (*requests, *snapshots)}
    assert len(batches) == 1, "the two runs of one tick share what they fan out over"
    assert not planday.sandbox.requests


@pytest.mark.parametrize("zone", ["Europe/Helsinki", "Pacific/Kiritimati", "America/Los_Angeles"])
def test_every_due_month_has_partition(make: Make, zone: str) -> None:
    """Also in the hours in which a month has begun there and not yet in UTC, or the reverse."""
    planday = make(resources=EVERYTHING)
    planday.edit_config("timezone: Europe/Oslo", f"timezone: {zone}")
    facts = build_definitions(planday.config_path).resolve_asset_graph().get(dg.AssetKey(["scheduling", "shifts"]))
    assert facts.partitions_def is not None
    for hour in range(0, 60, 3):
        at = datetime(2026, 9, 30, tzinfo=UTC) + timedelta(hours=hour)
        keys = facts.partitions_def.get_partition_keys(current_time=at)
        assert {f"{month}|oslo" for month in grid_months(planday.config, "oslo", at)} <= set(keys)


def test_the_changes_schedule_reads_the_feed_every_hour(make: Make, instance: DagsterInstance) -> None:
    planday = make(resources=EVERYTHING)
    schedule = build_definitions(planday.config_path).resolve_schedule_def("changes_oslo")
    assert schedule.cron_schedule == "30 * * * *"
    (request,) = tick(planday, instance, "changes_oslo", datetime(2026, 11, 24, 1, 30, tzinfo=UTC))
    assert [key.to_user_string() for key in request.asset_selection or []] == ["scheduling/deleted_shifts"]


def test_no_schedule_asks_for_what_a_portal_lacks(make: Make, instance: DagsterInstance) -> None:
    planday = make(resources=EVERYTHING)
    planday.edit_config("  london:\n", "  london:\n    resources: {exclude: [payroll]}\n")
    requests = tick(planday, instance, "nightly_london_months", datetime(2026, 9, 15, tzinfo=UTC))
    asked = {key.to_user_string() for request in requests for key in request.asset_selection or []}
    assert asked
    assert not [key for key in asked if key.startswith("payroll")]


@pytest.mark.processes
def test_marked_months_are_launched_once(make: Make, instance: DagsterInstance) -> None:
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    months = months_of(planday)
    planday.edit_config("history_start: 2025-01", f"history_start: {months[-3]}")
    planday.refresh("scheduling.deleted_shifts")
    before = sum(planday.sandbox.requests.values())
    definitions = build_definitions(planday.config_path)
    (sensor,) = [one for one in definitions.sensors or [] if one.name == "changed_months"]

    def look() -> list[dg.RunRequest]:
        with dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def()) as context:
            return list(sensor.evaluate_tick(context).run_requests or [])  # type: ignore[union-attr]

    requests = look()
    assert [request.partition_key for request in requests] == [f"{month}|oslo" for month in reversed(months[-3:])]
    assert sum(planday.sandbox.requests.values()) == before, "no tick calls the API"
    job = definitions.resolve_implicit_global_asset_job_def()
    for request in requests[:2]:
        result = job.execute_in_process(
            instance=instance,
            partition_key=request.partition_key,
            asset_selection=list(request.asset_selection or []),
            tags=request.tags,
            run_config=QUIET,
        )
        assert result.success
    assert [request.partition_key for request in look()] == [f"{months[-3]}|oslo"]
    # A run that failed is not launched again before the month is requested again.
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.FAILURE, tags=dict(requests[2].tags))
    assert look() == []


def test_definitions_follow_the_file(planday: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANDAY_CONFIG", str(planday.config_path))
    assert defs() is defs()
    monkeypatch.setenv("PLANDAY_CONFIG", str(planday.config_path.with_name("other.yaml")))
    text = planday.config_path.read_text().replace("oslo:", "bergen:")
    planday.config_path.with_name("other.yaml").write_text(text)
    partitions = defs().resolve_asset_graph().get(dg.AssetKey(["hr", "employees"])).partitions_def
    assert partitions is not None
    assert list(partitions.get_partition_keys()) == ["bergen", "copenhagen", "london"]
    planday.config_path.with_name("other.yaml").write_text("portals: 7")
    with pytest.raises(ConfigError):
        defs()


def _tell_priority(told: Queue[int]) -> None:
    defs()
    told.put(os.nice(0))


@pytest.mark.processes
def test_a_run_leaves_the_processor_to_the_daemon(planday: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code server starts runs with multiprocessing, and nobody else does."""
    monkeypatch.setenv("PLANDAY_CONFIG", str(planday.config_path))
    script = "import os; from pipelines.definitions import defs; defs(); print(os.nice(0))"
    other = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert int(other.stdout) == os.nice(0)
    spawn = multiprocessing.get_context("spawn")
    told: Queue[int] = spawn.Queue()
    run_process = spawn.Process(target=_tell_priority, args=(told,), daemon=True)
    run_process.start()
    assert told.get(timeout=60) == min(19, os.nice(0) + 10)
    run_process.join()
