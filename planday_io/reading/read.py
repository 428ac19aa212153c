"""Reads the answers to a list of calls, each list completely, and has `assemble` make tables of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from planday_io.catalogue import Table
from planday_io.catalogue.endpoint import Endpoint, Pages
from planday_io.catalogue.model import Document
from planday_io.client.http import NONE, Counters, PortalClient
from planday_io.documents import ANY_DECODER, Decoded, load
from planday_io.errors import ApiError, DataError, IncompleteReadError
from planday_io.frames.build import FrameBuilder, FrameContext, distinct_keys
from planday_io.frames.members import PathParam
from planday_io.frames.schema_drift import SchemaDrift
from planday_io.reading.assemble import TableRead, assemble
from planday_io.reading.calls import Call, Params, ParentKey
from planday_io.reading.concurrency import for_each_bounded
from planday_io.reading.pages import FIRST_READ, MAX_REREADS, ListLimit, ListRead, ListReader, Page
from planday_io.reading.parts import Batches, packed
from planday_io.reading.rows import children_of, identity, primary, tables_in, total_of

CALLS_AT_ONCE = 16
_MANY = 3
"""If this many parents are missing and none answers, the call itself is wrong."""

_UNKNOWN_ID = (400, 404)

Progress = Callable[[int, int | None], None]
"""Called with units done and units expected (None while unknown). A unit is a page, or a call if there are several."""


def no_progress(done: int, expected: int | None) -> None:
    """Ignore progress."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """The rows of each table (child tables excluded) in one answer, and the total it states, or None."""

    rows: dict[str, Sequence[object]]
    total: int | None


@dataclass(slots=True)
class EndpointRead:
    """All tables of one endpoint, and the cost of reading them."""

    tables: dict[str, TableRead] = field(default_factory=dict)
    counters: Counters = field(default_factory=Counters)
    rereads: int = 0
    gone: int = 0
    is_absent: bool = False
    """The API answered with a status that means the list does not exist."""
    answered: set[ParentKey] = field(default_factory=set)
    """Fan-out: the parents that were read, without those that are gone."""
    unknown: set[ParentKey] = field(default_factory=set)
    """Fan-out: parents that are no longer listed and that the API no longer knows."""
    left: set[ParentKey] = field(default_factory=set)
    """Fan-out: parents that left (also between the list and the call) and that the API does not answer for."""

    def rows(self) -> dict[str, pa.Table]:
        """Full name -> rows, as they are now."""
        return {name: part.table for name, part in self.tables.items()}


async def ask(
    endpoint: Endpoint, client: PortalClient, call: Call, counters: Counters, *, rows: int | None = None
) -> object:
    """One answer to a call, or NONE, where not all rows are wanted: at most so many, if the endpoint has pages."""
    page: Params = ()
    if rows is not None and endpoint.pages:
        page = ((endpoint.pages.limit_param, str(rows)), (endpoint.pages.offset_param, "0"))
    answer: object = await client.get(
        endpoint.path,
        counters=counters,
        path_params=call.path_params,
        params=(*call.params, *page),
        scope=endpoint.scope,
        none_statuses=endpoint.none_statuses,
    )
    return answer


class EndpointReader:
    """Reads one endpoint. `limit` says how long a list may be; `progress` is called after each answer."""

    def __init__(
        self,
        endpoint: Endpoint,
        client: PortalClient,
        context: FrameContext,
        *,
        limit: ListLimit = FIRST_READ,
        progress: Progress = no_progress,
    ) -> None:
        self._endpoint = endpoint
        self._client = client
        self._month = context.month
        self._parent = primary(endpoint)
        self._children = [table for table in endpoint.tables if table.is_child]
        self._tops = [table for table in endpoint.tables if not table.is_child]
        self._builders = {
            table.full_name: FrameBuilder(table, context, self._children if table is self._parent else ())
            for table in endpoint.tables
        }
        shape = self._builders[self._parent.full_name].shape
        self._decode = shape.page if shape and self._parent.rows == Document(member="data") else None
        self._limit = limit
        self._progress = progress
        self._done = 0
        self._is_single = True
        self._result = EndpointRead()

    async def read(self, calls: Sequence[Call]) -> EndpointRead:
        """Read all calls, once per reader.

        Raises:
            PlandayError: see `PortalClient.get`, `ListReader.read` and `FrameBuilder`. A fan-out's parent that has
                vanished is counted, not an error.
        """
        result = self._result
        answers: dict[int, ListRead[Batches]] = {}
        gone: dict[ParentKey, ApiError] = {}
        self._is_single = len(calls) == 1

        async def read_one(number: int) -> None:
            call = calls[number]
            try:
                answers[number] = await self._one(call)
            except ApiError as error:
                if call.instead and error.status in _UNKNOWN_ID:
                    answers[number] = await self._one(call.instead)
                elif call.parent is None or self._endpoint.fan_out is None:
                    raise
                elif not call.parent.is_listed and error.status in _UNKNOWN_ID:
                    result.unknown.add(call.parent.key)
                elif error.status in self._endpoint.fan_out.missing_statuses:
                    gone[call.parent.key] = error
                else:
                    raise
            if not self._is_single:
                self._done += 1
                self._progress(self._done, len(calls))

        await for_each_bounded(range(len(calls)), read_one, limit=CALLS_AT_ONCE)
        parents = {call.parent.key: call.parent for call in calls if call.parent is not None}
        result.answered = parents.keys() - gone.keys() - result.unknown
        result.left = gone.keys() | {key for key in result.unknown if parents[key].is_once}
        if len(gone) >= _MANY and not result.answered:
            raise next(iter(gone.values()))
        # No answer is expected for people who left.
        result.gone = len(gone) + len(result.unknown - result.left)
        result.rereads = sum(read.rereads for read in answers.values())
        absent = gone.keys() | result.unknown
        kept = [
            answers[number]
            for number, call in enumerate(calls)
            if number in answers and (call.parent is None or call.parent.key not in absent)
        ]
        result.tables = assemble(self._endpoint, self._builders, kept, portal=self._client.portal, month=self._month)
        return result

    @property
    def drift(self) -> dict[str, SchemaDrift]:
        """The drift of each table, by full name, also if the read failed."""
        return {name: builder.drift for name, builder in self._builders.items()}

    async def _one(self, call: Call) -> ListRead[Batches]:
        read = await (self._document(call) if self._endpoint.pages is None else self._list(call, self._endpoint.pages))
        if not self._is_single:
            read.parts = [{name: packed(batch) for name, batch in part.items()} for part in read.parts]
        return read

    async def _list(self, call: Call, pages: Pages) -> ListRead[Batches]:
        async def fetch(offset: int) -> Page:
            where = [(pages.limit_param, str(pages.limit)), (pages.offset_param, str(offset))]
            answer = await self._get(call, where, offset)
            if self._is_single:
                self._done += 1
                self._progress(
                    self._done,
                    None if answer.total is None else max(1, -(-(answer.total - 1) // max(1, pages.limit - 1))),
                )
            return Page(answer.rows[self._parent.full_name], answer.total)

        reader: ListReader[Batches] = ListReader(
            fetch=fetch,
            identify=identity(self._parent),
            keep=lambda rows, place: self._batches(self._parent, rows, call.path_params, place),
            count_keys=self._count_keys,
            digest_keys=self._digest_keys,
            name=self._name,
            has_equal_rows=self._parent.ordinal is not None,
            limit=self._limit,
        )
        return await reader.read()

    async def _document(self, call: Call) -> ListRead[Batches]:
        """An unpaged answer. If it states a total nevertheless, the total has to match."""
        for rereads in range(MAX_REREADS + 1):
            answer = await self._get(call)
            total, came = answer.total, len(answer.rows[self._parent.full_name])
            self._limit.check(self._name, rows=max(map(len, answer.rows.values()), default=0), total=total)
            if self._is_single:
                self._progress(1, 1)
            if total is None or total == came:
                batches: Batches = {}
                for table in self._tops:
                    batches |= self._batches(table, answer.rows[table.full_name], call.path_params)
                return ListRead([batches], came, total, "document", rereads)
        raise IncompleteReadError(
            f"{self._name} was read {MAX_REREADS + 1} times and never completely: {came} rows were received, but the total "
            f"is {total}. Nothing was written and the previous data stays"
        )

    @property
    def _name(self) -> str:
        return f"{self._parent.full_name} of portal '{self._client.portal}'{self._in_month}"

    @property
    def _in_month(self) -> str:
        return f" in {self._month}" if self._month else ""

    async def _get(self, call: Call, page: Sequence[tuple[str, str]] = (), offset: int | None = None) -> _Answer:
        """One answer. A status that means "none" does so on the first page only; later it does not end a list."""
        none, path_params = self._endpoint.none_statuses, call.path_params
        if call.parent and call.parent.is_once:
            # For somebody who left, the status may mean that the API no longer knows the id.
            none = tuple(status for status in none if status not in _UNKNOWN_ID)
        try:
            answer: _Answer = await self._client.get(
                self._endpoint.path,
                counters=self._result.counters,
                path_params=path_params,
                params=[*call.params, *page],
                scope=self._endpoint.scope,
                none_statuses=() if offset else none,
                decode=lambda body: self._answer(body, path_params, offset or 0),
            )
        except (ApiError, DataError) as error:
            at = "" if offset is None else f", page at offset {offset}"
            error.add_place(f"{self._parent.full_name}{self._in_month}{_ids(path_params)}{at}")
            raise
        if answer is NONE:
            self._result.is_absent |= self._endpoint.fan_out is None
            return _Answer({table.full_name: [] for table in self._tops}, None if offset is None else 0)
        return answer

    def _answer(self, body: bytes, path_params: Mapping[str, PathParam], place: int) -> _Answer:
        """The rows in a body; damaged text is repaired and recorded as drift."""
        document: Decoded[Any] = load(body, self._decode or ANY_DECODER.decode)
        rows = tables_in(self._tops, document.value)
        if document.is_damaged:
            rows = {
                name: [
                    self._builders[name].repaired(*document.clean(row), path_params, number, place)
                    for number, row in enumerate(found)
                ]
                for name, found in rows.items()
            }
        return _Answer(rows, total_of(document.value))

    def _batches(
        self, table: Table, rows: Sequence[object], path_params: Mapping[str, PathParam], place: int = 0
    ) -> Batches:
        try:
            batches = {table.full_name: self._builders[table.full_name].batch(rows, path_params, place)}
            for child in self._children if table is self._parent else ():
                inner = children_of(child, rows, table.columns[0].member)
                batches[child.full_name] = self._builders[child.full_name].batch(inner, path_params)
        except DataError as error:
            error.add_place(
                f"portal '{self._client.portal}', GET {self._endpoint.path}{self._in_month}{_ids(path_params)}"
            )
            raise
        return batches

    def _keys(self, parts: Sequence[Batches]) -> pa.Table:
        batches = [part[self._parent.full_name] for part in parts]
        return pa.Table.from_batches(batches).select(list(self._parent.key))

    def _count_keys(self, parts: Sequence[Batches]) -> int:
        # If equal rows are legitimate, counting distinguishes them, so all are distinct.
        keys = self._keys(parts)
        return keys.num_rows if self._parent.ordinal else distinct_keys(keys, self._parent.key)

    def _digest_keys(self, parts: Sequence[Batches]) -> str:
        rows = sorted(map(repr, zip(*(column.to_pylist() for column in self._keys(parts).columns), strict=True)))
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _ids(path_params: Mapping[str, PathParam]) -> str:
    """The parent of a call for an error message: ids and days, no personal data."""
    told = ((name, str(value)) for name, value in path_params.items())
    return "".join(f", {name} {value if len(value) <= 60 else f'{value[:60]}...'}" for name, value in told)
