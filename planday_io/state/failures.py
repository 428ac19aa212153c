"""What failed for good and was not read since.

Recorded where a table's last retry failed, resolved where the table is written again, whoever runs it. Alerts and `planday
status` report it. Texts, names and ids of runs only; no error of this package holds personal data.

Not here: what the causes mean (`planday_io.monitoring.failures`), the log of runs for analysts (`planday_io.lake.runs`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from sqlalchemy import Connection

from planday_io.state.rows import Failure
from planday_io.state.schema import FAILURES
from planday_io.state.state_database import Kind


class Failures(Kind):
    """The failures of one installation that are not over."""

    def record(self, failures: Iterable[Failure]) -> None:
        """Record failures. What fails in a row for the same cause keeps the instant it began. Raises StorageError."""
        failures = list(failures)

        def work(connection: Connection) -> None:
            for new in failures:
                before = FAILURES.get(connection, portal=new.portal, table=new.table, month=new.month)
                since = before.since if before and before.cause == new.cause else new.since
                FAILURES.put(connection, replace(new, since=since))

        if failures:
            self._database.write(work)

    def resolve(self, portal: str, tables: Iterable[str], month: str | None = None) -> None:
        """Remove tables, because they were written. Raises StorageError."""
        # Mostly there is nothing to remove, and reading keeps nobody waiting.
        of_month = {one.table for one in self.of(portal) if one.month == month}
        if found := of_month.intersection(tables):
            self._database.write(FAILURES.delete, FAILURES.c.table.in_(found), portal=portal, month=month)

    def of(self, portal: str) -> list[Failure]:
        """Failures of a portal that are not over. Raises StorageError."""
        return self._database.read(FAILURES.all, portal=portal)

    def keep_only(self, portals: Collection[str]) -> None:
        """Remove those of portals that are no longer there: nobody waits for them. Raises StorageError."""
        is_gone = FAILURES.c.portal.not_in([*portals])
        if self._database.read(FAILURES.has, is_gone):
            self._database.write(FAILURES.delete, is_gone)
