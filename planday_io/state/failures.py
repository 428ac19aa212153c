"""What failed for good and was not read since.

Recorded where a table's last retry failed, resolved where the table is written again, whoever runs it. Alerts and `planday
status` report it. Texts, names and ids of runs only; no error of this package holds personal data.

Not here: what the causes mean (`planday_io.monitoring.failures`), the log of runs for analysts (`planday_io.lake.runs`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import asdict, replace

from sqlalchemy import Connection, delete, select

from planday_io.state.database import Database
from planday_io.state.rows import Failure
from planday_io.state.schema import FAILURES
from planday_io.state.statements import put


class Failures:
    """The failures of one installation that are not over.

    Args:
        database: of the installation.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, failures: Iterable[Failure]) -> None:
        """Record failures. What fails in a row for the same cause keeps the instant it began. Raises StorageError."""
        failures = list(failures)

        def work(connection: Connection) -> None:
            for new in failures:
                before = _of(connection, new.portal).get((new.table, new.month))
                since = before.since if before and before.cause == new.cause else new.since
                _put(connection, replace(new, since=since))

        if failures:
            self._database.write(work)

    def resolve(self, portal: str, tables: Iterable[str], month: str | None = None) -> None:
        """Remove tables, because they were written. Raises StorageError."""
        keys = {(table, month) for table in tables}
        # Mostly there is nothing to remove, and reading keeps nobody waiting.
        found = keys.intersection((one.table, one.month) for one in self.of(portal))

        def work(connection: Connection) -> None:
            for table, of_month in found:
                _remove(connection, portal, table, of_month)

        if found:
            self._database.write(work)

    def of(self, portal: str) -> list[Failure]:
        """Failures of a portal that are not over. Raises StorageError."""
        return [*self._database.read(lambda connection: _of(connection, portal)).values()]

    def keep_only(self, portals: Collection[str]) -> None:
        """Remove those of portals that are no longer there: nobody waits for them. Raises StorageError."""
        is_gone = FAILURES.c.portal.not_in([*portals])
        if self._database.read(lambda connection: connection.execute(select(FAILURES.c.portal).where(is_gone)).first()):
            self._database.write(lambda connection: connection.execute(delete(FAILURES).where(is_gone)))


def rename(connection: Connection, old: str, new: str) -> None:
    """Give the failures of a portal to another key. That the new key was refused, as the old one had the data, is over."""
    for key, one in _of(connection, new).items():
        if one.cause == "identity":
            _remove(connection, new, *key)
    for key, one in _of(connection, old).items():
        _put(connection, replace(one, portal=new))
        _remove(connection, old, *key)


def forget(connection: Connection, portal: str) -> None:
    """Remove all of a portal."""
    connection.execute(delete(FAILURES).where(FAILURES.c.portal == portal))


def _of(connection: Connection, portal: str) -> dict[tuple[str, str | None], Failure]:
    statement = select(FAILURES).where(FAILURES.c.portal == portal).order_by(FAILURES.c.table_name, FAILURES.c.month)
    found = [
        Failure(
            portal=row.portal,
            table=row.table_name,
            month=row.month or None,
            cause=row.cause,
            error=row.error,
            run_id=row.run_id,
            since=row.since,
        )
        for row in connection.execute(statement)
    ]
    return {(one.table, one.month): one for one in found}


def _put(connection: Connection, one: Failure) -> None:
    row = asdict(one) | {"table_name": one.table, "month": one.month or ""}
    del row["table"]
    put(connection, FAILURES, **row)


def _remove(connection: Connection, portal: str, table: str, month: str | None) -> None:
    key = (FAILURES.c.portal == portal, FAILURES.c.table_name == table, FAILURES.c.month == (month or ""))
    connection.execute(delete(FAILURES).where(*key))
