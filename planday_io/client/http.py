"""One portal's HTTP client: both headers, the shared budget, bounded retries, typed errors, counts.

The only place where a request is repeated. How a list is paged is `planday_io.reading.pages`; what is read is the
catalogue.

stamina drives the retries (exponential waits with jitter, a server's own hint where it gives one); httpx's own retries
cover connecting only. httpx's `Auth` is not used, because the second try after a 401 must take its place in the budget
like every other request.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, Self
from urllib.parse import quote, urlsplit

import httpx
import msgspec
import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from planday_io.addresses import is_loopback
from planday_io.client.budget import Budget, parse_policy
from planday_io.client.tokens import AccessToken, TokenSource
from planday_io.errors import (
    AccessRevokedError,
    ApiError,
    BadRequestError,
    BrokenBodyError,
    ConfigError,
    ConnectionFailedError,
    MissingScopeError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TransientApiError,
    UnexpectedStatusError,
)

_LOG = logging.getLogger(__name__)
_LONGEST_HINT_SECONDS = 120.0
"""A wait that the server asks for is honoured up to here; a longer one is left to the step's retry."""
_DEFAULT_RESET_SECONDS = 5.0

NONE = object()
"""What `get` returns for a status that the caller declared to mean "there is none"."""


class Answer(NamedTuple):
    """An answer of the API, read to its end."""

    status: int
    headers: httpx.Headers
    content: bytes


@dataclass(slots=True)
class Counters:
    """What reading cost. `throttled_seconds` is time spent waiting for the budget, summed over requests."""

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    throttled_seconds: float = 0.0

    def add(self, other: Counters) -> None:
        """Count another read's cost as well."""
        self.requests += other.requests
        self.retries += other.retries
        self.bytes += other.bytes
        self.throttled_seconds += other.throttled_seconds


def timeout_of(seconds: float) -> httpx.Timeout:
    """How long one answer may take; connecting a quarter of it. Waiting for a connection of the pool is not limited."""
    return httpx.Timeout(seconds, connect=max(1.0, seconds / 4), pool=None)


@functools.cache
def trusted(*, trust_env: bool) -> ssl.SSLContext:
    """What httpx trusts by itself, loaded once per process: it takes as long as a request, and each client would do it.

    Raises:
        ConfigError: it cannot be loaded.
    """
    try:
        return httpx.create_ssl_context(trust_env=trust_env)
    except OSError as error:
        raise ConfigError(
            f"the certificates to trust cannot be loaded ({error.strerror or error}): check SSL_CERT_FILE and SSL_CERT_DIR "
            "in the environment of this process"
        ) from None


class PortalClient:
    """Calls the API as one portal. Use as an async context manager, within one event loop.

    Args:
        portal: config key.
        api_url: base address of the API.
        tokens: access tokens; may be shared by clients one after the other.
        budget: the shared request budget.
        tries: of one request, the first included.
        timeout_seconds: that one answer may take.

    Proxies and CA bundles come from the usual environment variables, except for an API on this machine.
    """

    def __init__(
        self,
        *,
        portal: str,
        api_url: str,
        tokens: TokenSource,
        budget: Budget,
        tries: int = 5,
        timeout_seconds: float = 60.0,
    ) -> None:
        self.portal = portal
        self.tokens = tokens
        self.budget = budget
        self._api_url = api_url
        self._tries = tries
        self._timeout = timeout_of(timeout_seconds)
        self._decoder = msgspec.json.Decoder(float_hook=Decimal)

    async def __aenter__(self) -> Self:
        set_on_retry_hooks([_tell_retry])
        trust_env = not is_loopback(self._api_url)
        self._http = httpx.AsyncClient(
            verify=trusted(trust_env=trust_env),
            timeout=self._timeout,
            trust_env=trust_env,
            headers={"Accept": "application/json"},
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=32),
        )
        # asyncio's locks belong to the loop they are first used in, so they live as long as the client.
        self._turn = asyncio.Lock()
        self._renewing = asyncio.Lock()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def get(
        self,
        path: str,
        *,
        counters: Counters,
        holes: Mapping[str, object] | None = None,
        params: Sequence[tuple[str, str]] = (),
        scope: str | None = None,
        none_statuses: Sequence[int] = (),
        decode: Callable[[bytes], Any] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON enters here
        """GET one JSON document. Numbers with a fraction are Decimals.

        Args:
            path: template, such as `/hr/v1.0/employees/{employee_id}`.
            counters: added to.
            holes: values of the template's holes.
            params: query parameters.
            scope: the scope this takes, for the error when it is missing.
            none_statuses: statuses that mean there is none; then `NONE` is returned.
            decode: reads the body; raises msgspec.DecodeError or UnicodeDecodeError where it is no JSON.

        Raises:
            ApiError: the answer is no use, after the retries that make sense.
            TokenError: no access token is to be had, or the API refuses a brand new one.
            SecretError: a configured secret is missing.
        """
        url = self._api_url + path.format_map({key: quote(str(value), safe="") for key, value in (holes or {}).items()})
        async for attempt in self._attempts():
            with attempt:
                counters.retries += attempt.num > 1
                answer = await self._send(url, path, params, counters)
                return self._read(answer, path, scope, none_statuses, decode or self._decoder.decode)
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def authorize(self) -> AccessToken:
        """An access token, exchanged when there is no fresh one. See `get` for what it raises."""
        async with self._renewing:
            if token := self.tokens.usable():
                return token
            async for attempt in self._attempts():
                with attempt:
                    # In a thread: it waits for a file lock and for the identity server.
                    return await asyncio.to_thread(self.tokens.exchange, self.post_form)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _attempts(self) -> AsyncIterator[stamina.Attempt]:
        return stamina.retry_context(
            on=_backoff, attempts=self._tries, timeout=None, wait_initial=0.5, wait_max=30.0, wait_jitter=1.0
        ).__aiter__()

    def post_form(self, url: str, form: dict[str, str]) -> httpx.Response:
        """POST to the identity server, once. Its limits are unknown, so it has no budget; `authorize` retries 429 and 5xx."""
        path = urlsplit(url).path
        about: dict[str, Any] = {"method": "POST", "path": path, "portal": self.portal}
        trust_env = not is_loopback(url)
        with httpx.Client(verify=trusted(trust_env=trust_env), timeout=self._timeout, trust_env=trust_env) as http:
            try:
                response = http.post(url, data=form)
            except httpx.TransportError as error:
                raise ConnectionFailedError(_explain(error, "identity_url"), **about) from None
        if response.status_code == 429:
            raise RateLimitedError(
                "the identity server asks to slow down", status=429, wait_seconds=_hint(response.headers), **about
            )
        if response.status_code >= 500:
            raise ServerError("the identity server has a fault", status=response.status_code, **about)
        return response

    async def _send(self, url: str, path: str, params: Sequence[tuple[str, str]], counters: Counters) -> Answer:
        token = await self.authorize()
        answer = await self._send_as(token, url, path, params, counters)
        if answer.status != 401:
            return answer
        self.tokens.discard(token)
        token = await self.authorize()
        answer = await self._send_as(token, url, path, params, counters)
        if answer.status == 401:
            raise AccessRevokedError(
                f"GET {path} (portal '{self.portal}') answered 401 to a brand new access token: the administrator who "
                "authorized the app was deactivated, or the app was revoked. Another administrator authorizes the app "
                "under Settings > Integrations > API Access and puts the new token where portals.yaml reads it"
            )
        return answer

    async def _send_as(
        self, token: AccessToken, url: str, path: str, params: Sequence[tuple[str, str]], counters: Counters
    ) -> Answer:
        headers = {"Authorization": f"Bearer {token.value}", "X-ClientId": self.tokens.client_id()}
        about: dict[str, Any] = {"method": "GET", "path": path, "portal": self.portal}
        async with self._place(counters) as booked_at:
            counters.requests += 1
            try:
                answer = await self._read_all(url, params, headers, booked_at)
            except httpx.TransportError as error:
                raise ConnectionFailedError(_explain(error, "api_url"), **about) from None
            except httpx.DecodingError:
                raise BrokenBodyError("the compressed body is damaged", **about) from None
        counters.bytes += len(answer.content)
        self.budget.learn(answer.headers)
        if answer.status == 429:
            closest, _ = parse_policy(answer.headers.get("x-ratelimit-limit", ""))
            hint = _hint(answer.headers)
            self.budget.hold(hint if hint is not None else _DEFAULT_RESET_SECONDS, closest)
            raise RateLimitedError("too many requests", status=429, wait_seconds=hint, **about)
        return answer

    async def _read_all(
        self, url: str, params: Sequence[tuple[str, str]], headers: dict[str, str], booked_at: float
    ) -> Answer:
        async def trace(event: str, _: object) -> None:
            nonlocal booked_at
            # Behind a proxy it comes twice, first for the tunnel.
            if event == "http11.send_request_headers.complete":
                booked_at = self.budget.went_out(booked_at)

        # Read as a stream: a response of httpx is part of a circle of references, and would keep a body of megabytes until
        # the garbage is collected.
        async with self._http.stream(
            "GET", url, params=httpx.QueryParams(list(params)), headers=headers, extensions={"trace": trace}
        ) as response:
            content = b"".join([part async for part in response.aiter_bytes()])
            return Answer(response.status_code, response.headers, content)

    @asynccontextmanager
    async def _place(self, counters: Counters) -> AsyncIterator[float]:
        """Wait until the budget has room; yields when it was booked. Requests of one client wait in line, so that none is
        starved.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        async with self._turn:
            while (wait := self.budget.take()) > 0:  # noqa: ASYNC110 - other processes give no event to wait for
                # Other processes wait for the same place: a little jitter keeps them from arriving together.
                await asyncio.sleep(min(wait, 5.0) + random.random() * 0.002)  # noqa: S311
            booked_at = self.budget.booked_at
        counters.throttled_seconds += clock() - began
        yield booked_at

    def _read(
        self,
        answer: Answer,
        path: str,
        scope: str | None,
        none_statuses: Sequence[int],
        decode: Callable[[bytes], Any],
    ) -> Any:  # noqa: ANN401
        status = answer.status
        if status in none_statuses:
            return NONE
        if status != 200:
            raise self._refusal(status, path, scope)
        try:
            return decode(answer.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            kind = answer.headers.get("content-type", "no content type").partition(";")[0][:60]
            raise BrokenBodyError(
                f"expected a JSON document, got {len(answer.content)} bytes of {kind} that are none",
                method="GET",
                path=path,
                portal=self.portal,
                status=status,
            ) from None

    def _refusal(self, status: int, path: str, scope: str | None) -> ApiError:
        about: dict[str, Any] = {"method": "GET", "path": path, "portal": self.portal, "status": status}
        if status == 400:
            return BadRequestError("the API does not take a parameter of this call, or does not know the id", **about)
        if status == 403:
            lacks = f"the app lacks scope {scope}" if scope else "the app lacks a scope that is not documented"
            return MissingScopeError(
                f"{lacks}. Scopes are fixed when an app is created, so create a new app with it and authorize it on "
                f"this portal, or exclude the tables it fills from the resources of portal '{self.portal}'",
                **about,
            )
        if status == 404:
            return NotFoundError("nothing is there; check api_url in portals.yaml", **about)
        if status >= 500:
            return ServerError("the API has a fault; nothing was written, and the next run tries again", **about)
        return UnexpectedStatusError("this status is not known for reading; check api_url and proxies", **about)


def _tell_retry(details: RetryDetails) -> None:
    """For who reads logs: what is tried again is told by its last try."""
    _LOG.info("%s (tried again in %.1f s)", details.caused_by, details.wait_for)


def _backoff(error: Exception) -> bool | float:
    """Whether to try again, and after how many seconds where the server said so."""
    if not isinstance(error, TransientApiError):
        return False
    if error.wait_seconds is None:
        return True
    return error.wait_seconds if error.wait_seconds <= _LONGEST_HINT_SECONDS else False


def _hint(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `x-ratelimit-reset` or `Retry-After`; None without a usable one."""
    for name in ("x-ratelimit-reset", "retry-after"):
        try:
            seconds = float(headers.get(name, ""))
        except ValueError:
            continue
        if seconds >= 0:
            # Whole seconds are rounded by the server, we do not know which way.
            return max(seconds, 1.0) + 0.1
    return None


def _explain(error: httpx.TransportError, setting: str) -> str:
    """What broke, without addresses or bodies."""
    kind = type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return f"no answer in time ({kind})"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({kind}): check the network, proxies, certificates and {setting} in portals.yaml"
    return f"the connection broke ({kind})"
