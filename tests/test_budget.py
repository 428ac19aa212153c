"""The budget in simulated time: never more than a window allows, also with several processes, and no waste."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from planday_io.client.budget import RateLimiter
from planday_io.client.headers import parse_policy, split_policy
from planday_io.client.http import Counters, PortalClient
from planday_io.state import RateWindow, State
from tests.support.clocks import Clock, sends
from tests.support.installation import Installation


def most_within(sent: list[float], seconds: float) -> int:
    return max(sum(1 for at in sent if start <= at < start + seconds) for start in sent)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(limit=st.integers(1, 30), minute=st.integers(30, 120), handles=st.integers(1, 3))
def test_no_window_is_ever_exceeded(tmp_path_factory: object, limit: int, minute: int, handles: int) -> None:
    folder: Path = tmp_path_factory.mktemp("budget")  # type: ignore[attr-defined]
    clock = Clock()
    budgets = [RateLimiter(State(folder).budget, client="c", portal="p", clock=clock) for _ in range(handles)]
    budgets[0].observe({"x-ratelimit-limit": f"{limit}, {limit};w=1, {minute};w=60"})
    sent = sends(budgets, clock, 150)
    assert most_within(sent, 1.0) <= limit
    assert most_within(sent, 60.0) <= minute
    for budget in budgets:
        budget.close()


def test_portals_of_one_app_share_its_rate(tmp_path: Path) -> None:
    clock = Clock()
    one = RateLimiter(State(tmp_path).budget, client="c", portal="one", clock=clock)
    two = RateLimiter(State(tmp_path).budget, client="c", portal="two", clock=clock)
    for budget in (one, two):
        budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60, 30;w=1, 2000;w=60"})
    sent = sends([one, two], clock, 300)
    assert most_within(sent, 1.0) <= 30
    assert 300 / (sent[-1] - sent[0]) > 27
    one.close()
    two.close()


def test_a_portal_need_not_wait_for_those_that_give_way(tmp_path: Path) -> None:
    """Together they want 90 a minute of the app's 80: the first has its 30, the others share what is left."""
    clock = Clock()
    first, *others = budgets = [
        RateLimiter(
            State(tmp_path).budget,
            client="c",
            portal=portal,
            gives_way=lambda portal=portal: portal != "first",
            clock=clock,
        )
        for portal in ("first", "second", "third")
    ]
    first.observe({"x-ratelimit-limit": "5, 5;w=1, 30;w=60, 100;w=1, 80;w=60"})
    for budget in others:
        budget.observe({"x-ratelimit-limit": "5, 5;w=1, 30;w=60, 100;w=1, 80;w=60"})
    sent: dict[RateLimiter, list[float]] = {budget: [] for budget in budgets}
    ends = clock.now + 600
    while clock.now < ends:
        # Those that give way come first, each time.
        waits = [budget.reserve() for budget in (*others, first)]
        for budget, wait in zip((*others, first), waits, strict=True):
            sent[budget] += [clock.now] if wait == 0.0 else []
        clock.now += 0.05 if 0.0 in waits else min(waits)
    assert len(sent[first]) >= 10 * 30 * 60 / 61 - 1
    everything = sorted(at for times in sent.values() for at in times)
    assert most_within(everything, 60.0) <= 80
    assert len(everything) >= 0.95 * 10 * 80 * 60 / 61
    for budget in budgets:
        budget.close()


def test_a_pause_is_made_up_for(tmp_path: Path) -> None:
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60"})
    began = clock.now
    sent = sends([budget], clock, 40)
    for _ in range(5):
        clock.now += 0.4
        sent += sends([budget], clock, 40)
    assert most_within(sent, 1.0) <= 20
    assert sent[-1] - began <= 240 * 1.025 / 20, "five pauses cost nothing"
    budget.close()


def test_it_begins_carefully(tmp_path: Path) -> None:
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    assert most_within(sends([budget], clock, 40), 1.0) <= 10
    budget.close()


def test_a_429_holds_every_process_until_the_reset(tmp_path: Path) -> None:
    clock = Clock()
    first = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    second = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    first.pause(33.0)
    assert second.reserve() > 32.9
    clock.now += 33.0
    assert second.reserve() == 0.0
    first.close()
    second.close()


def rate(budget: RateLimiter, clock: Clock, count: int = 200) -> float:
    """Requests a second, behind whatever was sent before."""
    clock.now += 70.0
    sent = sends([budget], clock, count)
    return (count - 20) / (sent[-20] - sent[0])


def test_refusals_widen_the_margin_for_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60, 100;w=1, 2000;w=60"})
    at_first = rate(budget, clock)
    refused = []
    for _ in range(8):
        budget.pause(1.1, closest=20)
        refused.append(rate(budget, clock))
    assert 19 < at_first < 20
    assert refused[:4] == sorted(refused[:4], reverse=True)
    assert 15 < refused[-1] < 17
    clock.now += 3600
    assert rate(budget, clock) == pytest.approx(at_first, rel=0.01)
    budget.close()


def test_requests_that_were_refused_together_are_one_refusal(tmp_path: Path) -> None:
    clock = Clock()
    once, thrice = (
        RateLimiter(State(tmp_path / n).budget, client="c", portal="p", clock=clock) for n in ("one", "three")
    )
    for budget, times in ((once, 1), (thrice, 3)):
        budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60"})
        for _ in range(times):
            budget.pause(1.1, closest=20)
    assert rate(once, clock) == pytest.approx(rate(thrice, clock), rel=0.001)
    for budget in (once, thrice):
        budget.close()


def test_a_server_that_only_refuses_is_borne(tmp_path: Path) -> None:
    """Also without a limit in its headers, which says nothing about bunching."""
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60"})
    before = rate(budget, clock)
    budget.pause(60.0)
    assert rate(budget, clock) == pytest.approx(before, rel=0.001)
    for _ in range(1100):
        budget.pause(1.1, closest=20)
        clock.now += 1.1
    assert 15 < rate(budget, clock) < 17
    budget.close()


def test_a_minute_that_is_used_up_widens_nothing(tmp_path: Path) -> None:
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60"})
    before = rate(budget, clock)
    for _ in range(3):
        budget.pause(33.0, closest=750)
        clock.now += 33.0
    assert rate(budget, clock) == pytest.approx(before, rel=0.001)
    budget.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(late=st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.1, 0.6]), min_size=60, max_size=60))
@example(late=[0.6] + [0.0] * 59)
def test_what_goes_out_late_counts_from_then(tmp_path_factory: object, late: list[float]) -> None:
    clock = Clock()
    folder: Path = tmp_path_factory.mktemp("budget")  # type: ignore[attr-defined]
    budget = RateLimiter(State(folder).budget, client="c", portal="p", clock=clock)
    budget.observe({"x-ratelimit-limit": "20, 20;w=1, 750;w=60"})
    sent: list[float] = []
    for delay in late:
        sends([budget], clock, 1)
        reserved_at = budget.reserved_at
        clock.now += delay
        budget.confirm_sent(reserved_at)
        sent.append(clock.now)
    assert most_within(sent, 1.0) <= 20
    budget.close()


def sent_since(folder: Path, since: float) -> list[int]:
    """How many requests count after an instant, per bucket."""
    with closing(State(folder).budget) as budget:
        return [booked.sent for booked in budget.read(lambda bookings: bookings.uses(since)).values()]


def test_request_sent_twice_counts_from_the_second(tmp_path: Path) -> None:
    """A tunnel through a proxy, then the request in it."""
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    budget.reserve()
    clock.now += 0.2
    tunnel = budget.confirm_sent(budget.reserved_at)
    clock.now += 0.3
    assert budget.confirm_sent(tunnel) == clock.now
    budget.close()
    assert sent_since(tmp_path, clock.now - 0.001) == sent_since(tmp_path, 0.0) == [1, 1]


def test_a_request_says_when_it_goes_out(planday: Installation) -> None:
    """With a clock that moves on by a second each time it is looked at."""
    session = planday.session()
    ticking = itertools.count(1_000_000.0)
    budget = RateLimiter(State(planday.folder).budget, client="c", portal="p", clock=lambda: next(ticking))

    async def ask() -> None:
        api_url = planday.config.planday.api_url
        async with PortalClient(
            portal="oslo", api_url=api_url, tokens=session.connection.tokens, budget=budget
        ) as client:
            await client.get("/portal/v1.0/info", counters=Counters())

    asyncio.run(ask())
    budget.close()
    assert sent_since(planday.folder, budget.reserved_at) == sent_since(planday.folder, 0.0) == [1, 1]


def test_requests_of_others_slow_us_down(tmp_path: Path) -> None:
    clock = Clock()
    budget = RateLimiter(State(tmp_path).budget, client="c", portal="p", clock=clock)
    budget.observe(
        {"x-ratelimit-limit": "750, 20;w=1, 750;w=60", "x-ratelimit-remaining": "3", "x-ratelimit-reset": "40"}
    )
    assert len(sends([budget], clock, 3)) == 3
    assert budget.reserve() > 10
    budget.close()


def test_policies_are_read_leniently() -> None:
    assert parse_policy("").windows == parse_policy("nonsense, ;w=, 0;w=1").windows == ()
    policy = parse_policy("100, 20;w=1, 750;w=60, 100;w=1, 2000;w=60")
    assert (policy.closest, policy.is_whole) == (100, True)
    portal, client = split_policy(policy.windows)
    assert set(portal) == {RateWindow(20, 1.0), RateWindow(750, 60.0)}
    assert set(client) == {RateWindow(100, 1.0), RateWindow(2000, 60.0)}
