"""What a `planday sync` did: recorded as it happens, and passed on to the display."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.cli.runs import Wanted, due
from pipelines.progress import Listener
from planday_io.errors import PlandayError, StorageError
from planday_io.lake.installation import Installation
from planday_io.monitoring.failures import failure_of

if TYPE_CHECKING:
    # Needed for types only; importing these modules loads pandas and DuckDB.
    from planday_io.sync.writer import TableReport
    from planday_io.warehouse import Publication


@dataclass(frozen=True, slots=True)
class Failure:
    """A table that was not written; its previous slice stays."""

    portal: str
    table: str
    month: str | None
    error: str


@dataclass(slots=True)
class Outcome(Listener):
    """What a sync did. It records what the steps report, and passes it on.

    Args:
        listener: receives the progress.
        reports: (portal, report) of each table that was written.
        failures: of tables that were not.
        publication: of the warehouse; None when it was left out or failed.
        publication_error: why it failed.
        is_interrupted: whether it was ended early, by Ctrl+C or SIGTERM.
        seconds: how long it took.
        slices: that were written, by portal.
        requests: that these cost, by portal.
    """

    listener: Listener
    reports: list[tuple[str, TableReport]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    publication: Publication | None = None
    publication_error: str = ""
    is_interrupted: bool = False
    seconds: float = 0.0
    slices: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    @property
    def is_complete(self) -> bool:
        """True when every table was written and the warehouse shows it."""
        left_out = self.publication is not None and self.publication.problems
        return not (self.failures or self.publication_error or left_out or self.is_interrupted)

    def written(self, portal: str) -> set[tuple[str, str | None]]:
        """Tables and months of a portal that were written."""
        return {(report.table, report.month) for key, report in self.reports if key == portal}

    def reading(self, portal: str, table: str, month: str | None, done: int, expected: int | None) -> None:
        self.listener.reading(portal, table, month, done, expected)

    def waiting(self, portal: str, text: str) -> None:
        self.listener.waiting(portal, text)

    def finished(self, portal: str, report: TableReport) -> None:
        self.reports.append((portal, report))
        self.slices[portal] += 1
        self.requests[portal] += report.counters.requests
        self.listener.finished(portal, report)

    def failed(self, portal: str, table: str, month: str | None, error: str, *, is_final: bool) -> None:
        if is_final:
            self.failures.append(Failure(portal, table, month, error))
        self.listener.failed(portal, table, month, error, is_final=is_final)

    def left_out(self, portal: str, table: str, month: str | None, why: str) -> None:
        self.failures.append(Failure(portal, table, month, why))
        self.listener.left_out(portal, table, month, why)

    def ended(self, portal: str) -> None:
        self.listener.ended(portal)

    def published(self, publication: Publication | None, error: str) -> None:
        self.publication, self.publication_error = publication, error
        self.listener.published(publication, error)

    def gives_way(self) -> bool:
        return self.listener.gives_way()


def record_portal(
    installation: Installation, portal: str, wanted: Wanted, error: PlandayError, outcome: Outcome
) -> None:
    """Report once what stopped a portal, and record it for alerts for each table that was due."""
    now = datetime.now(UTC)
    written = outcome.written(portal)
    # If the failure cannot be recorded, this command still prints it.
    with suppress(StorageError):
        installation.state.failures.record(
            failure_of(error, now, portal=portal, table=table.full_name, month=month)
            for month, endpoints in due(installation, portal, wanted).items()
            for endpoint in endpoints
            for table in endpoint.tables
            if (table.full_name, month) not in written
        )
    outcome.failed(portal, "everything" if not written else "the rest", None, str(error), is_final=True)
