"""What a delivery did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from planday_io.config.days import Span
from planday_io.monitoring.completeness import MonthState


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What was delivered.

    Args:
        name: of the delivery.
        span: its days.
        made: the file or folder that was exported.
        sheets: name and rows of each sheet or table.
        notes: what a reader should know, by sheet or tables.
        states: how complete it is.
        published_at: UTC instant of the publication that it is from.
        remarks: what else is not complete.
        is_kept: whether it is in its folder; otherwise it was only mailed, or tried.
        mailed: how many people the mail was sent to.
        refused: how many of them the mail server refused.
        is_attached: whether the mail has the file, which may be too large for it.
    """

    name: str
    span: Span
    made: Path
    sheets: tuple[tuple[str, int], ...]
    notes: tuple[tuple[str, str], ...]
    states: tuple[MonthState, ...]
    published_at: datetime
    remarks: tuple[str, ...]
    is_kept: bool
    mailed: int = 0
    refused: int = 0
    is_attached: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.remarks and all(one.is_complete for one in self.states)

    @property
    def rows(self) -> int:
        return sum(rows for _, rows in self.sheets)
