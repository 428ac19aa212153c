"""Keeps refresh tokens that replaced configured ones, each in a file that only this account may read.

Not here: exchanging them (`planday_io.client.tokens`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from planday_io.errors import DamagedFileError, TokenError
from planday_io.files import storage_errors
from planday_io.state.folder import close_to_others
from planday_io.state.locks import Locks
from planday_io.state.records import read_record, remove_record, write_record


def token_file(folder: Path, portal: str) -> Path:
    """Where the token of a portal is kept in a state folder."""
    return folder / "tokens" / f"{portal}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _KeptToken:
    """The content of a rotated token's file."""

    configured_sha256: str
    refresh_token: str = field(repr=False)


class RefreshTokenStore:
    """The refresh token in force for one portal: the configured one, or the newest one that replaced it.

    A rotated token is stored with the SHA-256 of the configured token it came from. If the configuration holds another
    token, an administrator has authorized the portal again, and the stored one is ignored.

    Args:
        folder: of the state. Its `tokens` may hold a secret, and nothing else may.
        portal: config key.
        configured: reads the configured token, when needed.
    """

    def __init__(self, folder: Path, portal: str, configured: Callable[[], str]) -> None:
        self._folder = folder
        self._file = token_file(folder, portal)
        self._portal = portal
        self._configured = configured
        self._descends_from = ""

    def lock(self) -> AbstractContextManager[None]:
        """A lock for one process at a time; hold it from `read` until `write`."""
        close_to_others(self._folder)
        return _locks(self._folder).hold(self._portal)

    def read(self) -> str:
        """The refresh token in force.

        Raises:
            SecretError: the configured one is missing.
            StorageError: the stored one cannot be read.
        """
        configured = self._configured()
        self._descends_from = hashlib.sha256(configured.encode()).hexdigest()
        try:
            kept = read_record(self._file, _KeptToken, f"the refresh token of portal '{self._portal}'")
        except DamagedFileError as error:
            # The configured token may have been replaced by the lost one, and a server may revoke all tokens when a
            # replaced one is used. So an administrator decides.
            raise DamagedFileError(
                f"{error}. Authorize the portal again: `planday authorize {self._portal}`, which replaces the file; or put a "
                "new token where portals.yaml reads it and remove the file",
                self._file,
            ) from None
        if kept is not None and kept.configured_sha256 == self._descends_from:
            if not kept.refresh_token:
                raise TokenError(
                    f"this installation was restored from a backup, which holds no tokens, and the refresh token of portal "
                    f"'{self._portal}' had been replaced before. The configured one is not tried, because a server may "
                    f"revoke all when a replaced one is used. Run `planday authorize {self._portal}`, or put a new token "
                    "where portals.yaml reads it"
                )
            return kept.refresh_token
        return configured

    def write(self, refresh_token: str) -> None:
        """Store the token that replaced the one read: atomic, mode 0600.

        Raises:
            StorageError: it cannot be written.
        """
        # Not the digest of the currently configured token: it may have been replaced while the server answered.
        write_record(self._file, _KeptToken(configured_sha256=self._descends_from, refresh_token=refresh_token))

    def forget(self) -> list[str]:
        """Remove the stored token and return its path. Raises StorageError."""
        if not self._file.exists():
            return []
        remove_record(self._file)
        return [str(self._file)]


def replaced_tokens(folder: Path) -> dict[str, str]:
    """Portals whose configured token was replaced -> the SHA-256 of the configured one. Raises StorageError."""
    found = {}
    for file in sorted((folder / "tokens").glob("*.json")):
        # A damaged one is reported when its portal is read.
        with suppress(DamagedFileError):
            kept = read_record(file, _KeptToken, "a rotated refresh token")
            if kept is not None:
                found[file.stem] = kept.configured_sha256
    return found


def note_lost(folder: Path, configured: Mapping[str, str]) -> None:
    """Note that tokens which replaced the configured ones are not here, so that the configured ones are not used.

    Args:
        folder: of the state. Tokens that it has stay.
        configured: what `replaced_tokens` gave for the folder that has them.

    Raises:
        StorageError: it cannot be noted.
    """
    for portal, digest in configured.items():
        if not token_file(folder, portal).exists():
            write_record(token_file(folder, portal), _KeptToken(configured_sha256=digest, refresh_token=""))


def rename(folder: Path, old: str, new: str) -> None:
    """Move the rotated token of one key to another, unless the other has a newer one. Raises StorageError.

    A failed read under the new name may have rotated its token already.
    """
    source, target = token_file(folder, old), token_file(folder, new)
    with ExitStack() as held, storage_errors(source, "move the rotated refresh token in"):
        for portal in sorted((old, new)):
            held.enter_context(_locks(folder).hold(portal))
        if not source.exists():
            return
        if target.exists() and target.stat().st_mtime_ns > source.stat().st_mtime_ns:
            source.unlink()
        else:
            source.replace(target)


def _locks(folder: Path) -> Locks:
    """The locks are beside the tokens, as in version 0.1: during an upgrade no two processes exchange one token."""
    return Locks(folder / "tokens")
