"""`planday export`: marts and queries of the published file for people, and how complete they are.

The file is opened once, read-only, so that everything is of one publication, and the connection can reach nothing but it.
What was exported before is replaced when everything has been written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from planday_io.errors import ConfigError
from planday_io.export.cells import Changes
from planday_io.export.contents import SHEET_ROWS, Selection, Sheet, gathered, refuse_whole, tables_read
from planday_io.export.csv_files import GUARDED, Locale, write_folder
from planday_io.export.first_sheet import Row, rows_of
from planday_io.export.folder import require_apart, require_replaceable
from planday_io.export.publication import published
from planday_io.export.request import Filter, Query, sheet_names
from planday_io.export.workbook import write_workbook
from planday_io.files import link_target, replacing, replacing_folder, storage_errors, sweep, temporary
from planday_io.lake.installation import Installation
from planday_io.monitoring.completeness import Completeness, MonthState
from planday_io.restriction import restrict
from planday_io.warehouse.definitions import literal
from planday_io.warehouse.mart_files import MARTS

Format = Literal["xlsx", "csv"]
NAME = "planday-export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written.

    Args:
        place: the workbook, or the folder.
        sheets: what it holds.
        remarks: what a reader should know, by sheet.
        states: how complete it is.
        published_at: UTC instant at which the file was published.
    """

    place: Path
    sheets: tuple[Sheet, ...]
    remarks: tuple[tuple[str, str], ...]
    states: tuple[MonthState, ...]
    published_at: datetime


def place_of(to: Path | None, form: Format) -> Path:
    """Where an export goes, absolute. A workbook may be given as a folder that exists.

    Raises:
        ConfigError: the name is that of another kind of file.
    """
    place = (to or Path(NAME if form == "csv" else f"{NAME}.xlsx")).absolute()
    if form == "csv":
        if place.suffix.lower() in (".csv", ".xlsx"):
            raise ConfigError(f"--output {to}: CSV is a folder with a file per sheet: give the name of a folder")
        return place
    if place.is_dir():
        return place / f"{NAME}.xlsx"
    if place.suffix.lower() != ".xlsx":
        raise ConfigError(f"--output {to}: name a folder that exists, or a file that ends with .xlsx")
    return place


def require_answer(installation: Installation, query: Query, chosen: Filter) -> None:
    """Check that the published file can answer a query, and that a strict filter can choose its rows. Nothing is computed.

    Raises:
        ConfigError: the query is wrong.
        ExportError: it cannot be answered, or not be filtered.
        StorageError: the published file cannot be read.
    """
    with published(installation.config.warehouse) as (db, _):
        restrict(db)
        one = Selection.of_query(db, query, chosen)
        if chosen.is_strict:
            refuse_whole(one.source, one.columns, chosen)


def export(
    installation: Installation,
    wanted: Sequence[str | Query],
    place: Path,
    *,
    form: Format = "xlsx",
    locale: Locale = "en",
    chosen: Filter | None = None,
    warnings: Sequence[str] = (),
    now: datetime | None = None,
    most_rows: int = SHEET_ROWS,
) -> Exported:
    """Write an export all or nothing.

    Args:
        installation: whose published file is read.
        wanted: names of marts, and queries; a sheet or file each.
        place: file or folder, see `place_of`.
        form: a workbook, or a folder of CSV files.
        locale: of CSV.
        chosen: which rows; None for all.
        warnings: what else is not complete, for the first sheet.
        now: the instant that staleness is judged at; the current one by default.
        most_rows: of a sheet of a workbook, header and totals included.

    Raises:
        ConfigError: a query is wrong.
        ExportError: it cannot be exported, for instance because a sheet would be too long.
        StorageError: the published file cannot be read, or the export not be written.
    """
    at, chosen = now or datetime.now(UTC), chosen or Filter()
    marts = [one for one in wanted if isinstance(one, str)]
    if unknown := sorted({*marts} - {*MARTS}):
        raise ConfigError(f"there is no mart '{unknown[0]}'; there are {', '.join(MARTS)}")
    warehouse = installation.config.warehouse
    with storage_errors(place, "write the export to"):
        require_apart(place, installation)
        target = link_target(place)
        target.parent.mkdir(parents=True, exist_ok=True)
        if form == "csv":
            require_replaceable(target)
        # A killed export leaves rows behind, which may be personal data.
        sweep(target.parent, of=target.name)
        # Beside the target, because what is put aside needs as much space, and must not remain in a folder of the system.
        with temporary(target) as work, published(warehouse) as (db, published_at):
            work.mkdir(mode=0o700)
            db.execute(f"SET temp_directory = {literal(str(work / 'spilled'))}")
            restrict(db)
            names = sheet_names([one if isinstance(one, str) else one.name for one in wanted])
            sheets = gathered(db, wanted, names, chosen, most_rows if form == "xlsx" else None)
            states = Completeness(installation, db, at).states(
                tables_read(sheets), portals=chosen.portals, first=chosen.first, last=chosen.last, with_gaps=True
            )
            guarded = GUARDED if form == "csv" else ""
            has_totals = form == "xlsx" and any(sheet.has_totals for sheet in sheets)
            first = partial(_first, published_at, at, chosen, sheets, states, guarded, warnings, has_totals)
            if form == "csv":
                with replacing_folder(target) as folder:
                    changes = write_folder(db, sheets, first, folder, locale)
            else:
                with replacing(target) as file:
                    changes = write_workbook(db, sheets, first, file, work)
    remarks = [
        (sheet.name, text)
        for sheet, changed in zip(sheets, changes, strict=True)
        for text in (*sheet.remarks, *changed.words(guarded))
    ]
    if form == "csv":
        remarks += [
            (one.name, "Excel shows its first 1,048,576 rows only.") for one in sheets if one.rows >= SHEET_ROWS
        ]
    return Exported(
        place=place,
        sheets=tuple(sheets),
        remarks=tuple(remarks),
        states=tuple(states),
        published_at=published_at,
    )


def _first(
    published_at: datetime,
    at: datetime,
    chosen: Filter,
    sheets: Sequence[Sheet],
    states: Sequence[MonthState],
    guarded: str,
    warnings: Sequence[str],
    has_totals: bool,
    changes: Sequence[Changes],
) -> list[Row]:
    return [*rows_of(published_at, at, chosen, sheets, changes, states, guarded, warnings, has_totals=has_totals)]
