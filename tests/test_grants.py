"""The token address: only an OAuth answer says anything about a token; lifetimes and scopes in any form."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from planday_io.client.asking import Answer
from planday_io.client.grants import REFUSED_REFRESH, TokenAnswer, scopes_in, token_answer
from planday_io.errors import (
    PageForbiddenError,
    PlandayError,
    TokenError,
    TokenRejectedError,
    TransientApiError,
)
from planday_io.onboarding import authorize
from planday_io.sandbox.app import as_json
from planday_io.sandbox.state import Fault
from tests.support.faults import refused
from tests.support.installation import Installation, Make

SCOPES = ["employee:read", "ssn:read", "birthdate:read", "offline_access"]


def answered(body: bytes, status: int = 200, kind: str = "application/json") -> TokenAnswer:
    answer = Answer(status, httpx.Headers({"content-type": kind}), body)
    return token_answer(answer, "https://id.planday.com/connect/token", "oslo", REFUSED_REFRESH)


PAGES = [
    b"<html>Log in to the guest network</html>",
    b"",
    b"{}",
    b"null",
    b"[]",
    b'"text"',
    b"\xff\xfe",
    b"[" * 100_000,
]
PAGES += [b'{"access_token": ""}', b'{"access_token": 7}', b'{"access_token": "a b"}', b'{"access_token": "\xc3\xa6"}']
PAGES += [b'{"title": "Bad Request", "status": 400}', b'{"error": "Unauthorized", "path": "/connect/token"}']
PAGES += [
    b'{"error": {"code": "invalid_grant"}}',
    b'{"message": "invalid_grant"}',
    b'{"error": "temporarily_unavailable"}',
]


@pytest.mark.parametrize("body", PAGES, ids=range(len(PAGES)))
@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 401, 403, 404, 407, 418])
def test_what_is_no_oauth_answer_refuses_nothing(body: bytes, status: int) -> None:
    with pytest.raises(TransientApiError, match="the token was not refused"):
        answered(body, status, "text/html")


@pytest.mark.parametrize("told", ["", " ", "\n", "a\nb", "\u200b", "t\u00f8ken", None, 7, {}, ["token"], "x" * 40_000])
def test_what_is_no_refresh_token_replaces_none(told: Any) -> None:
    body = json.dumps({"access_token": "access", "refresh_token": told}).encode()
    assert answered(body, 200).refresh_token is None


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_client", "unauthorized_client", "access_denied"])
@pytest.mark.parametrize("status", [200, 400, 401, 403])
def test_oauth_error_is_refusal_whatever_its_status(code: str, status: int) -> None:
    with pytest.raises(TokenRejectedError, match=f"{status} {code}"):
        answered(json.dumps({"error": code, "error_description": "the token hunter2"}).encode(), status)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("3600", 3600),
        ('"3600"', 3600),
        ("3600.5", 3600.5),
        ("1" * 400, 3600),
        ("1" * 5000, 3600),
        ("-1", 3600),
        ("0", 3600),
        ('"NaN"', 3600),
        ("NaN", None),
        ('"inf"', 86_400),
        ("1e400", 3600),
        ("1e30", 86_400),
        ("true", 3600),
        ("null", 3600),
        ("[3600]", 3600),
        ('"an hour"', 3600),
        ("[" * 9 + "]" * 9, 3600),
        ("[" * 100_000, None),
    ],
)
def test_lifetime_is_always_one_that_can_be_true(told: str, seconds: float | None) -> None:
    body = f'{{"access_token": "abc", "expires_in": {told}}}'.encode()
    if seconds is None:
        with pytest.raises(TransientApiError):
            answered(body)
    else:
        assert answered(body).lifetime_seconds == seconds


@given(
    scopes=st.lists(st.sampled_from(SCOPES), min_size=1, unique=True),
    joint=st.sampled_from([" ", ",", ", ", "+", "%20", ";", "  ", "\n", " , ", "|", "%2C"]),
    form=st.sampled_from(["text", "list", "list in a text", "upper", "percent", "quotes"]),
)
def test_scopes_are_read_in_any_form(scopes: list[str], joint: str, form: str) -> None:
    told: Any = joint.join(scopes)
    match form:
        case "list":
            told = scopes
        case "list in a text":
            told = json.dumps(scopes)
        case "upper":
            told = joint.join(scopes).upper().replace("%2C", ",")
        case "percent":
            told = joint.join(scope.replace(":", "%3A") for scope in scopes)
        case "quotes":
            told = joint.join(f'"{scope}"' for scope in scopes)
    assert answered(json.dumps({"access_token": "abc", "scope": told}).encode()).scopes == frozenset(scopes)


@pytest.mark.parametrize("told", [None, "", "  ", [], {}, 7, True, "[1, 2]", "[broken"])
def test_scopes_that_cannot_be_read_are_unknown(told: Any) -> None:
    assert answered(json.dumps({"access_token": "abc", "scope": told}).encode()).scopes is None


def test_scopes_of_the_command_line() -> None:
    assert scopes_in("employee:read, ssn:read,birthdate:read shift:read") == [
        "employee:read",
        "ssn:read",
        "birthdate:read",
        "shift:read",
    ]


@pytest.mark.parametrize(
    "told",
    [
        "employee:read,ssn:read,birthdate:read",
        ["employee:read", "ssn:read", "birthdate:read"],
        "employee read ssn read",
        "EmployeeRead SsnRead",
        "all",
        "",
    ],
)
def test_sensitive_columns_are_read_however_scopes_are_told(make: Make, told: Any) -> None:
    planday = make()
    planday.edit_config("defaults:", "privacy: {sensitive: keep}\ndefaults:")
    for app in planday.sandbox.apps.values():
        app.scopes |= {"ssn:read", "birthdate:read"}

    def retold(_: Any, __: int, ___: Any) -> Response:
        token = planday.sandbox.access_token(next(iter(planday.sandbox.apps)), "oslo")
        return as_json({"access_token": token, "scope": told})

    planday.sandbox.faults.append(Fault("/connect/token", retold, times=None))
    planday.refresh("hr.employees")
    true = {row["id"]: row.get("ssn") for row in planday.sandbox.portals["oslo"].employees}
    read = {row["id"]: row["ssn"] for row in planday.rows("hr.employees")}
    assert any(read.values())
    assert read == true


def told_scopes(planday: Installation, told: Any, has: set[str]) -> None:
    """Keep sensitive columns, give the app some scopes, and have token answers tell something else."""
    planday.edit_config("defaults:", "privacy: {sensitive: keep}\ndefaults:")
    app = next(app for app in planday.sandbox.apps.values() if "oslo" in app.refresh_tokens)
    app.scopes |= has

    def retold(_: Any, __: int, ___: Any) -> Response:
        return as_json({"access_token": planday.sandbox.access_token(app.client_id, "oslo"), "scope": told})

    planday.sandbox.faults.append(Fault("/connect/token", retold, times=None))


@pytest.mark.parametrize(
    "told",
    [
        "{birthdate:read,employee:read,ssn:read}",
        "employee:read, birthdate:read, ssn:read.",
        "employee:read \u200bssn:read \ufeffbirthdate:read",
        "employee:read \u201cssn:read\u201d",
        "employee:read ssn.read birthdate_read",
        "employee:read/ssn:read employee:read",
        "employee:read",
        ["employee:read", {"name": "ssn:read"}, ["birthdate:read"]],
        "employee:read offline_access employee:read",
    ],
)
def test_a_list_of_scopes_takes_no_column_away(make: Make, told: Any) -> None:
    planday = make()
    told_scopes(planday, told, {"ssn:read", "birthdate:read", "bankaccount:read"})
    (report,) = planday.refresh("hr.employees")
    true = {row["id"]: row.get("ssn") for row in planday.sandbox.portals["oslo"].employees}
    assert {row["id"]: row["ssn"] for row in planday.rows("hr.employees")} == true
    assert any(row["birth_date"] for row in planday.rows("hr.employees"))
    assert report.warnings == ()


def test_scope_that_is_listed_and_refused_is_reported(make: Make) -> None:
    planday = make()
    told_scopes(planday, "employee:read ssn:read unheard:of SSN:READ", {"birthdate:read", "bankaccount:read"})
    (report,) = planday.refresh("hr.employees")
    assert len(planday.rows("hr.employees")) == report.rows > 0
    assert report.warnings == (
        "hr.employees: NULL although the policy wants them: ssn, because the API refuses them, although the app has scope "
        "ssn:read: the administrator who authorized it may not see them",
    )


def test_page_in_way_takes_no_column_away(make: Make) -> None:
    planday = make()
    told_scopes(planday, "employee:read ssn:read", {"ssn:read", "birthdate:read", "bankaccount:read"})
    planday.refresh("hr.employees")
    before = planday.bytes_of("hr.employees")
    planday.sandbox.faults.append(Fault("/hr/v1.0/employees", lambda *_: HTMLResponse("<p>Blocked", 403), times=1))
    with pytest.raises(PageForbiddenError, match="a proxy or a firewall may have refused it"):
        planday.refresh("hr.employees", full=True)
    assert planday.bytes_of("hr.employees") == before


def test_a_scope_that_is_lacking_is_reported(make: Make) -> None:
    planday = make(sends_scope=True)
    planday.edit_config("defaults:", "privacy: {sensitive: keep}\ndefaults:")
    (report,) = planday.refresh("hr.employees")
    (why,) = [warning for warning in report.warnings if "ssn:read" in warning]
    assert why == "hr.employees: NULL although the policy wants them: ssn, because the app lacks scope ssn:read"


def test_a_member_that_comes_for_nobody_is_reported(make: Make) -> None:
    planday = make()
    told_scopes(planday, "employee:read ssn:read", {"ssn:read", "birthdate:read", "bankaccount:read"})
    for row in planday.sandbox.portals["oslo"].employees:
        del row["ssn"]
    (report,) = planday.refresh("hr.employees")
    (why,) = report.warnings
    assert why.startswith(f"hr.employees: ssn came for none of {report.rows} rows")
    assert "lacks scope ssn:read" in why


@pytest.mark.parametrize("status", [200, 400, 401])
def test_login_page_in_way_is_tried_again(planday: Installation, status: int) -> None:
    planday.refresh("hr.departments")
    page = Response(b"<html>Log in to the guest network</html>", status, media_type="text/html")
    planday.sandbox.faults.append(Fault("/connect/token", lambda *_: page, times=2))
    assert planday.refresh("hr.departments")[0].rows == 2
    planday.sandbox.faults.append(Fault("/connect/token", lambda *_: page, times=None))
    assert "the answer is text/html, which an identity server does not send" in refused(planday, TransientApiError)


def test_page_in_way_of_revocation_removes_nothing(planday: Installation) -> None:
    token = planday.folder / "tokens/oslo.txt"
    page = Response(b"<html>Log in to the guest network</html>", media_type="text/html")
    planday.sandbox.faults.append(Fault("/connect/", lambda *_: page, times=None))
    with pytest.raises(PlandayError):
        authorize.revoke(planday.installation, "oslo")
    assert token.exists()
    planday.sandbox.faults.clear()
    planday.serve(Route("/connect/revocation", lambda _: page, methods=["POST"]))
    with pytest.raises(TokenError, match="still works"):
        authorize.revoke(planday.installation, "oslo")
    assert token.exists()


@pytest.mark.parametrize("told", [b"<html>", b'{"code_challenge_methods_supported": "S256"}', b"[" * 100_000, b"\xff"])
def test_discovery_that_is_none_offers_nothing(planday: Installation, told: bytes) -> None:
    planday.sandbox.faults.append(Fault("/.well-known", lambda *_: Response(told), times=None))
    shown: list[str] = []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/callback"
    with pytest.raises(TokenError, match="no answer within 0 s"):
        authorize.authorize(planday.installation, "oslo", show=shown.append, redirect_url=url, seconds=0)
    assert "code_challenge" not in shown[0]
