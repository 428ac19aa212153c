"""Notifying where something is wrong with that itself: files that cannot be written or read, channels that fail."""

from __future__ import annotations

import os
import shutil
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
from planday_io.errors import StorageError
from planday_io.lake.slices import SliceKey
from planday_io.monitoring.freshness import observe
from planday_io.monitoring.notifier import Notifier
from planday_io.sandbox.state import Fault
from planday_io.state import Failure
from planday_io.state.state_database import database_file
from tests.support.commands import killed, planday_command, started
from tests.support.cutting import full_disk
from tests.support.damage import DAMAGE
from tests.support.failures import DEPARTMENTS, GROUPS, fail, reported
from tests.support.installation import Hook, Installation, run


def test_full_disk_stops_no_message(planday: Installation, hook: Hook) -> None:
    """And a process that goes on sends it once, too."""
    fail(planday, DEPARTMENTS, "storage")
    now = datetime.now(UTC)
    with full_disk():
        done = Notifier(planday.installation).notify(now)
        assert "disk is full" in done.unsaved
        Notifier(planday.installation).notify(now + timedelta(minutes=1))
        assert reported(hook) == [("failed", "storage", [DEPARTMENTS])]
    assert Notifier(planday.installation).notify(now + timedelta(minutes=2)).unsaved == ""
    assert planday.state.incidents.all()
    assert reported(hook) == []


def test_new_tables_are_watched_without_a_lock(planday: Installation, hook: Hook) -> None:
    planday.edit_config("nightly: {enabled: false}\n", "nightly: {enabled: true}\n")
    lock = planday.state.folder / "locks" / "incidents.lock"
    lock.mkdir(parents=True)
    with pytest.raises(StorageError), planday.state.reporting():
        pass
    Notifier(planday.installation).notify(datetime.now(UTC))
    assert DEPARTMENTS in planday.state.baselines.of("oslo")


def test_damaged_slice_hides_no_other_incident(planday: Installation, hook: Hook, instance: DagsterInstance) -> None:
    planday.refresh(DEPARTMENTS)
    planday.publish()
    fail(planday, GROUPS, "data")
    notify(planday.installation, instance)
    assert reported(hook) == [("failed", "data", [GROUPS])]
    slice_file = planday.lake.path(SliceKey.of(DEPARTMENTS, "oslo"))
    good = slice_file.read_bytes()
    slice_file.write_bytes(b"damaged")
    (planday.folder / "tokens/london.txt").write_text("wrong")
    run(planday, instance, DEPARTMENTS, portal="london")
    notify(planday.installation, instance)
    reports = sorted(reported(hook))
    assert reports == [("failed", "damaged", [DEPARTMENTS]), ("failed", "token", [DEPARTMENTS])], "nothing is over"
    slice_file.write_bytes(good)
    notify(planday.installation, instance)
    assert reported(hook) == [("recovered", "damaged", [DEPARTMENTS])]


def test_bad_configuration_is_reported_by_the_previous_one(
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


def test_failing_channel_repeats_nothing_to_the_other(planday: Installation, hook: Hook) -> None:
    """A host that no mail server can have raises UnicodeError, which is no error of a connection."""
    planday.edit_config(
        "format: json}",
        "format: json}, mail: {host: 'mail..example', sender: a@example.com, to: [b@example.com]}",
    )
    fail(planday, DEPARTMENTS, "api")
    now = datetime.now(UTC)
    for minutes in range(3):
        done = Notifier(planday.installation).notify(now + timedelta(minutes=minutes))
        assert "check" in done.failed["mail"]
    assert reported(hook) == [("failed", "api", [DEPARTMENTS])]


def test_channel_added_later_receives_what_is_open(planday: Installation, hook: Hook) -> None:
    with_hook = planday.config_path.read_text()
    planday.edit_config("webhook: {url: {file: hook.txt}, format: json}, ", "")
    fail(planday, DEPARTMENTS, "api")
    now = datetime.now(UTC)
    assert Notifier(planday.installation).notify(now - timedelta(days=2)).sent == []
    planday.config_path.write_text(with_hook)
    hook.status = 500
    Notifier(planday.installation).notify(now - timedelta(days=2))
    hook.status = 200
    Notifier(planday.installation).notify(now)
    assert reported(hook) == [("failed", "api", [DEPARTMENTS])], "two days later it is as true as before"


def test_refused_message_keeps_no_other_back(planday: Installation, hook: Hook) -> None:
    hook.refuses = "api"
    fail(planday, DEPARTMENTS, "api")
    fail(planday, GROUPS, "data")
    done = Notifier(planday.installation).notify(datetime.now(UTC))
    assert "answered 400" in done.failed["webhook"]
    assert reported(hook) == [("failed", "data", [GROUPS])]


def test_incident_that_resumes_at_once_is_not_repeated(planday: Installation, hook: Hook) -> None:
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    fail(planday, DEPARTMENTS, "api")
    notifier.notify(now)
    hook.status = 500
    planday.state.failures.resolve("oslo", [DEPARTMENTS])
    notifier.notify(now + timedelta(minutes=1))
    hook.status = 200
    fail(planday, DEPARTMENTS, "api")
    notifier.notify(now + timedelta(minutes=2))
    assert reported(hook) == [("failed", "api", [DEPARTMENTS])]


def test_message_has_bounds(planday: Installation, hook: Hook) -> None:
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
        fail(planday, DEPARTMENTS, "data", portal=portal, error=f"{portal} " + "y" * 5000)
    Notifier(planday.installation).notify(datetime.now(UTC))
    messages = hook.take()
    assert len(messages) == 2
    assert all(len(message["text"]) < 4000 for message in messages)


def test_months_without_schedule_come_with_the_command(planday: Installation, hook: Hook) -> None:
    planday.edit_config("include: [portal, hr]", "include: [scheduling.shifts]")
    for month in ("2025-03", "2025-05", "2024-01"):
        fail(planday, "scheduling.shifts", "api", month=month)
    Notifier(planday.installation).notify(datetime.now(UTC))
    (message,) = hook.take()
    assert message["incidents"][0]["tables"] == ["scheduling.shifts 2025-03", "scheduling.shifts 2025-05"]
    assert "planday sync oslo --resources scheduling.shifts --months 2025-03..2025-05" in message["text"]


def test_killed_publication_is_reported_after_an_hour(planday: Installation, hook: Hook) -> None:
    planday.refresh(DEPARTMENTS)
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    notifier.notify(now)
    assert reported(hook) == []
    notifier.notify(now + timedelta(hours=2))
    assert reported(hook) == [("failed", "publication", ["warehouse"])]
    planday.publish()
    notifier.notify(now + timedelta(hours=2))
    assert reported(hook) == [("recovered", "publication", ["warehouse"])]


def test_slice_left_out_of_publication_is_reported(planday: Installation, hook: Hook) -> None:
    planday.refresh(DEPARTMENTS)
    slice_file = planday.lake.path(SliceKey.of(DEPARTMENTS, "oslo"))
    slice_file.write_bytes(b"PAR1 not really PAR1")
    assert str(slice_file) in str(publish_pending(planday.installation).problems.values())
    Notifier(planday.installation).notify(datetime.now(UTC))
    assert ("failed", "damaged", [f"{DEPARTMENTS}.oslo"]) in reported(hook)
    planday.refresh(DEPARTMENTS)
    assert publish_pending(planday.installation).problems == {}
    Notifier(planday.installation).notify(datetime.now(UTC))
    assert ("recovered", "damaged", [f"{DEPARTMENTS}.oslo"]) in reported(hook)


@pytest.mark.processes
def test_killed_sync_is_reported_unless_read_again(
    planday: Installation, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster marks it as one that it starts again, and never does: nothing but `planday sync` knows how."""
    assert planday_command(planday, "sync", "oslo", "--resources", DEPARTMENTS).returncode == 0
    reached, go_on = threading.Event(), threading.Event()

    def stand_still(*_: Any) -> None:
        reached.set()
        go_on.wait(20)

    planday.sandbox.faults.append(Fault("/departments", stand_still, times=1))
    victim = started(planday, "sync", "oslo", "--resources", DEPARTMENTS)
    assert reached.wait(60)
    killed(victim)
    go_on.set()
    assert planday_command(planday, "sync", "oslo", "--resources", GROUPS).returncode == 0, "it ends the dead run"
    monkeypatch.chdir(planday.folder)
    monkeypatch.setenv("DAGSTER_HOME", str(planday.folder))
    with DagsterInstance.get() as instance:
        now = datetime.now(UTC)
        notify(planday.installation, instance, now)
        assert reported(hook) == [], "Dagster may start it again"
        notify(planday.installation, instance, now + timedelta(minutes=6))
        assert reported(hook) == [("failed", "crash", [DEPARTMENTS])]
    assert planday_command(planday, "sync", "oslo", "--resources", DEPARTMENTS).returncode == 0
    assert planday_command(planday, "alert").returncode == 0
    assert reported(hook) == [("recovered", "crash", [DEPARTMENTS])]


@pytest.mark.processes
def test_crash_names_only_tables_nobody_accounts_for(
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
    fail(planday, "hr.employees", "data", run_id=crashed.run_id)
    instance.report_run_failed(crashed, "killed")
    notify(planday.installation, instance)
    assert sorted(reported(hook)) == [("failed", "crash", [GROUPS]), ("failed", "data", ["hr.employees"])]


def test_crash_is_reported_although_state_was_damaged(
    planday: Installation, hook: Hook, instance: DagsterInstance
) -> None:
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()
    fail(planday, DEPARTMENTS, "api")
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
    assert {(event, cause) for event, cause, _ in reported(hook)} == {("failed", "state"), ("failed", "crash")}


def test_nearly_full_disk_does_not_come_and_go(
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
    assert reported(hook) == [], "a publication under way is what takes the space"
    copy.unlink()
    notifier.notify(now)
    assert reported(hook) == [("failed", "disk", [])]
    free[0] = enough + 1
    notifier.notify(now)
    assert reported(hook) == []
    free[0] = 2 * enough
    notifier.notify(now)
    assert reported(hook) == [("recovered", "disk", [])]


def test_failures_of_another_version_are_reported(planday: Installation, hook: Hook) -> None:
    fail(planday, DEPARTMENTS, "something new")
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    notifier.notify(now)
    assert reported(hook) == [("failed", "other", [DEPARTMENTS])]
    planday.state.failures.resolve("oslo", [DEPARTMENTS])
    notifier.notify(now)
    assert reported(hook) == [("recovered", "other", [DEPARTMENTS])]


def test_damaged_database_makes_everything_overdue(planday: Installation, hook: Hook) -> None:
    planday.edit_config("nightly: {enabled: false}\n", "nightly: {enabled: true}\n")
    observe(planday.installation, datetime.now(UTC))
    DAMAGE["cut"](database_file(planday.config.state))
    Notifier(planday.installation).notify(datetime.now(UTC))
    assert sorted(event for event, _, _ in reported(hook)) == ["failed", "stale", "stale", "stale"]


def test_portals_that_fail_alike_name_status_page(planday: Installation, hook: Hook) -> None:
    page, now = "https://status.planday.com", datetime.now(UTC)

    def texts() -> list[str]:
        Notifier(planday.installation).notify(now)
        return [one["text"] for one in hook.take()]

    fail(planday, GROUPS, "api", portal="london")
    fail(planday, DEPARTMENTS, "scope", portal="london")
    fail(planday, DEPARTMENTS, "scope")
    alone = texts()
    assert (len(alone), [text for text in alone if page in text]) == (2, [])
    fail(planday, GROUPS, "api")
    (second,) = texts()
    assert f"2 portals fail alike: {page}" in second, "the first was sent before"
    planday.state.failures.keep_only([])
    assert not [text for text in texts() if page in text], "what is over needs no page"


@pytest.mark.parametrize("how", ["portals.yaml", "forget"])
def test_incident_of_removed_portal_ends_everywhere(planday: Installation, hook: Hook, how: str) -> None:
    """A channel that refuses the end gets it later, also where the portal is neither configured nor known any more."""
    fail(planday, DEPARTMENTS, "api", portal="copenhagen")
    fail(planday, DEPARTMENTS, "api", portal="london")
    now = datetime.now(UTC)
    Notifier(planday.installation).notify(now)
    hook.take()
    text = planday.config_path.read_text()
    planday.config_path.write_text(text[: text.index("  london:")])
    if how == "forget":
        planday.state.forget_portal("london")
    hook.status = 500
    assert Notifier(planday.installation).notify(now + timedelta(minutes=1)).failed
    hook.take()
    hook.status = 200
    Notifier(planday.installation).notify(now + timedelta(minutes=2))
    (message,) = hook.take()
    assert (message["event"], [one["portal"] for one in message["incidents"]]) == ("recovered", ["london"])
    assert "Portal london, which portals.yaml no longer names" in message["text"]
    Notifier(planday.installation).notify(now + timedelta(minutes=3))
    assert hook.take() == []
    assert [one.incident.portal for one in planday.state.incidents.all()] == ["copenhagen"]


def test_failures_of_removed_portal_do_not_return(planday: Installation, hook: Hook, instance: DagsterInstance) -> None:
    fail(planday, DEPARTMENTS, "api", portal="london")
    text = planday.config_path.read_text()
    planday.config_path.write_text(text[: text.index("  london:")])
    notify(planday.installation, instance)
    planday.config_path.write_text(text)
    assert notify(planday.installation, instance).open == []
    assert hook.take() == []


def test_two_notifiers_at_once_send_once(planday: Installation, hook: Hook) -> None:
    fail(planday, DEPARTMENTS, "api")
    now = datetime.now(UTC)
    together = threading.Barrier(2)

    def notify_now() -> None:
        together.wait()
        Notifier(planday.installation).notify(now)

    both = [threading.Thread(target=notify_now) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert reported(hook) == [("failed", "api", [DEPARTMENTS])]
