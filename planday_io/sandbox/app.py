"""The ASGI app: identity server and API on one port. Faults and edits are switched on through the `Sandbox` value.

Facts: docs/api-facts.md. It is as strict as those facts: both headers are required, a scope
missing is 403, a limit beyond the maximum is 400, null members are left out, lists are in no order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from planday_io.sandbox import absence, hr, identity, money, work
from planday_io.sandbox.answers import problem
from planday_io.sandbox.endpoint import Asked, Endpoint, RefusedError
from planday_io.sandbox.spelling import Directory, Located, Spelled
from planday_io.sandbox.state import App, Sandbox
from planday_io.sandbox.world import Portal

ENDPOINTS: tuple[Endpoint, ...] = (*hr.ENDPOINTS, *work.ENDPOINTS, *absence.ENDPOINTS, *money.ENDPOINTS)
"""Every GET."""

_DIRECTORY = Directory(ENDPOINTS)


def asgi_app(sandbox: Sandbox, more: list[Route] | None = None) -> Starlette:
    """The app that serves a sandbox; `more` routes come first and may be added to later."""
    routes = [
        *identity.routes(sandbox, lambda request, status: _faulty(sandbox, request, status, None)),
        Route("/{path:path}", _api(sandbox), methods=["GET"]),
    ]
    return Starlette(
        routes=[_Live([] if more is None else more), *routes],
        middleware=[Middleware(Spelled, directory=_DIRECTORY)],
    )


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


def _api(sandbox: Sandbox) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        located: Located | None = request.scope.get("located")
        if located is None:
            return JSONResponse(problem(404), 404)
        bearer = sandbox.bearer(request)
        if bearer is None:
            return Response(status_code=401)
        app, portal = bearer
        decision = sandbox.limits.count(portal.key, app.client_id)
        if not decision.passes:
            also = {"Retry-After": "1"} if sandbox.variants.sends_retry_after else {}
            return Response(status_code=429, headers=decision.headers | also)
        sandbox.requests[f"{portal.key} {request.url.path}"] += 1
        sandbox.queries[f"{portal.key} {request.url.path}?{request.url.query}"] += 1
        # In another thread, or requests that come meanwhile would be counted late, and all at once.
        status, document, plain = await run_in_threadpool(_answered, sandbox, app, portal, request, located)
        response = _faulty(sandbox, request, status, document) or plain
        response.headers.update(decision.headers)
        return response

    return endpoint


def _answered(
    sandbox: Sandbox, app: App, portal: Portal, request: Request, located: Located
) -> tuple[int, Any, Response]:
    """The status and document of an answer, and the answer itself. One at a time: no answer sees half of a change."""
    with sandbox.lock:
        status, document = _answer(sandbox, app, portal, request, located)
        return status, document, Response(status_code=status) if status == 204 else JSONResponse(document, status)


def _answer(sandbox: Sandbox, app: App, portal: Portal, request: Request, located: Located) -> tuple[int, Any]:
    endpoint = located.endpoint
    if endpoint.scope is not None and endpoint.scope not in app.scopes:
        return 403, problem(403)
    try:
        sent = {param.name: param.of(request.query_params.getlist(param.name)) for param in endpoint.all_params}
        values = {name: value for name, value in sent.items() if value is not None}
        return 200, endpoint.answer(Asked(sandbox, app, portal, located.path, located.ids, values))
    except RefusedError as refused:
        return refused.status, problem(refused.status, refused.why) if refused.status >= 400 else None


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


def as_json(document: Any, status: int = 200) -> Response:  # noqa: ANN401
    """A JSON answer, for faults."""
    return Response(json.dumps(document), status, media_type="application/json")
