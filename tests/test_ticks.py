"""Staleness where clocks change, judged by Dagster's own ticks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from planday_io.config.ticks import due_since, next_tick

ZONES = (
    "Europe/Copenhagen",
    "Europe/London",
    "America/New_York",
    "Australia/Lord_Howe",  # half an hour
    "Atlantic/Azores",  # at midnight
    "America/Havana",
    "Asia/Kolkata",  # never
    "Pacific/Chatham",
    "UTC",
)
CHANGES = (
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, tzinfo=UTC),
    datetime(2027, 3, 28, 1, tzinfo=UTC),
)


_KEY = "%Y-%m-%dT%H:%M:%S%z"


def dagster_ticks(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Ticks in [start, end]. Dagster computes those of schedules and the starts of partitions by time in the same way."""
    windows = dg.TimeWindowPartitionsDefinition(
        start="2026-01-01T00:00:00+0000", end="2028-01-01T00:00:00+0000", cron_schedule=cron, fmt=_KEY, timezone=zone
    )
    keys = windows.get_partition_keys_in_time_window(dg.TimeWindow(start, end + timedelta(microseconds=1)))
    return [datetime.strptime(key, _KEY).astimezone(UTC) for key in keys]


QUICK = (Phase.explicit, Phase.reuse, Phase.generate)


def looked_back(cron: str) -> timedelta:
    return timedelta(days=70) if cron.split()[1].isdigit() or "," in cron.split()[1] else timedelta(days=9)


minutes = st.sampled_from(["0", "30", "15", "*/30", "*/15", "0,30", "5"])
hours = st.sampled_from(["0", "1", "2", "3", "4", "12", "*", "*/2", "1,2,3", "1-3", "22", "2,14"])
crons = st.one_of(
    st.tuples(minutes, hours).map(lambda c: f"{c[0]} {c[1]} * * *"),
    st.tuples(minutes, hours, st.sampled_from(["0", "1-5", "6", "1,4", "0,6"])).map(
        lambda c: f"{c[0]} {c[1]} * * {c[2]}"
    ),
    st.tuples(minutes, hours, st.sampled_from(["1", "15", "25", "1,15", "28"])).map(
        lambda c: f"{c[0]} {c[1]} {c[2]} * *"
    ),
)


@settings(max_examples=120, deadline=None, phases=QUICK)
@given(
    cron=crons,
    zone=st.sampled_from(ZONES),
    change=st.sampled_from(CHANGES),
    after=st.integers(-36 * 60, 36 * 60),
)
def test_reading_at_every_tick_is_never_stale(cron: str, zone: str, change: datetime, after: int) -> None:
    now = change + timedelta(minutes=after)
    ticks = dagster_ticks(cron, zone, now - looked_back(cron), now)
    due = due_since(cron, ZoneInfo(zone), now)
    assert due is not None
    if ticks:
        assert ticks[-1] >= due, "the read of the last tick is new enough"
    # A read takes up to half the time between two ticks: until then, the one before is new enough.
    if len(ticks) > 2 and now - ticks[-1] < (ticks[-1] - ticks[-2]) / 2 - timedelta(minutes=1):
        assert ticks[-2] >= due or now - ticks[-2] > (ticks[-2] - ticks[-3]) / 2 - timedelta(hours=1)


@settings(max_examples=80, deadline=None, phases=QUICK)
@given(cron=crons, zone=st.sampled_from(ZONES), change=st.sampled_from(CHANGES), after=st.integers(-36 * 60, 36 * 60))
def test_a_tick_that_nobody_read_is_stale(cron: str, zone: str, change: datetime, after: int) -> None:
    """Half a period late at most, and an hour more where the clock shows the tick's time twice or not at all."""
    now = change + timedelta(minutes=after)
    ticks = dagster_ticks(cron, zone, now - looked_back(cron), now)
    due = due_since(cron, ZoneInfo(zone), now)
    assert due is not None
    slack = timedelta(hours=2)
    late = [tick for before, tick in pairwise(ticks) if now - tick > (tick - before) / 2 + slack]
    if late:
        assert due >= late[-1] - timedelta(hours=1), "an older read is stale"


@pytest.mark.parametrize("zone", ["Europe/Copenhagen", "Europe/London"])
def test_the_default_schedule_when_clocks_go_back(zone: str) -> None:
    """02:00 (01:00 in London) comes twice; every minute of the three days around it, the read of each tick counts."""
    cron = "0 2 * * *" if zone == "Europe/Copenhagen" else "0 1 * * *"
    start = datetime(2026, 10, 24, tzinfo=UTC)
    ticks = dagster_ticks(cron, zone, start - timedelta(days=3), start + timedelta(days=3))
    for minute in range(0, 3 * 24 * 60, 5):
        now = start + timedelta(minutes=minute)
        read = [tick for tick in ticks if tick <= now][-1]
        due = due_since(cron, ZoneInfo(zone), now)
        assert due is not None
        assert read >= due
        if now - read < timedelta(hours=11):
            assert [tick for tick in ticks if tick <= now][-2] >= due, "and half the time to read it"


@pytest.mark.parametrize(
    ("cron", "zone", "now", "at"),
    [
        ("30 2 * * *", "Europe/Copenhagen", datetime(2026, 3, 29, 0, tzinfo=UTC), datetime(2026, 3, 29, 1, tzinfo=UTC)),
        (
            "0 2 * * *",
            "Europe/Copenhagen",
            datetime(2026, 10, 24, 23, tzinfo=UTC),
            datetime(2026, 10, 25, 1, tzinfo=UTC),
        ),
        (
            "0 2 * * *",
            "Asia/Kolkata",
            datetime(2026, 10, 24, 23, tzinfo=UTC),
            datetime(2026, 10, 25, 20, 30, tzinfo=UTC),
        ),
    ],
)
def test_the_next_tick_is_dagsters(cron: str, zone: str, now: datetime, at: datetime) -> None:
    assert next_tick(cron, ZoneInfo(zone), now).astimezone(UTC) == at
    assert next(iter(dagster_ticks(cron, zone, now, now + timedelta(days=2)))) == at
