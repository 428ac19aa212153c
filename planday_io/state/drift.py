"""What is remembered of schema drift: which members came before, and what differs from the catalogue.

Names of members, JSON types, counts and instants; a value only where it is one of an enumeration that is not documented.

Not here: what counts as drift (`planday_io.frames.schema_drift`), what is new or over (`planday_io.sync.drift`), who is
notified (`planday_io.monitoring`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from planday_io.state.rows import DriftEntry, SeenMembers
from planday_io.state.schema import DRIFT, SEEN_MEMBERS
from planday_io.state.state_database import Kind


@dataclass(frozen=True, slots=True)
class DriftMemory:
    """What is remembered of one table of one portal; `seen` is None where the API never answered for it."""

    seen: SeenMembers | None
    entries: tuple[DriftEntry, ...]


class Drift(Kind):
    """The schema drift of one installation."""

    def all(self) -> list[DriftEntry]:
        """All entries, also those that are over. Raises StorageError."""
        return self._database.read(DRIFT.all)

    def follow(self, portal: str, table: str, judge: Callable[[DriftMemory], DriftMemory]) -> None:
        """Store what a read changes. Raises StorageError.

        Args:
            portal: config key.
            table: full name.
            judge: what is remembered after the read, from what was before; it may be called twice.
        """

        def memory(connection: Connection) -> DriftMemory:
            entries = DRIFT.all(connection, portal=portal, table=table)
            return DriftMemory(SEEN_MEMBERS.get(connection, portal=portal, table=table), tuple(entries))

        def work(connection: Connection) -> None:
            before = memory(connection)
            after = judge(before)
            if after.seen is not None and after.seen != before.seen:
                SEEN_MEMBERS.put(connection, after.seen)
            DRIFT.put(connection, *(one for one in after.entries if one not in before.entries))

        # On most nights nothing changed, and a read blocks nobody.
        before = self._database.read(memory)
        if judge(before) != before:
            self._database.write(work)

    def accept(self, entries: Collection[DriftEntry], at: datetime) -> None:
        """Note that somebody accepted entries. Those that ended meanwhile stay as they are. Raises StorageError."""

        def work(connection: Connection) -> None:
            for one in entries:
                key = {"portal": one.portal, "table": one.table, "kind": one.kind, "path": one.path, "found": one.found}
                found = DRIFT.get(connection, **key)
                if found is not None and found.is_open:
                    DRIFT.put(connection, replace(found, accepted_at=at))

        if entries:
            self._database.write(work)
