"""Which calls read an endpoint: fan-outs, windows and variants laid out as a plain list.

A call is one list or one document. Reading runs through the list (`planday_io.reading`), `planday plan` counts it.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import pyarrow as pa

from planday_io.catalogue.endpoint import Endpoint, FanOut, Window
from planday_io.frames.members import PathParam
from planday_io.months import first_day, last_day

ParentKey = tuple[int, ...]
"""What a call is fanned out over: the parent's ids."""

Params = tuple[tuple[str, str], ...]

_LONG_AGO = date(2000, 1, 1)


@dataclass(frozen=True, slots=True)
class Parent:
    """A parent row to fan out over.

    Args:
        key: its ids.
        path_params: values of the path parameters that it binds.
        modified: when it was last changed, if the endpoint uses that.
        digest: of all its columns, if the endpoint detects changes by any difference.
        is_open: its details may change without any change in this row.
        is_listed: it is in the parent's table; if not, the API may no longer know it.
        is_once: it comes from `FanOut.once`.
    """

    key: ParentKey
    path_params: Mapping[str, PathParam]
    modified: datetime | None = None
    digest: str = ""
    is_open: bool = False
    is_listed: bool = True
    is_once: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """One list or document to read.

    Args:
        params: query parameters, without those of paging.
        parent: what it is fanned out over, or None. If it is not listed, a refusal means that it is gone.
        instead: the call to make if this one is refused because not all of its ids are listed.
    """

    params: Params = ()
    parent: Parent | None = None
    instead: Call | None = None

    @property
    def path_params(self) -> Mapping[str, PathParam]:
        """Values of the path parameters."""
        return self.parent.path_params if self.parent else {}


def more_parents(fan_out: FanOut, listed: Sequence[Parent], rows: pa.Table) -> list[Parent]:
    """Parents that rows of `fan_out.extra_parents` mention and that are not listed."""
    assert fan_out.extra_parents is not None  # noqa: S101 - the caller looked
    ids = set(rows.column(fan_out.extra_parents[1]).to_pylist()) - {None, *(parent.key[0] for parent in listed)}
    ((path_param, _),) = fan_out.bind
    return [Parent((number,), {path_param: number}, is_listed=False) for number in sorted(ids)]


def once_parents(fan_out: FanOut, listed: Sequence[Parent], rows: pa.Table) -> list[Parent]:
    """The rows of `fan_out.once`, without those that are listed (somebody who came back)."""
    assert fan_out.once is not None  # noqa: S101 - the caller looked
    ((path_param, _),) = fan_out.bind
    known = {parent.key[0] for parent in listed}
    ids = rows.column(fan_out.once.column).to_pylist()
    found = {number: digest for number, digest in zip(ids, _digests(rows), strict=True) if number not in (None, *known)}
    return [
        Parent((number,), {path_param: number}, digest=digest, is_listed=False, is_once=True)
        for number, digest in found.items()
    ]


def parents_in(fan_out: FanOut, table: pa.Table, today: date) -> list[Parent]:
    """The parents to fan out over, each once. Rows without the ids that a call needs are left out.

    `today` is a day in the portal's zone.
    """
    ids = [table.column(name).to_pylist() for name in fan_out.columns]
    count = table.num_rows
    stamped = fan_out.changed_by not in (None, "*")
    modified = table.column(fan_out.changed_by).to_pylist() if stamped else [None] * count
    digests = _digests(table) if fan_out.changed_by == "*" else [""] * count
    ends = table.column(fan_out.open_while_null).to_pylist() if fan_out.open_while_null else [True] * count
    days = table.column(fan_out.today[1]).to_pylist() if fan_out.today else [None] * count
    found: dict[ParentKey, Parent] = {}
    for key, stamp, digest, end, day in zip(zip(*ids, strict=True), modified, digests, ends, days, strict=True):
        if None in key:
            continue
        path_params: dict[str, PathParam] = dict(zip((path_param for path_param, _ in fan_out.bind), key, strict=True))
        if fan_out.today:
            path_params[fan_out.today[0]] = today if day is None else min(today, day)
        found[key] = Parent(key, path_params, stamp, digest, is_open=end is None)
    return list(found.values())


def calls_of(
    endpoint: Endpoint,
    *,
    days: tuple[date, date] | None = None,
    parents: Sequence[Parent] | None = None,
    extra: Params = (),
) -> list[Call]:
    """Every call that reads an endpoint: within days (both included) if it has a window, for each parent if it fans out.

    `extra` are further parameters of every call.
    """
    windows = list(window_params(endpoint.window, *days)) if endpoint.window and days else [()]
    calls = []
    listed = [parent for parent in parents or () if parent.is_listed]
    for window in windows:
        for more in ((), *endpoint.variants):
            params = (*extra, *window, *more)
            if endpoint.fan_out is None:
                calls.append(Call((*endpoint.params, *params)))
            elif not endpoint.fan_out.batched:
                calls += [_call(endpoint, parent, params) for parent in parents or ()]
            elif parents:
                call = _call(endpoint, _joined(endpoint.fan_out, parents), params)
                if len(listed) < len(parents) and listed:
                    call = replace(call, instead=_call(endpoint, _joined(endpoint.fan_out, listed), params))
                calls.append(call)
    return calls


def _call(endpoint: Endpoint, parent: Parent, params: Params) -> Call:
    fixed = tuple((name, value.format_map(parent.path_params)) for name, value in endpoint.params)
    return Call((*fixed, *params), parent)


def days_of(endpoint: Endpoint, month: str | None, *, history_start: str, today: date) -> tuple[date, date] | None:
    """First and last day of a slice: its month, or the whole history and 18 months ahead. None where there is no window."""
    if endpoint.window is None:
        return None
    if month is not None:
        return first_day(month), last_day(month)
    begin = _LONG_AGO if endpoint.window.begins == "long_ago" else first_day(history_start)
    return begin, today + timedelta(days=548)


def window_params(window: Window, first: date, last: date) -> Iterator[Params]:
    """The parameters for a range of days, split into ranges that the API accepts.

    Neighbouring ranges share a day, because it is not known on which side of midnight a bound falls.
    """
    wider = timedelta(days=window.wider_days)
    begin, end = first - wider, last + wider + timedelta(days=1)  # the end is excluded
    count = 1
    if window.longest_days is not None and (end - begin).days > window.longest_days:
        count = math.ceil(((end - begin).days - 1) / (window.longest_days - 1))
    length = math.ceil(((end - begin).days + count - 1) / count)
    for n in range(count):
        start = begin + timedelta(days=n * (length - 1))
        stop = min(start + timedelta(days=length), end)
        if window.is_instant:
            yield (window.start_param, f"{start}T00:00"), (window.end_param, f"{stop}T00:00")
        else:
            yield (window.start_param, str(start)), (window.end_param, str(stop - timedelta(days=1)))


def _joined(fan_out: FanOut, parents: Sequence[Parent]) -> Parent:
    """One parent that represents all of them, for a batched call."""
    ((path_param, _),) = fan_out.bind
    return Parent(
        (), {path_param: ",".join(str(row.path_params[path_param]) for row in sorted(parents, key=lambda row: row.key))}
    )


def _digests(table: pa.Table) -> list[str]:
    """A digest per row. It ignores when the row was read, and the portal's key, which can be renamed."""
    rows = table.drop_columns([name for name in ("portal", "_fetched_at") if name in table.schema.names]).to_pylist()
    return [hashlib.sha256(repr(sorted(row.items())).encode()).hexdigest()[:16] for row in rows]
