"""The identity server of the local Planday: tokens, the authorization-code flow with its pages, revocation, discovery, tokens
of child portals, and what a token says of itself.

Facts: docs/api-facts.md#authorization. It is as strict as those facts: a code is valid once and for a minute, a
redirect address has to be one that the app registered, every scope has to be one of the app's, and without
`offline_access` no refresh token comes.
"""

from __future__ import annotations

import base64
import hashlib
import html
import secrets
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from planday_io.sandbox.people import Json
from planday_io.sandbox.state import App, Login, Sandbox, token_of
from planday_io.sandbox.world import ALL_SCOPES, Portal, child_portal

Form = dict[str, str]
_DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_CLAIMS = ("PortalId", "PortalName", "PortalTimeZoneId", "PortalCountryId", "Region", "Roles", "IsSuperUser")
_ALWAYS = frozenset({"openid", "offline_access"})


def routes(sandbox: Sandbox, faulty: Callable[[Request, int], Response | None]) -> list[Route]:
    """The identity server's routes; `faulty` may replace the answer to a form."""

    def form(handler: Callable[[Sandbox, Form], Response]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            values = {key: str(value) for key, value in (await request.form()).items()}
            answer = handler(sandbox, values)
            return faulty(request, answer.status_code) or answer

        return endpoint

    async def authorize(request: Request) -> Response:
        return _authorize(sandbox, {**request.query_params})

    async def userinfo(request: Request) -> Response:
        return faulty(request, 200) or _userinfo(sandbox, request)

    async def discovery(request: Request) -> Response:
        return faulty(request, 200) or _discovery(sandbox, request)

    return [
        Route("/connect/authorize", authorize, methods=["GET"]),
        Route("/connect/authorize/login", form(_login), methods=["POST"]),
        Route("/connect/authorize/consent", form(_consent), methods=["POST"]),
        Route("/connect/token", form(_token), methods=["POST"]),
        Route("/connect/revocation", form(_revocation), methods=["POST"]),
        Route("/connect/introspect", form(_introspection), methods=["POST"]),
        Route("/connect/deviceauthorization", form(_device), methods=["POST"]),
        Route("/connect/userinfo", userinfo, methods=["GET", "POST"]),
        Route("/.well-known/openid-configuration", discovery, methods=["GET"]),
    ]


def _discovery(sandbox: Sandbox, request: Request) -> Response:
    base = str(request.base_url).rstrip("/")
    answer: Json = {
        "issuer": base,
        "authorization_endpoint": f"{base}/connect/authorize",
        "token_endpoint": f"{base}/connect/token",
        "revocation_endpoint": f"{base}/connect/revocation",
        "introspection_endpoint": f"{base}/connect/introspect",
        "userinfo_endpoint": f"{base}/connect/userinfo",
        "device_authorization_endpoint": f"{base}/connect/deviceauthorization",
        "scopes_supported": sorted(ALL_SCOPES | _ALWAYS),
        "claims_supported": ["sub", *_CLAIMS],
        "grant_types_supported": ["authorization_code", "refresh_token", _DEVICE_CODE, "token_exchange"],
    }
    if sandbox.takes_pkce:
        answer["code_challenge_methods_supported"] = ["plain", "S256"]
    return JSONResponse(answer)


def _authorize(sandbox: Sandbox, query: Form) -> Response:
    app = sandbox.apps.get(query.get("client_id", ""))
    redirect = query.get("redirect_uri", "")
    if app is None or redirect not in app.redirect_urls:
        # Never redirect to an address nobody registered.
        return _page("This cannot be authorized", "<p>Unknown app, or a redirect address it did not register.</p>", 400)
    state = query.get("state")
    if query.get("response_type") != "code":
        return _back(redirect, state, error="unsupported_response_type")
    asked = frozenset(query.get("scope", "").split())
    if not asked or asked - app.scopes - _ALWAYS:
        return _back(redirect, state, error="invalid_scope")
    key = secrets.token_urlsafe(16)
    sandbox.logins[key] = Login(
        client_id=app.client_id,
        redirect_url=redirect,
        state=state,
        scopes=asked,
        challenge=query.get("code_challenge") if sandbox.takes_pkce else None,
        challenge_method=query.get("code_challenge_method", "plain"),
    )
    portals = "".join(f"<option>{html.escape(portal)}</option>" for portal in sandbox.portals)
    return _page(
        "Log in to Planday",
        f"<form method=post action=/connect/authorize/login><input type=hidden name=key value={key}>"
        f"<label>Portal <select name=portal id=portal>{portals}</select></label> "
        "<label>Administrator <input name=administrator value=admin></label> "
        "<button id=login>Log in</button></form>",
    )


def _login(sandbox: Sandbox, form: Form) -> Response:
    login = sandbox.logins.get(form.get("key", ""))
    portal = form.get("portal", "")
    if login is None:
        return _page("This login has expired", "<p>Begin again.</p>", 400)
    if portal not in sandbox.portals:
        return _page("There is no such portal", f"<p>There are {html.escape(', '.join(sandbox.portals))}.</p>", 400)
    login.portal = portal
    scopes = "".join(f"<li>{html.escape(scope)}</li>" for scope in sorted(login.scopes))
    return _page(
        f"Give an app access to {html.escape(portal)}",
        f"<p>App {html.escape(login.client_id)} wants to:</p><ul>{scopes}</ul>"
        "<form method=post action=/connect/authorize/consent>"
        f"<input type=hidden name=key value={html.escape(form['key'])}>"
        "<button id=approve name=decision value=approve>Authorize</button> "
        "<button id=deny name=decision value=deny>Deny</button></form>",
    )


def _consent(sandbox: Sandbox, form: Form) -> Response:
    login = sandbox.logins.pop(form.get("key", ""), None)
    if login is None or not login.portal:
        return _page("This login has expired", "<p>Begin again.</p>", 400)
    if form.get("decision") != "approve":
        return _back(login.redirect_url, login.state, error="access_denied")
    code = secrets.token_urlsafe(24)
    login.expires = time.monotonic() + sandbox.code_seconds
    sandbox.codes[code] = login
    return _back(login.redirect_url, login.state, code=code)


def _back(redirect: str, state: str | None, **answer: str) -> Response:
    values = {**answer, **({"state": state} if state is not None else {})}
    return RedirectResponse(f"{redirect}{'&' if '?' in redirect else '?'}{urlencode(values)}", 302)


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(
        f"<!doctype html><meta charset=utf-8><title>{title}</title><body style='font: 16px sans-serif; margin: 3em'>"
        f"<h1>{title}</h1>{body}",
        status,
    )


def _token(sandbox: Sandbox, form: Form) -> Response:
    sandbox.exchanges += 1
    app = sandbox.apps.get(form.get("client_id", ""))
    if app is None:
        return JSONResponse({"error": "invalid_client"}, 400)
    if form.get("grant_type") == "authorization_code":
        return _redeem(sandbox, app, form)
    if form.get("grant_type") == "token_exchange":
        return _exchange(sandbox, app, form)
    if form.get("grant_type") != "refresh_token":
        return JSONResponse({"error": "unsupported_grant_type"}, 400)
    held = {token: portal for portal, token in app.refresh_tokens.items()}
    portal = held.get(form.get("refresh_token", ""))
    if portal is None:
        return JSONResponse({"error": "invalid_grant"}, 400)
    answer = _access(sandbox, app, portal)
    if sandbox.rotates:
        answer["refresh_token"] = app.refresh_tokens[portal] = f"rotated-{secrets.token_urlsafe(24)}"
    return JSONResponse(answer)


def _exchange(sandbox: Sandbox, app: App, form: Form) -> Response:
    """A token of a child portal for one of its parent's; seen in one client, documented nowhere."""
    held = sandbox.held(form.get("subject_token", ""))
    if form.get("subject_token_type") != "openapi:access_token" or held is None or held[0] is not app:
        return JSONResponse({"error": "invalid_request"}, 400)
    children = {str(child["id"]): child for child in held[1].info.get("portals") or []}
    child = children.get(form.get("resource", ""))
    if child is None:
        return JSONResponse({"error": "invalid_target"}, 400)
    key = f"{held[1].key}-{child['id']}"
    if key not in sandbox.children:
        sandbox.children[key] = child_portal(key, held[1], child)
    return JSONResponse(_access(sandbox, app, key))


def _userinfo(sandbox: Sandbox, request: Request) -> Response:
    held = sandbox.held(token_of(request))
    if held is None:
        return Response(status_code=401)
    return JSONResponse({"sub": "1000", **_claims(held[1])})


def _introspection(sandbox: Sandbox, form: Form) -> Response:
    if form.get("client_id") not in sandbox.apps:
        return Response(status_code=401)
    held = sandbox.held(form.get("token", ""))
    if held is None or held[0].client_id != form.get("client_id"):
        return JSONResponse({"active": False})
    scope = " ".join(sorted(held[0].scopes))
    return JSONResponse({"active": True, "client_id": held[0].client_id, "scope": scope, **_claims(held[1])})


def _device(sandbox: Sandbox, form: Form) -> Response:
    """Apps of portals have no devices."""
    return JSONResponse(
        {"error": "unauthorized_client" if form.get("client_id") in sandbox.apps else "invalid_client"}, 400
    )


def _claims(portal: Portal) -> Json:
    zone, country = portal.info["timeZone"], portal.info["country"]
    values = (portal.info["id"], portal.info["name"], zone, country, "EU", "Administrator", False)
    return dict(zip(_CLAIMS, values, strict=True))


def _access(sandbox: Sandbox, app: App, portal: str) -> Json:
    answer: Json = {"access_token": sandbox.access_token(app.client_id, portal), "token_type": "Bearer"}
    if sandbox.sends_expires_in:
        answer["expires_in"] = int(sandbox.token_seconds)
    if sandbox.sends_scope:
        answer["scope"] = " ".join(sorted(app.scopes))
    return answer


def _redeem(sandbox: Sandbox, app: App, form: Form) -> Response:
    login = sandbox.codes.pop(form.get("code", ""), None)
    if (
        login is None
        or login.client_id != app.client_id
        or login.redirect_url != form.get("redirect_uri")
        or time.monotonic() > login.expires
        or not _is_proof(login, form.get("code_verifier"))
    ):
        return JSONResponse({"error": "invalid_grant"}, 400)
    answer = _access(sandbox, app, login.portal) | {"expires_in": int(sandbox.token_seconds)}
    answer |= {"scope": " ".join(sorted(login.scopes)), "id_token": f"{secrets.token_urlsafe(8)}.e30."}
    if "offline_access" in login.scopes:
        sandbox.deactivated.discard(login.portal)
        answer["refresh_token"] = app.refresh_tokens[login.portal] = f"granted-{secrets.token_urlsafe(24)}"
    return JSONResponse(answer)


def _is_proof(login: Login, verifier: str | None) -> bool:
    if login.challenge is None:
        return True
    if verifier is None or login.challenge_method == "plain":
        return verifier == login.challenge
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == login.challenge


def _revocation(sandbox: Sandbox, form: Form) -> Response:
    app = sandbox.apps.get(form.get("client_id", ""))
    portal = next((p for p, t in (app.refresh_tokens.items() if app else ()) if t == form.get("token")), None)
    if portal is None:
        return JSONResponse({"error": "invalid_request"}, 400)
    sandbox.revoke(portal)
    return Response(status_code=200)
