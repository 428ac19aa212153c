"""Lists of every kind are read completely or not at all. Generated: length, page size, totals, order, changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planday_io.errors import IncompleteReadError
from planday_io.reading.pages import Page
from tests.support.pages import read, rows


@given(length=st.integers(0, 60), size=st.integers(1, 20), has_total=st.booleans())
def test_every_list_is_read_whole_and_in_order(length: int, size: int, has_total: bool) -> None:
    data = list(range(length))
    result = read(lambda offset: Page(data[offset : offset + size], length if has_total else None))
    assert rows(result) == data
    assert (result.received, result.rereads) == (length, 0)
    assert result.verdict == ("total_matched" if has_total else "exhausted")


@given(data=st.lists(st.integers(0, 3), max_size=40), size=st.integers(2, 9), has_total=st.booleans())
def test_equal_rows_are_all_read_or_read_fails(data: list[int], size: int, has_total: bool) -> None:
    """Where rows have no id, an equal one is another one."""

    def fetch(offset: int) -> Page:
        return Page(data[offset : offset + size], len(data) if has_total else None)

    try:
        assert rows(read(fetch, has_equal_rows=True)) == data
    except IncompleteReadError as error:
        assert "came twice" in str(error)


@given(length=st.integers(0, 60), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=7))
def test_pages_of_changing_size(length: int, sizes: list[int]) -> None:
    data = list(range(length))
    calls = iter(sizes * 1000)
    result = read(lambda offset: Page(data[offset : offset + next(calls)], length))
    assert rows(result) == data


@given(length=st.integers(0, 40), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=7))
def test_pages_of_changing_size_without_a_total(length: int, sizes: list[int]) -> None:
    """A page that holds the repeated row only is not taken for the end."""
    data = list(range(length))
    calls = iter(sizes * 1000)
    try:
        result = read(lambda offset: Page(data[offset : offset + next(calls)], None))
    except IncompleteReadError as error:
        assert "never completely" in str(error)
    else:
        assert rows(result) == data


@given(length=st.integers(0, 40))
def test_a_server_that_ignores_the_offset(length: int) -> None:
    data = list(range(length))
    assert rows(read(lambda _: Page(data, None))) == data


@given(length=st.integers(21, 60), size=st.integers(2, 10))
def test_repeated_first_page_is_detected(length: int, size: int) -> None:
    data = list(range(length))
    with pytest.raises(IncompleteReadError):
        read(lambda _: Page(data[:size], length))


@given(
    length=st.integers(2, 50),
    size=st.integers(2, 12),
    edits=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 49)), max_size=6),
    has_total=st.booleans(),
)
def test_changing_list_loses_no_row(length: int, size: int, edits: list[tuple[int, int]], *, has_total: bool) -> None:
    """At some calls a row is deleted and another added. The result is the list as it is once it rests, or an error."""
    data = list(range(length))
    calls = 0
    due = dict(edits)

    def fetch(offset: int) -> Page:
        nonlocal calls
        page = Page(list(data[offset : offset + size]), len(data) if has_total else None)
        calls += 1
        if calls in due:
            data.pop(due[calls] % len(data))
            data.append(1000 + calls)
        return page

    try:
        result = read(fetch)
    except IncompleteReadError:
        return
    last_edit = max((call for call in due if call <= calls), default=0)
    if last_edit < calls:
        missing = set(data) - set(rows(result))
        # A row added behind the last page that was read came after the read; any other must be there.
        assert all(row >= 1000 for row in missing)
    assert len(rows(result)) == len(set(rows(result)))


def test_last_page_that_does_not_confirm_total() -> None:
    data = list(range(25))
    result = read(lambda offset: Page(data[offset : offset + 10], 25 if offset == 0 else None))
    assert (rows(result), result.verdict) == (data, "exhausted")


def test_rows_behind_the_total_are_refused() -> None:
    data = list(range(25))
    with pytest.raises(IncompleteReadError, match="after the total"):
        read(lambda offset: Page(data[offset : offset + 10], 20))


@given(length=st.integers(5, 60), size=st.integers(2, 4), by=st.sampled_from([-3, -1, 1, 40]), at=st.integers(1, 9))
def test_totals_that_differ_between_pages_are_refused(length: int, size: int, by: int, at: int) -> None:
    """All rows come, and one page counts others: nobody knows which total is right."""
    data = list(range(length))
    odd = at % -(-length // (size - 1))

    def fetch(offset: int) -> Page:
        is_odd = offset // (size - 1) == max(odd - 1, 1)
        return Page(data[offset : offset + size], length + (by if is_odd else 0))

    with pytest.raises(IncompleteReadError, match=f"the total changed from {length} to {length + by}"):
        read(fetch)


def test_a_total_that_changed_once_is_read_again() -> None:
    data, calls = list(range(25)), 0

    def fetch(offset: int) -> Page:
        nonlocal calls
        calls += 1
        return Page(data[offset : offset + 10], 26 if calls == 2 else 25)

    result = read(fetch)
    assert (rows(result), result.total, result.rereads) == (data, 25, 1)


def test_unstable_order_is_refused_or_proved() -> None:
    """Reversed on every second call: no two pages fit, and reads agree only by luck. Never a wrong result."""
    data = list(range(30))
    calls = 0

    def fetch(offset: int) -> Page:
        nonlocal calls
        calls += 1
        return Page((data if calls % 2 else data[::-1])[offset : offset + 10], 30)

    try:
        assert sorted(rows(read(fetch))) == data
    except IncompleteReadError as error:
        assert "never completely" in str(error)
