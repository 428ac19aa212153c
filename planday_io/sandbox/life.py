"""Lets a portal live: what managers and employees do to it between two instants, the same each time.

Shifts that have ended by then are worked. Changes are spread over the period, each with its own timestamp: rosters,
punches, pay, absence and people change as they do in a real portal, so that its change feeds have something to show.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from planday_io.sandbox.clocking import punch
from planday_io.sandbox.events import KINDS
from planday_io.sandbox.living import Living
from planday_io.sandbox.moment import Moment
from planday_io.sandbox.people import Json
from planday_io.sandbox.planner import AHEAD_DAYS
from planday_io.sandbox.roster import UNCLOCKED_TYPES

_BUSY = 0.35
"""Changes per person and day."""

_SPOTLESS = ("Approved", "PunchclockApproved")


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened: when, what, and the id of the shift, punch, person or request it happened to."""

    at: datetime
    what: str
    number: int


def advance(portal: Living, until: datetime, changes: int | None = None) -> list[Happening]:
    """Let a portal live until an instant.

    Args:
        portal: whose `lived_until` moves there.
        until: the instant, in UTC.
        changes: how many to make; as many as the time brings where it is not given.

    Returns:
        What happened, oldest first.

    Raises:
        ValueError: it has lived longer already.
    """
    since = portal.lived_until or datetime.combine(portal.today, time(0), UTC)
    if until < since:
        raise ValueError(
            f"{portal.key} has lived until {since:%Y-%m-%d %H:%M:%S}, so it cannot go back to {until:%Y-%m-%d %H:%M:%S}"
        )
    days = (until - since) / timedelta(days=1)
    chance = portal.people.chance("life", since.isoformat(), until.isoformat())
    expected = days * _BUSY * len(portal.employees)
    count = int(expected + chance.random()) if changes is None else changes
    happened: list[Happening] = []
    kinds = _kinds(chance, count)
    for n in range(count + 1):
        # Stamps have no fractions, and never lie before what they stand for.
        at = until if n == count else (since + (until - since) * (n + 1) / (count + 1))
        at = max(since, at.replace(microsecond=0))
        moment = Moment(portal, chance, at)
        happened += _pass_time(moment, portal.lived_until or since)
        if n < count:
            happened += _happen(moment, kinds[n])
    portal.lived_until = until
    return happened


def _kinds(chance: random.Random, count: int) -> list[str]:
    """What is tried, in order: everything once, then by how often it happens."""
    names, weights = list(KINDS), [weight for weight, _ in KINDS.values()]
    once = chance.sample(names, len(names)) if count >= len(names) else []
    return once + chance.choices(names, weights, k=count - len(once))


def _happen(moment: Moment, kind: str) -> list[Happening]:
    """Let one thing happen; where it cannot, a shift is lengthened instead."""
    number = KINDS[kind][1](moment)
    if number is None:
        kind = "lengthened"
        number = KINDS[kind][1](moment)
    return [] if number is None else [Happening(moment.at, kind, number)]


def _pass_time(moment: Moment, since: datetime) -> list[Happening]:
    """Let days begin, and people work what is over by now."""
    portal, roster = moment.portal, moment.portal.roster
    if moment.at.date() > portal.today:
        portal.today = roster.today = moment.at.date()
        known = set(roster.shifts)
        portal.planner.plan_until(portal.today + timedelta(days=AHEAD_DAYS))
        for number in roster.shifts.keys() - known:
            roster.shifts[number].update(dateTimeCreated=_stamp(moment.at), dateTimeModified=_stamp(moment.at))
    zone, worked = ZoneInfo(portal.info["timeZone"]), []
    for shift in roster.on(since.date() - timedelta(days=2), moment.local.date()):
        end = datetime.fromisoformat(shift["endDateTime"]).replace(tzinfo=zone).astimezone(UTC)
        if since < end <= moment.at and shift["employeeId"] and shift["status"] not in ("Draft", *_SPOTLESS):
            _work(moment, shift, end)
            worked.append(Happening(end, "worked", shift["id"]))
    portal.lived_until = moment.at
    return sorted(worked, key=lambda one: (one.at, one.number))


def _work(moment: Moment, shift: Json, end: datetime) -> None:
    has_clock = shift["departmentId"] in moment.portal.planner.clocks
    if has_clock and shift["shiftTypeId"] not in UNCLOCKED_TYPES:
        shift["status"] = "PunchclockFinished"
        punch(moment.portal.roster, moment.chance, shift, is_recent=True)
        moment.portal.roster.edit_shift(shift["id"], end, status=shift["status"])


def _stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
