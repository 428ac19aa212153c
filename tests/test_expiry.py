"""What the rules of retention remove from rows, and which ages are refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest

from planday_io.catalogue import CATALOGUE, Table
from planday_io.config import load_config
from planday_io.config.model import PrivacyPolicy
from planday_io.config.retention import Age
from planday_io.errors import ConfigError
from planday_io.frames.types import arrow_schema
from planday_io.lake.expiry import Effect, Expiry
from planday_io.lake.leaving import Lists

EVERYTHING = PrivacyPolicy(sensitive="keep", contact="keep", free_text="keep", unknown="keep")
CUT = date(2025, 1, 10)
THERE, LEFT_LATE, LEFT_EARLY, HELD = 1, 2, 3, 4
EXPIRY = Expiry(
    cutoffs={
        "free_text": CUT,
        "punches": CUT,
        "pay": CUT,
        "contact_after_leaving": date(2025, 6, 1),
        "identity_after_leaving": CUT,
    },
    left={LEFT_LATE: date(2025, 3, 1), LEFT_EARLY: date(2020, 1, 1), HELD: date(2019, 1, 1)},
    held=frozenset({HELD}),
)


def rows_of(name: str, *given: dict[str, Any]) -> tuple[Table, pa.Table]:
    table = CATALOGUE.lake_tables[name]
    schema = arrow_schema(table, EVERYTHING)
    return table, pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in given], schema=schema)


def config(folder: Path, top: str, portal: str = "") -> Any:
    file = folder / "portals.yaml"
    oslo = f"{{client_id: {{env: A}}, refresh_token: {{env: X}}{portal}}}"
    file.write_text(f"{top}\nportals:\n  oslo: {oslo}\n")
    return load_config(file, CATALOGUE)


@pytest.mark.parametrize(
    ("age", "day", "before"),
    [
        ("90d", date(2026, 11, 27), date(2026, 8, 29)),
        ("2w", date(2026, 1, 10), date(2025, 12, 27)),
        ("1m", date(2026, 3, 31), date(2026, 2, 28)),
        ("14m", date(2026, 1, 15), date(2024, 11, 15)),
        ("1y", date(2028, 2, 29), date(2027, 2, 28)),
    ],
)
def test_ages_count_back_in_calendar_units(age: str, day: date, before: date) -> None:
    assert Age.of(age).before(day) == before
    # The marts count back with DuckDB's intervals.
    counted = duckdb.sql(f"SELECT CAST(DATE '{day}' - INTERVAL {Age.of(age).interval} AS DATE)").fetchall()
    assert counted == [(before,)]


def test_nothing_is_set_by_default(tmp_path: Path) -> None:
    made = config(tmp_path, "")
    assert made.portals["oslo"].retention.ages() == {}
    assert made.retention.deliveries is None


def test_portals_override_and_switch_off_rules(tmp_path: Path) -> None:
    own = ", retention: {pay: 10y, free_text: null, hold: [1004]}"
    rules = config(tmp_path, "retention: {free_text: 1y, pay: 5y, punches: 2y}", own).portals["oslo"].retention
    assert {rule: str(age) for rule, age in rules.ages().items()} == {"pay": "10y", "punches": "2y"}
    assert rules.hold == (1004,)


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("retention: {pay: 90}", "an age with its unit"),
        ("retention: {pay: 5 years}", "an age with its unit"),
        ("retention: {pay: 101y}", "at most 100y"),
        ("retention: {hold: [1004]}", "an unknown key"),
        ("retention: {punches: 90d}", "add `cut_working_time: true`"),
    ],
)
def test_wrong_rules_are_refused_with_remedy(tmp_path: Path, top: str, said: str) -> None:
    with pytest.raises(ConfigError, match="line 1: retention") as caught:
        config(tmp_path, top)
    assert said in str(caught.value)


def test_punches_go_sooner_if_told_twice(tmp_path: Path) -> None:
    made = config(tmp_path, "retention: {punches: 90d, cut_working_time: true}")
    assert made.portals["oslo"].retention.punches == Age(90, "d")


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "UTC", "America/Los_Angeles"])
def test_first_day_kept_begins_at_local_midnight(zone: str) -> None:
    midnight = datetime(CUT.year, CUT.month, CUT.day, tzinfo=ZoneInfo(zone))
    ends = [midnight - timedelta(minutes=1), midnight]
    table, rows = rows_of(
        "hr.departments_history", *({"id": 1, "valid_to": end.astimezone(UTC), "_extra": "{}"} for end in ends)
    )
    done = replace(EXPIRY, zone=zone).applied(rows, table)
    assert done.rows["_extra"].to_pylist() == [None, "{}"]


def test_old_texts_go_and_rows_stay() -> None:
    shifts = [(THERE, 9), (THERE, 10), (HELD, 9), (None, 9)]
    table, rows = rows_of(
        "scheduling.shifts", *({"employee_id": one, "date": date(2025, 1, day), "comment": "x"} for one, day in shifts)
    )
    done = EXPIRY.applied(rows, table, "2025-01")
    assert done.rows["comment"].to_pylist() == [None, "x", "x", None]
    assert done.effects == {"free_text": Effect(cleared=2)}


def test_old_punches_go_as_rows() -> None:
    punches = [
        {"employee_id": one, "start_date_time": datetime.fromisoformat(f"2025-01-{day:02d}T23:00")}
        for one, day in ((1, 9), (1, 10), (4, 9))
    ]
    table, rows = rows_of("punchclock.punch_clock_shifts", *punches, {"employee_id": 8})
    assert EXPIRY.applied(rows, table, "2025-01").rows["employee_id"].to_pylist() == [1, 4, 8]


def test_breaks_of_held_punches_stay() -> None:
    breaks = [
        {"id": one, "punch_clock_shift_id": 10 + one, "start_date_time": datetime.fromisoformat("2025-01-01T08:00")}
        for one in (1, 2)
    ]
    table, rows = rows_of("punchclock.punch_clock_breaks", *breaks)
    assert EXPIRY.applied(rows, table, "2025-01", {11}).rows["id"].to_pylist() == [1]


def test_months_of_payroll_go_whole() -> None:
    table, rows = rows_of("payroll.shifts", {"employee_id": THERE, "date": date(2025, 1, 2)})
    assert EXPIRY.applied(rows, table, "2025-01").rows.num_rows == 1
    assert EXPIRY.applied(rows, table, "2024-12").rows.num_rows == 0


def test_leavers_lose_each_class_in_time() -> None:
    person = {"first_name": "A", "email": "m", "deactivation_reason": "r", "_extra": "{}"}
    table, rows = rows_of("hr.deactivated_employees", *({"id": one} | person for one in range(1, 5)))
    done = EXPIRY.applied(rows, table)
    assert done.rows["first_name"].to_pylist() == ["A", "A", None, "A"]
    for column in ("email", "deactivation_reason", "_extra"):
        assert [value is None for value in done.rows[column].to_pylist()] == [False, True, True, False]
    assert EXPIRY.applied(done.rows, table).effects == {}


def test_ended_rates_and_those_of_leavers_go() -> None:
    ended = datetime(2024, 1, 1, tzinfo=UTC)
    given = [(THERE, ended), (THERE, None), (LEFT_LATE, None), (LEFT_EARLY, None), (HELD, ended)]
    table, rows = rows_of("pay.pay_rates_history", *({"employee_id": one, "valid_to": end} for one, end in given))
    assert EXPIRY.applied(rows, table).rows["employee_id"].to_pylist() == [THERE, LEFT_LATE, HELD]


def test_absence_without_end_is_not_old() -> None:
    began, never = date(2019, 1, 1), date(1, 1, 1)
    ends = [(THERE, date(2025, 1, 9)), (THERE, None), (THERE, never), (LEFT_EARLY, None), (HELD, began)]
    given = (
        {"employee_id": one, "note": "n", "absence_period_start": began, "absence_period_end": end} for one, end in ends
    )
    table, rows = rows_of("absence.absence_records", *given)
    done = EXPIRY.applied(rows, table).rows
    assert done["note"].to_pylist() == [None, "n", "n", None, "n"]
    ended = datetime(2024, 1, 1, tzinfo=UTC)
    table, rows = rows_of(
        "absence.absence_records_history",
        *({"employee_id": THERE, "note": "n", "valid_to": one} for one in (ended, None)),
    )
    assert EXPIRY.applied(rows, table).rows["note"].to_pylist() == [None, "n"]


def test_signatures_of_leavers_go() -> None:
    signed = [{"modified_by_id": one, "modified_by_name": "N", "changes": ["c"]} for one in (THERE, LEFT_EARLY, HELD)]
    table, rows = rows_of("scheduling.shift_history", *signed)
    done = EXPIRY.applied(rows, table, "2026-01").rows
    assert done["modified_by_name"].to_pylist() == ["N", None, "N"]
    assert done["changes"].to_pylist() == [["c"]] * 3


def lists(rows: list[dict[str, Any]], *, versions: bool = False) -> pa.Table:
    instant = pa.timestamp("us", tz="UTC")
    columns = [("id", pa.int64()), ("deactivation_date", pa.date32()), ("date_time_deleted", instant)]
    schema = pa.schema([*columns, *([("valid_from", instant), ("valid_to", instant)] if versions else [])])
    return pa.Table.from_pylist([dict.fromkeys(schema.names) | row for row in rows], schema=schema)


def test_leaving_is_never_dated_too_early() -> None:
    late = [datetime(2026, 1, day, 23, 30, tzinfo=UTC) for day in range(1, 10)]
    said = {"deactivation_date": date(2020, 1, 1)}
    found = Lists(
        active=lists([{"id": 1}]),
        gone=lists(
            [
                *({"id": one} | said for one in (1, 2)),
                {"id": 3, "date_time_deleted": late[4]} | said,
                {"id": 4},
                {"id": 7},
                {"id": 8, "deactivation_date": date(1, 1, 1)},
            ]
        ),
        active_versions=lists([{"id": 5, "valid_from": late[0], "valid_to": late[8]}], versions=True),
        gone_versions=lists(
            [{"id": 4, "valid_from": late[1]}, {"id": 6, "valid_from": late[0], "valid_to": late[2]} | said],
            versions=True,
        ),
    )
    # 1 came back; of 7 and 8 nothing is known; the zone's day is a day later at half past eleven.
    assert found.left(ZoneInfo("Europe/Oslo")) == {
        2: date(2020, 1, 1),
        3: date(2026, 1, 6),
        4: date(2026, 1, 3),
        5: date(2026, 1, 10),
        6: date(2020, 1, 1),
    }
