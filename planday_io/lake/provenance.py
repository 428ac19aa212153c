"""The provenance of a slice, which is stored in its file.

Not here: the files (`slices`), their bytes (`parquet`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime

FORMAT = 1
"""The version of the lake's layout. A slice of a later version is refused."""


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
        covered: fan-out: parents this slice covers, as `id` or `id/id`, and a digest of their row, if the endpoint
            detects changes by it; as `id/once` those that are read once, whether the API answered or not; as
            `id/in-neither` those whose rows are kept until the next read because neither list had them.
        absent: columns that the catalogue did not have yet at the time of the read; they were added later, without values.
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
    absent: list[str] = field(default_factory=list)
    slice_id: str = ""
    format: int = FORMAT

    def encoded(self) -> bytes:
        """As it is stored in a file."""
        return json.dumps(asdict(self)).encode()

    @property
    def fetched(self) -> datetime:
        return datetime.fromisoformat(self.fetched_at)
