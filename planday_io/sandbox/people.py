"""Who works where in a portal, as far as rosters, pay and absences need to know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class People:
    """The people of one portal.

    Args:
        portal: its key, which seeds what is made up.
        zone: IANA time zone.
        departments, employees, deactivated: raw objects.
    """

    portal: str
    zone: str
    departments: list[Json]
    employees: list[Json]
    deactivated: list[Json]

    @property
    def everyone(self) -> list[Json]:
        """All people by id, including those who left."""
        return sorted([*self.employees, *self.deactivated], key=lambda row: int(row["id"]))
