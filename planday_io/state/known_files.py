"""How an installation recognises its lake, its warehouse file and its last configuration; when it last published, and when
it last applied the rules of retention.

Not here: what to do where they are not recognised (`planday_io.lake.presence`, `planday_io.warehouse.standing`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from planday_io.state.rows import KnownFile
from planday_io.state.schema import (
    CONFIGURATION,
    KNOWN_FILES,
    LAKE,
    LOSABLE,
    LOST,
    PUBLICATION,
    RETENTION,
    WAREHOUSE,
    lose,
)
from planday_io.state.state_database import Kind

_LOG = logging.getLogger(__name__)
_MISSING = (
    "The state database was not there, although the lake was written before: it was deleted, or not restored with the lake. "
    "A new one was created, and its content was restored as far as possible."
)


@dataclass(frozen=True, slots=True)
class LastPublication:
    """When the warehouse file was last renewed (UTC), and how many seconds that took."""

    ended_at: datetime
    seconds: float


class KnownFiles(Kind):
    """The marks by which one installation recognises its files."""

    def lake(self) -> str:
        """The name of the lake, or empty. Raises StorageError."""
        known = self._database.read(KNOWN_FILES.get, name=LAKE)
        return known.marks[0] if known and known.marks else ""

    def adopt_lake(self, name: str, *, is_new: bool) -> None:
        """Record the lake's name. Raises StorageError.

        Args:
            name: the name in its folder.
            is_new: the folder was given the name just now. Otherwise an installation that knows no lake has lost its state.
        """

        def work(connection: Connection) -> bool:
            is_missing = not is_new and not KNOWN_FILES.has(connection, name=LAKE)
            KNOWN_FILES.put(connection, KnownFile(name=LAKE, marks=(name,)))
            # A name that was lost with a damaged database is reported with that database.
            if not is_missing or LOST.delete(connection, kind=KNOWN_FILES.name):
                return False
            lose(connection, *LOSABLE)
            return True

        if self._database.write(work):
            _LOG.warning("%s", _MISSING)
            self._database.leave_note("missing", _MISSING)

    def shut_out_old_version(self) -> None:
        """Make processes of version 0.1 refuse to write to the lake from now on. Raises StorageError."""
        self._database.shut_out_old_version()

    def warehouse(self) -> tuple[str, ...] | None:
        """Headers of the published file, and of one in progress; None where they are not known. Raises StorageError."""
        # A process of version 0.1 that publishes during an upgrade keeps the headers in a file.
        self._database.look_again()
        known = self._database.read(KNOWN_FILES.get, name=WAREHOUSE)
        return known.marks if known else None

    def configuration(self) -> tuple[str, ...]:
        """The marks of the configuration that Dagster's definitions were last built from, or none. Raises StorageError."""
        known = self._database.read(KNOWN_FILES.get, name=CONFIGURATION)
        return known.marks if known else ()

    def note_configuration(self, marks: Sequence[str]) -> None:
        """Record that Dagster's definitions could be built from a configuration. Raises StorageError."""
        self._database.write(KNOWN_FILES.put, KnownFile(name=CONFIGURATION, marks=tuple(marks)))

    def last_publication(self) -> LastPublication | None:
        """The last time that the warehouse file was renewed, or None if that is not known. Raises StorageError."""
        known = self._database.read(KNOWN_FILES.get, name=PUBLICATION)
        if known is None:
            return None
        with suppress(ValueError):
            ended_at, seconds = known.marks
            return LastPublication(datetime.fromisoformat(ended_at).astimezone(UTC), float(seconds))
        return None

    def note_publication(self, ended_at: datetime, seconds: float) -> None:
        """Record that the warehouse file was renewed. Raises StorageError."""
        marks = (ended_at.astimezone(UTC).isoformat(), f"{seconds:.3f}")
        self._database.write(KNOWN_FILES.put, KnownFile(name=PUBLICATION, marks=marks))

    def retained_at(self) -> datetime | None:
        """When a pass of retention was last complete (UTC), or None if that is not known. Raises StorageError."""
        known = self._database.read(KNOWN_FILES.get, name=RETENTION)
        with suppress(ValueError):
            return datetime.fromisoformat(known.marks[0]).astimezone(UTC) if known and known.marks else None
        return None

    def note_retention(self, at: datetime) -> None:
        """Record that a pass of retention was complete. Raises StorageError."""
        marks = (at.astimezone(UTC).isoformat(),)
        self._database.write(KNOWN_FILES.put, KnownFile(name=RETENTION, marks=marks))

    def note_warehouse(self, headers: Sequence[str]) -> None:
        """Record the headers of the warehouse file. Raises StorageError."""
        self._database.write(KNOWN_FILES.put, KnownFile(name=WAREHOUSE, marks=tuple(headers)))
