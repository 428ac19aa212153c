"""What a time zone is that somebody named, by whatever convention.

IANA names in any case, Windows names (.NET's), fixed offsets as people write them (`+02:00`, `UTC+1`). An offset means what
it says: east of Greenwich is plus, also behind `GMT`, other than in `Etc/GMT-2`. What is none of these is unknown,
abbreviations such as CEST among them: which hours they stand for depends on where they are said.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, available_timezones

from planday_io.frames.windows_zones import WINDOWS_ZONES

_OFFSET = re.compile(
    r"(?:UTC|GMT)?\s*(?P<sign>[+\-\u2212])\s*(?P<hours>\d{1,2})(?::?(?P<minutes>[0-5]\d))?(?::?00)?", re.IGNORECASE
)
_WIDEST = timedelta(hours=14)
_NO_PLACES = ("localtime", "Factory")
"""Names of this machine's setting and of no zone at all, which the list of zones may hold."""
_OFFSETS = frozenset(
    {"UTC", "GMT", "UCT", "Zulu", "Universal", "Greenwich", "GMT0", "GMT+0", "GMT-0", "EST", "MST", "HST"}
)
"""IANA names that stand for an offset and not for a place; so do those that begin with Etc/."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone that is known.

    Args:
        name: IANA's, or an offset such as `+05:30`.
        rules: its offsets.
        is_offset: whether it is an offset all year, not the time of a place.
    """

    name: str
    rules: tzinfo
    is_offset: bool


@dataclass(frozen=True, slots=True)
class Meaning:
    """The zone that is taken for a name.

    Args:
        zone: the zone, or None where neither the name nor the portal tells one.
        reason: why it is another one than the name says; None where it is the same.
    """

    zone: Zone | None
    reason: str | None


def meaning(name: str | None, of_portal: Sequence[tuple[str, str]]) -> Meaning:
    """Which zone local times are in that came with this name.

    An offset is taken for the portal's zone where that has it for a part of the year: people there live by its clocks, and
    these change also where a shift is sent with the offset of the day.

    Args:
        name: as it came, if it came.
        of_portal: names of the portal's own zone with what to call each in a reason, the best first.
    """
    zone = zone_named(name) if name else None
    portal, source = next(((found, source) for one, source in of_portal if (found := zone_named(one))), (None, ""))
    if zone and zone.is_offset and portal and _offset(zone, _SUMMERS[0]) in {_offset(portal, at) for at in _SUMMERS}:
        return Meaning(portal, None if portal == zone else f"{name!r} is an offset that {source} has, so that is taken")
    if zone:
        return Meaning(zone, None if zone.name == name else f"{name!r} is another name of it")
    problem = f"{name!r} is no time zone" if name and name.strip() else "no time zone came"
    if portal:
        return Meaning(portal, f"{problem}, so {source} is taken")
    return Meaning(None, f"{problem}, and the portal's is not known; hours are those of the wall clock")


_SUMMERS = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 7))


def _offset(zone: Zone, instant: datetime) -> timedelta | None:
    return instant.astimezone(zone.rules).utcoffset()


@functools.lru_cache(maxsize=1024)
def zone_named(text: str) -> Zone | None:
    """The zone of that name, or None where the name is none that is known."""
    name = " ".join(text.split())
    known = _iana().get(name.lower().replace(" ", "_")) or _WINDOWS.get(name.lower())
    if known:
        return Zone(known, ZoneInfo(known), is_offset=known in _OFFSETS or known.startswith("Etc/"))
    if name.upper() == "Z":
        return Zone("UTC", ZoneInfo("UTC"), is_offset=True)
    match = _OFFSET.fullmatch(name)
    if match is None:
        return None
    size = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"] or 0))
    if size > _WIDEST:
        return None
    minutes = size // timedelta(minutes=1)
    sign = "+" if match["sign"] == "+" or not size else "-"
    return Zone(
        f"{sign}{minutes // 60:02d}:{minutes % 60:02d}", timezone(size if sign == "+" else -size), is_offset=True
    )


@functools.cache
def _iana() -> dict[str, str]:
    return {name.lower(): name for name in available_timezones() if name not in _NO_PLACES}


_WINDOWS = {name.lower(): zone for name, zone in WINDOWS_ZONES.items()}
