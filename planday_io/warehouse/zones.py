"""Three tables beside the ledger: the time zone of each portal's local times, and the offsets of those zones.

Marts compute instants from these tables, not from DuckDB's zones. So every client gets the same instants whichever zones its
version knows, a name that DuckDB would refuse breaks no mart, and the zone used for an unknown name is recorded.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import duckdb

from planday_io.frames.zones import meaning, zone_named
from planday_io.warehouse.ledger import Columns, renew

ZONES, OFFSETS, WEEKS = "sync.time_zones", "sync.time_zone_offsets", "sync.time_zone_weeks"

_ZONES: Columns = (
    ("portal", "VARCHAR", "Key of the portal in portals.yaml."),
    ("name", "VARCHAR", "The zone as received with a shift or a punch, now or before; empty for those without one."),
    ("zone", "VARCHAR", "The zone used for their local times: an IANA name, or an offset such as +05:30."),
    ("reason", "VARCHAR", "Why it differs from `name`; NULL where it does not."),
)
_OFFSETS: Columns = (
    ("zone", "VARCHAR", "Zone in `sync.time_zones`."),
    (
        "local_from",
        "TIMESTAMP",
        "From this local time on, until the next row. An hour that clocks show twice means the first of the two.",
    ),
    ("offset_seconds", "BIGINT", "Seconds ahead of UTC."),
    (
        "repeats_from",
        "TIMESTAMP",
        "From this local time on clocks show the same hour again, with the offset in the next column.",
    ),
    ("repeat_offset_seconds", "BIGINT", "Seconds ahead of UTC in the repeated hour."),
)
_WEEKS: Columns = (
    ("zone", "VARCHAR", "Zone in `sync.time_zones`."),
    ("week", "BIGINT", "Number of the week, Monday to Sunday; week 0 begins on 1990-01-01."),
    ("offset_seconds", "BIGINT", "Seconds ahead of UTC when the week begins."),
    ("repeats_from", "TIMESTAMP", "As in `sync.time_zone_offsets`."),
    ("repeat_offset_seconds", "BIGINT", "As in `sync.time_zone_offsets`."),
    ("later_from", "TIMESTAMP", "From this local time of the week on another offset holds; NULL where none does."),
    ("later_offset_seconds", "BIGINT", "Seconds ahead of UTC from then on."),
)
TABLES: dict[str, tuple[str, Columns]] = {
    ZONES: ("One row per portal and time zone that its shifts and punches name: which zone is meant.", _ZONES),
    OFFSETS: ("One row per zone in use and change of its offset, from 1990 to 2070.", _OFFSETS),
    WEEKS: ("One row per zone in use and week: its offsets in that week, which marts look up by week.", _WEEKS),
}
"""Name -> what it is, and its columns with type and meaning."""

_NAMING = (
    "scheduling.shifts",
    "scheduling_history.shifts",
    "punchclock.punch_clock_shifts",
    "punchclock.punch_clock_breaks",
)
"""Tables whose rows name a zone."""
_OTHERS = ("payroll.shifts", "portal.portals")
"""Tables whose rows have local times of their portal."""
_OF_PORTALS = (
    "SELECT portal, time_zone, configured_time_zone FROM portal.portals "
    # Punches carry the zone of portals.yaml, so it is known even if the portal itself was not read.
    "UNION ALL SELECT portal, NULL, max(time_zone) FROM punchclock.punch_clock_shifts GROUP BY portal"
)
_BY_WEEK = f"""
    INSERT INTO {WEEKS}
    SELECT w.zone, w.week, o.offset_seconds, o.repeats_from, o.repeat_offset_seconds, n.local_from, n.offset_seconds
    FROM (
        SELECT zone, week, TIMESTAMP '1990-01-01' + to_days(CAST(7 * week AS INTEGER)) AS begins
        FROM (SELECT DISTINCT zone FROM {OFFSETS} WHERE zone NOT IN (SELECT zone FROM {WEEKS})),
            (SELECT unnest(range(4175)) AS week)
    ) AS w
    ASOF JOIN {OFFSETS} AS o ON o.zone = w.zone AND w.begins >= o.local_from
    LEFT JOIN {OFFSETS} AS n ON n.zone = w.zone AND n.local_from > w.begins AND n.local_from < w.begins + INTERVAL 7 DAY
"""
_BEGINNING = datetime(1, 1, 1)  # noqa: DTZ001 - local times are what the table is about
_FIRST, _LAST = datetime(1990, 1, 1, tzinfo=UTC), datetime(2070, 1, 1, tzinfo=UTC)
_STEP = timedelta(days=14)
"""Step for finding offset changes: no zone changed its clocks and back within a fortnight (Morocco: within five weeks)."""


def write_zones(
    db: duckdb.DuckDBPyConnection, *, again: bool, changed: Iterable[tuple[str, str, str | None]] | None = None
) -> None:
    """Bring all tables of the connected warehouse up to date with the names that its rows hold.

    Args:
        db: connected to it.
        again: compute offsets of zones that have them already as well.
        changed: table, portal and month of the only slices whose rows may hold names that are not known yet. None is all
            rows, which is also when names that no row holds any longer are left out.
    """
    names: dict[str, set[str]] = {}
    for portal, name in _all_named(db) if changed is None else _newly_named(db, changed):
        names.setdefault(portal, {""}).add(name or "")
    of_portals: dict[str, list[tuple[str, str]]] = {}
    for portal, told, configured in db.execute(_OF_PORTALS).fetchall():
        of_portals.setdefault(portal, []).extend(
            (zone, source) for zone, source in ((told, "the portal's"), (configured, "that of portals.yaml")) if zone
        )
    rows = []
    for portal in sorted(names):
        for name in sorted(names[portal]):
            meant = meaning(name, of_portals.get(portal, []))
            rows.append((portal, name, meant.zone and meant.zone.name, meant.reason))
    renew(db, ZONES, _ZONES, rows)
    unused = "" if again else f" WHERE zone NOT IN (SELECT zone FROM {ZONES} WHERE zone IS NOT NULL)"
    for table in (OFFSETS, WEEKS):
        db.execute(f"DELETE FROM {table}{unused}")
    there = {zone for (zone,) in db.execute(f"SELECT DISTINCT zone FROM {OFFSETS}").fetchall()}
    if missing := sorted({zone for _, _, zone, _ in rows if zone} - there):
        columns = zip(*(row for zone in missing for row in offsets_of(zone)), strict=True)
        db.execute(
            f"INSERT INTO {OFFSETS} SELECT unnest(?::VARCHAR[]), unnest(?::TIMESTAMP[]), unnest(?::BIGINT[]), "
            "unnest(?::TIMESTAMP[]), unnest(?::BIGINT[])",
            [list(column) for column in columns],
        )
        db.execute(_BY_WEEK)


def _all_named(db: duckdb.DuckDBPyConnection) -> Sequence[tuple[str, str | None]]:
    queries = [f"SELECT portal, time_zone FROM {table}" for table in _NAMING]
    queries += [f"SELECT portal, NULL FROM {table}" for table in _OTHERS]
    return db.execute(" UNION ".join(queries)).fetchall()


def _newly_named(
    db: duckdb.DuckDBPyConnection, changed: Iterable[tuple[str, str, str | None]]
) -> Iterator[tuple[str, str | None]]:
    yield from db.execute(f"SELECT portal, name FROM {ZONES}").fetchall()
    slices: dict[str, list[tuple[str, str | None]]] = {}
    for table, portal, month in changed:
        slices.setdefault(table, []).append((portal, month))
    for table, places in slices.items():
        if table in _NAMING:
            yield from db.execute(
                f"SELECT DISTINCT portal, time_zone FROM {table} WHERE (portal, month) IN "
                "(SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[]))",
                [[*column] for column in zip(*places, strict=True)],
            ).fetchall()
        elif table in _OTHERS:
            yield from ((portal, None) for portal, _ in places)


Offset = tuple[str, datetime, int, datetime | None, int | None]


@functools.lru_cache(maxsize=256)
def offsets_of(name: str) -> tuple[Offset, ...]:
    """The rows of a zone in `sync.time_zone_offsets`."""
    zone = zone_named(name)
    if zone is None:
        return ()
    rows: list[Offset] = []
    begin, offset = _BEGINNING, _offset(zone.rules, _FIRST)
    for change, after in _changes(zone.rules):
        naive = change.replace(tzinfo=None)
        repeats = naive + after if after < offset else None
        rows.append((name, begin, _seconds(offset), repeats, _seconds(after) if repeats else None))
        begin, offset = naive + max(offset, after), after
    rows.append((name, begin, _seconds(offset), None, None))
    return tuple(rows)


def _changes(zone: tzinfo) -> Iterator[tuple[datetime, timedelta]]:
    """Each instant at which the offset changes, and the offset from then on."""
    at, offset = _FIRST, _offset(zone, _FIRST)
    while at < _LAST:
        later = at + _STEP
        if (after := _offset(zone, later)) != offset:
            low, high = at, later
            while high - low > timedelta(seconds=1):
                middle = low + (high - low) // 2
                middle = middle.replace(microsecond=0)
                low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
            yield high, after
        at, offset = later, after


def _offset(zone: tzinfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _seconds(size: timedelta) -> int:
    return size // timedelta(seconds=1)
