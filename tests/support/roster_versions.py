"""Versions of shifts in the planted weeks, as two reads found them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.support.weeks import BAR, ZONES, Change, Shift, World


def put_changes(world: World) -> None:
    """Nine shifts that two reads, six hours apart, found in two states; one was not there before, one is too far ahead."""
    usual = sorted((s for s in world.shifts if s.is_assigned), key=lambda shift: shift.begin)
    bar = [s for s in usual if (s.portal, s.department) == ("oslo", BAR)]
    past = [s for s in bar if s.day < world.today]
    kitchen = [s for s in usual if s.portal == "bergen" and s.day < world.today]
    hours = (-2, 20, 30, 10, 164, 400, 3, 166, 60)
    for n, (shift, ahead) in enumerate(zip([*past[-4:], *kitchen[-5:]], hours, strict=True)):
        # Across the start, the day before, the week before, and longer ago.
        start = shift.begin.replace(tzinfo=ZoneInfo(ZONES[shift.portal])).astimezone(UTC)
        before = start - timedelta(hours=ahead)
        after = before - timedelta(hours=6)
        _put_versions(world, shift, None if n == 3 else n % 2 == 1, after, before)
        world.changes.append(
            Change(shift.portal, shift.department, shift.number, n % 2 == 1 and n != 3, after, before, start)
        )
    far = next(s for s in bar if s.day > world.today + timedelta(days=14))
    _put_versions(world, far, True, *(datetime.now(UTC) - timedelta(hours=n) for n in (9, 3)))


def _put_versions(world: World, shift: Shift, was_open: bool | None, after: datetime, before: datetime) -> None:
    """A version that the read `before` found first, and an earlier one, open or of somebody else; None is no earlier one."""
    assert shift.person
    common = {"portal": shift.portal, "id": shift.number, "month": f"{shift.day:%Y-%m}", "date": shift.day,
        "department_id": shift.department, "start_date_time": shift.begin, "time_zone": ZONES[shift.portal]}  # fmt: skip
    if was_open is not None:
        old = {"employee_id": None, "status": "Open"} if was_open else {"employee_id": 99, "status": "Assigned"}
        world.put("scheduling.shifts_history", **common, **old, end_date_time=shift.end, is_current=False,
            valid_from=after - timedelta(days=30), valid_to=before, ended_after=after)  # fmt: skip
    world.put("scheduling.shifts_history", **common, employee_id=shift.person.number, status="Assigned",
        end_date_time=shift.end, is_current=True, valid_from=before, changed_after=after)  # fmt: skip
