"""How often a publication is worth its cost while runs follow each other.

A publication copies the file, so for one slice it takes about as long as for a thousand. Two hundred runs that end one after
the other would spend the night on it. So after each there is a pause of 24 times what it took, at most half an hour. A run
that ends in the pause leaves what it wrote to the next one, if another run will end soon. So publications of up to 75 s take
a twenty-fifth of the time at most.

Not here: which runs may do so (`pipelines.publication`), how a publication is made (`publish`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from planday_io.state import State

LOCK = "publish"
"""The lock of the one process that publishes."""

_PAUSE = 24
"""A pause takes that many times as long as the publication before it."""
_LONGEST_PAUSE = timedelta(minutes=30)


def next_due(state: State, now: datetime) -> datetime | None:
    """Until when (UTC) the next publication may wait; None if it is due. Raises StorageError."""
    if (last := state.files.last_publication()) is None:
        return None
    due = last.ended_at + min(timedelta(seconds=_PAUSE * last.seconds), _LONGEST_PAUSE)
    # After a correction of the clock the end may be in the future.
    return due if last.ended_at <= now < due else None


def note(state: State, seconds: float) -> None:
    """Note that a publication has ended, and how many seconds it took. Raises StorageError."""
    state.files.note_publication(datetime.now(UTC), seconds)
