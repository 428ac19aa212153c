"""`docs/tables.md`, written from the catalogue, and `docs/marts.md`, written from the SQL files of the marts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from planday_io.catalogue import LOGS, Catalogue, Endpoint, Table
from planday_io.catalogue.history import VERSION_COLUMNS
from planday_io.catalogue.model import Column
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.types import STANDARD_DOCS, duckdb_columns
from planday_io.warehouse import contents
from planday_io.warehouse.mart_files import macros, marts, month_conditions, sync_views
from planday_io.warehouse.sync_tables import SYNC_TABLES

_CONFIDENCE = {
    "documented": "documented by Planday",
    "observed": "observed on live portals by third parties",
    "inferred": "inferred: an unexpected shape goes to `_extra` with a warning, and the read continues",
    "unknown": "unknown: everything goes to `_extra`",
}


def tables_page(catalogue: Catalogue) -> str:
    """The page, as Markdown."""
    return _rendered(
        "tables.md.j2",
        catalogue=catalogue,
        standard=STANDARD_DOCS,
        versions=VERSION_COLUMNS,
        references=_references(catalogue),
        how=lambda endpoint, table: _how(endpoint, table, catalogue.histories.get(table.full_name)),
        confidence=_CONFIDENCE,
        typed=_typed,
        of_sync=SYNC_TABLES,
        views=(*sync_views(), *contents.views(catalogue)),
        logs=[
            (log.full_name, log.doc, [(column.name, kind, column.doc) for column, kind in _typed(log)]) for log in LOGS
        ],
    )


def marts_page() -> str:
    """The page of the marts, as Markdown."""
    return _rendered("marts.md.j2", marts=marts(), macros=macros(), month_conditions=month_conditions())


def _rendered(template: str, **values: object) -> str:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # noqa: S701 - Markdown
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template).render(values)


def _typed(table: Table) -> Iterator[tuple[Column, str]]:
    kinds = dict(duckdb_columns(table, PrivacyPolicy()))
    return ((column, kinds[column.name]) for column in table.columns)


def _references(catalogue: Catalogue) -> Iterator[tuple[str, str, str]]:
    """Table, a table that refers to it, and by which columns."""
    for table in catalogue.tables():
        targets: dict[str, list[str]] = {}
        for column in table.columns:
            if column.references and column.references != table.full_name:
                targets.setdefault(column.references, []).append(column.name)
        for target, columns in targets.items():
            yield target, table.full_name, ", ".join(columns)


def _how(endpoint: Endpoint, table: Table, history: Table | None) -> str:
    """How a table is read, in words."""
    how, fan_out = "one list or document", endpoint.fan_out
    if fan_out and fan_out.batched:
        how = f"one call for all of `{fan_out.parent}`"
    elif fan_out:
        how = f"one call per row of `{fan_out.parent}`" + (" that is new or changed" if fan_out.changed_by else "")
        how += f", and once per row of `{fan_out.once.parent}`, again when it changes" if fan_out.once else ""
    if table.month_by:
        how += "; one slice per month, by " + " or else ".join(f"`{name}`" for name in table.month_by)
    elif table.is_monthly:
        how += "; one slice per month, the one that was requested"
    how += "; a feed: merged by key, rows are never removed" if endpoint.feed else ""
    how += "; read only if a schedule or command names it" if table.on_request else ""
    return how + (f"; history in `{history.published_name}`" if history else "")
