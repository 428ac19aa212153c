"""What the recipes about people and rosters have to answer, worked out from the planted truth in plain Python."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from statistics import median

from tests.support.edges_of_weeks import ACCOUNTS, Account
from tests.support.recipes_of_pay import Rows, by_department, grouped, rounded, share, total
from tests.support.weeks import LEAVERS, NAMES, PEOPLE, SALARY, Shift, World


def overtime(world: World) -> Rows:
    """Weeks, Monday to Sunday, that are over."""
    this_week = world.today - timedelta(days=world.today.weekday())
    weeks: dict[tuple[str, int, str], dict[date, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    contracts: dict[tuple[str, int, str], int | None] = {}
    for s in world.shifts:
        monday = s.day - timedelta(days=s.day.weekday())
        if s.person and s.worked and this_week - timedelta(days=84) <= monday < this_week:
            key = (s.portal, s.person.number, s.person.name)
            weeks[key][monday] += s.worked
            contracts[key] = s.person.contract
    rows: Rows = []
    for key, hours in sorted(weeks.items()):
        over = total(one - 37 for one in hours.values() if one > 37)
        contract = contracts[key]
        due = Decimal(contract) * 12 / 52 if contract else None
        beyond = total(max(one - due, Decimal(0)) for one in hours.values()) if due is not None else None
        worked = sum(hours.values(), Decimal(0))
        if over or beyond:
            count = sum(one > 37 for one in hours.values())
            rows.append((*key, worked, count, over, beyond, share(over or Decimal(0), worked)))
    return rows


def short_rest(world: World) -> Rows:
    by_person: dict[tuple[str, int, str], dict[date, tuple[datetime, datetime]]] = defaultdict(dict)
    for s in world.shifts:
        if s.person and s.presence:
            by_person[s.portal, s.person.number, s.person.name][s.day] = s.presence
    rows: Rows = []
    first, last = world.last_month
    for key, days in sorted(by_person.items()):
        in_row, rests, longest = 0, [], 0
        before: tuple[date, datetime] | None = None
        for day, (begin, end) in sorted(days.items()):
            in_row = in_row + 1 if before and day - before[0] == timedelta(days=1) else 1
            if first <= day <= last:
                longest = max(longest, in_row)
                if before:
                    rests.append(Decimal((begin - before[1]) // timedelta(minutes=1)) / 60)
            before = (day, end)
        if longest > 6 or (rests and min(rests) < 11):
            rows.append((*key, longest, sum(one < 11 for one in rests), min(rests)))
    return rows


def at_clocks(world: World) -> list[Shift]:
    """Shifts of work in departments where somebody punched."""
    shifts = world.of_last_month()
    clocks = {(s.portal, s.department) for s in shifts if s.punch}
    return [s for s in shifts if (s.portal, s.department) in clocks and s.is_planned_work]


def late(world: World) -> Rows:
    rows: Rows = []
    whose = lambda s: (s.portal, s.department, s.person.number, s.person.name)  # noqa: E731
    for (portal, department, number, name), own in grouped(at_clocks(world), whose):
        minutes = [max(s.punch[0], 0) for s in own if s.punch]
        times = sum(one > 5 for one in minutes)
        if times:
            percent = share(Decimal(times), Decimal(len(minutes)))
            rows.append(
                (portal, department, NAMES[department], number, name, times, len(minutes), percent, max(minutes))
            )
    return rows


def no_shows(world: World) -> Rows:
    """Without the list of punches, which bergen has not, it is not known of a shift without one."""
    rows: Rows = []
    is_missed = lambda s: not s.punch and not s.is_paid and s.status == "Assigned"  # noqa: E731
    known = [s for s in at_clocks(world) if s.portal == "oslo" or not is_missed(s)]
    for (portal, department), own in by_department(known):
        missed = [s for s in own if is_missed(s)]
        who = sorted({s.person.number for s in missed if s.person}) or None
        percent = share(Decimal(len(missed)), Decimal(len(own)))
        rows.append((portal, department, NAMES[department], len(missed), len(own), percent, who))
    return rows


def sickness(world: World) -> Rows:
    first, last = world.last_month
    days: dict[tuple[str, int], tuple[list[date], list[date], list[date]]] = {}
    for person in PEOPLE:
        key = (person.portal, person.number)
        work = sorted({s.day for s in world.of_last_month() if s.person == person and s.is_planned_work})
        days[key] = (work, [d for d in world.sick[key] if first <= d <= last], world.on_leave[key])
    rows: Rows = []
    for person in sorted(PEOPLE, key=lambda one: (one.portal, one.department, one.number)):
        work, ill, away = days[person.portal, person.number]
        if not ill:
            continue
        colleagues = [
            days[p.portal, p.number] for p in PEOPLE if (p.portal, p.department) == (person.portal, person.department)
        ]
        of_all = (
            sum(len(theirs) for _, theirs, _ in colleagues),
            sum(len(some) + len(theirs) + len(others) for some, theirs, others in colleagues),
        )
        spells = 1 + sum(
            (then - before).days > 4 or any(before < day < then for day in work) for before, then in pairwise(ill)
        )
        is_on = person.portal == "oslo"
        rows.append((person.portal, person.department, NAMES[person.department], person.number, person.name, len(ill), spells,
            share(Decimal(len(ill)), Decimal(len(ill) + len(work) + len(away))),
            share(Decimal(of_all[0]), Decimal(of_all[1])),
            spells * spells * len(ill) if is_on else None, None if is_on else "switched off"))  # fmt: skip
    return rows


def turnover(world: World) -> Rows:
    ends = [world.last_month[1]]
    while len(ends) < 13:
        ends.append(ends[-1].replace(day=1) - timedelta(days=1))
    rows: Rows = []
    people = [(p, world.today - timedelta(days=p.since), None if p.until is None else world.today - timedelta(days=p.until))
        for p in (*PEOPLE, *LEAVERS)]  # fmt: skip
    for portal, department in sorted({(p.portal, p.department) for p, _, _ in people}):
        own = [(hired, left) for p, hired, left in people if (p.portal, p.department) == (portal, department)]
        counts = [sum(hired <= end and (left is None or left > end) for hired, left in own) for end in ends[:12]]
        left_days = [left for _, left in own if left]
        months = [sum(start < left <= end for left in left_days) for end, start in pairwise(ends)]
        mean = Decimal(sum(counts)) / 12
        there = [(ends[0], hired) for hired, left in own if hired <= ends[0] and (left is None or left > ends[0])]
        years = [
            sum(1 for end, hired in there if years_between(hired, end) in span) for span in ((0,), (1, 2), range(3, 99))
        ]
        rows.append((portal, department, NAMES[department], counts[0], months[0], sum(months), rounded(mean, 1),
            share(Decimal(sum(months)), mean), *years))  # fmt: skip
    return rows


def years_between(hired: date, end: date) -> int:
    """Whole years."""
    return end.year - hired.year - ((end.month, end.day) < (hired.month, hired.day))


def filled_and_changed(world: World) -> Rows:
    rows: Rows = []
    hour = timedelta(hours=1)
    seen = [c for c in world.changes if -28 <= (c.day - world.today).days <= 14]
    for portal, department in sorted({(c.portal, c.department) for c in seen}):
        own = [((c.start - c.before) / hour, (c.start - c.after) / hour, c) for c in seen
            if (c.portal, c.department) == (portal, department)]  # fmt: skip
        fills = [(least, most) for least, most, c in own if c.is_fill]
        medians = [median(one[n] for one in fills) if fills else None for n in (0, 1)]
        certain = {c.shift for least, most, c in own if not c.is_fill and least >= 0 and most <= 168}
        possible = {c.shift for least, most, c in own if not c.is_fill and most >= 0 and least <= 168}
        rows.append((portal, department, NAMES[department], len(fills), *medians, len(certain), len(possible)))
    return rows


def owed_for_vacation(world: World) -> Rows:
    """What accounts hold that are in use today, by unit."""
    rows: Rows = []
    held = [Account(p, p.vacation) for p in PEOPLE if p.vacation is not None]
    held += [a for a in ACCOUNTS if a.balance is not None and a.is_active and (a.ends is None or a.ends >= 0)]
    where = lambda a: (a.person.portal, a.person.department, a.unit)  # noqa: E731
    for (portal, department, unit), own in grouped(held, where):
        worth = [worth_of(a) for a in own]
        balance, unknown = total(a.balance for a in own), worth.count(None)
        rows.append((portal, department, NAMES[department], unit, balance, total(worth), "NOK", unknown))
    assert world
    return rows


def worth_of(account: Account) -> Decimal | None:
    """Hours or days times their pay: a month has 260 / 12 days, and the contract is the hours of a month."""
    person, balance = account.person, account.balance
    if balance is None:
        return None
    if account.unit == "Hours":
        return rounded(balance * person.rate, 2) if person.rate else None
    if person.is_salaried:
        return rounded(balance * SALARY * 12 / 260, 2)
    hours = Decimal(person.contract) * 12 / 260 if person.contract else None
    return rounded(balance * person.rate * hours, 2) if person.rate and hours else None
