"""Portal and HR of the local Planday. Facts: docs/api-facts.md#portal and docs/api-facts.md#hr."""

from __future__ import annotations

import base64
from collections.abc import Callable

from planday_io.sandbox.answers import by_id, document, employee, found, listing, sent, unpaged
from planday_io.sandbox.endpoint import Asked, Endpoint, Pages, Param, RefusedError
from planday_io.sandbox.params import CREATED, day_or_time, flag, one_of, stamps, text_of
from planday_io.sandbox.people import Json
from planday_io.sandbox.roster import WINDOWS_ZONES

_PAGES = Pages(over="unknown")
_SPECIAL = {
    "Ssn": ("ssn:read", "ssn"),
    "BankAccount": ("bankaccount:read", "bankAccount"),
    "BirthDate": ("birthdate:read", "birthDate"),
}
_SEARCHED = ("email", "cellPhone", "cellPhoneWithoutCountryPrefix", "phone", "salaryIdentifier", "ssn")

SPECIAL = Param(name="special", read=one_of(tuple(_SPECIAL)), is_list=True)
INCLUDE_DELETED = Param(name="includeDeleted", read=flag)


def _is_found(row: Json, wanted: str, _: object) -> bool:
    texts = [f"{row.get('firstName')} {row.get('lastName')}", *(row.get(name) or "" for name in _SEARCHED)]
    return any(wanted.lower() in text.lower() for text in texts)


PEOPLE = (
    *CREATED,
    # Includes people who were created or deactivated in the window, as documented.
    *stamps("modified", "dateTimeModified", "dateTimeCreated", "dateTimeDeleted"),
    SPECIAL,
    Param(name="searchQuery", read=text_of, keeps=_is_found),
)


def _person(row: Json, asked: Asked) -> Json:
    """A person as sent. Security groups come empty, and mean nothing, unless they are asked for."""
    wanted = asked.values.get("special", ())
    if any(scope not in asked.app.scopes for scope, _ in (_SPECIAL[value] for value in wanted)):
        raise RefusedError(403)
    hidden = {member for value, (_, member) in _SPECIAL.items() if value not in wanted}
    told: Json = sent({key: value for key, value in row.items() if key not in hidden})
    if "securityGroups" in told and not asked.values.get("includeSecurityGroups"):
        told["securityGroups"] = []
    return told


def _info(asked: Asked) -> Json:
    told: Json = sent(asked.portal.info)
    if asked.sandbox.variants.zone_names == "Windows":
        told["timeZone"] = WINDOWS_ZONES[told["timeZone"]]
    return {"data": told}


def _details(asked: Asked) -> Json:
    return {"data": _person(asked.portal.details[employee(asked)], asked)}


def _image(asked: Asked) -> str:
    field = asked.portal.details[employee(asked)].get(asked.ids["customPropertyName"], {})
    if field.get("type") != "Image":
        raise RefusedError(404, "custom field")
    return "data:image/svg+xml;base64," + base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode()


def _field_definitions(asked: Asked) -> Json:
    """A new employee needs other fields than a changed one, whose `required` may be missing."""
    is_change = asked.values.get("type") == "Put"
    told = {
        name: value for name, value in asked.portal.field_definitions.items() if not is_change or name != "required"
    }
    return {"data": told}


def _department(asked: Asked) -> Json:
    deleted = asked.portal.deleted_departments if asked.values.get("includeDeleted") else []
    return {"data": sent(found([*asked.portal.departments, *deleted], asked.ids["id"]))}


def _members(name: str, kind: str) -> Callable[[Asked], list[Json]]:
    def rows(asked: Asked) -> list[Json]:
        number = found(getattr(asked.portal, name), asked.ids["id"])["id"]
        return [{"employeeId": row["id"]} for row in asked.portal.employees if number in (row.get(kind) or [])]

    return rows


def _of_portal(name: str) -> Callable[[Asked], list[Json]]:
    def rows(asked: Asked) -> list[Json]:
        found: list[Json] = getattr(asked.portal, name)
        return found

    return rows


_LOGGED = (
    Param(
        name="startDateTime", read=day_or_time, keeps=lambda row, at, _: row["modificationDateTime"][: len(at)] >= at
    ),
    Param(name="endDateTime", read=day_or_time, keeps=lambda row, at, _: row["modificationDateTime"][: len(at)] <= at),
)

ENDPOINTS: tuple[Endpoint, ...] = (
    document("/portal/v1.0/info", None, _info),
    listing("/hr/v1.0/departments", "department:read", _of_portal("departments"), pages=_PAGES),
    document(
        "/hr/v1.0/departments/{id}",
        "department:read",
        _department,
        INCLUDE_DELETED,
        Param(name="managedEmployeesOnly", read=flag),
    ),
    unpaged("/hr/v1.0/departments/{id}/employees", "employee:read", _members("departments", "departments")),
    listing("/hr/v1.0/employeegroups", "employeegroup:read", _of_portal("employee_groups"), pages=_PAGES),
    by_id("/hr/v1.0/employeegroups/{id}", "employeegroup:read", _of_portal("employee_groups")),
    unpaged("/hr/v1.0/employeegroups/{id}/employees", "employee:read", _members("employee_groups", "employeeGroups")),
    listing("/hr/v1.0/employeetypes", "employeetype:read", _of_portal("employee_types"), pages=_PAGES),
    unpaged("/hr/v1.0/terminationtypes", None, _of_portal("termination_types")),
    unpaged("/hr/v1.0/skills", "skill:read", _of_portal("skills"), is_bare=True),
    listing(
        "/hr/v1.0/employees",
        "employee:read",
        _of_portal("employees"),
        *PEOPLE,
        Param(name="includeSecurityGroups", read=flag),
        pages=_PAGES,
        as_sent=_person,
    ),
    listing(
        "/hr/v1.0/employees/deactivated",
        "employee:read",
        _of_portal("deactivated"),
        *PEOPLE,
        *stamps("deactivated", "dateTimeDeleted"),
        pages=_PAGES,
        as_sent=_person,
    ),
    listing("/hr/v1.0/employees/supervisors", "employee:read", _of_portal("supervisors"), pages=_PAGES),
    document(
        "/hr/v1.0/employees/fielddefinitions",
        "employee:read",
        _field_definitions,
        Param(name="type", read=one_of(("Post", "Put"))),
    ),
    document("/hr/v1.0/employees/{employeeId}", "employee:read", _details, SPECIAL),
    listing(
        "/hr/v1.0/employees/{employeeId}/history",
        "employee:history",
        lambda asked: asked.portal.history.get(employee(asked), []),
        *_LOGGED,
        pages=_PAGES,
    ),
    Endpoint(
        path="/hr/v1.0/employees/{employeeId}/customfields/{customPropertyName}/value",
        scope="employee:read",
        answer=_image,
        texts=frozenset({"customPropertyName"}),
    ),
)
