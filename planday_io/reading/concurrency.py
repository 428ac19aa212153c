"""Bounded concurrency: one coroutine per item, a limited number at a time, stopping at the first error."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def for_each_bounded(items: Iterable[T], work: Callable[[T], Awaitable[None]], *, limit: int) -> None:
    """Await `work(item)` for every item. The first error cancels the rest and is raised as it is, not in a group."""
    source = iter(items)

    async def worker() -> None:
        for item in source:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(limit):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
