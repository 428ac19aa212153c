"""Receiving the answer of a consent page: a listener on this machine, and the last page that the browser shows.

The page is sent after everything else, so that it reports what the terminal reports: connected, refused, denied, or failed.
"""

from __future__ import annotations

import html
import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs, urlsplit

from planday_io.errors import PlandayError, TokenError

# RFC 6749 section 4.1.2.1. What else a redirect says is not repeated.
_REFUSALS = {
    "access_denied": "it was denied on the consent page",
    "invalid_scope": "the app does not have every scope that was asked for: give those it has with --scopes",
    "unauthorized_client": "the app may not use this flow: let it be authorized under Settings > Integrations > API Access",
    "invalid_request": "the identity server does not accept the request: check the redirect address, or try --no-pkce",
    "unsupported_response_type": "the identity server does not support this flow",
    "server_error": "the identity server has a fault: try again later",
    "temporarily_unavailable": "the identity server is not available: try again later",
}
_FAULT = "This program has a fault. Look at the terminal."


def receive_code(
    redirect_url: str,
    state: str,
    *,
    show: Callable[[], None],
    finish: Callable[[str], list[str]],
    heading: str,
    seconds: float,
) -> list[str]:
    """Listen on this machine until the answer is received, use its code, and then show the result in the browser.

    Args:
        redirect_url: the address that the answer comes to; of this machine.
        state: that the answer has to carry.
        show: called when this listens: opens the browser.
        finish: uses the code, and returns what to report.
        heading: of the page after that.
        seconds: to wait for the answer.

    Raises:
        TokenError: denied, another state, no answer, or the port is taken.
        PlandayError: of `finish`.
    """
    parts = urlsplit(redirect_url)
    reports: list[list[str]] = []
    errors: list[Exception] = []

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path != parts.path:
                self.send_error(404)
                return
            answer = {name: values[0] for name, values in parse_qs(asked.query).items()}
            if fault := _fault(state, answer):
                errors.append(TokenError(f"nothing was changed: {fault}"))
            else:
                try:
                    reports.append(finish(answer["code"]))
                except Exception as error:  # noqa: BLE001 - raised again where the caller waits
                    errors.append(error)
            if reports:
                self._send(200, _page(heading, reports[0]))
            else:
                said = str(errors[0]) if isinstance(errors[0], PlandayError) else _FAULT
                self._send(400, _page("Not authorized", [said]))

        def _send(self, status: int, page: bytes) -> None:
            # The browser may be closed by now; the terminal reports the result in any case.
            with suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Log nothing: the address holds the code."""

    class Server(HTTPServer):
        address_family = socket.AF_INET6 if ":" in (parts.hostname or "") else socket.AF_INET

    host = "::1" if Server.address_family == socket.AF_INET6 else "127.0.0.1"
    try:
        server = Server((host, parts.port or 0), Handler)
    except OSError as error:
        raise TokenError(
            f"port {parts.port} of this machine cannot be used ({error.strerror}): end what listens there, or give another "
            "--redirect-url that is registered with the app"
        ) from None
    with server:
        show()
        deadline = time.monotonic() + seconds
        while not (reports or errors):
            server.timeout = deadline - time.monotonic()
            if server.timeout <= 0:
                raise TokenError(
                    f"no answer within {seconds:.0f} s: run it again. If the browser showed an error of Planday, the "
                    f"redirect address {redirect_url} is not registered with the app"
                )
            server.handle_request()
    if errors:
        raise errors[0]
    return reports[0]


def _fault(state: str, answer: dict[str, str]) -> str:
    """What is wrong with an answer, or an empty text."""
    if not secrets.compare_digest(answer.get("state", "").encode(), state.encode()):
        return "the answer carries another state than was sent, so it belongs to another attempt. Run it again"
    if "error" in answer:
        return _REFUSALS.get(answer["error"], "the identity server refused, for a reason that is not known")
    return "" if answer.get("code") else "the answer holds no code"


def _page(heading: str, lines: list[str]) -> bytes:
    body = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return (
        f"<!doctype html><meta charset=utf-8><title>planday: {html.escape(heading)}</title>"
        "<meta name=viewport content='width=device-width'>"
        "<body style='font: 16px/1.5 sans-serif; margin: 3em auto; max-width: 44em; padding: 0 1em'>"
        f"<h1>{html.escape(heading)}</h1><div id=result>{body}</div><p>You can close this window.</p>"
    ).encode()
