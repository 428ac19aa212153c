"""`sync.slices`: what each published slice is, from its own metadata. The proof behind the numbers."""

from __future__ import annotations

from planday_io.lake.slices import Origin, SliceKey

TABLE = "slices"
SCHEMA = "sync"
DOC = "One row per slice of the lake: what was asked for, what came, and why it counts as complete."

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("table_name", "VARCHAR", "Table, as domain.table."),
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    ("portal_id", "BIGINT", "Planday's id of the portal."),
    ("month", "VARCHAR", "Month of the slice (YYYY-MM), NULL where a slice covers the whole portal."),
    (
        "verdict",
        "VARCHAR",
        "total_matched: the API's total, rows and keys agree. exhausted: read to an empty page. "
        "document: one unpaged answer.",
    ),
    ("expected_total", "BIGINT", "Rows the API said there are, where it says so."),
    ("received", "BIGINT", "Rows that came with this read."),
    ("distinct_keys", "BIGINT", "Different keys among them."),
    ("kept", "BIGINT", "Rows of the slice, those carried over from earlier reads included."),
    ("fetched_at", "TIMESTAMP WITH TIME ZONE", "When the read began (UTC)."),
    ("run_id", "VARCHAR", "Dagster run that wrote the slice."),
    ("requests", "BIGINT", "Calls the read took; 0 for tables that share another one's calls."),
    ("request_window", "VARCHAR", "What was asked for."),
    (
        "elsewhere",
        "BIGINT",
        "Rows of the slice that are not published, because a later read found them in another month.",
    ),
    ("catalogue_version", "BIGINT", "Version of the table declarations."),
    ("slice_id", "VARCHAR", "Differs for every write of the slice."),
)


def values(key: SliceKey, origin: Origin, elsewhere: int) -> tuple[object, ...]:
    """The ledger row of a slice, in the order of `COLUMNS`."""
    return (
        key.full_name,
        key.portal,
        origin.portal_id,
        key.month,
        origin.verdict,
        origin.expected_total,
        origin.received,
        origin.distinct_keys,
        origin.kept,
        origin.fetched_at,
        origin.run_id,
        origin.requests,
        origin.window,
        elsewhere,
        origin.catalogue_version,
        origin.slice_id,
    )
