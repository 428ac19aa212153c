"""What the demo prints last has figures that an area manager would recognise: a portal lived between its two reads."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.months import month_of, shifted
from planday_io.reports.overview import Answer, overview
from planday_io.sandbox.limits import Limits
from planday_io.sandbox.serve import served
from planday_io.sandbox.state import demo_sandbox
from planday_io.sandbox.world import demo_portals
from tests.support.installation import EVERYTHING, FAST, Installation

pytestmark = pytest.mark.processes

LEFT_OUT = ("contract_rules", "skills", "custom_fields", "history", "absence_requests", "sections")


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Answer]]:
    portals = demo_portals(people=(24, 3, 3))
    sandbox = demo_sandbox(limits=Limits(FAST, FAST), portals={"oslo": portals["oslo"]})
    sandbox.portals["oslo"].back_months = 4
    this = month_of(datetime.now(UTC).date())
    months = [shifted(this, n) for n in (-1, 0, 1)]
    with served(sandbox) as address:
        planday = Installation(tmp_path_factory.mktemp("overview"), sandbox, address, resources=EVERYTHING)
        sandbox.portals["oslo"].advance(changes=0)
        for endpoint in CATALOGUE.endpoints:
            table = endpoint.tables[0]
            if not table.on_request and not any(word in endpoint.name for word in LEFT_OUT):
                for month in months if endpoint.grid == "month" else [None]:
                    planday.refresh(endpoint.name, month=month)
        sandbox.portals["oslo"].advance(changes=60)
        for month in months:
            planday.refresh("scheduling.shifts", month=month)
        planday.publish()
        yield list(overview(planday.config.warehouse))


def column(answers: list[Answer], name: str) -> list[Any]:
    """The values of a column in the question that has it."""
    (found,) = [one for one in answers if name in one.columns]
    return [row[found.columns.index(name)] for row in found.rows]


def test_figures_of_the_demo_are_recognisable(answers: list[Answer]) -> None:
    percents = column(answers, "cost_percent")
    assert percents
    assert all(20 <= percent <= 40 for percent in percents)
    assert all(0 < percent < 15 for percent in column(answers, "sickness_percent"))
    minutes = column(answers, "late_minutes")
    assert minutes
    assert all(5 < one < 90 for one in minutes)
    assert all(value < 11 for value in column(answers, "rest_hours"))
    assert all(value > 100 for value in column(answers, "paid_h"))


def test_a_roster_changed_the_day_before(answers: list[Answer]) -> None:
    hours = column(answers, "at_least_hours_before")
    assert hours
    assert all(0 <= value <= 24 for value in hours)
