"""Answers that say nothing are no empty lists, in every table; an error names table, page, row and kind, never a value."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from planday_io.catalogue import CATALOGUE, Endpoint
from planday_io.catalogue.model import Document
from planday_io.documents import OddNumber
from planday_io.errors import (
    ApiError,
    EmptyAnswerError,
    IncompleteReadError,
    ShrunkSnapshotError,
    TransientApiError,
    UnexpectedShapeError,
)
from planday_io.monitoring.failures import cause_of
from planday_io.reading.rows import tables_in, total_of
from planday_io.sandbox.app import as_json
from planday_io.sandbox.state import Fault
from planday_io.sync.session import refresh
from tests.support.answers import answering, refusal
from tests.support.faults import DEPARTMENTS
from tests.support.installation import Installation

TOTAL = {"offset": 0, "limit": 50, "total": 5}
NONE = {**TOTAL, "total": 0}
NOTHING: tuple[Any, ...] = (None, {}, "", {"data": None}, {"data": {}}, {"data": ""}, {"paging": None})
NOTICES: tuple[Any, ...] = (
    {"paging": TOTAL},
    {"paging": TOTAL, "data": None},
    {"error": {"code": 5, "message": "x"}},
    {"message": "Service is starting"},
    {"errors": ["x"], "data": []},
    {"type": "about:blank", "title": "Bad Gateway", "status": 502, "detail": "x", "traceId": "1"},
    "Service is starting",
)
ERRORS: tuple[dict[str, Any], ...] = (
    {"errors": ["x"]},
    {"error": {"code": 1}},
    {"fault": {"faultstring": "x"}},
    {"Message": "Too busy"},
    {"status": 500, "title": "x"},
    {"statusCode": 503},
    {"success": False},
    {"errorCode": "ServiceUnavailable"},
)


def tops(endpoint: Endpoint) -> list[Any]:
    return [table for table in endpoint.tables if not table.is_child]


def form_of(endpoint: Endpoint) -> str:
    rows = endpoint.tables[0].rows
    return rows.form if isinstance(rows, Document) else "list"


def spread(endpoint: Endpoint, value: Any) -> Any:
    """An answer with a value in the place of each list."""
    answer: dict[str, Any] = {}
    for table in tops(endpoint):
        *outer, last = (getattr(table.rows, "member", "") or "data").split(".")
        inner = answer
        for name in outer:
            inner = inner.setdefault(name, {})
        inner[last] = value
    return answer


every = pytest.mark.parametrize("endpoint", CATALOGUE.endpoints, ids=lambda endpoint: endpoint.name)


@every
@pytest.mark.parametrize("answer", [*NOTHING, *NOTICES], ids=str)
def test_nothing_is_no_empty_list(endpoint: Endpoint, answer: Any) -> None:
    if form_of(endpoint) == "object_or_none" and answer in (None, {}, {"data": None}, {"data": {}}, {"paging": None}):
        assert tables_in(tops(endpoint), answer) == {endpoint.name: []}
        return
    with pytest.raises(EmptyAnswerError, match=tops(endpoint)[0].domain):
        tables_in(tops(endpoint), answer)


@every
@pytest.mark.parametrize("nothing", [None, {}, ""], ids=repr)
def test_nothing_where_the_list_stands_is_none(endpoint: Endpoint, nothing: Any) -> None:
    is_map = not isinstance(endpoint.tables[0].rows, Document)
    if form_of(endpoint) == "object_or_none" or (is_map and nothing == {}):
        pytest.skip("that is how none is said there")
    with pytest.raises(EmptyAnswerError):
        tables_in(tops(endpoint), spread(endpoint, nothing))


@every
def test_empty_array_or_total_of_zero_is_empty(endpoint: Endpoint) -> None:
    if form_of(endpoint) == "object":
        with pytest.raises(EmptyAnswerError):
            tables_in(tops(endpoint), spread(endpoint, []))
        return
    empty = spread(endpoint, [] if isinstance(endpoint.tables[0].rows, Document) else {})
    assert not any(tables_in(tops(endpoint), empty).values())
    if endpoint.pages:
        for answer in ({"paging": NONE}, {"paging": NONE, "data": None}):
            assert not any(tables_in(tops(endpoint), answer).values())


@every
@pytest.mark.parametrize("error", ERRORS, ids=str)
def test_no_list_is_empty_beside_an_error(endpoint: Endpoint, error: dict[str, Any]) -> None:
    """Also beside a total of 0."""
    for answer in (spread(endpoint, []) | error, {"data": None, "paging": NONE} | error):
        with pytest.raises(EmptyAnswerError, match=tops(endpoint)[0].domain):
            tables_in(tops(endpoint), answer)


@every
def test_total_of_zero_says_nothing_of_other_values(endpoint: Endpoint) -> None:
    for answer in ({"data": "Starting", "paging": NONE}, {"data": None, "paging": {"total": "0"}}):
        if form_of(endpoint) == "object_or_none" and answer["data"] is None:
            continue
        with pytest.raises(UnexpectedShapeError):
            tables_in(tops(endpoint), answer)


@pytest.mark.parametrize("endpoint", [one for one in CATALOGUE.endpoints if form_of(one) == "object"])
def test_total_of_zero_takes_no_documented_object_away(endpoint: Endpoint) -> None:
    for answer in ({"paging": NONE}, {"data": None, "paging": NONE}, {"data": {}, "paging": NONE}):
        with pytest.raises(EmptyAnswerError):
            tables_in(tops(endpoint), answer)


@every
@pytest.mark.parametrize("answer", [False, 0, 5], ids=repr)
def test_a_scalar_is_no_row_of_any_table(endpoint: Endpoint, answer: Any) -> None:
    for sent in (answer, spread(endpoint, answer)):
        with pytest.raises(UnexpectedShapeError):
            tables_in(tops(endpoint), sent)


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (5, 5),
        ("5", 5),
        (Decimal("5.0"), 5),
        (Decimal("5e0"), 5),
        (0, 0),
        ("9" * 5000, 10**15),
        (Decimal("1e999999"), 10**15),
        (10**400, 10**15),
        (Decimal("5.5"), None),
        ("", None),
        ("\u0665", None),
        ("-1", None),
        (-1, None),
        (None, None),
        (True, None),
        ([5], None),
        (OddNumber("NaN"), None),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_totals_are_read_however_they_are_written(total: Any, expected: int | None) -> None:
    assert total_of({"data": [], "paging": {"total": total}}) == expected


@pytest.mark.parametrize("total", [b'"5"', b"5.0", b"5e0"])
def test_an_odd_total_contradicts_an_empty_list(planday: Installation, total: bytes) -> None:
    body = b'{"data": [], "paging": {"total": %s}}' % total
    planday.sandbox.faults.append(
        Fault(DEPARTMENTS, lambda *_: Response(body, media_type="application/json"), times=None)
    )
    with pytest.raises(IncompleteReadError, match="the total is 5"):
        planday.refresh("hr.departments")


@pytest.mark.parametrize("error", ERRORS[::3], ids=str)
@pytest.mark.parametrize("after", [0, 1])
def test_error_beside_empty_page_is_no_end(planday: Installation, error: dict[str, Any], after: int) -> None:
    """As decoded for real: what a page has beside its rows must not be lost on the way."""
    planday.sandbox.page_size = 2

    def respond(request: Request, _: int, document: Any) -> Response:
        is_broken = int(request.query_params["offset"]) >= after
        return as_json({"data": []} | error if is_broken else {"data": document["data"]})

    planday.sandbox.faults.append(Fault(DEPARTMENTS, respond, times=None))
    with pytest.raises(TransientApiError, match=f"reports an error .*hr.departments, page at offset {after}"):
        planday.refresh("hr.departments")


def test_error_beside_rows_makes_them_incomplete(planday: Installation) -> None:
    answering(planday, DEPARTMENTS, *[{"data": [{"id": 1, "name": "a"}], "errors": ["shard 2 is away"]}] * 3)
    with pytest.raises(TransientApiError, match="reports an error beside its rows") as failed:
        planday.refresh("hr.departments")
    assert "shard" not in str(failed.value)


def test_own_status_of_rows_is_no_error() -> None:
    rows = [{"id": 1, "status": 500, "message": "x", "success": False, "error": "x"}]
    endpoint = CATALOGUE.endpoint_of("hr.departments")
    for answer in ({"data": rows}, rows, {"data": rows, "error": None, "errors": [], "status": 200, "message": "OK"}):
        assert tables_in(tops(endpoint), answer) == {"hr.departments": rows}


def test_payroll_without_its_shifts_is_no_payroll() -> None:
    tables = tops(CATALOGUE.endpoint_of("payroll.shifts"))
    with pytest.raises(UnexpectedShapeError, match=r"payroll\.shifts"):
        tables_in(tables, {"supplementsPayroll": [], "salariedPayroll": [], "currencySymbol": "kr"})


@pytest.mark.parametrize("answer", [None, {"data": None}, {"message": "x"}])
def test_nothing_is_asked_again_and_then_fails(planday: Installation, answer: Any) -> None:
    planday.refresh("hr.departments")
    before = planday.bytes_of("hr.departments")
    answering(planday, DEPARTMENTS, answer)
    (report,) = planday.refresh("hr.departments")
    assert (report.rows, report.counters.retries) == (2, 1)
    before = planday.bytes_of("hr.departments")
    answering(planday, DEPARTMENTS, answer, answer, answer)
    with pytest.raises(TransientApiError, match=r"says nothing where .*hr.departments, page at offset 0") as failed:
        planday.refresh("hr.departments")
    assert failed.value.retryable
    assert planday.bytes_of("hr.departments") == before


@pytest.mark.parametrize("status", [202, 204, 205])
def test_success_without_a_document_is_no_empty_list(planday: Installation, status: int) -> None:
    planday.refresh("hr.departments")
    planday.sandbox.faults.append(Fault(DEPARTMENTS, lambda *_: Response(status_code=status), times=1))
    assert planday.refresh("hr.departments")[0].rows == 2
    planday.sandbox.faults.append(Fault(DEPARTMENTS, lambda *_: Response(status_code=status), times=3))
    with pytest.raises(TransientApiError, match="has no document"):
        planday.refresh("hr.departments")


@pytest.mark.parametrize("status", [204, 404])
@pytest.mark.parametrize("table", ["hr.skills", "hr.supervisors"])
def test_a_list_that_was_there_is_not_absent(planday: Installation, table: str, status: int) -> None:
    """A portal without the feature has no list; one that had two rows yesterday has it."""
    path = CATALOGUE.endpoint_of(table).path
    portal = planday.sandbox.portals["oslo"]
    (portal.skills if table == "hr.skills" else portal.supervisors)[2:] = []
    absent = Fault(path, lambda *_: Response(status_code=status), times=None)
    planday.sandbox.faults.append(absent)
    assert planday.refresh(table)[0].rows == 0
    planday.sandbox.faults.clear()
    assert planday.refresh(table)[0].rows == 2
    planday.sandbox.faults.append(absent)
    with pytest.raises(ShrunkSnapshotError, match="had 2 rows, and the API answers now that there is no such list"):
        planday.refresh(table)
    assert len(planday.rows(table)) == 2
    assert planday.refresh(table, accept_shrink=True)[0].rows == 0


def test_a_double_is_told_with_its_id(planday: Installation) -> None:
    rows = planday.sandbox.portals["oslo"].skills
    rows.append({**rows[0], "name": "Again"})
    error = refusal(planday, "hr.skills")
    assert f"the first is skill_id {rows[0]['skillId']}" in str(error)


@pytest.mark.parametrize("answer", [None, {}, {"data": {"name": None}}, {"error": "x"}])
def test_whose_portal_it_is_is_asked_again(planday: Installation, answer: Any) -> None:
    answering(planday, "/portal/v1.0/info", answer)
    planday.refresh("hr.departments")
    answering(planday, "/portal/v1.0/info", answer, answer, answer)
    with pytest.raises(TransientApiError, match="says nothing where a portal is documented"):
        planday.refresh("hr.departments")


@pytest.mark.parametrize("nothing", [None, {"data": None}, {"data": {}}, 204, 404])
@pytest.mark.parametrize("has_total", [True, False])
@pytest.mark.parametrize("table", ["hr.departments", "hr.supervisors"])
def test_nothing_on_a_later_page_is_no_end(planday: Installation, table: str, nothing: Any, has_total: bool) -> None:
    planday.sandbox.page_size = 2
    portal = planday.sandbox.portals["oslo"]
    path = CATALOGUE.endpoint_of(table).path
    rows = portal.departments if table == "hr.departments" else portal.supervisors
    rows[:] = [{**rows[0], "id": number} for number in range(1, 7)]

    def respond(request: Request, _: int, document: Any) -> Response:
        if request.query_params["offset"] not in ("0", "1"):
            return Response(status_code=nothing) if isinstance(nothing, int) else as_json(nothing)
        return as_json(document if has_total else {"data": document["data"]})

    planday.sandbox.faults.append(Fault(path, respond, times=None))
    with pytest.raises(ApiError, match=f"{table}, page at offset"):
        planday.refresh(table)
    assert planday.provenance(table) is None


def test_a_documented_object_is_never_nothing(planday: Installation) -> None:
    session = planday.session()
    for people in ("hr.employees", "hr.deactivated_employees"):
        refresh(session, people)
    answering(planday, "/hr/v1.0/employees/", *[{"data": {}}] * 60)
    with pytest.raises(TransientApiError, match=r"hr.employee_details, employee_id"):
        refresh(session, "hr.employee_details")


@pytest.mark.parametrize(
    ("member", "value", "kind"),
    [
        ("number", 17, "number is number instead of VARCHAR in id {id}"),
        ("id", "secret", "id is string instead of BIGINT in row 1 of the answer"),
        ("id", True, "id is boolean instead of BIGINT in row 1 of the answer"),
        ("name", ["secret"], "name is array instead of VARCHAR in id {id}"),
        ("name", {"a": "secret"}, "name is object instead of VARCHAR in id {id}"),
    ],
)
def test_a_wrong_type_is_told_with_its_place(planday: Installation, member: str, value: Any, kind: str) -> None:
    row = planday.sandbox.portals["oslo"].departments[0]
    number, row[member] = row["id"], value
    error = refusal(planday, "hr.departments")
    assert kind.format(id=number) in str(error)
    assert f"[portal 'oslo', GET {DEPARTMENTS}]" in str(error)
    assert "secret" not in str(error)
    assert cause_of(error) == "data"


@pytest.mark.parametrize("row", [None, "secret", 5, ["secret"]])
def test_odd_row_is_reported_with_its_place(planday: Installation, row: Any) -> None:
    answering(planday, DEPARTMENTS, {"data": [{"id": 1, "name": "a"}, row], "paging": {"total": 2}})
    error = refusal(planday, "hr.departments")
    assert isinstance(error, UnexpectedShapeError)
    assert "row 2 of the answer is" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("table", "why"), [("hr.departments", "rows lack id"), ("scheduling.time_and_costs", "without")]
)
def test_a_row_without_members_is_no_row(planday: Installation, table: str, why: str) -> None:
    planday.edit_config("resources: {include: [portal, hr]}", "timezone: Europe/Oslo")
    endpoint = CATALOGUE.endpoint_of(table)
    answering(planday, endpoint.path.partition("{")[0], *[spread(endpoint, [{}])] * 9)
    month = "2026-11" if endpoint.grid == "month" else None
    with pytest.raises(UnexpectedShapeError, match=why):
        planday.refresh(table, month=month)


@pytest.mark.parametrize("value", ["secret", 5, ["secret"], False])
def test_child_of_wrong_type_is_not_skipped(planday: Installation, value: Any) -> None:
    details = planday.sandbox.portals["oslo"].details
    next(iter(details.values()))["custom_101"] = value
    error = refusal(planday, "hr.employee_details")
    assert "hr.employee_custom_fields" in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"data": [{"id": 1, "name": "a\tb"}]}', "malformed"),
        (b'{"data": [{"id": 01}]}', "malformed"),
        (b"{'data': []}", "malformed"),
        (b'{"data": [{"id": 1,}]}', "malformed"),
    ],
)
def test_complete_body_without_json_is_data_error(planday: Installation, body: bytes, says: str) -> None:
    planday.sandbox.faults.append(
        Fault(DEPARTMENTS, lambda *_: Response(body, media_type="application/json"), times=None)
    )
    error = refusal(planday, "hr.departments")
    assert says in str(error)
    assert "hr.departments, page at offset 0" in str(error)
    assert cause_of(error) == "data"


@pytest.mark.parametrize("body", [b'{"data": [{"id": 1', b"<html></html>", b""])
def test_partial_body_is_api_error(planday: Installation, body: bytes) -> None:
    planday.sandbox.faults.append(
        Fault(DEPARTMENTS, lambda *_: Response(body, media_type="application/json"), times=None)
    )
    assert cause_of(refusal(planday, "hr.departments")) == "api"
