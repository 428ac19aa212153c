"""What commands print: progress bars on a terminal, plain lines elsewhere, tables at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipelines.progress import Listener
from planday_io.config import Config
from planday_io.monitoring.failures import CAUSES
from planday_io.monitoring.messages import remedy, some
from planday_io.state import Incident

if TYPE_CHECKING:
    # Needed for types only; importing these modules loads Dagster, pandas and DuckDB.
    from pipelines.cli.outcome import Outcome
    from pipelines.cli.status import InstallationState, TableState
    from planday_io.onboarding.check import Finding
    from planday_io.sync.forecast import Forecast
    from planday_io.sync.writer import TableReport
    from planday_io.warehouse import Publication


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
    """Print a table of texts."""
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row))
    console.print(table, markup=False)


def print_status(
    console: Console,
    config: Config,
    states: Sequence[TableState],
    whole: InstallationState,
    incidents: Sequence[Incident],
    *,
    only_wrong: bool,
) -> None:
    """Print the state of tables and installation, with what is wrong in the last line."""
    from pipelines.cli.status import UNREADABLE_TABLE

    stale = [state for state in states if state.stale]
    names = ("portal", "table", "rows", "last_complete", "verdict", "next_due", "stale", "failing", "published")
    shown = [[getattr(one, name) for name in names] for one in states if one.stale or one.failing or not only_wrong]
    print_rows(console, "", names, [[_word(value) for value in row] for row in shown if row[1] != UNREADABLE_TABLE])
    lines = ["", *(f"UNREADABLE {one.portal}: {one.verdict}" for one in states if one.table == UNREADABLE_TABLE)]
    for one in incidents:
        who = one.portal if one.portal in {state.portal for state in states} else "all portals"
        lines.append(
            f"INCIDENT {who}, since {one.since.isoformat()}: {CAUSES[one.cause].sentence} {one.error}".rstrip()
        )
        lines += [f"  {', '.join(one.tables)}"] if one.tables else []
        lines.append(f"  What to do: {remedy(config, [one])}")
    lines += [f"UNFINISHED since {one.since.isoformat()}: run `{one.command}` again" for one in whole.unfinished]
    lines += [
        f"{use.bucket}: {use.sent} of {use.limit} requests in the last minute"
        + (f", closed for {use.closed_seconds:.0f} s" if use.closed_seconds else "")
        for use in whole.budget
    ]
    lines += [f"BUDGET {whole.budget_fault}"] if whole.budget_fault else []
    sizes = (whole.lake_bytes, whole.warehouse_bytes, whole.dagster_bytes, whole.free_bytes)
    lines.append("MiB: lake {}, warehouse {}, Dagster {}; free {}".format(*(size // 2**20 for size in sizes)))
    beat = whole.daemon_seconds
    lines.append(
        "The Dagster daemon has never run here: schedules do nothing."
        if beat is None
        else f"Dagster daemon: last heartbeat {beat:.0f} s ago."
        + (" It is not running: schedules do nothing." if beat > 300 else "")
    )
    never = sum(state.last_complete is None and not state.stale for state in states)
    lines += [f"{never} tables were not read yet and are not due yet."] if never else []
    lines.append(
        f"Wrong: {len(incidents)} incidents, {len(stale)} stale tables."
        + (f" Stale: {some([f'{one.portal} {one.table}' for one in stale], 5)}" if stale else "")
        if incidents or stale or whole.unfinished or any(state.failing for state in states)
        else "No incident, and nothing is stale."
    )
    say(console, *lines)


def _word(value: object) -> object:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def print_forecasts(console: Console, forecasts: Sequence[Forecast], at_once: int, seconds: float) -> None:
    """Print what each table and each portal will cost, and how long all of them take."""
    tables = [(one.portal, table) for one in forecasts for table in one.tables.values()]
    rows = [
        (portal, one.table, one.slices, one.requests, f"{one.seconds:.1f}", f"{one.share:.2%}")
        for portal, one in tables
    ]
    print_rows(console, "", ("portal", "table", "slices", "requests", "seconds", "of an hour's budget"), rows)
    say(console, *(f"\n{key} {one.table} cannot be predicted: {one.error}" for key, one in tables if one.error))
    totals = []
    for one in forecasts:
        slices = sum(table.slices for table in one.tables.values())
        totals.append((one.portal, slices, one.requests, f"{one.seconds / 60:.1f}", f"{one.share:.1%}", one.asked))
    columns = ("portal", "slices", "requests", "minutes", "of an hour's budget", "requests made to predict this")
    print_rows(console, "\nTotal", columns, totals)
    if len(forecasts) > 1:
        many = f"{at_once} portals at a time" if at_once > 1 else "one portal after another"
        say(console, f"\nAll of it, {many}, takes about {seconds / 60:.1f} minutes, publication included.")


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


def finding_word(finding: Finding) -> str:
    """The word for a finding of `check`. A finding without an API call is a note, because it proves nothing."""
    return ("ok" if finding.was_tried else "note") if finding.is_good else "FAILED"


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
