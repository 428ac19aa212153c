"""A list read page by page, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from planday_io.reading.pages import FIRST_READ, ListLimit, ListRead, ListReader, Page


def read(
    fetch: Callable[[int], Page], *, has_equal_rows: bool = False, limit: ListLimit = FIRST_READ
) -> ListRead[list[Any]]:
    async def asynchronous(offset: int) -> Page:
        await asyncio.sleep(0)
        return fetch(offset)

    def flat(parts: Sequence[list[Any]]) -> list[Any]:
        return [row for part in parts for row in part]

    reader: ListReader[list[Any]] = ListReader(
        fetch=asynchronous,
        identify=lambda row: row,
        keep=lambda rows, _: list(rows),
        count_keys=lambda parts: len(flat(parts)) if has_equal_rows else len(set(flat(parts))),
        digest_keys=lambda parts: repr(sorted(set(flat(parts)))),
        name="numbers",
        has_equal_rows=has_equal_rows,
        limit=limit,
    )
    return asyncio.run(reader.read())


def rows(result: ListRead[list[Any]]) -> list[Any]:
    return [row for part in result.parts for row in part]
