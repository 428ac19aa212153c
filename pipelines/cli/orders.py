"""The messages between `planday sync` and its worker processes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from pipelines.cli.runs import Wanted
from pipelines.progress import Listener
from planday_io.errors import PlandayError

if TYPE_CHECKING:
    # Needed for types only; importing these modules loads pandas and DuckDB.
    from planday_io.sync.writer import TableReport
    from planday_io.warehouse import Publication


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do next: read a portal, or publish where there is none.

    Args:
        portal: config key; None publishes.
        wanted: what to read of the portal.
        tags: of the runs.
        writer: the writer that the runs belong to.
    """

    portal: str | None
    wanted: Wanted
    tags: Mapping[str, str]
    writer: str


@dataclass(frozen=True, slots=True)
class GiveWay:
    """Whether the portal of the present order gives way to others of its app from now on."""

    gives_way: bool


@dataclass(frozen=True, slots=True)
class Report:
    """Progress of a worker: a call of the command's listener."""

    method: str
    arguments: tuple[object, ...]
    options: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Done:
    """The order was carried out, as far as possible; with an error, the worker has ended because of that."""

    error: PlandayError | None = None


class Sender(Listener):
    """Sends what it hears to the command that started this process. If that is gone, nobody hears it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.told = GiveWay(gives_way=False)
        """What the command said last. Set by another thread."""

    def _send(self, method: str, *arguments: object, **options: object) -> None:
        with suppress(OSError):
            self._connection.send(Report(method, arguments, options))

    def reading(self, portal: str, table: str, month: str | None, done: int, expected: int | None) -> None:
        self._send("reading", portal, table, month, done, expected)

    def waiting(self, portal: str, text: str) -> None:
        self._send("waiting", portal, text)

    def finished(self, portal: str, report: TableReport) -> None:
        self._send("finished", portal, report)

    def failed(self, portal: str, table: str, month: str | None, error: str, *, is_final: bool) -> None:
        self._send("failed", portal, table, month, error, is_final=is_final)

    def left_out(self, portal: str, table: str, month: str | None, why: str) -> None:
        self._send("left_out", portal, table, month, why)

    def published(self, publication: Publication | None, error: str) -> None:
        self._send("published", publication, error)

    def gives_way(self) -> bool:
        return self.told.gives_way
