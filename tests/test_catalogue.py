"""Every catalogue entry is read from the sandbox; contradictions are refused when they are declared."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from planday_io.catalogue import CATALOGUE, Catalogue, ContradictionError, Endpoint, Table
from planday_io.catalogue.endpoint import Feed, Pages
from planday_io.catalogue.hr import DEPARTMENTS, EMPLOYEE_DETAILS
from planday_io.catalogue.model import Column
from planday_io.catalogue.naming import camel_case
from planday_io.frames.types import arrow_schema, duckdb_columns
from planday_io.months import month_of, shifted
from planday_io.sandbox.answers import paged
from tests.support.document import operation, spec
from tests.support.installation import Installation, Make

LAST_MONTH = shifted(month_of(datetime.now(UTC).date()), -1)
SOFT = ("absence.absence_types",)
"""Tables whose members are not all known; the sandbox sends one more."""


@pytest.mark.parametrize("endpoint", CATALOGUE.endpoints, ids=lambda endpoint: endpoint.name)
def test_each_endpoint_lands_in_the_lake_as_declared(planday: Installation, endpoint: Endpoint) -> None:
    month = LAST_MONTH if endpoint.grid == "month" else None
    reports = planday.refresh(endpoint.name, "london", month=month)
    for report, table in zip(reports, endpoint.tables, strict=True):
        frame = planday.frame(table.full_name, "london", month)
        assert report.rows == frame.num_rows > 0
        assert report.month == month
        assert frame.schema.equals(arrow_schema(table, planday.config.privacy))
        assert set(frame.column("portal").to_pylist()) == {"london"}
        assert set(frame.column("portal_id").to_pylist()) == {90210}
        assert [warning.partition(":")[0] for warning in report.warnings] == [table.full_name] * (
            table.full_name in SOFT
        )
        provenance = planday.provenance(table.full_name, "london", month)
        assert provenance is not None
        assert (provenance.kept, provenance.verdict) == (frame.num_rows, report.verdict)


def members_of(schema: Any) -> set[str]:
    """All members that a schema of the API's document declares, at any depth."""
    if isinstance(schema, list):
        return set().union(*map(members_of, schema))
    if not isinstance(schema, dict):
        return set()
    if "$ref" in schema:
        return members_of(spec()["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return {*schema.get("properties", {})} | set().union(*map(members_of, schema.values()))


PATHS = {re.sub(r"{\w+}", "{}", path): path for path in spec()["paths"]}
UNDECLARED = {"hr.field_definitions": {"$ref", "description", "format", "items", "title"}}
"""Members of answers that are JSON schemas themselves."""


@pytest.mark.parametrize("endpoint", CATALOGUE.endpoints, ids=lambda endpoint: endpoint.name)
def test_columns_take_members_that_the_api_documents(endpoint: Endpoint) -> None:
    path = PATHS[re.sub(r"{\w+}", "{}", endpoint.path)]
    content = operation(path)["get"]["responses"]["200"]["content"]["application/json"]
    documented = members_of(content["schema"])
    if documented <= {"data"}:
        # The document leaves the rows open: then a member has to be one that the API has elsewhere.
        documented = members_of([*spec()["components"]["schemas"].values()])
    for table in endpoint.tables:
        for column in table.columns:
            assert column.doc.endswith(".")
            if column.path_param is None and not column.is_provided:
                missing = {*column.member.split(".")} - documented
                assert missing <= UNDECLARED.get(table.full_name, set()), f"{table.full_name}.{column.name}"


@pytest.mark.parametrize(
    ("name", "member"),
    [
        ("id", "id"),
        ("cell_phone_country_code", "cellPhoneCountryCode"),
        ("street1", "street1"),
        ("punch_clock_shift_id", "punchClockShiftId"),
    ],
)
def test_a_column_is_named_as_its_member(name: str, member: str) -> None:
    assert camel_case(name) == member


def column(name: str, **more: object) -> Column:
    return Column(name, "BIGINT", "A column.", **more)  # type: ignore[arg-type]


def table(**changes: object) -> Table:
    plain: dict[str, object] = {"domain": "hr", "name": "things", "doc": "Things.", "key": ("id",)}
    return Table(**{**plain, "columns": (column("id"),), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: column("Id"), "snake_case"),
        (lambda: column("portal"), "reserved"),
        (lambda: Column("x", "BIGINT", ""), "no doc"),
        (lambda: table(key=("nope",)), "is not a column"),
        (lambda: table(key=()), "needs a key"),
        (lambda: table(columns=(column("id"), column("id"))), "declared twice"),
        (lambda: table(columns=(column("id"), column("x", member="@nope"))), "do not provide"),
        (lambda: dataclasses.replace(DEPARTMENTS, path="/x/{id}"), "path parameters"),
        (lambda: dataclasses.replace(EMPLOYEE_DETAILS, fan_out=None), "path parameters"),
        (lambda: dataclasses.replace(EMPLOYEE_DETAILS, tables=EMPLOYEE_DETAILS.tables[1:]), "child without a parent"),
        (lambda: Feed(since_param="x", overlap_days=0), "overlaps"),
        (lambda: Pages(limit=0), "at least one row"),
        (lambda: Catalogue(endpoints=(DEPARTMENTS, DEPARTMENTS)), "declared twice"),
        (lambda: Catalogue(endpoints=(EMPLOYEE_DETAILS,)), "which is not a table"),
    ],
)
def test_contradictions(build: object, says: str) -> None:
    with pytest.raises(ContradictionError, match=says):
        build()  # type: ignore[operator]


def test_a_new_endpoint_is_data(make: Make) -> None:
    """An endpoint nobody knew is declared and arrives in the warehouse; no mechanism changes."""
    lockers = Endpoint(
        path="/hr/v1.0/lockers",
        scope="employee:read",
        docs="https://example.com/lockers",
        pages=Pages(limit=50),
        tables=(
            Table(
                domain="hr",
                name="lockers",
                doc="Lockers.",
                key=("id",),
                columns=(
                    column("id"),
                    Column("label", "VARCHAR", "What is written on it."),
                    Column("size_litres", "DECIMAL", "Volume in litres.", member="size.litres"),
                ),
            ),
        ),
    )
    planday = make(catalogue=Catalogue(endpoints=(*CATALOGUE.endpoints, lockers)))
    rows = [{"id": n, "label": f"00{n}", "size": {"litres": n + 0.5}} for n in range(120)]

    async def answer(request: Request) -> Response:
        return JSONResponse(paged(planday.sandbox, request, rows))

    planday.serve(Route("/hr/v1.0/lockers", answer))
    planday.refresh("hr.lockers")
    planday.publish()
    assert planday.query("SELECT count(*), sum(size_litres), min(label) FROM hr.lockers") == [(120, 7200, "000")]
    assert ("size_litres", "DECIMAL(18,4)") in duckdb_columns(lockers.tables[0], planday.config.privacy)
