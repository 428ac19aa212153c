"""The privacy policy and versions of punches, breaks and payroll: hidden as in the tables, and marts do without."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from planday_io.catalogue import CATALOGUE
from planday_io.catalogue.history import lake_name
from planday_io.months import month_of, shifted
from planday_io.sync.session import PortalSession, refresh
from planday_io.warehouse.mart_files import MARTS
from tests.support.folders import files
from tests.support.installation import EVERYTHING, Installation, Make

FIRST = datetime(2026, 10, 1, 2, 0, tzinfo=UTC)
MONTH = shifted(month_of(datetime.now(UTC).date()), -1)
NOTE, PAY = "Quistgaard came late", 31337.1337
TABLES = ("scheduling.shifts", "punchclock.punch_clock_shifts", "punchclock.punch_clock_breaks", "payroll.shifts")
HIDDEN = {
    f"{table.domain}_history.{table.name}": [one.name for one in table.columns if one.privacy in ("pay", "free_text")]
    for table in CATALOGUE.tables()
    if table.domain in ("payroll", "punchclock")
}
"""History -> its columns of the two classes."""


def read(planday: Installation, night: int) -> None:
    for name in TABLES:
        at = FIRST + night * timedelta(days=1)
        session = PortalSession(planday.installation, "oslo", run_id=f"run {night}", clock=lambda at=at: at)  # type: ignore[misc]
        refresh(session, name, month=MONTH, accept_shrink=True)


def versions(planday: Installation) -> dict[str, list[Any]]:
    """When versions begin and end, without what they say."""
    asked = "SELECT valid_from, valid_to, count(*) FROM {} GROUP BY ALL ORDER BY ALL"
    return {name: planday.query(asked.format(name)) for name in HIDDEN}


def values(planday: Installation, name: str, column: str) -> set[Any]:
    """Values other than NULL, in the lake and in what was published."""
    rows = [row[column] for row in planday.rows(lake_name(name), month=MONTH)]
    shown = [row[0] for row in planday.query(f'SELECT "{column}" FROM {name}')]
    return {value for value in (*rows, *shown) if value is not None}


def figures(planday: Installation) -> list[Any]:
    """What does not depend on hidden columns: hours, and how they moved."""
    return [
        planday.query("SELECT * EXCLUDE (read_at) FROM sync.settling WHERE figure <> 'cost' ORDER BY ALL"),
        planday.query("SELECT shift_id, punched_hours, approved_hours, paid_hours, worked_by FROM marts.hours ORDER BY ALL"),
        planday.query("SELECT * FROM marts.punches ORDER BY punch_id"),
        planday.query("SELECT * FROM marts.work_periods ORDER BY ALL"),
        planday.query("SELECT count(*), sum(hours_at_stake) FROM marts.roster_changes"),
    ]  # fmt: skip


@pytest.mark.processes
@pytest.mark.parametrize("policy", ["drop", "hash"])
def test_versions_are_hidden_as_tables_are(make: Make, policy: str) -> None:
    """Two versions of a punch and of pay, then the policy, then a read without a change and one with another."""
    planday = make(people=(5, 5, 5), resources=EVERYTHING)
    portal = planday.sandbox.portals["oslo"]
    punch = next(
        one for one in portal.roster.punches.values() if one["startDateTime"].startswith(MONTH) and one["endDateTime"]
    )
    (planday.folder / "key.txt").write_text("a key for hashes")
    planday.edit_config("defaults:", "privacy: {free_text: keep}\ndefaults:")
    planday.refresh("hr.departments")
    read(planday, 0)
    punch["description"] = NOTE
    for salary in portal.pay.salaries.values():
        salary["salary"] = PAY
    read(planday, 1)
    planday.publish()
    assert values(planday, "payroll_history.salaried", "salary"), "the sandbox pays somebody a salary"
    before, hours = versions(planday), figures(planday)
    assert len({since for since, _, _ in before["punchclock_history.punch_clock_shifts"]}) == 2
    assert len({since for since, _, _ in before["payroll_history.salaried"]}) == 2
    assert values(planday, "punchclock_history.punch_clock_shifts", "description") >= {NOTE}
    assert {gap for (gap,) in planday.query("SELECT gap FROM sync.settling WHERE figure = 'cost'")} != {"no values"}

    # What was read before the policy has nothing left to be hashed.
    stricter = f"privacy: {{pay: {policy}, free_text: {policy}, hash_key: {{file: key.txt}}}}"
    planday.edit_config("privacy: {free_text: keep}", stricter)
    assert planday.publish().is_rebuild
    for name, columns in HIDDEN.items():
        assert [values(planday, name, column) for column in columns] == [set()] * len(columns), name
    assert not [path for path, content in files(planday.folder).items() if NOTE.encode() in content]
    assert versions(planday) == before
    assert figures(planday) == hours

    # A read that finds the same again: hashes at most, and no version of anything.
    read(planday, 2)
    planday.publish()
    assert versions(planday) == before
    for name in ("payroll_history.shifts", "payroll_history.salaried", "punchclock_history.punch_clock_shifts"):
        for column in HIDDEN[name]:
            found = values(planday, name, column)
            assert {len(value) for value in found} == ({64} if policy == "hash" else set()), (name, column)
    assert figures(planday) == hours
    for mart in MARTS:
        planday.query(f"SELECT * FROM marts.{mart}")
    assert planday.query("SELECT DISTINCT gap, value_now FROM sync.settling WHERE figure = 'cost'") == [
        ("no values", None)
    ]
    assert planday.query("SELECT count(*) FROM marts.hours WHERE paid_cost IS NOT NULL") == [(0,)]
    assert planday.query("SELECT DISTINCT labour_cost FROM marts.labour_daily") == [(None,)]

    # Hashes show that pay changed, not what it is.
    for salary in portal.pay.salaries.values():
        salary["salary"] = PAY + 1
    read(planday, 3)
    planday.publish()
    since = {one for one, _, _ in versions(planday)["payroll_history.salaried"]}
    assert len(since) == (3 if policy == "hash" else 2)
