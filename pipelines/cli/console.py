"""What commands print: progress bars on a terminal, plain lines elsewhere, tables at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.progress import Listener
from planday_io.config import Config
from planday_io.monitoring.messages import some

if TYPE_CHECKING:
    # Needed for types only; importing these modules loads Dagster, pandas and DuckDB.
    from pipelines.cli.forecasting import SyncForecast
    from pipelines.cli.outcome import Outcome
    from planday_io.sync.writer import TableReport
    from planday_io.warehouse import Publication

_LONG = 100
"""Tables with more rows are printed as plain columns."""


def say(console: Console, *lines: str) -> None:
    """Print lines unchanged: without markup, and without line breaks added in a pipe."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def named(table: str, month: str | None) -> str:
    """A table and its month, as printed."""
    return f"{table} {month}" if month else table


class PlainLines(Listener):
    """One line per table, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told: set[tuple[str, str]] = set()

    def waiting(self, portal: str, text: str) -> None:  # noqa: ARG002 - the text names the portal
        say(self._console, text)

    def finished(self, portal: str, report: TableReport) -> None:
        say(
            self._console,
            f"{portal} {named(report.table, report.month)}: {report.rows} rows, {report.counters.requests} requests, "
            f"{report.verdict}",
            *(f"{portal} warning: {warning}" for warning in report.warnings),
        )

    def failed(self, portal: str, table: str, month: str | None, error: str, *, is_final: bool) -> None:
        """A reason that was printed before is shortened to its first words."""
        why = error if (portal, error) not in self._told else error.partition(":")[0][:80] + " ..."
        self._told.add((portal, error))
        how = "failed" if is_final else "failed, will be retried"
        say(self._console, f"{portal} {named(table, month)}: {how}: {why}")


class Bars(PlainLines):
    """The lines, and under them one bar per portal that is being read, with the table in progress."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(progress.console)
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def reading(self, portal: str, table: str, month: str | None, done: int, expected: int | None) -> None:
        if portal not in self._bars:
            self._bars[portal] = self._progress.add_task(portal, table="")
        self._progress.update(self._bars[portal], table=named(table, month), completed=done, total=expected)

    def ended(self, portal: str) -> None:
        if portal in self._bars:
            self._progress.remove_task(self._bars.pop(portal))


@contextmanager
def listening(console: Console) -> Iterator[Listener]:
    """The listener that suits the console: bars on a terminal, otherwise lines."""
    if not console.is_terminal:
        yield PlainLines(console)
        return
    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[table]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)


def print_rows(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table of texts. A long one has no lines and is not wrapped, which would take Rich a millisecond per row."""
    if len(rows) > _LONG:
        texts = [[*columns], *([*("" if value is None else str(value) for value in row)] for row in rows)]
        widths = [max(map(cell_len, column)) for column in zip(*texts, strict=True)]
        padded = ((set_cell_size(text, width) for text, width in zip(row, widths, strict=True)) for row in texts)
        say(console, *([title] if title else []), "\n".join("  ".join(row).rstrip() for row in padded))
        return
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table, markup=False)


def print_forecast(console: Console, predicted: SyncForecast, *, with_tables: bool = True) -> None:
    """Print what each table and each portal will cost, and how long all of them take."""
    forecasts = predicted.portals
    tables = [(one.portal, table) for one in forecasts for table in one.tables.values()]
    rows = [
        (portal, one.table, one.slices, one.requests, f"{one.seconds:.1f}", f"{one.share:.2%}")
        for portal, one in tables
    ]
    if with_tables:
        print_rows(console, "", ("portal", "table", "slices", "requests", "seconds", "of an hour's budget"), rows)
    same: dict[tuple[str, str], list[str]] = {}
    for portal, table in tables:
        if table.error:
            same.setdefault((portal, table.error), []).append(table.table)
    say(console, *(f"\n{key} {some(names, 5)} cannot be predicted: {why}" for (key, why), names in same.items()))
    say(console, *(f"\n{portal} cannot be predicted: {error}" for portal, error in predicted.unknown.items()))
    totals = []
    for one in forecasts:
        slices = sum(table.slices for table in one.tables.values())
        totals.append((one.portal, slices, one.requests, f"{one.seconds / 60:.1f}", f"{one.share:.1%}", one.asked))
    columns = ("portal", "slices", "requests", "minutes", "of an hour's budget", "requests made to predict this")
    print_rows(console, "\nTotal", columns, totals)
    if len(forecasts) > 1:
        many = f"{predicted.at_once} portals at a time" if predicted.at_once > 1 else "one portal after another"
        say(console, f"\nAll of it, {many}, takes about {predicted.seconds / 60:.1f} minutes, publication included.")


def print_outcome(console: Console, config: Config, outcome: Outcome) -> None:
    """Print the summary at the end of a sync."""
    rows = []
    for portal in config.portals:
        reports = [report for key, report in outcome.reports if key == portal]
        failed = sum(one.portal == portal for one in outcome.failures)
        if reports or failed:
            requests = sum(one.counters.requests for one in reports)
            retries = sum(one.counters.retries for one in reports)
            rows.append((portal, len(reports), sum(one.rows for one in reports), requests, retries, failed))
    columns = ("portal", "slices", "rows", "requests", "retries", "failed")
    print_rows(console, f"\n{len(outcome.reports)} slices in {outcome.seconds:.1f} s", columns, rows)
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in outcome.failures:
        reasons.setdefault((one.portal, one.error), []).append(named(one.table, one.month))
    for (portal, error), tables in reasons.items():
        say(console, f"\n{portal}: {error}\n  Incomplete, with the previous data: {some(tables, 5)}")
    say(console, *(f"\n{text}" for text in remarks(outcome.publication)))
    if outcome.publication_error:
        say(console, f"\nnot published: {outcome.publication_error}")
    elif outcome.publication and outcome.publication.slices:
        say(console, f"\npublished to {config.warehouse}")


def remarks(publication: Publication | None) -> list[str]:
    """Notices and problems of a publication."""
    if publication is None:
        return []
    return [*publication.notices, *(f"left out: {error}" for error in publication.problems.values())]


def summary(outcome: Outcome) -> dict[str, Any]:
    """What `planday sync --json` prints."""
    return {
        "complete": outcome.is_complete,
        "seconds": round(outcome.seconds, 3),
        "tables": [{"portal": portal, **asdict(report)} for portal, report in outcome.reports],
        "failures": [asdict(failure) for failure in outcome.failures],
        "publication_error": outcome.publication_error or None,
        "interrupted": outcome.is_interrupted,
    }
