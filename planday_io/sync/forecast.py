"""Forecasts what a read will cost: requests, seconds, share of the budget.

Counts the calls that a run makes (`planday_io.reading.calls`, `planday_io.sync.incremental`), using the sizes of earlier
reads in the lake. Unknown sizes are requested as cheaply as possible: the total of a list with one row, or the rows of a few
parents of a fan-out. The runs themselves are chosen in `pipelines.cli.sync`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from zoneinfo import ZoneInfo

import pyarrow as pa

from planday_io.catalogue import Endpoint
from planday_io.catalogue.endpoint import FanOut
from planday_io.client.budget import paced, rate
from planday_io.client.http import NONE, Counters, PortalClient
from planday_io.errors import DamagedSliceError, PlandayError
from planday_io.lake.slices import SliceKey
from planday_io.months import first_day
from planday_io.reading.calls import Call, Parent, calls_of, days_of, once_parents, parents_in
from planday_io.reading.read import ask
from planday_io.reading.rows import primary, rows_of, total_of
from planday_io.state import RateWindow, SliceEntry
from planday_io.sync.incremental import IncrementalRead
from planday_io.sync.session import PortalSession

Run = tuple[str | None, Sequence[Endpoint]]
"""A month, or None for snapshots, and the endpoints read together."""

SAMPLE = 10
"""Parents to sample if it is not known how many rows a parent has."""
STEP_SECONDS = 0.14
"""Seconds per table besides its requests, as measured: Dagster's step and the file."""
RUN_SECONDS = 0.5
"""Seconds per run of `planday sync` besides its tables. A run of the daemon is a separate process and takes longer."""


@dataclass(slots=True)
class TableForecast:
    """What one endpoint will cost.

    Args:
        table: its first table.
        slices: how many will be written.
        requests: how many will be made.
        seconds: at the rate that the API allows, if known.
        share: of the requests that the portal allows in an hour.
        error: why there is no forecast.
    """

    table: str
    slices: int = 0
    requests: int = 0
    seconds: float = 0.0
    share: float = 0.0
    error: str = ""


@dataclass(slots=True)
class Forecast:
    """What some runs of one portal will cost; as `TableForecast`, with the time of Dagster's steps and runs.

    Args:
        portal: config key.
        own_seconds: of them, those of Dagster's steps and runs.
        asked: requests that the forecast itself made.
    """

    portal: str
    tables: dict[str, TableForecast] = field(default_factory=dict)
    seconds: float = 0.0
    own_seconds: float = 0.0
    share: float = 0.0
    asked: int = 0

    @property
    def requests(self) -> int:
        return sum(table.requests for table in self.tables.values())


def forecast(session: PortalSession, runs: Sequence[Run], *, full: bool = False) -> Forecast:
    """What some runs will cost.

    Args:
        session: of the portal.
        runs: in the order they will be made, started together.
        full: read everything, not only changes.

    Raises:
        PlandayError: the portal cannot be reached.
    """
    return asyncio.run(_Forecaster(session, full=full).of(runs))


def pages(rows: int, limit: int, *, has_total: bool = True) -> int:
    """Requests for a list of that many rows; each page repeats one row of the previous page."""
    more = math.ceil((rows - limit) / (limit - 1)) if rows > limit > 1 else 0
    if has_total:
        return 1 + more
    return 1 + min(rows, 1) + (1 if rows > 1 else 0) + more


def seconds_for(requests: int, windows: Sequence[RateWindow]) -> float:
    """The time that the budget imposes on that many requests."""
    waits = [(requests - 1) // window.limit * window.seconds for window in paced(windows) if window.limit > 0]
    return max([0.0, *waits])


class _Forecaster:
    def __init__(self, session: PortalSession, *, full: bool) -> None:
        self._connection, self._reader = session.connection, session.reader
        self._portal, self._lake = session.portal, session.lake
        self._config, self._catalogue = session.installation.config, session.installation.catalogue
        self._endpoints = session.installation.endpoints_of(session.portal)
        self._full = full
        self._entries = self._lake.indexed(self._lake.slices(portal=session.portal)).entries
        self._months: dict[str, list[str | None]] = {}
        for key in self._entries:
            self._months.setdefault(key.full_name, []).append(key.month)
        self._now = session.clock()
        self._today = self._now.astimezone(ZoneInfo(self._config.portals[self._portal].timezone)).date()
        self._counters = Counters()
        self._known: set[SliceKey] = set()
        self._ahead: set[SliceKey] = set()
        self._totals: dict[SliceKey, int] = {}

    async def of(self, runs: Sequence[Run]) -> Forecast:
        result = Forecast(self._portal)
        steps: Counter[str] = Counter()
        async with self._connection.open() as client:
            self._client: PortalClient = client
            for month, endpoints in runs:
                identity = 1
                self._ahead.clear()
                for endpoint in endpoints:
                    entry = result.tables.setdefault(endpoint.name, TableForecast(endpoint.name))
                    entry.slices += len(endpoint.tables)
                    steps[endpoint.name] += 1
                    if entry.error:
                        # What was refused once is not asked for in every month.
                        continue
                    try:
                        entry.requests += identity + await self._cost(endpoint, month)
                    except PlandayError as error:
                        entry.error = str(error)
                    identity = 0
            _, portal = client.budget.policies()
        result.asked = self._counters.requests
        hourly = 3600 * rate(portal)
        for entry in result.tables.values():
            entry.seconds = seconds_for(entry.requests, portal) + steps[entry.table] * STEP_SECONDS
            entry.share = entry.requests / hourly
        result.own_seconds = steps.total() * STEP_SECONDS + len(runs) * RUN_SECONDS
        result.seconds = seconds_for(result.requests, portal) + result.own_seconds
        result.share = result.requests / hourly
        return result

    async def _cost(self, endpoint: Endpoint, month: str | None) -> int:
        if self._key(endpoint.name, month) in self._ahead:
            return 0
        requests = await self._overhead(endpoint, month)
        self._known.update(self._key(table.full_name, month) for table in endpoint.tables)
        requests += await self._calls(endpoint, month)
        if endpoint.change_detection and endpoint.change_detection.table in self._months:
            requests += 1 + len(self._catalogue.endpoint_of(endpoint.change_detection.table).variants)
        return requests

    async def _overhead(self, endpoint: Endpoint, month: str | None) -> int:
        """Requests for the parents, unless an earlier run reads them."""
        if endpoint.fan_out is None:
            return 0
        requests = 0
        for name in endpoint.fan_out.sources:
            source, key = self._catalogue.endpoint_of(name), self._key(name, month)
            is_read = source in self._endpoints or name == endpoint.fan_out.parent
            if is_read and key not in self._known:
                requests += await self._cost(source, key.month)
                self._ahead.add(key)
        return requests

    async def _calls(self, endpoint: Endpoint, month: str | None) -> int:
        read = IncrementalRead(endpoint, self._lake, self._portal, month, self._config.privacy, full=self._full)
        days = self._days(endpoint, month)
        fan_out = endpoint.fan_out
        if fan_out is None:
            calls = read.plan(days=days).calls
            if endpoint.pages is None:
                return len(calls)
            variants = 1 + len(endpoint.variants)
            rows = 0 if read.since else await self._rows(endpoint, month)
            first = pages(
                math.ceil(rows * variants / len(calls)), endpoint.pages.limit, has_total=self._has_total(endpoint)
            )
            # Variants return few rows: those that the plain list leaves out.
            return first * (len(calls) // variants) + len(calls) - len(calls) // variants
        source = self._key(fan_out.parent, month)
        rows_of_parents = self._stored(source)
        parents = None if rows_of_parents is None else parents_in(fan_out, rows_of_parents, self._today)
        once, more = await self._once(fan_out, parents or [])
        if parents is not None:
            count = len(read.plan(days=days, parents=[*parents, *once]).calls) + more
        else:
            rows = await self._rows(self._catalogue.endpoint_of(fan_out.parent), source.month)
            one = Parent((0,), dict.fromkeys(fan_out.path_params, 0))
            each = len(calls_of(endpoint, days=days, parents=[one]))
            count = min(each, rows) if fan_out.batched else each * (rows + more)
            count += len(read.plan(days=days, parents=once).calls) if once else 0
        if endpoint.pages is None or not count or read.since:
            return count
        entry = self._entry(endpoint, month)
        each_rows = math.ceil(entry.received / count) if entry else 0
        return count * pages(each_rows, endpoint.pages.limit, has_total=self._has_total(endpoint))

    async def _rows(self, endpoint: Endpoint, month: str | None) -> int:
        """Rows of an endpoint, from the lake or else from the API."""
        if endpoint.fan_out is not None:
            entry = self._entry(endpoint, month)
            return entry.rows if entry else await self._sampled(endpoint, month)
        key = self._key(endpoint.name, month)
        if key in self._entries:
            return self._entries[key].rows
        near = self._entry(endpoint, month)
        # A guess is not enough where the number of calls depends on it.
        decides = any(one.fan_out and endpoint.name in one.fan_out.sources for one in self._catalogue.endpoints)
        if near is not None and not decides:
            return near.rows
        if endpoint.pages is None:
            return near.rows if near else 1
        if key not in self._totals:
            days = self._days(endpoint, month)
            window = replace(endpoint.window, wider_days=0) if endpoint.window else None
            calls = calls_of(replace(endpoint, window=window, variants=()), days=days)
            totals = [await self._total(endpoint, month, call) for call in calls]
            self._totals[key] = sum(total or 0 for total in totals)
        return self._totals[key]

    async def _sampled(self, endpoint: Endpoint, month: str | None) -> int:
        """Rows of a fan-out that was never read, estimated from a few parents."""
        assert endpoint.fan_out is not None  # noqa: S101 - the caller looked
        portal = await self._connection.verified(self._client, self._now, month, remember=False)
        found = await self._reader.parents_of(endpoint, portal)
        parents = [parent for parent in found or () if not parent.is_once]
        self._counters.add(self._connection.take_overhead())
        name = endpoint.fan_out.parent
        self._totals[self._key(self._catalogue.endpoint_of(name).name, month)] = len(parents)
        some = parents[:: max(1, len(parents) // SAMPLE)][:SAMPLE]
        calls = calls_of(endpoint, days=self._days(endpoint, month), parents=some)
        rows = [await self._first_page(endpoint, call) for call in calls]
        return round(sum(rows) * len(parents) / max(1, len(some)))

    async def _total(self, endpoint: Endpoint, month: str | None, call: Call) -> int | None:
        answer = await ask(endpoint, self._client, call, self._counters, rows=1)
        total = 0 if answer is NONE else total_of(answer)
        # The read would be refused.
        self._reader.limit_of(endpoint, month).check(endpoint.name, total=total)
        return total

    async def _first_page(self, endpoint: Endpoint, call: Call) -> int:
        try:
            answer = await ask(endpoint, self._client, call, self._counters)
        except PlandayError:
            # The parent vanished or was refused: the run itself will report it.
            return 0
        return 0 if answer is NONE else len(rows_of(primary(endpoint), answer))

    async def _once(self, fan_out: FanOut, listed: Sequence[Parent]) -> tuple[list[Parent], int]:
        """Parents that are read once, as far as the lake has them, and the number of the others."""
        source = self._catalogue.endpoint_of(fan_out.once.parent) if fan_out.once else None
        if source is None or source not in self._endpoints:
            return [], 0
        rows = self._stored(self._key(source.name, None))
        if rows is None:
            return [], await self._rows(source, None)
        return once_parents(fan_out, listed, rows), 0

    def _stored(self, key: SliceKey) -> pa.Table | None:
        """The rows of a slice; None if it was never read or is damaged, and so is read again before this one."""
        try:
            return self._lake.read(key) if key in self._entries else None
        except DamagedSliceError:
            return None

    def _entry(self, endpoint: Endpoint, month: str | None) -> SliceEntry | None:
        """The entry of the slice, or of the nearest month's."""
        exact = self._entries.get(self._key(endpoint.name, month))
        if exact is not None or month is None:
            return exact
        months = [one for one in self._months.get(endpoint.name, ()) if one]
        # A past month is not estimated from one that is not over.
        passed = [one for one in months if one < f"{self._today:%Y-%m}"] or months
        nearest = min(passed, key=lambda one: abs(first_day(one) - first_day(month)), default=None)
        return self._entries.get(self._key(endpoint.name, nearest)) if nearest else None

    def _has_total(self, endpoint: Endpoint) -> bool:
        months = self._months.get(endpoint.name)
        return not months or self._entries[self._key(endpoint.name, months[-1])].verdict != "exhausted"

    def _key(self, table: str, month: str | None) -> SliceKey:
        """The slice of a table for a month; without the month if the table has one slice per portal."""
        return SliceKey.of(table, self._portal, month if self._catalogue.table(table).is_monthly else None)

    def _days(self, endpoint: Endpoint, month: str | None) -> tuple[date, date] | None:
        return days_of(endpoint, month, history_start=self._config.history_start, today=self._today)
