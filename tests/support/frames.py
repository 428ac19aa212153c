"""Frames built from rows without a portal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from planday_io.catalogue import CATALOGUE
from planday_io.config.model import PrivacyPolicy
from planday_io.errors import PlandayError
from planday_io.frames.build import FrameBuilder, FrameContext
from planday_io.frames.bulk import RowShape
from planday_io.frames.privacy import PrivacyFilter


def builder(table: str, **policies: Any) -> FrameBuilder:
    privacy = PrivacyFilter(PrivacyPolicy(**policies), 1, lambda: "key")
    context = FrameContext(
        portal="oslo",
        portal_id=1,
        zone=ZoneInfo("Europe/Oslo"),
        fetched_at=datetime(2026, 11, 24, tzinfo=UTC),
        privacy=privacy,
        month="2026-11" if CATALOGUE.table(table).is_monthly else None,
    )
    return FrameBuilder(CATALOGUE.table(table), context)


def shape_of(table: str) -> RowShape:
    shape = builder(table).shape
    assert shape is not None
    return shape


def outcome(made: FrameBuilder, rows: Any) -> Any:
    try:
        batch = made.batch(rows)
    except PlandayError as error:
        return type(error), str(error)
    batch.validate(full=True)
    return batch, made.drift
