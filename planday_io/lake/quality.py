"""The asset checks of a slice, computed from the lake alone. Results hold counts, never values.

Not here: whether a read was complete before it was written (`planday_io.reading`), the guard against shrinking (`guard`).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from planday_io.catalogue import Catalogue, Table
from planday_io.errors import DamagedSliceError
from planday_io.frames.build import distinct_keys
from planday_io.lake.slices import Lake, SliceKey
from planday_io.months import shifted

NAMES = {
    "key_unique": "No two rows of the slice share their key.",
    "key_not_null": "No row lacks a part of its key.",
    "references_resolve": "Ids lead to a row of the table they refer to, as far as that table was read.",
    "complete": "The total that the API stated agrees with the rows received, and the file holds the rows kept. "
    "Rows of other months are received and not kept, and those that did not change are kept and not received.",
    "row_count_usual": "As many rows as usual: half to double the median of the months before, or of the last read.",
}
"""Check -> what it says."""

UNUSUAL = frozenset({"references_resolve", "row_count_usual"})
"""Checks whose failure is unusual. What fails one of the others is wrong."""


def checks_of(table: Table) -> list[str]:
    """The checks of a table: those of `NAMES` that can fail for it."""
    # Part of the key of rows without an id may be absent legitimately; the ordinal tells them apart.
    needs_key = not table.ordinal and table.confidence in ("documented", "observed")
    refers = any(column.references for column in table.columns)
    left_out = {"key_not_null": not needs_key, "references_resolve": not refers}
    return [name for name in NAMES if not left_out.get(name)]


SUCCESSORS: Mapping[str, tuple[str, ...]] = {"hr.employees": ("hr.deactivated_employees",)}
"""The table that rows of another table move to when they leave it."""
_FEW_ROWS = 20
_AROUND = 6


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check of `NAMES`, and the numbers it compared."""

    check: str
    passed: bool
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def is_error(self) -> bool:
        """Whether a failure means that the numbers are wrong, not only unusual."""
        return self.check not in UNUSUAL


def check_slice(lake: Lake, catalogue: Catalogue, key: SliceKey, previous_rows: int | None) -> list[CheckResult]:
    """Run all checks of one existing slice, given how many rows it had before, if it was there. Raises StorageError."""
    table = catalogue.table(key.full_name)
    names = [*table.key, *(column.name for column in table.columns if column.references)]
    rows = lake.read(key, [*dict.fromkeys(names)])
    provenance = lake.provenance(key)
    assert provenance is not None  # noqa: S101 - it was just read
    found = distinct_keys(rows, table.key)
    nulls = sum(rows.column(name).null_count for name in table.key)
    agrees = provenance.kept == rows.num_rows and provenance.distinct_keys == provenance.received
    agrees = agrees and (
        provenance.expected_total is None or provenance.expected_total == provenance.received or table.is_monthly
    )
    results = [
        CheckResult("key_unique", found == rows.num_rows, {"rows": rows.num_rows, "distinct": found}),
        CheckResult("key_not_null", nulls == 0, {"nulls": nulls}),
        _references(lake, catalogue, table, key, rows),
        CheckResult(
            "complete",
            agrees,
            {"kept": provenance.kept, "received": provenance.received, "distinct": provenance.distinct_keys}
            | ({} if provenance.expected_total is None else {"stated": provenance.expected_total}),
        ),
        _usual(lake, key, rows.num_rows, previous_rows),
    ]
    return [result for result in results if result.check in checks_of(table)]


def _references(lake: Lake, catalogue: Catalogue, table: Table, key: SliceKey, rows: pa.Table) -> CheckResult:
    counts: dict[str, int] = {}
    missing_rows = 0
    for column in table.columns:
        if not column.references:
            continue
        known = _ids(lake, catalogue, column.references, key)
        if known is None:
            continue
        values = rows.column(column.name)
        values = pc.list_flatten(values) if pa.types.is_list(values.type) else values
        values = pc.drop_null(values)
        # A pseudonym refers to no row on purpose.
        values = values.filter(pc.greater_equal(values, 0)) if len(values) else values
        missing = len(values) - int(pc.sum(pc.is_in(values, known)).as_py() or 0)
        if missing:
            counts[column.name] = missing
            missing_rows += missing
    return CheckResult("references_resolve", not missing_rows, counts or {"missing": 0})


def _ids(lake: Lake, catalogue: Catalogue, name: str, key: SliceKey) -> pa.Array | None:
    """Ids of a table that a slice may refer to; None where it was not read."""
    column = "id" if "id" in catalogue.table(name).key else catalogue.table(name).key[-1]
    parts = []
    for one in (name, *SUCCESSORS.get(name, ())):
        table = catalogue.table(one)
        # A month's rows refer to the same month or its neighbours.
        months: Sequence[str | None] = [None]
        if table.is_monthly:
            if key.month is None:
                return None
            months = [shifted(key.month, by) for by in (-1, 0, 1)]
        slices = [SliceKey.of(one, key.portal, month) for month in months]
        try:
            parts += [lake.read(there, [column]).column(column) for there in slices if lake.path(there).exists()]
        except DamagedSliceError:
            return None
    return pa.concat_arrays([chunk for part in parts for chunk in part.chunks]) if parts else None


def _usual(lake: Lake, key: SliceKey, rows: int, previous_rows: int | None) -> CheckResult:
    middle = previous_rows
    if key.month is not None:
        around = [SliceKey.of(key.full_name, key.portal, shifted(key.month, by)) for by in range(-_AROUND, 0)]
        kept = [provenance.kept for one in around if (provenance := lake.usable_provenance(one))]
        middle = round(statistics.median(kept)) if kept else None
    counts = {"rows": rows} | ({} if middle is None else {"usual": middle})
    unusual = middle is not None and abs(rows - middle) > _FEW_ROWS and not middle / 2 <= rows <= middle * 2
    return CheckResult("row_count_usual", not unusual, counts)
