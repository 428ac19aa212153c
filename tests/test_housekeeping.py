"""`planday status` for monitoring systems, and what keeps an installation small."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.housekeeping import clean
from planday_io.monitoring.freshness import observe
from tests.support.commands import planday_command, summary
from tests.support.installation import Installation, run

NIGHTLY = ("nightly: {enabled: false}", "nightly: {enabled: true}")


@pytest.mark.processes
def test_status_for_monitoring_systems(planday: Installation) -> None:
    done = planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    assert done.returncode == 0
    status = planday_command(planday, "status", "oslo", "--json")
    assert status.returncode == 0, status.stdout
    found = summary(status)
    assert (found["sentence"], found["incidents"]) == (
        "OK: 1 portal; 1 read by no schedule (oslo); nothing is stale, and no incident is open.",
        [],
    )
    assert found["free_bytes"] > 0 < found["warehouse_bytes"]
    assert found["portals"][0]["budget"]["sent"]
    (planday.folder / "tokens/oslo.txt").write_text("wrong")
    planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    failing = planday_command(planday, "status", "oslo")
    assert failing.returncode == 1
    assert "INCIDENT oslo" in failing.stdout
    assert "What to do:" in failing.stdout
    assert planday_command(planday, "status", "london").returncode == 0
    planday.edit_config(*NIGHTLY)
    first = summary(planday_command(planday, "status", "london", "--json"))
    assert [one["state"] for one in first["portals"]] == ["not read yet"], "nobody is late yet"
    assert first["problems"] == ["the Dagster daemon has never run here, so schedules do nothing"]
    planday.state.forget_portal("london")
    observe(planday.installation, datetime.now(UTC) - timedelta(days=3))
    late = planday_command(planday, "status", "london", "--wrong")
    assert late.returncode == 1, "due and never read"
    assert late.stdout.startswith("Wrong: 1 of 1 portal (london stale); the Dagster daemon has never run here")


@pytest.mark.processes
def test_runs_behind_shown_data_are_kept(
    planday: Installation,
    instance: DagsterInstance,
) -> None:
    first, second = run(planday, instance, "hr.departments"), run(planday, instance, "hr.departments")
    leftover = planday.config.lake / "hr" / "x.tmp-99999999-ab"
    leftover.write_text("half")
    now = datetime.now(UTC)
    assert clean(planday.installation, instance, now).runs == 0
    assert not leftover.exists()
    shard = Path(instance.event_log_storage.path_for_shard(first.run_id))  # type: ignore[attr-defined]
    assert shard.exists()
    assert clean(planday.installation, instance, now + timedelta(days=31)).runs == 1
    assert {one.run_id for one in instance.get_runs()} == {second.run_id}
    assert not shard.exists()
    assert not (Path(instance.root_directory) / "storage" / first.run_id).exists()
    key = dg.AssetKey(["hr", "departments"])
    assert instance.get_materialized_partitions(key) == {"oslo"}
