"""Access tokens: the refresh grant, expiry and rotation.

Source: docs/api-facts.md#authorization. The grant is form-encoded, without a client secret. If a `refresh_token` comes
back it is stored before the new access token is used, because a server that rotates has just made the old one
worthless.

Not here: what an answer says (`grants`), headers and 401 handling of API calls (`http`), where configured secrets come from
(`planday_io.config.secrets`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from planday_io.client.asking import Answer
from planday_io.client.grants import REFUSED_CODE, REFUSED_REFRESH, TokenAnswer, token_answer
from planday_io.errors import DamagedFileError, TokenError
from planday_io.files import close_to_others, locked, storage_errors
from planday_io.state.records import read_record, remove_record, write_record

_EARLY_SECONDS = 60.0
_EARLY_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token and when to stop using it.

    Args:
        value: the bearer token; kept out of repr.
        stale_at: seconds since the epoch after which a new one is fetched, before the server would refuse this one.
        scopes: granted scopes, or None when the server did not say.
    """

    value: str = field(repr=False)
    stale_at: float
    scopes: frozenset[str] | None = None


class TokenStore(Protocol):
    """Where a refresh token is, and where one goes that replaced it."""

    def lock(self) -> AbstractContextManager[None]:
        """One process at a time: hold it from `read` until `write`."""

    def read(self) -> str:
        """The refresh token in force."""

    def write(self, refresh_token: str) -> None:
        """Keep a rotated token."""


class NewRefreshToken:
    """A refresh token that was granted a moment ago and is nowhere else yet.

    Args:
        value: the token; the newest one afterwards.
    """

    def __init__(self, value: str) -> None:
        self._value = value

    def lock(self) -> AbstractContextManager[None]:
        """Nobody else has it."""
        return nullcontext()

    def read(self) -> str:
        """The newest token."""
        return self._value

    def write(self, refresh_token: str) -> None:
        """Keep a rotated token."""
        self._value = refresh_token


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptToken:
    """What is in the file of a rotated token."""

    configured_sha256: str
    refresh_token: str = field(repr=False)


class RefreshTokenStore:
    """The refresh token in force for one portal: the configured one, or the newest one that replaced it.

    A rotated token is kept with the SHA-256 of the configured token it descends from; when the configuration holds
    another one, an administrator has authorized the portal anew and the kept one is forgotten.

    Args:
        folder: `.planday/tokens`, the one folder that may hold a secret.
        portal: config key.
        configured: reads the configured token, when needed.
    """

    def __init__(self, folder: Path, portal: str, configured: Callable[[], str]) -> None:
        self._file = folder / f"{portal}.json"
        self._lock = folder / f"{portal}.lock"
        self._portal = portal
        self._configured = configured
        self._descends_from = ""

    def lock(self) -> AbstractContextManager[None]:
        """One process at a time: hold it from `read` until `write`."""
        close_to_others(self._file.parent.parent)
        return locked(self._lock)

    def read(self) -> str:
        """The refresh token in force.

        Raises:
            SecretError: the configured one is missing.
            StorageError: the kept one cannot be read.
        """
        configured = self._configured()
        self._descends_from = _sha256(configured)
        try:
            kept = read_record(self._file, _KeptToken, f"the refresh token of portal '{self._portal}'")
        except DamagedFileError as error:
            # The configured token may have been replaced by the one that is lost, and a server may end all of them when a
            # replaced one is used. So an administrator decides.
            raise DamagedFileError(
                f"{error}. Authorize the portal again: `planday authorize {self._portal}`, which replaces the file; or put a "
                "new token where portals.yaml reads it and remove the file",
                self._file,
            ) from None
        if kept is not None and kept.configured_sha256 == self._descends_from:
            return kept.refresh_token
        return configured

    def write(self, refresh_token: str) -> None:
        """Keep a token that replaced the one that was read: atomic, 0600.

        Raises:
            StorageError: it cannot be written.
        """
        # Not of what is configured by now: that may have been authorized anew while the server answered.
        write_record(self._file, _KeptToken(configured_sha256=self._descends_from, refresh_token=refresh_token))

    def forget(self) -> list[str]:
        """Remove the kept token. Returns where it was. Raises StorageError."""
        if not self._file.exists():
            return []
        remove_record(self._file)
        return [str(self._file)]


class TokenSource:
    """Access tokens of one portal.

    Args:
        identity_url: base address of the identity server.
        client_id: reads the app's client id, when needed.
        store: the refresh token.
        portal: config key, for errors.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        identity_url: str,
        client_id: Callable[[], str],
        store: TokenStore,
        portal: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.url = f"{identity_url}/connect/token"
        self.client_id = client_id
        self.portal = portal
        self._identity_url = identity_url
        self._store = store
        self._clock = clock
        self._current: AccessToken | None = None

    def with_store(self, store: TokenStore) -> TokenSource:
        """The same with another refresh token, and none of the access tokens in hand."""
        return TokenSource(
            identity_url=self._identity_url,
            client_id=self.client_id,
            store=store,
            portal=self.portal,
            clock=self._clock,
        )

    def usable(self) -> AccessToken | None:
        """The access token in hand, while it is fresh."""
        if self._current and self._clock() < self._current.stale_at:
            return self._current
        return None

    def discard(self, token: AccessToken) -> None:
        """Forget a token the API refused, unless another one is in hand by now."""
        if self._current is token:
            self._current = None

    def exchange(self, post: Callable[[str, dict[str, str]], Answer]) -> AccessToken:
        """Exchange the refresh token for an access token.

        Args:
            post: sends a form to an address and returns the answer; retries are its business.

        Raises:
            TokenRejectedError: the identity server refused it.
            TransientApiError: something answered that is no identity server.
            SecretError, StorageError: see the store.
        """
        with self._store.lock():
            refresh_token = self._store.read()
            form = {
                "client_id": self.client_id(),
                "grant_type": "refresh_token",
                "refresh_token": refresh_token,
            }
            answer = token_answer(post(self.url, form), self.url, self.portal, REFUSED_REFRESH)
            if answer.refresh_token and answer.refresh_token != refresh_token:
                self._store.write(answer.refresh_token)
        return self._keep(answer)

    def redeem(
        self, post: Callable[[str, dict[str, str]], Answer], code: str, redirect_url: str, verifier: str | None
    ) -> str:
        """Exchange an authorization code; the access token that comes is in hand afterwards.

        Args:
            post: sends a form to an address and returns the answer. A code is good once, so it must not try again.
            code: from the redirect.
            redirect_url: the address it came to.
            verifier: of PKCE, or None.

        Returns:
            The refresh token, which is nowhere else.

        Raises:
            TokenRejectedError: the identity server refused the code.
            TokenError: it gave no refresh token.
        """
        form = {
            "client_id": self.client_id(),
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_url,
            **({"code_verifier": verifier} if verifier else {}),
        }
        answer = token_answer(post(self.url, form), self.url, self.portal, REFUSED_CODE)
        if answer.refresh_token is None:
            raise TokenError(
                f"the identity server gave no refresh token for portal '{self.portal}': the scopes have to hold "
                "offline_access, and the app has to be allowed to ask for it"
            )
        self._keep(answer)
        return answer.refresh_token

    def _keep(self, answer: TokenAnswer) -> AccessToken:
        lifetime = answer.lifetime_seconds
        early = min(_EARLY_SECONDS, lifetime * _EARLY_SHARE)
        self._current = AccessToken(
            value=answer.access_token, stale_at=self._clock() + lifetime - early, scopes=answer.scopes
        )
        return self._current


def rename_kept_token(folder: Path, old: str, new: str) -> None:
    """Move the rotated token of a key to another one, unless that one has a later one already. Raises StorageError.

    Under its new name a portal may have been read in vain before, and its token rotated then.
    """
    source, target = folder / f"{old}.json", folder / f"{new}.json"
    first, second = sorted((old, new))
    doing = "move the rotated refresh token in"
    with locked(folder / f"{first}.lock"), locked(folder / f"{second}.lock"), storage_errors(source, doing):
        if not source.exists():
            return
        if target.exists() and target.stat().st_mtime_ns > source.stat().st_mtime_ns:
            source.unlink()
        else:
            source.replace(target)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
