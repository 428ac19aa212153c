"""Access tokens: the refresh grant, expiry and rotation.

Source: docs/api-facts.md#authorization. The grant is form-encoded, without a client secret. If the answer has a
`refresh_token`, it is stored before the new access token is used, because a server that rotates tokens has just invalidated
the old one.

Configured secrets are read by `planday_io.config.secrets`; rotated tokens are kept by `planday_io.state.tokens`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from planday_io.client.asking import Answer
from planday_io.client.grants import REFUSED_CODE, REFUSED_REFRESH, TokenAnswer, token_answer
from planday_io.errors import TokenError

_EARLY_SECONDS = 60.0
_EARLY_SHARE = 0.2


class TokenStore(Protocol):
    """Where a refresh token is read, and where its replacement is stored."""

    def lock(self) -> AbstractContextManager[None]:
        """A lock for one process at a time; hold it from `read` until `write`."""

    def read(self) -> str: ...

    def write(self, refresh_token: str) -> None: ...


class NewRefreshToken:
    """A refresh token that was just granted and is stored nowhere yet, so no other process has it."""

    def __init__(self, value: str) -> None:
        self._value = value

    def lock(self) -> AbstractContextManager[None]:
        return nullcontext()

    def read(self) -> str:
        return self._value

    def write(self, refresh_token: str) -> None:
        self._value = refresh_token


class TokenSource:
    """Access tokens of one portal. `client_id` reads the app's client id when needed; the clock is in seconds."""

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
        self.store = store
        self._portal = portal
        self._clock = clock
        self._current: TokenAnswer | None = None
        self._stale_at = 0.0

    def usable(self) -> TokenAnswer | None:
        """The cached access token, if it is fresh."""
        return self._current if self._clock() < self._stale_at else None

    def discard(self, token: TokenAnswer) -> None:
        """Discard a token that the API refused, unless it was replaced already."""
        if self._current is token:
            self._current = None

    def exchange(self, post: Callable[[str, dict[str, str]], Answer]) -> TokenAnswer:
        """Exchange the refresh token for an access token. `post` sends a form to an address; it does the retries.

        Raises:
            TokenRejectedError: the identity server refused it.
            TransientApiError: the answer did not come from an identity server.
            SecretError, StorageError: see the store.
        """
        with self.store.lock():
            refresh_token = self.store.read()
            form = {
                "client_id": self.client_id(),
                "grant_type": "refresh_token",
                "refresh_token": refresh_token,
            }
            answer = token_answer(post(self.url, form), self.url, self._portal, REFUSED_REFRESH)
            if answer.refresh_token and answer.refresh_token != refresh_token:
                self.store.write(answer.refresh_token)
        return self._keep(answer)

    def redeem(
        self, post: Callable[[str, dict[str, str]], Answer], code: str, redirect_url: str, verifier: str | None
    ) -> None:
        """Exchange an authorization code, with the verifier of PKCE or None. `post` must not retry: a code is valid once.

        From then on `store` has the new refresh token, in memory only.

        Raises:
            TokenRejectedError: the identity server refused the code.
            TokenError: the answer has no refresh token.
        """
        form = {
            "client_id": self.client_id(),
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_url,
            **({"code_verifier": verifier} if verifier else {}),
        }
        answer = token_answer(post(self.url, form), self.url, self._portal, REFUSED_CODE)
        if answer.refresh_token is None:
            raise TokenError(
                f"the identity server sent no refresh token for portal '{self._portal}': the scopes have to include "
                "offline_access, and the app has to be allowed to ask for it"
            )
        # When the API answers 401, the old token must not stand in for the new one.
        self.store = NewRefreshToken(answer.refresh_token)
        self._keep(answer)

    def _keep(self, answer: TokenAnswer) -> TokenAnswer:
        # A new token is fetched before the server would refuse the old one.
        early = min(_EARLY_SECONDS, answer.lifetime_seconds * _EARLY_SHARE)
        self._current, self._stale_at = answer, self._clock() + answer.lifetime_seconds - early
        return answer
