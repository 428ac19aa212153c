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
        "Every table begins with `portal` and `portal_id` and ends with `_extra` and `_fetched_at`:",
        "",
        *(f"- `{name}`: {doc}" for name, doc in STANDARD_DOCS.items()),
        "",
        "Ids repeat across portals: join on `portal` as well. What is done with each privacy class (keep, drop, hash) is",
        "the `privacy` section of `portals.yaml`; a dropped column is there and NULL.",
    ]
    for domain in catalogue.domains():
        lines += ["", f"## {domain}"]
        for endpoint in catalogue.endpoints:
            for table in endpoint.tables:
                if table.domain == domain:
                    lines += _section(endpoint, table)
    return "\n".join(lines) + "\n"


def _section(endpoint: Endpoint, table: Table) -> list[str]:
    how = "one call per row of " + f"`{endpoint.fan_out.parent}`" if endpoint.fan_out else "one list or document"
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
