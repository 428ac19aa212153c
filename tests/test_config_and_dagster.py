"""What is accepted in portals.yaml, Dagster accepts: definitions are built, and every schedule is due some day."""

from __future__ import annotations

import json
import re
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from croniter import croniter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from pipelines.definitions import build_definitions, checked_definitions
from pipelines.schedule_names import RETENTION, SENSORS, schedule_names
from planday_io.catalogue import CATALOGUE
from planday_io.config import load_config, values
from planday_io.config.grid import grid_months, window_months
from planday_io.errors import ConfigError

KEYS = st.one_of(
    st.sampled_from(["oslo", "oslo_months", "nord", "nord_oslo", "runs", "months", "dict", "2024", "class", "at"]),
    st.sampled_from(["facts", "snapshots", "retention"]),
    st.text("ab_0", min_size=1, max_size=4),
    st.text("z", min_size=60, max_size=66),
)
SCHEDULES = st.one_of(
    st.sampled_from(
        ["nightly", "nightly_nord", "nightly_oslo", "dead", "changed", "input_arg", "arg", "months", "_", "x", "facts"]
    ),
    st.text("ab_0", min_size=1, max_size=4),
)
NUMBER = st.integers(0, 61).map(str)
CRON_PART = st.one_of(
    st.just("*"),
    NUMBER,
    st.builds("{}-{}".format, NUMBER, NUMBER),
    st.builds("*/{}".format, NUMBER),
    st.builds("{}-{}/{}".format, NUMBER, NUMBER, NUMBER),
    st.sampled_from(
        [
            "mon",
            "FRI-sun",
            "feb",
            "L",
            "L5",
            "1#5",
            "?",
            "R",
            "H",
            "@daily",
            "r(1-5)",
            "29",
            "30",
            "31",
            "7",
            "\u0663",
            "1e1",
        ]
    ),
)
CRON = st.one_of(
    st.sampled_from(["0 0 31 2 *", "0 0 30,31 2 *", "0 0 31 4,6,9,11 *",
                     "0 2 31 2 1", "0 0 29 2 *", "0 0 29 2 1#5", "*/90 * * * *"]),
    st.lists(st.lists(CRON_PART, min_size=1, max_size=2).map(",".join), min_size=4, max_size=6).map(" ".join),
    st.tuples(*(st.integers(0, most).map(str) for most in (59, 23, 31, 12, 7))).map(" ".join),
)  # fmt: skip
DOMAINS = [
    "portal",
    "hr",
    "scheduling",
    "pay",
    "absence",
    "hr.employees",
    "hr.employee_details",
    "punchclock.punch_clock_breaks",
]
NAMES = st.lists(st.sampled_from(DOMAINS), max_size=3, unique=True)
PORTAL = st.fixed_dictionaries(
    {"client_id": st.just("x"), "refresh_token": st.just({"env": "T"})},
    optional={
        "timezone": st.sampled_from(
            ["Europe/Oslo", "Europe/Kyiv", "UTC", "localtime", "Factory", "europe/oslo", "EST5EDT"]
        ),
        "resources": st.fixed_dictionaries({"include": NAMES}, optional={"exclude": NAMES}),
        "schedules": st.dictionaries(
            SCHEDULES,
            st.fixed_dictionaries({"cron": st.one_of(st.just("0 2 * * *"), CRON), "resources": NAMES.filter(bool)}),
            max_size=2,
        ),
        "window": st.fixed_dictionaries({"past_months": st.integers(0, 130), "future_months": st.integers(0, 30)}),
    },
)
START = st.sampled_from(["0001-01", "2000-01", "2024-12", "2025-01", "2026-01\n", "2099-01"])
FILE = st.fixed_dictionaries(
    {
        "portals": st.dictionaries(KEYS, PORTAL, min_size=1, max_size=3),
        "defaults": st.just({"resources": {"include": ["portal", "hr.employees", "scheduling.shifts"]}}),
    },
    optional={"history_start": START},
)


def write(folder: Path, content: Any) -> Path:
    path = folder / "portals.yaml"
    path.write_text(json.dumps(content))
    return path


def all_schedules(path: Path) -> list[dg.ScheduleDefinition]:
    with warnings.catch_warnings():
        # Dagster's remark about '*/60', which means what it says.
        warnings.filterwarnings("ignore", message="Found a cron schedule with an interval")
        made = checked_definitions(path)
        return [*made.get_repository_def().schedule_defs]


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(content=FILE)
def test_dagster_builds_what_is_accepted(tmp_path: Path, content: dict[str, Any]) -> None:
    path = write(tmp_path, content)
    try:
        config = load_config(path, CATALOGUE)
    except ConfigError as error:
        assert re.match(r"portals\.yaml, line \d+: ", str(error)), error
        return
    found = all_schedules(path)
    assert len({one.name for one in found}) == len(found)
    now = datetime.now(UTC)
    for portal in config.portals:
        assert grid_months(config, portal, now)
        assert window_months(config, portal, now)


@settings(max_examples=100, deadline=None)
@given(cron=CRON)
def test_dagster_ticks_every_accepted_cron(cron: str) -> None:
    try:
        expression = values.cron(cron)
    except PydanticCustomError:
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Found a cron schedule with an interval")
        dg.ScheduleDefinition(job_name="a", cron_schedule=expression, execution_timezone="Europe/Oslo")
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    # Partitions by time begin at the ticks that a schedule has.
    windows = dg.TimeWindowPartitionsDefinition(
        start="2026-01-01T00:00:00+0100", cron_schedule=expression, fmt="%Y-%m-%dT%H:%M:%S%z", timezone="Europe/Oslo"
    )
    window = windows.get_next_partition_window(now, respect_bounds=False)
    assert window
    assert now <= window.start < window.end
    # What freshness and `planday status` go by is the same.
    assert (
        croniter(expression, now.astimezone(ZoneInfo("Europe/Oslo"))).get_next(datetime).date() == window.start.date()
    )


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        *((one, "is due some day") for one in ("0 0 31 2 *", "0 0 30 2 *", "0 0 30,31 2 *", "0 0 31 4 *", "0 2 31 2 1")),
        *((one, "at most") for one in ("*/90 * * * *", "0 */48 * * *", "0 0 1-31/40 * *")),
        *(
            (one, "five fields")
            for one in ("60 * * * *", "0 24 * * *", "*/0 * * * *", "@daily", "0 0 0 * * *", "R R * * *", "H 2 * * *",
                        "\u0663 2 * * *", "", "0 2 * *", "0 2 * * 1#6", "0 999999999999999999999 * * *")
        ),
    ],
)  # fmt: skip
def test_crons_that_are_refused_say_why(tmp_path: Path, cron: str, expected: str) -> None:
    portal = {"client_id": "x", "refresh_token": {"env": "T"}, "schedules": {"nightly": {"cron": cron}}}
    with pytest.raises(ConfigError, match=f"portals.oslo.schedules.nightly.cron: found .*{expected}"):
        load_config(write(tmp_path, {"portals": {"oslo": portal}}), CATALOGUE)


@pytest.mark.parametrize(
    "cron", ["0 2 * * *", " 0  2 * * * ", "0 0 29 2 *", "0 0 L * *", "0 4 * * mon#1", "0 22-2 * * *", "*/60 * * * *"]
)
def test_crons_that_are_due_are_taken(cron: str) -> None:
    assert values.cron(cron) == " ".join(cron.split())


@pytest.mark.parametrize(
    ("portals", "schedules"),
    [
        (["oslo", "oslo_months"], ["nightly"]),
        (["oslo", "nord_oslo"], ["nightly", "nightly_nord"]),
        (["runs", "months", "slices"], ["dead", "changed", "unpublished"]),
        (["dict"], ["arg", "input_arg", "output_arg"]),
        (["a__", "a_", "a_a", "a"], ["_", "__", "a_a", "a"]),
    ],
)
def test_schedule_names_never_collide(tmp_path: Path, portals: list[str], schedules: list[str]) -> None:
    both = {"cron": "0 2 * * *", "resources": ["hr.employees", "scheduling.shifts"]}
    portal = {"client_id": "x", "refresh_token": {"env": "T"}, "schedules": dict.fromkeys(schedules, both)}
    path = write(tmp_path, {"portals": dict.fromkeys(portals, portal)})
    found = [one.name for one in all_schedules(path)]
    names = [name for both in schedule_names(load_config(path, CATALOGUE)).values() for name in both]
    assert len(set(names)) == len(names)
    assert set(found) <= set(names)
    assert len(found) >= 2 * len(portals) * len(schedules)


def test_unambiguous_schedules_keep_their_names(tmp_path: Path) -> None:
    portal = {"client_id": "x", "refresh_token": {"env": "T"}}
    names = {one.name for one in all_schedules(write(tmp_path, {"portals": {"oslo": portal, "bergen": portal}}))}
    assert {"nightly_oslo", "nightly_oslo_months", "weekly_bergen", "changes_oslo"} <= names


def test_reserved_names_hold_all_sensors(tmp_path: Path) -> None:
    path = write(tmp_path, {"portals": {"oslo": {"client_id": "x", "refresh_token": {"env": "T"}}}})
    assert {one.name for one in build_definitions(path).sensors or ()} == SENSORS


def test_retentions_schedule_has_its_name_alone(tmp_path: Path) -> None:
    portal = {"client_id": "x", "refresh_token": {"env": "T"}}
    path = write(tmp_path, {"portals": {"retention": portal}, "retention": {"pay": "10y"}})
    assert {RETENTION, "nightly_AT_retention"} < {one.name for one in all_schedules(path)}


@pytest.mark.parametrize("excluded", ["payroll", "scheduling", "revenue", "hr.departments", "hr", "pay.salaries"])
def test_portals_may_differ_in_their_tables(tmp_path: Path, excluded: str) -> None:
    portal = {"client_id": "app", "refresh_token": {"env": "A"}, "timezone": "Europe/Oslo"}
    config = write(
        tmp_path, {"portals": {"copenhagen": portal, "oslo": {**portal, "resources": {"exclude": [excluded]}}}}
    )
    made = checked_definitions(config).get_repository_def().asset_graph
    for key in made.materializable_asset_keys:
        for parent in made.get(key).parent_keys & made.materializable_asset_keys:
            # What a backfill asks: does it know what has to come first?
            below, above = made.get(key).partitions_def, made.get(parent).partitions_def
            if below is None:
                assert key.path[0] in ("warehouse", "marts"), "what is of all portals"
                continue
            assert above is not None
            made.get_partition_mapping(key, parent).validate_partition_mapping(above, below)
