"""Versions of shifts in the planted weeks, as reads found them."""

from __future__ import annotations

from datetime import UTC, timedelta
from zoneinfo import ZoneInfo

from tests.support.weeks import BAR, KITCHEN, ZONES, Change, Shift, World

HOUR = timedelta(hours=1)
OPEN, SOMEBODY, ANOTHER = (None, "Open"), (98, "Assigned"), (99, "Assigned")
"""States before the last one, in which the shift is that of its person."""
CASES = (
    ([OPEN], (20,)),
    ([OPEN], (75,)),
    ([OPEN], (3,)),
    # It was not there before.
    ([None], (10,)),
    # After the start, across it, before it.
    ([ANOTHER], (-10,)),
    ([ANOTHER], (-6,)),
    ([ANOTHER], (-2,)),
    ([ANOTHER], (0,)),
    # A week before.
    ([ANOTHER], (162,)),
    ([ANOTHER], (164,)),
    ([ANOTHER], (168,)),
    ([ANOTHER], (400,)),
    # Twice.
    ([ANOTHER, SOMEBODY], (100, 30)),
)
"""Former states, and how many hours before the start a read found the next one; the read before was six hours earlier."""


def put_changes(world: World) -> None:
    """All cases, of the last shifts of two departments; and shifts just inside and outside the time asked for were filled."""
    assigned = sorted((s for s in world.shifts if s.is_assigned and s.is_rostered), key=lambda shift: shift.begin)
    for portal, department in (("oslo", BAR), ("bergen", KITCHEN)):
        past = [s for s in assigned if (s.portal, s.department) == (portal, department) and s.day < world.today]
        for shift, (states, ahead) in zip(reversed(past), CASES, strict=False):
            _put_versions(world, shift, states, ahead)
    for shift in assigned:
        if shift.number >= 9000 and (shift.day - world.today).days in (-29, -28, 14, 15):
            _put_versions(world, shift, [OPEN], (50 if shift.day < world.today else 600,))


def _put_versions(
    world: World, shift: Shift, states: list[tuple[int | None, str] | None], ahead: tuple[int, ...]
) -> None:
    assert shift.person
    start = shift.begin.replace(tzinfo=ZoneInfo(ZONES[shift.portal])).astimezone(UTC)
    common = {"portal": shift.portal, "id": shift.number, "month": f"{shift.day:%Y-%m}", "date": shift.day,
        "department_id": shift.department, "start_date_time": shift.begin, "end_date_time": shift.end,
        "time_zone": ZONES[shift.portal]}  # fmt: skip
    since, after_since = start - 2000 * HOUR, None
    for state, hours in zip(states, ahead, strict=True):
        before = start - hours * HOUR
        after = before - 6 * HOUR
        if state:
            world.put("scheduling_history.shifts", **common, employee_id=state[0], status=state[1], is_current=False,
                valid_from=since, valid_to=before, changed_after=after_since, ended_after=after)  # fmt: skip
        is_fill = state == OPEN
        world.changes.append(
            Change(shift.portal, shift.department, shift.number, shift.day, is_fill, after, before, start)
        )
        since, after_since = before, after
    world.put("scheduling_history.shifts", **common, employee_id=shift.person.number, status="Assigned", is_current=True,
        valid_from=since, changed_after=after_since)  # fmt: skip
