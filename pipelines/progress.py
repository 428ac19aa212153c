"""How a run in this process reports its progress to the command that started it, and hears from it.

It is a context variable, because Dagster makes a new resource for each run, and steps of an in-process run stay in the
thread that started it. Runs that the daemon launched have no listener.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Importing these modules loads pandas and DuckDB, and every command imports this one.
    from planday_io.sync.writer import TableReport
    from planday_io.warehouse import Publication


class Listener:
    """Receives the progress of a run. This base class ignores it."""

    def reading(self, portal: str, table: str, month: str | None, done: int, expected: int | None) -> None:
        """An answer was received; `expected` is None while unknown."""

    def waiting(self, portal: str, text: str) -> None:
        """A read has to wait for a while; the text says why."""

    def finished(self, portal: str, report: TableReport) -> None:
        """A table was written."""

    def failed(self, portal: str, table: str, month: str | None, error: str, *, is_final: bool) -> None:
        """A table failed; not final when the step is tried again."""

    def left_out(self, portal: str, table: str, month: str | None, why: str) -> None:
        """A table was not read, because of another one or of a fault."""

    def ended(self, portal: str) -> None:
        """Nothing more is read of a portal."""

    def published(self, publication: Publication | None, error: str) -> None:
        """The warehouse was renewed; or it was not, and the error says why."""

    def gives_way(self) -> bool:
        """Whether the portal that is read gives way to others of its app at present. Asked twice a second."""
        return False


_NOBODY = Listener()
LISTENER: ContextVar[Listener] = ContextVar("planday_listener", default=_NOBODY)

PUBLISHED: ContextVar[list[Publication] | None] = ContextVar("planday_published", default=None)
"""Where a run in this process puts what it published."""
