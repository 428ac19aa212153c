"""What the UI offers as one selection, and which schedules it shows where."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.definitions import build_definitions
from planday_io.catalogue import CATALOGUE
from tests.support.installation import EVERYTHING, QUIET, Installation, Make


def assets_of(planday: Installation, job: str) -> set[str]:
    found = build_definitions(planday.config_path).resolve_job_def(job)
    return {key.to_user_string().replace("/", ".") for key in found.asset_layer.executable_asset_keys}


def test_facts_are_one_selection_of_all_portals(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    planday.edit_config("  london:", "  london:\n    resources: {exclude: [payroll, scheduling.shifts]}")
    job = build_definitions(planday.config_path).resolve_job_def("facts")
    assert job.partitions_def is not None
    portals = {str(key).partition("|")[2] for key in job.partitions_def.get_partition_keys()}
    assert portals == {"oslo", "copenhagen", "london"}
    monthly = {table.full_name for table in CATALOGUE.tables() if table.is_monthly}
    on_request = {table.full_name for table in CATALOGUE.tables() if table.on_request}
    assert assets_of(planday, "facts") == monthly - on_request
    assert assets_of(planday, "changed_months") == monthly
    assert assets_of(planday, "snapshots") == {table.full_name for table in CATALOGUE.tables()} - monthly - on_request


def test_schedules_target_what_they_read(make: Make) -> None:
    planday = make(resources=EVERYTHING)
    schedules = {one.name: one.job_name for one in build_definitions(planday.config_path).schedules or []}  # type: ignore[union-attr]
    assert (schedules["nightly_oslo"], schedules["nightly_oslo_months"]) == ("nightly_snapshots", "nightly_facts")
    assert assets_of(planday, schedules["changes_oslo"]) == {"scheduling.deleted_shifts"}
    assert "scheduling.shifts" in assets_of(planday, schedules["nightly_oslo_months"])


def test_jobs_of_schedules_called_like_jobs(make: Make) -> None:
    """A job's name is its own, even where schedules are called `facts`, `snapshots` and `facts_facts`."""
    planday = make()
    names = ("facts", "snapshots", "facts_facts", "changed_months", "deliver")
    extra = "".join(f"    {name}: {{cron: '0 5 * * *', resources: [hr]}}\n" for name in names)
    planday.edit_config("  schedules:\n", f"  schedules:\n{extra}")
    dg.Definitions.validate_loadable(build_definitions(planday.config_path))


@pytest.mark.processes
def test_a_backfill_over_portals_without_a_table_succeeds(make: Make, instance: DagsterInstance) -> None:
    """One portal has no departments, from which time and costs are read."""
    planday = make(people=(4, 4, 4), resources=EVERYTHING)
    planday.edit_config("  london:", "  london:\n    resources: {include: [revenue], exclude: []}")
    job: Any = build_definitions(planday.config_path).resolve_job_def("facts")
    month = sorted(str(key) for key in job.partitions_def.get_partition_keys())[-12].partition("|")[0]
    result = job.execute_in_process(
        instance=instance, partition_key=dg.MultiPartitionKey({"portal": "london", "month": month}), run_config=QUIET
    )
    assert result.success
    read = {table for (table,) in planday.query("SELECT table_name FROM sync.slices")}
    assert read == {"revenue.revenue"}
    planned = {key.to_user_string().replace("/", ".") for key in job.asset_layer.executable_asset_keys}
    events = [event for event in result.all_events if event.event_type_value == "ASSET_MATERIALIZATION"]
    told = {".".join(event.asset_key.path): event.materialization.metadata for event in events}
    assert {name for name, metadata in told.items() if "nothing_read" in metadata} == planned - read
