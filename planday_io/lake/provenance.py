"""The key of a slice and its provenance, the values stored in a slice's file.

Not here: the files (`slices`), their bytes (`parquet`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

FORMAT = 1
"""The version of the lake's layout. A slice of a later version is refused."""
_KEY = re.compile(r"([a-z0-9_]+)\.([a-z0-9_]+)\.([a-z0-9_]+)(?:\.([0-9]{4}-(?:0[1-9]|1[0-2])))?")


@dataclass(frozen=True, slots=True, order=True)
class SliceKey:
    """Identifies a slice. `month` is `YYYY-MM`, or None for tables with one slice per portal."""

    domain: str
    table: str
    portal: str
    month: str | None = None

    @classmethod
    def of(cls, full_name: str, portal: str, month: str | None = None) -> SliceKey:
        """From a table's full name."""
        domain, _, table = full_name.partition(".")
        return cls(domain, table, portal, month)

    @classmethod
    def parse(cls, text: str) -> SliceKey | None:
        """From what `str` made of one, which names files of the state folder; None where a text is none (`.DS_Store`)."""
        found = _KEY.fullmatch(text)
        return cls(*found.groups()) if found else None

    @property
    def full_name(self) -> str:
        """`domain.table`."""
        return f"{self.domain}.{self.table}"

    def __str__(self) -> str:
        return ".".join(part for part in (self.domain, self.table, self.portal, self.month) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """Where a slice comes from, and why it counts as complete.

    Args:
        run_id: Dagster's run.
        portal_id: Planday's id of the portal.
        fetched_at: UTC instant the read began.
        window: the requested range, in words.
        requests: calls the whole endpoint took; 0 for child tables, which share their parent's.
        expected_total: the API's total, or None.
        received: rows received.
        distinct_keys: different keys among them.
        kept: rows of the slice.
        verdict: total_matched, exhausted or document.
        catalogue_version: of the declarations.
        policies: privacy policy in force, per class that the table has.
        batch: name of the group of runs that were started together, or empty.
        covered: fan-out: parents this slice covers, as `id` or `id/id`, and a digest of what they were, where the
            endpoint goes by that; as `id/once` those that are read once, whether the API answered or not; as
            `id/in-neither` those whose rows are kept until the next read because neither list had them.
        slice_id: differs for every write.
    """

    run_id: str
    portal_id: int
    fetched_at: str
    window: str
    requests: int
    expected_total: int | None
    received: int
    distinct_keys: int
    kept: int
    verdict: str
    catalogue_version: int
    policies: dict[str, str] = field(default_factory=dict)
    covered: dict[str, str] = field(default_factory=dict)
    batch: str = ""
    slice_id: str = ""
    format: int = FORMAT

    @property
    def fetched(self) -> datetime:
        """`fetched_at` as an instant."""
        return datetime.fromisoformat(self.fetched_at)
