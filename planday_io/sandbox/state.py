"""The state of a local Planday: portals, apps, tokens, faults that are switched on, what was asked."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from planday_io.sandbox.limits import Limits
from planday_io.sandbox.variants import Variants
from planday_io.sandbox.world import ALL_SCOPES, SENSITIVE_SCOPES, Portal, demo_portals


@dataclass(slots=True)
class App:
    """An app of Planday: its client id, its scopes, and the refresh token of each portal that authorized it.

    `redirect_urls` are the addresses (up to three) that the authorization-code flow may lead back to.
    """

    client_id: str
    scopes: frozenset[str]
    refresh_tokens: dict[str, str]
    redirect_urls: tuple[str, ...] = ("http://localhost:8156/callback",)


@dataclass(slots=True)
class Login:
    """An administrator on the way through the login and consent pages, and then the resulting code."""

    client_id: str
    redirect_url: str
    state: str | None
    scopes: frozenset[str]
    challenge: str | None
    challenge_method: str
    portal: str = ""
    expires: float = 0.0


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
        page_size: rows that a page holds at most, where the limit is 50.
        takes_pkce: whether discovery offers PKCE, and it is checked; not documented.
        code_seconds: lifetime of an authorization code.
        children: child portals that a token was exchanged for, by key.
        deactivated: portals whose authorizing administrator was deactivated: tokens are given, calls answer 401.
        variants: how it behaves where the real one is not known.
        lock: held while a request is answered, and while portals change.
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
    queries: Counter[str] = field(default_factory=Counter)
    exchanges: int = 0
    page_size: int = 50
    variants: Variants = field(default_factory=Variants)
    takes_pkce: bool = True
    code_seconds: float = 60.0
    deactivated: set[str] = field(default_factory=set)
    logins: dict[str, Login] = field(default_factory=dict)
    codes: dict[str, Login] = field(default_factory=dict)
    children: dict[str, Portal] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock, repr=False, compare=False)
    _access: dict[str, tuple[str, str, float]] = field(default_factory=dict)

    def access_token(self, client_id: str, portal: str) -> str:
        """Issue an access token."""
        token = f"at-{secrets.token_urlsafe(24)}"
        self._access[token] = (client_id, portal, time.monotonic() + self.token_seconds)
        return token

    def expire_access_tokens(self) -> None:
        """Invalidate every access token, as happens after an hour."""
        self._access.clear()

    def revoke(self, portal: str) -> None:
        """Withdraw the access of every app to a portal."""
        for app in self.apps.values():
            app.refresh_tokens.pop(portal, None)
        self._access = {token: held for token, held in self._access.items() if held[1] != portal}

    def bearer(self, request: Request) -> tuple[App, Portal] | None:
        """App and portal behind a request's two headers, or None."""
        held = self.held(token_of(request))
        return held if held and request.headers.get("x-clientid") == held[0].client_id else None

    def held(self, token: str) -> tuple[App, Portal] | None:
        """App and portal of an access token, or None if it is invalid."""
        client_id, portal, expires = self._access.get(token, ("", "", 0.0))
        if not client_id or time.monotonic() > expires or portal in self.deactivated:
            return None
        return self.apps[client_id], self.portals.get(portal) or self.children[portal]


def token_of(request: Request) -> str:
    """The bearer token of a request, or an empty text."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    return token if kind.lower() == "bearer" else ""


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
