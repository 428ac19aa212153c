"""What a portal has besides people: shift types, positions, sections, skills, tills. As raw API objects."""

from __future__ import annotations

import random

from planday_io.sandbox.pay import money
from planday_io.sandbox.people import Json, People
from planday_io.sandbox.roster import ADDED_TYPE, SHIFT_TYPES, Roster


def furnish(roster: Roster, people: People, chance: random.Random) -> None:
    """Set the scene of a roster."""
    common: Json = {"color": "#3366CC", "isActive": True, "allowsBreaks": True, "allowBooking": False}
    types = [{**common, "includeInSchedulePrint": True, **row} for row in SHIFT_TYPES]
    for row in types:
        if "payMonetary" in row:
            row["payMonetary"] = money(row["payMonetary"], people.zone)
    # With one more to draw from, the roster would be another one.
    roster.shift_types = [row for row in types if row["id"] != ADDED_TYPE]
    for n, department in enumerate(sorted(people.departments, key=lambda row: row["id"])):
        number = department["id"]
        roster.revenue_units.append({"id": 900 + n, "name": f"Till {n + 1}", "departmentId": number})
        roster.sections.append({"id": 700 + n, "name": "Floor", "departmentId": number})
        roster.skills[number] = [
            {"id": 520, "name": "Opens the till", "isRemoved": False, "isDeleted": False, "allEmployeeGroups": True},
            {"id": 521 + n, "name": "Closes", "isRemoved": n == 1, "isDeleted": False, "employeeGroupIds": [200, 201]},
        ]
        for m in range(2):
            roster.positions.append(
                {
                    "id": 800 + 2 * n + m,
                    "name": ("Floor", "Kitchen")[m],
                    "startDate": "2023-01-01",
                    "isActive": True,
                    "departmentId": number,
                    "sectionId": 700 + n if m == 0 else None,
                    "employeeGroupId": 200 + m,
                    "affectRevenue": m == 0,
                    "revenueUnitId": 900 + n,
                    "skillIds": [520],
                }
            )
    for rows in (roster.positions, roster.sections, roster.shift_types, roster.revenue_units):
        chance.shuffle(rows)
    roster.shift_types += [row for row in types if row["id"] == ADDED_TYPE]
    # Inactive rows are listed as well.
    roster.positions.insert(1, roster.positions[0] | {"id": 799, "name": "Terrace", "isActive": False})
    roster.shift_types.insert(1, roster.shift_types[0] | {"id": 609, "name": "Stocktaking", "isActive": False})
