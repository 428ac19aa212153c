"""What goes wrong between the API and the lake, one row each: the text, and the previous slice untouched.

Network and server faults, broken answers, lists that change while they are read, members that change.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from planday_io.errors import (
    AccessRevokedError,
    IncompleteReadError,
    MissingScopeError,
    PortalIdentityError,
    SecretError,
    ShrunkSnapshotError,
    TokenRejectedError,
    TransientApiError,
    UnexpectedShapeError,
)
from planday_io.sandbox.app import as_json
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.state import Fault
from planday_io.state import State
from planday_io.sync.session import refresh
from tests.support.faults import (
    DEPARTMENTS,
    EMPLOYEES,
    html,
    refused,
    server_error,
    short_body,
    too_many_with_headers,
    too_many_without_headers,
    truncated,
)
from tests.support.installation import FAST, Installation, Make


@pytest.mark.parametrize("respond", [html, truncated, server_error, too_many_with_headers, short_body])
def test_passing_fault_is_retried_and_slice_is_complete(planday: Installation, respond: Any) -> None:
    planday.sandbox.faults.append(Fault(DEPARTMENTS, respond, times=2))
    (report,) = planday.refresh("hr.departments")
    assert report.counters.retries == 2
    assert {row["id"] for row in planday.rows("hr.departments")} == {
        row["id"] for row in planday.sandbox.portals["oslo"].departments
    }


@pytest.mark.parametrize(
    ("respond", "says"),
    [
        (html, "text/html"),
        (truncated, "expected a JSON document"),
        (server_error, "GET /hr/v1.0/departments (portal 'oslo') answered 503"),
        (too_many_with_headers, "too many requests"),
        (short_body, "the connection broke"),
    ],
)
def test_a_lasting_fault_keeps_what_was_there(planday: Installation, respond: Any, says: str) -> None:
    planday.refresh("hr.departments")
    planday.sandbox.faults.append(Fault(DEPARTMENTS, respond, times=None))
    assert says in refused(planday, TransientApiError)
    assert TransientApiError.retryable


def test_429_without_headers_closes_gate_and_is_survived(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.sandbox.faults.append(Fault(DEPARTMENTS, too_many_without_headers, times=1))
    (report,) = planday.refresh("hr.departments")
    assert report.counters.retries == 1
    assert report.counters.throttled_seconds > 1


def test_nobody_listens(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.edit_config(planday.address + "', identity", "http://127.0.0.1:9', identity")
    assert "no connection" in refused(planday, TransientApiError)


def test_wrong_refresh_token(planday: Installation) -> None:
    planday.refresh("hr.departments")
    (planday.folder / "tokens/oslo.txt").write_text("not-the-token")
    text = refused(planday, TokenRejectedError)
    assert "Settings > Integrations > API Access" in text
    assert "not-the-token" not in text


@pytest.mark.parametrize("status", [302, 403, 404])
def test_other_server_says_nothing_about_token(planday: Installation, status: int) -> None:
    """A proxy, a firewall: nobody is told to authorize again."""
    planday.refresh("hr.departments")
    planday.sandbox.faults.append(Fault("/connect/token", lambda *_: Response(status_code=status), times=None))
    text = refused(planday, TransientApiError)
    assert f"POST /connect/token (portal 'oslo') answered {status}" in text
    assert "check identity_url" in text


def test_token_rotates_during_new_authorization(tmp_path: Path) -> None:
    configured = ["old"]
    store = State(tmp_path).refresh_token("oslo", lambda: configured[0])
    with store.lock():
        assert store.read() == "old"
        configured[0] = "authorized anew"
        store.write("rotated from the old one")
    assert store.read() == "authorized anew"


def test_missing_secret_fails_its_portal_only(planday: Installation) -> None:
    planday.refresh("hr.departments")
    (planday.folder / "tokens/oslo.txt").unlink()
    assert "the refresh token of portal 'oslo' cannot be read from" in refused(planday, SecretError)
    planday.refresh("hr.departments", "london")


def test_revoked_in_the_middle(make: Make) -> None:
    planday = make(people=(70, 3, 3))
    planday.refresh("hr.employees")

    def revoke(_: Request, __: int, ___: Any) -> None:
        planday.sandbox.revoke("oslo")

    planday.sandbox.faults.append(Fault(EMPLOYEES, revoke, times=1))
    assert "refused the refresh token of portal 'oslo'" in refused(planday, TokenRejectedError, "hr.employees")


def test_access_refused_again_after_a_new_exchange(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.sandbox.faults.append(Fault(DEPARTMENTS, lambda *_: Response(status_code=401), times=None))
    before = planday.sandbox.exchanges
    assert "administrator" in refused(planday, AccessRevokedError)
    assert planday.sandbox.exchanges - before == 2


def test_an_expired_access_token_is_exchanged_once(planday: Installation) -> None:
    session = planday.session()
    refresh(session, "hr.departments")
    planday.sandbox.expire_access_tokens()
    refresh(session, "hr.departments")
    assert planday.sandbox.exchanges == 2


def test_missing_scope(planday: Installation) -> None:
    planday.refresh("hr.departments")
    for app in planday.sandbox.apps.values():
        app.scopes -= {"department:read"}
    text = refused(planday, MissingScopeError)
    assert "lacks scope department:read" in text
    assert "exclude" in text


def test_another_portals_token(planday: Installation) -> None:
    planday.refresh("hr.departments")
    tokens = planday.folder / "tokens"
    (tokens / "oslo.txt").write_text((tokens / "copenhagen.txt").read_text())
    assert "belongs to Planday portal 815, and until now 'oslo' was portal 4711" in refused(
        planday, PortalIdentityError
    )


def test_a_server_that_cuts_pages(make: Make) -> None:
    planday = make(people=(70, 3, 3), page_size=7)
    (report,) = planday.refresh("hr.employees")
    assert (report.rows, report.verdict) == (70, "total_matched")


def test_a_list_longer_than_a_page(make: Make) -> None:
    planday = make(people=(230, 3, 3))
    (report,) = planday.refresh("hr.employees")
    assert report.rows == 230
    assert {row["id"] for row in planday.rows("hr.employees")} == {
        row["id"] for row in planday.sandbox.portals["oslo"].employees
    }


@pytest.mark.parametrize("missing", ["paging", "total"])
def test_without_total_pages_are_read_until_empty(make: Make, missing: str) -> None:
    planday = make(people=(120, 3, 3))

    def without(_: Request, __: int, document: Any) -> Response:
        if missing == "paging":
            return as_json({"data": document["data"]})
        return as_json({**document, "paging": {"offset": 0, "limit": 50}})

    planday.sandbox.faults.append(Fault(EMPLOYEES, without, times=None))
    (report,) = planday.refresh("hr.employees")
    assert (report.rows, report.verdict) == (120, "exhausted")


def test_a_total_that_never_agrees(make: Make) -> None:
    planday = make(people=(120, 3, 3))
    planday.refresh("hr.employees")

    def more_each_time(request: Request, __: int, document: Any) -> Response:
        document["paging"]["total"] += int(request.query_params["offset"]) // 40
        return as_json(document)

    planday.sandbox.faults.append(Fault(EMPLOYEES, more_each_time, times=None))
    text = refused(planday, IncompleteReadError, "hr.employees")
    assert "was read 4 times and never completely" in text


def test_row_inserted_between_pages_is_there_after_reread(make: Make) -> None:
    planday = make(people=(120, 3, 3))
    portal = planday.sandbox.portals["oslo"]

    def hire(_: Request, __: int, ___: Any) -> None:
        portal.hire()

    planday.sandbox.faults.append(Fault(EMPLOYEES, hire, times=1))
    (report,) = planday.refresh("hr.employees")
    assert (report.rows, report.rereads) == (121, 1)


def test_row_deleted_behind_reader_while_another_is_added(make: Make) -> None:
    """Every figure agrees, and a row would be missing: only the repeated row between pages tells."""
    planday = make(people=(120, 3, 3))
    portal = planday.sandbox.portals["oslo"]

    def swap(_: Request, __: int, ___: Any) -> None:
        portal.deactivate(portal.employees[3]["id"])
        portal.hire()

    planday.sandbox.faults.append(Fault(EMPLOYEES, swap, times=1))
    (report,) = planday.refresh("hr.employees")
    assert report.rereads == 1
    assert {row["id"] for row in planday.rows("hr.employees")} == {row["id"] for row in portal.employees}


def test_duplicate_keys(planday: Installation) -> None:
    planday.refresh("hr.departments")
    rows = planday.sandbox.portals["oslo"].departments
    rows.append(dict(rows[0]))
    assert "rows have" in refused(planday, IncompleteReadError)


def test_unknown_member_is_named_and_its_value_dropped(planday: Installation) -> None:
    planday.sandbox.portals["oslo"].departments[0]["costCentre"] = "secret-cc"
    (report,) = planday.refresh("hr.departments")
    extra = [row["_extra"] for row in planday.rows("hr.departments") if row["_extra"]]
    assert extra == ['{"costCentre":null}']
    assert "costCentre" in report.warnings[0]
    assert b"secret-cc" not in planday.bytes_of("hr.departments")


def test_unknown_member_is_kept_where_policy_keeps_it(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {unknown: keep}\ndefaults:")
    planday.sandbox.portals["oslo"].departments[0]["costCentre"] = "cc"
    planday.refresh("hr.departments")
    assert [row["_extra"] for row in planday.rows("hr.departments") if row["_extra"]] == ['{"costCentre":"cc"}']


def test_changed_type_is_fatal_for_its_table(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.sandbox.portals["oslo"].departments[0]["number"] = 17
    text = refused(planday, UnexpectedShapeError)
    assert "number is number instead of VARCHAR" in text
    planday.refresh("hr.employees")


def test_an_inferred_shape_fails_softly(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {unknown: keep}\ndefaults:")
    portal = planday.sandbox.portals["oslo"]
    portal.termination_types = [{"id": "abc", "title": "Left"}, "Fired"]  # type: ignore[list-item]
    (report,) = planday.refresh("hr.termination_types")
    assert report.rows == 2
    assert len(report.warnings) >= 2
    assert {row["_extra"] for row in planday.rows("hr.termination_types")} == {
        '{"id":"abc","title":"Left"}',
        '{"@row":"Fired"}',
    }


def test_rows_without_their_key_are_refused(planday: Installation) -> None:
    planday.refresh("hr.departments")
    del planday.sandbox.portals["oslo"].departments[0]["id"]
    assert "1 rows lack id" in refused(planday, UnexpectedShapeError)


def test_empty_snapshot_is_typed_or_refused(make: Make) -> None:
    planday = make()
    portal = planday.sandbox.portals["oslo"]
    employees, portal.employees = portal.employees, []
    planday.refresh("hr.employees")
    typed = planday.frame("hr.employees")
    assert typed.num_rows == 0
    assert str(typed.schema.field("departments").type) == "list<element: int64>"
    portal.employees = employees
    planday.refresh("hr.employees")
    portal.employees = []
    assert "shrank from 6 rows to 0" in refused(planday, ShrunkSnapshotError, "hr.employees")
    planday.refresh("hr.employees", accept_shrink=True)
    assert planday.rows("hr.employees") == []


def test_gone_between_list_and_detail_is_counted(planday: Installation) -> None:
    portal = planday.sandbox.portals["oslo"]

    def leave(_: Request, __: int, ___: Any) -> None:
        portal.deactivate(portal.employees[-1]["id"])

    planday.sandbox.faults.append(Fault(EMPLOYEES, leave, times=1))
    details, _ = planday.refresh("hr.employee_details")
    assert (details.gone, details.rows) == (1, 5)


def test_the_budget_is_kept_at_scaled_limits(make: Make) -> None:
    """Windows of a fifth of the real ones. A stall of this machine may bunch a few requests, so next to no 429."""
    policy = ((20, 1.0), (150, 12.0))
    planday = make(people=(60, 5, 5), limits=Limits(policy, ((100, 1.0), (400, 12.0))))
    planday.refresh("hr.employees")
    planday.refresh("hr.employee_details")
    assert planday.sandbox.limits.refused <= 3
    assert len(planday.rows("hr.employee_details")) == 60


def test_nothing_is_sent_before_reset(make: Make) -> None:
    planday = make(people=(12, 5, 5), limits=Limits(((4, 1.0),), FAST, with_headers=True))
    details, _ = planday.refresh("hr.employee_details")
    assert details.rows == 12
    assert planday.sandbox.limits.sent_before_reset <= planday.sandbox.limits.refused


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize(
    "page", [b"<h1>Not found</h1>", b"\xef\xbb\xbf\r\n<!DOCTYPE html>", b'<?xml version="1.0"?><Error/>']
)
def test_a_page_of_a_proxy_makes_nobody_gone(make: Make, page: bytes, status: int) -> None:
    """400 and 404 mean "gone" and "none" where the API says so; a page of HTML is not the API."""
    planday = make(resources="resources: {include: [hr, contract_rules]}")
    planday.refresh("hr.employees")
    planday.refresh("hr.deactivated_employees")
    person = planday.rows("hr.employees")[0]["id"]
    answer = Fault(f"/hr/v1.0/employees/{person}", lambda *_: Response(page, status), times=1)
    planday.sandbox.faults.append(answer)
    planday.refresh("hr.employee_details")
    assert person in {row["id"] for row in planday.rows("hr.employee_details")}, "it was asked for again"
    planday.refresh("contract_rules.contract_rules")
    before = planday.rows("contract_rules.contract_rules")
    planday.sandbox.faults.append(Fault("/contractrules/", lambda *_: Response(page, status), times=None))
    assert "the answer is an HTML page" in refused(
        planday, TransientApiError, "contract_rules.contract_rules", full=True
    )
    assert planday.rows("contract_rules.contract_rules") == before


def test_a_page_with_403_names_the_proxy_too(planday: Installation) -> None:
    planday.refresh("hr.departments")
    planday.sandbox.faults.append(Fault(DEPARTMENTS, lambda *_: HTMLResponse("<p>Blocked", 403), times=None))
    text = refused(planday, MissingScopeError)
    assert "a proxy or a firewall may have refused it" in text
    assert "lacks scope department:read" in text
