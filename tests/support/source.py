"""Lists as an API might answer them, and how they are read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from planday_io.catalogue.endpoint import Endpoint
from planday_io.config.model import PrivacyPolicy
from planday_io.frames.build import FrameContext
from planday_io.frames.privacy import PrivacyFilter
from planday_io.months import first_day, last_day
from planday_io.reading.calls import calls_of
from planday_io.reading.read import EndpointReader


class Source:
    """Answers for one list, the way an API might: what a window tests, page sizes, totals and drafts vary."""

    portal = "test"

    def __init__(self, rows: Sequence[dict[str, Any]], *, page: int, totals: bool, drafts: bool, overlap: bool) -> None:
        self.rows, self.page, self.totals, self.drafts, self.overlap = rows, page, totals, drafts, overlap
        self.asked = 0

    async def get(
        self, _: str, *, params: Sequence[tuple[str, str]], decode: Callable[[bytes], object], **__: object
    ) -> object:
        self.asked += 1
        return decode(json.dumps(self.answer(params)).encode())

    def answer(self, params: Sequence[tuple[str, str]]) -> dict[str, Any]:
        query = dict(params)
        begin = 1 if self.overlap else 0
        found = [
            row
            for row in self.rows
            if query["from"] <= (date.fromisoformat(row["date"]) + timedelta(days=begin)).isoformat()
            and row["date"] <= query["to"]
            and (
                row["status"] == query["shiftStatus"]
                if "shiftStatus" in query
                else self.drafts or row["status"] != "Draft"
            )
        ]
        offset, limit = int(query["offset"]), min(int(query["limit"]), self.page)
        return {"paging": {"total": len(found)} if self.totals else {}, "data": found[offset : offset + limit]}


def context(month: str) -> FrameContext:
    return FrameContext(
        portal="test",
        portal_id=1,
        zone=ZoneInfo("UTC"),
        fetched_at=datetime(2026, 1, 1, tzinfo=UTC),
        privacy=PrivacyFilter(PrivacyPolicy(), 1, lambda: ""),
        month=month,
    )


def read(endpoint: Endpoint, source: Source, month: str) -> Mapping[str, pa.Table]:
    calls = calls_of(endpoint, days=(first_day(month), last_day(month)))
    result = asyncio.run(EndpointReader(endpoint, source, context(month)).read(calls))  # type: ignore[arg-type]
    return {name: part.table for name, part in result.tables.items()}
