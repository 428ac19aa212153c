"""Which incidents are reported, and when: failures, staleness, crashes, and their end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster import DagsterInstance
from starlette.responses import Response

from pipelines.alerting import notify
from pipelines.definitions import build_definitions
from planday_io.catalogue import CATALOGUE
from planday_io.monitoring.failures import CAUSES
from planday_io.monitoring.messages import messages
from planday_io.monitoring.notifier import Notifier
from planday_io.sandbox.state import Fault
from planday_io.state import Incident, Notice, SliceKey
from planday_io.sync.session import PortalSession, refresh
from tests.support.commands import planday_command
from tests.support.failures import DEPARTMENTS, GROUPS, fail, reported
from tests.support.installation import Hook, Installation, Make, run
from tests.support.old_state import old_alerts

NIGHTLY = ("nightly: {enabled: false}", "nightly: {enabled: true}")


DETAILS = ("hr.employee_details", "hr.employee_custom_fields")
SNAPSHOTS = [
    one for one in CATALOGUE.endpoints if one.tables[0].domain in ("portal", "hr") and not one.tables[0].on_request
]


@pytest.mark.processes
def test_failure_is_reported_once_and_its_end_once(
    planday: Installation,
    hook: Hook,
    instance: DagsterInstance,
) -> None:
    planday.edit_config("step_delay_seconds: 10", "step: 1, step_delay_seconds: 0")
    run(planday, instance, "hr.departments", "hr.employees")
    notify(planday.installation, instance)
    assert hook.take() == []
    planday.sandbox.faults.append(Fault("/departments", lambda *_: Response(status_code=500), times=3))
    assert run(planday, instance, "hr.departments").success, "the step was tried again"
    notify(planday.installation, instance)
    assert hook.take() == [], "what a retry fixes is nobody's business"
    token = planday.folder / "tokens/oslo.txt"
    good = token.read_text()
    token.write_text("not-the-token")
    failed = run(planday, instance, "hr.departments", "hr.employees", *DETAILS)
    assert not failed.success
    notify(planday.installation, instance)
    (message,) = hook.take()
    assert message["event"] == "failed"
    (incident,) = message["incidents"]
    assert incident["portal"] == "oslo"
    assert incident["tables"] == [
        "hr.departments",
        "hr.employee_custom_fields",
        "hr.employee_details",
        "hr.employees",
    ], "what was left out because its parent failed is named as well"
    assert incident["run"] == f"https://dagster.example.com/runs/{failed.run_id}"
    assert "planday authorize oslo" in message["text"]
    assert "not-the-token" not in str(message)
    run(planday, instance, "hr.departments")
    notify(planday.installation, instance)
    notify(planday.installation, instance)
    assert hook.take() == [], "once per incident"
    token.write_text(good)
    run(planday, instance, "hr.departments")
    notify(planday.installation, instance)
    assert hook.take() == [], "not over before every table is read"
    assert run(planday, instance, "hr.departments", "hr.employees", *DETAILS).success
    notify(planday.installation, instance)
    notify(planday.installation, instance)
    (message,) = hook.take()
    assert (message["event"], message["incidents"][0]["portal"]) == ("recovered", "oslo")


@pytest.mark.processes
def test_portals_share_a_message_changed_tables_do_not(
    planday: Installation,
    hook: Hook,
    instance: DagsterInstance,
) -> None:
    for portal in ("oslo", "london"):
        (planday.folder / f"tokens/{portal}.txt").write_text(f"wrong-{portal}")
        run(planday, instance, "hr.departments", portal=portal)
    planday.sandbox.portals["copenhagen"].departments[0]["number"] = 17
    planday.sandbox.portals["copenhagen"].employees[0]["firstName"] = 4
    run(planday, instance, "hr.departments", "hr.employees", portal="copenhagen")
    notify(planday.installation, instance)
    sent = {message["incidents"][0]["cause"]: message for message in hook.take()}
    assert set(sent) == {"token", "data"}
    assert [one["portal"] for one in sent["token"]["incidents"]] == ["oslo", "london"]
    assert [one["tables"] for one in sent["data"]["incidents"]] == [["hr.departments"], ["hr.employees"]]


def test_incident_waits_for_runs_of_its_portal(planday: Installation, hook: Hook) -> None:
    notifier = Notifier(planday.installation)
    now = datetime.now(UTC)
    (planday.folder / "tokens/oslo.txt").write_text("wrong")
    with dg.DagsterInstance.ephemeral() as made:
        run(planday, made, "hr.departments")
    assert [one.cause for one in notifier.notify(now, busy=["oslo"]).open] == ["token"]
    assert hook.take() == []
    notifier.notify(now + timedelta(minutes=61), busy=["oslo"], working=["oslo"])
    assert len(hook.take()) == 1, "an hour is enough"


def test_stale_also_when_nothing_ran_at_all(planday: Installation, hook: Hook) -> None:
    planday.edit_config(*NIGHTLY)
    planday.edit_config("  london:", "  london:\n    schedules: {nightly: {enabled: false}}")
    now = datetime.now(UTC)
    notifier = Notifier(planday.installation)
    notifier.notify(now - timedelta(days=3))
    assert hook.take() == [], "what was due before the installation was is no fault"
    for portal, days in (("oslo", 0), ("copenhagen", 2)):
        at = now - timedelta(days=days)
        session = PortalSession(planday.installation, portal, run_id="x", clock=lambda at=at: at)  # type: ignore[misc]
        for endpoint in SNAPSHOTS:
            refresh(session, endpoint.name)
    notifier.notify(now)
    (message,) = hook.take()
    assert message["event"] == "stale"
    (incident,) = message["incidents"]
    assert incident["portal"] == "copenhagen"
    assert "hr.employees" in incident["tables"]
    for endpoint in SNAPSHOTS:
        planday.refresh(endpoint.name, "copenhagen")
    notifier.notify(now + timedelta(minutes=1))
    (message,) = hook.take()
    assert message["event"] == "recovered"


def test_missing_token_explains_old_tables(planday: Installation, hook: Hook) -> None:
    planday.edit_config(*NIGHTLY)
    now = datetime.now(UTC)
    notifier = Notifier(planday.installation)
    notifier.notify(now - timedelta(days=3))
    for portal in planday.config.portals:
        (planday.folder / f"tokens/{portal}.txt").write_text(f"wrong-{portal}")
        with dg.DagsterInstance.ephemeral() as made:
            run(planday, made, "hr.departments", portal=portal)
    notifier.notify(now)
    (message,) = hook.take()
    assert {one["cause"] for one in message["incidents"]} == {"token"}


@pytest.mark.processes
def test_crashed_run_without_retry_is_reported(
    planday: Installation,
    hook: Hook,
    instance: DagsterInstance,
) -> None:
    job = build_definitions(planday.config_path).resolve_implicit_global_asset_job_def()

    def crashed(will_retry: str) -> str:
        made = instance.create_run_for_job(
            job,
            asset_selection=frozenset({dg.AssetKey(["hr", "departments"])}),
            tags={"dagster/partition": "oslo", "dagster/will_retry": will_retry},
            status=dg.DagsterRunStatus.STARTED,
        )
        instance.report_run_failed(made, "killed")
        instance.add_run_tags(made.run_id, {"dagster/will_retry": will_retry})
        return made.run_id

    crashed("true")
    notify(planday.installation, instance)
    assert hook.take() == []
    last = crashed("false")
    notify(planday.installation, instance)
    (message,) = hook.take()
    assert (message["incidents"][0]["cause"], message["incidents"][0]["tables"]) == ("crash", ["hr.departments"])
    assert last in message["incidents"][0]["run"]
    run(planday, instance, "hr.departments")
    notify(planday.installation, instance)
    assert [one["event"] for one in hook.take()] == ["recovered"]


def test_crash_of_a_whole_job_names_its_tables(planday: Installation, hook: Hook, instance: DagsterInstance) -> None:
    """Such a run has no selection. What the portal does not have is not missing."""
    planday.edit_config("  oslo:\n", "  oslo:\n    resources: {exclude: [hr.skills]}\n")
    job = build_definitions(planday.config_path).resolve_job_def("snapshots")
    made = instance.create_run_for_job(job, tags={"dagster/partition": "oslo"}, status=dg.DagsterRunStatus.STARTED)
    assert made.asset_selection is None
    instance.report_run_failed(made, "killed")
    instance.add_run_tags(made.run_id, {"dagster/will_retry": "false"})
    notify(planday.installation, instance)
    (message,) = hook.take()
    own = {key.to_user_string().replace("/", ".") for key in job.asset_layer.executable_asset_keys}
    assert "hr.skills" in own
    assert {*message["incidents"][0]["tables"]} == own - {"hr.skills"}


def test_message_is_sent_again_until_taken(planday: Installation, hook: Hook) -> None:
    (planday.folder / "tokens/oslo.txt").write_text("wrong")
    with dg.DagsterInstance.ephemeral() as made:
        run(planday, made, "hr.departments")
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    hook.status = 500
    found = notifier.notify(now)
    assert "the webhook answered 500" in found.failed["webhook"]
    assert planday.address not in found.failed["webhook"], "the address is a secret"
    hook.status = 200
    assert len(notifier.notify(now + timedelta(minutes=5)).sent) == 1
    assert len(hook.take()) == 1
    assert notifier.notify(now + timedelta(minutes=6)).sent == []


@pytest.mark.processes
def test_failed_publication_is_reported_and_its_end(
    planday: Installation,
    hook: Hook,
    instance: DagsterInstance,
) -> None:
    planday.edit_config("history_start", "warehouse: shown/warehouse.duckdb\nhistory_start")
    broken = planday.config.warehouse
    broken.mkdir(parents=True)
    failed = planday_command(planday, "sync", "oslo", "--resources", "hr.departments")
    assert (failed.returncode, "not published" in failed.stdout) == (1, True)
    notify(planday.installation, instance)
    (message,) = hook.take()
    assert message["incidents"][0] | {"since": "", "error": "", "run": ""} == {
        "portal": None,
        "cause": "publication",
        "tables": ["warehouse"],
        "since": "",
        "error": "",
        "run": "",
    }
    broken.rmdir()
    assert planday_command(planday, "publish").returncode == 0
    Notifier(planday.installation).notify(datetime.now(UTC))
    assert [one["event"] for one in hook.take()] == ["recovered"]


def test_the_alert_sensor_is_on_and_sends(
    planday: Installation,
    hook: Hook,
    make: Make,
    instance: DagsterInstance,
) -> None:
    definitions = build_definitions(planday.config_path)
    (sensor,) = [one for one in definitions.sensors or [] if one.name == "alerts"]
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING  # type: ignore[union-attr]
    (planday.folder / "tokens/oslo.txt").write_text("wrong")
    run(planday, instance, "hr.departments")
    with dg.build_sensor_context(instance=instance, repository_def=definitions.get_repository_def()) as context:
        tick = sensor.evaluate_tick(context)  # type: ignore[union-attr]
    assert "sent: Planday: oslo" in (tick.skip_message or "")
    assert len(hook.take()) == 1


@pytest.mark.parametrize("cause", CAUSES)
def test_a_subject_is_the_whole_first_statement(planday: Installation, cause: str) -> None:
    now = datetime.now(UTC)
    incident = Incident(portal="oslo", cause=cause, tables=("hr.employees",), since=now)
    notice = Notice(incident=incident, noticed_at=now, all_tables=incident.tables)
    ((message, _),) = messages(planday.config, [notice], now)
    short = message.subject.removeprefix("Planday: oslo: ")
    assert CAUSES[cause].sentence.removeprefix(short)[:2] in (".", ". ", ": ")


def test_unreadable_portal_ends_none_of_its_incidents(planday: Installation, hook: Hook) -> None:
    planday.refresh(DEPARTMENTS)
    planday.publish()
    for portal in ("oslo", "london"):
        fail(planday, GROUPS, "api", portal=portal)
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    notifier.notify(now)
    assert reported(hook) == [("failed", "api", [GROUPS])] * 2
    slice_file = planday.lake.path(SliceKey.of(DEPARTMENTS, "oslo"))
    content = slice_file.read_bytes()
    slice_file.unlink()
    slice_file.symlink_to(slice_file)
    for portal in ("oslo", "london"):
        planday.state.failures.resolve(portal, [GROUPS])
    notifier.notify(now)
    assert reported(hook) == [("failed", "unreadable", []), ("recovered", "api", [GROUPS])], "the other portal's ends"
    slice_file.unlink()
    slice_file.write_bytes(content)
    notifier.notify(now)
    assert sorted(reported(hook)) == [("recovered", "api", [GROUPS]), ("recovered", "unreadable", [])]


def test_incident_of_an_older_version_is_not_repeated(planday: Installation, hook: Hook) -> None:
    """Also where its cause had another name."""
    now = datetime.now(UTC)
    file = old_alerts(planday.state.folder, now.isoformat(), "webhook")
    file.write_text(json.dumps(json.loads(file.read_text().replace('"api"', '"unseen"')) | {"ended": []}))
    planday.refresh(DEPARTMENTS)
    slice_file = planday.lake.path(SliceKey.of(DEPARTMENTS, "oslo"))
    slice_file.unlink()
    slice_file.symlink_to(slice_file)
    notifier = Notifier(planday.installation)
    assert [one.cause for one in notifier.notify(now).open] == ["unreadable"]
    assert reported(hook) == []
    slice_file.unlink()
    notifier.notify(now)
    assert ("recovered", "unreadable", ["hr.skills"]) in reported(hook)


def test_months_of_a_changed_table_are_one_incident(planday: Installation, hook: Hook) -> None:
    planday.edit_config("include: [portal, hr]", "include: [scheduling.shifts]")
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    for month in ("2026-10", "2026-09"):
        fail(planday, "scheduling.shifts", "data", month=month)
        notifier.notify(now)
    assert reported(hook) == [("failed", "data", ["scheduling.shifts 2026-10"])], "another month is no other incident"
    for month in ("2026-10", "2026-09"):
        planday.state.failures.resolve("oslo", ["scheduling.shifts"], month)
        notifier.notify(now)
    assert reported(hook) == [("recovered", "data", ["scheduling.shifts 2026-09", "scheduling.shifts 2026-10"])]


def test_end_is_tried_for_a_day(planday: Installation, hook: Hook) -> None:
    planday.refresh(DEPARTMENTS)
    planday.publish()
    slice_file = planday.lake.path(SliceKey.of(DEPARTMENTS, "oslo"))
    content = slice_file.read_bytes()
    notifier, now = Notifier(planday.installation), datetime.now(UTC)
    for late in (timedelta(hours=23), timedelta(hours=25)):
        slice_file.write_bytes(b"damaged")
        notifier.notify(now)
        notifier.notify(now + timedelta(hours=1))
        assert reported(hook) == [("failed", "damaged", [DEPARTMENTS])]
        hook.status = 500
        slice_file.write_bytes(content)
        notifier.notify(now + timedelta(hours=2))
        hook.status = 200
        notifier.notify(now + timedelta(hours=2) + late)
        ends = [(one["event"], one["incidents"][0]["since"]) for one in hook.take()]
        assert ends == ([("recovered", now.isoformat(timespec="seconds"))] if late < timedelta(days=1) else [])


@pytest.mark.parametrize("channel", ["mail", "webhook"])
def test_alerts_of_an_older_version_go_on(planday: Installation, hook: Hook, channel: str) -> None:
    now = datetime.now(UTC)
    old_alerts(planday.state.folder, now.isoformat(), channel)
    fail(planday, "hr.skills", "api")
    notifier = Notifier(planday.installation)
    for _ in range(2):
        notifier.notify(now)
    ended = ("recovered", "api", ["hr.skills", "scheduling.shifts 2026-11"])
    assert reported(hook) == ([("failed", "api", ["hr.skills"]), ended] if channel == "mail" else [ended])
    planday.state.failures.resolve("oslo", ["hr.skills"])
    for _ in range(2):
        notifier.notify(now)
    assert reported(hook) == [("recovered", "api", ["hr.skills"])]
