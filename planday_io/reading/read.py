"""One endpoint of one portal, read completely, typed as it arrives.

Belongs here: how pages, fan-outs and documents become one typed table per catalogue table. Not here: what is done with
the tables (`planday_io.refresh`), what makes a list complete (`pages`), requests (`planday_io.client`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from planday_io.catalogue.model import Endpoint
from planday_io.client.http import NONE, Counters, PortalClient
from planday_io.errors import ApiError, DuplicateKeyError, IncompleteReadError
from planday_io.frames.build import FrameBuilder, FrameContext, Oddities, distinct_keys
from planday_io.reading.pages import MAX_REREADS, ListReader, Page, Verdict
from planday_io.reading.rows import children_of, identity, primary, rows_of, total_of
from planday_io.reading.workers import each

FAN_OUT_AT_ONCE = 16

Progress = Callable[[int, int | None], None]
"""Called with units done so far and units expected, or None while unknown. A unit is a page or a fanned-out row."""


def untold(done: int, expected: int | None) -> None:
    """Tell nobody."""


_WORST_FIRST: tuple[Verdict, ...] = ("exhausted", "total_matched", "document")


@dataclass(slots=True)
class TableRead:
    """One table as read.

    Args:
        table: typed rows, keys distinct.
        total: what the API stated, summed over lists; None where it stated none.
        received: rows that came, overlaps left out.
        distinct: different keys among them.
        verdict: why the read counts as complete.
        oddities: what did not fit the catalogue.
    """

    table: pa.Table
    total: int | None
    received: int
    distinct: int
    verdict: Verdict
    oddities: Oddities


@dataclass(slots=True)
class EndpointRead:
    """All tables of one endpoint, and what reading them cost."""

    tables: dict[str, TableRead]
    counters: Counters
    rereads: int = 0
    gone: int = 0
    answered: list[int] = field(default_factory=list)
    """Fan-out: the parents that were read (those that are gone are not among them)."""


class EndpointReader:
    """Reads one endpoint.

    Args:
        endpoint: its declaration.
        client: of the portal.
        context: portal, zone, privacy and the time of the read.
        opt_in: values of the endpoint's opt-in parameter to send.
        since: for a feed, the first day wanted (`yyyy-mm-dd`), or None for all.
        progress: told about each answer.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        client: PortalClient,
        context: FrameContext,
        *,
        opt_in: Sequence[str] = (),
        since: str | None = None,
        progress: Progress = untold,
    ) -> None:
        self._endpoint = endpoint
        self._client = client
        self._parent = primary(endpoint)
        self._children = [table for table in endpoint.tables if table.is_child]
        self._builders = {
            table.full_name: FrameBuilder(table, context, self._children if table is self._parent else ())
            for table in endpoint.tables
        }
        self._params = list(endpoint.params)
        if endpoint.opt_in and opt_in:
            self._params.append((endpoint.opt_in.param, ",".join(opt_in)))
        self._feed_params = [(endpoint.feed.since_param, since)] if endpoint.feed and since else []
        self._progress = progress
        self._done = 0
        self.counters = Counters()

    async def read(self) -> EndpointRead:
        """Read the whole list or document.

        Raises:
            PlandayError: see `PortalClient.get`, `ListReader.read` and `FrameBuilder`.
        """
        parts = await self._one({})
        return self._assemble([parts], EndpointRead({}, self.counters, rereads=parts.rereads))

    async def read_each(self, parents: Mapping[int, bool]) -> EndpointRead:
        """Fan out: read once per parent.

        Args:
            parents: ids to read -> whether everything is wanted (True) or only what came since (False).

        Raises:
            PlandayError: as `read`. A parent that is gone by now is counted and no error.
        """
        fan_out = self._endpoint.fan_out
        assert fan_out is not None, "only endpoints with a fan-out are read for each parent"  # noqa: S101
        result = EndpointRead({}, self.counters)
        collected: dict[int, _Parts] = {}

        async def read_one(parent: int) -> None:
            try:
                collected[parent] = await self._one({fan_out.hole: parent}, everything=parents[parent])
            except ApiError as error:
                if error.status not in fan_out.gone:
                    raise
                result.gone += 1
            self._done += 1
            self._progress(self._done, len(parents))

        await each(parents, read_one, at_once=FAN_OUT_AT_ONCE)
        result.answered = sorted(collected)
        result.rereads = sum(parts.rereads for parts in collected.values())
        return self._assemble([collected[parent] for parent in result.answered], result)

    async def _one(self, holes: Mapping[str, int], *, everything: bool = True) -> _Parts:
        params = self._params + ([] if holes and everything else self._feed_params)
        if self._endpoint.pages is None:
            return await self._document(params, holes)
        pages = self._endpoint.pages

        async def fetch(offset: int) -> Page:
            where = [(pages.limit_param, str(pages.limit)), (pages.offset_param, str(offset))]
            answer = await self._get([*params, *where], holes)
            if answer is NONE:
                return Page((), 0)
            rows, total = rows_of(self._parent, answer), total_of(answer)
            if not holes:
                self._done += 1
                self._progress(
                    self._done, None if total is None else max(1, -(-(total - 1) // max(1, pages.limit - 1)))
                )
            return Page(rows, total)

        reader: ListReader[_Batches] = ListReader(
            fetch=fetch,
            identify=identity(self._parent),
            keep=lambda rows: self._batches(rows, holes),
            count_keys=self._count_keys,
            digest_keys=self._digest_keys,
            name=self._name,
        )
        read = await reader.read()
        return _Parts(read.parts, read.total, read.verdict, read.rereads)

    async def _document(self, params: Sequence[tuple[str, str]], holes: Mapping[str, int]) -> _Parts:
        """An unpaged answer. Some state a total all the same, and then it has to agree."""
        for rereads in range(MAX_REREADS + 1):
            answer = await self._get(params, holes)
            rows = [] if answer is NONE else rows_of(self._parent, answer)
            total = total_of(answer)
            if not holes:
                self._progress(1, 1)
            if total is None or total == len(rows):
                return _Parts([self._batches(rows, holes)], total, "document", rereads)
        raise IncompleteReadError(
            f"{self._name} was read {MAX_REREADS + 1} times and never completely: {len(rows)} rows came where the total "
            f"is {total}. Nothing was written and the previous data stays"
        )

    @property
    def _name(self) -> str:
        return f"{self._parent.full_name} of portal '{self._client.portal}'"

    async def _get(self, params: Sequence[tuple[str, str]], holes: Mapping[str, int]) -> Any:  # noqa: ANN401
        return await self._client.get(
            self._endpoint.path,
            counters=self.counters,
            holes=holes,
            params=params,
            scope=self._endpoint.scope,
            none_statuses=self._endpoint.none_statuses,
        )

    def _batches(self, rows: Sequence[object], holes: Mapping[str, int]) -> _Batches:
        batches = {self._parent.full_name: self._builders[self._parent.full_name].batch(rows, holes)}
        for child in self._children:
            batches[child.full_name] = self._builders[child.full_name].batch(children_of(child, rows), holes)
        return batches

    def _keys(self, parts: Sequence[_Batches]) -> pa.Table:
        batches = [part[self._parent.full_name] for part in parts]
        return pa.Table.from_batches(batches).select(list(self._parent.key))

    def _count_keys(self, parts: Sequence[_Batches]) -> int:
        # Where equal rows are legitimate they are told apart by counting them, so all are distinct.
        keys = self._keys(parts)
        return keys.num_rows if self._parent.ordinal else distinct_keys(keys, self._parent.key)

    def _digest_keys(self, parts: Sequence[_Batches]) -> str:
        rows = sorted(map(repr, zip(*(column.to_pylist() for column in self._keys(parts).columns), strict=True)))
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def _assemble(self, reads: Sequence[_Parts], result: EndpointRead) -> EndpointRead:
        for table in self._endpoint.tables:
            builder = self._builders[table.full_name]
            frame = builder.finish([part[table.full_name] for read in reads for part in read.parts])
            distinct = distinct_keys(frame, table.key)
            if distinct != frame.num_rows:
                raise DuplicateKeyError(
                    f"{table.full_name} of portal '{self._client.portal}': {frame.num_rows} rows have {distinct} "
                    f"distinct keys ({', '.join(table.key)}). Nothing was written and the previous data stays"
                )
            totals = [read.total for read in reads]
            known = table is self._parent and totals and None not in totals
            result.tables[table.full_name] = TableRead(
                table=frame,
                total=sum(total for total in totals if total is not None) if known else None,
                received=frame.num_rows,
                distinct=distinct,
                verdict=min((read.verdict for read in reads), key=_WORST_FIRST.index, default="document"),
                oddities=builder.oddities,
            )
        return result


_Batches = dict[str, pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class _Parts:
    """One list or document: batches in order and the verdict on it."""

    parts: list[_Batches]
    total: int | None
    verdict: Verdict
    rereads: int
