"""Every error this package raises on purpose, as one tree: a class for each distinction that somebody catches or reports.

`planday_io.monitoring.failures` says which classes make which incident. How often something is tried again is not decided
here: the client, the step and the command do that.

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

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled with its attributes, not through the constructor, whose arguments differ between subclasses."""
        return (type(self).__new__, (type(self), *self.args), self.__dict__)


class ConfigError(PlandayError):
    """The configuration or the command line is wrong. The text names file, line, key, found and expected."""


class SecretError(PlandayError):
    """A secret the configuration points at is missing or unreadable. Concerns one portal only."""


class TokenError(PlandayError):
    """A portal cannot be authorized or revoked, or no usable access token can be obtained for it."""


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
        status: HTTP status, or None when there was no usable answer.
        wait_seconds: what the server asked for, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        method: str = "GET",
        path: str,
        portal: str,
        status: int | None = None,
        wait_seconds: float | None = None,
    ) -> None:
        answered = f"answered {status}" if status is not None else "gave no usable answer"
        super().__init__(f"{method} {path} (portal '{portal}') {answered}: {message}")
        self.status = status
        self.wait_seconds = wait_seconds


class MissingScopeError(ApiError):
    """403: the app was created without the scope."""


class PageForbiddenError(MissingScopeError):
    """403 with a page of HTML: a proxy or a firewall may have sent it, so nothing is concluded about scopes."""


class TransientApiError(ApiError):
    """Worth retrying: no connection, 429, 5xx, or a body that is incomplete or says nothing."""

    retryable = True


class MalformedJsonError(TransientApiError):
    """A body that begins and ends like JSON but is invalid: the fault is in what was sent, not in the transfer."""


class PortalIdentityError(PlandayError):
    """The token opens another portal than its key stands for, or one that another key stands for. Nothing was written."""


class DataError(PlandayError):
    """What the API sent cannot be accepted. Nothing of it was written."""


class UnexpectedShapeError(DataError):
    """An answer, or a documented member of it, has another type than documented."""


class EmptyAnswerError(UnexpectedShapeError):
    """An answer says nothing where rows are documented. The client makes a `TransientApiError` of it, which is retried."""


class IncompleteReadError(DataError):
    """The pages of a list do not fit together, or their totals disagree, also after re-reads."""

    retryable = True


class ShrunkSnapshotError(DataError):
    """A snapshot has far fewer rows than the previous one, and is refused."""


class LimitExceededError(DataError):
    """An answer or a list is larger than `planday` in portals.yaml allows. The text names the key."""


class AlertError(PlandayError):
    """A channel of `alerts` did not accept a message. It is sent again."""

    retryable = True


class RefusedMessageError(AlertError):
    """A channel that works refused this one message."""


class QuestionError(PlandayError):
    """A question of an assistant is refused, or has no answer. The text says what to ask instead, and holds no path."""


class FaultError(PlandayError):
    """An exception from outside this tree: a fault of this program, named by its type and place (`planday_io.faults`)."""


class ExportError(PlandayError):
    """What was asked for cannot be exported. Nothing was written, and an earlier export is as it was."""


class KilledError(PlandayError):
    """A process that executed runs was killed. What it had read completely is kept."""


class BackupError(PlandayError):
    """A backup cannot be used, or cannot be restored here. Nothing was written."""


class RetentionError(PlandayError):
    """Some data that is too old by `retention` of portals.yaml was not removed."""


class StorageError(PlandayError):
    """The lake, the warehouse or the state folder cannot be written or read. Old files are untouched."""

    retryable = True


class DamagedFileError(StorageError):
    """A file differs from what this program wrote: it was truncated, overwritten, or replaced by a folder."""

    retryable = False

    def __init__(self, message: str, file: Path) -> None:
        super().__init__(message)
        self.file = file


class DamagedSliceError(DamagedFileError):
    """A file of the lake differs from what was written, in a way that the clause `why` says."""

    def __init__(self, file: Path, why: str, remedy: str = "Restore it from a backup") -> None:
        super().__init__(f"{file} is damaged: {why}. {remedy}", file)
        self.why = why


class LostSliceError(StorageError):
    """The lake lacks what the warehouse shows: it is not mounted, another one, or an older copy. Nothing was written."""


class PublicationError(StorageError):
    """The warehouse file could not be renewed. The previous one is untouched and the lake is complete."""
