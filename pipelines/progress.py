"""How a run in this process tells the command that started it what it is doing.

A context variable, because Dagster builds the resource of a run anew and the steps of an in-process run stay in the
thread that started it. Runs launched by the daemon have no listener.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from planday_io.sync.writer import TableReport
from planday_io.warehouse import Publication


class Listener(Protocol):
    """What `planday sync` wants to hear."""

    def reading(self, portal: str, table: str, month: str | None, done: int, expected: int | None) -> None:
        """An answer came; expected is None while unknown."""

    def waiting(self, portal: str, text: str) -> None:
        """A read waits for long before it goes on; the text says why."""

    def finished(self, portal: str, report: TableReport) -> None:
        """A table was written."""

    def failed(self, portal: str, table: str, month: str | None, error: str, *, is_final: bool) -> None:
        """A table failed; not final when the step is tried again."""


LISTENER: ContextVar[Listener | None] = ContextVar("planday_listener", default=None)

PUBLISHED: ContextVar[list[Publication] | None] = ContextVar("planday_published", default=None)
"""Where a run in this process puts what it published."""
