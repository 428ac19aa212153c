"""What `planday check` says beyond single calls: whose pay is missing, and what it means when everything is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from starlette.responses import Response

from planday_io.lake.forgotten import ForgottenPeople
from planday_io.months import month_of
from planday_io.onboarding.check import Finding, advice, check
from planday_io.onboarding.pay_coverage import pay_coverage
from planday_io.sandbox.state import Fault
from tests.support.installation import Installation, Make


def found(planday: Installation, portal: str = "oslo") -> list[Finding]:
    return check(planday.installation, [portal])


def advised(planday: Installation, findings: list[Finding]) -> str:
    return "\n".join(advice(planday.installation, findings))


def without_scopes(planday: Installation) -> None:
    for app in planday.sandbox.apps.values():
        app.scopes = frozenset()


def deactivated(planday: Installation) -> None:
    planday.sandbox.deactivated.add("oslo")


def refusing(status: int) -> Callable[[Installation], None]:
    def arrange(planday: Installation) -> None:
        planday.sandbox.faults.append(Fault("/v1.0/", lambda *_: Response(status_code=status), times=None))

    return arrange


@pytest.mark.parametrize("arrange", [without_scopes, deactivated, refusing(403), refusing(402)])
def test_everything_refused_names_the_package(planday: Installation, arrange: Callable[[Installation], None]) -> None:
    arrange(planday)
    text = advised(planday, found(planday))
    assert "every call was refused" in text
    assert "Pro and Enterprise packages" in text
    assert "highest access level" in text
    assert "resources:" not in text, "leaving all tables out is no advice"


@pytest.mark.parametrize("arrange", [refusing(404), refusing(500), None])
def test_package_is_not_named_without_reason(
    planday: Installation, arrange: Callable[[Installation], None] | None
) -> None:
    planday.edit_config("step_delay_seconds: 10", "requests: 1")
    if arrange:
        arrange(planday)
    else:
        for app in planday.sandbox.apps.values():
            app.scopes -= {"department:read"}
    text = advised(planday, found(planday))
    assert "Pro and Enterprise" not in text
    assert ("department:read" in text) is (arrange is None)


def previous_month() -> str:
    today = date.today()  # noqa: DTZ011 - months of the sandbox are wide around today
    return month_of(date(today.year - (today.month == 1), (today.month - 2) % 12 + 1, 1))


def counted(planday: Installation) -> tuple[int, int]:
    """People without and with pay among the active ones with payroll shifts, as the sandbox has them."""
    portal = planday.sandbox.portals["oslo"]
    active = {row["id"] for row in portal.employees}
    people = {row["employee_id"] for row in planday.rows("payroll.shifts", month=previous_month())} & active
    paid = {owner for (owner, _), rates in portal.pay.rates.items() if rates[-1]["rate"]} | {*portal.pay.salaries}
    return len(people - paid), len(people)


def test_people_without_pay_are_counted(make: Make) -> None:
    planday = make(people=(20, 9, 8), resources="resources: {include: [hr, payroll, pay]}")
    now = datetime.now(UTC)

    def says() -> str:
        return pay_coverage(planday.installation, "oslo", now) or ""

    assert "not known: payroll.shifts was never read" in says()
    planday.refresh("payroll.shifts", month=previous_month())
    assert "not known: pay.pay_rates and pay.salaries were never read" in says()
    planday.refresh("pay.pay_rates")
    assert "pay.salaries was never read, so their pay may be there" in says()
    planday.refresh("pay.salaries")
    planday.refresh("hr.employees")
    without, people = counted(planday)
    assert 0 < without < people
    assert f"{without} of {people} active people with shifts in payroll.shifts ({previous_month()})" in says()
    assert "planday authorize oslo" in says()
    asked = sum(planday.sandbox.requests.values())
    assert says()
    assert sum(planday.sandbox.requests.values()) == asked, "it looks in the lake"
    (note,) = [one for one in found(planday) if one.subject == "pay"]
    assert (note.is_good, note.was_tried, note.detail) == (True, False, says())

    pay = planday.sandbox.portals["oslo"].pay
    worked = {row["employee_id"] for row in planday.rows("payroll.shifts", month=previous_month())}
    active = {row["id"] for row in planday.sandbox.portals["oslo"].employees}
    hidden = next(owner for owner, _ in pay.rates if owner in worked & active and owner not in pay.salaries)
    for (owner, _), rates in pay.rates.items():
        for rate in rates if owner == hidden else ():
            rate["rate"] = 0
    planday.refresh("pay.pay_rates", full=True)
    assert counted(planday)[0] == without + 1, "a rate of 0 is no pay"
    assert f"{without + 1} of {people} active people" in says()
    ForgottenPeople(planday.config.lake, planday.state).add("oslo", hidden)
    for table in ("pay.pay_rates", "hr.employees"):
        planday.refresh(table, full=True)
    planday.refresh("payroll.shifts", month=previous_month())
    assert f"{without} of {people - 1} active people" in says(), "who was forgotten is not counted"


def test_hidden_amounts_still_count_as_pay(make: Make) -> None:
    planday = make(people=(20, 9, 8), resources="resources: {include: [hr, payroll, pay]}")
    planday.edit_config("defaults:", "privacy: {pay: drop}\ndefaults:")
    for table in ("pay.pay_rates", "pay.salaries", "hr.employees"):
        planday.refresh(table)
    planday.refresh("payroll.shifts", month=previous_month())
    text = pay_coverage(planday.installation, "oslo", datetime.now(UTC)) or ""
    assert f"{counted(planday)[0]} of {counted(planday)[1]} active people" in text


def test_portals_without_payroll_are_not_asked(planday: Installation) -> None:
    assert pay_coverage(planday.installation, "oslo", datetime.now(UTC)) is None
    assert [one for one in found(planday) if one.subject == "pay"] == []
