"""Headers may say anything: no answer stops us for longer than the longest window, and no nonsense is followed."""

from __future__ import annotations

import asyncio
import io
import sqlite3
import time
from contextlib import closing
from datetime import UTC
from email.utils import format_datetime, formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rich.console import Console
from starlette.responses import Response

from pipelines.cli.console import listening
from planday_io.client.budget import RateLimiter, budget_use
from planday_io.client.headers import LONGEST_SECONDS, parse_policy, wait_of
from planday_io.client.http import Counters, PortalClient
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.state import Fault
from planday_io.state import State
from planday_io.state.budget import budget_file
from tests.support.clocks import Clock, sends
from tests.support.installation import FAST, Installation

NOW = 1_795_647_762.0
NONSENSE = ["", "0", "-5", "NaN", "inf", "-inf", "1e400", "9" * 400, "²", "٣٣", "33;", "soon", "1795647802", "1.5"]
NONSENSE += [
    "1795647802000",
    "1795647802000000",
    "86400",
    "33, 33",
    "0,",
    "0x10",
    "1_000",
    "Wed, 99 Foo 2026",
    "\x00",
    "+3",
]
POLICIES = [
    "0;w=1",
    "1;w=999999",
    "1;w=0",
    "20;w=-1",
    "20;w=nan",
    "20;w=inf",
    "20;w=1e400",
    "²;w=1",
    f"{'9' * 400};w=1",
]
POLICIES += [
    "20;w",
    "20;w=",
    "20;w=0.001",
    "100001;w=1",
    "1000000;w=2",
    ";w=1",
    "1;w=60",
    "5;w=60",
    "999999999;w=1",
    "20;w=61",
    "20;burst=3",
]

texts = st.one_of(
    st.sampled_from([*NONSENSE, *POLICIES]),
    st.floats().map(str),
    st.integers(-(10**30), 10**30).map(str),
    st.text("0123456789eE,;=w -+.²٣x", max_size=20),
    st.datetimes(timezones=st.just(UTC)).map(lambda at: format_datetime(at, usegmt=True)),
    st.tuples(st.integers(-1, 10**7), st.floats()).map(lambda pair: f"{pair[0]};w={pair[1]}"),
)
headers = st.dictionaries(
    st.sampled_from(["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "retry-after", "date"]),
    st.lists(texts, min_size=1, max_size=4).map(", ".join),
)


@given(answer=headers)
def test_no_header_asks_for_more_than_a_window(answer: dict[str, str]) -> None:
    wait = wait_of(answer, NOW)
    assert wait is None or 1.0 <= wait <= LONGEST_SECONDS
    for window in parse_policy(answer.get("x-ratelimit-limit", "")).windows:
        assert 0 < window.seconds <= LONGEST_SECONDS
        assert 10 / 60 <= window.limit / window.seconds <= 100_000


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answers=st.lists(st.tuples(headers, st.booleans()), min_size=1, max_size=5))
@example(answers=[({"x-ratelimit-reset": "1795647802"}, True)])
@example(answers=[({"x-ratelimit-limit": "1, 1;w=999999"}, False), ({"x-ratelimit-limit": "0;w=1"}, True)])
@example(answers=[({"x-ratelimit-limit": "5000, 5000;w=60", "x-ratelimit-remaining": "0"}, False)])
def test_requests_go_on_whatever_answers_say(
    tmp_path_factory: object, answers: list[tuple[dict[str, str], bool]]
) -> None:
    """Simulated time: after each answer the next request goes out within the longest window (and its safety margin)."""
    clock = Clock()
    clock.now = NOW
    state = State(tmp_path_factory.mktemp("budget"))  # type: ignore[attr-defined]
    budget = RateLimiter(state.budget, client="c", portal="p", clock=clock)
    for answer, is_refused in answers:
        budget.observe(answer)
        if is_refused:
            budget.pause(wait_of(answer, clock.now) or 5.0, parse_policy(answer.get("x-ratelimit-limit", "")).closest)
        before = clock.now
        sends([budget], clock, 1)
        assert clock.now - before <= LONGEST_SECONDS + 1.0
        assert all(use.closed_seconds <= LONGEST_SECONDS for use in budget_use(state, before))
    budget.close()


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ({"x-ratelimit-reset": "33"}, 33.1),
        ({"x-ratelimit-reset": f"{NOW + 20:.0f}"}, 20.1),
        ({"x-ratelimit-reset": f"{(NOW + 20) * 1000:.0f}"}, 20.1),
        ({"x-ratelimit-reset": f"{(NOW + 20) * 1e6:.0f}"}, 20.1),
        ({"x-ratelimit-reset": f"{NOW - 20:.0f}"}, 1.1),
        ({"x-ratelimit-reset": f"{NOW + 86400:.0f}"}, 60.0),
        ({"retry-after": formatdate(NOW + 20, usegmt=True)}, 20.1),
        ({"retry-after": formatdate(NOW + 500, usegmt=True), "date": formatdate(NOW + 470, usegmt=True)}, 30.1),
        ({"x-ratelimit-reset": f"{NOW + 500:.0f}", "date": formatdate(NOW + 470, usegmt=True)}, 30.1),
        ({"retry-after": "Thu, 01 Jan 9999 00:00:00 GMT"}, 60.0),
        ({"retry-after": "86400"}, 60.0),
        ({"x-ratelimit-reset": "12, 33"}, 33.1),
        ({"x-ratelimit-reset": "soon", "retry-after": "7"}, 7.1),
        ({"x-ratelimit-reset": "1", "retry-after": "7"}, 7.1),
        ({"x-ratelimit-reset": "9", "retry-after": "2"}, 9.1),
        ({"x-ratelimit-reset": "²"}, None),
        ({"x-ratelimit-reset": "-5"}, None),
    ],
)
def test_instants_and_durations_are_told_apart(answer: dict[str, str], seconds: float | None) -> None:
    assert wait_of(answer, NOW) == (pytest.approx(seconds, abs=1e-3) if seconds else None)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_of_nonsense_changes_nothing(tmp_path: Path, policy: str) -> None:
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=Clock())
    before = budget.windows()
    budget.observe({"x-ratelimit-limit": f"20, {policy}", "x-ratelimit-remaining": "²"})
    assert budget.windows() == before
    budget.close()


def test_the_true_part_of_a_policy_is_followed(tmp_path: Path) -> None:
    """A window nobody knows yet is left out; where it stands in the place of one, that one stays."""
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=Clock())
    budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60, 50000;w=3600"})
    assert {(w.limit, w.seconds) for w in budget.windows()["portal p"]} == {(20, 1.0), (750, 60.0)}
    budget.observe({"x-ratelimit-limit": "20, 15;w=1, 750;w=999999"})
    assert {(w.limit, w.seconds) for w in budget.windows()["portal p"]} == {(15, 1.0), (750, 60.0)}
    budget.observe({"x-ratelimit-limit": "20, " + ", ".join(f"20;w=1.{n}" for n in range(10_000))})
    assert {(w.limit, w.seconds) for w in budget.windows()["portal p"]} == {(15, 1.0), (750, 60.0)}
    budget.close()


def test_others_count_until_the_reset_only(tmp_path: Path) -> None:
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    for _ in range(20):
        budget.observe({"x-ratelimit-limit": "750, 750;w=60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "2"})
        before = clock.now
        sends([budget], clock, 1)
        assert clock.now - before < 4
    budget.close()


@pytest.mark.parametrize("remaining", ["0", "1", "5"])
@pytest.mark.parametrize("reset", ["60", "", "86400"])
def test_a_server_that_always_says_nothing_is_left(tmp_path: Path, remaining: str, reset: str) -> None:
    """Each answer is a good one. Without an end to believing it, each request would cost a minute."""
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    began = clock.now
    for _ in range(100):
        sends([budget], clock, 1)
        headers = {"x-ratelimit-limit": "750, 20;w=1, 750;w=60", "x-ratelimit-remaining": remaining}
        budget.observe({**headers, "x-ratelimit-reset": reset})
    assert clock.now - began < 75
    budget.close()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO gate SELECT DISTINCT bucket, 3350000000.0 FROM send",
        "INSERT INTO gate SELECT DISTINCT bucket, 9e999 FROM send",
        "INSERT INTO policy SELECT DISTINCT bucket, '1/999999.0' FROM send",
        "INSERT INTO policy SELECT DISTINCT bucket, '0/1.0 x/y' FROM send",
        "INSERT INTO policy SELECT DISTINCT bucket, '' FROM send",
        "INSERT INTO send SELECT bucket, 3350000000.0 + sent_at FROM send",
    ],
    ids=["2076", "infinity", "slow", "no policy", "empty", "future"],
)
def test_what_an_older_version_stored_heals(planday: Installation, statement: str) -> None:
    planday.refresh("hr.departments")
    with closing(sqlite3.connect(budget_file(planday.state.folder))) as db:
        db.execute("DELETE FROM policy")
        db.execute(statement)
        db.commit()
    (report,) = planday.refresh("hr.departments")
    assert report.counters.throttled_seconds < 60, "not until 2076, nor a million seconds"
    assert all(use.closed_seconds == 0 for use in budget_use(planday.state, time.time()))


def test_a_wait_is_a_line_of_the_display() -> None:
    for is_terminal in (False, True):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=200)
        with listening(console) as listener:
            listener.waiting("oslo", "portal 'oslo' waits 42 s before its next request")
        assert "portal 'oslo' waits 42 s" in console.file.getvalue()  # type: ignore[attr-defined]


def test_clock_that_is_set_back_opens_gate(tmp_path: Path) -> None:
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    budget.pause(33.0)
    assert [use.closed_seconds for use in budget_use(State(tmp_path), clock.now)] == [33.0, 33.0]
    clock.now -= 0.5
    assert budget.reserve() == pytest.approx(33.5)
    clock.now -= 86_400
    assert budget.reserve() == 0.0
    budget.close()


def test_an_instant_in_a_429_is_waited_for(planday: Installation) -> None:
    planday.sandbox.limits = Limits(FAST, FAST, with_headers=False)

    def refuse(*_: Any) -> Response:
        return Response(status_code=429, headers={"x-ratelimit-reset": f"{time.time() + 1:.0f}"})

    planday.sandbox.faults.append(Fault("/hr/v1.0/departments", refuse, times=1))
    (report,) = planday.refresh("hr.departments")
    assert report.counters.throttled_seconds < 5


def test_a_long_wait_is_reported(planday: Installation) -> None:
    """With a clock that moves on by a quarter of a minute each time it is read: the gate of 40 s is passed in a moment."""
    session = planday.session()
    now = [1_000_000.0]

    def clock() -> float:
        now[0] += 14.0
        return now[0]

    budget = RateLimiter(State(planday.folder).budget, client="c", portal="p", clock=clock)
    told: list[str] = []

    async def ask() -> None:
        url = planday.config.planday.api_url
        async with PortalClient(
            portal="oslo", api_url=url, tokens=session.connection.tokens, budget=budget, tell=told.append
        ) as client:
            await client.authorize()
            budget.pause(40.0)
            await client.get("/portal/v1.0/info", counters=Counters())

    asyncio.run(ask())
    assert told == ["portal 'oslo' waits 12 s before its next request: the API asked to slow down (429)"]
    budget.close()
