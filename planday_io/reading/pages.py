"""Reading a paged list completely, or not at all.

Little is known (docs/api-facts.md#paging): order is undocumented, totals may be missing, limits may be lowered silently. So a
list counts as complete only with proof (docs/decisions.md#complete-reads):

- the offset advances by the rows received, never by the limit requested;
- each page repeats the last row of the previous page: if a row was deleted behind the reader while another was added, all
  counts agree although a row is missing, but the repeated row differs;
- a total, if stated, is the same on every page and equals the number of rows and of distinct keys;
- without a total, reading continues until a page is empty.

Otherwise the list is read again, at most three times. Two reads in a row with the same keys are proof as well, in any order,
if the totals agree.

A total is a claim: no memory is allocated by it, and a list with more rows or pages than allowed ends the read at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

from planday_io.errors import IncompleteReadError, LimitExceededError
from planday_io.reading.concurrency import for_each_bounded

MAX_REREADS = 3
PAGES_AT_ONCE = 8
_FAR = 100_000_000

Completeness = Literal["total_matched", "exhausted", "document"]
"""total_matched: the API's total, the rows and the distinct keys agree. exhausted: no total, read to an empty page.
document: one unpaged answer."""

T = TypeVar("T")

_ROWS_PER_PAGE, _FEWEST_PAGES = 25, 1000
"""Rows per page that the page limit assumes, and the pages always allowed: servers may lower a requested limit."""


@dataclass(frozen=True, slots=True)
class ListLimit:
    """The most rows that a list may have, and those of its table at the previous read, or None if it was never read."""

    rows: int
    before: int | None = None

    @property
    def pages(self) -> int:
        """The most pages allowed."""
        return max(_FEWEST_PAGES, self.rows // _ROWS_PER_PAGE)

    def check(self, name: str, *, rows: int = 0, pages: int = 0, total: int | None = None) -> None:
        """Raise LimitExceededError if a list has more rows or pages than allowed."""
        if rows > self.rows:
            found = f"more than {self.rows} rows"
        elif pages > self.pages:
            found = f"more than {self.pages} pages"
        elif total is not None and total > self.rows:
            # A number from outside may have any number of digits; do not repeat them all.
            found = f"a total of {total if total < 10**15 else 'more than 10^15'} where {self.rows} rows are allowed"
        else:
            return
        previous = (
            f"had {self.before} rows at its previous read" if self.before is not None else "was never read before"
        )
        raise LimitExceededError(
            f"{name}: the list has {found}, and the table {previous}. Nothing was written and the previous data stays. If it "
            "really is that long, raise planday.list_rows or planday.list_growth in portals.yaml"
        )


FIRST_READ = ListLimit(2_000_000)
"""The default: what a table that was never read may have."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: its rows, and the total it states, or None."""

    rows: Sequence[object]
    total: int | None


@dataclass(slots=True)
class ListRead(Generic[T]):
    """A list or document as read.

    Args:
        parts: results of `keep`, in order.
        received: rows, without repeated ones.
        total: what the API stated, or None.
        verdict: why this counts as complete.
        rereads: how often it was read again.
        doubt: why the order of its pages cannot be trusted.
        fault: why it is incomplete.
    """

    parts: list[T]
    received: int
    total: int | None = None
    verdict: Completeness = "total_matched"
    rereads: int = 0
    doubt: str = ""
    fault: str = ""


@dataclass(slots=True, kw_only=True)
class ListReader(Generic[T]):
    """Reads one list.

    Args:
        fetch: gets the page that begins at an offset, asking for as many rows as allowed.
        identify: what distinguishes rows.
        keep: turns rows into what to keep, given the position of the first in the list; called once per page, in any order.
        count_keys: how many different keys kept parts have.
        digest_keys: a text that is equal for equal sets of keys.
        name: of the list, for errors.
        has_equal_rows: the list may hold equal rows, so only an empty page is the end.
        limit: how long the list may be.
    """

    fetch: Callable[[int], Awaitable[Page]]
    identify: Callable[[object], Hashable]
    keep: Callable[[Sequence[object], int], T]
    count_keys: Callable[[Sequence[T]], int]
    digest_keys: Callable[[Sequence[T]], str]
    name: str
    has_equal_rows: bool = False
    limit: ListLimit = FIRST_READ
    _pages: int = field(default=0, init=False)

    async def read(self) -> ListRead[T]:
        """Read until a pass proves complete.

        Raises:
            IncompleteReadError: no pass did.
            LimitExceededError: the list is longer than allowed.
        """
        before: str | None = None
        for rereads in range(MAX_REREADS + 1):
            attempt = await self._pass()
            attempt.rereads = rereads
            distinct, fault = self.count_keys(attempt.parts), attempt.fault
            if not fault and distinct != attempt.received:
                fault = f"{attempt.received} rows have {distinct} distinct keys"
            digest = self.digest_keys(attempt.parts) if fault or attempt.doubt else None
            if not fault and digest == before:
                attempt.doubt = ""
            fault = fault or attempt.doubt
            if not fault:
                return attempt
            before = digest
        raise IncompleteReadError(
            f"{self.name} was read {MAX_REREADS + 1} times and never completely: {fault}. Nothing was written and the "
            "previous data stays; it is read again at the next run"
        )

    async def _pass(self) -> ListRead[T]:
        self._pages = 0
        first = await self._fetch(0)
        self.limit.check(self.name, rows=len(first.rows), total=first.total)
        if first.total is None:
            return await self._until_empty(first)
        return await self._by_total(first, first.total)

    async def _fetch(self, offset: int) -> Page:
        self._pages += 1
        self.limit.check(self.name, pages=self._pages)
        return await self.fetch(offset)

    async def _by_total(self, first: Page, total: int) -> ListRead[T]:
        """Read all pages concurrently; the first shows how many rows a page really holds."""
        size = len(first.rows)
        attempt = ListRead[T](parts=[self.keep(first.rows, 0)], received=size, total=total)
        if size == 0 and total > 0:
            attempt.fault = f"the total is {total}, and the first page is empty"
        if size >= total or attempt.fault:
            if size > total:
                attempt.fault = f"{size} rows were received, but the total is {total}"
            return attempt
        stretches: list[_Stretch[T]] = []

        def begun() -> Iterator[_Stretch[T]]:
            for start, stop in _ranges(size, total):
                if any(one.fault for one in stretches[-PAGES_AT_ONCE:]):
                    # The list ends here, whatever the total says.
                    return
                stretches.append(_Stretch[T](start, stop))
                yield stretches[-1]

        await for_each_bounded(begun(), self._fill, limit=PAGES_AT_ONCE)
        last = self.identify(first.rows[-1])
        overlapped = size > 1
        for stretch in stretches:
            attempt.parts += stretch.parts
            attempt.received += stretch.received
            attempt.fault = attempt.fault or stretch.fault
            strange = {seen for seen in stretch.totals if seen is not None} - {total}
            if strange:
                attempt.fault = f"the total changed from {total} to {strange.pop()} between pages"
            if overlapped and stretch.first != last:
                attempt.doubt = "rows moved between pages"
            last = stretch.last
        if not attempt.fault and attempt.received != total:
            attempt.fault = f"{attempt.received} rows were received, but the total is {total}"
        if not attempt.fault and stretch.surplus:
            attempt.fault = f"rows were received after the total of {total}"
        if not attempt.fault and None in stretch.totals:
            # The last page does not confirm the total; an empty page after it does.
            beyond = await self._fetch(total)
            attempt.verdict = "exhausted"
            if beyond.rows:
                attempt.fault = f"rows were received after the total of {total}"
        return attempt

    async def _fill(self, stretch: _Stretch[T]) -> None:
        """Read a range of rows, in as many pages as the server needs."""
        offset = stretch.start
        repeated = 1 if stretch.stop - stretch.start > 1 else 0
        while offset < stretch.stop:
            page = await self._fetch(offset)
            rows = page.rows[: stretch.stop - offset]
            stretch.surplus = len(page.rows) - len(rows)
            stretch.totals.append(page.total)
            if not rows:
                stretch.fault = f"the page at offset {offset} ends too early"
                return
            is_first = offset == stretch.start
            place = offset + repeated if is_first else offset
            offset += len(rows)
            stretch.last = self.identify(rows[-1])
            if is_first:
                stretch.first = self.identify(rows[0])
                rows = rows[repeated:]
            if rows:
                stretch.received += len(rows)
                stretch.parts.append(self.keep(rows, place))

    async def _ignores_offset(self) -> bool:
        """Whether the server ignores the offset: it returns rows far beyond the end. Asks only if rows may be equal."""
        return not self.has_equal_rows or bool((await self._fetch(_FAR)).rows)

    async def _until_empty(self, first: Page) -> ListRead[T]:
        """Read page after page, because there is no total."""
        attempt = ListRead[T](parts=[self.keep(first.rows, 0)], received=len(first.rows), verdict="exhausted")
        seen = {self.identify(row) for row in first.rows}
        last = self.identify(first.rows[-1]) if first.rows else None
        overlap = 1 if len(first.rows) > 1 else 0
        before: list[Hashable] = []
        while first.rows:
            rows = (await self._fetch(attempt.received - overlap)).rows
            names = [self.identify(row) for row in rows]
            if len(names) == attempt.received and set(names) == seen and await self._ignores_offset():
                # The server ignores the offset: each answer is the whole list, and it came twice.
                return attempt
            if overlap and names and names[0] != last:
                attempt.doubt = "rows moved between pages"
            if self.has_equal_rows and names[overlap:] and names == before:
                attempt.fault = "one page came twice"
                return attempt
            is_end = not names[overlap:] if self.has_equal_rows else seen.issuperset(names[overlap:])
            before = names
            if is_end:
                # Nothing new. Unless the rows are in doubt already, an empty page proves that this is the end.
                if overlap and not attempt.doubt and (await self._fetch(attempt.received)).rows:
                    attempt.fault = "rows were received after a page without any"
                return attempt
            attempt.parts.append(self.keep(rows[overlap:], attempt.received))
            attempt.received += len(rows) - overlap
            self.limit.check(self.name, rows=attempt.received)
            seen.update(names)
            last = names[-1]
        return attempt


@dataclass(slots=True)
class _Stretch(Generic[T]):
    """Rows `start` to `stop` (exclusive). The first repeats the previous row, if there is room (see `_ranges`)."""

    start: int
    stop: int
    parts: list[T] = field(default_factory=list)
    received: int = 0
    totals: list[int | None] = field(default_factory=list)
    surplus: int = 0
    first: Hashable = None
    last: Hashable = None
    fault: str = ""


def _ranges(size: int, total: int) -> Iterator[tuple[int, int]]:
    """The ranges of rows still to read after a first page of `size`, each beginning with the row before it.

    With a size of one there is no room for a repeated row.
    """
    if size == 1:
        return ((start, start + 1) for start in range(1, total))
    return ((start, min(start + size, total)) for start in range(size - 1, total - 1, size - 1))
