"""What managers and employees do to a portal: to its roster, its punches, its pay, its absences and its people.

Each takes the moment, and returns the id of what it changed: a shift, a punch, a person, a request or a till; None where
there was nothing to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta

from planday_io.sandbox.moment import Moment
from planday_io.sandbox.planner import AHEAD_DAYS
from planday_io.sandbox.roster import ADDED_TYPE, SICK_TYPE


def _moved(wall: str, minutes: int) -> str:
    return (datetime.fromisoformat(wall) + timedelta(minutes=minutes)).isoformat(timespec="minutes")


def _lengthened(moment: Moment) -> int | None:
    shift = moment.soon("Assigned", "ForSale", "Open")
    by = moment.chance.choice((30, 30, 60, 90))
    return moment.edit(shift, endDateTime=_moved(shift["endDateTime"], by)) if shift else None


def _shortened(moment: Moment) -> int | None:
    shift = moment.soon("Assigned")
    by = moment.chance.choice((30, 60, 90))
    return moment.edit(shift, endDateTime=_moved(shift["endDateTime"], -by)) if shift else None


def _moved_shift(moment: Moment) -> int | None:
    shift = moment.soon("Assigned")
    by = moment.chance.choice((-60, -30, 30, 60))
    times = ("startDateTime", "endDateTime")
    return moment.edit(shift, **{name: _moved(shift[name], by) for name in times}) if shift else None


def _swapped(moment: Moment) -> int | None:
    one = moment.soon("Assigned")
    others = moment.shifts("Assigned") if one else []
    same = [
        row
        for row in others
        if one and row["departmentId"] == one["departmentId"] and row["employeeId"] != one["employeeId"]
        and abs((date.fromisoformat(row["date"]) - date.fromisoformat(one["date"])).days) < 3
    ]  # fmt: skip
    if one is None or not same:
        return None
    other = moment.chance.choice(same)
    mine, theirs = ({name: row[name] for name in ("employeeId", "employeeGroupId")} for row in (one, other))
    moment.edit(other, **mine)
    return moment.edit(one, **theirs)


def _offered(moment: Moment) -> int | None:
    shift = moment.soon("Assigned")
    return moment.edit(shift, status="ForSale") if shift else None


def _cancelled(moment: Moment) -> int | None:
    shift = moment.soon("Assigned")
    return moment.edit(shift, status="Open", employeeId=None) if shift else None


def _deleted(moment: Moment) -> int | None:
    shift = moment.soon("Assigned", "Open", "Draft")
    if shift is None:
        return None
    moment.portal.roster.delete_shift(shift["id"], moment.at)
    number: int = shift["id"]
    return number


def _added(moment: Moment) -> int | None:
    like = moment.soon("Assigned", "Open")
    if like is None:
        return None
    new = moment.portal.roster.add_shift(like["id"], date.fromisoformat(like["date"]), moment.at)
    shift = moment.portal.roster.shifts[new]
    shift.update(employeeId=None, status="Open", comment=None)
    moment.give(shift, shiftTypeId=ADDED_TYPE)
    return new


def _published(moment: Moment) -> int | None:
    drafts = moment.shifts("Draft", ahead=AHEAD_DAYS)
    if not drafts:
        return None
    week = date.fromisoformat(drafts[0]["date"]).isocalendar()[:2]
    for shift in drafts:
        is_of = shift["departmentId"] == drafts[0]["departmentId"]
        if is_of and date.fromisoformat(shift["date"]).isocalendar()[:2] == week:
            moment.edit(shift, status="Assigned" if shift["employeeId"] else "Open")
    number: int = drafts[0]["id"]
    return number


def _sick(moment: Moment) -> int | None:
    """Somebody calls in sick for a shift of today or tomorrow; a colleague takes it, or nobody does."""
    shift = moment.soon("Assigned", ahead=1)
    if shift is None:
        return None
    person, day = shift["employeeId"], date.fromisoformat(shift["date"])
    if moment.portal.sick_as == "shifts":
        moment.portal.leave.sick_days.setdefault(person, set()).add(day)
        return moment.edit(shift, shiftTypeId=SICK_TYPE)
    moment.portal.leave.call_in_sick(person, [day])
    return moment.give(shift, shiftTypeId=ADDED_TYPE) or moment.edit(shift, status="Open", employeeId=None)


def _approved(moment: Moment) -> int | None:
    rows = moment.shifts("Assigned", "PunchclockFinished", "PunchclockStarted", back=14)
    clocks = moment.portal.planner.clocks
    # Whoever did not come is not paid.
    rows = [
        row for row in rows if row["employeeId"] and (row["punchClockShiftId"] or row["departmentId"] not in clocks)
    ]
    some = moment.chance.sample(rows, min(len(rows), 1 + moment.chance.randrange(5)))
    for shift in some:
        moment.portal.roster.approve(shift["id"], moment.at)
    return some[0]["id"] if some else None


def _corrected(moment: Moment) -> int | None:
    """A punch changes after it was approved."""
    since = (moment.local.date() - timedelta(days=40)).isoformat()
    punches = moment.portal.roster.punches.values()
    rows = [row for row in punches if row["isApproved"] and (row["startDateTime"] or "") >= since]
    if not rows:
        return None
    row, by = moment.chance.choice(rows), moment.chance.choice((-30, -15, 15, 30, 45))
    row.update({name: _moved(row[name], by) for name in ("endDateTime", "shiftEndDateTime") if row[name]})
    number: int = row["id"]
    return number


def _raised(moment: Moment) -> int | None:
    """A raise from the first of this month, or of the last one, which may have been paid already."""
    paid = {person for person, _ in moment.portal.pay.rates} | moment.portal.pay.salaries.keys()
    people = [row["id"] for row in moment.people() if row["id"] in paid]
    if not people:
        return None
    number: int = moment.chance.choice(people)
    first = moment.local.date().replace(day=1)
    first = first if moment.chance.random() < 0.6 else (first - timedelta(days=1)).replace(day=1)
    moment.portal.pay.raise_rate(number, moment.chance.choice((1.02, 1.03, 1.05)), first)
    return number


def _hired(moment: Moment) -> int | None:
    number = moment.portal.hire(moment.at)
    places = moment.portal.employees[-1]["departments"]
    taken: set[str] = set()
    for shift in moment.shifts("Open"):
        if shift["departmentId"] in places and len(taken) < 4 and shift["date"] not in taken:
            taken.add(shift["date"])
            moment.edit(shift, employeeId=number, status="Assigned")
    return number


def _left(moment: Moment) -> int | None:
    people = moment.people()
    if len(people) < 4:
        return None
    number: int = moment.chance.choice(people)["id"]
    moment.portal.deactivate(number, moment.at, reason=moment.chance.randrange(4))
    for shift in moment.shifts("Assigned", "ForSale", "Draft", "PendingSwapAcceptance", ahead=2 * AHEAD_DAYS):
        if shift["employeeId"] == number:
            moment.edit(shift, employeeId=None, status="Draft" if shift["status"] == "Draft" else "Open")
    return number


def _edited_person(moment: Moment) -> int | None:
    people = moment.people()
    if not people:
        return None
    number: int = moment.chance.choice(people)["id"]
    moment.portal.edit_employee(number, moment.at, street1=f"Elm Street {moment.chance.randrange(1, 400)} #{number}")
    return number


def _counted(moment: Moment) -> int | None:
    """Yesterday's revenue was counted again."""
    unit = moment.chance.choice(moment.portal.roster.revenue_units)
    yesterday = (moment.local.date() - timedelta(days=1)).isoformat()
    usual = moment.portal.roster.takings.get(unit["departmentId"], 7_000.0) / 7
    moment.portal.roster.turnover[unit["id"], yesterday] = round(usual * moment.chance.uniform(0.9, 1.2), 2)
    number: int = unit["id"]
    return number


def _went_on_leave(moment: Moment) -> int | None:
    leave = moment.portal.leave
    waiting = [row for row in leave.requests if row["status"] == "Submitted"]
    if not waiting:
        return None
    request = moment.chance.choice(waiting)
    request["status"] = "Approved"
    first, last = (date.fromisoformat(request["absencePeriod"][name]) for name in ("start", "end"))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    leave.register(request["employeeId"], days, request["requestedAccounts"][0]["id"])
    _reopen(moment, request["employeeId"], days)
    number: int = request["id"]
    return number


def _reopen(moment: Moment, person: int, days: Iterable[date]) -> None:
    for day in days:
        for shift in list(moment.portal.roster.on(day, day)):
            if shift["employeeId"] == person:
                moment.edit(shift, employeeId=None, status="Draft" if shift["status"] == "Draft" else "Open")


KINDS: dict[str, tuple[float, Callable[[Moment], int | None]]] = {
    "lengthened": (10, _lengthened),
    "shortened": (7, _shortened),
    "moved": (8, _moved_shift),
    "swapped": (8, _swapped),
    "offered": (6, _offered),
    "sold": (6, lambda moment: moment.give(moment.soon("ForSale"))),
    "filled": (12, lambda moment: moment.give(moment.soon("Open"))),
    "cancelled": (5, _cancelled),
    "deleted": (5, _deleted),
    "added": (6, _added),
    "published": (3, _published),
    "sick": (5, _sick),
    "approved": (14, _approved),
    "corrected": (3, _corrected),
    "raised": (2, _raised),
    "hired": (0.6, _hired),
    "left": (0.6, _left),
    "edited": (3, _edited_person),
    "counted": (2, _counted),
    "on leave": (2, _went_on_leave),
}
"""What happens, how often compared with the others, and how."""
