"""What nights took and what failed in them, beside what a count minute by minute finds."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb

from planday_io.reports.nights import NIGHTS, days, nights
from tests.support.installation import Installation

AT = datetime(2026, 11, 2, 10, 30, tzinfo=UTC)
"""A week after clocks were set back in Europe."""
REASONS = ("the app lacks a scope", "no usable answer", "shrunk")
COLUMNS = (
    "portal VARCHAR, run_id VARCHAR, started_at TIMESTAMPTZ, ended_at TIMESTAMPTZ, failed VARCHAR[], errors VARCHAR[], "
    "requests BIGINT, throttled_seconds DECIMAL(18, 4)"
)


def night_of(at: datetime, zone: str) -> date:
    """The day that the night of an instant ends on: today's before noon, else tomorrow's."""
    local = at.astimezone(ZoneInfo(zone))
    return local.date() + timedelta(days=1 if local.hour >= 12 else 0)


def test_nights_as_counted_minute_by_minute(planday: Installation) -> None:
    config, chance = planday.config, random.Random(7)
    zones = {portal: settings.timezone for portal, settings in config.portals.items()}
    db = duckdb.connect()
    db.execute(f"CREATE SCHEMA sync; CREATE TABLE sync.runs ({COLUMNS})")
    busy: dict[tuple[str, date], set[int]] = {}
    requests, failures = Counter[tuple[str, date]](), Counter[tuple[str, date]]()
    reasons: dict[tuple[str, date], Counter[str]] = {}
    for number in range(900):
        portal = chance.choice([*zones])
        began = AT - timedelta(minutes=chance.randrange(0, 28 * 24 * 60))
        minutes = chance.choice((1, 5, 40, 300))
        errors = [chance.choice(REASONS) for _ in range(chance.choice((0, 0, 1, 3)))]
        db.execute(
            "INSERT INTO sync.runs VALUES (?, ?, ?, ?, ?, ?, ?, 0.5)",
            [portal, f"{number}", began, began + timedelta(minutes=minutes), ["t"] * len(errors), errors, number],
        )
        of = portal, night_of(began, zones[portal])
        first = round(began.timestamp() / 60)
        busy.setdefault(of, set()).update(range(first, first + minutes))
        requests[of] += number
        failures[of] += len(errors)
        reasons.setdefault(of, Counter()).update(errors)
    found = {(portal, day): one for portal, own in nights(config, db, AT).items() for day, one in own.items()}
    assert {of: round(one.minutes) for of, one in found.items()} == {of: len(minutes) for of, minutes in busy.items()}
    assert {of: one.requests for of, one in found.items()} == {of: requests[of] for of in busy}
    assert {of: one.failures for of, one in found.items()} == {of: failures[of] for of in busy}
    for of, one in found.items():
        counts = [reasons[of][reason] for reason in one.reasons]
        assert ({*one.reasons}, counts) == ({*reasons[of]}, sorted(counts, reverse=True))


def test_only_the_last_nights_are_shown(planday: Installation) -> None:
    shown = days(planday.config, AT)
    assert (len(shown), shown[-1]) == (NIGHTS, date(2026, 11, 2))
    afternoon = days(planday.config, AT.replace(hour=14))
    assert afternoon[-1] == date(2026, 11, 3), "the next night has begun"
