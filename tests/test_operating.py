"""Every row of the table in docs/operating.md, by running the real thing: what is told, and the warehouse afterwards.

A row's name is in brackets in the first column of the table. Rows that need processes, a daemon or a disk of their own
are in `OTHER_ROWS`, with the test that proves them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance
from starlette.responses import HTMLResponse

from pipelines.alerting import notify
from planday_io.sandbox.app import as_json
from tests.support.faults import html, server_error, short_body, truncated
from tests.support.installation import Installation, Make, run
from tests.support.troubles import (
    API,
    answering,
    config,
    deactivated,
    expired,
    half_character,
    lake_gone,
    limited,
    maintenance,
    malformed,
    marked,
    missing_member,
    new_member,
    out_of_range,
    reset,
    retyped,
    revoked,
    rotates,
    scope_missing,
    served_by,
    shrunk,
    status,
    token,
    too_many,
    untrusted,
    wrong_type,
)

DEPARTMENTS, EMPLOYEES = "/hr/v1.0/departments", "/hr/v1.0/employees"
DOC = Path(__file__).parents[1] / "docs" / "operating.md"


@dataclass(frozen=True)
class Row:
    """What goes wrong with hr.departments, or with everything, and what is to be seen.

    Args:
        arrange: makes it go wrong; returns what fixes it, or None where it passes by itself.
        cause: of the incident, or None where it heals within the run.
        says: part of the error's text, or of a warning.
        step_retries: whether the step is tried again.
        whole_portal: whether the other table fails as well.
        told: cause of an incident although everything is read, or None.
    """

    arrange: Callable[[Installation], Callable[[], None] | None]
    cause: str | None
    says: str = ""
    step_retries: bool = False
    whole_portal: bool = False
    told: str | None = None


ROWS = {
    "400": Row(status(400), "refused", "rejects a parameter"),
    "401 first": Row(expired, None),
    "401 again": Row(
        deactivated, "administrator", "administrator who authorized the app was deactivated", whole_portal=True
    ),
    "403": Row(scope_missing, "scope", "lacks scope department:read"),
    "404": Row(status(404), "refused", "nothing exists at this path"),
    "409": Row(status(409), "refused", "this status is not expected for a read"),
    "429 portal second": Row(limited(portal=((4, 1.0),)), None),
    "429 portal minute": Row(limited(portal=((100, 1.0), (5, 3.0))), None),
    "429 app second": Row(limited(client=((4, 1.0),)), None),
    "429 app minute": Row(limited(client=((100, 1.0), (5, 3.0))), None),
    "429 lasting": Row(too_many, "api", "too many requests", step_retries=True),
    "5xx once": Row(answering(server_error, times=2), None),
    "5xx lasting": Row(answering(server_error), "api", "answered 503", step_retries=True),
    "maintenance": Row(maintenance, "api", "answered 503", step_retries=True, whole_portal=True),
    "dns": Row(
        config(API, "api_url: 'https://no-such-host.invalid'"),
        "api",
        "no connection",
        step_retries=True,
        whole_portal=True,
    ),
    "tls": Row(
        config(API, "api_url: 'https://127.0.0.1:{port}'"), "api", "no connection", step_retries=True, whole_portal=True
    ),
    "tls untrusted": Row(untrusted, "api", "certificates", step_retries=True, whole_portal=True),
    "connection refused": Row(
        config(API, "api_url: 'http://127.0.0.1:9'"), "api", "no connection", step_retries=True, whole_portal=True
    ),
    "reset": Row(served_by(reset), "api", "the connection broke", step_retries=True, whole_portal=True),
    "read timeout": Row(
        served_by(lambda _: None, ", timeout_seconds: 1"),
        "api",
        "no answer in time",
        step_retries=True,
        whole_portal=True,
    ),
    "short body": Row(answering(short_body), "api", "the connection broke", step_retries=True),
    "truncated": Row(answering(truncated), "api", "expected a JSON document", step_retries=True),
    "html": Row(answering(html), "api", "text/html", step_retries=True),
    "page 404": Row(
        answering(lambda *_: HTMLResponse("<h1>No such page", 404)), "api", "a proxy or a firewall", step_retries=True
    ),
    "content type": Row(answering(wrong_type), None),
    "says nothing": Row(answering(lambda *_: as_json({"data": None})), "api", "says nothing", step_retries=True),
    "204": Row(status(204), "api", "has no document", step_retries=True),
    "malformed": Row(answering(malformed), "data", "page at offset 0", step_retries=True),
    "half character": Row(answering(half_character, times=1), None),
    "byte order mark": Row(answering(marked, times=1), None),
    "date out of range": Row(out_of_range, None),
    "token endpoint down": Row(
        status(503, path="/connect/token"), "api", "identity server has a fault", step_retries=True, whole_portal=True
    ),
    "token wrong": Row(token("wrong"), "token", "refused the refresh token", whole_portal=True),
    "token revoked": Row(revoked, "token", "planday authorize oslo", whole_portal=True),
    "token rotated": Row(rotates, None),
    "administrator deactivated": Row(deactivated, "administrator", "was deactivated", whole_portal=True),
    "portal swapped": Row(token(None), "identity", "until now 'oslo' was portal 4711", whole_portal=True),
    "new member": Row(new_member, None, told="drift"),
    "missing member": Row(missing_member, None),
    "retyped member": Row(retyped, "data", "number is number instead of VARCHAR"),
    "shrunk": Row(shrunk, "shrunk", "shrank from 2 rows to 0"),
    "folder gone": Row(lake_gone, "storage", "Check that the folder exists", step_retries=True),
}
OTHER_ROWS = {
    "disk full": "test_a_full_disk",
    "killed process": "test_a_killed_sync_and_the_next_one",
    "killed machine": "test_a_run_that_a_stopped_machine_left_behind",
    "interrupted sync": "test_interruption_ends_all_cleanly",
    "killed reader": "test_killed_process_fails_its_portal_only",
    "two syncs": "test_two_syncs_of_one_portal_at_once",
    "edited while queued": "test_a_config_edited_while_runs_are_queued",
    "portal removed and back": "test_a_portal_removed_and_added_again",
    "daemon restarted": "test_daemon",
    "two daemons": "test_daemon",
    "killed and queued behind": "test_daemon",
    "command cut": "test_forgetting_cut_anywhere_stays_owed",
    "429 nonsense": "test_requests_go_on_whatever_answers_say",
    "budget damaged": "test_damaged_file_is_set_aside_and_made_again",
    "budget unwritable": "test_full_or_read_only_disk_names_a_remedy",
    "one portal twice": "test_second_key_writes_nothing",
    "consent elsewhere": "test_consent_while_logged_in_elsewhere",
    "answer slow": "test_a_slow_answer_names_the_key",
    "answer large": "test_answer_that_is_too_large_names_key",
    "list long": "test_a_list_that_always_has_new_rows_ends",
    "json absurd": "test_bytes_that_are_no_answer_are_typed_error",
    "token endpoint page": "test_login_page_in_way_is_tried_again",
    "proxy wrong": "test_everything_that_asks_says_what_is_wrong",
    "all refused": "test_everything_refused_names_the_package",
    "pay hidden": "test_people_without_pay_are_counted",
    "rename cut": "test_cut_anywhere_the_same_command_finishes",
    "renamed while read": "test_run_under_way_is_not_renamed",
    "config refused": "test_crons_that_are_refused_say_why",
    "definitions refused": "test_definitions_nobody_foresaw_are_an_incident",
    "location stale": "test_sensors_follow_a_file_edited_later",
    "edit refused": "test_a_file_that_cannot_be_used_reloads_nothing",
    "token corrected": "test_a_token_fixed_in_env_counts_at_once",
    "secret unreadable": "test_unseen_characters_inside_are_named",
    "folder misread": "test_folders_that_dagster_misreads_are_refused",
    "dagster storage": "test_a_damaged_database_is_an_incident",
    "disk nearly full": "test_a_disk_with_little_left_is_told",
    "zone unknown": "test_shifts_as_sent_without_a_usable_zone",
    "duration unclear": "test_no_duration_fails_the_table",
    "dates open ended": "test_days_of_open_ended_absence",
    "state damaged": "test_each_record_copes_with_each_damage",
    "database damaged": "test_damaged_database_is_made_again",
    "database unwritable": "test_full_disk_is_an_error_with_a_remedy",
    "database deleted": "test_without_its_database_an_installation_heals",
    "old folders": "test_what_an_old_version_wrote_later_counts",
    "state upgraded": "test_upgrade_cut_anywhere_is_finished",
    "state stray": "test_damage_of_one_portal_is_not_anothers",
    "token damaged": "test_damage_of_one_portal_is_not_anothers",
    "unknown exception": "test_a_step_notes_whatever_is_raised",
    "portal unreadable": "test_status_of_a_portal_that_cannot_be_read",
    "clock change": "test_reading_at_every_tick_is_never_stale",
    "half written": "test_another_process_is_left_alone_until_killed",
    "state open": "test_tokens_are_closed_to_others",
    "warehouse edited": "test_log_of_a_killed_program_is_set_aside",
    "warehouse held": "test_edits_of_program_that_goes_on_never_last",
    "warehouse of others": "test_file_of_somebody_else_is_not_replaced",
    "lake missing": "test_missing_lake_is_refused_before_anything_is_written",
    "older file": "test_older_file_is_replaced_by_reading",
    "older history": "test_older_history_is_restored_from_the_warehouse",
    "slice damaged": "test_damaged_snapshot_is_left_out_and_read_again",
    "history damaged": "test_damaged_history_stops_nobody_and_catches_up",
    "forgotten shorter": "test_shorter_list_of_forgotten_people_lets_nobody_back",
    "delivery after failure": "test_failed_portal_is_named",
    "delivery late": "test_late_delivery_says_what_did_not_run",
    "delivery unsent": "test_failing_mail_is_tried_again_then_reported",
    "delivery refused": "test_refused_recipient_is_an_incident",
    "delivery killed": "test_killed_run_is_another_attempt",
    "delivery wrong": "test_wrong_sql_is_reported_at_once",
    "retention incomplete": "test_damaged_slice_is_named_and_others_cleaned",
    "retention cut": "test_pass_cut_anywhere_is_finished_later",
    "other account": "test_unreadable_file_is_not_called_damaged",
}


def test_every_row_of_the_table_has_a_test() -> None:
    named = re.findall(r"^\| .*?\[([a-z0-9 ]+)\] \|", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert named[1:] == [*ROWS, *OTHER_ROWS]
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for name in OTHER_ROWS.values():
        assert f"def {name}" in tests or (Path(__file__).parent / f"{name}.py").exists()


def departments(planday: Installation) -> list[tuple[Any, ...]]:
    return planday.query("SELECT id, name, number, _extra FROM hr.departments WHERE portal = 'oslo' ORDER BY id")


@pytest.mark.processes
@pytest.mark.parametrize("name", ROWS)
def test_row(make: Make, memory: DagsterInstance, name: str) -> None:
    row = ROWS[name]
    planday = make()
    planday.edit_config("step_delay_seconds: 10", "step: 1, step_delay_seconds: 0")
    portal = planday.sandbox.portals["oslo"]
    assert run(planday, memory, "hr.departments", "hr.employees").success
    before = departments(planday)
    portal.hire()
    fix = row.arrange(planday)
    result = run(planday, memory, "hr.departments", "hr.employees")
    told = [event.message or "" for event in result.all_events]
    told += [str(event.step_failure_data.error) for event in result.all_events if event.is_step_failure]
    found = notify(planday.installation, memory)
    retried = [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert (result.success, bool(retried)) == (row.cause is None, row.step_retries), "\n".join(told)
    people = planday.query("SELECT count(*) FROM hr.employees WHERE portal = 'oslo'")[0][0]
    assert people == len(portal.employees) - row.whole_portal, "what can be read is read"
    assert [one.cause for one in found.open] == [one for one in (row.cause, row.told) if one]
    assert (planday.sandbox.limits.sent_before_reset, row.says in "\n".join(told)) == (0, True)
    if row.cause:
        assert departments(planday) == before, "what was there stays"
        assert row.says in found.open[0].error
        assert fix is not None
        fix()
        assert run(planday, memory, "hr.departments", "hr.employees").success
        assert notify(planday.installation, memory).open == []
    assert {row[0] for row in departments(planday)} == {row["id"] for row in portal.departments}
    assert planday.query("SELECT count(*) FROM hr.employees WHERE portal = 'oslo'") == [(len(portal.employees),)]
    if name == "new member":
        assert [row[3] for row in departments(planday) if row[3]] == ['{"costCentre":null}']
    if name == "missing member":
        assert None in {row[2] for row in departments(planday)}
    if name == "token rotated":
        (kept,) = planday.state_files_with("rotated-")
        assert kept.stat().st_mode & 0o777 == 0o600
