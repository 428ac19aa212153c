"""People of the demo portals, one at a time, and the schema that describes them. As raw API objects."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from planday_io.sandbox.people import FULL_TIME, HOURLY, PART_TIME, Json, weekly_hours

_FIRST = (
    "Anna Bjørn Cecilie David Emma Frederik Grete Henrik Ida Jonas Katrine Lars Maja Niels Olivia Peter Rikke Søren Tilde "
    "Ulrik Viktor Wilma Åse Øyvind Zofia Ahmed Fatima Minh Priya Kwame"
).split()
_LAST = (
    "Andersen Berg Christensen Dahl Eriksen Friis Gundersen Hansen Iversen Jensen Kristiansen Lund Mortensen Nilsen Olsen "
    "Pedersen Rasmussen Sørensen Thomsen Vestergaard Winther Nguyen Kaur Mensah O'Brien"
).split()


@dataclass(frozen=True, slots=True)
class Place:
    """Where people work: a portal's key, and the ids of its departments and groups."""

    portal: str
    departments: list[int]
    groups: list[int]


@dataclass(frozen=True, slots=True)
class Person:
    """A person as lists and as details show them, and their history."""

    row: Json
    detail: Json
    log: list[Json]


def person_of(place: Place, chance: random.Random, number: int, hired: date, modified: datetime) -> Person:
    """Make a person up: they belong to one department, a quarter of them helps out in another."""
    first, last = chance.choice(_FIRST), chance.choice(_LAST)
    mail = f"{first}.{last}.{number}@{place.portal}.example".lower().replace("'", "")
    digits = f"{chance.randrange(20_000_000, 99_999_999)}"
    home = place.departments[number % len(place.departments)]
    departments = sorted({home, *chance.sample(place.departments, chance.choice((0, 0, 0, 1)))})
    groups = sorted(chance.sample(place.groups, chance.choice((1, 1, 2, 3))))
    stamp = modified.strftime(f"%Y-%m-%dT%H:%M:%S.{number % 1000:03d}Z" if number % 2 else "%Y-%m-%dT%H:%M:%SZ")
    kind = 300 + number % 4
    shared: Json = {
        "id": number,
        "firstName": first,
        "lastName": last,
        "userName": mail,
        "email": mail,
        "cellPhoneCountryPrefix": "+45",
        "cellPhoneCountryCode": "DK",
        "phone": None if number % 4 == 3 else "",
        "street1": f"{chance.choice(('Havnegade', 'Storgata', 'Elm Street'))} {chance.randrange(1, 200)} #{number}",
        "zip": f"{chance.randrange(100, 9999):04d}",
        "city": chance.choice(("Oslo", "København", "Aarhus", "London")),
        "departments": departments,
        "employeeGroups": groups,
        "employeeTypeId": kind,
        "salaryIdentifier": f"{number % 7919:05d}" if number % 5 else None,
        "isPublic": number % 3 == 0,
        "primaryDepartmentId": home,
        "dateTimeCreated": hired.isoformat(),
        "dateTimeModified": stamp,
        "ssn": f"{chance.randrange(10**9, 10**10)}",
        "bankAccount": {
            "registrationNumber": f"{chance.randrange(1000, 9999)}",
            "accountNumber": f"00{number}{digits}",
        },
        "birthDate": f"{chance.randrange(1960, 2008)}-{chance.randrange(1, 13):02d}-{chance.randrange(1, 29):02d}",
    }
    row: Json = {
        **shared,
        # People without a number have only the prefix.
        "cellPhone": "+45" if number % 9 == 5 else f"+45{digits}",
        "cellPhoneWithoutCountryPrefix": "" if number % 9 == 5 else digits,
        "hiredDate": hired.isoformat(),
        "securityGroups": [90 + n for n in range(1, 4) if number % (n + 1) == 0],
    }
    detail: Json = {
        **shared,
        "cellPhone": "" if number % 9 == 5 else digits,
        "dateTimeCreated": f"{hired.isoformat()}T08:00:00Z",
        "isDeactivated": False,
        "gender": chance.choice(("Male", "Female", "Male", "Female", None)),
        "jobTitle": chance.choice(("Waiter", "Cook", "Shop assistant", None)),
        "hiredFrom": hired.isoformat(),
        "countryId": 45,
        # By the month; nothing is agreed upon with those who are paid by the hour.
        "workHours": None if kind == HOURLY else round(weekly_hours(number) * 52 / 12, 3),
        "contractRulesRuleId": {FULL_TIME: 7, PART_TIME: 8}.get(kind),
        "skillIds": sorted(chance.sample([500, 501, 502], chance.randrange(3))),
    }
    if number % 2:
        detail["custom_101"] = {"name": "Shoe size", "type": "Numeric", "value": 36 + number % 10, "url": None}
    if number % 3 == 0:
        detail["custom_102"] = {"name": "Locker", "type": "Text", "value": f"L-{number}", "url": None}
    if number % 11 == 0:
        detail["custom_103"] = {"name": "Has key", "type": "Boolean", "value": True, "url": None}
    if number % 4 == 2:
        address = f"https://openapi.planday.example/hr/v1.0/employees/{number}/customfields/custom_104/value"
        detail["custom_104"] = {"name": "Photo", "type": "Image", "value": None, "url": address}
    log = [log_entry(modified, "/firstName", first, "add"), log_entry(modified, "/email", mail, "add")]
    return Person(row, detail, log)


def log_entry(stamp: datetime, path: str, value: object, op: str = "replace") -> Json:
    """One change of a person, as their history tells it."""
    return {
        "op": op,
        "path": path,
        "value": value if value is None or isinstance(value, str) else str(value),
        "modificationDateTime": stamp.strftime("%Y-%m-%dT%H:%M:%S"),
        "modifiedBy": 1000,
        "modifiedByUserGuid": "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    }


def _optional(kind: str, **more: Any) -> Json:  # noqa: ANN401 - JSON
    return {"anyOf": [{"type": kind, **more}, {"type": "null"}]}


def field_definitions(portal_id: int) -> Json:
    """The schema of employees as live portals have it: most properties refer to a definition that may be null."""
    reference = "#/definitions/"
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "type": "object",
        "portalId": portal_id,
        "required": ["firstName", "lastName", "userName", "departments"],
        "readOnly": ["id"],
        "unique": ["userName"],
        "properties": {
            "id": {"type": "integer"},
            "firstName": {"type": "string"},
            "lastName": {"type": "string"},
            "userName": {"type": "string", "format": "email"},
            "departments": {"type": "array", "items": {"type": "integer"}},
            "employeeGroups": {"$ref": f"{reference}optionalArray<System.Int64>"},
            "hiredFrom": {"$ref": f"{reference}optionalDate"},
            "gender": {"$ref": f"{reference}optionalGender"},
            "jobTitle": {"$ref": f"{reference}optionalString"},
            "cellPhoneCountryCode": {"$ref": f"{reference}optionalCountryCode"},
            "birthDate": {"type": ["string", "null"], "format": "date"},
            "custom_101": {"$ref": f"{reference}optionalNumeric", "description": "Shoe size"},
            "custom_102": {"$ref": f"{reference}optionalCustom102", "description": "Locker"},
            "custom_103": {"$ref": f"{reference}optionalBoolean", "description": "Has key"},
            "custom_104": {"$ref": f"{reference}optionalImage", "description": "Photo"},
        },
        "definitions": {
            "optionalString": _optional("string"),
            "optionalBoolean": _optional("boolean"),
            "optionalNumeric": _optional("number"),
            "optionalDate": _optional("string", format="date"),
            "optionalImage": _optional("string"),
            "optionalArray<System.Int64>": _optional("array", items={"type": "integer"}),
            "optionalGender": {"enum": ["Male", "Female", None]},
            "optionalCountryCode": _optional("string", enum=["DK", "GB", "NO"]),
            "optionalCustom102": {"anyOf": [{"type": "string", "values": ["L-1", "L-2"]}, {"type": "null"}]},
        },
    }
