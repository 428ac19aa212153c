"""The rows of the first sheet, and of `how_complete.csv`: of when the figures are, which filter they have, what each sheet
holds, and how complete what they are computed from is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from planday_io.export.cells import Changes, text_of
from planday_io.export.contents import Sheet
from planday_io.export.request import Filter
from planday_io.monitoring.completeness import MonthState


@dataclass(frozen=True, slots=True)
class Row:
    """A row; instants are UTC without a zone, as Excel has them."""

    kind: Literal["title", "header", "text"]
    cells: tuple[str | int | datetime | None, ...] = ()
    is_warning: bool = False


def rows_of(
    published_at: datetime,
    exported_at: datetime,
    chosen: Filter,
    sheets: Sequence[Sheet],
    changes: Sequence[Changes],
    states: Sequence[MonthState],
    formulas: str = "",
    warnings: Sequence[str] = (),
    *,
    has_totals: bool = False,
) -> Iterator[Row]:
    """The rows, from the top.

    Args:
        published_at: when the warehouse file was written.
        exported_at: when this was.
        chosen: the filter.
        sheets: in order.
        changes: of each sheet.
        states: how complete the tables are that the sheets are computed from.
        formulas: what was done with texts that begin like a formula; empty in a workbook, where they are text anyway.
        warnings: what else is not complete.
        has_totals: whether a sheet has a row of totals.
    """
    bad = [one for one in states if not one.is_complete]
    yield Row("title", ("How complete is this?",))
    if bad:
        yield Row(
            "text",
            (f"NOT COMPLETE: {len(bad)} of {len(states)} rows below say what is missing, stale or failed.",),
            True,
        )
    elif not warnings:
        yield Row(
            "text", ("Everything that these figures are computed from was read completely, and nothing is stale.",)
        )
    for text in warnings:
        yield Row("text", (f"NOT COMPLETE: {text}.",), True)
    yield Row("text", (f"Figures as of: {_instant(published_at)} (when the warehouse was published).",))
    yield Row("text", (f"Exported: {_instant(exported_at)}.",))
    yield Row("text", (f"Filter: {chosen.words()}.",))
    if has_totals:
        yield Row("text", ("Totals cover the rows that the filter of a sheet shows.",))
    yield Row("text", ("Times are UTC; columns `..._local` are local time.",))
    yield Row("text")
    yield Row("title", ("What is in it",))
    yield Row("header", ("sheet", "rows", "from", "what a row is, and what to know"))
    for sheet, changed in zip(sheets, changes, strict=True):
        said = " ".join([sheet.doc, *sheet.remarks, *changed.words(formulas)])
        cells = (sheet.name, sheet.rows, sheet.source, text_of(said, Changes()))
        yield Row("text", cells, any(remark.startswith("NOT") for remark in sheet.remarks))
    yield Row("text")
    yield Row("title", ("What it is computed from",))
    yield Row(
        "text",
        (
            "One row per portal for lists (people, departments and the like), and one per portal and month. Tables that are",
        ),
    )
    yield Row("text", ("read on request only count where they were read.",))
    yield Row(
        "header",
        ("portal", "month", "complete", "tables read", "of", "oldest read (UTC)", "newest read (UTC)", "in words"),
    )
    for one in states:
        yield Row(
            "text",
            (
                one.portal,
                one.month or "lists",
                "yes" if one.is_complete else "NO",
                one.read,
                one.needed,
                _plain(one.oldest),
                _plain(one.newest),
                one.words,
            ),
            not one.is_complete,
        )


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _plain(at: datetime | None) -> datetime | None:
    return at.astimezone(UTC).replace(microsecond=0, tzinfo=None) if at else None
