"""Every catalogue entry is read from the sandbox; contradictions are refused when they are declared."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from planday_io.catalogue import CATALOGUE, Catalogue, ContradictionError, Endpoint, Table
from planday_io.catalogue.endpoint import ChangeDetection, FanOut, Feed, Once, OptIn, Pages, Window
from planday_io.catalogue.hr import DEPARTMENTS, EMPLOYEE_DETAILS
from planday_io.catalogue.model import ChildArray, Column, Person, StructList
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


def endpoint(*tables: Table, **changes: object) -> Endpoint:
    return dataclasses.replace(DEPARTMENTS, tables=tables or (table(),), **changes)  # type: ignore[arg-type]


def fan(parent: str = "hr.things", **changes: object) -> dict[str, object]:
    """Path and fan-out of an endpoint that is read for each thing."""
    plain: dict[str, object] = {"parent": parent, "bind": (("thing_id", "id"),), "missing_statuses": ()}
    return {"path": "/each/{thing_id}", "fan_out": FanOut(**{**plain, **changes})}  # type: ignore[arg-type]


def catalogue(*endpoints: Endpoint) -> Catalogue:
    """A list of things, and endpoints declared after it."""
    return Catalogue(endpoints=(endpoint(), *endpoints))


ON = (Column("on", "DATE", "The day."),)
OTHER = table(name="others")
MONTHLY = table(name="others", month_by=("on",), columns=(column("id"), *ON))
MONTH = Window(start_param="from", end_param="to")
PARENT = column("thing_id", member="@parent")
CHILD = table(name="parts", key=("thing_id",), columns=(PARENT,), rows=ChildArray(member="parts"))
CHANGES = ChangeDetection(table="hr.things", since_param="since")
FEED = Feed(since_param="since")

CONTRADICTIONS: dict[str, tuple[Callable[[], object], str]] = {
    "column not snake_case": (lambda: column("Id"), "snake_case"),
    "column reserved": (lambda: column("portal"), "reserved"),
    "column without doc": (lambda: Column("x", "BIGINT", ""), "no doc"),
    "scalar may be empty": (lambda: column("x", empty_is_unknown=True), "no list"),
    "struct without fields": (lambda: StructList(fields=()), "needs fields"),
    "table not snake_case": (lambda: table(name="Things"), "names are snake_case"),
    "table without doc": (lambda: table(doc=""), "no doc"),
    "key no column": (lambda: table(key=("nope",)), "is not a column"),
    "month by no column": (lambda: table(month_by=("nope",)), "is not a column"),
    "no key": (lambda: table(key=()), "needs a key"),
    "column twice": (lambda: table(columns=(column("id"), column("id"))), "declared twice"),
    "member not provided": (lambda: table(columns=(column("id"), column("x", member="@nope"))), "do not provide"),
    "ordinal outside key": (lambda: table(ordinal="nope"), "not in the key"),
    "person no column": (lambda: table(people=(Person(column="nope", role="owner"),)), "describe people"),
    "path without slash": (lambda: endpoint(path="x"), "starts with /"),
    "docs not public": (lambda: endpoint(docs="page 7"), "public address"),
    "no table": (lambda: dataclasses.replace(DEPARTMENTS, tables=()), "fills no table"),
    "path param not filled": (lambda: endpoint(path="/x/{id}"), "path parameters"),
    "no fan-out": (lambda: dataclasses.replace(EMPLOYEE_DETAILS, fan_out=None), "path parameters"),
    "column of no path param": (
        lambda: endpoint(table(columns=(column("id"), column("x", member="{nope}")))),
        "reads a path parameter",
    ),
    "child first": (
        lambda: dataclasses.replace(EMPLOYEE_DETAILS, tables=EMPLOYEE_DETAILS.tables[1:]),
        "child without a parent",
    ),
    "months and none": (lambda: endpoint(table(), MONTHLY, window=MONTH), "others do not"),
    "month without window": (lambda: endpoint(MONTHLY), "how a month is requested"),
    "child without its parent's key": (
        lambda: endpoint(table(), dataclasses.replace(CHILD, columns=(column("thing_id"),))),
        "begin with its parent's key",
    ),
    "feed with children": (lambda: endpoint(table(), CHILD, feed=FEED), "a feed has no child"),
    "pages of two tables": (lambda: endpoint(table(), OTHER), "rows of one table"),
    "children read twice": (lambda: endpoint(table(), CHILD, variants=((("x", "y"),),)), "read twice"),
    "opt-in of no column": (
        lambda: endpoint(opt_in=OptIn(param="special", values=(("Ssn", "employee:ssn", ("nope",)),))),
        "are not columns",
    ),
    "changes without feed": (lambda: endpoint(change_detection=CHANGES), "only a feed"),
    "changed by no own column": (lambda: endpoint(**fan(changed_by="nope")), "endpoint /each/.* no column 'nope'"),
    "window narrower": (lambda: Window(start_param="a", end_param="b", wider_days=-1), "not narrower"),
    "feed without overlap": (lambda: Feed(since_param="x", overlap_days=0), "overlaps"),
    "empty page": (lambda: Pages(limit=0), "at least one row"),
    "once and batched": (lambda: fan(batched=True, once=Once(parent="hr.others")), "once per row"),
    "table twice": (lambda: catalogue(endpoint()), "declared twice"),
    "changes of no months": (
        lambda: catalogue(endpoint(OTHER, feed=FEED, change_detection=CHANGES)),
        "looks for changes of hr.things",
    ),
    "reference to no table": (
        lambda: catalogue(endpoint(table(name="others", columns=(column("id", references="hr.nope"),)))),
        "which is not a table",
    ),
    "history's name taken": (lambda: catalogue(endpoint(table(name="things_history"))), "name of another table"),
    "unknown parent": (lambda: Catalogue(endpoints=(EMPLOYEE_DETAILS,)), "which is not a table"),
    "parent lacks column": (
        lambda: catalogue(endpoint(OTHER, **fan(open_while_null="nope"))),
        "hr.things has no .* for /each",
    ),
    "extra parents without months": (
        lambda: catalogue(endpoint(OTHER, **fan(extra_parents=("hr.things", "id")))),
        "looks for more ids",
    ),
    "extra parents lack column": (
        lambda: catalogue(
            endpoint(MONTHLY, window=MONTH),
            endpoint(
                dataclasses.replace(MONTHLY, name="more"), window=MONTH, **fan(extra_parents=("hr.others", "nope"))
            ),
        ),
        "endpoint /each/.* no column 'nope'",
    ),
    "once of no table": (lambda: catalogue(endpoint(OTHER, **fan(once=Once(parent="hr.nope")))), "reads hr.nope once"),
    "once lacks column": (
        lambda: catalogue(endpoint(OTHER, **fan(once=Once(parent="hr.things", column="nope")))),
        "endpoint /each/.* no column 'nope'",
    ),
    "once not by id": (
        lambda: catalogue(
            endpoint(
                table(name="others", key=("x",), columns=(Column("x", "VARCHAR", "A text."),)),
                **fan(once=Once(parent="hr.things")),
            )
        ),
        "does not begin with the id",
    ),
    "parent is a feed": (
        lambda: catalogue(endpoint(OTHER, feed=FEED), endpoint(table(name="more"), **fan("hr.others"))),
        "never read whole",
    ),
    "month of no window": (lambda: catalogue(endpoint(MONTHLY, **fan())), "how a month is requested"),
    "parent has months": (
        lambda: catalogue(endpoint(MONTHLY, window=MONTH), endpoint(table(name="more"), **fan("hr.others"))),
        "need all months",
    ),
}


@pytest.mark.parametrize(("build", "says"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_contradictions(build: Callable[[], object], says: str) -> None:
    with pytest.raises(ContradictionError, match=says):
        build()


@pytest.mark.processes
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
