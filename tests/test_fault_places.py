"""Errors about values name the path of the member, the row's place in the whole list, and the kind of value found."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from planday_io.catalogue import CATALOGUE
from planday_io.errors import UnexpectedShapeError
from planday_io.sandbox.app import as_json
from planday_io.sandbox.state import Fault
from tests.support.answers import answering, refusal
from tests.support.faults import DEPARTMENTS
from tests.support.installation import EVERYTHING, Installation, Make


@pytest.mark.parametrize(
    ("table", "member", "value", "says"),
    [
        ("hr.employees", "departments", [1, "secret"], "departments[] is string instead of BIGINT in id {id}"),
        ("hr.employees", "departments", [[1]], "departments[] is array instead of BIGINT in id {id}"),
        ("hr.employees", "departments", {"a": "secret"}, "departments is object instead of array in id {id}"),
        ("payroll.shifts", "wage", "secret", "wage.rate is inside a string instead of DECIMAL in id {id}"),
        ("payroll.shifts", "wage", ["secret"], "wage.rate is inside an array instead of DECIMAL in id {id}"),
        ("payroll.shifts", "wage", {"rate": "secret"}, "wage.rate is string instead of DECIMAL in id {id}"),
        ("portal.portals", "portals", ["secret"], "portals[] is string instead of object in id {id}"),
        ("portal.portals", "portals", [{"id": "secret"}], "portals[].id is string instead of BIGINT in id {id}"),
        (
            "portal.portals",
            "portals",
            [{"aliases": [5]}],
            "portals[].aliases[] is number instead of VARCHAR in id {id}",
        ),
    ],
)
def test_nested_wrong_value_is_reported_with_path(make: Make, table: str, member: str, value: Any, says: str) -> None:
    planday = make(people=(3, 3, 3), resources=EVERYTHING)
    endpoint = CATALOGUE.endpoint_of(table)
    number = 0

    def respond(_: Request, __: int, document: Any) -> Response:
        nonlocal number
        found = document.get("data", document.get("shiftsPayroll"))
        row = found[0] if isinstance(found, list) else found
        row[member], number = value, row["id"]
        return as_json(document)

    planday.sandbox.faults.append(Fault(endpoint.path, respond, times=None))
    with pytest.raises(UnexpectedShapeError) as failed:
        planday.refresh(table, month="2026-10" if endpoint.grid == "month" else None)
    assert says.format(id=number) in str(failed.value)
    assert "secret" not in str(failed.value)


def test_row_of_later_page_is_reported_with_place(planday: Installation) -> None:
    """Pages repeat a row, so that places are not those of the answer."""
    planday.sandbox.page_size = 3
    rows = planday.sandbox.portals["oslo"].departments
    rows[:] = [{**rows[0], "id": number} for number in range(1, 10)]
    rows[6]["id"] = "secret"
    for has_total in (True, False):

        def respond(_: Request, __: int, document: Any, has: bool = has_total) -> Response:
            return as_json(document if has else {"data": document["data"]})

        planday.sandbox.faults[:] = [Fault(DEPARTMENTS, respond, times=None)]
        assert "id is string instead of BIGINT in row 7 of the list" in str(refusal(planday, "hr.departments"))


def test_rows_of_one_parent_are_told_apart(make: Make) -> None:
    planday = make(people=(3, 3, 3), resources=EVERYTHING)
    path = "/scheduling/v1.0/timeandcost/"

    def respond(_: Request, __: int, document: Any) -> Response | None:
        costs = document["data"]["costs"]
        if len(costs) < 3:
            return None
        costs[2] = "secret"
        return as_json(document)

    planday.sandbox.faults.append(Fault(path, respond, times=None))
    with pytest.raises(UnexpectedShapeError, match=r"department_id \d+, row 3 of the answer is a string"):
        planday.refresh("scheduling.time_and_costs", month="2026-10")


def test_damaged_text_is_told_with_its_row(planday: Installation) -> None:
    planday.edit_config("defaults:", "privacy: {unknown: keep}\ndefaults:")
    rows = [{"name": "a"}, {"name": "b"}, {"name": "c \ud800"}]
    answering(planday, "/hr/v1.0/terminationtypes", {"data": rows, "paging": {"total": 3}})
    (report,) = planday.refresh("hr.termination_types")
    assert any("name in 1 rows (first: row 3 of the answer)" in line for line in report.warnings)
