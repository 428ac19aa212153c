"""The ASGI app: identity server and API on one port. Faults and edits are switched on through the `Sandbox` value.

Facts: sections 2, 3, 5, 6, 8 and 9 of the API reference. Unkind where they are unkind: both headers required, a scope
missing is 403, a limit beyond the maximum is 400, null members are left out, lists are in no order.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from planday_io.sandbox.limits import Limits
from planday_io.sandbox.world import ALL_SCOPES, SENSITIVE_SCOPES, Json, Portal, demo_portals

Handler = Callable[["Sandbox", Portal, Request], Any]


@dataclass(slots=True)
class App:
    """An app of Planday: its client id, its scopes, and the refresh token of each portal that authorized it."""

    client_id: str
    scopes: frozenset[str]
    refresh_tokens: dict[str, str]


@dataclass(slots=True)
class Fault:
    """Something that goes wrong with answers to some paths.

    Args:
        path: part of the path it concerns.
        respond: what is sent instead; given the true answer (status, document), it returns a Response, or None to
            send the true one.
        times: how often; None is for ever.
        after: how many answers are let through first.
    """

    path: str
    respond: Callable[[Request, int, Any], Response | None]
    times: int | None = 1
    after: int = 0


@dataclass(slots=True)
class Sandbox:
    """State of one local Planday.

    Args:
        portals: by key.
        apps: by client id.
        limits: rate limits.
        token_seconds: lifetime of access tokens.
        sends_expires_in, sends_scope, rotates: what token answers hold, all three undocumented.
    """

    portals: dict[str, Portal]
    apps: dict[str, App]
    limits: Limits = field(default_factory=Limits)
    token_seconds: float = 3600.0
    sends_expires_in: bool = True
    sends_scope: bool = False
    rotates: bool = False
    faults: list[Fault] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    queries: list[str] = field(default_factory=list)
    exchanges: int = 0
    page_size: int = 50
    _access: dict[str, tuple[str, str, float]] = field(default_factory=dict)

    def access_token(self, client_id: str, portal: str) -> str:
        """Issue an access token."""
        token = f"at-{secrets.token_urlsafe(24)}"
        self._access[token] = (client_id, portal, time.monotonic() + self.token_seconds)
        return token

    def expire_access_tokens(self) -> None:
        """Make every access token worthless, as an hour does."""
        self._access.clear()

    def revoke(self, portal: str) -> None:
        """Withdraw the access of every app to a portal."""
        for app in self.apps.values():
            app.refresh_tokens.pop(portal, None)
        self._access = {token: held for token, held in self._access.items() if held[1] != portal}

    def bearer(self, request: Request) -> tuple[App, Portal] | None:
        """App and portal behind a request's two headers, or None."""
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        client_id, portal, expires = self._access.get(token, ("", "", 0.0))
        if not client_id or request.headers.get("x-clientid") != client_id or time.monotonic() > expires:
            return None
        return self.apps[client_id], self.portals[portal]


def demo_sandbox(**settings: Any) -> Sandbox:  # noqa: ANN401 - passed on to Sandbox
    """The three demo portals: oslo and copenhagen authorized one app, london another."""
    portals = settings.pop("portals", None) or demo_portals()
    scopes = ALL_SCOPES - SENSITIVE_SCOPES
    first = App("11111111-aaaa-4bbb-8ccc-000000000001", scopes, {})
    second = App("22222222-aaaa-4bbb-8ccc-000000000002", scopes, {})
    for n, key in enumerate(portals):
        app = second if key == "london" else first
        app.refresh_tokens[key] = f"demo-refresh-token-{n}-{key}"
    return Sandbox(portals=portals, apps={app.client_id: app for app in (first, second)}, **settings)


def asgi_app(sandbox: Sandbox, more: list[Route] | None = None) -> Starlette:
    """The app that serves a sandbox; `more` routes come first and may be added to later."""
    routes = [
        Route("/connect/token", _identity(sandbox, _token), methods=["POST"]),
        Route("/connect/revocation", _identity(sandbox, _revocation), methods=["POST"]),
        *(Route(path, _api(sandbox, scope, handler)) for path, scope, handler in _ENDPOINTS),
    ]
    return Starlette(routes=[_Live([] if more is None else more), *routes])


class _Live(BaseRoute):
    """Routes that may be added to while the app is served."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """The first full match among the routes there are now."""
        for route in self._routes:
            match, child = route.matches(scope)
            if match is Match.FULL:
                scope["live"] = route
                return match, child
        return Match.NONE, {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the matching route answer."""
        await scope["live"].handle(scope, receive, send)


def _identity(sandbox: Sandbox, handler: Callable[[Sandbox, dict[str, str]], Response]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        form = {key: str(value) for key, value in (await request.form()).items()}
        answer = handler(sandbox, form)
        return _faulty(sandbox, request, answer.status_code, None) or answer

    return endpoint


def _token(sandbox: Sandbox, form: dict[str, str]) -> Response:
    sandbox.exchanges += 1
    app = sandbox.apps.get(form.get("client_id", ""))
    if app is None:
        return JSONResponse({"error": "invalid_client"}, 400)
    if form.get("grant_type") != "refresh_token":
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    held = {token: portal for portal, token in app.refresh_tokens.items()}
    portal = held.get(form.get("refresh_token", ""))
    if portal is None:
        return JSONResponse({"error": "invalid_grant"}, 400)
    answer: Json = {"access_token": sandbox.access_token(app.client_id, portal), "token_type": "Bearer"}
    if sandbox.sends_expires_in:
        answer["expires_in"] = int(sandbox.token_seconds)
    if sandbox.sends_scope:
        answer["scope"] = " ".join(sorted(app.scopes))
    if sandbox.rotates:
        answer["refresh_token"] = app.refresh_tokens[portal] = f"rotated-{secrets.token_urlsafe(24)}"
    return JSONResponse(answer)


def _revocation(sandbox: Sandbox, form: dict[str, str]) -> Response:
    app = sandbox.apps.get(form.get("client_id", ""))
    portal = next((p for p, t in (app.refresh_tokens.items() if app else ()) if t == form.get("token")), None)
    if portal is None:
        return JSONResponse({"error": "invalid_request"}, 400)
    sandbox.revoke(portal)
    return Response(status_code=200)


def _api(sandbox: Sandbox, scope: str | None, handler: Handler) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        bearer = sandbox.bearer(request)
        if bearer is None:
            return Response(status_code=401)
        app, portal = bearer
        verdict = sandbox.limits.count(portal.key, app.client_id)
        if not verdict.passes:
            return Response(status_code=429, headers=verdict.headers)
        sandbox.requests[f"{portal.key} {request.url.path}"] += 1
        sandbox.queries.append(request.url.query)
        status, document = _answer(sandbox, app, portal, request, scope, handler)
        faulty = _faulty(sandbox, request, status, document)
        response = faulty or JSONResponse(document, status, media_type="application/json")
        response.headers.update(verdict.headers)
        return response

    return endpoint


def _answer(
    sandbox: Sandbox, app: App, portal: Portal, request: Request, scope: str | None, handler: Handler
) -> tuple[int, Any]:
    if scope is not None and scope not in app.scopes:
        return 403, {"title": "Forbidden", "status": 403}
    special = {"Ssn": "ssn:read", "BankAccount": "bankaccount:read", "BirthDate": "birthdate:read"}
    asked = [value for text in request.query_params.getlist("special") for value in text.split(",") if value]
    if any(value not in special for value in asked):
        return 400, _problem("special")
    if any(special[value] not in app.scopes for value in asked):
        return 403, {"title": "Forbidden", "status": 403}
    try:
        return 200, handler(sandbox, portal, request)
    except _RefusedError as refused:
        return refused.status, _problem(refused.why)


class _RefusedError(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


def _problem(why: str) -> Json:
    return {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": f"invalid {why}"}


def _faulty(sandbox: Sandbox, request: Request, status: int, document: Any) -> Response | None:  # noqa: ANN401
    for fault in list(sandbox.faults):
        if fault.path not in request.url.path:
            continue
        if fault.after > 0:
            fault.after -= 1
            continue
        if fault.times is not None:
            fault.times -= 1
            if fault.times <= 0:
                sandbox.faults.remove(fault)
        if response := fault.respond(request, status, document):
            return response
    return None


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    try:
        return default if text is None else int(text)
    except ValueError:
        raise _RefusedError(400, name) from None


def _paged(sandbox: Sandbox, request: Request, rows: Sequence[Json], largest: int = 50) -> Json:
    limit, offset = _number(request, "limit", largest), _number(request, "offset", 0)
    if not 1 <= limit <= largest or offset < 0:
        raise _RefusedError(400, "limit")
    limit = min(limit, sandbox.page_size)
    page = [_sent(row) for row in rows[offset : offset + limit]]
    return {"paging": {"offset": offset, "limit": limit, "total": len(rows)}, "data": page}


def _sent(row: Json) -> Json:
    """Null members are left out, as on live portals."""
    return {key: _sent(value) if isinstance(value, dict) else value for key, value in row.items() if value is not None}


def _person(row: Json, request: Request) -> Json:
    asked = {value for text in request.query_params.getlist("special") for value in text.split(",")}
    hidden = {"Ssn": "ssn", "BankAccount": "bankAccount", "BirthDate": "birthDate"}
    left_out = {member for value, member in hidden.items() if value not in asked}
    return {key: value for key, value in row.items() if key not in left_out}


def _changed(rows: Sequence[Json], request: Request, **filters: str) -> list[Json]:
    kept = list(rows)
    for param, member in {"modifiedFrom": "dateTimeModified", "createdFrom": "dateTimeCreated", **filters}.items():
        if since := request.query_params.get(param):
            kept = [row for row in kept if (row.get(member) or "") > since]
    return kept


def _employees(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    return _paged(sandbox, request, [_person(row, request) for row in _changed(portal.employees, request)])


def _deactivated(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    rows = _changed(portal.deactivated, request, deactivatedFrom="dateTimeDeleted")
    return _paged(sandbox, request, [_person(row, request) for row in rows])


def _active(portal: Portal, request: Request) -> int:
    number = int(request.path_params["employee_id"])
    if all(row["id"] != number for row in portal.employees):
        raise _RefusedError(400, "employee id")
    return number


def _details(_: Sandbox, portal: Portal, request: Request) -> Json:
    return {"data": _sent(_person(portal.details[_active(portal, request)], request))}


def _history(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    log = portal.history.get(_active(portal, request), [])
    since = request.query_params.get("startDateTime", "")
    return _paged(sandbox, request, [entry for entry in log if entry["modificationDateTime"] >= since])


def _members(kind: str) -> Handler:
    def handler(_: Sandbox, portal: Portal, request: Request) -> Json:
        number = int(request.path_params["id"])
        return {"data": [{"employeeId": row["id"]} for row in portal.employees if number in (row.get(kind) or [])]}

    return handler


def _list(name: str) -> Handler:
    return lambda sandbox, portal, request: _paged(sandbox, request, getattr(portal, name))


def _one(name: str) -> Handler:
    def handler(_: Sandbox, portal: Portal, request: Request) -> Json:
        for row in getattr(portal, name):
            if row["id"] == int(request.path_params["id"]):
                return {"data": _sent(row)}
        raise _RefusedError(404, "id")

    return handler


_ENDPOINTS: tuple[tuple[str, str | None, Handler], ...] = (
    ("/portal/v1.0/info", None, lambda _, portal, __: {"data": _sent(portal.info)}),
    ("/hr/v1.0/departments", "department:read", _list("departments")),
    ("/hr/v1.0/departments/{id:int}", "department:read", _one("departments")),
    ("/hr/v1.0/departments/{id:int}/employees", "employee:read", _members("departments")),
    ("/hr/v1.0/employeegroups", "employeegroup:read", _list("employee_groups")),
    ("/hr/v1.0/employeegroups/{id:int}", "employeegroup:read", _one("employee_groups")),
    ("/hr/v1.0/employeegroups/{id:int}/employees", "employee:read", _members("employeeGroups")),
    ("/hr/v1.0/employeetypes", "employeetype:read", _list("employee_types")),
    ("/hr/v1.0/terminationtypes", None, lambda _, portal, __: {"data": portal.termination_types}),
    ("/hr/v1.0/skills", "skill:read", lambda _, portal, __: [_sent(row) for row in portal.skills]),
    ("/hr/v1.0/employees", "employee:read", _employees),
    ("/hr/v1.0/employees/deactivated", "employee:read", _deactivated),
    ("/hr/v1.0/employees/supervisors", "employee:read", _list("supervisors")),
    (
        "/hr/v1.0/employees/fielddefinitions",
        "employee:read",
        lambda _, portal, __: {"data": portal.field_definitions},
    ),
    ("/hr/v1.0/employees/{employee_id:int}", "employee:read", _details),
    ("/hr/v1.0/employees/{employee_id:int}/history", "employee:history", _history),
)


def as_json(document: Any, status: int = 200) -> Response:  # noqa: ANN401
    """A JSON answer, for faults."""
    return Response(json.dumps(document), status, media_type="application/json")
