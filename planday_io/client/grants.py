"""Parses answers of the identity server's token address.

Only an OAuth answer says anything about a token: a JSON object with an `access_token`, or with an `error` of OAuth. Anything
else, whatever its status, comes from something in between: a captive portal, a proxy, a firewall, a maintenance page. Then
the token was not refused, and the request is repeated (bodies of errors are not documented: docs/api-facts.md#authorization).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus, urlsplit

import msgspec

from planday_io.client.asking import Answer
from planday_io.errors import TokenRejectedError, TransientApiError

ASSUMED_LIFETIME_SECONDS = 3600.0
_LONGEST_LIFETIME_SECONDS = 86_400.0
"""The longest lifetime of an access token that is believed; an hour is documented."""

_REFUSALS = frozenset(
    "invalid_request invalid_client invalid_grant unauthorized_client unsupported_grant_type invalid_scope access_denied "
    "invalid_token expired_token login_required consent_required interaction_required".split()
)
"""Error codes of RFC 6749 that servers use. Any other text is never repeated in a message: it could be the token."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,32768}")
"""Characters allowed in a header."""
_REFRESH_TOKEN = re.compile(r"(?=.*[!-~])[ -~]{1,32768}")
"""RFC 6749, appendix A.17. Anything else must not replace a token that may still work."""

REFUSED_REFRESH = (
    "the identity server refused the refresh token of portal '{portal}' ({named}). Either the token or the "
    "client id is wrong, or access was revoked. An administrator of the portal authorizes the app again: "
    "`planday authorize {portal}`, or Settings > Integrations > API Access, then put the new token where portals.yaml "
    "reads it"
)
REFUSED_CODE = (
    "the identity server refused the authorization code of portal '{portal}' ({named}). A code is valid once, for a short "
    "time, and for the redirect address it was asked with: run `planday authorize {portal}` again, and if the answer is "
    "the same, with --no-pkce"
)


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """The identity server's answer with tokens. `scopes` is None if it does not state them readably."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    lifetime_seconds: float
    scopes: frozenset[str] | None


def token_answer(answer: Answer, url: str, portal: str, refused: str) -> TokenAnswer:
    """Read an answer of the token address `url`.

    Raises:
        TokenRejectedError: the identity server refused; the text is `refused`, with `{portal}` and `{named}` filled in.
        TransientApiError: the answer did not come from an identity server.
    """
    body = json_object(answer.content)
    code = body.get("error")
    if isinstance(code, str) and code in _REFUSALS:
        raise TokenRejectedError(refused.format(portal=portal, named=f"{answer.status} {code}"))
    access_token = body.get("access_token")
    if answer.status != 200 or not isinstance(access_token, str) or not _TOKEN.fullmatch(access_token):
        raise TransientApiError(
            f"the answer is {answer.kind}, which an identity server does not send, so the token was not refused: check "
            "identity_url in portals.yaml, and whether a proxy, a firewall or a login page of the network answered instead",
            method="POST",
            path=urlsplit(url).path,
            portal=portal,
            status=answer.status,
        )
    rotated = body.get("refresh_token")
    return TokenAnswer(
        access_token=access_token,
        refresh_token=rotated if isinstance(rotated, str) and _REFRESH_TOKEN.fullmatch(rotated) else None,
        lifetime_seconds=_lifetime(body.get("expires_in")),
        scopes=_granted(body.get("scope")),
    )


def json_object(content: bytes) -> dict[str, Any]:
    """The answer as an object, empty if it is not one. Unreadable members are None."""
    try:
        members = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return {name: _value(raw) for name, raw in members.items()}


def _value(raw: msgspec.Raw) -> Any:  # noqa: ANN401 - JSON enters here
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def scopes_in(text: str) -> list[str]:
    """Scopes in a text, separated by spaces (the standard), commas, semicolons or plus signs, perhaps percent-encoded."""
    return [part for part in re.split(r"[\s,;|+]+", unquote_plus(text)) if part]


def _granted(scope: object) -> frozenset[str] | None:
    texts = scope if isinstance(scope, list) else [scope]
    if isinstance(scope, str) and scope.lstrip().startswith("["):
        try:
            texts = msgspec.json.decode(scope, type=list[str])
        except msgspec.DecodeError:
            return None
    found = [part for text in texts if isinstance(text, str) for part in scopes_in(text)]
    return frozenset(part.strip("\"'").lower() for part in found) or None


def _lifetime(told: object) -> float:
    """A token's lifetime: as stated if plausible, otherwise as documented."""
    try:
        seconds = float(told) if isinstance(told, int | float | str) and not isinstance(told, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    # NaN is not above 0 either.
    return min(seconds, _LONGEST_LIFETIME_SECONDS) if seconds > 0 else ASSUMED_LIFETIME_SECONDS
