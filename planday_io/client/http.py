"""One portal's HTTP client: both headers, the shared budget, bounded retries, typed errors, counts.

The only place that repeats a request. Paging is in `planday_io.reading.pages`; the catalogue says what to read.

stamina drives the retries (exponential waits with jitter, or the server's own hint); httpx's retries cover connecting only.
httpx's `Auth` is not used, because the second try after a 401 must reserve its place in the budget like any other request.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote, urlsplit

import msgspec
import stamina
from stamina.instrumentation import RetryDetails, set_on_retry_hooks

from planday_io.client.asking import Answer, AnswerLimits, ask, ask_once, client_for
from planday_io.client.bodies import TooLargeError, UnansweredError, is_page
from planday_io.client.budget import RateLimiter
from planday_io.client.grants import TokenAnswer
from planday_io.client.headers import parse_policy, wait_of
from planday_io.client.tokens import TokenSource
from planday_io.documents import ANY_DECODER, load, looks_whole
from planday_io.errors import (
    AccessRevokedError,
    ApiError,
    EmptyAnswerError,
    LimitExceededError,
    MalformedJsonError,
    MissingScopeError,
    PageForbiddenError,
    PlandayError,
    TransientApiError,
    UnexpectedShapeError,
)

_LOG = logging.getLogger(__name__)
_DEFAULT_RESET_SECONDS = 5.0
_LONG_WAIT_SECONDS = 10.0
"""A longer wait is reported to whoever started the read."""
_TELL: ContextVar[Callable[[str], None]] = ContextVar("planday_tell", default=_LOG.warning)

NONE = object()
"""What `get` returns for a status that the caller declared to mean "there is none"."""


@dataclass(slots=True)
class Counters:
    """The cost of reading. `throttled_seconds` is time spent waiting for the budget, summed over requests."""

    requests: int = 0
    retries: int = 0
    bytes: int = 0
    throttled_seconds: float = 0.0

    def add(self, other: Counters) -> None:
        self.requests += other.requests
        self.retries += other.retries
        self.bytes += other.bytes
        self.throttled_seconds += other.throttled_seconds


class PortalClient:
    """Calls the API as one portal. Use as an async context manager, within one event loop.

    Args:
        portal: config key.
        api_url: base address of the API.
        tokens: access tokens; several clients may use them, one after the other.
        budget: shared by all processes.
        tries: attempts per request, including the first.
        limits: of one answer.
        tell: called with a message for people when a wait is long.

    Proxies and CA bundles come from the usual environment variables, except for an API on this machine.
    """

    def __init__(
        self,
        *,
        portal: str,
        api_url: str,
        tokens: TokenSource,
        budget: RateLimiter,
        tries: int = 5,
        limits: AnswerLimits | None = None,
        tell: Callable[[str], None] = _LOG.warning,
    ) -> None:
        self.portal = portal
        self.tokens = tokens
        self.budget = budget
        self._api_url = api_url
        self._retrying = stamina.AsyncRetryingCaller(
            attempts=tries, timeout=None, wait_initial=0.5, wait_max=30.0, wait_jitter=1.0
        ).on(_backoff)
        self._limits = limits or AnswerLimits()
        self._tell = tell

    async def __aenter__(self) -> Self:
        set_on_retry_hooks([_tell_retry])
        self._http = client_for(self._api_url, self._limits)
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
        path_params: Mapping[str, object] | None = None,
        params: Sequence[tuple[str, str]] = (),
        scope: str | None = None,
        none_statuses: Sequence[int] = (),
        decode: Callable[[bytes], Any] | None = None,
    ) -> Any:  # noqa: ANN401 - JSON enters here
        """GET one JSON document. Numbers with a fraction are Decimals.

        Args:
            path: template, such as `/hr/v1.0/employees/{employee_id}`.
            counters: the cost is added here.
            path_params: values for the template.
            params: query parameters.
            scope: the scope this needs, for the error if it is missing.
            none_statuses: statuses that mean there is none; then `NONE` is returned.
            decode: reads the body; raises msgspec.DecodeError or UnicodeDecodeError if it is not JSON, EmptyAnswerError if
                it says nothing.

        Raises:
            ApiError: there is no usable answer, after all useful retries.
            TokenError: no access token could be obtained, or the API refuses a new one.
            SecretError: a configured secret is missing.
        """
        url = self._api_url + path.format_map(
            {key: quote(str(value), safe="") for key, value in (path_params or {}).items()}
        )
        _TELL.set(self._tell)
        tries = itertools.count()

        async def attempt() -> Any:  # noqa: ANN401 - JSON
            counters.retries += next(tries) > 0
            answer = await self._send(url, path, params, counters)
            return self._read(answer, path, scope, none_statuses, decode or _decoded)

        return await self._retrying(attempt)

    async def authorize(self) -> TokenAnswer:
        """An access token, exchanged when there is no fresh one. See `get` for what it raises."""
        _TELL.set(self._tell)
        async with self._renewing:
            if token := self.tokens.usable():
                return token
            # In a thread: it waits for a file lock and for the identity server.
            return await self._retrying(asyncio.to_thread, self.tokens.exchange, self.post_form)

    def _error(self, kind: type[ApiError], path: str, message: str, **more: Any) -> ApiError:  # noqa: ANN401
        return kind(message, path=path, portal=self.portal, **more)

    def _unanswered(self, error: UnansweredError, path: str, method: str = "GET") -> PlandayError:
        if isinstance(error, TooLargeError):
            return LimitExceededError(f"{method} {path} (portal '{self.portal}'): {error}")
        return self._error(TransientApiError, path, str(error), method=method)

    def post_form(self, url: str, form: dict[str, str]) -> Answer:
        """POST to the identity server, once. Its limits are unknown, so it has no budget; `authorize` retries 429 and 5xx."""
        path = urlsplit(url).path
        try:
            answer = ask_once("POST", url, self._limits, data=form)
        except UnansweredError as error:
            raise self._unanswered(error, path, "POST") from None
        is_busy = answer.status == 429
        if is_busy or answer.status >= 500:
            raise self._error(
                TransientApiError,
                path,
                f"the identity server {'asks to slow down' if is_busy else 'has a fault'}: the next run, or the same "
                "command in some minutes, tries again",
                method="POST",
                status=answer.status,
                wait_seconds=wait_of(answer.headers) if is_busy else None,
            )
        return answer

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
                f"GET {path} (portal '{self.portal}') answered 401 to a new access token: the administrator who "
                "authorized the app was deactivated, or the app was revoked. Let another administrator authorize the app "
                "under Settings > Integrations > API Access and put the new token where portals.yaml reads it"
            )
        return answer

    async def _send_as(
        self, token: TokenAnswer, url: str, path: str, params: Sequence[tuple[str, str]], counters: Counters
    ) -> Answer:
        headers = {"Authorization": f"Bearer {token.access_token}", "X-ClientId": self.tokens.client_id()}
        reserved_at = await self._reserve(counters)

        async def trace(event: str, _: object) -> None:
            nonlocal reserved_at
            # Behind a proxy this event comes twice, first for the tunnel.
            if event == "http11.send_request_headers.complete":
                reserved_at = self.budget.confirm_sent(reserved_at)

        counters.requests += 1
        extensions = {"trace": trace}
        try:
            answer = await ask(
                self._http, "GET", url, self._limits, params=list(params), headers=headers, extensions=extensions
            )
        except UnansweredError as error:
            raise self._unanswered(error, path) from None
        counters.bytes += len(answer.content)
        self.budget.observe(answer.headers)
        if answer.status == 429:
            hint = wait_of(answer.headers)
            closest = parse_policy(answer.headers.get("x-ratelimit-limit", "")).closest
            self.budget.pause(hint if hint is not None else _DEFAULT_RESET_SECONDS, closest)
            raise self._error(
                TransientApiError,
                path,
                "too many requests: another program may use the portal as well; the next run tries again",
                status=429,
                wait_seconds=hint,
            )
        return answer

    async def _reserve(self, counters: Counters) -> float:
        """Reserve a place when the budget has room. Requests of one client wait in line, so that none is starved."""
        clock = asyncio.get_running_loop().time
        began = clock()
        async with self._turn:
            at_front, is_told = clock(), False
            while (wait := self.budget.reserve()) > 0:
                if not is_told and clock() - at_front + wait > _LONG_WAIT_SECONDS:
                    is_told = True
                    self._tell(
                        f"portal '{self.portal}' waits {wait:.0f} s before its next request: {self.budget.waits_for}"
                    )
                # Other processes wait for the same place: a little jitter keeps them from arriving together.
                await asyncio.sleep(min(wait, 1.0) + random.random() * 0.002)  # noqa: S311
            reserved_at = self.budget.reserved_at
        counters.throttled_seconds += clock() - began
        return reserved_at

    def _read(
        self,
        answer: Answer,
        path: str,
        scope: str | None,
        none_statuses: Sequence[int],
        decode: Callable[[bytes], Any],
    ) -> Any:  # noqa: ANN401
        status = answer.status
        if is_page(answer.content) and (status in (400, 404) or status in none_statuses):
            # A proxy's status is not the API's: as the API's it could mean that a person is gone or has no salary.
            raise self._error(
                TransientApiError,
                path,
                f"the answer is an HTML page with status {status}, which the API does not send: check api_url in "
                "portals.yaml, and whether a proxy or a firewall answered instead",
            )
        if status in none_statuses:
            return NONE
        if status != 200:
            raise self._refusal(answer, path, scope)
        try:
            return decode(answer.content)
        except EmptyAnswerError as empty:
            raise self._error(TransientApiError, path, str(empty), status=status) from None
        except (RecursionError, ArithmeticError, msgspec.ValidationError) as error:
            what = "a number in the answer is larger than can be read"
            if isinstance(error, RecursionError):
                what = "the answer is nested deeper than any document of the API"
            raise UnexpectedShapeError(f"GET {path} (portal '{self.portal}'): {what}. Nothing was written") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            flaw = "that are not UTF-8" if isinstance(error, UnicodeDecodeError) else "that are none"
            what = f"expected a JSON document, got {len(answer.content)} bytes of {answer.kind} {flaw}"
            if looks_whole(answer.content):
                raise self._error(MalformedJsonError, path, f"{what} ({error})", status=status) from None
            raise self._error(TransientApiError, path, what, status=status) from None

    def _refusal(self, answer: Answer, path: str, scope: str | None) -> ApiError:
        status, kind = answer.status, ApiError
        if status == 400:
            says = (
                "the API rejects a parameter of this call, or does not know the id. If this continues, its rules have "
                f"changed: update this program, or exclude the table from the resources of portal '{self.portal}'"
            )
        elif status == 403:
            kind = MissingScopeError
            lacks = f"the app lacks scope {scope}" if scope else "the app lacks a scope that is not documented"
            if is_page(answer.content):
                kind = PageForbiddenError
                lacks = (
                    f"the answer is an HTML page, so a proxy or a firewall may have refused it. If it was not, {lacks}"
                )
            says = (
                f"{lacks}. Scopes are fixed when an app is created, so create a new app with it and authorize it on "
                f"this portal, or exclude the tables it fills from the resources of portal '{self.portal}'"
            )
        elif status == 404:
            says = "nothing exists at this path; check api_url in portals.yaml"
        elif 200 < status < 300:
            kind = TransientApiError
            says = "the answer has no document, so it does not count as an empty list"
        elif status >= 500:
            kind = TransientApiError
            says = "the API has a fault; nothing was written, and the next run tries again"
        else:
            says = "this status is not expected for a read; check api_url and proxies"
        return self._error(kind, path, says, status=status)


def _decoded(content: bytes) -> Any:  # noqa: ANN401 - JSON
    document = load(content, ANY_DECODER.decode)
    return document.clean(document.value)[0]


def _tell_retry(details: RetryDetails) -> None:
    """Log each retry, and report a long wait before one to whoever started the read."""
    tell = _TELL.get() if details.wait_for > _LONG_WAIT_SECONDS else _LOG.info
    tell(f"{details.caused_by} (tried again in {details.wait_for:.1f} s)")


def _backoff(error: Exception) -> bool | float:
    """Whether to try again, and the seconds to wait if the server stated them."""
    if not isinstance(error, TransientApiError):
        return False
    return True if error.wait_seconds is None else error.wait_seconds
