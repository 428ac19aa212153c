"""Connecting a portal with the authorization-code flow, redirected to this machine; and revoking access.

    begin: state, PKCE ─► browser: login, consent ─► redirect to this machine ─► state checked ─► code exchanged
    ─► whose portal is it? ─► refresh token written to where portals.yaml reads it; never shown
    ─► the browser's last page and the terminal report the same

Facts: docs/api-facts.md#authorization. The redirect address has to be registered with the app, so it is fixed and not a free
port. PKCE is used if the identity server's discovery offers S256; the documentation does not mention it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from planday_io.client.asking import AnswerLimits, ask_once
from planday_io.client.bodies import UnansweredError
from planday_io.client.grants import json_object
from planday_io.config.values import is_loopback
from planday_io.errors import (
    ConfigError,
    PortalIdentityError,
    SecretError,
    TokenError,
    TokenRejectedError,
    TransientApiError,
)
from planday_io.lake.installation import Installation
from planday_io.onboarding.consent import receive_code
from planday_io.onboarding.doubles import ask_portal_ids, claim, never_read
from planday_io.onboarding.placing import keep, place_of, remove, try_to_write
from planday_io.state.unfinished import Work
from planday_io.sync.connection import PortalConnection, answer_limits

REDIRECT_URL = "http://localhost:8156/callback"
_ALWAYS = ("openid", "offline_access")
_REVOKED = "revoked"
"""Step of a revocation after which the tokens are to be removed here."""


def needed_scopes(installation: Installation, portal: str) -> list[str]:
    """The scopes that the portal's tables need, including those of sensitive members that the policy keeps."""
    found: dict[str, None] = {}
    for endpoint in installation.endpoints_of(portal):
        found |= dict.fromkeys((endpoint.scope or "").split())
        classes = {column.name: column.privacy for table in endpoint.tables for column in table.columns}
        for _, scope, columns in endpoint.opt_in.values if endpoint.opt_in else ():
            if any(installation.config.privacy.policy(classes[column]) != "drop" for column in columns):
                found[scope] = None
    return [*found, *_ALWAYS]


def authorize(
    installation: Installation,
    portal: str,
    *,
    show: Callable[[str], None],
    scopes: list[str] | None = None,
    redirect_url: str = REDIRECT_URL,
    pkce: bool | None = None,
    seconds: float = 300.0,
) -> list[str]:
    """Let an administrator consent, exchange the code, and store the refresh token where the configuration reads it.

    A code can be used once. So if the API cannot say which portal it opens, the token is stored nevertheless: every run
    checks that before it reads anything.

    A token that is refused here is not kept, and not revoked either: it is not known whether Planday would take back that
    token alone or the app's whole access to that portal, which another key or another installation may use.

    Args:
        installation: the installation.
        portal: config key.
        show: gets the address to open in a browser, once this listens for the answer.
        scopes: to ask for; None are those that the portal's tables need.
        redirect_url: of this machine, and registered with the app.
        pkce: whether to use it; None is where discovery offers it.
        seconds: to wait for the answer.

    Returns:
        What to report. The browser shows the same.

    Raises:
        ConfigError: the redirect address is not one of this machine.
        SecretError: the client id cannot be read.
        TokenError: denied, another state, no answer, the port is taken, or the code or its token is refused.
        PortalIdentityError: it opens another portal than this key stands for, or one of another key. Nothing was written.
        StorageError: the token cannot be written. Authorizing again gives another one.
    """
    config, connection = installation.config, PortalConnection(installation, portal)
    ref = config.portals[portal].refresh_token
    if not is_loopback(redirect_url) or urlsplit(redirect_url).scheme != "http" or not urlsplit(redirect_url).port:
        raise ConfigError(
            f"--redirect-url {redirect_url} has to be an address of this machine with a port: {REDIRECT_URL}"
        )
    try_to_write(place_of(ref, config.home))
    identity = config.planday.identity_url
    if pkce is None:
        pkce = _offers_pkce(identity, answer_limits(config))
    verifier = secrets.token_urlsafe(48) if pkce else None
    state = secrets.token_urlsafe(24)
    query = {
        "client_id": connection.tokens.client_id(),
        "response_type": "code",
        "redirect_uri": redirect_url,
        "scope": " ".join(dict.fromkeys([*(scopes or needed_scopes(installation, portal)), *_ALWAYS])),
        "state": state,
    }
    if verifier:
        digest = hashlib.sha256(verifier.encode()).digest()
        query["code_challenge"] = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        query["code_challenge_method"] = "S256"
    # Which portals the tokens of new keys open is found out beforehand, because a consent may end them.
    new = [key for key in never_read(installation) if key != portal]
    others = asyncio.run(ask_portal_ids(installation, new))

    async def exchange(code: str) -> tuple[str, int | None, str]:
        async with connection.open() as client:
            tokens = client.tokens
            await asyncio.to_thread(tokens.redeem, client.post_form, code, redirect_url, verifier)
            portal_id, unasked = None, ""
            try:
                portal_id = await connection.ask_portal_id(client)
            except TransientApiError as error:
                unasked = str(error)
            # Asking may have exchanged the token for another one.
            return tokens.store.read(), portal_id, unasked

    def finish(code: str) -> list[str]:
        # A code that was refused, and a token of another portal, change nothing here: nothing is owed then.
        with installation.state.commands.carry_out(
            f"planday authorize {portal}",
            [portal],
            harmless=(TokenError, SecretError, PortalIdentityError),
            supersedes=[f"planday revoke {portal}"],
        ):
            token, portal_id, unasked = asyncio.run(exchange(code))
            if portal_id is not None:
                claim(installation, portal, portal_id, others)
            with connection.token_store.lock():
                place = keep(ref, token, config.home)
                connection.token_store.forget()
        return _report(portal, portal_id, unasked, place, [key for key, other in others.items() if other is None])

    url = f"{identity}/connect/authorize?{urlencode(query)}"
    heading = f"Thank you: portal '{portal}' is connected"
    return receive_code(redirect_url, state, show=lambda: show(url), finish=finish, heading=heading, seconds=seconds)


def _report(portal: str, portal_id: int | None, unasked: str, place: Path, not_compared: list[str]) -> list[str]:
    whose = f"Planday portal {portal_id}" if portal_id else "the API could not say which Planday portal it is"
    lines = [
        f"Portal '{portal}' is authorized: {whose}. The token was written to {place}.",
        f"Tables that failed without it are read by `planday sync {portal}`, or by the next schedule.",
    ]
    if unasked:
        lines.append(
            f"The token was kept, because a consent can be used once, and every run checks the portal before it reads "
            f"anything. Run `planday check {portal}` when the API answers again: {unasked}"
        )
    if not_compared:
        lines.append(
            f"Not compared with {', '.join(not_compared)}: never read, and the token cannot be used. `planday check` "
            f"compares all portals."
        )
    lines.append(
        "Where another installation uses the same app for this portal, its older token may have stopped working with this "
        "consent: if `planday check` fails there, put the new token there too."
    )
    return lines


def revoke(installation: Installation, portal: str) -> list[str]:
    """Revoke the app's access to a portal, verify that it is gone, and remove its tokens. Returns where they were.

    Raises:
        SecretError: there is no token to revoke.
        TokenError: the identity server did not revoke it. Nothing was removed.
        StorageError: access is revoked, but a token could not be removed.
    """
    config, connection = installation.config, PortalConnection(installation, portal)
    url = f"{config.planday.identity_url}/connect/revocation"

    def asked(token: str) -> str:
        """What is recorded before a working token is revoked."""
        text = f"{url} {connection.tokens.client_id()} {token}"
        return f"asked {hashlib.sha256(text.encode()).hexdigest()[:16]}"

    async def take_back(work: Work) -> None:
        async with connection.open() as client:
            try:
                with connection.token_store.lock():
                    token = connection.token_store.read()
            except SecretError:
                if work.step == _REVOKED:
                    return  # An earlier attempt revoked the token, and removed it where it is configured.
                raise
            # A token that worked when an earlier attempt asked for its revocation, and is refused now, is revoked.
            was_asked = work.step in (_REVOKED, asked(token))
            with suppress(TokenRejectedError):
                connection.tokens.discard(await client.authorize())
                with connection.token_store.lock():
                    token = connection.token_store.read()  # the exchange may have replaced the token
                work.reach(asked(token))
            form = {"client_id": connection.tokens.client_id(), "token": token}
            answer = await asyncio.to_thread(client.post_form, url, form)
            # What it answers is not documented; whether the token still opens the portal is what counts.
            try:
                await client.authorize()
            except TokenRejectedError as error:
                if answer.is_success or was_asked:
                    return
                # A wrong client id, or another server, refuses a token that still opens the portal elsewhere.
                raise TokenError(
                    f"the identity server answered {answer.status} to the revocation, so nothing was removed: {error}"
                ) from None
            raise TokenError(
                f"the identity server answered {answer.status} and the token of portal '{portal}' still works: "
                "revoke it in Planday under Settings > Integrations > API Access"
            )

    # If the identity server did not revoke the token, nothing was removed, so nothing is owed.
    with installation.state.commands.carry_out(
        f"planday revoke {portal}",
        [portal],
        harmless=(SecretError, TokenError),
        supersedes=[f"planday authorize {portal}"],
    ) as work:
        asyncio.run(take_back(work))
        work.reach(_REVOKED)
        with connection.token_store.lock():
            return connection.token_store.forget() + remove(config.portals[portal].refresh_token, config.home)


def _offers_pkce(identity_url: str, limits: AnswerLimits) -> bool:
    """Whether discovery offers S256. Without discovery PKCE is not used, because it is not documented."""
    try:
        answer = ask_once("GET", f"{identity_url}/.well-known/openid-configuration", limits)
    except UnansweredError:
        return False
    methods = json_object(answer.content).get("code_challenge_methods_supported") if answer.is_success else []
    return isinstance(methods, list) and "S256" in methods
