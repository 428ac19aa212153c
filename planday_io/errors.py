"""Every error this package raises on purpose, as one tree.

    PlandayError
    ├── ConfigError                 portals.yaml, or the command line, is wrong
    ├── SecretError                 a secret the config points at cannot be read
    ├── TokenError
    │   ├── AuthorizationError      the login flow, or taking access back, did not end well
    │   ├── TokenRejectedError      the identity server refuses the refresh token
    │   └── AccessRevokedError      the API refuses a new access token
    ├── ApiError                    one call: method, path, status, portal
    │   ├── BadRequestError         400
    │   ├── MissingScopeError       403
    │   │   └── PageForbiddenError  403 with a page of HTML
    │   ├── NotFoundError           404
    │   ├── UnexpectedStatusError   anything else that is no answer
    │   └── TransientApiError       gone after a wait, perhaps (retryable)
    │       ├── RateLimitedError    429
    │       ├── ServerError         5xx
    │       ├── ConnectionFailedError  no connection, reset, DNS, TLS, time-out
    │       └── BrokenBodyError     truncated, HTML, no JSON, an answer that says nothing
    │           └── MalformedJsonError  a document that came whole and is no JSON inside
    ├── PortalIdentityError         the token opens another portal than its key stands for, or another key's
    ├── DataError
    │   ├── UnexpectedShapeError    an answer, or a member of it, has another type than documented
    │   │   └── EmptyAnswerError    an answer says nothing where rows are documented
    │   ├── DuplicateKeyError       two rows of one slice share their key
    │   ├── IncompleteReadError     totals and rows do not agree, three reads in a row (retryable)
    │   ├── ShrunkSnapshotError     the new snapshot is suspiciously small
    │   └── LimitExceededError      an answer or a list is larger than the configuration allows
    ├── AlertError                  a message could not be sent
    ├── FaultError                  something else was raised: a fault of this program
    └── StorageError                a folder or a file cannot be written or read
        ├── DamagedFileError        a file holds something else than this program wrote
        │   └── DamagedSliceError   a file of the lake is not what was written
        ├── LostSliceError          the lake lacks what the warehouse shows
        └── PublicationError        the lake is complete, the warehouse file could not be renewed

What does not belong here: how often something is tried again. A class only says whether trying again can
help (`retryable`); the client, the step and the command decide how often.

No message contains a token, a secret or personal data: paths are named by their template
(`/hr/v1.0/employees/{employee_id}`), answers by their type and length.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar


class PlandayError(Exception):
    """Root of the tree. `retryable` tells whether the same call may succeed later without a change."""

    retryable: ClassVar[bool] = False

    def add_place(self, place: str) -> None:
        """Add the place to the message of an error that was raised where the place is not known."""
        self.args = (f"{self} [{place}]", *self.args[1:])


class ConfigError(PlandayError):
    """The configuration or the command line is wrong. The text names file, line, key, found and expected."""


class SecretError(PlandayError):
    """A secret the configuration points at is missing or unreadable. Concerns one portal only."""


class TokenError(PlandayError):
    """No usable access token can be obtained for a portal."""


class AuthorizationError(TokenError):
    """Authorizing a portal, or revoking access, failed. Nothing was changed."""


class TokenRejectedError(TokenError):
    """The identity server refused the refresh token."""


class AccessRevokedError(TokenError):
    """The API answered 401 to an access token that was exchanged a moment before."""


class ApiError(PlandayError):
    """One API call failed.

    Args:
        message: what happened and what to do.
        method: HTTP method.
        path: the path's template, without ids.
        portal: config key of the portal.
        status: HTTP status, or None when there was no answer.
    """

    def __init__(self, message: str, *, method: str, path: str, portal: str, status: int | None = None) -> None:
        answered = f"answered {status}" if status is not None else "gave no usable answer"
        super().__init__(f"{method} {path} (portal '{portal}') {answered}: {message}")
        self.method = method
        self.path = path
        self.portal = portal
        self.status = status


class BadRequestError(ApiError):
    """400: a parameter the API does not take, or an employee who is unknown or no longer active."""


class MissingScopeError(ApiError):
    """403: the app was created without the scope."""


class PageForbiddenError(MissingScopeError):
    """403 with a page of HTML: a proxy or a firewall may have sent it, so nothing is concluded about scopes."""


class NotFoundError(ApiError):
    """404: no such entity, or no such path."""


class UnexpectedStatusError(ApiError):
    """A status that is not known for a GET."""


class TransientApiError(ApiError):
    """Worth another try. `wait_seconds` is what the server asked for, or None."""

    retryable = True

    def __init__(
        self,
        message: str,
        *,
        method: str,
        path: str,
        portal: str,
        status: int | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(message, method=method, path=path, portal=portal, status=status)
        self.wait_seconds = wait_seconds


class RateLimitedError(TransientApiError):
    """429."""


class ServerError(TransientApiError):
    """500 to 599."""


class ConnectionFailedError(TransientApiError):
    """No connection, or it broke or timed out."""


class BrokenBodyError(TransientApiError):
    """200 with a body that is no complete JSON document, or that says nothing where rows are documented."""


class MalformedJsonError(BrokenBodyError):
    """200 with a body that begins and ends as JSON does and is none: the fault is in what was sent, not on the way."""


class PortalIdentityError(PlandayError):
    """The token opens another portal than its key stands for, or one that another key stands for. Nothing was written."""


class DataError(PlandayError):
    """What the API sent cannot be accepted. Nothing of it was written."""


class UnexpectedShapeError(DataError):
    """An answer, or a documented member of it, has another type than documented."""


class EmptyAnswerError(UnexpectedShapeError):
    """An answer says nothing where rows are documented. The client makes a `BrokenBodyError` of it, which is retried."""


class DuplicateKeyError(DataError):
    """Two rows of one slice share their natural key."""


class IncompleteReadError(DataError):
    """The pages of a list do not fit together, or their totals disagree, also after re-reads."""

    retryable = True


class ShrunkSnapshotError(DataError):
    """A snapshot has far fewer rows than the previous one, and is refused."""


class LimitExceededError(DataError):
    """An answer or a list is larger than `planday` in portals.yaml allows. The text names the key."""


class AlertError(PlandayError):
    """A channel of `alerts` did not accept a message. It is sent again.

    Args:
        message: what happened and what to do.
        is_refusal: whether it is there, and refuses this message.
    """

    retryable = True

    def __init__(self, message: str, *, is_refusal: bool = False) -> None:
        super().__init__(message)
        self.is_refusal = is_refusal


class FaultError(PlandayError):
    """An exception from outside this tree: a fault of this program, named by its type and place (`planday_io.faults`)."""


class StorageError(PlandayError):
    """The lake, the warehouse or the state folder cannot be written or read. Old files are untouched."""

    retryable = True


class DamagedFileError(StorageError):
    """A file differs from what this program wrote: it was truncated, overwritten, or replaced by a folder.

    Args:
        message: which file, and what to do.
        file: the file.
    """

    retryable = False

    def __init__(self, message: str, file: Path) -> None:
        super().__init__(message)
        self.file = file


class DamagedSliceError(DamagedFileError):
    """A file of the lake differs from what was written: truncated, overwritten, or with flipped bits.

    Args:
        file: which.
        why: what is wrong with it, as a clause.
        remedy: what to do.
    """

    def __init__(self, file: Path, why: str, remedy: str = "Restore it from a backup") -> None:
        super().__init__(f"{file} is damaged: {why}. {remedy}", file)
        self.why = why


class LostSliceError(StorageError):
    """The lake lacks what the warehouse shows: it is not mounted, another one, or an older copy. Nothing was written."""


class PublicationError(StorageError):
    """The warehouse file could not be renewed. The previous one is untouched and the lake is complete."""
