"""Resolves time zone names of any convention.

IANA names in any case, Windows names (.NET's), fixed offsets as people write them (`+02:00`, `UTC+1`). An offset is
taken literally: east of Greenwich is plus, also after `GMT` (unlike in `Etc/GMT-2`). Anything else is unknown, including
abbreviations such as CEST, whose meaning depends on the country.
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
"""Names in the list of zones that mean this machine's setting, or no zone at all."""
_OFFSETS = frozenset(
    {"UTC", "GMT", "UCT", "Zulu", "Universal", "Greenwich", "GMT0", "GMT+0", "GMT-0", "EST", "MST", "HST"}
)
"""IANA names of an offset, not of a place; names that begin with Etc/ are offsets too."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A known time zone: that of a place, by IANA's name, or the same offset all year, such as `+05:30`."""

    name: str
    rules: tzinfo
    is_offset: bool


@dataclass(frozen=True, slots=True)
class Meaning:
    """The zone used for a name, or None if neither the name nor the portal gives one, and why it differs from the name."""

    zone: Zone | None
    reason: str | None


def meaning(name: str | None, of_portal: Sequence[tuple[str, str]]) -> Meaning:
    """The zone of local times that came with this name.

    If the portal's zone has the offset for part of the year, the portal's zone is used: people there live by its clocks,
    which change even if a shift is sent with the offset of the day.

    Args:
        name: as the API sent it, or None.
        of_portal: names of the portal's own zone, best first, each with its description for `reason`.
    """
    zone = zone_named(name) if name else None
    portal, source = next(((found, source) for one, source in of_portal if (found := zone_named(one))), (None, ""))
    if zone and zone.is_offset and portal and _offset(zone, _SUMMERS[0]) in {_offset(portal, at) for at in _SUMMERS}:
        return Meaning(portal, None if portal == zone else f"{name!r} is an offset of {source}, which is used")
    if zone:
        return Meaning(zone, None if zone.name == name else f"{name!r} is another name of that zone")
    problem = f"{name!r} is not a time zone" if name and name.strip() else "no time zone was sent"
    if portal:
        return Meaning(portal, f"{problem}, so {source} is used")
    return Meaning(None, f"{problem}, and the portal's is not known; hours are those of the wall clock")


_SUMMERS = tuple(datetime(2026, month, 1, tzinfo=UTC) for month in (1, 7))


def _offset(zone: Zone, instant: datetime) -> timedelta | None:
    return instant.astimezone(zone.rules).utcoffset()


@functools.lru_cache(maxsize=1024)
def zone_named(text: str) -> Zone | None:
    """The zone of that name, or None if the name is unknown."""
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
