"""Alerts when something is wrong with the alerts: files that cannot be written or read, channels that fail, damaged notes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from pipelines.alerting import notify
from pipelines.definitions import build_definitions
from pipelines.publication import publish_pending
from planday_io.catalogue import CATALOGUE
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.baseline import observe
from planday_io.monitoring.notifier import Notifier
from planday_io.sandbox.state import Fault
from planday_io.state import Failure
from planday_io.state.state_database import database_file
from tests.support.commands import PLANDAY, environment, planday_command
from tests.support.cutting import full_disk
from tests.support.damage import DAMAGE
from tests.support.installation import Hook, Installation, run
from tests.support.notes import DEPARTMENTS, GROUPS, note, told


def test_a_book_that_cannot_be_written_keeps_nobody_from_being_told(planday: Installation, hook: Hook) -> None:
    """As on a full disk; told once, too, by a process that goes on."""
    note(planday, DEPARTMENTS, "storage")
    now = datetime.now(UTC)
    with full_disk():
        found = Notifier(planday.installation).notify(now)
        assert "disk is full" in found.unsaved
        Notifier(planday.installation).notify(now + timedelta(minutes=1))
        assert told(hook) == [("failed", "storage", [DEPARTMENTS])]
    assert Notifier(planday.installation).notify(now + timedelta(minutes=2)).unsaved == ""
    assert planday.state.incidents.all()
    assert told(hook) == []


def test_a_portal_that_cannot_be_looked_at_hides_no_other(
    planday: Installation, hook: Hook, instance: DagsterInstance
) -> None:
    planday.refresh(DEPARTMENTS)
    planday.publish()
    note(planday, GROUPS, "data")
    notify(planday.installation, instance)
    assert told(hook) == [("failed", "data", [GROUPS])]
    slice_file = planday.lake.path(SliceKey.of(DEPARTMENTS, "oslo"))
    good = slice_file.read_bytes()
    slice_file.write_bytes(b"damaged")
    (planday.folder / "tokens/london.txt").write_text("wrong")
    run(planday, instance, DEPARTMENTS, portal="london")
    notify(planday.installation, instance)
    told_now = sorted(told(hook))
    assert told_now == [("failed", "damaged", [DEPARTMENTS]), ("failed", "token", [DEPARTMENTS])], "nothing is over"
    slice_file.write_bytes(good)
    notify(planday.installation, instance)
    assert told(hook) == [("recovered", "damaged", [DEPARTMENTS])]


def test_a_configuration_that_cannot_be_used_is_told_by_what_was_there_before(
    planday: Installation, hook: Hook, instance: DagsterInstance
) -> None:
    (sensor,) = [one for one in build_definitions(planday.config_path).sensors or [] if one.name == "alerts"]

    def tick() -> None:
        with dg.build_sensor_context(instance=instance) as context:
            sensor.evaluate_tick(context)  # type: ignore[union-attr]

    text = planday.config_path.read_text()
    planday.config_path.write_text(text.replace("portals:", "protals:"))
    tick()
    tick()
    (message,) = hook.take()
    assert (message["incidents"][0]["cause"], message["incidents"][0]["portal"]) == ("config", None)
    assert "protals" in message["text"]
    planday.config_path.write_text(text)
    tick()
    assert [one["event"] for one in hook.take()] == ["recovered"]


def test_a_channel_that_fails_in_its_own_way_repeats_nothing_to_the_other(planday: Installation, hook: Hook) -> None:
    """A host that no mail server can have raises UnicodeError, which is no error of a connection."""
    planday.edit_config(
        "format: json}",
        "format: json}, mail: {host: 'mail..example', sender: a@example.com, to: [b@example.com]}",
    )
    note(planday, DEPARTMENTS, "api")
    now = datetime.now(UTC)
    for minutes in range(3):
        found = Notifier(planday.installation).notify(now + timedelta(minutes=minutes))
        assert "check" in found.failed["mail"]
    assert told(hook) == [("failed", "api", [DEPARTMENTS])]


def test_a_channel_that_is_added_later_is_told_what_is_open(planday: Installation, hook: Hook) -> None:
    with_hook = planday.config_path.read_text()
    planday.edit_config("webhook: {url: {file: hook.txt}, format: json}, ", "")
    note(planday, DEPARTMENTS, "api")
    now = datetime.now(UTC)
    assert Notifier(planday.installation).notify(now - timedelta(days=2)).sent == []
    planday.config_path.write_text(with_hook)
    hook.status = 500
    Notifier(planday.installation).notify(now - timedelta(days=2))
    hook.status = 200
    Notifier(planday.installation).notify(now)
    assert told(hook) == [("failed", "api", [DEPARTMENTS])], "two days later it is as true as before"


def test_a_message_that_is_refused_keeps_no_other_back(planday: Installation, hook: Hook) -> None:
    hook.refuses = "api"
    note(planday, DEPARTMENTS, "api")
    note(planday, GROUPS, "data")
    found = Notifier(planday.installation).notify(datetime.now(UTC))
    assert "answered 400" in found.failed["webhook"]
    assert told(hook) == [("failed", "data", [GROUPS])]


def test_what_begins_again_before_its_end_was_told_is_no_news(planday: Installation, hook: Hook) -> None:
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    note(planday, DEPARTMENTS, "api")
    notifier.notify(now)
    hook.status = 500
    planday.state.failures.resolve("oslo", [DEPARTMENTS])
    notifier.notify(now + timedelta(minutes=1))
    hook.status = 200
    note(planday, DEPARTMENTS, "api")
    notifier.notify(now + timedelta(minutes=2))
    assert told(hook) == [("failed", "api", [DEPARTMENTS])]


def test_a_message_has_bounds(planday: Installation, hook: Hook) -> None:
    made = [
        Failure(
            portal="oslo",
            table=table.full_name,
            month=None,
            cause="api",
            error=f"{number} " + "x" * 5000,
            run_id=f"run-{number}",
            since=datetime(2026, 11, 1, tzinfo=UTC),
        )
        for number, table in enumerate(CATALOGUE.tables())
    ]
    planday.state.failures.record(made)
    for portal in ("oslo", "copenhagen", "london"):
        note(planday, DEPARTMENTS, "data", portal=portal, error=f"{portal} " + "y" * 5000)
    Notifier(planday.installation).notify(datetime.now(UTC))
    messages = hook.take()
    assert len(messages) == 2
    assert all(len(message["text"]) < 4000 for message in messages)


def test_months_that_no_schedule_reads_again_come_with_the_command(planday: Installation, hook: Hook) -> None:
    planday.edit_config("include: [portal, hr]", "include: [scheduling.shifts]")
    for month in ("2025-03", "2025-05", "2024-01"):
        note(planday, "scheduling.shifts", "api", month=month)
    Notifier(planday.installation).notify(datetime.now(UTC))
    (message,) = hook.take()
    assert message["incidents"][0]["tables"] == ["scheduling.shifts 2025-03", "scheduling.shifts 2025-05"]
    assert "planday sync oslo --resources scheduling.shifts --months 2025-03..2025-05" in message["text"]


def test_a_publication_that_was_killed_is_told_after_an_hour(planday: Installation, hook: Hook) -> None:
    planday.refresh(DEPARTMENTS)
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    notifier.notify(now)
    assert told(hook) == []
    notifier.notify(now + timedelta(hours=2))
    assert told(hook) == [("failed", "publication", ["warehouse"])]
    planday.publish()
    notifier.notify(now + timedelta(hours=2))
    assert told(hook) == [("recovered", "publication", ["warehouse"])]


def test_a_slice_that_publishing_leaves_out_is_told(planday: Installation, hook: Hook) -> None:
    planday.refresh(DEPARTMENTS)
    slice_file = planday.lake.path(SliceKey.of(DEPARTMENTS, "oslo"))
    slice_file.write_bytes(b"PAR1 not really PAR1")
    assert str(slice_file) in str(publish_pending(planday.installation).problems.values())
    Notifier(planday.installation).notify(datetime.now(UTC))
    assert ("failed", "damaged", [f"{DEPARTMENTS}.oslo"]) in told(hook)
    planday.refresh(DEPARTMENTS)
    assert publish_pending(planday.installation).problems == {}
    Notifier(planday.installation).notify(datetime.now(UTC))
    assert ("recovered", "damaged", [f"{DEPARTMENTS}.oslo"]) in told(hook)


@pytest.mark.processes
def test_a_killed_sync_is_told_when_nothing_reads_its_tables_again(
    planday: Installation, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster marks it as one that it starts again, and never does: nothing but `planday sync` knows how."""
    assert planday_command(planday, "sync", "oslo", "--resources", DEPARTMENTS).returncode == 0
    reached, go_on = threading.Event(), threading.Event()

    def stand_still(*_: Any) -> None:
        reached.set()
        go_on.wait(20)

    planday.sandbox.faults.append(Fault("/departments", stand_still, times=1))
    victim = subprocess.Popen(
        [PLANDAY, "sync", "oslo", "--resources", DEPARTMENTS],
        env=environment(planday),
        cwd=planday.folder,
        stdout=subprocess.DEVNULL,
    )
    assert reached.wait(60)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    go_on.set()
    assert planday_command(planday, "sync", "oslo", "--resources", GROUPS).returncode == 0, "it ends the dead run"
    monkeypatch.chdir(planday.folder)
    monkeypatch.setenv("DAGSTER_HOME", str(planday.folder))
    with DagsterInstance.get() as instance:
        now = datetime.now(UTC)
        notify(planday.installation, instance, now)
        assert told(hook) == [], "Dagster may start it again"
        notify(planday.installation, instance, now + timedelta(minutes=6))
        assert told(hook) == [("failed", "crash", [DEPARTMENTS])]
    assert planday_command(planday, "sync", "oslo", "--resources", DEPARTMENTS).returncode == 0
    assert planday_command(planday, "alert").returncode == 0
    assert told(hook) == [("recovered", "crash", [DEPARTMENTS])]


def test_a_crash_beside_a_failure_is_told_and_what_a_parent_run_wrote_is_not(
    planday: Installation, hook: Hook, instance: DagsterInstance
) -> None:
    first = run(planday, instance, DEPARTMENTS)
    planday.sandbox.portals["oslo"].employees[0]["firstName"] = 4
    run(planday, instance, "hr.employees")
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    crashed = instance.create_run_for_job(
        job,
        asset_selection=frozenset(dg.AssetKey(table.split(".")) for table in (DEPARTMENTS, GROUPS, "hr.employees")),
        tags={"dagster/partition": "oslo"},
        status=dg.DagsterRunStatus.STARTED,
        root_run_id=first.run_id,
        parent_run_id=first.run_id,
    )
    note(planday, "hr.employees", "data", run_id=crashed.run_id)
    instance.report_run_failed(crashed, "killed")
    notify(planday.installation, instance)
    assert sorted(told(hook)) == [("failed", "crash", [GROUPS]), ("failed", "data", ["hr.employees"])]


def test_a_crash_is_reported_although_the_state_was_damaged(
    planday: Installation, hook: Hook, instance: DagsterInstance
) -> None:
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    note(planday, DEPARTMENTS, "api")
    DAMAGE["cut"](database_file(planday.config.state))
    for portal in ("london", "oslo"):
        made = instance.create_run_for_job(
            job,
            asset_selection=frozenset({dg.AssetKey(["hr", "departments"])}),
            tags={"dagster/partition": portal},
            status=dg.DagsterRunStatus.STARTED,
        )
        instance.report_run_failed(made, "killed")
    notify(planday.installation, instance)
    assert {(event, cause) for event, cause, _ in told(hook)} == {("failed", "state"), ("failed", "crash")}


def test_a_nearly_full_disk_does_not_come_and_go(
    planday: Installation, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    planday.refresh(DEPARTMENTS)
    planday.publish()
    size = planday.config.warehouse.stat().st_size
    free = [0]
    usage = namedtuple("usage", "total used free")  # noqa: PYI024 - what shutil gives
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**12, 0, free[0]))
    enough = 2 * size + 256 * 2**20
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    free[0] = enough - size // 2
    copy = planday.config.warehouse.with_name(f"{planday.config.warehouse.name}.tmp-{os.getpid()}-ab")
    copy.write_bytes(b"0" * size)
    notifier.notify(now)
    assert told(hook) == [], "a publication under way is what takes the space"
    copy.unlink()
    notifier.notify(now)
    assert told(hook) == [("failed", "disk", [])]
    free[0] = enough + 1
    notifier.notify(now)
    assert told(hook) == []
    free[0] = 2 * enough
    notifier.notify(now)
    assert told(hook) == [("recovered", "disk", [])]


def test_failures_of_another_version_are_reported(planday: Installation, hook: Hook) -> None:
    note(planday, DEPARTMENTS, "something new")
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    notifier.notify(now)
    assert told(hook) == [("failed", "other", [DEPARTMENTS])]
    planday.state.failures.resolve("oslo", [DEPARTMENTS])
    notifier.notify(now)
    assert told(hook) == [("recovered", "other", [DEPARTMENTS])]


def test_a_damaged_book_is_begun_anew_and_all_is_watched(planday: Installation, hook: Hook) -> None:
    planday.edit_config("nightly: {enabled: false}\n", "nightly: {enabled: true}\n")
    observe(planday.installation, datetime.now(UTC))
    DAMAGE["cut"](database_file(planday.config.state))
    Notifier(planday.installation).notify(datetime.now(UTC))
    assert sorted(event for event, _, _ in told(hook)) == ["failed", "stale", "stale", "stale"]


def test_notes_of_a_portal_that_was_taken_out_do_not_come_back_with_it(
    planday: Installation, hook: Hook, instance: DagsterInstance
) -> None:
    note(planday, DEPARTMENTS, "api", portal="london")
    text = planday.config_path.read_text()
    planday.config_path.write_text(text[: text.index("  london:")])
    notify(planday.installation, instance)
    planday.config_path.write_text(text)
    assert notify(planday.installation, instance).open == []
    assert hook.take() == []


def test_two_looks_at_once_tell_once(planday: Installation, hook: Hook) -> None:
    note(planday, DEPARTMENTS, "api")
    now = datetime.now(UTC)
    together = threading.Barrier(2)

    def look_now() -> None:
        together.wait()
        Notifier(planday.installation).notify(now)

    both = [threading.Thread(target=look_now) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert told(hook) == [("failed", "api", [DEPARTMENTS])]
