"""The rows of the table in docs/operating.md that need processes, other configurations or a disk of their own."""

from __future__ import annotations

import shutil
import subprocess
import threading
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.alerting import notify
from pipelines.definitions import build_definitions
from pipelines.liveness import LEASE, end_dead_runs
from planday_io.monitoring.notifier import Notifier
from planday_io.sandbox.state import Fault
from tests.support.commands import PLANDAY, environment, killed, planday_command, started
from tests.support.installation import QUIET, Installation, run

pytestmark = pytest.mark.processes

EMPLOYEES = "/hr/v1.0/employees"


def test_a_full_disk(planday: Installation) -> None:
    """A real one: the lake on a small file system of its own, in a name space of its own."""
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this machine lets nobody mount a file system")
    assert planday_command(planday, "sync", "oslo", "--resources", "hr.departments").returncode == 0
    before = planday.query("SELECT id, name FROM hr.departments ORDER BY id")
    planday.sandbox.portals["oslo"].departments[0]["name"] = "New name"
    script = f"""
        cp -a lake aside && mount -t tmpfs -o size=256k none lake && cp -a aside/. lake/
        dd if=/dev/zero of=lake/filler bs=1k 2>/dev/null
        {PLANDAY} sync oslo --resources hr.departments; echo "exit $?"
        cmp -s lake/hr/departments/oslo/data.parquet aside/hr/departments/oslo/data.parquet && echo untouched
        find lake -name '*.tmp-*' | grep . || echo swept
        rm lake/filler; {PLANDAY} sync oslo --resources hr.departments; echo "then $?"
    """
    done = subprocess.run(
        [*unshare, "sh", "-c", script],
        cwd=planday.folder,
        env=environment(planday),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "The disk is full: free some space" in done.stdout, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line in ("exit 1", "untouched", "swept", "then 0")] == [
        "exit 1",
        "untouched",
        "swept",
        "then 0",
    ]
    changed = planday.sandbox.portals["oslo"].departments[0]["id"]
    expected = [(number, "New name" if number == changed else name) for number, name in before]
    assert planday.query("SELECT id, name FROM hr.departments ORDER BY id") == expected


def test_a_killed_sync_and_the_next_one(planday: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert planday_command(planday, "sync", "oslo").returncode == 0
    reached, go_on = threading.Event(), threading.Event()

    def stand_still(*_: Any) -> None:
        reached.set()
        go_on.wait(20)

    planday.sandbox.portals["oslo"].hire()
    planday.sandbox.faults.append(Fault(EMPLOYEES, stand_still, times=1))
    victim = started(planday, "sync", "oslo")
    assert reached.wait(60)
    killed(victim)
    go_on.set()
    assert planday.query("SELECT count(*) FROM hr.employees") == [(6,)]
    done = planday_command(planday, "sync", "oslo")
    assert done.returncode == 0, done.stdout
    assert planday.query("SELECT count(*) FROM hr.employees") == [(7,)]
    monkeypatch.chdir(planday.folder)
    statuses = [run.status for run in DagsterInstance.from_config(str(planday.folder)).get_runs()]
    assert statuses.count(dg.DagsterRunStatus.FAILURE) == 1, "the killed run is told apart, and blocks nobody"
    assert dg.DagsterRunStatus.STARTED not in statuses


def test_a_run_that_a_stopped_machine_left_behind(planday: Installation, instance: DagsterInstance) -> None:
    assert run(planday, instance, "hr.departments").success
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    instance.create_run_for_job(
        job,
        asset_selection=frozenset({dg.AssetKey(["hr", "employees"])}),
        tags={
            "dagster/partition": "oslo",
            LEASE: "run-0123456789abcdef",
        },
        status=dg.DagsterRunStatus.STARTED,
    )
    assert len(end_dead_runs(instance, planday.state)) == 1
    (incident,) = notify(planday.installation, instance).open
    assert (incident.cause, incident.tables) == ("crash", ("hr.employees",))
    assert planday.query("SELECT count(*) FROM hr.departments") == [(2,)]
    assert run(planday, instance, "hr.employees").success
    assert notify(planday.installation, instance).open == []
    assert planday.query("SELECT count(*) FROM hr.employees") == [(6,)]


def test_two_syncs_of_one_portal_at_once(planday: Installation) -> None:
    planday_command(planday, "status", "oslo")
    both = [
        subprocess.Popen(
            [PLANDAY, "sync", "oslo"], env=environment(planday), cwd=planday.folder, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for one in both:
        out, _ = one.communicate(timeout=120)
        assert one.returncode == 0, out
    for table, kept in planday.query("SELECT table_name, kept FROM sync.slices WHERE portal = 'oslo'"):
        assert planday.query(f"SELECT count(*) FROM {table} WHERE portal = 'oslo'") == [(kept,)]
    assert planday.query("SELECT count(*) FROM hr.employees") == [(6,)]
    assert Notifier(planday.installation).notify(datetime.now(UTC)).open == []


def test_a_config_edited_while_runs_are_queued(planday: Installation, instance: DagsterInstance) -> None:
    """A run reads the configuration as it is when it begins; one of a portal that is gone reads nothing and says so."""
    for portal in ("oslo", "london"):
        assert run(planday, instance, "hr.departments", portal=portal).success
    before = planday.query("SELECT * FROM hr.departments ORDER BY portal, id")
    queued = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    text = planday.config_path.read_text()
    planday.config_path.write_text(text[: text.index("  london:")])
    asked = sum(planday.sandbox.requests.values())

    def start(portal: str) -> dg.ExecuteInProcessResult:
        return queued.execute_in_process(
            instance=instance,
            partition_key=portal,
            asset_selection=[dg.AssetKey(["hr", "departments"])],
            raise_on_error=False,
            run_config=QUIET,
        )

    result = start("london")
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "portal 'london' is no longer in portals.yaml" in str(failure.step_failure_data.error)
    told = [one.user_message for one in instance.all_logs(result.run_id)]
    assert "portal 'london' is no longer in portals.yaml: nothing was read" in told, "also where Dagster fails the step"
    assert sum(planday.sandbox.requests.values()) == asked
    assert planday.query("SELECT * FROM hr.departments ORDER BY portal, id") == before
    assert notify(planday.installation, instance).open == [], "nobody waits for a portal that was taken out"
    planday.edit_config("defaults:", "privacy: {identity: drop}\ndefaults:")
    assert start("oslo").success
    assert planday.query("SELECT count(*) FROM hr.departments WHERE portal = 'oslo'") == [(2,)]
    text = planday.config_path.read_text()
    planday.config_path.write_text("portals: [")
    assert not start("oslo").success, "a file that is half written stops the run before it reads"
    planday.config_path.write_text(text)
    assert planday.query("SELECT count(*) FROM hr.departments WHERE portal = 'oslo'") == [(2,)]


def test_a_portal_removed_and_added_again(planday: Installation) -> None:
    assert planday_command(planday, "sync", "--resources", "hr.departments,hr.employees").returncode == 0
    text = planday.config_path.read_text()
    planday.config_path.write_text(text[: text.index("  london:")])
    planday.sandbox.portals["london"].hire()
    assert planday_command(planday, "sync", "--resources", "hr.departments,hr.employees").returncode == 0
    assert planday.query("SELECT count(*) FROM hr.employees WHERE portal = 'london'") == [(8,)], "its data stays"
    assert planday_command(planday, "sync", "london").returncode == 2
    planday.config_path.write_text(text)
    done = planday_command(planday, "sync", "london", "--resources", "hr.departments,hr.employees")
    assert done.returncode == 0, done.stdout
    assert planday.query("SELECT count(*) FROM hr.employees WHERE portal = 'london'") == [(9,)]
    assert planday.query("SELECT count(*) FROM hr_history.employees WHERE portal = 'london' AND valid_to IS NULL") == [
        (9,)
    ]
