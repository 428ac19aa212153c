"""Sends one request and reads its whole answer, within limits of time and size. All HTTP requests go through `ask`.

The result is an `Answer`, or an `UnansweredError` that says why without an address, a body or a secret. Tokens, budget,
retries and the meaning of an answer are in `http`.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from planday_io.client.bodies import MIB, TooLargeError, UnansweredError, as_utf8, unpacked
from planday_io.client.proxies import proxy_for
from planday_io.config.values import is_loopback
from planday_io.errors import ConfigError

_ACCEPTED = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate"}


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """Limits of one answer: time without a byte, time from the request to the last byte, size also when decompressed."""

    silence_seconds: float = 60.0
    whole_seconds: float = 120.0
    most_bytes: int = 128 * MIB


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete, decompressed answer. If it is a text, its content is UTF-8."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def kind(self) -> str:
        """Its content type, for errors."""
        return str(self.headers.get("content-type", "no content type")).partition(";")[0][:60]


@functools.cache
def trusted(*, trust_env: bool) -> ssl.SSLContext:
    """The certificates that httpx trusts, loaded once per process: loading takes as long as a request.

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


def client_for(url: str, limits: AnswerLimits) -> httpx.AsyncClient:
    """A client for one server. Proxy and certificates come from the usual environment variables, except on this machine.

    Raises:
        ConfigError: the environment names a proxy or certificates that cannot be used.
    """
    trust_env = not is_loopback(url)
    silence = limits.silence_seconds
    return httpx.AsyncClient(
        verify=trusted(trust_env=trust_env),
        proxy=proxy_for(url, trusted(trust_env=trust_env)) if trust_env else None,
        # The proxy is chosen already; httpx must not read the environment as well.
        trust_env=False,
        # Waiting for a connection of the pool is not limited.
        timeout=httpx.Timeout(silence, connect=max(1.0, silence / 4), pool=None),
        headers=_ACCEPTED,
        limits=httpx.Limits(max_connections=32, max_keepalive_connections=32),
    )


async def ask(
    http: httpx.AsyncClient,
    method: str,
    url: str,
    limits: AnswerLimits,
    *,
    wants_body: bool = True,
    **request: Any,  # noqa: ANN401
) -> Answer:
    """Send one request and read its answer, or only the status. `request` goes to `httpx.AsyncClient.stream`.

    Raises:
        UnansweredError: there is no usable answer.
    """
    try:
        async with asyncio.timeout(limits.whole_seconds), http.stream(method, url, **request) as response:
            # Read as a stream: an httpx response is part of a reference cycle, and would keep megabytes of body until the
            # garbage is collected.
            raw = await _within(response, limits.most_bytes) if wants_body else b""
            status, headers = response.status_code, response.headers
    except TimeoutError:
        raise UnansweredError(
            f"no complete answer within {limits.whole_seconds:g} s; if the network is that slow, raise "
            "planday.answer_seconds in portals.yaml"
        ) from None
    except httpx.TransportError as error:
        raise UnansweredError(_explain(error)) from None
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, UnicodeError, ValueError) as error:
        raise UnansweredError(
            f"the request cannot be made ({type(error).__name__}): check addresses and client_id in portals.yaml"
        ) from None
    try:
        content = unpacked(raw, headers.get("content-encoding", ""), limits.most_bytes)
    except UnansweredError as error:
        # If the request failed, only the status is needed.
        if status == 200 or isinstance(error, TooLargeError):
            raise
        content = b""
    return Answer(status, headers, as_utf8(content, headers.get("content-type", "")))


def ask_once(method: str, url: str, limits: AnswerLimits, **request: Any) -> Answer:  # noqa: ANN401
    """`ask` with its own client, for synchronous code. Must not be called inside an event loop.

    Raises:
        UnansweredError: there is no usable answer.
        ConfigError: see `client_for`.
    """

    async def one() -> Answer:
        async with client_for(url, limits) as http:
            return await ask(http, method, url, limits, **request)

    return asyncio.run(one())


async def _within(response: httpx.Response, most: int) -> bytes:
    """The bytes of a body as they arrive."""
    with suppress(ValueError):
        if int(response.headers.get("content-length", "0")[:20]) > most:
            raise TooLargeError(most)
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_raw():
        size += len(part)
        if size > most:
            raise TooLargeError(most)
        parts.append(part)
    return b"".join(parts)


def _explain(error: httpx.TransportError) -> str:
    """The cause of a failure, without addresses or bodies."""
    kind = type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return f"no answer in time ({kind}): if the API or the network is slow, raise planday.timeout_seconds in portals.yaml"
    if isinstance(error, httpx.ProxyError):
        return f"the proxy refused the request ({kind}): check HTTPS_PROXY, its user and password, and NO_PROXY"
    if isinstance(error, httpx.ConnectError):
        return f"no connection ({kind}): check the network, proxies, certificates and the address in portals.yaml"
    return f"the connection broke ({kind}): check the network and proxies; the next run tries again"
