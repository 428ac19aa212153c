"""`docs/tables.md`, written from the catalogue."""

from __future__ import annotations

from planday_io.catalogue import Catalogue, Endpoint, Table
from planday_io.config.model import Privacy
from planday_io.frames.types import STANDARD_DOCS, duckdb_columns

_CONFIDENCE = {
    "documented": "documented by Planday",
    "observed": "observed on live portals by third parties",
    "inferred": "inferred: an unexpected shape lands in `_extra` with a warning and stops nothing",
    "unknown": "unknown: everything lands in `_extra`",
}


def tables_page(catalogue: Catalogue) -> str:
    """The page, as Markdown."""
    lines = [
        "# Tables",
        "",
        "Generated from the catalogue by `make docs`; `make check` fails when it is stale.",
        "",
        "Every table begins with `portal` and `portal_id`, facts with `month` as well, and ends with `_extra` and",
        "`_fetched_at`:",
        "",
        *(f"- `{name}`: {doc}" for name, doc in STANDARD_DOCS.items()),
        "",
        "Ids repeat across portals: join on `portal` as well. What is done with each privacy class (keep, drop, hash) is",
        "the `privacy` section of `portals.yaml`; a dropped column is there and NULL.",
        "",
        "Local times are wall clocks without an offset, in the zone of the shift (`time_zone`) or else of the portal. Three",
        "macros turn them into instants, also on the nights when clocks change: `first_instant(local, zone)`,",
        "`end_instant(local_start, local_end, zone)` and `hours_between(local_start, local_end, zone)`.",
    ]
    for domain in catalogue.domains():
        lines += ["", f"## {domain}"]
        for endpoint in catalogue.endpoints:
            for table in endpoint.tables:
                if table.domain == domain:
                    lines += _section(endpoint, table)
    return "\n".join(lines) + "\n"


def _how(endpoint: Endpoint) -> str:
    fan_out = endpoint.fan_out
    if fan_out is None:
        return "one list or document"
    if fan_out.at_once:
        return f"one call for all of `{fan_out.parent}`"
    changed = " that is new or changed" if fan_out.changed_by else ""
    return f"one call per row of `{fan_out.parent}`{changed}"


def _section(endpoint: Endpoint, table: Table) -> list[str]:
    how = _how(endpoint)
    if table.is_monthly:
        by = " or else ".join(f"`{name}`" for name in table.month_by or ()) or "that was asked for"
        how += f"; one slice per month, by {by}" if table.month_by else f"; one slice per month, the one {by}"
    if endpoint.feed:
        how += "; a feed, merged by key and never shrinking"
    if table.on_request:
        how += "; read where a schedule or a command names it"
    lines = [
        "",
        f'<a id="{table.full_name}"></a>',
        "",
        f"### {table.full_name}",
        "",
        table.doc,
        "",
        f"Source `GET {endpoint.path}` ({how}); scope `{endpoint.scope or 'none documented'}`; "
        f"key `portal`, {', '.join(f'`{name}`' for name in table.key)}; shape {_CONFIDENCE[table.confidence]}.",
        "",
        "| column | type | privacy | member | meaning |",
        "|---|---|---|---|---|",
    ]
    kinds = dict(duckdb_columns(table, Privacy()))
    lines += [
        f"| `{column.name}` | {kinds[column.name]} | {column.privacy} | `{column.member}` | {column.doc} |"
        for column in table.columns
    ]
    return lines
