"""Who works where in a portal, as far as rosters, pay and absences need to know."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

Json = dict[str, Any]
SickAs = Literal["shifts", "records"]

FULL_TIME, PART_TIME, HOURLY, TRAINEE = range(300, 304)
"""Ids of employee types."""


@dataclass(frozen=True, slots=True)
class People:
    """The people of one portal.

    Args:
        portal: its key.
        zone: IANA time zone.
        departments, employees, deactivated: raw objects.
        seed: of what is made up.
        sick_as: whether sickness is a type of shift or an absence record there.
    """

    portal: str
    zone: str
    departments: list[Json]
    employees: list[Json]
    deactivated: list[Json]
    seed: int = 7
    sick_as: SickAs = "records"

    @property
    def everyone(self) -> list[Json]:
        """All people by id, including those who left."""
        return sorted([*self.employees, *self.deactivated], key=lambda row: int(row["id"]))

    def chance(self, *what: object) -> random.Random:
        """Luck that is the same every time for the same thing."""
        return random.Random(f"{self.seed} {self.portal} {' '.join(map(str, what))}")  # noqa: S311 - the same every time is the point


def weekly_hours(number: int) -> float:
    """Hours a week that a person is planned for. Agreed upon in a contract, except with those who are paid by the hour."""
    turn = number // 4
    return {
        FULL_TIME: 37.0,
        PART_TIME: (12.0, 15.0, 18.0, 20.0)[turn % 4],
        HOURLY: (6.0, 8.0, 10.0)[turn % 3],
        TRAINEE: (10.0, 12.0)[turn % 2],
    }[300 + number % 4]


def worked_between(row: Json) -> tuple[date, date]:
    """The day a person was hired, and the first on which they no longer work there."""
    return (
        date.fromisoformat((row.get("hiredDate") or "2000-01-01")[:10]),
        date.fromisoformat((row.get("deactivationDate") or "9999-12-31")[:10]),
    )
