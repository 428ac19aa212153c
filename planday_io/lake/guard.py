"""Whether a new snapshot may replace the previous one."""

from __future__ import annotations

from collections.abc import Callable

from planday_io.errors import ShrunkSnapshotError

_NONE_LEFT_ROWS = 5


def check_shrink(
    name: str,
    *,
    before_rows: int,
    after_rows: int,
    min_ratio: float,
    max_lost_rows: int,
    explain: Callable[[], str] = str,
) -> None:
    """Refuse a snapshot that lost a suspicious share of its rows (docs/decisions.md#complete-reads).

    Args:
        name: table and portal, for the error.
        before_rows: of the previous slice.
        after_rows: of the new one.
        min_ratio: smallest accepted share of the previous rows, if more than `max_lost_rows` are gone.
        max_lost_rows: losing this many is always accepted, unless five or more rows become none.
        explain: describes what vanished, in counts; called only if the snapshot is refused.

    Raises:
        ShrunkSnapshotError: it is refused. Nothing was written.
    """
    lost = before_rows - after_rows
    emptied = after_rows == 0 and before_rows >= _NONE_LEFT_ROWS
    if emptied or (after_rows < before_rows * min_ratio and lost > max_lost_rows):
        details = f" ({told})" if (told := explain()) else ""
        raise ShrunkSnapshotError(
            f"{name} shrank from {before_rows} rows to {after_rows}: {lost} vanished{details}. Nothing was written and the "
            "previous data stays. If that is the truth, run it once with --accept-shrink (in the Dagster UI: tag "
            "planday/accept_shrink=true); what is usual for a table can be set under `guards` in portals.yaml"
        )
