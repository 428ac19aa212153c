"""What the identity server's token address answers, and what it does not.

Only an OAuth answer says anything about a token: a JSON object with an `access_token`, or with an `error` of OAuth. All else,
whatever its status, comes from something in between: a captive portal, a proxy, a firewall, a page of maintenance. Then
nobody refused anything, and it is tried again (bodies of errors are not documented: docs/api-facts.md#authorization).
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
"""A token that is said to live longer is exchanged again after a day. Documented is an hour."""

_REFUSALS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "access_denied",
        "invalid_token",
        "expired_token",
        "login_required",
        "consent_required",
        "interaction_required",
    }
)
"""RFC 6749 section 5.2 and what servers took from its other sections. Another text is not repeated: it could be the token."""
_TOKEN = re.compile(r"[\x21-\x7e]{1,32768}")
"""What may stand in a header."""
_REFRESH_TOKEN = re.compile(r"(?=.*[!-~])[ -~]{1,32768}")
"""RFC 6749, appendix A.17. Anything else would take the place of a token that may still work."""

REFUSED_REFRESH = (
    "the identity server refused the refresh token of portal '{portal}' ({named}). Either the token or the "
    "client id is wrong, or access was revoked. An administrator of the portal authorizes the app again: "
    "`planday authorize {portal}`, or Settings > Integrations > API Access and the new token to where portals.yaml reads it"
)
REFUSED_CODE = (
    "the identity server refused the authorization code of portal '{portal}' ({named}). A code is good once and for a short "
    "time, and for the redirect address it was asked with: run `planday authorize {portal}` again, and if the answer is "
    "the same, with --no-pkce"
)


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """A token answer.

    Args:
        access_token: the bearer token.
        refresh_token: one that replaces the one that was sent, or None.
        lifetime_seconds: of the access token.
        scopes: granted scopes, or None where the answer does not say, or not in a form that can be read.
    """

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    lifetime_seconds: float
    scopes: frozenset[str] | None


def token_answer(answer: Answer, url: str, portal: str, refused: str) -> TokenAnswer:
    """Read an answer of the token address.

    Args:
        answer: of it.
        url: the token address, for errors.
        portal: config key.
        refused: what a refusal means, with placeholders `{portal}` and `{named}`.

    Raises:
        TokenRejectedError: the identity server refused.
        TransientApiError: this is no answer of an identity server.
    """
    body = json_object(answer.content)
    code = body.get("error")
    if isinstance(code, str) and code in _REFUSALS:
        raise TokenRejectedError(refused.format(portal=portal, named=f"{answer.status} {code}"))
    access_token = body.get("access_token")
    if answer.status != 200 or not isinstance(access_token, str) or not _TOKEN.fullmatch(access_token):
        raise TransientApiError(
            f"{answer.kind} came, which is no answer of an identity server, so nobody refused the token: check "
            "identity_url in portals.yaml, and whether a proxy, a firewall or a login page of the network stands in between",
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
    """The object that an answer is, or an empty one where it is none. A member that cannot be read is None."""
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
    """Scopes of a text: separated by spaces, as they should be, or by commas, semicolons, plus signs, or percent-encoded."""
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
    """Seconds that a token lives: as told where that is a number that can be true, else what is documented."""
    try:
        seconds = float(told) if isinstance(told, int | float | str) and not isinstance(told, bool) else 0.0
    except (ValueError, OverflowError):
        seconds = 0.0
    # Not a number is not above 0 either.
    return min(seconds, _LONGEST_LIFETIME_SECONDS) if seconds > 0 else ASSUMED_LIFETIME_SECONDS
