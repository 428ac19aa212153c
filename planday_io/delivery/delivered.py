"""What a delivery did."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from planday_io.config.days import Span
from planday_io.export.export import Exported


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What was delivered.

    Args:
        name: of the delivery.
        span: its days.
        exported: what was written, and how complete it is.
        remarks: what else is not complete.
        place: the file, or folder of CSV files, in its folder; None where it was only mailed.
        mailed: how many people the mail was sent to.
        refused: how many of them the mail server refused.
        is_attached: whether the mail has the file, which may be too large for it.
    """

    name: str
    span: Span
    exported: Exported
    remarks: tuple[str, ...]
    place: Path | None = None
    mailed: int = 0
    refused: int = 0
    is_attached: bool = False

    @property
    def is_complete(self) -> bool:
        return not self.remarks and all(one.is_complete for one in self.exported.states)
