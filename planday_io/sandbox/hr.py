"""Portal and HR of the local Planday. Facts: sections 9.1 and 9.2."""

from __future__ import annotations

from starlette.requests import Request

from planday_io.sandbox.answers import Handler, RefusedError, employee, paged, sent, since
from planday_io.sandbox.people import Json
from planday_io.sandbox.state import Sandbox
from planday_io.sandbox.world import Portal


def _person(row: Json, request: Request) -> Json:
    asked = {value for text in request.query_params.getlist("special") for value in text.split(",")}
    hidden = {"Ssn": "ssn", "BankAccount": "bankAccount", "BirthDate": "birthDate"}
    left_out = {member for value, member in hidden.items() if value not in asked}
    return {key: value for key, value in row.items() if key not in left_out}


def _employees(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    return paged(sandbox, request, [_person(row, request) for row in since(portal.employees, request)])


def _deactivated(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    rows = since(portal.deactivated, request, deactivatedFrom="dateTimeDeleted")
    return paged(sandbox, request, [_person(row, request) for row in rows])


def _details(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    return {"data": sent(_person(portal.details[employee(sandbox, portal, request)], request))}


def _history(sandbox: Sandbox, portal: Portal, request: Request) -> Json:
    log = portal.history.get(employee(sandbox, portal, request), [])
    since = request.query_params.get("startDateTime", "")
    return paged(sandbox, request, [entry for entry in log if entry["modificationDateTime"] >= since])


def _members(kind: str) -> Handler:
    def handler(_: Sandbox, portal: Portal, request: Request) -> Json:
        number = int(request.path_params["id"])
        return {"data": [{"employeeId": row["id"]} for row in portal.employees if number in (row.get(kind) or [])]}

    return handler


def listed(name: str) -> Handler:
    return lambda sandbox, portal, request: paged(sandbox, request, getattr(portal, name))


def _one(name: str) -> Handler:
    def handler(_: Sandbox, portal: Portal, request: Request) -> Json:
        for row in getattr(portal, name):
            if row["id"] == int(request.path_params["id"]):
                return {"data": sent(row)}
        raise RefusedError(404, "id")

    return handler


ENDPOINTS: tuple[tuple[str, str | None, Handler], ...] = (
    ("/portal/v1.0/info", None, lambda _, portal, __: {"data": sent(portal.info)}),
    ("/hr/v1.0/departments", "department:read", listed("departments")),
    ("/hr/v1.0/departments/{id:int}", "department:read", _one("departments")),
    ("/hr/v1.0/departments/{id:int}/employees", "employee:read", _members("departments")),
    ("/hr/v1.0/employeegroups", "employeegroup:read", listed("employee_groups")),
    ("/hr/v1.0/employeegroups/{id:int}", "employeegroup:read", _one("employee_groups")),
    ("/hr/v1.0/employeegroups/{id:int}/employees", "employee:read", _members("employeeGroups")),
    ("/hr/v1.0/employeetypes", "employeetype:read", listed("employee_types")),
    ("/hr/v1.0/terminationtypes", None, lambda _, portal, __: {"data": portal.termination_types}),
    ("/hr/v1.0/skills", "skill:read", lambda _, portal, __: [sent(row) for row in portal.skills]),
    ("/hr/v1.0/employees", "employee:read", _employees),
    ("/hr/v1.0/employees/deactivated", "employee:read", _deactivated),
    ("/hr/v1.0/employees/supervisors", "employee:read", listed("supervisors")),
    (
        "/hr/v1.0/employees/fielddefinitions",
        "employee:read",
        lambda _, portal, __: {"data": portal.field_definitions},
    ),
    ("/hr/v1.0/employees/{employee_id:int}", "employee:read", _details),
    ("/hr/v1.0/employees/{employee_id:int}/history", "employee:history", _history),
)
