"""Notices that the lake has older files than were published, as when part of it was put back from a backup.

It looks at every file of the lake, 0.1 ms each, so it belongs with what is done every ten minutes, not with the alerts of
each minute.
"""

from __future__ import annotations

from datetime import datetime

from planday_io.errors import LostSliceError
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import INSTALLATION, failure_of

OLDER_FILES = "older files"
"""What the failure is recorded as."""


def note_older_files(installation: Installation, now: datetime) -> None:
    """Record for alerts whether there are such files now. Raises StorageError."""
    older = installation.lake.older_than_published()
    if not older:
        installation.state.failures.resolve(INSTALLATION, [OLDER_FILES])
        return
    first = min(older, key=str)
    error = LostSliceError(
        f"{installation.config.lake} has files of {len(older)} slices that are older than what was published (the first is "
        f"{first.full_name} of portal '{first.portal}'{f' in {first.month}' if first.month else ''}), and the published rows "
        "stay. `planday sync --missing` replaces all of them: it restores feeds and histories from the warehouse, and reads "
        "the others again"
    )
    installation.state.failures.record([failure_of(error, now, table=OLDER_FILES)])
