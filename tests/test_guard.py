"""When a smaller snapshot may replace the previous one; the figures are those of docs/decisions.md#complete-reads."""

from __future__ import annotations

import pytest

from planday_io.errors import ShrunkSnapshotError
from planday_io.lake.guard import check_shrink


@pytest.mark.parametrize(
    ("before", "after", "passes"),
    [
        # Nothing was there, nothing is gone, more came.
        (0, 0, True),
        (5, 5, True),
        (5, 900, True),
        # A fifth may go; more than 20 rows have to be gone.
        (1000, 800, True),
        (1000, 799, False),
        (100, 80, True),
        (100, 79, False),
        (50, 30, True),
        (50, 29, False),
        (20, 1, True),
        # An empty answer where five rows were is no answer.
        (4, 0, True),
        (5, 0, False),
        (20, 0, False),
    ],
)
def test_how_much_of_a_snapshot_may_vanish(before: int, after: int, *, passes: bool) -> None:
    figures = {"before_rows": before, "after_rows": after, "min_ratio": 0.8, "max_lost_rows": 20}
    if passes:
        check_shrink("hr.employees", **figures)
    else:
        with pytest.raises(
            ShrunkSnapshotError, match=f"shrank from {before} rows to {after}: {before - after} vanished"
        ):
            check_shrink("hr.employees", **figures)


def test_what_vanished_is_asked_only_on_refusal() -> None:
    asked: list[str] = []

    def explain() -> str:
        asked.append("asked")
        return "3 of 4 departments"

    limits = {"min_ratio": 0.8, "max_lost_rows": 20}
    check_shrink("hr.employees", before_rows=10, after_rows=9, explain=explain, **limits)
    assert not asked
    with pytest.raises(ShrunkSnapshotError, match="3 of 4 departments"):
        check_shrink("hr.employees", before_rows=10, after_rows=0, explain=explain, **limits)
