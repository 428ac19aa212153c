"""Calls laid out: windows that cover their days in ranges the API takes, fan-outs, and slices that add up to the source."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planday_io.catalogue.endpoint import Endpoint, FanOut, Once, Pages, Window
from planday_io.catalogue.model import Column, ContradictionError, Table
from planday_io.catalogue.scheduling import SHIFTS
from planday_io.months import first_day, last_day, month_of, months_between, shifted
from planday_io.reading.calls import calls_of, days_of, more_parents, once_parents, parents_in, window_params
from planday_io.reading.parts import packed, unpacked
from tests.support.source import Source, read

DAYS = st.dates(date(2024, 1, 1), date(2027, 12, 31))


def spans(window: Window, first: date, last: date) -> list[tuple[date, date]]:
    """First and last day asked for, both included."""
    found = []
    for (_, start), (_, stop) in window_params(window, first, last):
        end = date.fromisoformat(stop[:10]) - timedelta(days=1 if window.is_instant else 0)
        found.append((date.fromisoformat(start[:10]), end))
    return found


@given(DAYS, st.integers(0, 400), st.integers(0, 3), st.integers(2, 40), st.booleans())
def test_windows_cover_all_days_within_limit(
    first: date, length: int, wider: int, longest: int, is_instant: bool
) -> None:
    window = Window(start_param="a", end_param="b", wider_days=wider, longest_days=longest, is_instant=is_instant)
    last = first + timedelta(days=length)
    found = spans(window, first, last)
    assert found[0][0] == first - timedelta(days=wider)
    assert found[-1][1] == last + timedelta(days=wider)
    for start, end in found:
        assert 1 <= (end - start).days + 1 <= longest
    for (_, end), (start, _) in pairwise(found):
        assert start <= end, "neighbours share a day, so that nothing falls between them"


@pytest.mark.parametrize(("month", "calls"), [("2026-01", 2), ("2026-02", 1), ("2026-04", 2), ("2024-02", 1)])
def test_wider_month_of_punches_may_take_two_calls(month: str, calls: int) -> None:
    window = Window(start_param="from", end_param="to", longest_days=31, is_instant=True)
    params = list(window_params(window, first_day(month), last_day(month)))
    assert len(params) == calls
    for (_, start), (_, stop) in params:
        assert timedelta() < datetime.fromisoformat(stop) - datetime.fromisoformat(start) <= timedelta(days=31)


@given(st.dates(date(1990, 1, 1), date(2060, 1, 1)), st.integers(-400, 400))
def test_months(day: date, by: int) -> None:
    month = month_of(day)
    assert first_day(month) <= day <= last_day(month)
    assert shifted(shifted(month, by), -by) == month
    assert len(months_between(month, shifted(month, abs(by)))) == abs(by) + 1
    assert months_between(shifted(month, 1), month) == []


def test_a_window_that_cannot_be_split() -> None:
    with pytest.raises(ContradictionError, match="two days"):
        Window(start_param="a", end_param="b", longest_days=1)


def test_slices_of_a_portal_reach_into_the_future() -> None:
    """18 months ahead: absence is approved that long before. Allocations begin before the history that is kept."""
    window = Window(start_param="from", end_param="to")
    endpoint = replace(SHIFTS, window=window)
    today = date(2026, 11, 26)
    assert days_of(endpoint, None, history_start="2025-01", today=today) == (date(2025, 1, 1), date(2028, 5, 27))
    longer = replace(endpoint, window=replace(window, begins="long_ago"))
    first, last = days_of(longer, None, history_start="2025-01", today=today) or (today, today)
    assert first <= date(2000, 1, 1)
    assert last == date(2028, 5, 27)
    february = date(2026, 2, 1), date(2026, 2, 28)
    assert days_of(endpoint, "2026-02", history_start="2025-01", today=today) == february


def test_more_parents_are_those_not_listed() -> None:
    fan_out = FanOut(
        parent="hr.departments",
        bind=(("department", "id"),),
        missing_statuses=(404,),
        extra_parents=("scheduling.shifts", "department_id"),
    )
    listed = parents_in(fan_out, pa.table({"id": [1, 2]}), date(2026, 1, 1))
    shifts = pa.table({"department_id": pa.array([2, 3, None, 3, 9], pa.int64())})
    more = more_parents(fan_out, listed, shifts)
    assert [(one.key, dict(one.path_params), one.is_listed) for one in more] == [
        ((3,), {"department": 3}, False),
        ((9,), {"department": 9}, False),
    ]


def test_who_came_back_is_not_read_once_more() -> None:
    fan_out = FanOut(
        parent="hr.employees",
        bind=(("employee", "id"),),
        missing_statuses=(400, 404),
        once=Once(parent="hr.deactivated_employees"),
    )
    listed = parents_in(fan_out, pa.table({"id": [1, 2]}), date(2026, 1, 1))
    left = pa.table({"portal": ["oslo"] * 3, "id": pa.array([2, 3, None], pa.int64()), "name": ["Bo", "Ida", "?"]})
    (once,) = once_parents(fan_out, listed, left)
    assert (once.key, once.is_listed, once.is_once) == ((3,), False, True)
    renamed = left.set_column(0, "portal", pa.array(["bergen"] * 3))
    assert once_parents(fan_out, listed, renamed)[0].digest == once.digest, "also under another key"
    edited = left.set_column(2, "name", pa.array(["Bo", "Ida Berg", "?"]))
    assert once_parents(fan_out, listed, edited)[0].digest != once.digest


def test_batched_call_has_all_parents() -> None:
    fan_out = FanOut(parent="hr.departments", bind=(("ids", "id"),), missing_statuses=(), batched=True)
    table = Table(domain="x", name="y", doc="Y.", key=("id",), columns=(Column("id", "BIGINT", "Id."),))
    endpoint = Endpoint(
        path="/x", scope=None, docs="https://x", tables=(table,), fan_out=fan_out, params=(("departmentIds", "{ids}"),)
    )
    rows = pa.table({"id": pa.array([3, 1, 2, None], pa.int64())})
    (call,) = calls_of(endpoint, parents=parents_in(fan_out, rows, date(2026, 1, 1)))
    assert call.params == (("departmentIds", "1,2,3"),)
    assert calls_of(endpoint, parents=[]) == []


def test_balance_day_never_exceeds_account_end() -> None:
    fan_out = FanOut(parent="absence.accounts", bind=(("account", "id"),), missing_statuses=(), today=("day", "until"))
    rows = pa.table({"id": [1, 2, 3], "until": pa.array([None, date(2026, 3, 31), date(2027, 1, 1)], pa.date32())})
    found = [parent.path_params["day"] for parent in parents_in(fan_out, rows, date(2026, 11, 24))]
    assert found == [date(2026, 11, 24), date(2026, 3, 31), date(2026, 11, 24)]


@pytest.mark.processes
@settings(deadline=None)
@given(
    days=st.lists(st.integers(0, 120), max_size=60),
    statuses=st.randoms(use_true_random=False),
    page=st.integers(1, 50),
    longest=st.one_of(st.none(), st.integers(2, 31)),
    wider=st.integers(0, 2),
    totals=st.booleans(),
    drafts=st.booleans(),
    overlap=st.booleans(),
)
def test_the_union_of_the_slices_is_the_source(
    days: list[int],
    statuses: random.Random,
    page: int,
    longest: int | None,
    wider: int,
    totals: bool,
    drafts: bool,
    overlap: bool,
) -> None:
    """No row twice and none lost, whatever the API's window tests and however it pages."""
    begin = date(2026, 1, 1)
    rows = [
        {
            "id": number,
            "date": (begin + timedelta(days=day)).isoformat(),
            "status": statuses.choice(["Assigned", "Open", "Draft"]),
            "timeZone": "UTC",
        }
        for number, day in enumerate(days)
    ]
    window = Window(start_param="from", end_param="to", wider_days=wider, longest_days=longest)
    endpoint = replace(SHIFTS, window=window, pages=Pages(limit=20))
    source = Source(rows, page=page, totals=totals, drafts=drafts, overlap=overlap)
    slices = [read(endpoint, source, month)["scheduling.shifts"] for month in months_between("2026-01", "2026-05")]
    union = [number for part in slices for number in part.column("id").to_pylist()]
    assert sorted(union) == list(range(len(rows)))
    for month, part in zip(months_between("2026-01", "2026-05"), slices, strict=True):
        assert {month_of(day) for day in part.column("date").to_pylist()} <= {month}


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.one_of(st.integers(0, 3), st.sampled_from([99, 100, 250])), max_size=12),
    small=st.integers(0, 600),
)
def test_packed_results_keep_their_order(lengths: list[int], small: int) -> None:
    schema = pa.schema([("id", pa.int64()), ("text", pa.string()), ("list", pa.list_(pa.int64()))])
    batches, count = [], 0
    for length in [*lengths, *[1] * small, *lengths]:
        ids = range(count, count + length)
        rows = [{"id": i, "text": None if i % 3 else f"é{i}", "list": [i] * (i % 2)} for i in ids]
        batches.append(pa.RecordBatch.from_pylist(rows, schema))
        count += length
    found = list(unpacked([packed(batch) for batch in batches], schema))
    assert pa.Table.from_batches(found, schema).equals(pa.Table.from_batches(batches, schema))
    assert len(found) <= 2 * len(lengths) + 2 + small // 256
