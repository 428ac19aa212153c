"""Why something failed, in words for people, and which error belongs to which cause.

Not here: what failed and was not read since (`planday_io.state`), who is notified (`notifier`).
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from planday_io import errors
from planday_io.state import Failure

INSTALLATION = "-installation"
"""Stands for a portal where something concerns all of them; no portal's key can be this."""
WAREHOUSE, CONFIGURATION, DAGSTER = "warehouse", "portals.yaml", "dagster"
"""Stand for a table where the publication failed, the configuration is wrong, or Dagster's storage cannot be used."""


class Cause(NamedTuple):
    """Why something failed, for people.

    Args:
        sentence: what happened.
        remedy: what to do; `{portal}` is the portal's key, `{place}` where its refresh token is read.
        kinds: classes of errors that belong to it, with those derived from them.
        per_table: whether each table is an incident of its own; otherwise those of a portal are one.
        whole_portal: whether no table of the portal can be read.
        may_be_outage: whether this, at several portals at once, may be an outage of Planday.
    """

    sentence: str
    remedy: str
    kinds: tuple[type[errors.PlandayError], ...] = ()
    per_table: bool = False
    whole_portal: bool = False
    may_be_outage: bool = False


CAUSES = {
    "api": Cause(
        "Planday's API or identity server gave no usable answer, even after all retries.",
        "Nothing, if Planday is down: the next run reads what is missing. If it lasts, check this machine's network, proxy "
        "and certificates, and run `planday check {portal}`.",
        kinds=(errors.TransientApiError,),
        may_be_outage=True,
    ),
    "token": Cause(
        "The identity server refuses the refresh token: it is wrong, or access was revoked.",
        "An administrator of the portal authorizes the app again: `planday authorize {portal}`, or Settings > Integrations > "
        "API Access, then write the new token to {place}. Then `planday sync {portal}` or the next schedule.",
        kinds=(errors.TokenError,),
        may_be_outage=True,
        whole_portal=True,
    ),
    "administrator": Cause(
        "The API refuses a new access token: the administrator who authorized the app was deactivated, or the app revoked.",
        "Another administrator of the portal authorizes the app: `planday authorize {portal}`. Then `planday sync {portal}` "
        "or the next schedule.",
        kinds=(errors.AccessRevokedError,),
        may_be_outage=True,
        whole_portal=True,
    ),
    "secret": Cause(
        "A secret that portals.yaml points at cannot be read.",
        "Put it where the error says, readable for this account. Then `planday sync {portal}` or the next schedule.",
        kinds=(errors.SecretError,),
        whole_portal=True,
    ),
    "scope": Cause(
        "The app lacks a scope. Scopes are fixed when an app is created.",
        "Create a new app with it and authorize it, or leave the tables out: `planday check {portal}` prints the line.",
        kinds=(errors.MissingScopeError,),
    ),
    "identity": Cause(
        "The token opens the wrong Planday portal: not this key's, or one that another key has. Nothing was written.",
        "Do what the error says: give each key its own portal's token, or remove one key. Then `planday check`.",
        kinds=(errors.PortalIdentityError,),
        whole_portal=True,
    ),
    "shrunk": Cause(
        "A table lost so many rows that a fault is likelier than the truth. The previous rows were kept.",
        "Look in Planday. If it is true: `planday sync {portal} --accept-shrink`; `guards` sets what is usual.",
        kinds=(errors.ShrunkSnapshotError,),
        per_table=True,
    ),
    "data": Cause(
        "Planday's answer does not fit: its pages disagree, it is not valid JSON, or a member has an undocumented type.",
        "If the next run says the same, Planday changed this table: update this program, or exclude the table until then.",
        kinds=(errors.MalformedJsonError, errors.DataError),
        may_be_outage=True,
        per_table=True,
    ),
    "refused": Cause(
        "The API refuses the call itself.",
        "Run `planday check {portal}`. If only this table fails, Planday changed this call: update this program, or exclude "
        "the table until then. If all do, check api_url in portals.yaml.",
        kinds=(errors.ApiError,),
        may_be_outage=True,
        per_table=True,
    ),
    "storage": Cause(
        "A file could not be written or read.",
        "Do what the error says: usually, free some space, or correct the folder's rights or mount. Then `planday sync "
        "{portal}` or the next schedule.",
        kinds=(errors.StorageError,),
    ),
    "state": Cause(
        "A file that this program keeps for itself was damaged, by another program or a failing disk.",
        "Do what the error says, and look for what did it: a full or failing disk, a power cut, an editor, a copy.",
        kinds=(errors.DamagedFileError,),
    ),
    "drift": Cause(
        "Planday's answers changed: members that are new, missing or of another type, new values, or refused members.",
        "Look: `planday drift`. If nothing is wrong, `planday drift --accept`; what is new is in `_extra` until a version of "
        "this program has a column for it.",
        per_table=True,
    ),
    "fault": Cause(
        "This program has a fault, or met something that it does not know. Nothing incomplete was written.",
        "Report the type and place that the error names; they hold no data. The run's log has the trace. "
        "`planday sync {portal}` tries again.",
        kinds=(errors.FaultError,),
    ),
    "publication": Cause(
        "The lake is complete, but the warehouse file could not be renewed. Analysts see the previous state.",
        "Do what the error says, then `planday publish`.",
        kinds=(errors.PublicationError,),
    ),
    "delivery": Cause(
        "A delivery (`deliver` in portals.yaml) was not made, or not everybody got it.",
        "Do what the error says, then `planday deliver NAME`. It is made as usual after the next tick of its schedule.",
        kinds=(errors.ExportError, errors.AlertError),
        per_table=True,
    ),
    "retention": Cause(
        "Not everything that is too old by `retention` of portals.yaml was removed.",
        "Do what the error says, then `planday retention`. The next night tries again.",
        kinds=(errors.RetentionError,),
    ),
    "crash": Cause(
        "The run ended without a reason: its process was killed, the machine stopped, or this program has a fault.",
        "Look at the run. Its tables are read again by the next run, or by `planday sync {portal}`.",
        kinds=(errors.KilledError,),
    ),
    "unfinished": Cause(
        "A command was stopped half-way: only part of its work is done.",
        "Run the same command again; it does the rest. `planday status` shows what to type.",
    ),
    "stale": Cause(
        "Tables were not read when their schedule was due.",
        "Check that the Dagster daemon runs and that no runs are stuck in its queue; `planday sync {portal}` reads them now.",
    ),
    "damaged": Cause(
        "A file of the lake is damaged: cut off, overwritten, or with flipped bits. Its previous rows are still published.",
        "`planday sync {portal} --missing`, or the next run, reads it again where it can; otherwise restore the file from a "
        "backup. Check the disk.",
        kinds=(errors.DamagedSliceError,),
    ),
    "edited": Cause(
        "Another program edited the warehouse file. Its edits were set aside and readers do not see them.",
        "Let that program open the file read-only. Remove the files that the error names when they are no longer needed.",
    ),
    "disk": Cause(
        "The disk is nearly full.",
        "Free some space: renewing the warehouse needs room for another copy of it.",
    ),
    "config": Cause(
        "portals.yaml, or the service's environment, cannot be used as it is now. New runs fail before they read anything.",
        "Correct what the error says, then run `planday check` in the service's environment.",
        kinds=(errors.ConfigError,),
    ),
    "unreadable": Cause(
        "The files of the lake or of the state cannot be read, so nobody knows what else is wrong.",
        "Do what the error says, then `planday status`.",
    ),
    "other": Cause(
        "Something failed in a way that this version does not know.",
        "Look at the error and at the run.",
    ),
}

_CAUSE_OF = {kind: name for name, cause in CAUSES.items() for kind in cause.kinds}


def cause_of(error: errors.PlandayError) -> str:
    """The name in `CAUSES` that an error belongs to: that of the closest class."""
    return next((_CAUSE_OF[kind] for kind in type(error).__mro__ if kind in _CAUSE_OF), "refused")


def failure_of(
    error: errors.PlandayError,
    now: datetime,
    *,
    table: str,
    portal: str = INSTALLATION,
    month: str | None = None,
    run_id: str = "",
) -> Failure:
    """The record of an error."""
    return Failure(
        portal=portal, table=table, month=month, cause=cause_of(error), error=str(error), run_id=run_id, since=now
    )
