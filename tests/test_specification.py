"""The catalogue compared with OpenAPI documents: the one that the sandbox keeps, and those that operators download."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.errors import ConfigError
from planday_io.monitoring.specification import Difference, differences, load_specification
from tests.support.document import SPEC

NOT_READ = {
    "/absence/v1.0/absencerecords/{id}",
    "/absence/v1.0/accounttypes/accrued/{id}",
    "/hr/v1.0/departments/{id}",
    "/hr/v1.0/departments/{id}/employees",
    "/hr/v1.0/employeegroups/{id}",
    "/hr/v1.0/employeegroups/{id}/employees",
    "/hr/v1.0/employees/{employeeId}/customfields/{customPropertyName}/value",
    "/pay/v1.0/payrates/employeeGroups/{employeeGroupId}/employees/{employeeId}",
    "/pay/v1.0/salaries/scheduling/timeandcost/allocations/{employeeId}",
    "/punchclock/v1.0/employeeshifts/today",
    "/punchclock/v1.0/punchclockshifts/byShift/{shiftId}",
    "/punchclock/v1.0/punchclockshifts/{punchClockShiftId}/breakaccess",
    "/revenue/v1.0/departments/{departmentId}/revenueunits",
    "/scheduling/v1.0/positions/{positionId}",
    "/scheduling/v1.0/shifts/{shiftId}",
}
"""Single rows of lists that are read whole, and what is of no use in a warehouse."""

DEPARTMENT = {"type": "object", "properties": {"id": {"type": "integer"}, "name": {"type": "string"}}}


def document(properties: dict[str, Any], path: str = "/hr/v1.0/departments") -> dict[str, Any]:
    """An OpenAPI document of one list, whose rows have the members of departments and some more."""
    row = {"type": "object", "properties": {**DEPARTMENT["properties"], "number": {"type": "string"}, **properties}}
    data = {"type": "object", "properties": {"data": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}}}
    answer = {"200": {"content": {"application/json": {"schema": data}}}}
    return {
        "openapi": "3.0.1",
        "paths": {path: {"get": {"responses": answer}}},
        "components": {"schemas": {"Row": row}},
    }


def of_departments(found: list[Difference]) -> list[tuple[str, str, str]]:
    return [(one.kind, one.path, one.found) for one in found if one.table == "hr.departments"]


def test_catalogue_has_what_the_kept_document_has() -> None:
    found = differences(CATALOGUE, load_specification(SPEC))
    assert {one.endpoint for one in found if one.kind == "endpoint"} == NOT_READ
    assert [one for one in found if one.kind != "endpoint"] == []


def test_new_and_retyped_members_are_listed() -> None:
    found = differences(CATALOGUE, document({"costCentre": {"type": "string"}, "id": {"type": "string"}}))
    assert of_departments(found) == [("member", "costCentre", ""), ("type", "id", "string")]


def test_member_that_the_document_lacks_is_listed() -> None:
    made = document({})
    del made["components"]["schemas"]["Row"]["properties"]["number"]
    assert of_departments(differences(CATALOGUE, made)) == [("no member", "number", "")]


def test_only_domains_of_the_document_are_compared() -> None:
    found = differences(CATALOGUE, document({}))
    assert {one.endpoint.split("/")[1] for one in found} == {"hr"}


def test_paths_are_compared_below_the_server() -> None:
    made = document({}, path="/v1.0/Departments/") | {"servers": [{"url": "https://openapi.planday.com/hr"}]}
    assert of_departments(differences(CATALOGUE, made)) == []
    assert "/hr/v1.0/departments" not in {
        one.endpoint for one in differences(CATALOGUE, made) if one.kind == "no endpoint"
    }


def test_swagger_two_is_understood() -> None:
    made = document({"costCentre": {"type": "string"}})
    schema = made["paths"]["/hr/v1.0/departments"]["get"]["responses"]["200"].pop("content")["application/json"][
        "schema"
    ]
    made["paths"]["/hr/v1.0/departments"]["get"]["responses"]["200"]["schema"] = schema
    assert of_departments(differences(CATALOGUE, made)) == [("member", "costCentre", "")]


def test_circles_of_references_end() -> None:
    made = document({"parent": {"$ref": "#/components/schemas/Loop"}})
    made["components"]["schemas"]["Loop"] = {"allOf": [{"$ref": "#/components/schemas/Loop"}]}
    assert of_departments(differences(CATALOGUE, made)) == [("member", "parent", "")]


@pytest.mark.parametrize("content", [b"", b"[]", b"<html>", b"{", b"\xff\xfe", b'{"paths": []}', b"a: [", b"- - -"])
def test_file_that_is_no_document_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "swagger.json"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"swagger\.json"):
        load_specification(file)


def test_document_with_nonsense_inside_is_read(tmp_path: Path) -> None:
    file = tmp_path / "swagger.json"
    file.write_text(json.dumps({"paths": {"/hr/v1.0/departments": {"get": {"responses": 5}}, "x": None}}))
    found = differences(CATALOGUE, load_specification(file))
    assert of_departments(found) == []
