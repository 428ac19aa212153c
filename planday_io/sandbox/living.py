"""What a portal needs in order to live: the part of `world.Portal` that its life reads and changes."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Protocol

from planday_io.sandbox.leave import Leave
from planday_io.sandbox.pay import Pay
from planday_io.sandbox.people import Json, People, SickAs
from planday_io.sandbox.planner import Planner
from planday_io.sandbox.roster import Roster


class Living(Protocol):
    """A portal, without the module that puts it together."""

    key: str
    info: Json
    today: date
    sick_as: SickAs
    departments: list[Json]
    employees: list[Json]
    lived_until: datetime | None

    @property
    def people(self) -> People: ...
    @property
    def planner(self) -> Planner: ...
    @property
    def roster(self) -> Roster: ...
    @property
    def pay(self) -> Pay: ...
    @property
    def leave(self) -> Leave: ...

    def edit_employee(self, employee_id: int, now: datetime | None = None, **members: Any) -> None: ...  # noqa: ANN401
    def deactivate(self, employee_id: int, now: datetime | None = None, reason: int | None = None) -> None: ...
    def hire(self, now: datetime | None = None) -> int: ...
