"""What monitoring remembers: what failed, what was reported, and since when tables have their present schedules.

Texts, names and ids of runs only; no error of this package holds personal data.

Not here: what causes mean, what is an incident, and who has to be notified (`planday_io.monitoring`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, Connection

from planday_io.state.rows import Baseline, Failure, Notice
from planday_io.state.schema import BASELINES, FAILURES, INCIDENTS, LOST, put_notices
from planday_io.state.state_database import Kind

Readings = Mapping[str, Mapping[str, str]]
"""Portal -> table -> how schedules read it."""
Known = dict[str, dict[str, tuple[str, datetime]]]
"""Portal -> table -> how schedules read it, and the UTC instant since when."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Failures(Kind):
    """What failed for good and was not read since: recorded with a table's last retry, resolved when it is written again."""

    def record(self, failures: Iterable[Failure]) -> None:
        """Record failures. Repeated failures with one cause keep the first instant. Raises StorageError."""
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
        # Usually there is nothing to remove, and a read blocks nobody.
        of_month = {one.table for one in self.of(portal) if one.month == month}
        if found := of_month.intersection(tables):
            self._database.write(FAILURES.delete, FAILURES.c.table.in_(found), portal=portal, month=month)

    def of(self, portal: str) -> list[Failure]:
        """Open failures of a portal. Raises StorageError."""
        return self._database.read(FAILURES.all, portal=portal)

    def all(self) -> dict[str, list[Failure]]:
        """Open failures by portal, those of the whole installation under its own name. Raises StorageError."""
        found: dict[str, list[Failure]] = {}
        for one in self._database.read(FAILURES.all):
            found.setdefault(one.portal, []).append(one)
        return found

    def keep_only(self, portals: Collection[str]) -> None:
        """Remove failures of portals that no longer exist. Raises StorageError."""
        is_gone = FAILURES.c.portal.not_in([*portals])
        if self._database.read(FAILURES.has, is_gone):
            self._database.write(FAILURES.delete, is_gone)


class Incidents(Kind):
    """The incidents of one installation."""

    def all(self) -> list[Notice]:
        """Incidents that are open, and those whose end is not reported everywhere. Raises StorageError."""
        return self._database.read(INCIDENTS.all)

    def replace(self, notices: Iterable[Notice]) -> None:
        """Replace the known incidents with these. Raises StorageError; then the previous ones stay."""
        # Usually nothing changed, and a read blocks nobody.
        if self.all() != (wanted := list(notices)):
            self._database.write(put_notices, wanted)


class Baselines(Kind):
    """The baselines of one installation."""

    def observe(self, readings: Readings, now: datetime) -> Known:
        """Record tables that are new or have other schedules than before. Returns the baselines of all. Raises StorageError.

        Where the baselines were lost with a damaged database, all tables count as scheduled for long: an alert that
        comes too early is better than none.
        """

        def work(connection: Connection) -> None:
            known = {(of, one): text for of, texts in _texts(_all(connection)).items() for one, text in texts.items()}
            wanted = {(of, one): text for of, texts in readings.items() for one, text in texts.items()}
            since = _LONG_AGO if LOST.delete(connection, kind=BASELINES.name) else now
            for portal, table in known.keys() - wanted.keys():
                BASELINES.delete(connection, portal=portal, table=table)
            new = wanted.items() - known.items()
            BASELINES.put(
                connection, *(Baseline(portal=of, table=one, reading=text, since=since) for (of, one), text in new)
            )

        # Usually nothing changed, and a read blocks nobody.
        found = self.all()
        if _texts(found) != {portal: texts for portal, texts in readings.items() if texts}:
            self._database.write(work)
            found = self.all()
        return found

    def all(self) -> Known:
        """The baselines of all portals. Raises StorageError."""
        return self._database.read(_all)

    def of(self, portal: str) -> dict[str, tuple[str, datetime]]:
        """The baselines of one portal, by table. Raises StorageError."""
        return self._database.read(_all, BASELINES.c.portal == portal).get(portal, {})


def _all(connection: Connection, *where: ColumnElement[bool]) -> Known:
    found: Known = {}
    for portal, table, text, since in BASELINES.some(connection, ("portal", "table", "reading", "since"), *where):
        found.setdefault(portal, {})[table] = text, since
    return found


def _texts(known: Known) -> dict[str, dict[str, str]]:
    return {portal: {table: text for table, (text, _) in tables.items()} for portal, tables in known.items()}
