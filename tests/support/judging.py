"""What rows of an answer have to be for each documented filter, by predicates that know nothing of the sandbox's filters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

Row = dict[str, Any]
PUNCHES = "/punchclock/v1.0/punchclockshifts"
PEOPLE, LEFT = "/hr/v1.0/employees", "/hr/v1.0/employees/deactivated"


def at(text: str) -> datetime:
    told = datetime.fromisoformat(text)
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def same(member: str) -> Callable[[Row, str], bool]:
    return lambda row, value: str(row.get(member)).lower() == value.lower()


def after(*members: str) -> Callable[[Row, str], bool]:
    return lambda row, value: any(row.get(name) and at(row[name]) > at(value) for name in members)


def before(*members: str) -> Callable[[Row, str], bool]:
    return lambda row, value: any(row.get(name) and at(row[name]) < at(value) for name in members)


def valid(row: Row) -> tuple[str, str]:
    period = row.get("validityPeriod") or row.get("absencePeriod") or {}
    return period.get("start", "0001-01-01"), period.get("end", "9999-12-31")


def searched(row: Row, value: str) -> bool:
    told = [row.get(name) for name in ("firstName", "lastName", "email", "cellPhone", "salaryIdentifier", "ssn")]
    return value.lower() in " ".join(filter(None, told)).lower()


def minutes(text: str) -> str:
    return f"{at(text) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%SZ}"


MODIFIED_PERSON = ("dateTimeModified", "dateTimeCreated", "dateTimeDeleted")
STAMPS = {
    "created": ("dateTimeCreated",),
    "modified": ("dateTimeModified",),
    "deactivated": ("dateTimeDeleted",),
    "deleted": ("dateTimeDeleted",),
}
IS_EQUAL = {
    "departmentId": "departmentId",
    "employeeGroupId": "employeeGroupId",
    "shiftTypeId": "shiftTypeId",
    "positionId": "positionId",
    "employeeId": "employeeId",
    "shiftId": "shiftId",
    "shiftStatus": "status",
    "status": "status",
    "statuses": "status",
    "absenceType": "absenceType",
    "isActive": "isActive",
    "date": "date",
}
"""Filter -> the member that equals it."""


def at_least(member: str) -> Callable[[Row, str], bool]:
    return lambda row, value: str(row[member])[: len(value)] >= value


def at_most(member: str) -> Callable[[Row, str], bool]:
    return lambda row, value: str(row[member])[: len(value)] <= value


def judge(path: str, name: str) -> tuple[Callable[[Row, str], bool], Callable[[Row], str | None]]:
    """Whether a row was asked for, and a value to ask for that a row suggests."""
    kind = name.removesuffix("From").removesuffix("To")
    if kind in STAMPS and kind != name:
        members = STAMPS[kind]
        tested = MODIFIED_PERSON if kind == "modified" and path in (PEOPLE, LEFT) else members
        # A minute beside the row's own stamp: what happens on the very second is tested below.
        suggests = lambda row: minutes(row[members[0]]) if row.get(members[0]) else None  # noqa: E731
        return (after if name.endswith("From") else before)(*tested), suggests
    if name in SPECIAL_JUDGES:
        return SPECIAL_JUDGES[name]
    if path == PUNCHES and name in ("from", "to"):
        return _punched(name), lambda row: str(row["startDateTime"])[:16]
    if "allocations" in path and name == "from":
        return (lambda row, value: (row.get("validTo") or "9999") >= value), lambda row: row["validFrom"]
    if name in ("from", "to"):
        member = "validFrom" if "allocations" in path else "date"
        return (at_least if name == "from" else at_most)(member), lambda row: str(row[member])
    member = IS_EQUAL[name]
    return same(member), lambda row: str(row[member]) if row.get(member) is not None else None


SPECIAL_JUDGES: dict[str, tuple[Callable[[Row, str], bool], Callable[[Row], str | None]]] = {
    "startDate": ((lambda row, value: valid(row)[1] >= value), lambda row: valid(row)[1]),
    "endDate": ((lambda row, value: valid(row)[0] <= value), lambda row: valid(row)[0]),
    "startDateTime": (at_least("modificationDateTime"), lambda row: str(row["modificationDateTime"])[:10]),
    "endDateTime": (at_most("modificationDateTime"), lambda row: str(row["modificationDateTime"])[:10]),
    "searchQuery": (searched, lambda row: row["lastName"][:3] or None),
}


def _punched(name: str) -> Callable[[Row, str], bool]:
    if name == "from":
        return lambda row, value: row["startDateTime"] >= value
    return lambda row, value: row["startDateTime"] < value
